#include "speaker/segments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "speaker/pool_ranges.h"

struct segment_entry {
	int index;                  /* of the link: names can change */
	struct segment *segment;
	int64_t lost_at;            /* its carrier; of no meaning while it works */
};

/* Said once for a link and reason, however often it is tried again. */
struct refusal {
	int index, error;
};

struct segments {
	uv_loop_t *loop;
	struct segment_config config;
	struct links *links;
	struct segment_entry *open; /* by index, so that the record does not change with the order of opening */
	size_t n;
	struct refusal *refused;
	size_t n_refused;
	bool said_no_right;
	bool ready;
	void (*on_links)(void *data);
	void *data;
};

static void on_change(void *data)
{
	struct segments *s = data;
	s->on_links(s->data);
}

int segments_init(struct segments **sp, uv_loop_t *loop, const struct segment_config *config, void (*on_links)(void *data), void *data)
{
	struct segments *s = mem_zalloc(sizeof(*s));
	s->loop = loop;
	s->config = *config;
	s->on_links = on_links;
	s->data = data;
	int rc = links_init(&s->links, loop, on_change, s);
	if (rc < 0)
		free(s);
	else
		*sp = s;
	return rc;
}

void segments_start(struct segments *s)
{
	links_start(s->links);
}

const struct link_table *segments_links(const struct segments *s)
{
	return links_table(s->links);
}

void segments_close(struct segments *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		segment_close(s->open[i].segment);
	links_close(s->links);
	free(s->open);
	free(s->refused);
	free(s);
}

/* ---- what is wanted ---- */

static bool named(const struct model *m, const char *link)
{
	for (size_t i = 0; i < m->n_advertisements; i++)
		if (strings_contain(m->advertisements[i]->interfaces, m->advertisements[i]->n_interfaces, link))
			return true;
	return false;
}

/* As it will be, or was, with its carrier. */
static struct link_info at_work(const struct link_info *link)
{
	struct link_info up = *link;
	up.flags |= IFF_UP | IFF_RUNNING;
	return up;
}

/* Usable by default, or named in an advertisement. Carrier does not matter: a segment survives its loss. */
static bool wanted(const struct model *m, const struct link_info *link)
{
	struct link_info up = at_work(link);
	return link_usable(&up) || (named(m, link->name) && link_works(&up));
}

/* ---- peers: nodes with a link on the same subnet ---- */

static const struct node_link *link_on_subnet(const struct node_record *r, const struct link_info *link, uint32_t *addressp)
{
	for (size_t i = 0; i < r->n_links; i++)
		for (size_t j = 0; j < r->links[i].n_addresses; j++) {
			const struct address *a = &r->links[i].addresses[j].address;
			if (a->family == ADDRESS_V4 && link_has_subnet_of(link, a)) {
				*addressp = address_to_v4(a);
				return &r->links[i];
			}
		}
	return NULL;
}

static void set_peers(struct segment *segment, const struct model *m, const char *node)
{
	struct node_record_entry *e, *tmp;
	size_t n = 0;
	struct liveness_peer *peers = mem_zalloc((HASH_COUNT(m->node_records) + 1) * sizeof(*peers));
	bool known = model_node_record(m, node) != NULL;   /* or nobody answers us: their silence would say nothing */
	HASH_ITER(hh, m->node_records, e, tmp) {
		uint32_t address;
		const struct node_link *link;
		if (!known || strcmp(e->record->node, node) == 0 || strlen(e->record->node) >= NODE_NAME_SIZE)
			continue;
		link = link_on_subnet(e->record, segment_link(segment), &address);
		if (!link)
			continue;
		strcpy(peers[n].name, e->record->node);
		peers[n].address = address;
		peers[n++].mac = link->mac;
	}
	segment_set_peers(segment, peers, n);
	free(peers);
}

/* ---- following ---- */

static struct segment_entry *entry_of(const struct segments *s, int index)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->open[i].index == index)
			return &s->open[i];
	return NULL;
}

static const struct link_info *link_of(const struct link_table *table, int index)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->links[i].index == index)
			return &table->links[i];
	return NULL;
}

static void close_at(struct segments *s, size_t i)
{
	const char *name = segment_link(s->open[i].segment)->name;
	log_info("deleteARPResponder", KV("interface", name), "interface %s: no longer used", name);
	segment_close(s->open[i].segment);
	s->n--;
	memmove(&s->open[i], &s->open[i + 1], (s->n - i) * sizeof(*s->open));
}

static bool close_unwanted(struct segments *s, const struct model *m, const struct link_table *table)
{
	bool changed = false;
	for (size_t i = 0; i < s->n;) {
		const struct link_info *link = link_of(table, s->open[i].index);
		if (link && wanted(m, link) && !segment_dead(s->open[i].segment)) {
			i++;
			continue;
		}
		close_at(s, i);
		changed = true;
	}
	return changed;
}

/* Forgets what was refused on links that are gone. */
static void forget_refusals(struct segments *s, const struct link_table *table)
{
	for (size_t i = 0; i < s->n_refused;)
		if (link_of(table, s->refused[i].index))
			i++;
		else
			s->refused[i] = s->refused[--s->n_refused];
}

static void say_refused(struct segments *s, const struct link_info *link, int error, const char *text)
{
	size_t i = 0;
	while (i < s->n_refused && s->refused[i].index != link->index)
		i++;
	if (i == s->n_refused) {
		s->refused = mem_realloc(s->refused, (s->n_refused + 1) * sizeof(*s->refused));
		s->refused[s->n_refused++] = (struct refusal){.index = link->index};
	}
	bool again = s->refused[i].error == error;
	s->refused[i].error = error;
	if (error == -EPERM && !s->said_no_right)   /* it is the same for all links */
		log_error("rightMissing", NO_KV, "no permission to open packet sockets: this node answers for no address; run as root or "
			  "give the container the capability NET_RAW (deploy/speaker.yaml shows where)");
	else if (error != -EPERM && !again)
		log_error("linkRefused", KV("interface", link->name), "%s", text);
	s->said_no_right |= error == -EPERM;
}

static bool open_one(struct segments *s, const struct link_info *link, const struct ipv4_range *ranges, size_t n_ranges)
{
	struct segment *segment;
	struct error err;
	char mac[MAC_TEXT];
	size_t at = 0;
	int rc = segment_open(&segment, s->loop, link, &s->config, ranges, n_ranges, &err);
	if (rc < 0) {
		say_refused(s, link, rc, err.text);
		return false;
	}
	log_info("createARPResponder", KV("interface", link->name, "mac", mac_format(&link->mac, mac)), "interface %s: answering ARP for addresses we own", link->name);
	segment_set_ready(segment, s->ready);
	s->open = mem_realloc(s->open, (s->n + 1) * sizeof(*s->open));
	while (at < s->n && s->open[at].index < link->index)
		at++;
	memmove(&s->open[at + 1], &s->open[at], (s->n - at) * sizeof(*s->open));
	s->open[at] = (struct segment_entry){.index = link->index, .segment = segment};
	s->n++;
	return true;
}

static bool update_one(struct segment_entry *e, const struct link_info *link)
{
	if (memcmp(segment_link(e->segment), link, sizeof(*link)) == 0)
		return false;
	if (link_works(segment_link(e->segment)) && !link_works(link))
		e->lost_at = clock_now();
	segment_update(e->segment, link);
	return true;
}

bool segments_follow(struct segments *s, const struct model *m, const char *node)
{
	const struct link_table *table = links_table(s->links);
	struct ipv4_range *ranges;
	size_t n_ranges = pool_ranges(m, &ranges);
	bool changed = close_unwanted(s, m, table);
	forget_refusals(s, table);
	for (size_t i = 0; i < table->n; i++) {
		const struct link_info *link = &table->links[i];
		struct segment_entry *e = entry_of(s, link->index);
		bool opened = !e && wanted(m, link) && link_works(link) && open_one(s, link, ranges, n_ranges);
		changed |= opened || (e && update_one(e, link));
		/* Perhaps made anew: what we still think is ours may have gone to others meanwhile. */
		if (opened)
			s->config.on_return(s->config.data, entry_of(s, link->index)->segment);
	}
	for (size_t i = 0; i < s->n; i++) {
		segment_set_ranges(s->open[i].segment, ranges, n_ranges);
		set_peers(s->open[i].segment, m, node);
	}
	free(ranges);
	return changed;
}

size_t segments_describe(const struct segments *s, const struct model *m, int64_t now, struct node_link **linksp, int64_t *look_againp)
{
	size_t n = 0;
	struct node_link *links = mem_zalloc((s->n + 1) * sizeof(*links));
	*look_againp = CLOCK_NEVER;
	for (size_t i = 0; i < s->n; i++) {
		struct link_info info = at_work(segment_link(s->open[i].segment));
		if (!link_works(segment_link(s->open[i].segment))) {
			int64_t believed = s->open[i].lost_at + s->config.liveness_interval;
			if (now >= believed)
				continue;
			*look_againp = clock_min(*look_againp, believed);
		}
		struct node_link *l = &links[n++];
		memcpy(l->name, info.name, sizeof(l->name));
		l->mac = info.mac;
		l->by_default = link_usable(&info) || !named(m, info.name);
		/* Link-local addresses come and go and lead nowhere. */
		for (size_t j = 0; j < info.n_addresses; j++)
			if (info.addresses[j].address.family == ADDRESS_V4)
				l->addresses[l->n_addresses++] = info.addresses[j];
	}
	*linksp = links;
	return n;
}

struct segment *segments_find(const struct segments *s, const char *link)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(segment_link(s->open[i].segment)->name, link) == 0)
			return s->open[i].segment;
	return NULL;
}

size_t segments_count(const struct segments *s)
{
	return s->n;
}

struct segment *segments_at(const struct segments *s, size_t i)
{
	return s->open[i].segment;
}

void segments_set_ready(struct segments *s, bool ready)
{
	s->ready = ready;
	for (size_t i = 0; i < s->n; i++)
		segment_set_ready(s->open[i].segment, ready);
}
