#include "arp/conflict.h"

#include "config/base/clock.h"

/* RFC 5227 would take 4 to 7 s; it tolerates other timers (§2.2). Who sleeps through 200 ms sleeps through 7 s too. */
const struct conflict_times CONFLICT_TIMES = {
	.probes = 3,
	.probe_wait = 20 * CLOCK_MS,
	.probe_min = 40 * CLOCK_MS,
	.probe_max = 60 * CLOCK_MS,
	.announce_wait = 100 * CLOCK_MS,
	.ask_wait = 100 * CLOCK_MS,
	.identify_wait = 300 * CLOCK_MS,
	.node_ask = 250 * CLOCK_MS,
	.node_quiet = CLOCK_S,
	.defend = 10 * CLOCK_S,
	.quiet = 60 * CLOCK_S,
};

const char *conflict_state_name(enum conflict_state state)
{
	static const char *const NAMES[CONFLICT_STATES] = {"none", "probing", "asking", "doubt", "waiting", "claimed", "defending", "refused"};
	return NAMES[state];
}

void conflict_init(struct conflict *c, const struct conflict_times *times, bool give_up)
{
	*c = (struct conflict){.times = times, .give_up = give_up, .next = CLOCK_NEVER, .ask_at = CLOCK_NEVER, .reported_at = CLOCK_LONG_AGO,
			       .conflict_at = CLOCK_LONG_AGO, .defended_at = CLOCK_LONG_AGO};
}

bool conflict_answers(const struct conflict *c)
{
	return c->state == CONFLICT_CLAIMED || c->state == CONFLICT_DEFENDING;
}

static void enter(struct conflict *c, enum conflict_state state, int64_t next)
{
	c->state = state;
	c->next = next;
	c->ask_at = CLOCK_NEVER;
}

static unsigned become_ours(struct conflict *c)
{
	enter(c, CONFLICT_CLAIMED, CLOCK_NEVER);
	c->reported = false;
	return CONFLICT_DO_ANNOUNCE;
}

unsigned conflict_start(struct conflict *c, enum conflict_claim claim, int64_t now, double random)
{
	bool idle = c->state == CONFLICT_NONE || c->state == CONFLICT_REFUSED;
	if (!idle && (claim != CONFLICT_CLAIM_KNOWN || conflict_answers(c)))
		return 0;
	c->claim = claim;
	c->reported = c->second = false;
	c->reported_at = CLOCK_LONG_AGO;
	c->conflict_at = CLOCK_LONG_AGO;
	switch (claim) {
	case CONFLICT_CLAIM_PROBE:
		enter(c, CONFLICT_PROBING, now + (int64_t)((double)c->times->probe_wait * random));
		c->probes = 0;
		return 0;
	case CONFLICT_CLAIM_ASK:
		enter(c, CONFLICT_ASKING, now + c->times->ask_wait);
		return CONFLICT_DO_ASK;
	case CONFLICT_CLAIM_KNOWN:
		break;
	}
	return become_ours(c);
}

void conflict_stop(struct conflict *c)
{
	int64_t defended_at = c->defended_at;   /* stopping and starting does not make more announcements */
	conflict_init(c, c->times, c->give_up);
	c->defended_at = defended_at;
}

/* Ever new MACs do not make ever more reports. */
static unsigned report(struct conflict *c, int64_t now)
{
	if (c->reported || now - c->reported_at < c->times->defend)
		return 0;
	c->reported = true;
	c->reported_at = now;
	return CONFLICT_DO_REPORT;
}

static unsigned refuse(struct conflict *c, int64_t now)
{
	enter(c, CONFLICT_REFUSED, CLOCK_NEVER);
	return CONFLICT_DO_REFUSE | report(c, now);
}

/* Not announced yet, and somebody answers for it. */
static unsigned judge(struct conflict *c, int64_t now)
{
	switch (c->who) {
	case CONFLICT_UNKNOWN:
		enter(c, CONFLICT_DOUBT, now + c->times->identify_wait);
		return 0;
	case CONFLICT_PEER:   /* its kernel, as the record says that the address is ours */
		return become_ours(c);
	case CONFLICT_NODE:
		enter(c, CONFLICT_WAITING, now + c->times->node_quiet);
		c->ask_at = now + c->times->node_ask;
		return report(c, now);
	case CONFLICT_STRANGER:
		break;
	}
	if (c->claim == CONFLICT_CLAIM_PROBE)
		return refuse(c, now);
	/* It was in use before: whoever took it since does not get it. */
	enter(c, CONFLICT_DEFENDING, now + c->times->quiet);
	c->conflict_at = c->defended_at = now;
	return CONFLICT_DO_ANNOUNCE | report(c, now);
}

/* §2.4: somebody uses what we have announced. */
static unsigned defend(struct conflict *c, int64_t now)
{
	unsigned todo = 0;
	c->second = now - c->conflict_at < c->times->defend;
	c->conflict_at = now;
	enter(c, CONFLICT_DEFENDING, now + c->times->quiet);
	if (c->give_up && c->second && c->who == CONFLICT_STRANGER)
		return refuse(c, now);
	if (c->who != CONFLICT_UNKNOWN)
		todo |= report(c, now);
	if (now - c->defended_at < c->times->defend)
		return todo;
	c->defended_at = now;
	return todo | CONFLICT_DO_DEFEND;
}

static void note(struct conflict *c, const struct mac *mac, enum conflict_who who)
{
	if (!mac_equal(mac, &c->mac))
		c->reported = false;
	c->mac = *mac;
	c->who = who;
}

unsigned conflict_heard(struct conflict *c, const struct mac *mac, bool probe, enum conflict_who who, int64_t now)
{
	switch (c->state) {
	case CONFLICT_NONE:
	case CONFLICT_REFUSED:
	case CONFLICT_DOUBT:
		return 0;
	case CONFLICT_PROBING:   /* two that probe at once: both lose (§2.1.1); between our nodes the record has decided */
		if (who == CONFLICT_PEER)
			return 0;
		break;
	case CONFLICT_ASKING:
	case CONFLICT_WAITING:
		if (probe || who == CONFLICT_PEER)
			return 0;
		break;
	case CONFLICT_CLAIMED:
	case CONFLICT_DEFENDING:
		if (probe || who == CONFLICT_PEER)   /* a probe is answered; our nodes settle it by the record */
			return 0;
		note(c, mac, who);
		return defend(c, now);
	case CONFLICT_STATES:
		return 0;
	}
	note(c, mac, who);
	return judge(c, now);
}

unsigned conflict_identified(struct conflict *c, const struct mac *mac, enum conflict_who who, int64_t now)
{
	if (who == CONFLICT_UNKNOWN || !mac_equal(mac, &c->mac))
		return 0;
	switch (c->state) {
	case CONFLICT_DOUBT:
		c->who = who;
		return judge(c, now);
	case CONFLICT_WAITING:
		if (who != CONFLICT_PEER)   /* its presence record has appeared: the records decide from now on */
			return 0;
		c->who = who;
		return become_ours(c);
	case CONFLICT_DEFENDING:
		if (c->who != CONFLICT_UNKNOWN)
			return 0;
		c->who = who;
		if (who == CONFLICT_PEER) {
			enter(c, CONFLICT_CLAIMED, CLOCK_NEVER);
			return 0;
		}
		return c->give_up && c->second && who == CONFLICT_STRANGER ? refuse(c, now) : report(c, now);
	case CONFLICT_NONE:
	case CONFLICT_PROBING:
	case CONFLICT_ASKING:
	case CONFLICT_CLAIMED:
	case CONFLICT_REFUSED:
	case CONFLICT_STATES:
		break;
	}
	return 0;
}

static unsigned probe_on(struct conflict *c, int64_t now, double random)
{
	const struct conflict_times *t = c->times;
	if (c->probes == t->probes)
		return become_ours(c);
	c->probes++;
	c->next = now + (c->probes == t->probes ? t->announce_wait : t->probe_min + (int64_t)((double)(t->probe_max - t->probe_min) * random));
	return CONFLICT_DO_PROBE;
}

static unsigned due(struct conflict *c, int64_t now, double random)
{
	switch (c->state) {
	case CONFLICT_PROBING:
		return probe_on(c, now, random);
	case CONFLICT_ASKING:
	case CONFLICT_WAITING:
		return become_ours(c);
	case CONFLICT_DOUBT:   /* nobody knows him */
		c->who = CONFLICT_STRANGER;
		return judge(c, now);
	case CONFLICT_DEFENDING:   /* he has gone */
		enter(c, CONFLICT_CLAIMED, CLOCK_NEVER);
		c->reported = false;
		return 0;
	case CONFLICT_NONE:
	case CONFLICT_CLAIMED:
	case CONFLICT_REFUSED:
	case CONFLICT_STATES:
		c->next = CLOCK_NEVER;
		break;
	}
	return 0;
}

unsigned conflict_step(struct conflict *c, int64_t now, double random, int64_t *wakep)
{
	unsigned todo = now >= c->next ? due(c, now, random) : 0;
	if (now >= c->ask_at) {
		c->ask_at = now + c->times->node_ask;
		todo |= CONFLICT_DO_ASK;
	}
	*wakep = clock_min(c->next, c->ask_at);
	return todo;
}
