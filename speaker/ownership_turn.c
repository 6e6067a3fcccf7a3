/* IDLE: somebody else has the address, or nobody. Is it our turn? */
#include "speaker/ownership_steps.h"

#include <string.h>

#include "config/base/memory.h"

#define CLAIM_STEP (300 * CLOCK_MS)     /* between candidates for an unowned address (R10) */
#define AUDIT CLOCK_S                   /* R9: the record says us, and we do not hold it; doubling to */
#define AUDIT_MAX 4u                    /* 16 s */
#define LATE (8 * CLOCK_MS)             /* what a busy machine adds to the verdict of who comes before us: it does not scale with T */
#define ASK_BEFORE (20 * CLOCK_MS)      /* R5: before it is our turn, if others come first */
#define GONE_WAIT (50 * CLOCK_MS)       /* for the answer of one who is no node any more */
#define GONE_HEARD CLOCK_S
#define DOUBT (2 * CLOCK_S)             /* by then a takeover that was heard is recorded */
#define DOUBT_ANSWERED (100 * CLOCK_MS)
#define INSISTS 5u                      /* questions, one soon after the other: only who wants to be rid of an address asks so */
#define BELIEF (150 * CLOCK_S)          /* an owner announces more often (a minute by default), and records what it took */

static int64_t delay_of(const struct ownership_view *v)
{
	size_t k = ownership_rank(v, v->me);
	if (v->fate == HOLDER_DEAD)   /* R5: the first takes over at once */
		return k ? (int64_t)(k < 4 ? k : 4) * v->interval * 2 / 5 + (int64_t)k * v->interval * 6 / 100 + LATE : 0;
	return (int64_t)k * CLAIM_STEP;
}

/* The wire said another than the record does, and he should have recorded it by now; sooner when the record has gone on to
 * somebody who is dead since: then each knows better than the other, and nobody would take it. Does he answer? If not he is
 * believed no longer, and the record decides. */
static enum ownership_action audit(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (!v->api || strcmp(ownership_holder(o, v->record), v->record->holder) == 0)
		return OWNERSHIP_NOTHING;
	if (o->doubted_at <= o->claimed_at) {
		if (!ownership_reached(o->claimed_at + (v->record_dead ? DOUBT : BELIEF), now, wakep))
			return OWNERSHIP_NOTHING;
		o->doubted_at = now;
		*wakep = clock_min(*wakep, now + DOUBT_ANSWERED);
		return OWNERSHIP_ASK;
	}
	if (!ownership_reached(o->doubted_at + DOUBT_ANSWERED, now, wakep))
		return OWNERSHIP_NOTHING;
	mem_replace(&o->believed, NULL);
	*wakep = now + CLOCK_MS;
	return ownership_look(o, now);
}

/* R9: he who has it by the wire asks for it again and again, for he has seen that the record names us, and waits to hear us.
 * True once the API server has just said so, too: old lists and late answers have cost enough. */
static bool summoned(struct ownership *o, const struct ownership_view *v, int64_t now, enum ownership_action *actionp)
{
	if (o->summoned && !o->in_flight) {
		o->summoned = false;
		o->insisted = 0;
		return !o->unanswered;
	}
	if (!o->summoned && v->api && o->insisted >= INSISTS) {
		*actionp = ownership_look(o, now);
		o->summoned = *actionp == OWNERSHIP_LOOK;
	}
	return false;
}

/* The record names us, and we do not answer. */
static enum ownership_action mine_by_record(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	if (v->leaving)
		return OWNERSHIP_NOTHING;
	if (!v->eligible) {   /* only others may: none of them would start while we are alive */
		const char *successor = ownership_next_successor(v);
		return successor && v->served && v->api && ownership_can_write(o, now, wakep) ? ownership_write_as(o, OWNERSHIP_WRITE, successor, now) : OWNERSHIP_NOTHING;
	}
	enum ownership_action action = OWNERSHIP_NOTHING;
	if (appointed || summoned(o, v, now, &action)) {   /* by the guard, or by an owner that could not answer any more: it waits to hear us */
		ownership_enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (action != OWNERSHIP_NOTHING)
		return action;
	if (strcmp(ownership_holder(o, v->record), v->me) != 0) {   /* R9, level-triggered: does he who was heard with it answer still? */
		if (!ownership_reached(o->claimed_at + (AUDIT << o->audits), now, wakep))
			return OWNERSHIP_NOTHING;
		o->audits = o->audits < AUDIT_MAX ? o->audits + 1 : AUDIT_MAX;
	}
	ownership_enter(o, OWNERSHIP_CHECK, now);
	return OWNERSHIP_NOTHING;
}

static bool ours_to_take(const struct ownership_view *v)
{
	if (!v->eligible || v->leaving || ownership_rank(v, v->me) == v->n_candidates)
		return false;
	return v->fate == HOLDER_NONE || v->fate == HOLDER_GONE || (v->fate == HOLDER_DEAD && !v->misjudged);
}

static enum ownership_action claim(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (!ownership_can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	ownership_enter(o, OWNERSHIP_CLAIMING, now);
	o->fresh = v->fate == HOLDER_NONE && v->record->epoch == 0;
	return ownership_write_as(o, OWNERSHIP_WRITE, v->me, now);
}

/* Nobody ever had it, and we come first: answered at once, while the record is written. Who else thinks so has an older view,
 * and of two the one whose write comes first stays (R9), a round trip later. One request less before the first answer. */
static bool is_uncontested(const struct ownership *o, const struct ownership_view *v, int64_t now)
{
	return v->fate == HOLDER_NONE && v->record->epoch == 0 && !v->record->found && ownership_rank(v, v->me) == 0 && v->api && !o->in_flight && now >= o->retry_at;
}

/* R5 for the dead, R10 for what is nobody's. */
static enum ownership_action take(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (o->plan_at == CLOCK_NEVER || o->plan_for != v->fate) {
		o->plan_at = now + delay_of(v);
		/* Dead, and it has just announced the address: it is coming back. Two more questions decide, not the old verdict. */
		if (v->fate == HOLDER_DEAD && o->plan_at < o->claimed_at + 2 * v->interval)
			o->plan_at = o->claimed_at + 2 * v->interval;
		/* Gone by the API's word, but it may answer still (R10): then it hands over itself. */
		if (v->fate == HOLDER_GONE) {
			bool answered = o->plan_for == HOLDER_GONE && o->plan_asked && now < o->claimed_at + GONE_HEARD;
			o->plan_at = (answered ? o->claimed_at + GONE_HEARD : now) + GONE_WAIT + delay_of(v);
		}
		o->plan_for = v->fate;
		o->plan_asked = v->fate != HOLDER_GONE && ownership_rank(v, v->me) == 0;
		o->plan_rank = ownership_rank(v, v->me);
	}
	if (v->fate == HOLDER_NONE) {   /* many at once: who has room for it shows when the others have been taken */
		o->plan_at += ((int64_t)ownership_rank(v, v->me) - (int64_t)o->plan_rank) * CLAIM_STEP;
		o->plan_rank = ownership_rank(v, v->me);
	}
	int64_t at = v->fate == HOLDER_NONE && v->not_before > o->plan_at ? v->not_before : o->plan_at;
	if ((v->fate == HOLDER_DEAD || v->fate == HOLDER_GONE) && !o->plan_asked && ownership_reached(at - ASK_BEFORE, now, wakep)) {
		o->plan_asked = true;
		*wakep = clock_min(*wakep, at);
		return OWNERSHIP_ASK;
	}
	if (!ownership_reached(at, now, wakep))
		return OWNERSHIP_NOTHING;
	bool uncontested = is_uncontested(o, v, now);
	if (v->fate != HOLDER_DEAD && !uncontested)
		return claim(o, v, now, wakep);
	o->fresh |= uncontested;
	ownership_take_from(o, ownership_holder(o, v->record), v->record);   /* announced first, recorded after: works without the API */
	ownership_enter(o, OWNERSHIP_OWNED, now);
	o->retry_at = v->api ? now : now + OWNERSHIP_RETRY;
	return !ownership_is_mine(v) && ownership_can_write(o, now, wakep) ? ownership_write_as(o, OWNERSHIP_WRITE, v->me, now) : OWNERSHIP_NOTHING;
}

enum ownership_action ownership_idle(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	if (v->refused) {   /* nobody may announce it before the stranger has gone */
		o->plan_at = CLOCK_NEVER;
		return OWNERSHIP_NOTHING;
	}
	if (ownership_is_mine(v)) {
		enum ownership_action action = mine_by_record(o, v, appointed, now, wakep);
		if (action != OWNERSHIP_NOTHING || o->state != OWNERSHIP_IDLE || o->in_flight)
			return action;   /* else he who has it by the wire is missed as anybody else (R5, R6) */
	} else {
		enum ownership_action doubt = audit(o, v, now, wakep);
		if (doubt != OWNERSHIP_NOTHING)
			return doubt;
	}
	if (!ownership_is_mine(v) && v->eligible && !v->leaving && v->api && strcmp(v->record->successor, v->me) == 0)   /* R10: the owner stops on hearing us */
		return claim(o, v, now, wakep);
	/* Its owner has just been heard: it is coming back, and says so to our questions as well, or will be missed again. */
	if (v->fate == HOLDER_SPEAKER_DOWN && v->guard && !v->leaving && ownership_reached(o->claimed_at + 2 * v->interval, now, wakep)) {
		ownership_enter(o, OWNERSHIP_GUARDING, now);
		mem_replace(&o->guarded, ownership_holder(o, v->record));
		return OWNERSHIP_NOTHING;
	}
	if (ours_to_take(v) && (!ownership_is_mine(v) || v->fate == HOLDER_DEAD))
		return take(o, v, now, wakep);
	o->plan_at = CLOCK_NEVER;
	return OWNERSHIP_NOTHING;
}
