#include "speaker/ownership.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

#define CLAIM_STEP (300 * CLOCK_MS)     /* between candidates for an unowned address (R10) */
#define SUCCESSOR_WAIT CLOCK_S          /* then the next successor is named; the owner never stops by time (finding 11) */
#define DEFENCE_SPACING (200 * CLOCK_MS)
#define RETRY CLOCK_S                   /* of writes; also while the API is away: the write that succeeds ends the outage */
#define CHECK_ASKS 3u
#define CHECK_SPACING (10 * CLOCK_MS)
#define CHECK_DECIDED (65 * CLOCK_MS)   /* R7: asks at 0, 10, 20 ms */
#define WAR (10 * CLOCK_S)              /* defences within it count together (R8) */
#define WAR_RANK 3u                     /* from this defence on the worse static rank yields, */
#define WAR_END 6u                      /* and at this one everybody: the other one has the record */
#define AUDIT (2 * CLOCK_S)             /* R9: the record says us, and we do not hold it */
#define REFUSAL (5 * CLOCK_S)           /* by then our note of the stranger has gone round */
#define BELIEF (150 * CLOCK_S)          /* an owner announces more often (a minute by default), and records what it took */

void ownership_init(struct ownership *o, const struct address *a, int64_t now)
{
	*o = (struct ownership){.address = *a, .plan_at = CLOCK_NEVER, .audit_at = CLOCK_NEVER, .since = now, .defended_at = INT64_MIN / 2,
				.war_began = INT64_MIN / 2, .claimed_at = INT64_MIN / 2};
}

void ownership_free(struct ownership *o)
{
	free(o->from);
	free(o->from_record);
	free(o->target);
	free(o->rival);
	free(o->believed);
}

bool ownership_answers(const struct ownership *o)
{
	return o->state == OWNERSHIP_OWNED || o->state == OWNERSHIP_LEAVING;
}

static void believe(struct ownership *o, const char *peer, const struct record *record)
{
	mem_replace(&o->believed, peer);
	o->believed_epoch = record ? record->epoch : 0;
}

static void enter(struct ownership *o, enum ownership_state state, int64_t now)
{
	if (o->state == state)
		return;
	if (state == OWNERSHIP_OWNED)
		mem_replace(&o->believed, NULL);
	if (o->state == OWNERSHIP_OWNED && state != OWNERSHIP_REFUSED && state != OWNERSHIP_CHECK)
		o->fresh = false;
	o->state = state;
	o->since = now;
	o->plan_at = CLOCK_NEVER;
	o->handed_at = 0;
	if (state == OWNERSHIP_IDLE || state == OWNERSHIP_CLAIMING) {
		mem_replace(&o->from, NULL);
		mem_replace(&o->rival, NULL);
	}
}

static enum ownership_action write_holder(struct ownership *o, const char *target)
{
	mem_replace(&o->target, target);
	o->in_flight = true;
	return OWNERSHIP_WRITE;
}

static bool can_write(const struct ownership *o, int64_t now, int64_t *wakep)
{
	if (o->in_flight)
		return false;
	if (now < o->retry_at) {
		*wakep = clock_min(*wakep, o->retry_at);
		return false;
	}
	return true;
}

/* Our place among the candidates; n_candidates when we are none. */
static size_t rank(const struct ownership_view *v, const char *node)
{
	size_t i = 0;
	while (i < v->n_candidates && strcmp(v->candidates[i], node) != 0)
		i++;
	return i;
}

/* The one after `last` (NULL: the first), round and round: the list changes as nodes come and go. NULL: there is no other. */
static const char *next_successor(const struct ownership_view *v, const char *last)
{
	size_t n = v->n_candidates, from = last ? rank(v, last) + 1 : 0;
	for (size_t i = 0; i < n; i++) {
		const char *node = v->candidates[(from > n ? i : from + i) % n];
		if (strcmp(node, v->me) != 0 && (!last || strcmp(node, last) != 0))
			return node;
	}
	return NULL;
}

/* The record may be overwritten as long as it names one of those we took the address from (R9). */
static bool taken_from(const struct ownership *o, const char *holder)
{
	return strcmp(holder, o->from) == 0 || strcmp(holder, o->from_record) == 0;
}

static void take_from(struct ownership *o, const char *owner, const struct record *record)
{
	mem_replace(&o->from, owner);
	mem_replace(&o->from_record, record->holder);
}

/* ---- IDLE: is it our turn? ---- */

static int64_t delay_of(const struct ownership_view *v)
{
	size_t k = rank(v, v->me);
	if (v->fate == HOLDER_DOWN)   /* R5: the first takes over at once */
		return (int64_t)(k < 4 ? k : 4) * v->interval * 2 / 5 + (k ? (int64_t)k * v->interval * 6 / 100 : 0);
	return (int64_t)k * CLAIM_STEP;
}

/* The wire said another than the record does, and he should have recorded it by now: we look again, and the record decides.
 * Else two that yielded to each other without the API, or one that withdrew before he had recorded, would leave it dark. */
static bool audit_due(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	const char *holder = v->record->holder;
	if (!v->api || strcmp(ownership_holder(o, v->record), holder) == 0) {
		o->audit_at = CLOCK_NEVER;
		return false;
	}
	if (o->audit_at == CLOCK_NEVER)
		o->audit_at = now + (strcmp(holder, v->me) == 0 ? AUDIT : BELIEF);
	if (now < o->audit_at) {
		*wakep = clock_min(*wakep, o->audit_at);
		return false;
	}
	o->audit_at = CLOCK_NEVER;
	return true;
}

static enum ownership_action look(struct ownership *o)
{
	if (o->in_flight)
		return OWNERSHIP_NOTHING;
	o->in_flight = true;
	return OWNERSHIP_LOOK;
}

/* The record names us, but only others may answer: none of them would start while we are alive. */
static enum ownership_action pass_on(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	const char *successor = next_successor(v, NULL);
	return successor && v->served && v->api && can_write(o, now, wakep) ? write_holder(o, successor) : OWNERSHIP_NOTHING;
}

static enum ownership_action idle(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (v->refused) {   /* nobody may announce it before the stranger has gone */
		o->plan_at = CLOCK_NEVER;
		return OWNERSHIP_NOTHING;
	}
	if (audit_due(o, v, now, wakep)) {
		mem_replace(&o->believed, NULL);
		o->must_look = true;
		return look(o);
	}
	if (v->fate == HOLDER_ME && (!v->eligible || v->leaving))
		return pass_on(o, v, now, wakep);
	bool ours_to_take = v->fate == HOLDER_NONE || v->fate == HOLDER_DOWN || v->fate == HOLDER_GONE;
	if (!v->eligible || v->leaving || (!ours_to_take && v->fate != HOLDER_ME) || rank(v, v->me) == v->n_candidates) {
		o->plan_at = CLOCK_NEVER;
		return OWNERSHIP_NOTHING;
	}
	if (o->must_look && v->api)
		return look(o);
	if (v->fate == HOLDER_ME) {
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (o->plan_at == CLOCK_NEVER || o->plan_for != v->fate) {
		o->plan_at = now + delay_of(v);
		/* Dead, and it has just announced the address: it is coming back. Two more questions decide, not the old verdict. */
		if (v->fate == HOLDER_DOWN && o->plan_at < o->claimed_at + 2 * v->interval)
			o->plan_at = o->claimed_at + 2 * v->interval;
		o->plan_for = v->fate;
	}
	int64_t at = v->fate == HOLDER_NONE && v->not_before > o->plan_at ? v->not_before : o->plan_at;
	if (now < at) {
		*wakep = clock_min(*wakep, at);
		return OWNERSHIP_NOTHING;
	}
	if (v->fate == HOLDER_DOWN) {   /* announced first, recorded after: works without the API */
		take_from(o, ownership_holder(o, v->record), v->record);
		enter(o, OWNERSHIP_OWNED, now);
		o->retry_at = v->api ? now : now + RETRY;
		return can_write(o, now, wakep) ? write_holder(o, v->me) : OWNERSHIP_NOTHING;
	}
	if (!can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	enter(o, OWNERSHIP_CLAIMING, now);
	o->fresh = v->fate == HOLDER_NONE && v->record->epoch == 0;
	return write_holder(o, v->me);
}

/* ---- OWNED ---- */

/* Does our claim stand against the rival's? With the API the record decides (it has just been read), without it the younger
 * takeover, then the static order; so of two that meet at most one defends. */
static bool outranks(const struct ownership *o, const struct ownership_view *v)
{
	bool api = v->api && !o->unanswered;
	if (!api && (o->defences >= WAR_END || (o->defences >= WAR_RANK && rank(v, v->me) > rank(v, o->rival))))
		return false;
	bool took_it = record_held_before(v->record, o->rival);
	if (v->fate == HOLDER_ME)
		return api || took_it;
	if (!o->from)
		return false;
	return api || took_it || taken_from(o, o->rival) || rank(v, v->me) < rank(v, o->rival);
}

/* Another one says that the address is his (R8). */
static enum ownership_action settle_rivalry(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (v->api && !o->looked)
		return look(o);
	if (!outranks(o, v)) {
		believe(o, o->rival, v->record);
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (now < o->defended_at + DEFENCE_SPACING) {
		*wakep = clock_min(*wakep, o->defended_at + DEFENCE_SPACING);
		return OWNERSHIP_NOTHING;
	}
	if (now > o->war_began + WAR) {
		o->war_began = now;
		o->defences = 0;
	}
	o->defences++;
	mem_replace(&o->rival, NULL);
	o->defended_at = now;
	return OWNERSHIP_DEFEND;
}

static enum ownership_action owned(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	bool mine = v->fate == HOLDER_ME;
	if (mine)
		mem_replace(&o->from, NULL);
	if (v->fate == HOLDER_NONE && v->eligible && !o->from)
		take_from(o, "", v->record);   /* the record was made anew while we answer: it gets our name again */
	if (!mine && !o->from) {
		/* The record names another. Cut off from all the others we cannot hear him, and nobody hears us: go on. */
		if (v->connected)
			enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (!v->served || (!v->eligible && v->n_candidates == 0)) {
		enter(o, OWNERSHIP_IDLE, now);   /* withdrawn; the record keeps our name for when it can be served again */
		return OWNERSHIP_NOTHING;
	}
	if (o->rival)
		return settle_rivalry(o, v, now, wakep);
	if (o->from && !taken_from(o, v->record->holder)) {
		enter(o, OWNERSHIP_IDLE, now);   /* another successor has recorded it first */
		return OWNERSHIP_NOTHING;
	}
	if (o->from)
		return can_write(o, now, wakep) ? write_holder(o, v->me) : OWNERSHIP_NOTHING;
	if (!v->eligible || v->leaving)
		enter(o, OWNERSHIP_LEAVING, now);
	return OWNERSHIP_NOTHING;
}

/* ---- LEAVING ---- */

static enum ownership_action leaving(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	bool named = v->fate != HOLDER_ME && o->target && strcmp(v->record->holder, o->target) == 0 && strcmp(o->target, v->me) != 0;
	if (v->fate == HOLDER_ME && v->eligible && !v->leaving) {
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (named && v->fate == HOLDER_DOWN && v->eligible && !v->leaving) {   /* it died before it began */
		take_from(o, o->target, v->record);
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	/* Heard: the successor answers. Or nobody can be served through it: then silence is right. */
	if (!v->served || (o->rival && named && strcmp(o->rival, o->target) == 0) || (v->fate != HOLDER_ME && !named && !o->in_flight)) {
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (named && !o->handed_at)
		o->handed_at = now;
	if (named && now < o->handed_at + SUCCESSOR_WAIT) {
		*wakep = clock_min(*wakep, o->handed_at + SUCCESSOR_WAIT);
		return OWNERSHIP_NOTHING;
	}
	if (named && v->fate != HOLDER_DOWN && !v->connected) {
		/* We hear nobody: his silence says nothing. Naming one after the other would move the address when we are back. */
		*wakep = clock_min(*wakep, now + RETRY);
		return OWNERSHIP_NOTHING;
	}
	if (!v->api || !can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	const char *successor = next_successor(v, named ? o->target : NULL);
	o->handed_at = 0;
	if (successor)
		return write_holder(o, successor);
	o->retry_at = now + RETRY;
	*wakep = clock_min(*wakep, o->retry_at);
	return OWNERSHIP_NOTHING;
}

/* ---- REFUSED ---- */

static enum ownership_action refused(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (now < o->since + REFUSAL) {
		*wakep = clock_min(*wakep, o->since + REFUSAL);
	} else if (!v->refused) {
		enter(o, OWNERSHIP_IDLE, now);
		o->fresh = true;
		*wakep = now + CLOCK_MS;   /* the record may name us still */
	}
	return OWNERSHIP_NOTHING;
}

/* ---- CHECK ---- */

static enum ownership_action check(struct ownership *o, int64_t now, int64_t *wakep)
{
	int64_t next = o->asked < CHECK_ASKS ? o->since + o->asked * CHECK_SPACING : o->since + CHECK_DECIDED;
	if (now < next) {
		*wakep = clock_min(*wakep, next);
		return OWNERSHIP_NOTHING;
	}
	if (o->asked < CHECK_ASKS) {
		o->asked++;
		*wakep = clock_min(*wakep, o->since + CHECK_SPACING * o->asked);
		return OWNERSHIP_ASK;
	}
	enter(o, OWNERSHIP_OWNED, now);   /* nobody else has it */
	return OWNERSHIP_NOTHING;
}

enum ownership_action ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	*wakep = CLOCK_NEVER;
	if (!v->record) {   /* the controller has taken it back */
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	for (;;) {
		enum ownership_state before = o->state;
		enum ownership_action action = OWNERSHIP_NOTHING;
		switch (o->state) {
		case OWNERSHIP_IDLE:
			action = idle(o, v, now, wakep);
			break;
		case OWNERSHIP_CLAIMING:
			if (v->fate == HOLDER_ME)
				enter(o, v->eligible ? OWNERSHIP_OWNED : OWNERSHIP_IDLE, now);
			else if (!o->in_flight)
				enter(o, OWNERSHIP_IDLE, now);
			break;
		case OWNERSHIP_OWNED:
			action = owned(o, v, now, wakep);
			break;
		case OWNERSHIP_LEAVING:
			action = leaving(o, v, now, wakep);
			break;
		case OWNERSHIP_REFUSED:
			action = refused(o, v, now, wakep);
			break;
		case OWNERSHIP_CHECK:
			action = check(o, now, wakep);
			break;
		}
		/* One transition may open the next, e.g. OWNED to LEAVING to a WRITE; coming to rest ends it. */
		if (action != OWNERSHIP_NOTHING || o->state == before || o->state == OWNERSHIP_IDLE)
			return action;
	}
}

void ownership_written(struct ownership *o, int status, int64_t now)
{
	o->in_flight = false;
	bool done = status >= 200 && status < 300;
	/* A conflict is answered by looking again, which the caller has done by now; anything else waits a little. */
	o->retry_at = done || status == 409 ? now : now + RETRY;
	if (!done && o->state == OWNERSHIP_CLAIMING)
		enter(o, OWNERSHIP_IDLE, now);
}

void ownership_looked(struct ownership *o, int status, int64_t now)
{
	o->in_flight = false;
	o->looked = true;
	o->must_look = false;
	o->unanswered = status != 200 && status != 404;   /* no answer in time is as good as no API */
	o->retry_at = o->unanswered ? now + RETRY : o->retry_at;
}

void ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now)
{
	if (!ownership_answers(o)) {
		o->claimed_at = now;
		enter(o, o->state == OWNERSHIP_CHECK ? OWNERSHIP_IDLE : o->state, now);
		believe(o, peer, record);
		o->audit_at = CLOCK_NEVER;
		o->plan_at = CLOCK_NEVER;   /* somebody was faster */
	} else if (!o->rival || strcmp(o->rival, peer) != 0) {
		mem_replace(&o->rival, peer);
		o->looked = false;
		o->retry_at = clock_min(o->retry_at, now);   /* whom we hear may have brought the API server back */
	}
}

void ownership_woke(struct ownership *o, int64_t now)
{
	if (!ownership_answers(o))
		return;
	enter(o, OWNERSHIP_IDLE, now);
	o->must_look = true;
}

void ownership_refused(struct ownership *o, int64_t now)
{
	if (!ownership_answers(o))
		return;
	enter(o, OWNERSHIP_REFUSED, now);
	mem_replace(&o->from, NULL);
	mem_replace(&o->rival, NULL);
}

void ownership_link_back(struct ownership *o, int64_t now)
{
	if (!ownership_answers(o))
		return;
	enter(o, OWNERSHIP_CHECK, now);
	o->asked = 0;
}

const char *ownership_holder(const struct ownership *o, const struct record *record)
{
	return o->believed && record->epoch <= o->believed_epoch ? o->believed : record->holder;
}
