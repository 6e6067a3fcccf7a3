/* The conflict core against RFC 5227's tables, and against an opponent that does anything at any time. */
#include "arp/conflict.h"
#include "config/base/clock.h"
#include "tests/unit/unit.h"

static const struct mac A = {{2, 0, 0, 0, 0, 0xa}}, B = {{2, 0, 0, 0, 0, 0xb}};
static const struct conflict_times RFC = {   /* the RFC's own figures: whole seconds, easy to read below */
	.probes = 3, .probe_wait = CLOCK_S, .probe_min = CLOCK_S, .probe_max = 2 * CLOCK_S, .announce_wait = 2 * CLOCK_S, .ask_wait = CLOCK_S,
	.identify_wait = 3 * CLOCK_S, .node_ask = CLOCK_S, .node_quiet = 4 * CLOCK_S, .defend = 10 * CLOCK_S, .quiet = 60 * CLOCK_S};

enum { ANN = CONFLICT_DO_ANNOUNCE, DEF = CONFLICT_DO_DEFEND, REP = CONFLICT_DO_REPORT, REF = CONFLICT_DO_REFUSE,
       ASK = CONFLICT_DO_ASK, PRO = CONFLICT_DO_PROBE };
enum { START, START_ASK, START_KNOWN, STOP, STEP, USES, PROBES, IS };   /* IS: identified */

struct line {
	int64_t at;   /* ms */
	int what;
	const struct mac *mac;
	enum conflict_who who;
	unsigned todo;
	enum conflict_state state;
	int64_t wake;   /* ms; of STEP; -1: never */
};

static void play(const char *name, const struct line *lines, size_t n, bool give_up)
{
	struct conflict c;
	conflict_init(&c, &RFC, give_up);
	for (size_t i = 0; i < n; i++) {
		const struct line *l = &lines[i];
		int64_t now = l->at * CLOCK_MS, wake = 0;
		unsigned todo = 0;
		switch (l->what) {
		case START: todo = conflict_start(&c, CONFLICT_CLAIM_PROBE, now, 0.5); break;
		case START_ASK: todo = conflict_start(&c, CONFLICT_CLAIM_ASK, now, 0.5); break;
		case START_KNOWN: todo = conflict_start(&c, CONFLICT_CLAIM_KNOWN, now, 0.5); break;
		case STOP: conflict_stop(&c); break;
		case STEP: todo = conflict_step(&c, now, 0.5, &wake); break;
		case USES: todo = conflict_heard(&c, l->mac, false, l->who, now); break;
		case PROBES: todo = conflict_heard(&c, l->mac, true, l->who, now); break;
		case IS: todo = conflict_identified(&c, l->mac, l->who, now); break;
		}
		int64_t wanted = l->wake < 0 ? CLOCK_NEVER : l->wake * CLOCK_MS;
		if (todo != l->todo || c.state != l->state || (l->what == STEP && wake != wanted))
			fail_msg("%s, line %zu: to do %x (wanted %x), state %s (wanted %s), wake %lld (wanted %lld)", name, i, todo, l->todo,
				 conflict_state_name(c.state), conflict_state_name(l->state), (long long)wake, (long long)wanted);
		assert_int_equal(conflict_answers(&c), c.state == CONFLICT_CLAIMED || c.state == CONFLICT_DEFENDING);
	}
}
#define PLAY(name, give_up, ...) do { static const struct line lines[] = {__VA_ARGS__}; play(name, lines, COUNT(lines), give_up); } while (0)

#define PROBING CONFLICT_PROBING
#define CLAIMED CONFLICT_CLAIMED
#define DEFENDING CONFLICT_DEFENDING
#define REFUSED CONFLICT_REFUSED

/* Three probes: up to the moment when an answer counts no more. */
#define THREE_PROBES {0, START, 0, 0, 0, PROBING, 0}, {499, STEP, 0, 0, 0, PROBING, 500}, {500, STEP, 0, 0, PRO, PROBING, 2000}, \
	{1999, STEP, 0, 0, 0, PROBING, 2000}, {2000, STEP, 0, 0, PRO, PROBING, 3500}, {3500, STEP, 0, 0, PRO, PROBING, 5500}

static void probing(void **state)
{
	(void)state;
	PLAY("nobody answers (2.1.1, 2.3)", false, THREE_PROBES, {5499, STEP, 0, 0, 0, PROBING, 5500}, {5500, STEP, 0, 0, ANN, CLAIMED, -1},
	     {9999, STEP, 0, 0, 0, CLAIMED, -1});
	PLAY("any ARP with the address as sender ends it, until ANNOUNCE_WAIT is over", false, THREE_PROBES,
	     {5499, USES, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0}, {5500, STEP, 0, 0, 0, REFUSED, -1}, {5501, USES, &B, CONFLICT_STRANGER, 0, REFUSED, 0});
	PLAY("before the first probe is not too early", false, {0, START, 0, 0, 0, PROBING, 0}, {1, USES, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0});
	PLAY("another's probe for it: both lose", false, THREE_PROBES, {4000, PROBES, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0});
	PLAY("a peer is no stranger", false, THREE_PROBES, {4000, USES, &A, CONFLICT_PEER, 0, PROBING, 0}, {4001, PROBES, &A, CONFLICT_PEER, 0, PROBING, 0},
	     {5500, STEP, 0, 0, ANN, CLAIMED, -1});
	PLAY("start again changes nothing, known to be free ends it", false, THREE_PROBES, {4000, START, 0, 0, 0, PROBING, 0}, {4100, START_ASK, 0, 0, 0, PROBING, 0},
	     {4200, STEP, 0, 0, 0, PROBING, 5500}, {4300, START_KNOWN, 0, 0, ANN, CLAIMED, 0}, {4400, START_KNOWN, 0, 0, 0, CLAIMED, 0});
	PLAY("stopped, and a new start", false, THREE_PROBES, {4000, STOP, 0, 0, 0, CONFLICT_NONE, 0}, {4001, STEP, 0, 0, 0, CONFLICT_NONE, -1},
	     {4002, USES, &B, CONFLICT_STRANGER, 0, CONFLICT_NONE, 0}, {5000, START, 0, 0, 0, PROBING, 0}, {5500, STEP, 0, 0, PRO, PROBING, 7000});
	PLAY("refused, and tried again", false, THREE_PROBES, {4000, USES, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0}, {9000, START, 0, 0, 0, PROBING, 0},
	     {9001, USES, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0});
}

static void who_is_it(void **state)
{
	(void)state;
	PLAY("unknown, then a stranger", false, THREE_PROBES, {4000, USES, &B, CONFLICT_UNKNOWN, 0, CONFLICT_DOUBT, 0},
	     {4100, USES, &B, CONFLICT_UNKNOWN, 0, CONFLICT_DOUBT, 0}, {4200, IS, &A, CONFLICT_PEER, 0, CONFLICT_DOUBT, 0},
	     {4250, IS, &B, CONFLICT_UNKNOWN, 0, CONFLICT_DOUBT, 0}, {4300, IS, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0});
	PLAY("unknown for too long", false, THREE_PROBES, {4000, USES, &B, CONFLICT_UNKNOWN, 0, CONFLICT_DOUBT, 0}, {6999, STEP, 0, 0, 0, CONFLICT_DOUBT, 7000},
	     {7000, STEP, 0, 0, REF | REP, REFUSED, -1});
	PLAY("unknown, then the kernel of a peer", false, THREE_PROBES, {4000, USES, &B, CONFLICT_UNKNOWN, 0, CONFLICT_DOUBT, 0},
	     {4100, IS, &B, CONFLICT_PEER, ANN, CLAIMED, 0});
	PLAY("another node: until it is quiet", false, THREE_PROBES, {4000, USES, &B, CONFLICT_NODE, REP, CONFLICT_WAITING, 0},
	     {5000, STEP, 0, 0, ASK, CONFLICT_WAITING, 6000}, {5100, USES, &B, CONFLICT_NODE, 0, CONFLICT_WAITING, 0}, {6000, STEP, 0, 0, 0, CONFLICT_WAITING, 6100},
	     {6100, STEP, 0, 0, ASK, CONFLICT_WAITING, 7100}, {9099, PROBES, &B, CONFLICT_NODE, 0, CONFLICT_WAITING, 0}, {9099, STEP, 0, 0, ASK, CONFLICT_WAITING, 9100},
	     {9100, STEP, 0, 0, ANN, CLAIMED, -1}, {20000, USES, &B, CONFLICT_STRANGER, DEF | REP, DEFENDING, 0});   /* it is told again */
	PLAY("another node: until it shows its links", false, THREE_PROBES, {4000, USES, &B, CONFLICT_NODE, REP, CONFLICT_WAITING, 0},
	     {4500, IS, &B, CONFLICT_STRANGER, 0, CONFLICT_WAITING, 0}, {4600, IS, &A, CONFLICT_PEER, 0, CONFLICT_WAITING, 0}, {5000, IS, &B, CONFLICT_PEER, ANN, CLAIMED, 0});
	PLAY("another node, then a stranger", false, THREE_PROBES, {4000, USES, &B, CONFLICT_NODE, REP, CONFLICT_WAITING, 0},
	     {4100, USES, &A, CONFLICT_STRANGER, REF, REFUSED, 0});
	PLAY("defending against an unknown one that is a peer", false, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0}, {1000, USES, &B, CONFLICT_UNKNOWN, DEF, DEFENDING, 0},
	     {1100, IS, &B, CONFLICT_PEER, 0, CLAIMED, 0});
	PLAY("defending against an unknown one that is a stranger", false, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0},
	     {1000, USES, &B, CONFLICT_UNKNOWN, DEF, DEFENDING, 0}, {1100, IS, &B, CONFLICT_STRANGER, REP, DEFENDING, 0}, {1200, IS, &B, CONFLICT_STRANGER, 0, DEFENDING, 0});
}

static void asking(void **state)
{
	(void)state;
	PLAY("silence", false, {0, START_ASK, 0, 0, ASK, CONFLICT_ASKING, 0}, {999, STEP, 0, 0, 0, CONFLICT_ASKING, 1000}, {1000, STEP, 0, 0, ANN, CLAIMED, -1});
	PLAY("in use before: a stranger does not get it", false, {0, START_ASK, 0, 0, ASK, CONFLICT_ASKING, 0}, {500, PROBES, &B, CONFLICT_STRANGER, 0, CONFLICT_ASKING, 0},
	     {600, USES, &B, CONFLICT_STRANGER, ANN | REP, DEFENDING, 0}, {700, USES, &B, CONFLICT_STRANGER, 0, DEFENDING, 0},
	     {10599, USES, &B, CONFLICT_STRANGER, 0, DEFENDING, 0}, {10600, USES, &B, CONFLICT_STRANGER, DEF, DEFENDING, 0});
	PLAY("MetalLB on another node", false, {0, START_ASK, 0, 0, ASK, CONFLICT_ASKING, 0}, {600, USES, &B, CONFLICT_NODE, REP, CONFLICT_WAITING, 0},
	     {1600, STEP, 0, 0, ASK, CONFLICT_WAITING, 2600}, {4600, STEP, 0, 0, ANN, CLAIMED, -1});
	PLAY("a peer's", false, {0, START_ASK, 0, 0, ASK, CONFLICT_ASKING, 0}, {600, USES, &B, CONFLICT_PEER, 0, CONFLICT_ASKING, 0}, {1000, STEP, 0, 0, ANN, CLAIMED, -1});
}

static void defending(void **state)
{
	(void)state;
	PLAY("2.4 c: for good, one announcement per DEFEND_INTERVAL", false, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0}, {5, PROBES, &B, CONFLICT_STRANGER, 0, CLAIMED, 0},
	     {6, USES, &A, CONFLICT_PEER, 0, CLAIMED, 0}, {1000, USES, &B, CONFLICT_STRANGER, REP | DEF, DEFENDING, 0}, {1001, USES, &B, CONFLICT_STRANGER, 0, DEFENDING, 0},
	     {10999, USES, &B, CONFLICT_STRANGER, 0, DEFENDING, 0}, {11000, USES, &B, CONFLICT_STRANGER, DEF, DEFENDING, 0},
	     {12000, USES, &A, CONFLICT_STRANGER, REP, DEFENDING, 0}, {21000, USES, &A, CONFLICT_STRANGER, DEF, DEFENDING, 0}, {21001, STEP, 0, 0, 0, DEFENDING, 81000},
	     {81000, STEP, 0, 0, 0, CLAIMED, -1}, {90000, USES, &A, CONFLICT_STRANGER, REP | DEF, DEFENDING, 0});
	PLAY("2.4 b: given up at the second conflict within DEFEND_INTERVAL", true, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0},
	     {1000, USES, &B, CONFLICT_STRANGER, REP | DEF, DEFENDING, 0}, {10999, USES, &B, CONFLICT_STRANGER, REF, REFUSED, 0});
	PLAY("2.4 b: not at one that comes later", true, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0}, {1000, USES, &B, CONFLICT_STRANGER, REP | DEF, DEFENDING, 0},
	     {11000, USES, &B, CONFLICT_STRANGER, DEF, DEFENDING, 0}, {11001, USES, &B, CONFLICT_NODE, 0, DEFENDING, 0}, {11002, USES, &B, CONFLICT_STRANGER, REF, REFUSED, 0});
	PLAY("2.4 b: unknown ones are looked at first", true, {0, START_KNOWN, 0, 0, ANN, CLAIMED, 0}, {1000, USES, &B, CONFLICT_UNKNOWN, DEF, DEFENDING, 0},
	     {2000, USES, &B, CONFLICT_UNKNOWN, 0, DEFENDING, 0}, {2100, IS, &B, CONFLICT_STRANGER, REF | REP, REFUSED, 0});
}

/* Anything at any time: what must hold whatever happens. */
static void any_opponent(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 3000; seed++) {
		struct conflict c;
		bool give_up = seed % 2, answers = false;
		unsigned random = seed * 2654435761u, probes = 0;
		int64_t now = 0, defended = CLOCK_LONG_AGO, last_probe = CLOCK_LONG_AGO, wake = CLOCK_NEVER, started = 0;
		enum conflict_claim claim = CONFLICT_CLAIM_PROBE;
		conflict_init(&c, &CONFLICT_TIMES, give_up);
		for (int i = 0; i < 400; i++) {
			random = random * 1664525u + 1013904223u;
			unsigned what = random >> 28, todo = 0, who = random >> 8 & 3;
			const struct mac *mac = random >> 12 & 1 ? &A : &B;
			enum conflict_state before = c.state;
			now += (random >> 13) % (what & 1 ? 20 * CLOCK_MS : 3 * CLOCK_S);
			if (what == 0) {
				conflict_stop(&c);
				answers = false;
			} else if (what <= 3) {
				claim = random >> 4 & 3 ? CONFLICT_CLAIM_PROBE : random >> 6 & 1 ? CONFLICT_CLAIM_ASK : CONFLICT_CLAIM_KNOWN;
				todo = conflict_start(&c, claim, now, 0.3);
				if (before == CONFLICT_NONE || before == CONFLICT_REFUSED) {
					probes = 0;
					started = now;
				}
			} else if (what <= 6) {
				todo = conflict_heard(&c, mac, what == 6, (enum conflict_who)who, now);
			} else if (what == 7) {
				todo = conflict_identified(&c, mac, (enum conflict_who)who, now);
			} else {
				todo = conflict_step(&c, now, 0.7, &wake);
				assert_true(wake > now);
			}
			if (todo & CONFLICT_DO_PROBE) {   /* never while others could believe us */
				assert_int_equal(before, CONFLICT_PROBING);
				assert_true(probes++ < CONFLICT_TIMES.probes && (probes == 1 || now - last_probe >= CONFLICT_TIMES.probe_min));
				last_probe = now;
			}
			if ((todo & CONFLICT_DO_ANNOUNCE) && before == CONFLICT_PROBING && what > 6)
				assert_true(probes == CONFLICT_TIMES.probes && now - last_probe >= CONFLICT_TIMES.announce_wait);
			if ((todo & CONFLICT_DO_ANNOUNCE) && before == CONFLICT_ASKING && what > 6)
				assert_true(now - started >= CONFLICT_TIMES.ask_wait);
			if (todo & CONFLICT_DO_DEFEND) {
				assert_true(answers && now - defended >= CONFLICT_TIMES.defend);
				defended = now;
			}
			assert_false((todo & CONFLICT_DO_REFUSE) && answers && !give_up);   /* what was announced is kept */
			assert_false((todo & CONFLICT_DO_REFUSE) && (todo & (CONFLICT_DO_ANNOUNCE | CONFLICT_DO_DEFEND)));
			answers = (answers || (todo & CONFLICT_DO_ANNOUNCE)) && !(todo & CONFLICT_DO_REFUSE);
			assert_int_equal(answers, conflict_answers(&c));   /* one starts and ends with what it says, never silently */
			assert_false(what == 6 && before == CONFLICT_CLAIMED && c.state != CONFLICT_CLAIMED);
		}
	}
}

static void defaults(void **state)
{
	struct conflict c;
	int64_t now = 0, wake;
	(void)state;
	/* A new address waits at most a quarter of a second, one in use a tenth. */
	conflict_init(&c, &CONFLICT_TIMES, false);
	conflict_start(&c, CONFLICT_CLAIM_PROBE, now, 0.999);
	for (int i = 0; i < 10 && !conflict_answers(&c); i++, now = conflict_answers(&c) ? now : wake)
		conflict_step(&c, now, 0.999, &wake);
	assert_true(conflict_answers(&c) && now <= 250 * CLOCK_MS && now >= 180 * CLOCK_MS);
	assert_int_equal(CONFLICT_TIMES.defend, 10 * CLOCK_S);
	assert_int_equal(CONFLICT_TIMES.ask_wait, 100 * CLOCK_MS);
	assert_int_equal(CONFLICT_TIMES.node_quiet, CLOCK_S);
	assert_int_equal(CONFLICT_TIMES.node_ask, 250 * CLOCK_MS);   /* three questions may be lost */
	assert_int_equal(CONFLICT_TIMES.quiet, 60 * CLOCK_S);
	assert_int_equal(CONFLICT_TIMES.identify_wait, 300 * CLOCK_MS);
	assert_int_equal(CONFLICT_TIMES.announce_wait, 100 * CLOCK_MS);
	assert_true(CONFLICT_TIMES.probe_min == 40 * CLOCK_MS && CONFLICT_TIMES.probe_max == 60 * CLOCK_MS && CONFLICT_TIMES.probe_wait == 20 * CLOCK_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(probing), cmocka_unit_test(who_is_it), cmocka_unit_test(asking), cmocka_unit_test(defending),
					   cmocka_unit_test(any_opponent), cmocka_unit_test(defaults)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
