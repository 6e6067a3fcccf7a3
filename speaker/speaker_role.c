#include "speaker/speaker_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "k8sclient/event.h"
#include "speaker/election.h"
#include "speaker/neighbourhood.h"
#include "speaker/ownership.h"
#include "speaker/presence.h"
#include "speaker/segments.h"

#define LOOK_TIMEOUT (300 * CLOCK_MS)    /* two nodes answer meanwhile, so no longer */
#define WRITE_TIMEOUT (5 * CLOCK_S)
#define PROBE_TIMEOUT (500 * CLOCK_MS)   /* of a write while the API server is away: does it answer again? */
#define LEAVE_TIMEOUT (1800 * CLOCK_MS)  /* SIGTERM ends within 2 s */
#define TRUST_AFTER (60 * CLOCK_S)       /* NotReady may be left over from an API outage (the issue's own rule) */
#define SLEPT CLOCK_S
#define START_GRACE (10 * CLOCK_S)       /* after our start others of the same DaemonSet may be on their way */
#define LINKS_MAX 16
_Static_assert(OPTIONS_ANNOUNCE_TO <= SEGMENT_ANNOUNCE_TO, "each named host has a place");

struct owned_address {
	struct ownership core;
	struct speaker_role *role;
	struct candidate *candidates;   /* eligible nodes; valid for `revision` of the model */
	size_t n_candidates;
	unsigned revision;
	struct api_call *call;
	bool announced;                 /* said so in log and Event */
	UT_hash_handle hh;
};

struct speaker_role {
	struct turn *turn;
	struct cluster *cluster;
	const struct options *options;
	const char *node;
	struct events *events;
	struct segments *segments;
	struct presence *presence;
	struct neighbourhood *neighbourhood;
	struct census_times census;
	struct tally *tally;
	struct owned_address *addresses;
	struct deadline timer;
	unsigned seen_revision;
	bool news, links_changed, ready, leaving;
	int64_t synced_at;              /* 0: not yet */
	int64_t tick_due;               /* when the loop should have woken at the latest; CLOCK_NEVER: it may sleep */
	int64_t leave_by;
	void (*on_left)(void *data);
	void *left_data;
};

static struct model *model_of(const struct speaker_role *role)
{
	return cluster_model(role->cluster);
}

static void look_again(struct speaker_role *role)
{
	role->news = true;
	turn_again(role->turn);
}

static void look_again_later(void *data)
{
	look_again(data);
}

static void apply_answering(struct speaker_role *role, struct owned_address *o, const struct record *r);

/* ---- what the wire says ---- */

static struct owned_address *address_find(const struct speaker_role *role, const struct address *a)
{
	struct owned_address *o;
	HASH_FIND(hh, role->addresses, a, sizeof(*a), o);
	return o;
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

/* After a silence somebody else may have what we have: both sides ask for their own addresses while they go on answering. */
static void on_heard_again(void *data, struct segment *s, const char *peer)
{
	struct speaker_role *role = data;
	struct owned_address *o, *tmp;
	(void)peer;
	HASH_ITER(hh, role->addresses, o, tmp)
		if (segment_owns(s, address_to_v4(&o->core.address)))
			segment_ask(s, address_to_v4(&o->core.address));
	look_again(role);
}

static bool answered_anywhere(const struct speaker_role *role, uint32_t ip)
{
	for (size_t i = 0; i < segments_count(role->segments); i++)
		if (segment_owns(segments_at(role->segments, i), ip))
			return true;
	return false;
}

/* The link was away long enough for others to have taken over what is ours there: silent until we have asked. It may be a
 * new one, in place of the only one that an address was answered on. */
static void on_return(void *data, struct segment *s)
{
	struct speaker_role *role = data;
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp)
		if (segment_owns(s, address_to_v4(&o->core.address)) || !answered_anywhere(role, address_to_v4(&o->core.address))) {
			ownership_link_back(&o->core, clock_now());
			apply_answering(role, o, NULL);
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
	if (!mac_equal(sha, eth_src))
		return;
	neighbourhood_on_claim(role->neighbourhood, address, sha, peer, answer);
	if (!o || !peer)
		return;
	ownership_claimed(&o->core, peer, model_record(model_of(role), &a), clock_now());
	look_again(role);
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

/* ---- one address ---- */

static void address_free(struct owned_address *o)
{
	HASH_DEL(o->role->addresses, o);
	api_cancel(o->call);
	ownership_free(&o->core);
	free(o->candidates);
	free(o);
}

static struct owned_address *address_get(struct speaker_role *role, const struct address *a)
{
	struct owned_address *o = address_find(role, a);
	if (o)
		return o;
	o = mem_zalloc(sizeof(*o));
	o->role = role;
	o->revision = model_of(role)->revision - 1;
	ownership_init(&o->core, a, clock_now());
	HASH_ADD(hh, role->addresses, core.address, sizeof(o->core.address), o);
	return o;
}

/* The segment whose verdicts count for this address: that of the first link we would use. */
static struct segment *segment_for(const struct speaker_role *role, const struct owned_address *o)
{
	for (size_t i = 0; i < o->n_candidates; i++) {
		bool me = strcmp(o->candidates[i].node, role->node) == 0;
		struct segment *s = me ? segments_find(role->segments, o->candidates[i].link->name) : NULL;   /* NULL: renamed since */
		if (s)
			return s;
	}
	return segments_count(role->segments) ? segments_at(role->segments, 0) : NULL;
}

static enum holder_fate fate_of(const struct speaker_role *role, const struct segment *s, const char *holder, int64_t now)
{
	const struct model *m = model_of(role);
	if (!*holder)
		return HOLDER_NONE;
	if (strcmp(holder, role->node) == 0)
		return HOLDER_ME;
	enum liveness_state state = s ? segment_liveness(s, holder) : LIVENESS_UNKNOWN;
	if (state == LIVENESS_DEAD || state == LIVENESS_SPEAKER_DOWN)
		return HOLDER_DOWN;
	if (state == LIVENESS_ALIVE || (s && !segment_undecided(s, holder)))
		return HOLDER_PRESENT;
	/* The wire cannot judge: the Node object may, once it has had time to recover from an API outage. */
	const struct node *node = model_node(m, holder);
	bool trusted = cluster_api_answers(role->cluster) && now - cluster_answers_since(role->cluster) > TRUST_AFTER;
	return (!node || !node->ready) && trusted ? HOLDER_GONE : HOLDER_PRESENT;
}

static void refresh_candidates(struct speaker_role *role, struct owned_address *o, const struct record *r)
{
	struct model *m = model_of(role);
	if (o->revision == m->revision)
		return;
	o->revision = m->revision;
	free(o->candidates);
	o->candidates = NULL;
	o->n_candidates = r ? election_candidates(m, r, &o->candidates) : 0;
}

static bool any_endpoint(const struct model *m, const struct record *r)
{
	for (size_t i = 0; i < r->n_services; i++)
		if (model_has_endpoint(m, r->services[i], NULL))
			return true;
	return false;
}

/* up: room for n_candidates names. */
static struct ownership_view view_of(const struct speaker_role *role, const struct owned_address *o, const struct record *r, const char **up, int64_t now)
{
	const struct model *m = model_of(role);
	const struct segment *s = segment_for(role, o);
	struct ownership_view v = {.me = role->node, .record = r, .leaving = role->leaving, .api = cluster_api_answers(role->cluster),
				   .interval = role->options->liveness_interval, .candidates = up};
	bool better = false;   /* somebody who has the right link; they come first */
	for (size_t i = 0; i < o->n_candidates; i++) {
		const char *node = o->candidates[i].node;
		bool me = strcmp(node, role->node) == 0;
		enum liveness_state state = s && !me ? segment_liveness(s, node) : LIVENESS_UNKNOWN;
		v.eligible |= me && !(o->candidates[i].makeshift && better);
		better |= !me && !o->candidates[i].makeshift && state != LIVENESS_DEAD && state != LIVENESS_SPEAKER_DOWN;
		if (state != LIVENESS_DEAD && state != LIVENESS_SPEAKER_DOWN)
			up[v.n_candidates++] = node;
	}
	if (r) {
		v.fate = fate_of(role, s, ownership_holder(&o->core, r), now);
		v.served = election_user(m, r) && any_endpoint(m, r);
		v.refused = model_is_refused(m, r);
		/* Who comes from MetalLB keeps the owner of each address, in whatever order our speakers start. */
		bool shown = model_ingress_user(m, &r->address, NULL);
		if (v.fate == HOLDER_NONE && shown && now < role->synced_at + START_GRACE && election_awaits(m, r, role->node))
			v.not_before = role->synced_at + START_GRACE;
	}
	v.connected = s && segment_connected(s);
	return v;
}

/* Answers on exactly these links. LEAVING keeps those it has: it may not be eligible for any by now. */
static void apply_answering(struct speaker_role *role, struct owned_address *o, const struct record *r)
{
	const struct node_link *links[LINKS_MAX];
	uint32_t ip = address_to_v4(&o->core.address);
	size_t n = r && model_of(role)->own && o->core.state == OWNERSHIP_OWNED ? election_links(model_of(role), r, model_of(role)->own, links, LINKS_MAX) : 0;
	size_t wanted = 0, answered = 0;
	if (o->core.state == OWNERSHIP_LEAVING)
		return;
	for (size_t i = 0; i < segments_count(role->segments); i++) {
		struct segment *s = segments_at(role->segments, i);
		bool here = false;
		for (size_t j = 0; j < n; j++)
			here |= strcmp(links[j]->name, segment_link(s)->name) == 0;
		wanted += here;
		if (here)
			segment_own(s, ip, !o->core.fresh ? CONFLICT_CLAIM_KNOWN : r->found ? CONFLICT_CLAIM_ASK : CONFLICT_CLAIM_PROBE);
		else
			segment_release(s, ip);
		answered += here && segment_owns(s, ip);
	}
	if (wanted && answered == wanted)   /* what was ever announced is not probed any more, nor given up to a stranger */
		o->core.fresh = false;
}

static const char *why_withdrawn(const struct speaker_role *role, const struct record *r)
{
	enum election_refusal refusal = r ? election_check(model_of(role), r, role->node) : ELECTION_NO_SERVICE;
	return refusal == ELECTION_ELIGIBLE ? "notOwner" : election_refusal_text(refusal);
}

static void say_change(struct speaker_role *role, struct owned_address *o, const struct record *r)
{
	char ip[ADDRESS_TEXT], note[400];
	bool answers = ownership_answers(&o->core) && answered_anywhere(role, address_to_v4(&o->core.address));   /* not while it is probed */
	const struct service *s = r ? election_user(model_of(role), r) : NULL;
	const char *service = s ? s->meta.key : r && r->n_services ? r->services[0] : "";
	if (answers == o->announced)
		return;
	o->announced = answers;
	address_format(&o->core.address, ip);
	if (!answers) {
		log_info("serviceWithdrawn", KV("ip", ip, "service", service, "reason", why_withdrawn(role, r)), "%s: this node answers for it no longer", ip);
		return;
	}
	log_info("serviceAnnounced", KV("ip", ip, "service", service, "from", o->core.from ? o->core.from : ""), "%s: this node answers for it now%s%s", ip,
		 o->core.from && *o->core.from ? ", taken over from silent node " : "", o->core.from ? o->core.from : "");
	if (!s)
		return;
	snprintf(note, sizeof(note), "announcing from node \"%s\" with protocol \"layer2\"", role->node);
	struct event e = {.kind = "Service", .api_version = "v1", .object = &s->meta, .reason = "nodeAssigned", .action = "Announce", .note = note};
	events_forget(role->events, s->meta.uid, "nodeAssigned");
	events_emit(role->events, &e);
}

/* ---- carrying out ---- */

/* What a GET of the record said goes into the model. */
static void take_read(struct owned_address *o, const struct api_result *result)
{
	o->call = NULL;
	if (api_succeeded(result))
		cluster_take_lease(o->role->cluster, result->body);
	else if (result->status == 404)
		model_drop_record(model_of(o->role), &o->core.address);
}

static void on_read(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	take_read(o, result);
	ownership_looked(&o->core, result->status, clock_now());
	look_again(o->role);
}

/* After a refused write: the fresh record goes into the model, then the write counts as answered. */
static void on_read_after_conflict(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	take_read(o, result);
	ownership_written(&o->core, result->status ? 409 : 0, clock_now());
	look_again(o->role);
}

static void read_record(struct owned_address *o, void (*on_result)(void *, const struct api_result *))
{
	char *name = record_name(&o->core.address), *path = cluster_lease_path(o->role->cluster, name);
	struct api_request request = {.method = "GET", .path = path, .timeout = LOOK_TIMEOUT, .on_result = on_result, .data = o};
	o->call = api_send(cluster_api(o->role->cluster), &request);
	free(path);
	free(name);
}

static void on_written(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	struct speaker_role *role = o->role;
	o->call = NULL;
	if (result->status == 409 || result->status == 404) {
		read_record(o, on_read_after_conflict);
		return;
	}
	if (api_succeeded(result))
		cluster_take_lease(role->cluster, result->body);
	else if (cluster_api_answers(role->cluster))   /* an outage has been said already */
		log_warn("recordFailed", NO_KV, "%s", result->message);
	ownership_written(&o->core, result->status, clock_now());
	look_again(role);
}

static void write_holder(struct owned_address *o, const struct record *r)
{
	char now[CLOCK_TEXT];
	const char *link = "";
	for (size_t i = 0; i < o->n_candidates; i++)
		if (strcmp(o->candidates[i].node, o->core.target) == 0)
			link = o->candidates[i].link->name;
	json_t *patch = record_holder_patch(r, o->core.target, link, clock_wall_text(now));
	char *path = cluster_lease_path(o->role->cluster, r->meta.name);
	int64_t timeout = cluster_api_answers(o->role->cluster) ? WRITE_TIMEOUT : PROBE_TIMEOUT;
	struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch, .timeout = timeout,
				      .on_result = on_written, .data = o};
	o->call = api_send(cluster_api(o->role->cluster), &request);
	json_decref(patch);
	free(path);
}

static void defend(struct speaker_role *role, struct owned_address *o)
{
	for (size_t i = 0; i < segments_count(role->segments); i++)
		if (segment_owns(segments_at(role->segments, i), address_to_v4(&o->core.address)))
			segment_announce(segments_at(role->segments, i), address_to_v4(&o->core.address));
}

static int64_t evaluate(struct speaker_role *role, struct owned_address *o, int64_t now)
{
	int64_t wake;
	const struct record *r = model_record(model_of(role), &o->core.address);
	refresh_candidates(role, o, r);
	const char **up = mem_zalloc((o->n_candidates + 1) * sizeof(*up));
	struct ownership_view v = view_of(role, o, r, up, now);
	enum ownership_action action = ownership_step(&o->core, &v, now, &wake);
	free(up);
	apply_answering(role, o, r);   /* frames first, then the API */
	switch (action) {
	case OWNERSHIP_NOTHING:
		break;
	case OWNERSHIP_WRITE:
		write_holder(o, r);
		break;
	case OWNERSHIP_LOOK:
		read_record(o, on_read);
		break;
	case OWNERSHIP_DEFEND:
		defend(role, o);
		break;
	case OWNERSHIP_ASK:
		for (size_t i = 0; i < segments_count(role->segments); i++)
			segment_ask(segments_at(role->segments, i), address_to_v4(&o->core.address));
		break;
	}
	say_change(role, o, r);
	return wake;
}

/* ---- the step ---- */

/* A handover is over when nothing is answered any more, or nobody could take what still is. */
static bool has_left(const struct speaker_role *role)
{
	struct owned_address *o, *tmp;
	HASH_ITER(hh, role->addresses, o, tmp) {
		bool another = false;
		for (size_t i = 0; i < o->n_candidates; i++)
			another |= strcmp(o->candidates[i].node, role->node) != 0;
		if (ownership_answers(&o->core) && another)
			return false;
	}
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

/* Stopped (SIGSTOP, a paused machine) for longer than others wait before they take over: what we think is ours may not be. */
static void notice_sleep(struct speaker_role *role, int64_t now)
{
	struct owned_address *o, *tmp;
	if (now - role->tick_due <= SLEPT)
		return;
	role->tick_due = now;
	log_warn("slept", NO_KV, "this process did not run for more than a second; looking before answering again");
	HASH_ITER(hh, role->addresses, o, tmp) {
		ownership_woke(&o->core, now);
		apply_answering(role, o, NULL);
	}
	for (size_t i = 0; i < segments_count(role->segments); i++)
		segment_woke(segments_at(role->segments, i));
}

static int64_t evaluate_all(struct speaker_role *role, int64_t now)
{
	struct record_entry *r, *r_next;
	struct owned_address *o, *o_next;
	int64_t wake = CLOCK_NEVER;
	HASH_ITER(hh, model_of(role)->records, r, r_next)
		if (r->record->address.family == ADDRESS_V4)
			address_get(role, &r->record->address);
	HASH_ITER(hh, role->addresses, o, o_next) {
		wake = clock_min(wake, evaluate(role, o, now));
		if (!model_record(model_of(role), &o->core.address) && o->core.state == OWNERSHIP_IDLE && !o->call)
			address_free(o);
	}
	return wake;
}

void speaker_role_step(void *data)
{
	struct speaker_role *role = data;
	struct model *m = model_of(role);
	int64_t now = clock_now();
	bool all_links_changed = role->links_changed;
	notice_sleep(role, now);
	if (m->revision != role->seen_revision || role->links_changed) {
		/* Links of no interest to us come and go with every container. */
		role->news |= segments_follow(role->segments, m, role->node) || m->revision != role->seen_revision;
		role->links_changed = false;
		role->seen_revision = m->revision;
	}
	if (!cluster_synced(role->cluster))
		return;
	if (all_links_changed)   /* but a pool address on one of them is of interest */
		neighbourhood_follow(role->neighbourhood, true, now);
	if (!role->news)
		return;
	role->news = false;
	if (!role->synced_at)
		role->synced_at = now;
	if (presence_look(role->presence, now))
		role->seen_revision = m->revision;
	if (!role->leaving)
		presence_publish(role->presence, now);
	neighbourhood_follow(role->neighbourhood, false, now);
	int64_t wake = clock_min(evaluate_all(role, now), presence_deadline(role->presence, now));
	/* Alive means: I answer for everything that is mine (finding 17). */
	if (!role->ready) {
		role->ready = true;
		segments_set_ready(role->segments, true);
		log_info("ready", NO_KV, "synced; this node takes part");
	}
	check_left(role, now);
	if (role->leaving)
		wake = clock_min(wake, role->leave_by);
	/* Rules about an outage ripen without any event. */
	if (cluster_api_answers(role->cluster) && now - cluster_answers_since(role->cluster) <= TRUST_AFTER)
		wake = clock_min(wake, cluster_answers_since(role->cluster) + TRUST_AFTER + CLOCK_MS);
	role->tick_due = HASH_COUNT(role->addresses) ? now + role->options->liveness_interval : CLOCK_NEVER;
	wake = clock_min(wake, role->tick_due);
	deadline_set(&role->timer, wake);
}

static void on_due(void *data)
{
	look_again(data);
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
					.on_heard_again = on_heard_again, .on_claim = on_claim, .on_return = on_return,
					.on_sender = on_sender, .on_conflict = on_conflict, .give_up = options->give_up, .data = role};
	role->turn = turn;
	role->cluster = cluster;
	role->options = options;
	role->node = options->node_name;
	role->seen_revision = cluster_model(cluster)->revision - 1;
	role->tick_due = CLOCK_NEVER;
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
	struct neighbourhood_config around = {.cluster = cluster, .segments = role->segments, .events = role->events, .node = role->node,
					      .on_news = look_again_later, .data = role};
	presence_init(&role->presence, cluster, role->segments, role->node, look_again_later, role);
	neighbourhood_init(&role->neighbourhood, loop, &around);
	*rolep = role;
	return 0;
}

void speaker_role_start(struct speaker_role *role)
{
	segments_start(role->segments);
}

void speaker_role_leave(struct speaker_role *role, void (*on_done)(void *data), void *data)
{
	role->leaving = true;
	role->leave_by = clock_now() + LEAVE_TIMEOUT;
	role->on_left = on_done;
	role->left_data = data;
	deadline_set(&role->timer, clock_min(role->timer.at, role->leave_by));
	if (!cluster_synced(role->cluster))   /* nothing was ever taken */
		role->leave_by = 0;
	look_again(role);
	if (!cluster_synced(role->cluster))
		check_left(role, clock_now());
}

static void on_timer_closed(void *data)
{
	struct speaker_role *role = data;
	tally_free(role->tally);
	free(role);
}

void speaker_role_close(struct speaker_role *role)
{
	struct owned_address *o, *tmp;
	if (!role)
		return;
	HASH_ITER(hh, role->addresses, o, tmp)
		address_free(o);
	presence_close(role->presence);
	neighbourhood_close(role->neighbourhood);
	segments_close(role->segments);
	events_close(role->events);
	deadline_close(&role->timer, on_timer_closed);
}
