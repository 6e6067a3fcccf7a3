#include "config/tool_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

#define INTERFACE_MAX 15   /* IFNAMSIZ without its NUL */

struct flag {
	const char *name;
	int tools;              /* enum tool, those that have it */
	const char *argument;   /* NULL: takes none */
	int (*parse)(struct tool_options *o, const char *value, struct error *err);
	const char *help;
};

static int parse_all(struct tool_options *o, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	o->all = true;
	return 0;
}

static int parse_no_api(struct tool_options *o, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	o->no_api = true;
	return 0;
}

static int parse_ignore_exclude(struct tool_options *o, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	o->cluster.ignore_exclude_label = true;
	return 0;
}

static int parse_help(struct tool_options *o, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	o->help = true;
	return 0;
}

static int parse_interface(struct tool_options *o, const char *value, struct error *err)
{
	if (!*value || strlen(value) > INTERFACE_MAX || strpbrk(value, "/ \t\n"))
		return error_set(err, -EINVAL, "\"%.50s\" is not an interface's name (see ip link)", value);
	mem_replace(&o->interface, value);
	return 0;
}

static int parse_output(struct tool_options *o, const char *value, struct error *err)
{
	o->json = strcmp(value, "json") == 0;
	if (!o->json && strcmp(value, "table") != 0 && strcmp(value, "text") != 0)
		return error_set(err, -EINVAL, "\"%.50s\" is not a form (text, json)", value);
	return 0;
}

static int parse_time(const char *value, int64_t low, int64_t high, const char *bounds, int64_t *place, struct error *err)
{
	int rc = options_duration(value, place, err);
	if (rc == 0 && (*place < low || *place > high))
		return error_set(err, -EINVAL, "\"%.50s\" is out of bounds (%s)", value, bounds);
	return rc;
}

static int parse_timeout(struct tool_options *o, const char *value, struct error *err)
{
	return parse_time(value, 50 * CLOCK_MS, 60 * CLOCK_S, "50ms to 60s", &o->timeout, err);
}

static int parse_wait(struct tool_options *o, const char *value, struct error *err)
{
	return parse_time(value, 0, 3600 * CLOCK_S, "0 to 1h", &o->timeout, err);
}

static int parse_duration(struct tool_options *o, const char *value, struct error *err)
{
	return parse_time(value, 10 * CLOCK_MS, 86400 * CLOCK_S, "10ms to 24h", &o->duration, err);
}

static int parse_count(struct tool_options *o, const char *value, struct error *err)
{
	size_t digits = strspn(value, "0123456789");
	if (digits == 0 || digits > 15 || value[digits] || strtoull(value, NULL, 10) == 0)
		return error_set(err, -EINVAL, "\"%.50s\" is not a number of frames", value);
	o->count = strtoull(value, NULL, 10);
	return 0;
}

static int only_v4(const struct address *a, const char *text, struct error *err)
{
	if (a->family == ADDRESS_V4)
		return 0;
	return error_set(err, -EINVAL, "%.50s is an IPv6 address: neighbour discovery (NDP) is not built yet, only IPv4 (ARP) is", text);
}

/* One address, or what a pool may have. */
static int parse_range(struct tool_options *o, const char *value, struct error *err)
{
	struct address_range range;
	int rc = address_parse(value, &range.first, NULL);
	range.last = range.first;
	if (rc < 0)
		rc = address_range_parse(value, &range, err);
	if (rc == 0)
		rc = only_v4(&range.first, value, err);
	if (rc < 0)
		return rc;
	o->ranges = mem_realloc(o->ranges, (o->n_ranges + 1) * sizeof(*o->ranges));
	o->ranges[o->n_ranges++] = range;
	return 0;
}

static int parse_pool(struct tool_options *o, const char *value, struct error *err)
{
	char *copy = mem_strdup(value), *rest = copy, *one;
	int rc = 0;
	while (rc == 0 && (one = strsep(&rest, ",")))
		rc = parse_range(o, one, err);
	free(copy);
	return rc;
}

#define TOOL_ALL (TOOL_VERIFY | TOOL_LISTEN | TOOL_MOVE | TOOL_DRAIN | TOOL_UNDRAIN)

static const struct flag FLAGS[] = {
	{"all", TOOL_VERIFY, NULL, parse_all, "every address that a record or a Service's status has"},
	{"interface", TOOL_VERIFY, "NAME", parse_interface, "ask on this one (else those whose subnet has the address, bridges too; else all)"},
	{"timeout", TOOL_VERIFY, "TIME", parse_timeout, "for asking and waiting together (default 900ms: three questions, the last waits 500ms);\n"
	 "                                       more than 100 addresses take longer: 500 questions go out a second"},
	{"no-api", TOOL_VERIFY, NULL, parse_no_api, "only ask who answers; nothing to compare with"},
	{"interface", TOOL_LISTEN, "NAME", parse_interface, "listen on this one (else on all working Ethernet links with an IPv4 address)"},
	{"pool", TOOL_LISTEN, "RANGE[,RANGE...]", parse_pool, "only what is about these addresses (one, a CIDR, from-to); repeatable"},
	{"count", TOOL_LISTEN, "N", parse_count, "end after so many frames"},
	{"duration", TOOL_LISTEN, "TIME", parse_duration, "end after this time (else at Ctrl-C)"},
	{"no-api", TOOL_LISTEN, NULL, parse_no_api, "do not ask the API server for the names of nodes"},
	{"timeout", TOOL_MOVE | TOOL_DRAIN, "TIME", parse_wait, "wait so long for it to be done (default 10s); 0: only ask for it"},
	{"ignore-exclude-lb", TOOL_MOVE | TOOL_DRAIN, NULL, parse_ignore_exclude, "the speakers run with this flag"},
	{"output", TOOL_ALL, "text|json", parse_output, "form of what is printed (also -o; default text)"},
	{"help", TOOL_ALL, NULL, parse_help, "print this text"},
};
#define N_FLAGS (sizeof(FLAGS) / sizeof(FLAGS[0]))

static const char *tool_name(enum tool tool)
{
	switch (tool) {
	case TOOL_VERIFY:
		return "verify";
	case TOOL_LISTEN:
		return "listen";
	case TOOL_MOVE:
		return "move";
	case TOOL_DRAIN:
		return "drain";
	case TOOL_UNDRAIN:
		break;
	}
	return "undrain";
}

static const struct flag *find_flag(enum tool tool, const char *name, size_t length)
{
	if (length == 1 && (*name == 'h' || *name == 'o')) {
		name = *name == 'h' ? "help" : "output";
		length = strlen(name);
	}
	for (size_t i = 0; i < N_FLAGS; i++)
		if ((FLAGS[i].tools & (int)tool) && strlen(FLAGS[i].name) == length && strncmp(FLAGS[i].name, name, length) == 0)
			return &FLAGS[i];
	return NULL;
}

/* How many arguments it used, or -EINVAL. */
static int take_flag(struct tool_options *o, enum tool tool, int argc, char *const *argv, int at, struct error *err)
{
	const char *name = argv[at] + strspn(argv[at], "-");
	size_t dashes = (size_t)(name - argv[at]), length = strcspn(name, "=");
	int used = options_cluster_flag(&o->cluster, argc, argv, at, err);
	if (used != 0)
		return used;
	const struct flag *f = dashes <= 2 ? find_flag(tool, name, length) : NULL;
	if (!f)
		return error_set(err, -EINVAL, "%.60s: unknown flag; see l2lb %s --help", argv[at], tool_name(tool));
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	if (!f->argument && value)
		return error_set(err, -EINVAL, "--%s: takes no value", f->name);
	used = f->argument && !value ? 2 : 1;
	if (at + used > argc)
		return error_set(err, -EINVAL, "--%s: needs a value (%s)", f->name, f->argument);
	int rc = f->parse(o, used == 2 ? argv[at + 1] : value, err);
	if (rc < 0)
		error_prefix(err, "--%s", f->name);
	return rc < 0 ? rc : used;
}

static int take_address(struct tool_options *o, const char *text, struct error *err)
{
	struct address a;
	if (address_parse(text, &a, NULL) < 0)
		return error_set(err, -EINVAL, "\"%.100s\" is not an address; write it as 192.168.122.100", text);
	int rc = only_v4(&a, text, err);
	if (rc < 0)
		return rc;
	if (a.bytes[0] == 0 || a.bytes[0] == 127 || a.bytes[0] >= 224)
		return error_set(err, -EINVAL, "%.50s cannot be the address of a host on a network", text);
	for (size_t i = 0; i < o->n_addresses; i++)
		if (address_equal(&o->addresses[i], &a))
			return 0;
	o->addresses = mem_realloc(o->addresses, (o->n_addresses + 1) * sizeof(*o->addresses));
	o->addresses[o->n_addresses++] = a;
	return 0;
}

#define NODE_MAX 253

/* As the API server has it: a DNS subdomain. Nothing else may get into the path of a request. */
static int take_node(struct tool_options *o, const char *text, struct error *err)
{
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");
	if (!*text || text[length] || length > NODE_MAX || strchr("-.", text[0]) || strchr("-.", text[length - 1]))
		return error_set(err, -EINVAL, "\"%.100s\" is not the name of a node (see kubectl get nodes)", text);
	mem_replace(&o->node, text);
	return 0;
}

static int unexpected(enum tool tool, const char *text, struct error *err)
{
	return error_set(err, -EINVAL, "\"%.100s\": unexpected argument; see l2lb %s --help", text, tool_name(tool));
}

static int take_argument(struct tool_options *o, enum tool tool, const char *text, struct error *err)
{
	if (tool == TOOL_VERIFY || (tool == TOOL_MOVE && o->n_addresses == 0))
		return take_address(o, text, err);
	if (tool == TOOL_LISTEN || o->node)
		return unexpected(tool, text, err);
	return take_node(o, text, err);
}

static int check(const struct tool_options *o, enum tool tool, struct error *err)
{
	if (tool == TOOL_MOVE && (!o->n_addresses || !o->node))
		return error_set(err, -EINVAL, "move: which address, and to which node? l2lb move ADDRESS NODE");
	if ((tool == TOOL_DRAIN || tool == TOOL_UNDRAIN) && !o->node)
		return error_set(err, -EINVAL, "%s: which node? l2lb %s NODE", tool_name(tool), tool_name(tool));
	if (tool != TOOL_VERIFY)
		return 0;
	if (o->all && o->n_addresses)
		return error_set(err, -EINVAL, "--all: has every address already; leave one of the two out");
	if (o->all && o->no_api)
		return error_set(err, -EINVAL, "--all: the addresses come from the API server; name them with --no-api");
	if (!o->all && !o->n_addresses)
		return error_set(err, -EINVAL, "verify: which address? Name one or more, or --all");
	return 0;
}

int tool_options_parse(struct tool_options *o, enum tool tool, int argc, char *const *argv, options_env env, struct error *err)
{
	*o = (struct tool_options){.timeout = tool == TOOL_VERIFY ? 900 * CLOCK_MS : 10 * CLOCK_S};
	for (int at = 0; at < argc;) {
		int used = argv[at][0] == '-' ? take_flag(o, tool, argc, argv, at, err) : take_argument(o, tool, argv[at], err);
		if (used < 0)
			return used;
		at += used ? used : 1;
	}
	int rc = options_cluster_environment(&o->cluster, env, err);
	return rc < 0 || o->help ? rc : check(o, tool, err);
}

void tool_options_free(struct tool_options *o)
{
	options_free(&o->cluster);
	free(o->interface);
	free(o->node);
	free(o->addresses);
	free(o->ranges);
	*o = (struct tool_options){0};
}

static const char VERIFY_HEAD[] =
	"usage: l2lb verify ADDRESS... | --all [FLAG...]\n\n"
	"Asks on the wire who answers for each address, as arping does, and compares that with the owner's Lease.\n"
	"Run it on any machine of that network but the owner: a node does not hear itself. Needs CAP_NET_RAW.\n\n";
static const char VERIFY_TAIL[] =
	"\nVerdicts that are right: ok, guarded (the owner's speaker is away, another node answers with its MAC), unowned (nobody owns\n"
	"it, nobody answers), this-node (this machine owns it: ask from another), answered (with --no-api: by one). Wrong: lossy,\n"
	"no-answer, no-record, unknown-owner, duplicate, wrong-node, stranger. Each comes with what to do.\n"
	"Exit status: 0 all is as it should be; 1 something is wrong; 2 usage or configuration; 3 it could not be found out (API\n"
	"server, CAP_NET_RAW, no link to ask on). Colours only on a terminal, and not with NO_COLOR set.\n";
static const char LISTEN_HEAD[] =
	"usage: l2lb listen [FLAG...]\n\n"
	"Prints each ARP frame that comes in, what it means and which node it is from, until Ctrl-C. Needs CAP_NET_RAW.\n"
	"What this machine sends itself is not seen; nor are frames between others, unless they are broadcast.\n\n";
static const char MOVE_HEAD[] =
	"usage: l2lb move ADDRESS NODE [FLAG...]\n\n"
	"Hands the address over to that node: it answers before the present owner stops, so no request is left unanswered.\n\n";
static const char DRAIN_HEAD[] =
	"usage: l2lb drain NODE [FLAG...]\n\n"
	"Hands all addresses of the node over to others, and lets it have none any more unless nobody else may have them, until\n"
	"`l2lb undrain`. A node that is cordoned (kubectl drain does it) is treated the same, until it is uncordoned.\n\n";
static const char UNDRAIN_HEAD[] =
	"usage: l2lb undrain NODE [FLAG...]\n\n"
	"The node may have addresses again. Nothing moves back by itself.\n\n";
static const char HANDOVER_TAIL[] =
	"\nNeeds to list and watch Services, Nodes, EndpointSlices, and in the namespace Leases, IPAddressPools, L2Advertisements; and to\n"
	"get and patch Leases there (deploy/operator.yaml).\n"
	"Exit status: 0 done, or it was so already; 1 not possible, or refused by the owner (drain: an address stays, as nobody else may\n"
	"have it); 2 usage or configuration; 3 API server; 4 asked for, and not done in time, or interrupted. Colours only on a terminal, and not with\n"
	"NO_COLOR set.\n";
static const char LISTEN_TAIL[] = "\nExit status: 0 ended; 2 usage or configuration; 3 it cannot listen (CAP_NET_RAW, no link).\n";

void tool_options_usage(enum tool tool, struct buffer *out)
{
	buffer_text(out, tool == TOOL_VERIFY ? VERIFY_HEAD : tool == TOOL_LISTEN ? LISTEN_HEAD : tool == TOOL_MOVE ? MOVE_HEAD
		    : tool == TOOL_DRAIN ? DRAIN_HEAD : UNDRAIN_HEAD);
	for (size_t i = 0; i < N_FLAGS; i++) {
		if (!(FLAGS[i].tools & (int)tool))
			continue;
		char *left = mem_printf("--%s%s%s", FLAGS[i].name, FLAGS[i].argument ? " " : "", FLAGS[i].argument ? FLAGS[i].argument : "");
		buffer_printf(out, "  %-36s %s\n", left, FLAGS[i].help);
		free(left);
	}
	options_cluster_usage(out);
	buffer_text(out, tool == TOOL_VERIFY ? VERIFY_TAIL : tool == TOOL_LISTEN ? LISTEN_TAIL : HANDOVER_TAIL);
}
