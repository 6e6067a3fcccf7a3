#include "config/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

/* ---- one table: parsing, environment and help all come from it ---- */

typedef int (*flag_parse)(struct options *o, const char *value, struct error *err);

struct flag {
	const char *name;
	const char *argument;   /* NULL: takes no value (but =true and =false are accepted, as in Go) */
	flag_parse parse;
	const char *env[2];     /* tried in order when the flag is absent */
	const char *help;
};

static int parse_role(struct options *o, const char *value, struct error *err)
{
	o->controller = strcmp(value, "controller") == 0 || strcmp(value, "all") == 0;
	o->speaker = strcmp(value, "speaker") == 0 || strcmp(value, "all") == 0;
	if (!o->controller && !o->speaker)
		return error_set(err, -EINVAL, "\"%.50s\" is not a role (speaker, controller, all)", value);
	return 0;
}

static int parse_text(char **place, const char *value, struct error *err)
{
	if (!*value)
		return error_set(err, -EINVAL, "needs a value");
	mem_replace(place, value);
	return 0;
}

#define TEXT_FLAG(field)                                                                            \
	static int parse_##field(struct options *o, const char *value, struct error *err)          \
	{                                                                                           \
		return parse_text(&o->field, value, err);                                           \
	}
TEXT_FLAG(kubeconfig)
TEXT_FLAG(context)
TEXT_FLAG(node_name)
TEXT_FLAG(pod_name)
TEXT_FLAG(pod_uid)

static int parse_api_server(struct options *o, const char *value, struct error *err)
{
	if (strncmp(value, "https://", 8) != 0 && strncmp(value, "http://", 7) != 0)
		return error_set(err, -EINVAL, "\"%.100s\" is not a URL; write it as https://192.168.122.10:6443", value);
	mem_replace(&o->api_server, value);
	return 0;
}

/* RFC 1123 label: what a namespace's name must be. */
static int parse_name_space(struct options *o, const char *value, struct error *err)
{
	size_t n = strlen(value);
	if (n == 0 || n > 63 || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != n || value[0] == '-' || value[n - 1] == '-')
		return error_set(err, -EINVAL, "\"%.70s\" is not a namespace's name (lower case letters, digits, '-')", value);
	mem_replace(&o->name_space, value);
	return 0;
}

static int parse_lb_class(struct options *o, const char *value, struct error *err)
{
	(void)err;
	mem_replace(&o->lb_class, value);
	return 0;
}

static int parse_pool(struct options *o, const char *value, struct error *err)
{
	struct pool *pool;
	int rc = pool_from_flag(value, (unsigned)o->n_pools + 1, &pool, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < o->n_pools; i++) {
		if (strcmp(o->pools[i]->meta.name, pool->meta.name) == 0)
			rc = error_set(err, -EINVAL, "two pools are named %s; give each a name=", pool->meta.name);
		else if (pool_overlaps(o->pools[i], pool))
			rc = error_set(err, -EINVAL, "\"%.100s\" overlaps with pool %s; remove one of them", value, o->pools[i]->meta.name);
	}
	if (rc < 0) {
		pool_free(pool);
		return rc;
	}
	o->pools = mem_realloc(o->pools, (o->n_pools + 1) * sizeof(struct pool *));
	o->pools[o->n_pools++] = pool;
	return 0;
}

static int parse_log_level(struct options *o, const char *value, struct error *err)
{
	if (!log_level_parse(value, &o->log_level))
		return error_set(err, -EINVAL, "\"%.50s\" is not a level (all, debug, info, warn, error, none)", value);
	return 0;
}

static int parse_bool(bool *place, const char *value, struct error *err)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_set(err, -EINVAL, "\"%.50s\" is neither true nor false", value);
	*place = value[0] == 't';
	return 0;
}

static int parse_ignore_exclude(struct options *o, const char *value, struct error *err)
{
	return parse_bool(&o->ignore_exclude_label, value, err);
}

static int parse_once(struct options *o, const char *value, struct error *err)
{
	return parse_bool(&o->once, value, err);
}

static int parse_dry_run(struct options *o, const char *value, struct error *err)
{
	return parse_bool(&o->dry_run, value, err);
}

static int parse_output(struct options *o, const char *value, struct error *err)
{
	o->json = strcmp(value, "json") == 0;
	return o->json || strcmp(value, "table") == 0 ? 0 : error_set(err, -EINVAL, "\"%.50s\" is not a form (table, json)", value);
}

static int parse_help(struct options *o, const char *value, struct error *err)
{
	return parse_bool(&o->help, value, err);
}

static int parse_duration_within(const char *value, int64_t low, int64_t high, const char *bounds, int64_t *place, struct error *err)
{
	int64_t t;
	int rc = options_duration(value, &t, err);
	if (rc < 0)
		return rc;
	if (t < low || t > high)
		return error_set(err, -EINVAL, "\"%.50s\" is out of bounds (%s)", value, bounds);
	*place = t;
	return 0;
}

static int parse_liveness(struct options *o, const char *value, struct error *err)
{
	return parse_duration_within(value, 10 * CLOCK_MS, 10 * CLOCK_S, "10ms to 10s", &o->liveness_interval, err);
}

static int parse_gratuitous(struct options *o, const char *value, struct error *err)
{
	if (strcmp(value, "0") == 0 || strcmp(value, "0s") == 0) {
		o->gratuitous_interval = 0;
		return 0;
	}
	return parse_duration_within(value, CLOCK_S, 86400 * CLOCK_S, "0 for off, or 1s to 24h", &o->gratuitous_interval, err);
}

static int parse_foreign_silence(struct options *o, const char *value, struct error *err)
{
	return parse_duration_within(value, CLOCK_S, 86400 * CLOCK_S, "1s to 24h", &o->foreign_silence, err);
}

static int parse_state_file(struct options *o, const char *value, struct error *err)
{
	(void)err;
	mem_replace(&o->state_file, *value ? value : NULL);
	return 0;
}

static int parse_guard(struct options *o, const char *value, struct error *err)
{
	o->guard = strcmp(value, "on") == 0;
	return o->guard || strcmp(value, "off") == 0 ? 0 : error_set(err, -EINVAL, "\"%.50s\" is neither on nor off", value);
}

static int parse_on_conflict(struct options *o, const char *value, struct error *err)
{
	o->give_up = strcmp(value, "move") == 0;
	return o->give_up || strcmp(value, "defend") == 0 ? 0 : error_set(err, -EINVAL, "\"%.50s\" is not a way to meet a conflict (defend, move)", value);
}

static int parse_number(const char *value, unsigned long most, unsigned *place)
{
	size_t digits = strspn(value, "0123456789");
	unsigned long n = digits > 0 && digits < 10 && !value[digits] ? strtoul(value, NULL, 10) : ULONG_MAX;
	if (n > most)
		return -EINVAL;
	*place = (unsigned)n;
	return 0;
}

static int parse_arp_rate(struct options *o, const char *value, struct error *err)
{
	if (parse_number(value, 10000, &o->arp_rate) < 0)
		return error_set(err, -EINVAL, "\"%.50s\" is not a rate (frames per second: 1 to 10000, or 0 for off)", value);
	return 0;
}

static int parse_announce_to(struct options *o, const char *value, struct error *err)
{
	struct address a;
	int rc = address_parse(value, &a, err);
	if (rc < 0)
		return rc;
	uint32_t v4 = a.family == ADDRESS_V4 ? address_to_v4(&a) : 0;
	if (v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 24 >= 224)
		return error_set(err, -EINVAL, "\"%.50s\" is not the IPv4 address of a host", value);
	for (size_t i = 0; i < o->n_announce_to; i++)
		if (o->announce_to[i] == v4)
			return 0;
	if (o->n_announce_to == OPTIONS_ANNOUNCE_TO)
		return error_set(err, -EINVAL, "more than %d hosts; what so many ignore is better cured in the network", OPTIONS_ANNOUNCE_TO);
	o->announce_to[o->n_announce_to++] = v4;
	return 0;
}

static int parse_api_stall(struct options *o, const char *value, struct error *err)
{
	return parse_duration_within(value, CLOCK_S, 3600 * CLOCK_S, "1s to 1h", &o->api_stall, err);
}

static int parse_api_retry_max(struct options *o, const char *value, struct error *err)
{
	return parse_duration_within(value, 100 * CLOCK_MS, 600 * CLOCK_S, "100ms to 10m", &o->api_retry_max, err);
}

static int parse_port_number(const char *value, unsigned *place, struct error *err)
{
	if (parse_number(value, 65535, place) < 0)
		return error_set(err, -EINVAL, "\"%.50s\" is not a port (1 to 65535, or 0 for off)", value);
	return 0;
}

static int parse_port(struct options *o, const char *value, struct error *err)
{
	return parse_port_number(value, &o->port, err);
}

static int parse_health_probe_port(struct options *o, const char *value, struct error *err)
{
	return parse_port_number(value, &o->health_probe_port, err);
}

/* Empty is MetalLB's default. */
static int parse_metrics_cert_dir(struct options *o, const char *value, struct error *err)
{
	(void)err;
	mem_replace(&o->metrics_cert_dir, *value ? value : NULL);
	return 0;
}

static int parse_metrics_auth(struct options *o, const char *value, struct error *err)
{
	return parse_bool(&o->metrics_auth, value, err);
}

static int parse_tls_min_version(struct options *o, const char *value, struct error *err)
{
	if (strcmp(value, "VersionTLS12") == 0)
		o->tls_min_version = 12;
	else if (strcmp(value, "VersionTLS13") == 0 || !*value)
		o->tls_min_version = 13;
	else
		return error_set(err, -EINVAL, "\"%.50s\" is not a version served here (VersionTLS12, VersionTLS13)", value);
	return 0;
}

static const struct flag FLAGS[] = {
	{"role", "speaker|controller|all", parse_role, {NULL}, "what this process does (required)"},
	{"kubeconfig", "FILE", parse_kubeconfig, {NULL}, "how to reach the cluster (else KUBECONFIG, in-cluster, ~/.kube/config)"},
	{"context", "NAME", parse_context, {NULL}, "context of the kubeconfig (else its current-context)"},
	{"api-server", "URL", parse_api_server, {NULL}, "another address for the API server, e.g. on a hostNetwork pod before kube-proxy works"},
	{"namespace", "NAME", parse_name_space, {"METALLB_NAMESPACE"}, "where pools and records live (else the service account's, the context's, metallb-system)"},
	{"node-name", "NAME", parse_node_name, {"NODE_NAME", "METALLB_NODE_NAME"}, "the Node this speaker runs on (required for a speaker)"},
	{"pod-name", "NAME", parse_pod_name, {"METALLB_POD_NAME", "POD_NAME"}, "this pod's name, for the leader election"},
	{"pod-uid", "UID", parse_pod_uid, {"POD_UID"}, "this pod's uid, for the leader election"},
	{"pool", "RANGE[,OPTION...]", parse_pool, {NULL}, "hand out these addresses; repeatable; no CRDs are needed then.\n"
	 "                          RANGE: 192.168.1.100-192.168.1.150 or a CIDR; OPTION: name=NAME, autoAssign=false, avoidBuggyIPs=true"},
	{"lb-class", "CLASS", parse_lb_class, {NULL}, "serve only Services with this loadBalancerClass (else those without one)"},
	{"log-level", "LEVEL", parse_log_level, {NULL}, "all, debug, info, warn, error or none (default info)"},
	{"liveness-interval", "TIME", parse_liveness, {NULL}, "how often nodes ask for each other by ARP (default 100ms)"},
	{"gratuitous-arp-interval", "TIME", parse_gratuitous, {"METALLB_GRATUITOUS_ARP_INTERVAL"}, "repeat of announcements; 0 is off (default 60s)"},
	{"state-file", "FILE", parse_state_file, {NULL}, "what this speaker answers for: a restart while the API server is away resumes it (an emptyDir will do)"},
	{"guard", "on|off", parse_guard, {NULL}, "while a node's speaker is down, a neighbour answers with its MAC for 30 s (default on); off: it takes over at once"},
	{"on-conflict", "defend|move", parse_on_conflict, {NULL}, "when another host uses an announced address: defend it for good (default), or move the Service"},
	{"foreign-silence", "TIME", parse_foreign_silence, {NULL}, "an address used by a stranger is free again after so long without a sign of him (default 60s)"},
	{"arp-rate", "N", parse_arp_rate, {NULL}, "at most so many announcements per second and link, for switches that count ARP (default 0: no cap)"},
	{"announce-to", "ADDRESS", parse_announce_to, {NULL}, "tell this host of each address directly, as the gateway is told: for one that ignores\n"
	 "                                       gratuitous ARP; IPv4, on the same link; repeatable"},
	{"ignore-exclude-lb", NULL, parse_ignore_exclude, {NULL}, "use nodes labelled node.kubernetes.io/exclude-from-external-load-balancers too"},
	{"api-stall-timeout", "TIME", parse_api_stall, {NULL}, "open a watch anew after so long without a byte (default 150s)"},
	{"api-retry-max", "TIME", parse_api_retry_max, {NULL}, "longest wait between tries to reach the API server (default 10s)"},
	{"once", NULL, parse_once, {NULL}, "controller: allocate what is pending, print a report and end (status 1: some Service got no address)"},
	{"dry-run", NULL, parse_dry_run, {NULL}, "controller: say what would be allocated and write nothing (with --once: print it and end)"},
	{"output", "table|json", parse_output, {NULL}, "form of that report (also -o; default table)"},
	{"port", "PORT", parse_port, {NULL}, "/metrics by HTTPS (default 9120); 0 is off"},
	{"health-probe-port", "PORT", parse_health_probe_port, {NULL}, "/healthz and /readyz by HTTP (default 17472); 0 is off;\n"
	 "                                       a speaker's are for its own node only (127.0.0.1)"},
	{"metrics-cert-dir", "DIR", parse_metrics_cert_dir, {NULL}, "tls.crt and tls.key for /metrics, read again when they change (else self-signed)"},
	{"metrics-auth", NULL, parse_metrics_auth, {NULL}, "let only those read /metrics whose token the API server allows to (deploy/metrics-auth.yaml)"},
	{"tls-min-version", "VERSION", parse_tls_min_version, {NULL}, "of /metrics: VersionTLS12 or VersionTLS13 (default)"},
	{"help", NULL, parse_help, {NULL}, "print this text"},
};
#define N_FLAGS (sizeof(FLAGS) / sizeof(FLAGS[0]))

/* MetalLB's own, accepted so that its manifests start us; what they tune does not exist here. */
static const char *const IGNORED_FLAGS[] = {
	"ml-secret-name", "deployment", "webhook-mode", "webhook-secret", "cert-service-name", "cert-dir",
	"disable-cert-rotation", "webhook-http2", "pprof-bind-address", "tls-cipher-suites",
	"tls-curve-preferences", "host", "ml-bindaddr", "ml-bindport", "ml-labels", "ml-secret-key-path",
	"ml-wan-config", "bgp-debounce-timeout", "config", "config-ns", "kubeconfig-in-cluster",
};
static const char *const IGNORED_ENV[] = {
	"METALLB_ML_SECRET_NAME", "METALLB_DEPLOYMENT", "METALLB_BGP_TYPE", "METALLB_HOST", "METALLB_ML_BIND_ADDR",
	"METALLB_ML_BIND_PORT", "METALLB_ML_LABELS", "METALLB_ML_SECRET_KEY_PATH",
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int options_duration(const char *text, int64_t *microseconds, struct error *err)
{
	char *end;
	size_t digits = strspn(text, "0123456789.");
	double value = strtod(text, &end);
	if (digits == 0 || end != text + digits)   /* strtod also reads 0x10 and 1e3 */
		return error_set(err, -EINVAL, "\"%.50s\" is not a time; write it as 100ms, 60s or 5m", text);
	double unit = !*end || strcmp(end, "s") == 0 ? 1e6 : strcmp(end, "ms") == 0 ? 1e3 : strcmp(end, "us") == 0 ? 1.0
		    : strcmp(end, "m") == 0 ? 60e6 : strcmp(end, "h") == 0 ? 3600e6 : 0.0;
	if (unit <= 0.0 || value < 0.0 || value * unit > 1e15)
		return error_set(err, -EINVAL, "\"%.50s\" is not a time; write it as 100ms, 60s or 5m", text);
	*microseconds = (int64_t)(value * unit + 0.5);
	return 0;
}

static void note_ignored(struct options *o, const char *what)
{
	o->ignored = mem_realloc(o->ignored, (o->n_ignored + 1) * sizeof(char *));
	o->ignored[o->n_ignored++] = mem_strdup(what);
}

static bool is_one_of(const char *const *names, size_t n, const char *name, size_t length)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == length && strncmp(names[i], name, length) == 0)
			return true;
	return false;
}

/* -h and -o are short for flags; all others have one name. */
static void expand_short(const char **namep, size_t *lengthp)
{
	if (*lengthp != 1 || (**namep != 'h' && **namep != 'o'))
		return;
	*namep = **namep == 'h' ? "help" : "output";
	*lengthp = strlen(*namep);
}

static const struct flag *find_flag(const char *name, size_t length, size_t *indexp)
{
	expand_short(&name, &length);
	for (size_t i = 0; i < N_FLAGS; i++)
		if (strlen(FLAGS[i].name) == length && strncmp(FLAGS[i].name, name, length) == 0) {
			*indexp = i;
			return &FLAGS[i];
		}
	return NULL;
}

/* Takes one flag at argv[at]; returns how many arguments it used, or -EINVAL. */
static int take_flag(struct options *o, int argc, char *const *argv, int at, bool *given, struct error *err)
{
	const char *argument = argv[at];
	const char *name = argument + strspn(argument, "-");
	size_t dashes = (size_t)(name - argument), length = strcspn(name, "="), index = 0;
	if (dashes < 1 || dashes > 2 || length == 0)
		return error_set(err, -EINVAL, "\"%.100s\": unexpected argument; see l2lb run --help", argument);
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	const char *next = at + 1 < argc && argv[at + 1][0] != '-' ? argv[at + 1] : NULL;
	const struct flag *flag = find_flag(name, length, &index);
	if (!flag && is_one_of(IGNORED_FLAGS, COUNT(IGNORED_FLAGS), name, length)) {
		char *text = mem_printf("--%.*s", (int)length, name);
		note_ignored(o, text);
		free(text);
		return !value && next ? 2 : 1;
	}
	if (!flag)
		return error_set(err, -EINVAL, "--%.*s: unknown flag; see l2lb run --help", (int)(length > 60 ? 60 : length), name);
	int used = 1;
	if (!flag->argument) {
		value = value ? value : "true";
	} else if (!value) {
		if (at + 1 >= argc)
			return error_set(err, -EINVAL, "--%s: needs a value (%s)", flag->name, flag->argument);
		value = argv[at + 1];
		used = 2;
	}
	int rc = flag->parse(o, value, err);
	if (rc < 0) {
		error_prefix(err, "--%s", flag->name);
		return rc;
	}
	given[index] = true;
	return used;
}

static int take_environment(struct options *o, options_env env, const bool *given, struct error *err)
{
	for (size_t i = 0; i < N_FLAGS; i++) {
		for (size_t j = 0; !given[i] && j < 2 && FLAGS[i].env[j]; j++) {
			const char *value = env(FLAGS[i].env[j]);
			if (!value || !*value)
				continue;
			if (FLAGS[i].parse(o, value, err) < 0) {
				error_prefix(err, "%s", FLAGS[i].env[j]);
				return -EINVAL;
			}
			break;
		}
	}
	for (size_t i = 0; i < COUNT(IGNORED_ENV); i++) {
		const char *value = env(IGNORED_ENV[i]);
		if (value && *value)
			note_ignored(o, IGNORED_ENV[i]);
	}
	return 0;
}

int options_parse(struct options *o, int argc, char *const *argv, options_env env, struct error *err)
{
	bool given[N_FLAGS] = {false};
	*o = (struct options){.guard = true, .log_level = LOG_LEVEL_INFO, .liveness_interval = 100 * CLOCK_MS, .gratuitous_interval = 60 * CLOCK_S, .foreign_silence = 60 * CLOCK_S,
			      .api_stall = 150 * CLOCK_S, .api_retry_max = 10 * CLOCK_S, .port = 9120, .health_probe_port = 17472,
			      .tls_min_version = 13};
	o->lb_class = mem_strdup("");
	for (int at = 0; at < argc;) {
		int used = take_flag(o, argc, argv, at, given, err);
		if (used < 0)
			return used;
		at += used;
	}
	if (o->help)
		return 0;
	int rc = take_environment(o, env, given, err);
	if (rc < 0)
		return rc;
	if (o->port && o->port == o->health_probe_port)
		return error_set(err, -EINVAL, "--health-probe-port: %u is --port's; give it another", o->port);
	if (!o->controller && !o->speaker)
		return error_set(err, -EINVAL, "--role: required (speaker, controller or all)");
	if ((o->once || o->dry_run) && o->speaker)
		return error_set(err, -EINVAL, "--%s: only for --role controller", o->once ? "once" : "dry-run");
	if (o->speaker && !o->node_name)
		return error_set(err, -EINVAL, "--node-name: required for a speaker (or NODE_NAME); it is the name in `kubectl get nodes`");
	return 0;
}

void options_free(struct options *o)
{
	free(o->kubeconfig);
	free(o->context);
	free(o->api_server);
	free(o->name_space);
	free(o->node_name);
	free(o->pod_name);
	free(o->pod_uid);
	free(o->lb_class);
	free(o->metrics_cert_dir);
	free(o->state_file);
	for (size_t i = 0; i < o->n_pools; i++)
		pool_free(o->pools[i]);
	free(o->pools);
	strings_free(o->ignored, o->n_ignored);
	*o = (struct options){0};
}

static void flag_usage(struct buffer *out, const struct flag *f)
{
	char *left = mem_printf("--%s%s%s", f->name, f->argument ? " " : "", f->argument ? f->argument : "");
	buffer_printf(out, "  %-36s %s", left, f->help);
	if (f->env[0])
		buffer_printf(out, " [%s%s%s]", f->env[0], f->env[1] ? ", " : "", f->env[1] ? f->env[1] : "");
	buffer_text(out, "\n");
	free(left);
}

void options_usage(struct buffer *out)
{
	buffer_text(out, "usage: l2lb run --role speaker|controller|all [FLAG...]\n\n");
	for (size_t i = 0; i < N_FLAGS; i++)
		flag_usage(out, &FLAGS[i]);
	buffer_text(out, "\nMetalLB's other flags and METALLB_* variables are accepted; those without meaning here are logged once.\n"
			 "Exit status: 0 done, or ended by SIGTERM or SIGINT; 1 (--once) some Service could not get an address;\n"
			 "2 usage or configuration; 3 API server not reachable or not allowed.\n");
}

/* ---- what other commands share with run ---- */

static const char *const CLUSTER_FLAGS[] = {"kubeconfig", "context", "api-server", "namespace", "lb-class"};

int options_cluster_flag(struct options *o, int argc, char *const *argv, int at, struct error *err)
{
	bool given[N_FLAGS];
	const char *name = argv[at] + strspn(argv[at], "-");
	if (name == argv[at] || !is_one_of(CLUSTER_FLAGS, COUNT(CLUSTER_FLAGS), name, strcspn(name, "=")))
		return 0;
	return take_flag(o, argc, argv, at, given, err);
}

int options_cluster_environment(struct options *o, options_env env, struct error *err)
{
	const char *name_space = env("METALLB_NAMESPACE");
	if (!o->lb_class)
		o->lb_class = mem_strdup("");
	if (o->name_space || !name_space || !*name_space)
		return 0;
	int rc = parse_name_space(o, name_space, err);
	if (rc < 0)
		error_prefix(err, "METALLB_NAMESPACE");
	return rc;
}

void options_cluster_usage(struct buffer *out)
{
	for (size_t i = 0; i < N_FLAGS; i++)
		if (is_one_of(CLUSTER_FLAGS, COUNT(CLUSTER_FLAGS), FLAGS[i].name, strlen(FLAGS[i].name)))
			flag_usage(out, &FLAGS[i]);
}
