#include "speaker/owned_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"

#define LOOK_TIMEOUT (300 * CLOCK_MS)    /* two nodes answer meanwhile, so no longer */
#define WRITE_TIMEOUT (5 * CLOCK_S)
#define PROBE_TIMEOUT (500 * CLOCK_MS)   /* of a write while the API server is away: does it answer again? */
#define START_GRACE (10 * CLOCK_S)       /* after our start others of the same DaemonSet may be on their way */

static struct model *model_of(const struct owned_address *o)
{
	return o->context->model;
}

static const char *node_of(const struct owned_address *o)
{
	return o->context->node;
}

static uint32_t ip_of(const struct owned_address *o)
{
	return address_to_v4(&o->core.address);
}

static const struct record *record_of(const struct owned_address *o)
{
	return model_record(model_of(o), &o->core.address);
}

static void news(struct owned_address *o)
{
	o->news = true;
	o->context->on_news(o->context->data);
}

struct owned_address *owned_address_new(const struct address_context *context, const struct address *a, int64_t now)
{
	struct owned_address *o = mem_zalloc(sizeof(*o));
	o->context = context;
	ownership_init(&o->core, a, now);
	planned_move_init(&o->planned);
	o->news = true;
	return o;
}

void owned_address_free(struct owned_address *o)
{
	if (!o)
		return;
	api_cancel(o->call);
	ownership_free(&o->core);
	planned_move_free(&o->planned);
	free(o->candidates);
	free(o);
}

void owned_address_forget(struct owned_address *o)
{
	free(o->candidates);
	o->candidates = NULL;
	o->n_candidates = 0;
	o->news = true;
	o->scenery = model_scenery(model_of(o)) - 1;
}

bool owned_address_is_answered(const struct owned_address *o)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; i < segments_count(segments); i++)
		if (segment_owns(segments_at(segments, i), ip_of(o)))
			return true;
	return false;
}

bool owned_address_has_others(const struct owned_address *o)
{
	for (size_t i = 0; i < o->n_candidates; i++)
		if (strcmp(o->candidates[i].node, node_of(o)) != 0)
			return true;
	return false;
}

bool owned_address_is_idle(const struct owned_address *o)
{
	return o->core.state == OWNERSHIP_IDLE && !o->call;
}

/* ---- the view ---- */

/* Somebody has named a successor who cannot have it. */
static void say_refused(const struct owned_address *o, const struct record *r, enum planned_refusal refusal)
{
	char ip[ADDRESS_TEXT], note[400];
	const struct service *s = election_user(model_of(o), r);
	address_format(&o->core.address, ip);
	snprintf(note, sizeof(note), "%s is not moved to node %s, which %s", ip, r->successor, planned_refusal_text(refusal));
	log_warn("moveRefused", KV("ip", ip, "service", s ? s->meta.key : "", "node", r->successor), "%s", note);
	if (!s)
		return;
	struct event e = {.kind = "Service", .api_version = "v1", .object = &s->meta, .warning = true, .reason = "moveRefused", .action = "Move", .note = note};
	events_forget(o->context->events, s->meta.uid, "moveRefused");
	events_emit(o->context->events, &e);
}

static void say_handover(struct owned_address *o, const struct planned_step *step)
{
	char ip[ADDRESS_TEXT];
	o->said_reason = step->reason;
	if (step->target)
		log_info("handover", KV("ip", address_format(&o->core.address, ip), "node", step->target, "reason", planned_reason_text(step->reason)),
			 "%s: to be handed over to node %s (%s)", ip, step->target, planned_reason_text(step->reason));
}

/* The segment whose verdicts count for this address: that of the first link we would use. */
static struct segment *segment_for(const struct owned_address *o)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; i < o->n_candidates; i++) {
		bool me = strcmp(o->candidates[i].node, node_of(o)) == 0;
		struct segment *s = me ? segments_find(segments, o->candidates[i].link->name) : NULL;   /* NULL: renamed since */
		if (s)
			return s;
	}
	return segments_count(segments) ? segments_at(segments, 0) : NULL;
}

static enum holder_fate fate_of(const struct owned_address *o, const struct segment *s, const char *holder, int64_t now)
{
	struct cluster *cluster = o->context->cluster;
	if (!*holder)
		return HOLDER_NONE;
	if (strcmp(holder, node_of(o)) == 0)
		return HOLDER_ME;
	const struct node *node = model_node(model_of(o), holder);
	struct holder_evidence e = {
		.wire = s ? segment_liveness(s, holder) : LIVENESS_UNKNOWN, .wire_judges = s && !segment_undecided(s, holder),
		.guard = o->context->options->guard, .api = cluster_nodes_since(cluster) != CLOCK_NEVER, .api_for = now - cluster_nodes_since(cluster),
		.node = node, .ready = node && node->ready};
	e.linkless = !e.wire_judges && model_node_record(model_of(o), holder) && election_check(model_of(o), record_of(o), holder) == ELECTION_NO_LINK;
	return holder_fate_of(&e);
}

/* Of which state of the model it is to be looked at: its own record's, and for one that was never owned that of all records. */
static unsigned revision_of(const struct owned_address *o, const struct record *r)
{
	return !r ? 0 : election_is_new(r) ? model_of(o)->revision : r->revision;
}

static void refresh_candidates(struct owned_address *o, const struct record *r)
{
	struct model *m = model_of(o);
	if (o->candidates && o->scenery == model_scenery(m) && o->revision == revision_of(o, r))
		return;
	o->scenery = model_scenery(m);
	o->revision = revision_of(o, r);
	free(o->candidates);
	o->candidates = NULL;
	o->n_candidates = r ? election_candidates(m, r, &o->candidates) : 0;
}

bool owned_address_is_due(const struct owned_address *o, int64_t now)
{
	return o->news || now >= o->wake || o->scenery != model_scenery(model_of(o)) || o->revision != revision_of(o, record_of(o));
}

static bool any_endpoint(const struct model *m, const struct record *r)
{
	for (size_t i = 0; i < r->n_services; i++)
		if (model_has_endpoint(m, r->services[i], NULL))
			return true;
	return false;
}

static bool is_down(enum liveness_state state)
{
	return state == LIVENESS_DEAD || state == LIVENESS_SPEAKER_DOWN;
}

/* Eligible nodes that are up, into `up`; are we among them? */
static void view_candidates(const struct owned_address *o, const struct segment *s, struct ownership_view *v, const char **up)
{
	bool better = false;   /* somebody who has the right link; they come first */
	for (size_t i = 0; i < o->n_candidates; i++) {
		const struct candidate *c = &o->candidates[i];
		bool me = strcmp(c->node, node_of(o)) == 0;
		bool down = !me && s && is_down(segment_liveness(s, c->node));
		v->eligible |= me && !(c->makeshift && better);
		better |= !me && !c->makeshift && !down;
		if (!down)
			up[v->n_candidates++] = c->node;
	}
	v->candidates = up;
}

/* It answers on this segment for the address, as far as its record says. */
static bool carries(const struct owned_address *o, const struct record *r, const struct segment *s, const char *node)
{
	const struct node_link *links[ELECTION_LINKS];
	const struct node_record *record = model_node_record(model_of(o), node);
	size_t n = record ? election_links(model_of(o), r, record, links, ELECTION_LINKS) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *peer = segment_peer_of_mac(s, &links[i]->mac);
		if (peer && strcmp(peer, node) == 0)
			return true;
	}
	return false;
}

/* R6, for each link. */
static bool guards_on(const struct owned_address *o, const struct record *r, const struct segment *s, const char *node)
{
	return o->context->options->guard && link_works(segment_link(s)) && segment_is_guard_of(s, node) && carries(o, r, s, node);
}

static bool guards_somewhere(const struct owned_address *o, const struct record *r, const char *node)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; *node && i < segments_count(segments); i++)
		if (guards_on(o, r, segments_at(segments, i), node))
			return true;
	return false;
}

static bool is_mute(const struct owned_address *o)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; i < segments_count(segments); i++)
		if (segment_owns(segments_at(segments, i), ip_of(o)) && link_works(segment_link(segments_at(segments, i))))
			return false;
	return owned_address_is_answered(o);
}

/* Whether and to whom it is to go without any fault. */
static void plan_move(struct owned_address *o, struct ownership_view *v, const struct segment *s, int64_t now, int64_t *wakep)
{
	if (!ownership_answers(&o->core) || strcmp(v->record->holder, node_of(o)) != 0) {
		planned_move_free(&o->planned);
		o->said_reason = PLANNED_NOTHING;
		return;
	}
	bool *up = mem_zalloc((o->n_candidates + 1) * sizeof(*up));
	for (size_t i = 0; i < o->n_candidates; i++)
		up[i] = !s || strcmp(o->candidates[i].node, node_of(o)) == 0 || !is_down(segment_liveness(s, o->candidates[i].node));
	struct planned_view view = {.me = node_of(o), .record = v->record, .candidates = o->candidates, .up = up, .n = o->n_candidates};
	struct planned_step step = planned_move_step(&o->planned, &view, now);
	v->move_to = step.target;
	if (step.reason != o->said_reason)
		say_handover(o, &step);
	v->clear_successor = step.clear;
	*wakep = clock_min(*wakep, step.wake);
	if (step.refusal != PLANNED_ACCEPTED)
		say_refused(o, v->record, step.refusal);
	free(up);
}

/* up: room for n_candidates names. */
static struct ownership_view view_of(struct owned_address *o, const struct record *r, const char **up, int64_t now, int64_t *wakep)
{
	const struct address_context *context = o->context;
	const struct model *m = model_of(o);
	const struct segment *s = segment_for(o);
	struct ownership_view v = {.me = node_of(o), .record = r, .leaving = context->leaving, .api = cluster_api_answers(context->cluster),
				   .interval = context->options->liveness_interval, .connected = s && segment_connected(s), .watched_at = s ? segment_watched_at(s) : CLOCK_LONG_AGO};
	view_candidates(o, s, &v, up);
	if (!r)
		return v;
	const char *holder = ownership_holder(&o->core, r);
	v.fate = fate_of(o, s, holder, now);
	v.holder_alive = s && segment_liveness(s, r->holder) == LIVENESS_ALIVE;
	v.record_dead = strcmp(holder, r->holder) != 0 && fate_of(o, s, r->holder, now) == HOLDER_DEAD;
	v.served = election_user(m, r) && any_endpoint(m, r);
	v.refused = model_is_refused(m, r);
	v.mute = !v.eligible && ownership_answers(&o->core) && is_mute(o);
	v.guard = (v.fate == HOLDER_SPEAKER_DOWN || ownership_guards(&o->core)) && guards_somewhere(o, r, ownership_guarded_node(&o->core, r));
	if (ownership_overwritten(&o->core, r, v.fate))
		misjudged_records(context->misjudged, holder, now);
	v.misjudged = misjudged_is(context->misjudged, holder, now, wakep);
	plan_move(o, &v, s, now, wakep);
	/* Who comes from MetalLB keeps the owner of each address, in whatever order our speakers start. */
	if (v.fate == HOLDER_NONE && r->found && now < context->synced_at + START_GRACE && election_awaits(m, r, node_of(o)))
		v.not_before = context->synced_at + START_GRACE;
	return v;
}

/* ---- on the wire ---- */

static void apply_guard(struct owned_address *o, const struct record *r)
{
	const struct segments *segments = o->context->segments;
	bool guards = r && ownership_guards(&o->core);
	if (!guards && !o->guarded_here)
		return;
	o->guarded_here = false;
	for (size_t i = 0; i < segments_count(segments); i++) {
		struct segment *s = segments_at(segments, i);
		bool here = guards && guards_on(o, r, s, o->core.guarded);
		o->guarded_here |= segment_guard(s, ip_of(o), here ? o->core.guarded : NULL) && here;
	}
}

/* Answers on exactly these links. Who is about to stop keeps those it has: it may not be eligible for any by now. */
static void apply_answering(struct owned_address *o, const struct record *r)
{
	const struct segments *segments = o->context->segments;
	const struct node_link *links[ELECTION_LINKS];
	const struct model *m = model_of(o);
	size_t n = r && m->own && o->core.state == OWNERSHIP_OWNED ? election_links(m, r, m->own, links, ELECTION_LINKS) : 0;
	size_t wanted = 0, answered = 0;
	enum conflict_claim claim = o->core.doubted ? CONFLICT_CLAIM_ASK : !o->core.fresh ? CONFLICT_CLAIM_KNOWN :
				    r && r->found ? CONFLICT_CLAIM_ASK : CONFLICT_CLAIM_PROBE;
	apply_guard(o, r);
	if (ownership_answers(&o->core) && o->core.state != OWNERSHIP_OWNED)
		return;
	for (size_t i = 0; i < segments_count(segments); i++) {
		struct segment *s = segments_at(segments, i);
		bool here = false;
		for (size_t j = 0; j < n; j++)
			here |= strcmp(links[j]->name, segment_link(s)->name) == 0;
		wanted += here;
		if (here)
			segment_own(s, ip_of(o), claim, ownership_is_handed(&o->core));
		else
			segment_release(s, ip_of(o));
		answered += here && segment_owns(s, ip_of(o));
	}
	if (wanted && answered == wanted)   /* what was ever announced is not probed any more, nor given up to a stranger */
		o->core.fresh = o->core.doubted = false;
}

void owned_address_hush(struct owned_address *o)
{
	apply_answering(o, NULL);
}

static void defend(const struct owned_address *o)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; i < segments_count(segments); i++)
		if (segment_owns(segments_at(segments, i), ip_of(o)))
			segment_announce(segments_at(segments, i), ip_of(o));
}

static void ask(const struct owned_address *o)
{
	const struct segments *segments = o->context->segments;
	for (size_t i = 0; i < segments_count(segments); i++)
		segment_ask(segments_at(segments, i), ip_of(o));
}

/* ---- log and Event ---- */

static const char *why_withdrawn(const struct owned_address *o, const struct record *r)
{
	enum election_refusal refusal = r ? election_check(model_of(o), r, node_of(o)) : ELECTION_NO_SERVICE;
	return refusal == ELECTION_ELIGIBLE ? "notOwner" : election_refusal_text(refusal);
}

static void say_change(struct owned_address *o, const struct record *r)
{
	char ip[ADDRESS_TEXT], note[400];
	bool answers = ownership_answers(&o->core) && owned_address_is_answered(o);
	const struct service *s = r ? election_user(model_of(o), r) : NULL;
	const char *service = s ? s->meta.key : r && r->n_services ? r->services[0] : "";
	if (answers == o->announced)
		return;
	o->announced = answers;
	address_format(&o->core.address, ip);
	if (!answers) {
		log_info("serviceWithdrawn", KV("ip", ip, "service", service, "reason", why_withdrawn(o, r)), "%s: this node answers for it no longer", ip);
		return;
	}
	log_info("serviceAnnounced", KV("ip", ip, "service", service, "from", o->core.from ? o->core.from : ""), "%s: this node answers for it now%s%s", ip,
		 o->core.from && *o->core.from ? ", taken over from silent node " : "", o->core.from ? o->core.from : "");
	if (!s)
		return;
	snprintf(note, sizeof(note), "announcing from node \"%s\" with protocol \"layer2\"", node_of(o));
	struct event e = {.kind = "Service", .api_version = "v1", .object = &s->meta, .reason = "nodeAssigned", .action = "Announce", .note = note};
	events_forget(o->context->events, s->meta.uid, "nodeAssigned");
	events_emit(o->context->events, &e);
}

static void say_guard(const struct owned_address *o, bool guards)
{
	char ip[ADDRESS_TEXT];
	address_format(&o->core.address, ip);
	if (guards)
		log_info("guarding", KV("ip", ip, "node", o->core.guarded), "%s: the speaker of node %s is down; answering with its MAC until it is back, at most 30 s",
			 ip, o->core.guarded);
	else
		log_info("guardEnded", KV("ip", ip), "%s: not guarded any more", ip);
}

/* ---- the record ---- */

/* What a GET of the record said goes into the model. */
static void take_read(struct owned_address *o, const struct api_result *result)
{
	o->call = NULL;
	if (api_succeeded(result))
		cluster_take_lease(o->context->cluster, result->body);
	else if (result->status == 404)
		model_drop_record(model_of(o), &o->core.address);
}

static void on_read(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	take_read(o, result);
	ownership_looked(&o->core, result->status, clock_now());
	news(o);
}

/* After a refused write: the fresh record goes into the model, then the write counts as answered. */
static void on_read_after_conflict(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	take_read(o, result);
	ownership_written(&o->core, result->status ? 409 : 0, clock_now());
	news(o);
}

static void read_record(struct owned_address *o, void (*on_result)(void *, const struct api_result *))
{
	char *name = record_name(&o->core.address), *path = cluster_lease_path(o->context->cluster, name);
	struct api_request request = {.method = "GET", .path = path, .timeout = LOOK_TIMEOUT, .on_result = on_result, .data = o};
	o->call = api_send(cluster_api(o->context->cluster), &request);
	free(path);
	free(name);
}

static void on_written(void *data, const struct api_result *result)
{
	struct owned_address *o = data;
	o->call = NULL;
	if (result->status == 409 || result->status == 404) {
		read_record(o, on_read_after_conflict);
		return;
	}
	if (api_succeeded(result))
		cluster_take_lease(o->context->cluster, result->body);
	else if (cluster_api_answers(o->context->cluster))   /* an outage has been said already */
		log_warn("recordFailed", NO_KV, "%s", result->message);
	ownership_written(&o->core, result->status, clock_now());
	news(o);
}

static json_t *holder_patch(const struct owned_address *o, const struct record *r)
{
	char now[CLOCK_TEXT];
	const char *link = "";
	for (size_t i = 0; i < o->n_candidates; i++)
		if (strcmp(o->candidates[i].node, o->core.target) == 0)
			link = o->candidates[i].link->name;
	return record_holder_patch(r, o->core.target, link, clock_wall_text(now));
}

static void write_record(struct owned_address *o, const struct record *r, json_t *patch)
{
	struct cluster *cluster = o->context->cluster;
	char *path = cluster_lease_path(cluster, r->meta.name);
	int64_t timeout = cluster_api_answers(cluster) ? WRITE_TIMEOUT : PROBE_TIMEOUT;
	struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch, .timeout = timeout,
				      .on_result = on_written, .data = o};
	o->call = api_send(cluster_api(cluster), &request);
	json_decref(patch);
	free(path);
}

/* ---- evaluation ---- */

static void carry_out(struct owned_address *o, const struct record *r, enum ownership_action action)
{
	switch (action) {
	case OWNERSHIP_NOTHING:
		break;
	case OWNERSHIP_WRITE:
		write_record(o, r, holder_patch(o, r));
		break;
	case OWNERSHIP_NAME:
		write_record(o, r, record_successor_patch(r, o->core.target));
		break;
	case OWNERSHIP_ABANDON:
		api_cancel(o->call);
		o->call = NULL;
		break;
	case OWNERSHIP_LOOK:
		read_record(o, on_read);
		break;
	case OWNERSHIP_DEFEND:
		defend(o);
		break;
	case OWNERSHIP_ASK:
		ask(o);
		break;
	}
}

/* Given up: what we have asked of the API server would only be late. */
static void forget_call(struct owned_address *o, int64_t now)
{
	if (!o->core.in_flight)
		return;
	api_cancel(o->call);
	o->call = NULL;
	ownership_written(&o->core, 0, now);
}

void owned_address_claimed(struct owned_address *o, const char *peer, bool answer, int64_t now)
{
	bool answered = ownership_answers(&o->core), guarded = ownership_guards(&o->core);
	if (!answer)
		ownership_announced(&o->core, peer, record_of(o));
	ownership_claimed(&o->core, peer, record_of(o), now);
	o->news = true;
	if ((!answered && !guarded) || ownership_answers(&o->core) || ownership_guards(&o->core))
		return;
	owned_address_hush(o);
	if (answered)
		forget_call(o, now);
	if (guarded)
		say_guard(o, false);
}

void owned_address_evaluate(struct owned_address *o, int64_t now)
{
	o->news = false;
	int64_t wake, plan_wake = CLOCK_NEVER;
	const struct record *r = record_of(o);
	refresh_candidates(o, r);
	const char **up = mem_zalloc((o->n_candidates + 1) * sizeof(*up));
	struct ownership_view v = view_of(o, r, up, now, &plan_wake);
	bool guarded = ownership_guards(&o->core), answered = ownership_answers(&o->core);
	enum ownership_action action = ownership_step(&o->core, &v, now, &wake);
	free(up);
	if (!answered && ownership_answers(&o->core) && v.fate == HOLDER_DEAD && o->core.from)
		misjudged_took(o->context->misjudged, o->core.from, now);
	char *alive = ownership_refuted(&o->core);
	if (alive && misjudged_announces(o->context->misjudged, alive, r, now))
		log_warn("misjudged", KV("peer", alive), "node %s was taken for dead and is not: this node takes nothing from it for a while", alive);
	free(alive);
	apply_answering(o, r);   /* frames first, then the API */
	if (answered && !ownership_answers(&o->core) && action == OWNERSHIP_NOTHING)
		forget_call(o, now);
	model_note_claim(cluster_model(o->context->cluster), &o->core.address, ownership_claims(&o->core));
	carry_out(o, r, action);
	if (guarded != ownership_guards(&o->core))
		say_guard(o, !guarded);
	say_change(o, r);
	o->wake = clock_min(wake, plan_wake);
}
