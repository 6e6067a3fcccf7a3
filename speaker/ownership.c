#include "speaker/ownership_steps.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

#define CHECK_ASKS 3u
#define CHECK_SPACING (10 * CLOCK_MS)
#define CHECK_DECIDED (65 * CLOCK_MS)   /* R7: asks at 0, 10, 20 ms */
#define GUARD_TIME (30 * CLOCK_S)       /* R6: then the address moves */
#define GUARD_DEAF (20 * CLOCK_MS)      /* its owner stops on hearing it, and may have answered just before */
#define HANDED_WAIT (2 * CLOCK_S)       /* ... and if the new holder is not heard, to the guard itself */
#define RELEASE_SPACING (20 * CLOCK_MS) /* R9 */
#define RELEASE_EAGER 10u               /* so many questions; then ten times less */
#define RELEASE_TIME CLOCK_S
#define YIELD_WORSE (10 * CLOCK_MS)     /* R8: the worse rank asks first, so two never yield to each other */
#define YIELD_BETTER (120 * CLOCK_MS)
#define YIELD_ASKS 2u
#define YIELD_DECIDED (60 * CLOCK_MS)   /* after the first question */
#define UNWATCHED CLOCK_S               /* no peer asked for so long whether we are alive */
#define STOP_ASK (150 * CLOCK_MS)       /* a guard tells us by itself; asking is for the frame that was lost */
#define STOP_SPACING (60 * CLOCK_MS)
#define STOP_UNGUARDED (700 * CLOCK_MS) /* nobody guards this one: it is moved */
#define REFUSAL (5 * CLOCK_S)           /* by then our note of the stranger has gone round */
#define INSISTENCE (500 * CLOCK_MS)     /* questions that follow each other sooner count together */

const char *ownership_state_name(enum ownership_state state)
{
	static const char *const NAMES[] = {"idle", "claiming", "check", "owned", "moving", "releasing", "yielding", "stopping", "guarding", "refused"};
	return NAMES[state];
}

void ownership_init(struct ownership *o, const struct address *a, int64_t now)
{
	*o = (struct ownership){.address = *a, .plan_at = CLOCK_NEVER, .since = now, .defended_at = CLOCK_LONG_AGO,
				.war_began = CLOCK_LONG_AGO, .claimed_at = CLOCK_LONG_AGO, .guard_heard = CLOCK_LONG_AGO, .rival_at = CLOCK_LONG_AGO, .doubted_at = CLOCK_LONG_AGO,
				.insisted_at = CLOCK_LONG_AGO, .epoch = -1};
}

void ownership_free(struct ownership *o)
{
	ownership_forget_before(o);
	free(o->from);
	free(o->target);
	free(o->guarded);
	free(o->rival);
	free(o->insists);
	free(o->refuted);
	free(o->believed);
}

bool ownership_answers(const struct ownership *o)
{
	switch (o->state) {
	case OWNERSHIP_OWNED:
	case OWNERSHIP_MOVING:
	case OWNERSHIP_RELEASING:
	case OWNERSHIP_YIELDING:
	case OWNERSHIP_STOPPING:
		return true;
	default:
		return false;
	}
}

bool ownership_guards(const struct ownership *o)
{
	return o->state == OWNERSHIP_GUARDING;
}

bool ownership_claims(const struct ownership *o)
{
	return o->state == OWNERSHIP_CLAIMING || (o->state == OWNERSHIP_OWNED && o->from && !*o->from);
}

bool ownership_is_handed(const struct ownership *o)
{
	return ownership_answers(o) && !o->from && !o->fresh;
}

bool ownership_undecided(const struct ownership *o)
{
	return o->state == OWNERSHIP_CHECK && !o->believed;   /* an audit is of what another has */
}

const char *ownership_holder(const struct ownership *o, const struct record *record)
{
	return o->believed && record->epoch <= o->believed_epoch ? o->believed : record->holder;
}

const char *ownership_guarded_node(const struct ownership *o, const struct record *record)
{
	return o->guarded ? o->guarded : ownership_holder(o, record);
}

bool ownership_overwritten(const struct ownership *o, const struct record *record, enum holder_fate fate)
{
	return o->state == OWNERSHIP_OWNED && !o->from && *record->holder && fate == HOLDER_DEAD;
}

/* ---- OWNED ---- */

/* R10: when our process ends nobody would guard, so it has to go to another. */
static bool unwatched(const struct ownership_view *v, int64_t now)
{
	return now - v->watched_at > UNWATCHED;
}

static enum ownership_action owned(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (ownership_is_mine(v)) {
		mem_replace(&o->from, NULL);
		ownership_forget_before(o);
		o->audits = 0;
	}
	if (!*v->record->holder && v->eligible && !o->from)
		ownership_take_from(o, "", v->record);   /* the record was made anew while we answer: it gets our name again */
	if (!v->served || v->mute || (!v->eligible && v->n_candidates == 0)) {
		ownership_enter(o, OWNERSHIP_IDLE, now);   /* withdrawn; the record keeps our name for when it can be served again */
		return OWNERSHIP_NOTHING;
	}
	if (!ownership_is_mine(v) && (!o->from || !ownership_held_before(o, v->record->holder))) {
		ownership_enter(o, OWNERSHIP_RELEASING, now);   /* the record is another's, or another successor has recorded it first */
		return OWNERSHIP_NOTHING;
	}
	if (o->rival)
		return ownership_settle_rivalry(o, v, now, wakep);
	if (v->leaving && !v->move_to && !(unwatched(v, now) && ownership_next_successor(v))) {
		ownership_enter(o, OWNERSHIP_STOPPING, now);
		return OWNERSHIP_NOTHING;
	}
	if (o->from)
		return ownership_can_write(o, now, wakep) ? ownership_write_as(o, OWNERSHIP_WRITE, v->me, now) : OWNERSHIP_NOTHING;
	if (v->move_to || v->leaving) {
		ownership_enter(o, OWNERSHIP_MOVING, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->clear_successor && v->api && ownership_can_write(o, now, wakep))
		return ownership_write_as(o, OWNERSHIP_NAME, "", now);
	if (o->guard_heard > o->defended_at && ownership_reached(o->defended_at + OWNERSHIP_DEFENCE_SPACING, now, wakep)) {   /* that ends the guard */
		o->defended_at = now;
		return OWNERSHIP_DEFEND;
	}
	return OWNERSHIP_NOTHING;
}

/* ---- MOVING ---- */

static enum ownership_action moving(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	const char *successor = v->record->successor;
	if (!ownership_is_mine(v)) {
		ownership_enter(o, OWNERSHIP_RELEASING, now);   /* he has written it, and is about to be heard */
		return OWNERSHIP_NOTHING;
	}
	if (!v->served || v->mute) {
		ownership_enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (o->rival && *successor && strcmp(o->rival, successor) == 0)
		return ownership_to_rival(o, v->record, now);
	const char *wanted = v->move_to ? v->move_to : v->leaving ? ownership_next_successor(v) : NULL;
	if (!wanted || o->rival) {   /* not possible or not wanted any more; or a third one is here */
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (!v->api || !ownership_can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	return strcmp(successor, wanted) == 0 ? OWNERSHIP_NOTHING : ownership_write_as(o, OWNERSHIP_NAME, wanted, now);   /* it never stops by time (finding 11) */
}

/* ---- RELEASING, YIELDING, STOPPING ---- */

static enum ownership_action releasing(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	/* Heard since, or before he had recorded it: whatever was thought of his node. */
	if (o->rival && (o->rival_at >= o->since || strcmp(o->rival, v->record->holder) == 0))
		return ownership_to_rival(o, v->record, now);
	if (ownership_is_mine(v)) {
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->fate == HOLDER_DEAD && !v->misjudged && v->eligible && !v->leaving) {   /* he died before he began */
		ownership_take_from(o, v->record->holder, v->record);
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	/* Cut off from all others we cannot hear him, and nobody hears us: go on, and write nothing. He who answers us, but not for
	 * this address, does not have it: he believes the wire, which says us, or has not heard of his record. Go on: our
	 * questions call him (summoned), and who stops by time leaves nobody. */
	bool hears = v->connected && !v->holder_alive;
	if (!v->served || v->mute || (hears && ownership_reached(o->since + RELEASE_TIME, now, wakep))) {
		/* His record may be older than his death, however it looked (misjudged): who is alive here would have vouched for him
		 * by now (R4). */
		bool dead = v->served && !v->mute && v->fate == HOLDER_DEAD && v->eligible && !v->leaving;
		if (dead)
			ownership_take_from(o, v->record->holder, v->record);
		ownership_enter(o, dead ? OWNERSHIP_OWNED : OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (ownership_question_due(o, 0, o->asked < RELEASE_EAGER ? RELEASE_SPACING : 10 * RELEASE_SPACING, now, wakep))
		return OWNERSHIP_ASK;
	return OWNERSHIP_NOTHING;
}

static enum ownership_action yielding(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	if (appointed && ownership_is_mine(v) && v->api) {   /* a write of ours has come through: he will give way when he sees it, and wants to hear us */
		o->unanswered = false;
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->api && !o->from && o->rival && strcmp(v->record->holder, o->rival) == 0)   /* the record has come meanwhile */
		return ownership_to_rival(o, v->record, now);
	int64_t wait = ownership_rank(v, v->me) > ownership_rank(v, o->rival) ? YIELD_WORSE : YIELD_BETTER;
	if (o->asked && o->rival_at > o->since + wait)
		return ownership_to_rival(o, v->record, now);
	if (o->asked < YIELD_ASKS)
		return ownership_question_due(o, wait, CHECK_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
	if (ownership_reached(o->since + wait + YIELD_DECIDED, now, wakep)) {   /* he does not answer: it stays here */
		mem_replace(&o->rival, NULL);
		ownership_enter(o, OWNERSHIP_OWNED, now);
		o->defended_at = now;
		return OWNERSHIP_DEFEND;   /* the others may believe him still: nobody would guard us, and they would guard him */
	}
	return OWNERSHIP_NOTHING;
}

static enum ownership_action stopping(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (o->guard_heard >= o->since || !v->served || v->mute) {   /* the record keeps our name: we come back, or the guard moves it */
		ownership_enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (!v->leaving) {
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	const char *successor = ownership_next_successor(v);
	if (v->move_to || (successor && v->api && ownership_is_mine(v) && ownership_reached(o->since + STOP_UNGUARDED, now, wakep))) {
		ownership_enter(o, OWNERSHIP_MOVING, now);
		return OWNERSHIP_NOTHING;
	}
	return ownership_question_due(o, STOP_ASK, STOP_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
}

/* ---- GUARDING ---- */

static enum ownership_action guarding(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (v->leaving && !o->stopping_at)
		o->stopping_at = now;
	if (!v->guard || v->refused || (v->leaving && o->guard_heard >= o->stopping_at)) {
		ownership_enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->leaving)   /* the next in the ring guards when it has missed us: until then it is still for us */
		return ownership_question_due(o, o->stopping_at - o->since + STOP_ASK, STOP_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
	if (!ownership_reached(o->since + GUARD_TIME, now, wakep))
		return OWNERSHIP_NOTHING;
	const char *successor = v->n_candidates ? v->candidates[0] : NULL;
	bool handed = strcmp(v->record->holder, o->guarded) != 0 && o->target && strcmp(v->record->holder, o->target) == 0;
	if (!successor)
		return OWNERSHIP_NOTHING;   /* nobody may announce it: the node itself is still the best */
	if (handed && !o->handed_at)
		o->handed_at = now;
	bool in_vain = o->handed_at && ownership_reached(o->handed_at + HANDED_WAIT, now, wakep);
	if (v->eligible && (strcmp(successor, v->me) == 0 || !v->api || in_vain)) {
		ownership_take_from(o, o->guarded, v->record);
		ownership_enter(o, OWNERSHIP_OWNED, now);
		o->retry_at = v->api ? now : now + OWNERSHIP_RETRY;
		return OWNERSHIP_NOTHING;
	}
	if (!handed && v->api && ownership_can_write(o, now, wakep))
		return ownership_write_as(o, OWNERSHIP_WRITE, successor, now);
	return OWNERSHIP_NOTHING;
}

/* ---- REFUSED, CHECK ---- */

static enum ownership_action refused(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (ownership_reached(o->since + REFUSAL, now, wakep) && !v->refused) {
		ownership_enter(o, OWNERSHIP_IDLE, now);
		o->fresh = true;
		*wakep = now + CLOCK_MS;   /* the record may name us still */
	}
	return OWNERSHIP_NOTHING;
}

static enum ownership_action check(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (o->asked < CHECK_ASKS && ownership_question_due(o, 0, CHECK_SPACING, now, wakep))
		return OWNERSHIP_ASK;
	if (!ownership_reached(o->since + CHECK_DECIDED, now, wakep))
		return OWNERSHIP_NOTHING;
	if (!v->eligible || v->leaving || v->refused || v->mute) {
		ownership_enter(o, OWNERSHIP_IDLE, now);
		*wakep = clock_min(*wakep, now + CLOCK_MS);
		return OWNERSHIP_NOTHING;
	}
	if (!ownership_is_mine(v) && !o->from)   /* nobody else has it, whatever the record says */
		ownership_take_from(o, v->record->holder, v->record);
	ownership_enter(o, OWNERSHIP_OWNED, now);
	return OWNERSHIP_NOTHING;
}

/* ---- the step ---- */

static enum ownership_action step_state(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	switch (o->state) {
	case OWNERSHIP_IDLE:
		return ownership_idle(o, v, appointed, now, wakep);
	case OWNERSHIP_CLAIMING:
		if (ownership_is_mine(v))
			ownership_enter(o, v->eligible ? OWNERSHIP_OWNED : OWNERSHIP_IDLE, now);
		else if (!o->in_flight)
			ownership_enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	case OWNERSHIP_CHECK:
		return check(o, v, now, wakep);
	case OWNERSHIP_OWNED:
		return owned(o, v, now, wakep);
	case OWNERSHIP_MOVING:
		return moving(o, v, now, wakep);
	case OWNERSHIP_RELEASING:
		return releasing(o, v, now, wakep);
	case OWNERSHIP_YIELDING:
		return yielding(o, v, appointed, now, wakep);
	case OWNERSHIP_STOPPING:
		return stopping(o, v, now, wakep);
	case OWNERSHIP_GUARDING:
		return guarding(o, v, now, wakep);
	case OWNERSHIP_REFUSED:
		return refused(o, v, now, wakep);
	case OWNERSHIP_STATES:
		break;
	}
	return OWNERSHIP_NOTHING;
}

enum ownership_action ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	*wakep = CLOCK_NEVER;
	if (!v->record) {   /* the controller has taken it back */
		ownership_enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	/* Our name has just been written, if only by a late write of our own: no old claim of which others may know more. Who
	 * answers still stops on hearing us, and would wait for it in vain. */
	bool appointed = o->epoch >= 0 && v->record->epoch > o->epoch;
	o->epoch = v->record->epoch;
	for (unsigned i = 0;; i++) {
		enum ownership_state before = o->state;
		enum ownership_action action = step_state(o, v, appointed, now, wakep);
		/* One transition may open the next, e.g. OWNED to MOVING to a NAME; coming to rest ends it. */
		if (action != OWNERSHIP_NOTHING || o->state == before)
			return action;
		if (o->state == OWNERSHIP_IDLE || i == OWNERSHIP_STATES) {   /* never for ever */
			*wakep = clock_min(*wakep, now + CLOCK_MS);
			return action;
		}
	}
}

/* ---- events ---- */

void ownership_written(struct ownership *o, int status, int64_t now)
{
	o->in_flight = false;
	bool done = status >= 200 && status < 300;
	/* A conflict is answered by looking again, which the caller has done by now; anything else waits a little. */
	o->retry_at = done || status == 409 ? now : now + OWNERSHIP_RETRY;
	if (!done && o->state == OWNERSHIP_CLAIMING)
		ownership_enter(o, OWNERSHIP_IDLE, now);
}

void ownership_looked(struct ownership *o, int status, int64_t now)
{
	o->in_flight = false;
	o->looked = true;
	o->unanswered = status != 200 && status != 404;   /* no answer in time is as good as no API */
	o->retry_at = o->unanswered ? now + OWNERSHIP_RETRY : o->retry_at;
}

/* We go on only until he is heard. That is at once: what he and we hear after it is his to answer. */
static bool is_awaited(const struct ownership *o, const char *peer, const struct record *record)
{
	if (o->state == OWNERSHIP_MOVING)
		return record && strcmp(record->successor, peer) == 0;
	return o->state == OWNERSHIP_RELEASING || o->state == OWNERSHIP_STOPPING;
}

void ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now)
{
	if (ownership_answers(o)) {
		if (is_awaited(o, peer, record)) {
			mem_replace(&o->rival, peer);
			ownership_to_rival(o, record, now);
			return;
		}
		if (!o->rival || strcmp(o->rival, peer) != 0) {
			mem_replace(&o->rival, peer);
			o->looked = false;
			o->rival_since = now;
			o->retry_at = clock_min(o->retry_at, now);   /* whom we hear may have brought the API server back */
		}
		o->rival_at = now;
		return;
	}
	/* An answer that was on its way when the guard began is no return; that shows in liveness as well. */
	if (o->state == OWNERSHIP_GUARDING && strcmp(peer, o->guarded) == 0 && now < o->since + GUARD_DEAF)
		return;
	o->claimed_at = now;
	if (o->state == OWNERSHIP_CHECK || o->state == OWNERSHIP_GUARDING)
		ownership_enter(o, OWNERSHIP_IDLE, now);
	ownership_believe(o, peer, record);
	o->plan_at = CLOCK_NEVER;   /* somebody was faster */
}

void ownership_announced(struct ownership *o, const char *peer, const struct record *record)
{
	if (ownership_answers(o) && (ownership_held_before(o, peer) || (record && record_held_before(record, peer))))
		mem_replace(&o->insists, peer);
}

char *ownership_refuted(struct ownership *o)
{
	char *peer = o->refuted;
	o->refuted = NULL;
	return peer;
}

void ownership_asked(struct ownership *o, const char *peer, int64_t now)
{
	if (o->state != OWNERSHIP_IDLE || !o->believed || strcmp(o->believed, peer) != 0)
		return;
	o->insisted = now - o->insisted_at < INSISTENCE ? o->insisted + 1 : 1;
	o->insisted_at = now;
}

void ownership_guard_heard(struct ownership *o, int64_t now)
{
	o->guard_heard = now;
}

void ownership_stranger_heard(struct ownership *o)
{
	o->doubted |= o->state == OWNERSHIP_CHECK;
}

/* A CHECK knows what we had: whom it was taken from is not forgotten. */
static void check_again(struct ownership *o, int64_t now)
{
	if (ownership_answers(o)) {
		ownership_enter(o, OWNERSHIP_CHECK, now);
	} else if (ownership_guards(o)) {
		ownership_enter(o, OWNERSHIP_IDLE, now);
	} else if (o->state == OWNERSHIP_CHECK) {
		o->since = now;
		o->asked = 0;
	}
	o->plan_at = CLOCK_NEVER;
}

void ownership_woke(struct ownership *o, int64_t now)
{
	check_again(o, now);
	o->epoch = -1;
}

void ownership_link_back(struct ownership *o, int64_t now)
{
	check_again(o, now);
}

void ownership_refused(struct ownership *o, int64_t now)
{
	if (!ownership_answers(o))
		return;
	ownership_enter(o, OWNERSHIP_REFUSED, now);
}
