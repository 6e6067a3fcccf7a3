#include "speaker/ownership.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

#define CLAIM_STEP (300 * CLOCK_MS)     /* between candidates for an unowned address (R10) */
#define DEFENCE_SPACING (200 * CLOCK_MS)
#define RETRY CLOCK_S                   /* of writes; also while the API is away: the write that succeeds ends the outage */
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
#define HANGING (100 * CLOCK_MS)        /* a write that is not answered by then when a rival appears */
#define LOOKING (200 * CLOCK_MS)        /* a look; two answer meanwhile */
#define RACE (2 * CLOCK_S)              /* after a takeover */
#define WAR (10 * CLOCK_S)              /* defences within it count together (R8) */
#define WAR_RANK 3u                     /* from this defence on the worse static rank yields, */
#define WAR_END 6u                      /* and at this one everybody: the other one has the record */
#define AUDIT CLOCK_S                   /* R9: the record says us, and we do not hold it; doubling to */
#define AUDIT_MAX 4u                    /* 16 s */
#define LATE (8 * CLOCK_MS)             /* what a busy machine adds to the verdict of who comes before us: it does not scale with T */
#define ASK_BEFORE (20 * CLOCK_MS)      /* R5: before it is our turn, if others come first */
#define GONE_WAIT (50 * CLOCK_MS)       /* for the answer of one who is no node any more */
#define GONE_HEARD CLOCK_S
#define DOUBT (2 * CLOCK_S)             /* by then a takeover that was heard is recorded */
#define DOUBT_ANSWERED (100 * CLOCK_MS)
#define REFUSAL (5 * CLOCK_S)           /* by then our note of the stranger has gone round */
#define INSISTS 5u                      /* questions, each sooner than */
#define INSISTENCE (500 * CLOCK_MS)     /* after the one before it: only who wants to be rid of an address asks so */
#define BELIEF (150 * CLOCK_S)          /* an owner announces more often (a minute by default), and records what it took */
#define LONG_AGO (INT64_MIN / 2)

const char *ownership_state_name(enum ownership_state state)
{
	static const char *const NAMES[] = {"idle", "claiming", "check", "owned", "moving", "releasing", "yielding", "stopping", "guarding", "refused"};
	return NAMES[state];
}

void ownership_init(struct ownership *o, const struct address *a, int64_t now)
{
	*o = (struct ownership){.address = *a, .plan_at = CLOCK_NEVER, .since = now, .defended_at = LONG_AGO,
				.war_began = LONG_AGO, .claimed_at = LONG_AGO, .guard_heard = LONG_AGO, .rival_at = LONG_AGO, .doubted_at = LONG_AGO,
				.insisted_at = LONG_AGO, .epoch = -1};
}

static void forget_before(struct ownership *o)
{
	for (size_t i = 0; i < OWNERSHIP_BEFORE; i++)
		mem_replace(&o->before[i], NULL);
}

void ownership_free(struct ownership *o)
{
	forget_before(o);
	free(o->from);
	free(o->target);
	free(o->guarded);
	free(o->rival);
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

static void believe(struct ownership *o, const char *peer, const struct record *record)
{
	mem_replace(&o->believed, peer);
	o->believed_epoch = record ? record->epoch : 0;
}

static void enter(struct ownership *o, enum ownership_state state, int64_t now)
{
	bool was_answering = ownership_answers(o);
	if (o->state == state)
		return;
	o->state = state;
	o->since = now;
	o->plan_at = CLOCK_NEVER;
	o->handed_at = o->stopping_at = 0;
	o->asked = o->insisted = 0;
	o->summoned = false;
	mem_replace(&o->guarded, NULL);
	if (ownership_answers(o)) {
		mem_replace(&o->believed, NULL);
		if (!was_answering)
			mem_replace(&o->rival, NULL);
		return;
	}
	mem_replace(&o->rival, NULL);
	if (state != OWNERSHIP_CHECK && state != OWNERSHIP_CLAIMING) {
		mem_replace(&o->from, NULL);
		forget_before(o);
	}
	if (was_answering && state == OWNERSHIP_IDLE)
		o->fresh = o->doubted = false;
}

/* ---- writing ---- */

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

static enum ownership_action write_as(struct ownership *o, enum ownership_action action, const char *target, int64_t now)
{
	mem_replace(&o->target, target);
	o->in_flight = true;
	o->looking = false;
	o->called_at = now;
	return action;
}

static enum ownership_action look(struct ownership *o, int64_t now)
{
	if (o->in_flight)
		return OWNERSHIP_NOTHING;
	o->in_flight = o->looking = true;
	o->called_at = now;
	return OWNERSHIP_LOOK;
}

/* By the record. */
static bool mine(const struct ownership_view *v)
{
	return strcmp(v->record->holder, v->me) == 0;
}

/* Our place among the candidates; n_candidates when we are none. */
static size_t rank(const struct ownership_view *v, const char *node)
{
	size_t i = 0;
	while (i < v->n_candidates && strcmp(v->candidates[i], node) != 0)
		i++;
	return i;
}

/* The first who is not us; NULL: there is no other. */
static const char *next_successor(const struct ownership_view *v)
{
	for (size_t i = 0; i < v->n_candidates; i++)
		if (strcmp(v->candidates[i], v->me) != 0)
			return v->candidates[i];
	return NULL;
}

/* R9: the record may be overwritten as long as it names one of those that had the address when we took it. */
static bool held_before(const struct ownership *o, const char *node)
{
	for (size_t i = 0; i < OWNERSHIP_BEFORE; i++)
		if (o->before[i] && strcmp(o->before[i], node) == 0)
			return true;
	return false;
}

/* In a chain of deaths the record names somebody before `owner` still: he may be overwritten, too. */
static void take_from(struct ownership *o, const char *owner, const struct record *record)
{
	mem_replace(&o->from, owner);
	mem_replace(&o->before[0], owner);
	mem_replace(&o->before[1], record->holder);
	for (size_t i = 0; i < PREVIOUS_HOLDERS; i++)
		mem_replace(&o->before[2 + i], record->previous[i]);
}

/* Wakes at `at`; true when it has come. */
static bool reached(int64_t at, int64_t now, int64_t *wakep)
{
	if (now < at)
		*wakep = clock_min(*wakep, at);
	return now >= at;
}

/* A question `wait` after the beginning of the state, then every `spacing`: is one due? */
static bool question_due(struct ownership *o, int64_t wait, int64_t spacing, int64_t now, int64_t *wakep)
{
	if (!reached(o->asked ? o->asked_at + spacing : o->since + wait, now, wakep))
		return false;
	o->asked++;
	o->asked_at = now;
	*wakep = clock_min(*wakep, now + spacing);
	return true;
}

/* ---- IDLE: is it our turn? ---- */

static int64_t delay_of(const struct ownership_view *v)
{
	size_t k = rank(v, v->me);
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
		if (!reached(o->claimed_at + (v->record_dead ? DOUBT : BELIEF), now, wakep))
			return OWNERSHIP_NOTHING;
		o->doubted_at = now;
		*wakep = clock_min(*wakep, now + DOUBT_ANSWERED);
		return OWNERSHIP_ASK;
	}
	if (!reached(o->doubted_at + DOUBT_ANSWERED, now, wakep))
		return OWNERSHIP_NOTHING;
	mem_replace(&o->believed, NULL);
	*wakep = now + CLOCK_MS;
	return look(o, now);
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
		*actionp = look(o, now);
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
		const char *successor = next_successor(v);
		return successor && v->served && v->api && can_write(o, now, wakep) ? write_as(o, OWNERSHIP_WRITE, successor, now) : OWNERSHIP_NOTHING;
	}
	enum ownership_action action = OWNERSHIP_NOTHING;
	if (appointed || summoned(o, v, now, &action)) {   /* by the guard, or by an owner that could not answer any more: it waits to hear us */
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (action != OWNERSHIP_NOTHING)
		return action;
	if (strcmp(ownership_holder(o, v->record), v->me) != 0) {   /* R9, level-triggered: does he who was heard with it answer still? */
		if (!reached(o->claimed_at + (AUDIT << o->audits), now, wakep))
			return OWNERSHIP_NOTHING;
		o->audits = o->audits < AUDIT_MAX ? o->audits + 1 : AUDIT_MAX;
	}
	enter(o, OWNERSHIP_CHECK, now);
	return OWNERSHIP_NOTHING;
}

static bool ours_to_take(const struct ownership_view *v)
{
	if (!v->eligible || v->leaving || rank(v, v->me) == v->n_candidates)
		return false;
	return v->fate == HOLDER_NONE || v->fate == HOLDER_GONE || (v->fate == HOLDER_DEAD && !v->misjudged);
}

static enum ownership_action claim(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (!can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	enter(o, OWNERSHIP_CLAIMING, now);
	o->fresh = v->fate == HOLDER_NONE && v->record->epoch == 0;
	return write_as(o, OWNERSHIP_WRITE, v->me, now);
}

/* Nobody ever had it, and we come first: answered at once, while the record is written. Who else thinks so has an older view,
 * and of two the one whose write comes first stays (R9), a round trip later. One request less before the first answer. */
static bool is_uncontested(const struct ownership *o, const struct ownership_view *v, int64_t now)
{
	return v->fate == HOLDER_NONE && v->record->epoch == 0 && !v->record->found && rank(v, v->me) == 0 && v->api && !o->in_flight && now >= o->retry_at;
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
		o->plan_asked = v->fate != HOLDER_GONE && rank(v, v->me) == 0;
		o->plan_rank = rank(v, v->me);
	}
	if (v->fate == HOLDER_NONE) {   /* many at once: who has room for it shows when the others have been taken */
		o->plan_at += ((int64_t)rank(v, v->me) - (int64_t)o->plan_rank) * CLAIM_STEP;
		o->plan_rank = rank(v, v->me);
	}
	int64_t at = v->fate == HOLDER_NONE && v->not_before > o->plan_at ? v->not_before : o->plan_at;
	if ((v->fate == HOLDER_DEAD || v->fate == HOLDER_GONE) && !o->plan_asked && reached(at - ASK_BEFORE, now, wakep)) {
		o->plan_asked = true;
		*wakep = clock_min(*wakep, at);
		return OWNERSHIP_ASK;
	}
	if (!reached(at, now, wakep))
		return OWNERSHIP_NOTHING;
	bool uncontested = is_uncontested(o, v, now);
	if (v->fate != HOLDER_DEAD && !uncontested)
		return claim(o, v, now, wakep);
	o->fresh |= uncontested;
	take_from(o, ownership_holder(o, v->record), v->record);   /* announced first, recorded after: works without the API */
	enter(o, OWNERSHIP_OWNED, now);
	o->retry_at = v->api ? now : now + RETRY;
	return !mine(v) && can_write(o, now, wakep) ? write_as(o, OWNERSHIP_WRITE, v->me, now) : OWNERSHIP_NOTHING;
}

static enum ownership_action idle(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	if (v->refused) {   /* nobody may announce it before the stranger has gone */
		o->plan_at = CLOCK_NEVER;
		return OWNERSHIP_NOTHING;
	}
	if (mine(v)) {
		enum ownership_action action = mine_by_record(o, v, appointed, now, wakep);
		if (action != OWNERSHIP_NOTHING || o->state != OWNERSHIP_IDLE || o->in_flight)
			return action;   /* else he who has it by the wire is missed as anybody else (R5, R6) */
	} else {
		enum ownership_action doubt = audit(o, v, now, wakep);
		if (doubt != OWNERSHIP_NOTHING)
			return doubt;
	}
	if (!mine(v) && v->eligible && !v->leaving && v->api && strcmp(v->record->successor, v->me) == 0)   /* R10: the owner stops on hearing us */
		return claim(o, v, now, wakep);
	/* Its owner has just been heard: it is coming back, and says so to our questions as well, or will be missed again. */
	if (v->fate == HOLDER_SPEAKER_DOWN && v->guard && !v->leaving && reached(o->claimed_at + 2 * v->interval, now, wakep)) {
		enter(o, OWNERSHIP_GUARDING, now);
		mem_replace(&o->guarded, ownership_holder(o, v->record));
		return OWNERSHIP_NOTHING;
	}
	if (ours_to_take(v) && (!mine(v) || v->fate == HOLDER_DEAD))
		return take(o, v, now, wakep);
	o->plan_at = CLOCK_NEVER;
	return OWNERSHIP_NOTHING;
}

/* ---- OWNED ---- */

/* It is his: silent. */
static enum ownership_action to_rival(struct ownership *o, const struct ownership_view *v, int64_t now)
{
	char *peer = mem_strdup(o->rival);
	enter(o, OWNERSHIP_IDLE, now);
	believe(o, peer, v->record);
	o->claimed_at = now;
	free(peer);
	return OWNERSHIP_NOTHING;
}

/* Another one says that the address is his (R8). With the API the record decides (it has just been read); without it the
 * younger takeover, then the static order: of two that meet at most one defends, and whoever gives way asks first. */
static bool defends(const struct ownership *o, const struct ownership_view *v, bool api)
{
	bool worse = rank(v, v->me) > rank(v, o->rival);
	bool took_it = held_before(o, o->rival) || record_held_before(v->record, o->rival);
	if (api)
		return mine(v) || (o->from && held_before(o, v->record->holder));
	if (o->defences >= WAR_END || (o->defences >= WAR_RANK && worse))
		return false;
	return took_it || (!mine(v) && !worse);
}

static enum ownership_action settle_rivalry(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	/* A write may hang on a connection from before; who is heard again may have brought the API server back. A look must not
	 * wait behind those for hundreds of other addresses: no answer in time is one, too. */
	int64_t since = o->called_at > o->rival_since ? o->called_at : o->rival_since;
	if (o->in_flight && reached(since + (o->looking ? LOOKING : HANGING), now, wakep)) {
		if (o->looking)
			ownership_looked(o, 0, now);
		else
			o->retry_at = o->called_at > o->rival_since ? now + RETRY : now;
		o->in_flight = false;
		*wakep = now + CLOCK_MS;
		return OWNERSHIP_ABANDON;
	}
	/* Two took it from the same dead one in the same moment: their order decides, without waiting for the API server, which may
	 * have hundreds of takeovers to record first. */
	bool racing = o->from && strcmp(v->record->holder, o->from) == 0 && now < o->since + RACE;
	if (racing && rank(v, v->me) > rank(v, o->rival)) {
		enter(o, OWNERSHIP_YIELDING, now);
		return OWNERSHIP_NOTHING;
	}
	bool api = v->api && !o->unanswered;
	if (v->api && !o->looked && !racing)
		return look(o, now);
	if (!defends(o, v, api)) {
		if (api && strcmp(v->record->holder, o->rival) == 0)
			return to_rival(o, v, now);
		enter(o, api ? OWNERSHIP_RELEASING : OWNERSHIP_YIELDING, now);
		return OWNERSHIP_NOTHING;
	}
	/* What settles it for good comes before the next defence: each of ours calls forth one of his. */
	if (o->from && !o->unanswered && can_write(o, now, wakep))
		return write_as(o, OWNERSHIP_WRITE, v->me, now);
	if (!reached(o->defended_at + DEFENCE_SPACING, now, wakep))
		return OWNERSHIP_NOTHING;
	if (now > o->war_began + WAR) {
		o->war_began = now;
		o->defences = 0;
	}
	o->defences++;
	mem_replace(&o->rival, NULL);
	o->defended_at = now;
	*wakep = clock_min(*wakep, now + CLOCK_MS);   /* what is not recorded yet waits for its time, not for the next event */
	return OWNERSHIP_DEFEND;
}

/* R10: when our process ends nobody would guard, so it has to go to another. */
static bool unwatched(const struct ownership_view *v, int64_t now)
{
	return now - v->watched_at > UNWATCHED;
}

static enum ownership_action owned(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (mine(v)) {
		mem_replace(&o->from, NULL);
		forget_before(o);
		o->audits = 0;
	}
	if (!*v->record->holder && v->eligible && !o->from)
		take_from(o, "", v->record);   /* the record was made anew while we answer: it gets our name again */
	if (!v->served || v->mute || (!v->eligible && v->n_candidates == 0)) {
		enter(o, OWNERSHIP_IDLE, now);   /* withdrawn; the record keeps our name for when it can be served again */
		return OWNERSHIP_NOTHING;
	}
	if (!mine(v) && (!o->from || !held_before(o, v->record->holder))) {
		enter(o, OWNERSHIP_RELEASING, now);   /* the record is another's, or another successor has recorded it first */
		return OWNERSHIP_NOTHING;
	}
	if (o->rival)
		return settle_rivalry(o, v, now, wakep);
	if (v->leaving && !v->move_to && !(unwatched(v, now) && next_successor(v))) {
		enter(o, OWNERSHIP_STOPPING, now);
		return OWNERSHIP_NOTHING;
	}
	if (o->from)
		return can_write(o, now, wakep) ? write_as(o, OWNERSHIP_WRITE, v->me, now) : OWNERSHIP_NOTHING;
	if (v->move_to || v->leaving) {
		enter(o, OWNERSHIP_MOVING, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->clear_successor && v->api && can_write(o, now, wakep))
		return write_as(o, OWNERSHIP_NAME, "", now);
	if (o->guard_heard > o->defended_at && reached(o->defended_at + DEFENCE_SPACING, now, wakep)) {   /* that ends the guard */
		o->defended_at = now;
		return OWNERSHIP_DEFEND;
	}
	return OWNERSHIP_NOTHING;
}

/* ---- MOVING ---- */

static enum ownership_action moving(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	const char *successor = v->record->successor;
	if (!mine(v)) {
		enter(o, OWNERSHIP_RELEASING, now);   /* he has written it, and is about to be heard */
		return OWNERSHIP_NOTHING;
	}
	if (!v->served || v->mute) {
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (o->rival && *successor && strcmp(o->rival, successor) == 0)
		return to_rival(o, v, now);
	const char *wanted = v->move_to ? v->move_to : v->leaving ? next_successor(v) : NULL;
	if (!wanted || o->rival) {   /* not possible or not wanted any more; or a third one is here */
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (!v->api || !can_write(o, now, wakep))
		return OWNERSHIP_NOTHING;
	return strcmp(successor, wanted) == 0 ? OWNERSHIP_NOTHING : write_as(o, OWNERSHIP_NAME, wanted, now);   /* it never stops by time (finding 11) */
}

/* ---- RELEASING, YIELDING, STOPPING ---- */

static enum ownership_action releasing(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	/* Heard since, or before he had recorded it: whatever was thought of his node. */
	if (o->rival && (o->rival_at >= o->since || strcmp(o->rival, v->record->holder) == 0))
		return to_rival(o, v, now);
	if (mine(v)) {
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->fate == HOLDER_DEAD && !v->misjudged && v->eligible && !v->leaving) {   /* he died before he began */
		take_from(o, v->record->holder, v->record);
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	/* Cut off from all others we cannot hear him, and nobody hears us: go on, and write nothing. He who answers us, but not for
	 * this address, does not have it: he believes the wire, which says us, or has not heard of his record. Go on: our
	 * questions call him (summoned), and who stops by time leaves nobody. */
	bool hears = v->connected && !v->holder_alive;
	if (!v->served || v->mute || (hears && reached(o->since + RELEASE_TIME, now, wakep))) {
		/* His record may be older than his death, however it looked (misjudged): who is alive here would have vouched for him
		 * by now (R4). */
		bool dead = v->served && !v->mute && v->fate == HOLDER_DEAD && v->eligible && !v->leaving;
		if (dead)
			take_from(o, v->record->holder, v->record);
		enter(o, dead ? OWNERSHIP_OWNED : OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (question_due(o, 0, o->asked < RELEASE_EAGER ? RELEASE_SPACING : 10 * RELEASE_SPACING, now, wakep))
		return OWNERSHIP_ASK;
	return OWNERSHIP_NOTHING;
}

static enum ownership_action yielding(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	if (appointed && mine(v) && v->api) {   /* a write of ours has come through: he will give way when he sees it, and wants to hear us */
		o->unanswered = false;
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->api && !o->from && o->rival && strcmp(v->record->holder, o->rival) == 0)   /* the record has come meanwhile */
		return to_rival(o, v, now);
	int64_t wait = rank(v, v->me) > rank(v, o->rival) ? YIELD_WORSE : YIELD_BETTER;
	if (o->asked && o->rival_at > o->since + wait)
		return to_rival(o, v, now);
	if (o->asked < YIELD_ASKS)
		return question_due(o, wait, CHECK_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
	if (reached(o->since + wait + YIELD_DECIDED, now, wakep)) {   /* he does not answer: it stays here */
		mem_replace(&o->rival, NULL);
		enter(o, OWNERSHIP_OWNED, now);
		o->defended_at = now;
		return OWNERSHIP_DEFEND;   /* the others may believe him still: nobody would guard us, and they would guard him */
	}
	return OWNERSHIP_NOTHING;
}

static enum ownership_action stopping(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (o->rival && o->rival_at >= o->since)
		return to_rival(o, v, now);
	if (o->guard_heard >= o->since || !v->served || v->mute) {   /* the record keeps our name: we come back, or the guard moves it */
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (!v->leaving) {
		enter(o, OWNERSHIP_OWNED, now);
		return OWNERSHIP_NOTHING;
	}
	const char *successor = next_successor(v);
	if (v->move_to || (successor && v->api && mine(v) && reached(o->since + STOP_UNGUARDED, now, wakep))) {
		enter(o, OWNERSHIP_MOVING, now);
		return OWNERSHIP_NOTHING;
	}
	return question_due(o, STOP_ASK, STOP_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
}

/* ---- GUARDING ---- */

static enum ownership_action guarding(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (v->leaving && !o->stopping_at)
		o->stopping_at = now;
	if (!v->guard || v->refused || (v->leaving && o->guard_heard >= o->stopping_at)) {
		enter(o, OWNERSHIP_IDLE, now);
		return OWNERSHIP_NOTHING;
	}
	if (v->leaving)   /* the next in the ring guards when it has missed us: until then it is still for us */
		return question_due(o, o->stopping_at - o->since + STOP_ASK, STOP_SPACING, now, wakep) ? OWNERSHIP_ASK : OWNERSHIP_NOTHING;
	if (!reached(o->since + GUARD_TIME, now, wakep))
		return OWNERSHIP_NOTHING;
	const char *successor = v->n_candidates ? v->candidates[0] : NULL;
	bool handed = strcmp(v->record->holder, o->guarded) != 0 && o->target && strcmp(v->record->holder, o->target) == 0;
	if (!successor)
		return OWNERSHIP_NOTHING;   /* nobody may announce it: the node itself is still the best */
	if (handed && !o->handed_at)
		o->handed_at = now;
	bool in_vain = o->handed_at && reached(o->handed_at + HANDED_WAIT, now, wakep);
	if (v->eligible && (strcmp(successor, v->me) == 0 || !v->api || in_vain)) {
		take_from(o, o->guarded, v->record);
		enter(o, OWNERSHIP_OWNED, now);
		o->retry_at = v->api ? now : now + RETRY;
		return OWNERSHIP_NOTHING;
	}
	if (!handed && v->api && can_write(o, now, wakep))
		return write_as(o, OWNERSHIP_WRITE, successor, now);
	return OWNERSHIP_NOTHING;
}

/* ---- REFUSED, CHECK ---- */

static enum ownership_action refused(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (reached(o->since + REFUSAL, now, wakep) && !v->refused) {
		enter(o, OWNERSHIP_IDLE, now);
		o->fresh = true;
		*wakep = now + CLOCK_MS;   /* the record may name us still */
	}
	return OWNERSHIP_NOTHING;
}

static enum ownership_action check(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	if (o->asked < CHECK_ASKS && question_due(o, 0, CHECK_SPACING, now, wakep))
		return OWNERSHIP_ASK;
	if (!reached(o->since + CHECK_DECIDED, now, wakep))
		return OWNERSHIP_NOTHING;
	if (!v->eligible || v->leaving || v->refused || v->mute) {
		enter(o, OWNERSHIP_IDLE, now);
		*wakep = clock_min(*wakep, now + CLOCK_MS);
		return OWNERSHIP_NOTHING;
	}
	if (!mine(v) && !o->from)   /* nobody else has it, whatever the record says */
		take_from(o, v->record->holder, v->record);
	enter(o, OWNERSHIP_OWNED, now);
	return OWNERSHIP_NOTHING;
}

/* ---- the step ---- */

static enum ownership_action step_state(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep)
{
	switch (o->state) {
	case OWNERSHIP_IDLE:
		return idle(o, v, appointed, now, wakep);
	case OWNERSHIP_CLAIMING:
		if (mine(v))
			enter(o, v->eligible ? OWNERSHIP_OWNED : OWNERSHIP_IDLE, now);
		else if (!o->in_flight)
			enter(o, OWNERSHIP_IDLE, now);
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
		enter(o, OWNERSHIP_IDLE, now);
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
	o->retry_at = done || status == 409 ? now : now + RETRY;
	if (!done && o->state == OWNERSHIP_CLAIMING)
		enter(o, OWNERSHIP_IDLE, now);
}

void ownership_looked(struct ownership *o, int status, int64_t now)
{
	o->in_flight = false;
	o->looked = true;
	o->unanswered = status != 200 && status != 404;   /* no answer in time is as good as no API */
	o->retry_at = o->unanswered ? now + RETRY : o->retry_at;
}

void ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now)
{
	if (ownership_answers(o)) {
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
		enter(o, OWNERSHIP_IDLE, now);
	believe(o, peer, record);
	o->plan_at = CLOCK_NEVER;   /* somebody was faster */
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
		enter(o, OWNERSHIP_CHECK, now);
	} else if (ownership_guards(o)) {
		enter(o, OWNERSHIP_IDLE, now);
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
	enter(o, OWNERSHIP_REFUSED, now);
}
