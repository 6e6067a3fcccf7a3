#include "speaker/neighbourhood.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arp/kernel_arp.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "speaker/election.h"
#include "speaker/foreign_writes.h"
#include "speaker/wanted_addresses.h"

#define SIGHTINGS_MAX 1024
#define NODES_MAX 256                     /* asked for at once */

const struct neighbourhood_times NEIGHBOURHOOD_TIMES = {
	.acquaintances = &ACQUAINTANCE_TIMES,
	.kernels = &KERNEL_SUSPECT_TIMES,
	.duty = &CENSUS_DUTY_TIMES,
	.follow = CLOCK_S,
	.sighting = 10 * CLOCK_S,
	.publish_again = CLOCK_S,
	.nodes_again = 100 * CLOCK_MS,
	.records_current = 3 * CLOCK_S,
	.node_remembered = 600 * CLOCK_S,
};

struct sighting {   /* a stranger on an address, not published yet */
	uint32_t address;
	struct mac mac;
	char link[IF_NAMESIZE];
	int64_t at;
	bool known;               /* that he is a stranger */
	bool claimed;             /* by us: ours to publish, whoever asks */
	char *refused;            /* uid of our record, which gives way; NULL: it does not */
	UT_hash_handle hh;
};

struct our_mac {    /* of a node of ours, shown by its record at that time */
	struct mac mac;
	char *node;
	int64_t shown_at;
	UT_hash_handle hh;
};

struct told {       /* a version of another node's note about an address that we announce */
	uint32_t address;
	char *version;
	UT_hash_handle hh;
};

struct neighbourhood {
	struct neighbourhood_config config;
	const struct neighbourhood_times *times;
	struct acquaintances *acquaintances;
	struct foreign_writes *writes;
	struct sighting *sightings;
	struct kernel_suspects *kernels;
	struct deadline timer;
	struct told *told;
	struct our_mac *ours;
	int64_t follow_at, nodes_asked_at;
	int nodes_asked_on;       /* ifindex */
	struct census_duty *duty;
	unsigned seen_revision, seen_scenery;
	bool links_changed;
};

static struct model *model_of(const struct neighbourhood *n)
{
	return cluster_model(n->config.cluster);
}

static void wake_at(struct neighbourhood *n, int64_t at)
{
	deadline_set(&n->timer, clock_min(n->timer.at, at));
}

static void follow_soon(void *data)
{
	struct neighbourhood *n = data;
	n->config.on_news(n->config.data);
}

/* ---- who is it? ---- */

static void remember(struct neighbourhood *n, const struct mac *mac, const char *node, int64_t now)
{
	struct our_mac *o;
	HASH_FIND(hh, n->ours, mac, sizeof(*mac), o);
	if (!o) {
		o = mem_zalloc(sizeof(*o));
		o->mac = *mac;
		HASH_ADD(hh, n->ours, mac, sizeof(o->mac), o);
	}
	mem_replace(&o->node, node);
	o->shown_at = now;
}

static void our_mac_free(struct neighbourhood *n, struct our_mac *o)
{
	HASH_DEL(n->ours, o);
	free(o->node);
	free(o);
}

/* A node that is no more, or shows another MAC now, is no stranger at once. */
static void remember_nodes(struct neighbourhood *n, int64_t now)
{
	struct node_record_entry *e, *e_next;
	struct our_mac *o, *o_next;
	HASH_ITER(hh, model_of(n)->node_records, e, e_next)
		for (size_t i = 0; i < e->record->n_links; i++)
			remember(n, &e->record->links[i].mac, e->record->node, now);
	for (size_t i = 0; i < segments_count(n->config.segments); i++)
		remember(n, &segment_link(segments_at(n->config.segments, i))->mac, n->config.node, now);
	HASH_ITER(hh, n->ours, o, o_next)
		if (now - o->shown_at >= n->times->node_remembered)
			our_mac_free(n, o);
}

const char *neighbourhood_node_of(const struct neighbourhood *n, const struct mac *mac)
{
	struct our_mac *o;
	HASH_FIND(hh, n->ours, mac, sizeof(*mac), o);
	return o && strcmp(o->node, n->config.node) != 0 ? o->node : NULL;
}

static bool is_our_node(const struct neighbourhood *n, const struct mac *mac)
{
	struct our_mac *o;
	HASH_FIND(hh, n->ours, mac, sizeof(*mac), o);
	return o != NULL;
}

/* The node that has this InternalIP. */
static const struct node *node_at(const struct neighbourhood *n, uint32_t address)
{
	struct node_entry *e, *tmp;
	struct address a = address_from_v4(address);
	HASH_ITER(hh, model_of(n)->nodes, e, tmp)
		for (size_t i = 0; i < e->node->n_internal; i++)
			if (address_equal(&e->node->internal[i], &a))
				return e->node;
	return NULL;
}

/* All of them: one of ours may have another MAC by now. */
static void ask_nodes(struct neighbourhood *n, struct segment *s)
{
	struct node_entry *e, *tmp;
	size_t asked = 0;
	HASH_ITER(hh, model_of(n)->nodes, e, tmp)
		for (size_t i = 0; i < e->node->n_internal; i++)
			if (e->node->internal[i].family == ADDRESS_V4 && link_has_subnet_of(segment_link(s), &e->node->internal[i]) &&
			    strcmp(e->node->meta.name, n->config.node) != 0 && asked++ < NODES_MAX)
				segment_ask(s, address_to_v4(&e->node->internal[i]));
}

static struct sighting *sighting_of(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac, int64_t now)
{
	struct sighting *x;
	HASH_FIND(hh, n->sightings, &address, sizeof(address), x);
	if (!x) {
		x = mem_zalloc(sizeof(*x));
		x->address = address;
		HASH_ADD(hh, n->sightings, address, sizeof(x->address), x);
	}
	x->known = x->known && mac_equal(&x->mac, mac);
	x->mac = *mac;
	x->at = now;
	memcpy(x->link, segment_link(s)->name, sizeof(x->link));
	return x;
}

static void sighting_free(struct neighbourhood *n, struct sighting *x)
{
	HASH_DEL(n->sightings, x);
	free(x->refused);
	free(x);
}

static void sighted(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac, bool known, int64_t now)
{
	struct address a = address_from_v4(address);
	const struct foreign_record *r = model_foreign(model_of(n), &a);
	struct sighting *x;
	HASH_FIND(hh, n->sightings, &address, sizeof(address), x);
	bool again = x && mac_equal(&x->mac, mac) && x->known == known;
	if (r && mac_equal(&r->mac, mac) && !x)
		return;   /* published long since */
	if (!x && HASH_COUNT(n->sightings) >= SIGHTINGS_MAX)
		return;
	sighting_of(n, s, address, mac, now)->known = known;
	if (!again)
		follow_soon(n);
}

enum conflict_who neighbourhood_on_sender(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac)
{
	int64_t now = clock_now();
	bool begin;
	if (is_our_node(n, mac))
		return CONFLICT_PEER;
	enum conflict_who who = acquaintances_who(n->acquaintances, mac, now, &begin);
	if (begin)
		wake_at(n, now + n->times->acquaintances->wait);
	if (begin && (now - n->nodes_asked_at >= n->times->nodes_again || n->nodes_asked_on != segment_link(s)->index)) {   /* ever new MACs do not make ever more questions */
		n->nodes_asked_at = now;
		n->nodes_asked_on = segment_link(s)->index;
		ask_nodes(n, s);
	}
	if (address && who != CONFLICT_NODE && cluster_synced(n->config.cluster))
		sighted(n, s, address, mac, who == CONFLICT_STRANGER, now);
	return who;
}

/* The answers of the nodes that were asked have come, or their time is up. */
static void settle(struct neighbourhood *n, int64_t now)
{
	struct sighting *x, *tmp;
	struct mac mac;
	enum conflict_who who;
	while (acquaintances_settled(n->acquaintances, now, &mac, &who)) {
		who = is_our_node(n, &mac) ? CONFLICT_PEER : who;   /* it has shown its links meanwhile */
		HASH_ITER(hh, n->sightings, x, tmp) {
			if (!mac_equal(&x->mac, &mac))
				continue;
			x->known = who == CONFLICT_STRANGER;
			if (who != CONFLICT_STRANGER)
				sighting_free(n, x);
		}
		for (size_t i = 0; i < segments_count(n->config.segments); i++)
			segment_identified(segments_at(n->config.segments, i), &mac, who);
	}
	wake_at(n, acquaintances_deadline(n->acquaintances));
}

/* Another load balancer's node that shows its links now is one of ours. */
static void welcome_nodes(struct neighbourhood *n)
{
	const struct mac *mac = acquaintances_next_node(n->acquaintances, NULL);
	while (mac) {
		struct mac known = *mac;
		mac = acquaintances_next_node(n->acquaintances, mac);
		if (!is_our_node(n, &known))
			continue;
		acquaintances_forget(n->acquaintances, &known);
		for (size_t i = 0; i < segments_count(n->config.segments); i++)
			segment_identified(segments_at(n->config.segments, i), &known, CONFLICT_PEER);
	}
}

/* ---- saying it ---- */

static void warn_service(struct neighbourhood *n, const struct address *a, const struct mac *mac, const char *reason, const char *text)
{
	const struct record *r = model_record(model_of(n), a);
	const struct service *s = r ? election_user(model_of(n), r) : NULL;
	char ip[ADDRESS_TEXT], who[MAC_TEXT];
	log_warn(reason, KV("ip", address_format(a, ip), "mac", mac_format(mac, who), "service", s ? s->meta.key : ""), "%s", text);
	if (!s)
		return;
	struct event e = {.kind = "Service", .api_version = "v1", .object = &s->meta, .warning = true, .reason = reason, .action = "Announce", .note = text};
	events_emit(n->config.events, &e);
}

void neighbourhood_on_conflict(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac, enum conflict_who who, bool refused)
{
	struct address a = address_from_v4(address);
	const struct record *r = model_record(model_of(n), &a);
	const char *node = acquaintances_node(n->acquaintances, mac);
	char ip[ADDRESS_TEXT], m[MAC_TEXT], text[500];
	address_format(&a, ip);
	mac_format(mac, m);
	if (who == CONFLICT_NODE)
		snprintf(text, sizeof(text), "%s: node %.100s (%s) answers for this address, but l2lb does not run there: another load balancer does, or its kernel has the address "
			 "(IPVS without strictARP); it is announced from here when that node has been silent for a second", ip, node ? node : "?", m);
	else if (refused)
		snprintf(text, sizeof(text), "%s: a host on the network with the MAC address %s uses this address (seen on %s of node %s); the Service gets another one, if it asks for none in particular",
			 ip, m, segment_link(s)->name, n->config.node);
	else
		snprintf(text, sizeof(text), "%s: a host on the network with the MAC address %s uses this address too; it is kept and defended; find that host and give it another address", ip, m);
	warn_service(n, &a, mac, who == CONFLICT_NODE ? "addressAnsweredByNode" : "addressConflict", text);
	if (who == CONFLICT_NODE)
		return;
	struct sighting *x = sighting_of(n, s, address, mac, clock_now());
	x->known = x->claimed = true;
	mem_replace(&x->refused, refused && r ? r->meta.uid : NULL);
	follow_soon(n);
}

/* ---- peers' kernels ---- */

static void accuse(struct neighbourhood *n, const char *node, const struct record *r, const struct mac *mac)
{
	char ip[ADDRESS_TEXT], m[MAC_TEXT], text[500];
	address_format(&r->address, ip);
	snprintf(text, sizeof(text), "%s: the kernel of node %.100s (%s) answers ARP for this address, which node %.100s announces; set ipvs.strictARP: true in kube-proxy's configuration, "
		 "or remove the address from that node's interfaces", ip, node, mac_format(mac, m), r->holder);
	warn_service(n, &r->address, mac, "strictARPMissing", text);
}

static void accuse_for(struct neighbourhood *n, const struct address *a, const struct link_info *link)
{
	const struct record *r = a->family == ADDRESS_V4 ? model_record(model_of(n), a) : NULL;
	if (r && *r->holder && strcmp(r->holder, n->config.node) != 0 &&
	    kernel_suspects_accuse(n->kernels, address_to_v4(a), n->config.node, r->meta.uid, r->epoch))
		accuse(n, n->config.node, r, &link->mac);
}

/* Nobody hears himself: what our own kernel does is seen in its tables. */
static void accuse_ourselves(struct neighbourhood *n)
{
	const struct link_table *t = segments_links(n->config.segments);
	for (size_t k = 0; k < segments_count(n->config.segments); k++) {
		const struct link_info *link = segment_link(segments_at(n->config.segments, k));
		if (!kernel_answers_for_all(link->name))   /* a look into /proc: once for each link */
			continue;
		for (size_t i = 0; i < t->n; i++)
			for (size_t j = 0; j < t->links[i].n_addresses; j++)
				accuse_for(n, &t->links[i].addresses[j].address, link);
	}
	kernel_suspects_accused(n->kernels);
}

/* Without the API, and just after it has come back, the record may be long out of date; so is one that names us when we have
 * given way. */
static bool record_is_current(const struct neighbourhood *n, const struct record *r, uint32_t address, int64_t now)
{
	bool ours = strcmp(r->holder, n->config.node) == 0, answered = false;
	for (size_t i = 0; i < segments_count(n->config.segments); i++)
		answered |= segment_owns(segments_at(n->config.segments, i), address);
	return cluster_api_answers(n->config.cluster) && now - cluster_answers_since(n->config.cluster) > n->times->records_current && (!ours || answered);
}

void neighbourhood_on_claim(struct neighbourhood *n, uint32_t address, const struct mac *mac, const char *peer, bool answer)
{
	struct address a = address_from_v4(address);
	const struct record *r = model_record(model_of(n), &a);
	const struct node *node = peer ? NULL : node_at(n, address);
	int64_t now = clock_now();
	if (node && answer && !is_our_node(n, mac)) {
		acquaintances_answered(n->acquaintances, mac, node->meta.name, now);
		wake_at(n, acquaintances_deadline(n->acquaintances));
	}
	if (peer && !answer)
		kernel_suspects_announced(n->kernels, address, peer);
	if (!peer || !answer || !r || !*r->holder || strcmp(r->holder, peer) == 0 || !record_is_current(n, r, address, now))
		return;
	if (kernel_suspects_answered(n->kernels, address, peer, r->meta.uid, r->epoch, now))
		accuse(n, peer, r, mac);
	wake_at(n, kernel_suspects_deadline(n->kernels));
}

static void ask_kernels(struct neighbourhood *n, int64_t now)
{
	uint32_t address;
	while (kernel_suspects_ask(n->kernels, now, &address))
		for (size_t i = 0; i < segments_count(n->config.segments); i++)
			segment_ask(segments_at(n->config.segments, i), address);
	wake_at(n, kernel_suspects_deadline(n->kernels));
}

/* ---- the census ---- */

/* The links and nodes that the question is about. */
static void learn_duty(struct neighbourhood *n)
{
	struct node_record_entry *e, *tmp;
	size_t count = segments_count(n->config.segments);
	const struct link_info **links = mem_zalloc((count + 1) * sizeof(*links));
	const char **nodes = mem_zalloc((HASH_COUNT(model_of(n)->node_records) + 1) * sizeof(*nodes));
	bool known = model_node_record(model_of(n), n->config.node) != NULL;
	for (size_t i = 0; i < count; i++)
		links[i] = segment_link(segments_at(n->config.segments, i));
	census_duty_set_links(n->duty, links, count);
	for (size_t i = 0; i < count; i++) {
		size_t there = 0;
		HASH_ITER(hh, model_of(n)->node_records, e, tmp)
			if (segment_is_peer(segments_at(n->config.segments, i), e->record->node))
				nodes[there++] = e->record->node;
		census_duty_set_nodes(n->duty, i, known, nodes, there);
	}
	free(nodes);
	free(links);
}

static void divide_duty(struct neighbourhood *n, int64_t now)
{
	for (size_t i = 0; i < segments_count(n->config.segments); i++) {
		struct segment *s = segments_at(n->config.segments, i);
		for (size_t k = 0; k < census_duty_rivals(n->duty, i); k++) {
			const char *rival = census_duty_rival(n->duty, i, k);
			census_duty_heard(n->duty, i, k, segment_liveness(s, rival), segment_asked_at(s, rival));
		}
		census_set_asking(segment_census(s), cluster_api_answers(n->config.cluster) && census_duty_asks(n->duty, i, now));
	}
}

static bool looks_after(const struct neighbourhood *n, size_t link, const struct address *a)
{
	const struct foreign_record *r = model_foreign(model_of(n), a);
	return census_duty_looks_after(n->duty, link, a, r && strcmp(r->node, n->config.node) == 0 ? r->link : NULL);
}

static void supply(struct neighbourhood *n, size_t link, int64_t now)
{
	struct wanted_addresses all, here = {0};
	wanted_addresses_fill(&all, model_of(n));
	for (size_t i = 0; i < all.n; i++) {
		struct address a = address_from_v4(all.addresses[i]);
		if (looks_after(n, link, &a))
			here.addresses[here.n++] = all.addresses[i];
	}
	census_want(segment_census(segments_at(n->config.segments, link)), here.addresses, here.n, now);
}

/* ---- strangers' records ---- */

static void publish(struct neighbourhood *n, int64_t now)
{
	struct sighting *x, *tmp;
	HASH_ITER(hh, n->sightings, x, tmp) {
		struct address a = address_from_v4(x->address);
		struct segment *s = segments_find(n->config.segments, x->link);
		if (is_our_node(n, &x->mac)) {
			sighting_free(n, x);
			continue;
		}
		const struct pool *pool = model_pool_of(model_of(n), &a);
		const struct foreign_record *r = model_foreign(model_of(n), &a);
		bool said = r && mac_equal(&r->mac, &x->mac) && (!x->refused || strcmp(r->refused, x->refused) == 0);
		bool mine = s && (x->claimed || census_asking(segment_census(s)));
		if (said || !pool || !mine || now - x->at > n->times->sighting) {
			if (x->known || now - x->at > n->times->sighting)
				sighting_free(n, x);
			continue;
		}
		/* All of them: who does not ask knows only from this that its evidence is wrong. The allocator sets the pace at which
		 * they are put aside. */
		if (x->known)
			foreign_writes_put(n->writes, &a, x->link, &x->mac, x->refused);
		wake_at(n, now + n->times->publish_again);
	}
}

/* Has the stranger gone, as far as this link can tell? Where no question is possible, who saw him listens. */
static bool has_gone(const struct neighbourhood *n, struct segment *s, const struct foreign_record *r, int64_t now)
{
	uint32_t address = address_to_v4(&r->address);
	bool can_ask = link_own_address(segment_link(s)) != 0;
	if (!can_ask && strcmp(r->node, n->config.node) == 0)
		return census_is_unheard(segment_census(s), address, now);
	return census_asking(segment_census(s)) && census_is_silent(segment_census(s), address, now);
}

/* What others have seen, and who has gone. */
static void read_foreign(struct neighbourhood *n, int64_t now)
{
	struct foreign_entry *e, *tmp;
	HASH_ITER(hh, model_of(n)->foreign, e, tmp) {
		const struct foreign_record *r = e->record;
		for (size_t i = 0; r->address.family == ADDRESS_V4 && i < segments_count(n->config.segments); i++) {
			struct segment *s = segments_at(n->config.segments, i);
			if (!looks_after(n, i, &r->address))
				continue;
			if (!census_asking(segment_census(s)))
				census_void(segment_census(s), address_to_v4(&r->address));
			if (has_gone(n, s, r, now))
				foreign_writes_delete(n->writes, r);
		}
		wake_at(n, now + n->times->publish_again);
	}
}

/* Each version of a note once. */
static bool is_news(struct neighbourhood *n, const struct foreign_record *r)
{
	uint32_t address = address_to_v4(&r->address);
	struct told *t;
	HASH_FIND(hh, n->told, &address, sizeof(address), t);
	if (t && strcmp(t->version, r->meta.resource_version) == 0)
		return false;
	if (!t) {
		t = mem_zalloc(sizeof(*t));
		t->address = address;
		HASH_ADD(hh, n->told, address, sizeof(t->address), t);
	}
	mem_replace(&t->version, r->meta.resource_version);
	return true;
}

/* A stranger that only answers the node that asks is unknown to the one that announces the address. */
static void hear_others(struct neighbourhood *n)
{
	struct foreign_entry *e, *tmp;
	HASH_ITER(hh, model_of(n)->foreign, e, tmp) {
		const struct foreign_record *r = e->record;
		for (size_t i = 0; r->address.family == ADDRESS_V4 && i < segments_count(n->config.segments); i++) {
			struct segment *s = segments_at(n->config.segments, i);
			if (segment_owns(s, address_to_v4(&r->address)) && is_news(n, r) && strcmp(r->node, n->config.node) != 0)
				segment_told(s, address_to_v4(&r->address), &r->mac);
		}
	}
}

void neighbourhood_follow(struct neighbourhood *n, bool links_changed, int64_t now)
{
	n->links_changed |= links_changed;
	bool changed = n->links_changed || n->seen_revision != model_of(n)->revision;
	if (!cluster_synced(n->config.cluster))
		return;
	if (changed)
		remember_nodes(n, now);
	if (links_changed || n->seen_scenery != model_scenery(model_of(n))) {
		n->seen_scenery = model_scenery(model_of(n));
		learn_duty(n);
	}
	settle(n, now);
	ask_kernels(n, now);
	divide_duty(n, now);
	publish(n, now);
	if (changed && now >= n->follow_at) {
		n->seen_revision = model_of(n)->revision;
		n->follow_at = now + n->times->follow;
		n->links_changed = false;
		welcome_nodes(n);
		accuse_ourselves(n);
		hear_others(n);
		for (size_t i = 0; i < segments_count(n->config.segments); i++)
			supply(n, i, now);
	} else if (changed) {
		wake_at(n, n->follow_at);
	}
	read_foreign(n, now);
	for (size_t i = 0; i < segments_count(n->config.segments); i++)
		segment_census_changed(segments_at(n->config.segments, i));
}

void neighbourhood_init(struct neighbourhood **np, uv_loop_t *loop, const struct neighbourhood_config *config)
{
	struct neighbourhood *n = mem_zalloc(sizeof(*n));
	n->config = *config;
	n->times = config->times ? config->times : &NEIGHBOURHOOD_TIMES;
	n->acquaintances = acquaintances_new(n->times->acquaintances);
	n->kernels = kernel_suspects_new(n->times->kernels);
	n->nodes_asked_at = CLOCK_LONG_AGO;
	n->duty = census_duty_new(config->node, n->times->duty);
	n->seen_revision = cluster_model(config->cluster)->revision - 1;
	n->seen_scenery = model_scenery(cluster_model(config->cluster)) - 1;
	foreign_writes_init(&n->writes, config->cluster, config->node, follow_soon, n);
	deadline_init(&n->timer, loop, follow_soon, n);
	*np = n;
}

static void on_timer_closed(void *data)
{
	free(data);
}

void neighbourhood_close(struct neighbourhood *n)
{
	struct sighting *x, *x_next;
	struct told *t, *t_next;
	struct our_mac *o, *o_next;
	if (!n)
		return;
	HASH_ITER(hh, n->ours, o, o_next)
		our_mac_free(n, o);
	HASH_ITER(hh, n->told, t, t_next) {
		HASH_DEL(n->told, t);
		free(t->version);
		free(t);
	}
	HASH_ITER(hh, n->sightings, x, x_next)
		sighting_free(n, x);
	kernel_suspects_free(n->kernels);
	census_duty_free(n->duty);
	foreign_writes_close(n->writes);
	acquaintances_free(n->acquaintances);
	deadline_close(&n->timer, on_timer_closed);
}
