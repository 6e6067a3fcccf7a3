/* l2lb listen: prints the ARP frames that come in, what they mean and whose they are, until told to end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "arp/filter.h"
#include "arp/link.h"
#include "arp/links.h"
#include "arp/sighting.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "config/tool_options.h"
#include "speaker/command_line.h"
#include "speaker/commands.h"
#include "speaker/snapshot.h"

#define LISTEN_LINKS 64
#define NAMES_WAIT (2 * CLOCK_S)   /* an API server that does not answer must not keep anybody from listening */

struct listen;
struct ear {   /* an open link */
	struct listen *listen;
	struct link *link;
	char name[IF_NAMESIZE];
};

struct listen {
	struct tool_options options;
	uv_loop_t loop;
	struct turn turn;
	struct snapshot *snapshot;   /* for the names of nodes; NULL: there are none */
	const struct model *names;   /* once it has been read */
	struct links *links;
	struct ear *ears[LISTEN_LINKS];
	size_t n_ears;
	bool started, ending;
	uint64_t seen;
	uv_signal_t signals[2];
	struct deadline names_wait;
	struct deadline over;        /* --duration */
	struct deadline finish;      /* close everything, outside of any callback */
	int exit_code;
};

/* ---- end ---- */

static void close_all(void *data)
{
	struct listen *l = data;
	for (size_t i = 0; i < l->n_ears; i++)
		link_close(l->ears[i]->link);
	links_close(l->links);
	snapshot_close(l->snapshot);
	for (int i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&l->signals[i], NULL);
	deadline_close(&l->names_wait, NULL);
	deadline_close(&l->over, NULL);
	deadline_close(&l->finish, NULL);
	turn_close(&l->turn);
}

static void end(struct listen *l, int exit_code)
{
	if (l->ending)
		return;
	l->ending = true;
	l->exit_code = exit_code;
	deadline_set(&l->finish, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	end(handle->data, EXIT_DONE);
}

static void on_over(void *data)
{
	end(data, EXIT_DONE);
}

/* ---- names ---- */

/* The node that has this MAC; NULL: none, or not known. */
static const char *node_of_mac(const struct listen *l, const struct mac *mac)
{
	struct node_record_entry *e, *tmp;
	if (l->names)
		HASH_ITER(hh, l->names->node_records, e, tmp)
			for (size_t i = 0; i < e->record->n_links; i++)
				if (mac_equal(&e->record->links[i].mac, mac))
					return e->record->node;
	return NULL;
}

static bool is_nodes_own(const struct listen *l, uint32_t address)
{
	struct node_record_entry *e, *tmp;
	const struct address a = address_from_v4(address);
	if (l->names)
		HASH_ITER(hh, l->names->node_records, e, tmp)
			for (size_t i = 0; i < e->record->n_links; i++)
				for (size_t j = 0; j < e->record->links[i].n_addresses; j++)
					if (address_equal(&e->record->links[i].addresses[j].address, &a))
						return true;
	return false;
}

/* ---- printing ---- */

static void address_text(struct buffer *out, uint32_t address)
{
	char text[ADDRESS_TEXT];
	struct address a = address_from_v4(address);
	buffer_text(out, address_format(&a, text));
}

static void mac_text(const struct listen *l, struct buffer *out, const struct mac *mac)
{
	char text[MAC_TEXT];
	const char *node = node_of_mac(l, mac);
	buffer_printf(out, node ? "%s (%s)" : "%s", mac_format(mac, text), node);
}

static void says(const struct listen *l, struct buffer *out, const struct arp_frame *f)
{
	address_text(out, f->spa);
	buffer_text(out, " is at ");
	mac_text(l, out, &f->sha);
}

static void sentence(const struct listen *l, struct buffer *out, const struct arp_frame *f, enum sighting kind)
{
	switch (kind) {
	case SIGHTING_PROBE:
		mac_text(l, out, &f->sha);
		buffer_text(out, " wants to take ");
		address_text(out, f->tpa);
		break;
	case SIGHTING_ANNOUNCEMENT:
		says(l, out, f);
		buffer_text(out, f->op == ARP_REQUEST ? " (to all, as a request)" : " (to all, as a reply)");
		break;
	case SIGHTING_REPLY:
	case SIGHTING_GUARD:
		says(l, out, f);
		buffer_text(out, ", told to ");
		address_text(out, f->tpa);
		break;
	case SIGHTING_ALARM:
	case SIGHTING_REQUEST:
	case SIGHTING_LIVENESS:
		if (f->op == ARP_REPLY || f->spa == f->tpa) {
			says(l, out, f);
			break;
		}
		address_text(out, f->spa);
		buffer_text(out, " at ");
		mac_text(l, out, &f->sha);
		buffer_text(out, kind == SIGHTING_ALARM ? " misses " : " asks for ");
		address_text(out, f->tpa);
		break;
	}
	if (!mac_equal(&f->sha, &f->eth_src)) {
		buffer_text(out, ", said by ");
		mac_text(l, out, &f->eth_src);
	}
}

static void text_line(const struct listen *l, const struct ear *ear, struct buffer *out, const struct arp_frame *f, enum sighting kind)
{
	char now[CLOCK_TEXT];
	bool broadcast = mac_equal(&f->eth_dst, &MAC_BROADCAST);
	clock_wall_text(now);
	buffer_printf(out, "%.15s %-8s %-12s ", now + 11, ear->name, sighting_name(kind));
	sentence(l, out, f, kind);
	if (kind == SIGHTING_REQUEST && !broadcast)
		buffer_text(out, " (unicast)");
	buffer_text(out, "\n");
}

static void json_mac(const struct listen *l, json_t *line, const char *key, const char *node_key, const struct mac *mac)
{
	char text[MAC_TEXT];
	const char *node = node_of_mac(l, mac);
	json_object_set_new(line, key, json_string(mac_format(mac, text)));
	if (node_key && node)
		json_object_set_new(line, node_key, json_string(node));
}

static void json_line(const struct listen *l, const struct ear *ear, struct buffer *out, const struct arp_frame *f, enum sighting kind)
{
	char now[CLOCK_TEXT], spa[ADDRESS_TEXT], tpa[ADDRESS_TEXT];
	struct address sender = address_from_v4(f->spa), target = address_from_v4(f->tpa);
	json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "time", clock_wall_text(now), "interface", ear->name, "kind", sighting_name(kind), "operation",
				 f->op == ARP_REQUEST ? "request" : "reply", "senderAddress", address_format(&sender, spa), "targetAddress",
				 address_format(&target, tpa));
	json_mac(l, line, "senderMac", "senderNode", &f->sha);
	json_mac(l, line, "targetMac", NULL, &f->tha);
	json_mac(l, line, "ethernetSource", "ethernetSourceNode", &f->eth_src);
	json_mac(l, line, "ethernetDestination", NULL, &f->eth_dst);
	char *text = json_dumps(line, JSON_COMPACT);
	buffer_printf(out, "%s\n", text);
	free(text);
	json_decref(line);
}

/* ---- frames ---- */

static bool wanted(const struct listen *l, const struct arp_frame *f)
{
	const struct address sender = address_from_v4(f->spa), target = address_from_v4(f->tpa);
	for (size_t i = 0; i < l->options.n_ranges; i++)
		if (address_range_contains(&l->options.ranges[i], &sender) || address_range_contains(&l->options.ranges[i], &target))
			return true;
	return l->options.n_ranges == 0;
}

static void show(struct listen *l, const struct ear *ear, const struct arp_frame *f)
{
	struct buffer out = BUFFER_INIT;
	enum sighting kind = sighting_of(f, is_nodes_own(l, f->spa) && is_nodes_own(l, f->tpa));
	if (l->options.json)
		json_line(l, ear, &out, f, kind);
	else
		text_line(l, ear, &out, f, kind);
	fputs(buffer_string(&out), stdout);
	buffer_free(&out);
	l->seen++;
	if (ferror(stdout) || (l->options.count && l->seen >= l->options.count))   /* the reader is gone, or has enough */
		end(l, EXIT_DONE);
}

static void on_frames(void *data, const struct link_frame *frames, size_t n)
{
	struct ear *ear = data;
	struct arp_frame f;
	for (size_t i = 0; i < n && !ear->listen->ending; i++)
		if (arp_frame_parse(frames[i].bytes, frames[i].len, &f) && wanted(ear->listen, &f))
			show(ear->listen, ear, &f);
}

/* ---- links ---- */

/* In the kernel too, so that a storm about other addresses costs nothing. */
static void filter_for(const struct listen *l, const struct link_info *link, struct buffer *out)
{
	if (l->options.n_ranges == 0) {
		buffer_text(out, "arp");
		return;
	}
	struct ipv4_range *ranges = mem_zalloc(l->options.n_ranges * sizeof(*ranges));
	for (size_t i = 0; i < l->options.n_ranges; i++)
		ranges[i] = (struct ipv4_range){address_to_v4(&l->options.ranges[i].first), address_to_v4(&l->options.ranges[i].last)};
	arp_filter(out, ranges, l->options.n_ranges, &link->mac);
	free(ranges);
}

static int open_ear(struct listen *l, const struct link_info *link, struct error *err)
{
	struct buffer filter = BUFFER_INIT;
	struct ear *ear = mem_zalloc(sizeof(*ear));
	ear->listen = l;
	memcpy(ear->name, link->name, sizeof(ear->name));
	filter_for(l, link, &filter);
	int rc = link_open(&ear->link, &l->loop, link->name, buffer_string(&filter), on_frames, ear, err);
	buffer_free(&filter);
	if (rc < 0)
		free(ear);
	else
		l->ears[l->n_ears++] = ear;
	return rc;
}

/* Bridges too: on a hypervisor they are what its guests are on. */
static int open_links(struct listen *l, struct error *err)
{
	const struct link_table *t = links_table(l->links);
	const char *name = l->options.interface;
	const struct link_info *named = name ? link_table_find(t, name) : NULL;
	int rc = 0;
	if (name && !named)
		return error_set(err, -ENODEV, "interface %s: does not exist (see ip link)", name);
	if (named && !link_works(named))
		return error_set(err, -ENETDOWN, "interface %s: is down, without carrier, or not Ethernet", name);
	if (named)
		return open_ear(l, named, err);
	for (size_t i = 0; rc >= 0 && i < t->n && l->n_ears < LISTEN_LINKS; i++)
		if (link_works(&t->links[i]) && !t->links[i].port && link_own_address(&t->links[i]))
			rc = open_ear(l, &t->links[i], err);
	if (rc >= 0 && l->n_ears == 0)
		return error_set(err, -ENETUNREACH, "no link to listen on: none that works has an IPv4 address (see ip -4 addr); choose one with --interface");
	return rc;
}

static void on_links(void *data)
{
	struct listen *l = data;
	struct error err = {""};
	if (l->started)
		return;
	l->started = true;
	if (open_links(l, &err) < 0) {
		fprintf(stderr, "l2lb: %s\n", err.text);
		end(l, EXIT_API);
		return;
	}
	struct buffer names = BUFFER_INIT;
	for (size_t i = 0; i < l->n_ears; i++)
		buffer_printf(&names, "%s%s", i ? ", " : "", l->ears[i]->name);
	fprintf(stderr, "l2lb: listening on %s\n", buffer_string(&names));
	buffer_free(&names);
	if (l->options.duration)
		deadline_set(&l->over, clock_now() + l->options.duration);
}

/* ---- start ---- */

static void start_links(void *data)
{
	struct listen *l = data;
	if (l->links || l->ending)
		return;
	int rc = links_init(&l->links, &l->loop, on_links, l);
	if (rc == 0)
		rc = links_start(l->links);
	if (rc < 0) {
		fprintf(stderr, "l2lb: rtnetlink: %s\n", strerror(-rc));
		end(l, EXIT_API);
	}
}

/* Names are a help, not a condition: without them the MACs stand alone. They come first, so that no frame lacks them. */
static void on_snapshot(void *data, int rc, const char *why)
{
	struct listen *l = data;
	if (rc < 0)
		fprintf(stderr, "l2lb: no names of nodes: %s (--no-api does not ask for them)\n", why);
	else
		l->names = snapshot_model(l->snapshot);
	start_links(l);
}

static void start(struct listen *l)
{
	struct error err = {""};
	struct snapshot_config config = {.options = &l->options.cluster, .services_optional = true, .on_done = on_snapshot, .data = l};
	if (l->options.no_api) {
		start_links(l);
		return;
	}
	int rc = snapshot_start(&l->snapshot, &l->loop, &l->turn, &config, &err);
	if (rc < 0 && l->options.cluster.kubeconfig) {   /* asked for, so it must work */
		fprintf(stderr, "l2lb: --kubeconfig: %s\n", err.text);
		end(l, EXIT_USAGE);
	} else if (rc < 0) {
		on_snapshot(l, rc, err.text);
	} else {
		deadline_set(&l->names_wait, clock_now() + NAMES_WAIT);
	}
}

static void run(struct listen *l)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_LEVEL_WARN);
	log_set_human(true);
	uv_loop_init(&l->loop);
	turn_init(&l->turn, &l->loop);
	deadline_init(&l->finish, &l->loop, close_all, l);
	deadline_init(&l->names_wait, &l->loop, start_links, l);
	deadline_init(&l->over, &l->loop, on_over, l);
	for (int i = 0; i < 2; i++) {
		uv_signal_init(&l->loop, &l->signals[i]);
		l->signals[i].data = l;
		uv_signal_start(&l->signals[i], on_signal, numbers[i]);
	}
	start(l);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&l->loop) != 0)
		log_error("handlesOpen", NO_KV, "a handle was left open");
	for (size_t i = 0; i < l->n_ears; i++)
		free(l->ears[i]);
}

int command_listen(int argc, char **argv)
{
	struct listen *l = mem_zalloc(sizeof(*l));
	if (command_line_parse(&l->options, TOOL_LISTEN, argc, argv, &l->exit_code))
		run(l);
	int exit_code = l->exit_code;
	tool_options_free(&l->options);
	free(l);
	return exit_code;
}
