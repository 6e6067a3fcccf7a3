#include "speaker/speaker_role.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "speaker/l2_status.h"
#include "speaker/neighbourhood.h"
#include "speaker/owned_address.h"
#include "speaker/presence.h"
#include "speaker/resumption.h"
#include "speaker/wakefulness.h"

#define EVERYTHING CLOCK_S                /* so often all addresses are looked at, for what has no event of its own */
#define LEAVE_TIMEOUT (1800 * CLOCK_MS)  /* SIGTERM ends within 2 s */
_Static_assert(OPTIONS_ANNOUNCE_TO <= SEGMENT_ANNOUNCE_TO, "each named host has a place");

struct speaker_role {
	struct turn *turn;
	struct cluster *cluster;
	const struct options *options;
	const char *node;
	struct events *events;
	struct segments *segments;
	struct presence *presence;
	struct neighbourhood *neighbourhood;
	struct l2_status *l2_status;
	struct resumption *resumption;
	struct census_times census;
	struct tally *tally;
	struct address_context context;
	struct owned_address *addresses;
	struct deadline timer;
	unsigned seen_revision;
	bool news, links_changed, stepping;
	bool everything;                /* it concerns all addresses */
	int64_t everything_at;          /* then all are looked at, whatever happens */
	unsigned seen_scenery;
	bool ready;                     /* synced, and all that is ours was looked at once */
	bool alive;                     /* so we tell our peers */
	int64_t evaluate_at;            /* when some address may change without an event */
	struct wakefulness wakefulness;
	int64_t leave_by;
	void (*on_left)(void *data);
	void *left_data;
};

static struct model *model_of(const struct speaker_role *role)
{
	return role->context.model;   /* the cluster's, once it is known */
}

static void look_again(struct speaker_role *role)
{
	role->news = role->everything = true;
	turn_again(role->turn);
}

/* Only at those that have news. */
static void look_at_some(void *data)
{
	struct speaker_role *role = data;
	role->news = true;
	turn_again(role->turn);
}

static void look_again_later(void *data)
{
	look_again(data);
}

/* ---- what the wire says ---- */

static struct owned_address *address_find(const struct speaker_role *role, const struct address *a)
{
	struct owned_address *o;
	HASH_FIND(hh, role->addresses, a, sizeof(*a), o);
	return o;
}

static void address_get(struct speaker_role *role, const struct address *a)
{
	struct owned_address *o = address_find(role, a);
	if (o)
		return;
	o = owned_address_new(&role->context, a, clock_now());
	HASH_ADD(hh, role->addresses, core.address, sizeof(o->core.address), o);
}

static void address_free(struct speaker_role *role, struct owned_address *o)
{
	HASH_DEL(role->addresses, o);
	owned_address_free(o);
}

static void on_state(void *data, struct segment *s, const char *peer, enum liveness_state state)
{
	struct speaker_role *role = data;
	const char *text = liveness_state_name(state);
	if (state == LIVENESS_DEAD || state == LIVENESS_SPEAKER_DOWN)
		log_warn("peerDown", KV("peer", peer, "state", text, "interface", segment_link(s)->name), "node %s: %s on the wire", peer, text);
	else
		log_info("peerState", KV("peer", peer, "state", text, "interface", segment_link(s)->name), "node %s: %s", peer, text);
	look_again(role);
}

/* Somebody else may have what we have: we ask while we go on answering. */
static void ask_for_own(struct speaker_role *role, struct segment *s)
{
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp)
		if (segment_owns(s, address_to_v4(&o->core.address)))
			segment_ask(s, address_to_v4(&o->core.address));
}

/* After a silence in either direction both sides ask. */
static void on_heard_again(void *data, struct segment *s, const char *peer)
{
	struct speaker_role *role = data;
	(void)peer;
	ask_for_own(role, s);
	look_again(role);
}

/* The link was away long enough for others to have taken over what is ours there: silent until we have asked. It may be a
 * new one, in place of the only one that an address was answered on. */
static void on_return(void *data, struct segment *s)
{
	struct speaker_role *role = data;
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp)
		if (segment_owns(s, address_to_v4(&o->core.address)) || !owned_address_is_answered(o)) {
			ownership_link_back(&o->core, clock_now());
			owned_address_hush(o);
		}
	look_again(role);
}

static void on_claim(void *data, struct segment *s, uint32_t address, const struct mac *sha, const struct mac *eth_src, bool answer)
{
	struct speaker_role *role = data;
	struct address a = address_from_v4(address);
	struct owned_address *o = address_find(role, &a);
	const char *peer = segment_peer_of_mac(s, sha);
	if (!peer)   /* on a link without addresses nobody is a peer, and a peer may have a second link here */
		peer = neighbourhood_node_of(role->neighbourhood, sha);
	if (!mac_equal(sha, eth_src)) {   /* a guard: for us, or for one of whom it does not know that he has it no more */
		if (o && (peer || mac_equal(sha, &segment_link(s)->mac)))
			ownership_guard_heard(&o->core, clock_now());
		if (o)
			o->news = true;
		look_at_some(role);
		return;
	}
	neighbourhood_on_claim(role->neighbourhood, address, sha, peer, answer);
	if (o && !peer)
		ownership_stranger_heard(&o->core);
	if (!o || !peer)
		return;
	/* Who takes what is ours may have seen it in a record that we have not: the API server is back. */
	if (ownership_answers(&o->core) && !cluster_api_answers(role->cluster))
		cluster_hurry(role->cluster);
	owned_address_claimed(o, peer, answer, clock_now());
	look_at_some(role);
}

static void on_question(void *data, struct segment *s, uint32_t address, const char *peer)
{
	struct speaker_role *role = data;
	struct address a = address_from_v4(address);
	struct owned_address *o = address_find(role, &a);
	(void)s;
	if (!o)
		return;
	ownership_asked(&o->core, peer, clock_now());
	if (o->core.insisted > 1) {   /* one question is the census's, or a check */
		o->news = true;
		look_at_some(role);
	}
}

static enum conflict_who on_sender(void *data, struct segment *s, uint32_t address, const struct mac *mac)
{
	struct speaker_role *role = data;
	return neighbourhood_on_sender(role->neighbourhood, s, address, mac);
}

static void on_conflict(void *data, struct segment *s, uint32_t address, const struct mac *mac, enum conflict_who who, bool refused)
{
	struct speaker_role *role = data;
	struct address a = address_from_v4(address);
	struct owned_address *o = address_find(role, &a);
	neighbourhood_on_conflict(role->neighbourhood, s, address, mac, who, refused);
	if (o && refused)
		ownership_refused(&o->core, clock_now());
	look_again(role);
}

static void on_links(void *data)
{
	struct speaker_role *role = data;
	role->links_changed = true;
	look_again(role);
}

/* ---- alive ---- */

static void wake_up(struct speaker_role *role, int64_t now)
{
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp) {
		ownership_woke(&o->core, now);
		owned_address_hush(o);
	}
	for (size_t i = 0; i < segments_count(role->segments); i++)
		segment_woke(segments_at(role->segments, i));
	look_again(role);
}

/* Asked before any frame is answered. */
static bool slept(void *data)
{
	struct speaker_role *role = data;
	int64_t now = clock_now(), lasted;
	if (role->stepping)   /* whatever it takes, we are at work */
		return false;
	switch (wakefulness_turn(&role->wakefulness, now, &lasted)) {
	case WAKEFULNESS_AWAKE:
		break;
	case WAKEFULNESS_NAPPED:
		log_info("napped", NO_KV, "this process did not run for %lld ms; it goes on, and asks whether others answer for its addresses", (long long)(lasted / CLOCK_MS));
		for (size_t i = 0; i < segments_count(role->segments); i++)
			ask_for_own(role, segments_at(role->segments, i));
		break;
	case WAKEFULNESS_SLEPT:
		log_warn("slept", NO_KV, "this process did not run for %lld ms; asking who answers for its addresses before it does again", (long long)(lasted / CLOCK_MS));
		wake_up(role, now);
		return true;
	}
	return false;
}

/* Alive means: I answer for everything that is mine (R1, finding 17). */
static void show_alive(struct speaker_role *role)
{
	struct owned_address *o, *tmp;
	bool alive = !role->context.leaving;
	HASH_ITER(hh, role->addresses, o, tmp)
		alive &= !ownership_undecided(&o->core);
	if (alive && !role->ready) {
		role->ready = true;
		log_info("ready", NO_KV, "synced; this node takes part");
	}
	if (alive != role->alive)
		segments_set_ready(role->segments, alive);
	role->alive = alive;
}

/* ---- the step ---- */

/* The end has come when nothing is answered any more, or nobody could take what still is. */
static bool has_left(const struct speaker_role *role)
{
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp)
		if (ownership_guards(&o->core) || (ownership_answers(&o->core) && owned_address_has_others(o)))
			return false;
	return true;
}

static void check_left(struct speaker_role *role, int64_t now)
{
	if (!role->on_left || !(has_left(role) || now >= role->leave_by))
		return;
	void (*on_left)(void *data) = role->on_left;
	role->on_left = NULL;
	on_left(role->left_data);
}

static int64_t evaluate_all(struct speaker_role *role, int64_t now)
{
	struct record_entry *r, *r_next;
	struct owned_address *o, *o_next;
	int64_t wake = CLOCK_NEVER;
	HASH_ITER(hh, model_of(role)->records, r, r_next)
		if (r->record->address.family == ADDRESS_V4)
			address_get(role, &r->record->address);
	bool everything = role->everything || now >= role->everything_at;
	role->everything = false;
	if (everything)
		role->everything_at = now + EVERYTHING;
	HASH_ITER(hh, role->addresses, o, o_next) {
		if (everything || owned_address_is_due(o, now))
			owned_address_evaluate(o, now);
		wake = clock_min(wake, o->wake);
		if (!model_record(model_of(role), &o->core.address) && owned_address_is_idle(o))
			address_free(role, o);
	}
	return clock_min(wake, role->everything_at);
}

static void use_model(struct speaker_role *role, struct model *m)
{
	struct owned_address *o, *tmp;
	if (role->context.model == m)
		return;
	role->context.model = m;
	role->seen_revision = m->revision - 1;
	role->seen_scenery = model_scenery(m) - 1;
	HASH_ITER(hh, role->addresses, o, tmp)
		owned_address_forget(o);
}

static void follow_links(struct speaker_role *role)
{
	const struct model *m = model_of(role);
	role->news |= m->revision != role->seen_revision;
	role->seen_revision = m->revision;
	if (model_scenery(m) == role->seen_scenery && !role->links_changed)
		return;
	/* Links of no interest to us come and go with every container. */
	if (segments_follow(role->segments, m, role->node) || model_scenery(m) != role->seen_scenery)
		role->news = role->everything = true;
	role->links_changed = false;
	role->seen_scenery = model_scenery(m);
}

/* The tick runs while anything is ours to look after: by it we notice that we slept. */
static void sleep_until(struct speaker_role *role, int64_t wake, int64_t now)
{
	if (role->context.leaving) {   /* whether anybody watches us shows by itself */
		role->everything_at = now + role->options->liveness_interval;
		wake = clock_min(clock_min(wake, role->leave_by), role->everything_at);
	}
	role->evaluate_at = wake;
	wakefulness_rest(&role->wakefulness, HASH_COUNT(role->addresses) > 0, now);
	deadline_set(&role->timer, clock_min(wake, role->wakefulness.due));
}

/* The API server has not said anything yet: by what we remember, if it is away for long. */
static void step_unsynced(struct speaker_role *role, int64_t now)
{
	struct model *remembered = resumption_model(role->resumption, now);
	int64_t wake = resumption_deadline(role->resumption, false);
	if (!remembered) {
		deadline_set(&role->timer, wake);
		return;
	}
	use_model(role, remembered);
	follow_links(role);
	if (!role->news)
		return;
	role->news = false;
	wake = clock_min(wake, evaluate_all(role, now));
	show_alive(role);
	check_left(role, now);
	sleep_until(role, wake, now);
}

static void remember(struct speaker_role *role, int64_t now)
{
	struct owned_address *o, *tmp;
	size_t n = 0;
	struct address *list = mem_zalloc((HASH_COUNT(role->addresses) + 1) * sizeof(*list));
	HASH_ITER(hh, role->addresses, o, tmp)
		if (ownership_answers(&o->core) || o->core.state == OWNERSHIP_CHECK)
			list[n++] = o->core.address;
	resumption_remember(role->resumption, model_of(role), list, n, now);
	free(list);
}

/* Its own speaker removes what it says; one that is gone cannot. */
static const char *gone_before(const struct speaker_role *role, const struct record *r)
{
	const char *before = strcmp(r->holder, role->node) != 0 ? r->holder : r->previous[0];
	if (!before || !*before)
		return NULL;
	for (size_t i = 0; i < segments_count(role->segments); i++)
		if (segment_liveness(segments_at(role->segments, i), before) == LIVENESS_ALIVE)
			return NULL;
	return before;
}

static void show_l2_status(struct speaker_role *role, int64_t now)
{
	struct owned_address *o, *tmp;
	if (!role->ready || !l2_status_is_due(role->l2_status, now))   /* a fresh process has not taken up yet what it is to answer for */
		return;
	l2_status_begin(role->l2_status);
	HASH_ITER(hh, role->addresses, o, tmp) {
		const struct record *r = o->announced && o->core.address.family == ADDRESS_V4 ? model_record(model_of(role), &o->core.address) : NULL;
		for (size_t k = 0; r && k < segments_count(role->segments); k++) {
			const struct segment *s = segments_at(role->segments, k);
			for (size_t i = 0; segment_owns(s, address_to_v4(&o->core.address)) && i < r->n_services; i++)
				l2_status_want(role->l2_status, r->services[i], segment_link(s)->name, gone_before(role, r));
		}
	}
	l2_status_end(role->l2_status);
}

static void step(struct speaker_role *role)
{
	int64_t now = clock_now();
	bool all_links_changed = role->links_changed;
	if (cluster_synced(role->cluster)) {
		use_model(role, cluster_model(role->cluster));
		resumption_end(role->resumption);
	}
	follow_links(role);
	if (!cluster_synced(role->cluster)) {
		step_unsynced(role, now);
		return;
	}
	if (all_links_changed)   /* but a pool address on one of them is of interest */
		neighbourhood_follow(role->neighbourhood, true, now);
	if (!role->news)
		return;
	role->news = false;
	if (!role->context.synced_at)
		role->context.synced_at = now;
	if (presence_look(role->presence, now)) {
		role->seen_revision = model_of(role)->revision;
		role->seen_scenery = model_scenery(model_of(role));
		role->everything = true;
	}
	if (!role->context.leaving)
		presence_publish(role->presence, now);
	neighbourhood_follow(role->neighbourhood, false, now);
	int64_t wake = clock_min(evaluate_all(role, now), presence_deadline(role->presence, now));
	show_alive(role);
	check_left(role, now);
	if (!role->context.leaving) {
		remember(role, now);
		show_l2_status(role, now);
		wake = clock_min(wake, resumption_deadline(role->resumption, true));
	}
	/* Rules about an outage ripen without any event. */
	int64_t nodes_since = cluster_nodes_since(role->cluster);
	if (nodes_since != CLOCK_NEVER && now - nodes_since <= HOLDER_TRUST)
		wake = clock_min(wake, nodes_since + HOLDER_TRUST + CLOCK_MS);
	sleep_until(role, wake, now);
}

void speaker_role_step(void *data)
{
	struct speaker_role *role = data;
	slept(role);
	role->stepping = true;
	step(role);
	role->stepping = false;
	wakefulness_rest(&role->wakefulness, HASH_COUNT(role->addresses) > 0, clock_now());
}

static void on_due(void *data)
{
	struct speaker_role *role = data;
	int64_t now = clock_now();
	if (now >= role->evaluate_at)
		look_at_some(role);
	else   /* the tick only: whoever has thousands of addresses is not to look at all of them ten times a second */
		deadline_set(&role->timer, clock_min(role->evaluate_at, now + role->options->liveness_interval));
}

/* ---- what monitoring asks ---- */

bool speaker_role_ready(const struct speaker_role *role)
{
	return role->ready;
}

static void collect_tally(void *data, const struct tally_entry *entry)
{
	struct metrics *metrics = data;
	struct address a = address_from_v4(entry->address);
	char ip[ADDRESS_TEXT];
	address_format(&a, ip);
	metrics_set(metrics, METRIC_REQUESTS, KV("ip", ip), (double)entry->requests);
	metrics_set(metrics, METRIC_RESPONSES, KV("ip", ip), (double)entry->answers);
	metrics_set(metrics, METRIC_GRATUITOUS, KV("ip", ip), (double)entry->gratuitous);
	if (entry->conflicts)
		metrics_set(metrics, METRIC_CONFLICTS, KV("ip", ip), (double)entry->conflicts);
}

void speaker_role_collect(void *data, struct metrics *metrics)
{
	struct speaker_role *role = data;
	struct owned_address *o, *tmp;
	char ip[ADDRESS_TEXT];
	metrics_clear(metrics, METRIC_ANNOUNCED);
	HASH_ITER(hh, role->addresses, o, tmp) {
		const struct record *r = o->announced ? model_record(model_of(role), &o->core.address) : NULL;
		for (size_t i = 0; r && i < r->n_services; i++)
			metrics_set(metrics, METRIC_ANNOUNCED, KV("service", r->services[i], "protocol", "layer2", "node", role->node, "ip", address_format(&o->core.address, ip)), 1);
	}
	tally_each(role->tally, collect_tally, metrics);
}

int speaker_role_init(struct speaker_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster, const struct options *options)
{
	struct speaker_role *role = mem_zalloc(sizeof(*role));
	struct segment_config config = {.node = options->node_name, .liveness_interval = options->liveness_interval,
					.gratuitous_interval = options->gratuitous_interval, .arp_rate = options->arp_rate,
					.announce_to = options->announce_to, .n_announce_to = options->n_announce_to, .on_state = on_state,
					.on_heard_again = on_heard_again, .on_claim = on_claim, .on_question = on_question, .on_return = on_return,
					.on_sender = on_sender, .on_conflict = on_conflict, .slept = slept, .give_up = options->give_up, .data = role};
	role->turn = turn;
	role->cluster = cluster;
	role->options = options;
	role->node = options->node_name;
	role->seen_revision = cluster_model(cluster)->revision - 1;
	role->seen_scenery = model_scenery(cluster_model(cluster)) - 1;
	wakefulness_init(&role->wakefulness, options->liveness_interval);
	role->tally = config.tally = tally_new();
	role->census = CENSUS_TIMES;
	role->census.silence = options->foreign_silence;
	config.census = &role->census;
	int rc = segments_init(&role->segments, loop, &config, on_links, role);
	if (rc < 0) {
		tally_free(role->tally);
		free(role);
		return rc;
	}
	events_init(&role->events, cluster_api(cluster), "metallb-speaker", options->node_name);
	deadline_init(&role->timer, loop, on_due, role);
	role->context = (struct address_context){.cluster = cluster, .model = cluster_model(cluster), .segments = role->segments, .events = role->events, .misjudged = misjudged_new(),
						 .options = options, .node = role->node, .on_news = look_at_some, .data = role};
	struct neighbourhood_config around = {.cluster = cluster, .segments = role->segments, .events = role->events, .node = role->node,
					      .on_news = look_again_later, .data = role};
	presence_init(&role->presence, cluster, role->segments, role->node, look_again_later, role);
	neighbourhood_init(&role->neighbourhood, loop, &around);
	struct l2_status_config shown = {.cluster = cluster, .node = role->node, .pod_name = options->pod_name, .pod_uid = options->pod_uid,
					 .on_due = look_again_later, .data = role};
	l2_status_init(&role->l2_status, loop, &shown);
	resumption_init(&role->resumption, options->state_file, role->node, clock_now());
	*rolep = role;
	return 0;
}

void speaker_role_start(struct speaker_role *role)
{
	segments_start(role->segments);
	look_again(role);
}

void speaker_role_leave(struct speaker_role *role, void (*on_done)(void *data), void *data)
{
	role->context.leaving = true;
	role->leave_by = clock_now() + LEAVE_TIMEOUT;
	role->on_left = on_done;
	role->left_data = data;
	deadline_set(&role->timer, clock_min(role->timer.at, role->leave_by));
	look_again(role);
	if (!role->ready) {   /* nothing was ever taken */
		role->leave_by = 0;
		check_left(role, clock_now());
	}
}

static void on_timer_closed(void *data)
{
	struct speaker_role *role = data;
	tally_free(role->tally);
	misjudged_free(role->context.misjudged);
	free(role);
}

void speaker_role_close(struct speaker_role *role)
{
	struct owned_address *o, *tmp;
	if (!role)
		return;
	HASH_ITER(hh, role->addresses, o, tmp)
		address_free(role, o);
	presence_close(role->presence);
	neighbourhood_close(role->neighbourhood);
	l2_status_close(role->l2_status);
	resumption_close(role->resumption);
	segments_close(role->segments);
	events_close(role->events);
	deadline_close(&role->timer, on_timer_closed);
}
