/* Two that say the address is theirs: who gives way, when, and what is asked of the API server meanwhile. */
#include "speaker/ownership_steps.h"
#include "tests/unit/ownership_scene.h"

static unsigned defences(struct ownership *o, struct scene s, int64_t spacing, unsigned most)
{
	int64_t now = NOW;
	for (unsigned n = 0; n < most; n++) {
		ownership_claimed(o, "b", NULL, now);
		if (step(o, s, now) != OWNERSHIP_DEFEND)
			return n;
		now += spacing;
	}
	return most;
}

/* Without the API: at most every 200 ms; from the third on the worse rank yields, after the sixth anybody; a war that is old is over. */
static void wars(void **state)
{
	static const struct { const char *candidates; int64_t spacing; unsigned times; } CASES[] = {
		{"a b", 200 * MS, 6}, {"b a", 200 * MS, 3}, {"a b", CLOCK_S, 6}, {"b a", 6 * CLOCK_S, 20}, {"b a", 5 * CLOCK_S, 3}, {"a b", 2 * CLOCK_S, 6}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct scene s = {"a", CASES[i].candidates, .previous = "b", .no_api = true};
		unsigned times = defences(&o, s, CASES[i].spacing, 20);
		if (times != CASES[i].times || o.state != (times == 20 ? OWNERSHIP_OWNED : OWNERSHIP_YIELDING))
			fail_msg("%s, every %lld ms: %u defences, then %s", s.candidates, (long long)(CASES[i].spacing / MS), times, ownership_state_name(o.state));
		ownership_free(&o);
	}
}

static void defends_with_pauses(void **state)
{
	struct ownership o = in_state(OWNERSHIP_OWNED);
	struct scene s = {"a", "a b", .previous = "b", .no_api = true};
	(void)state;
	ownership_claimed(&o, "b", NULL, NOW);
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_DEFEND);
	ownership_claimed(&o, "b", NULL, NOW + 10 * MS);
	acts_at(&o, s, NOW + 200 * MS, OWNERSHIP_DEFEND);
	assert_int_equal(step(&o, s, NOW + 201 * MS), OWNERSHIP_NOTHING);
	ownership_guard_heard(&o, NOW + 210 * MS);   /* an announcement ends that guard, too */
	acts_at(&o, s, NOW + 400 * MS, OWNERSHIP_DEFEND);
	assert_int_equal(step(&o, s, NOW + CLOCK_S), OWNERSHIP_NOTHING);
	ownership_free(&o);
}

/* Both took it from the same one, and nothing is recorded: the better rank keeps it. */
static void rank_decides(void **state)
{
	static const struct { const char *candidates; bool stays; } CASES[] = {{"a b", true}, {"b a", false}, {"a", true}, {"b", false}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", "a", .fate = HOLDER_DEAD, .no_api = true};
		step(&o, s, NOW);
		assert_int_equal(o.state, OWNERSHIP_OWNED);
		s.candidates = CASES[i].candidates;
		ownership_claimed(&o, "b", NULL, NOW + MS);
		enum ownership_action action = step(&o, s, NOW + MS);
		assert_int_equal(o.state, CASES[i].stays ? OWNERSHIP_OWNED : OWNERSHIP_YIELDING);
		assert_int_equal(action, CASES[i].stays ? OWNERSHIP_WRITE : OWNERSHIP_NOTHING);   /* whom we hear may have brought the API server back */
		ownership_free(&o);
	}
}

/* With the API: one look, then the record decides. */
static void record_decides(void **state)
{
	static const struct { const char *holder; bool took; enum ownership_state to; enum ownership_action action; } CASES[] = {
		{"a", false, OWNERSHIP_OWNED, OWNERSHIP_DEFEND},        /* mine */
		{"x", true, OWNERSHIP_OWNED, OWNERSHIP_WRITE},          /* of him I took it from: recorded now, that settles it */
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct scene s = {CASES[i].holder, "b a", .fate = HOLDER_DEAD};
		o.since = NOW - 10 * CLOCK_S;   /* not in the moment of a takeover */
		if (CASES[i].took) {
			mem_replace(&o.from, "x");
			mem_replace(&o.before[0], "x");
		}
		ownership_claimed(&o, "b", NULL, NOW);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_LOOK);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);   /* one is under way */
		ownership_looked(&o, 200, NOW);
		assert_int_equal(step(&o, s, NOW), CASES[i].action);
		assert_int_equal(o.state, CASES[i].to);
		ownership_free(&o);
	}
}

/* Two that took it from the same one: for two seconds their order decides, then the API server is asked. */
static void race_ends(void **state)
{
	(void)state;
	for (int ended = 0; ended < 2; ended++) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct scene s = {"x", "b a", .fate = HOLDER_DEAD};
		mem_replace(&o.from, "x");
		mem_replace(&o.before[0], "x");
		o.since = NOW - 2 * CLOCK_S + (ended ? 0 : 1);
		ownership_claimed(&o, "b", NULL, NOW);
		assert_int_equal(step(&o, s, NOW), ended ? OWNERSHIP_LOOK : OWNERSHIP_NOTHING);
		assert_int_equal(o.state, ended ? OWNERSHIP_OWNED : OWNERSHIP_YIELDING);
		ownership_free(&o);
	}
}

/* He announces it: that proves that he lives only if it was his, two may both want what nobody had; and only if it is not his by a
 * record that has not come yet. */
static void refuted(void **state)
{
	static const struct { const char *before, *previous; bool announced; const char *holder; bool no_api; int status; const char *lives; } CASES[] = {
		{"x", NULL, true, "a", false, 200, "x"}, {NULL, "x,b", true, "a", false, 200, "x"},
		{NULL, "x", true, "a", true, 0, "x"},                      /* nobody to ask */
		{"x", NULL, false, "a", false, 200, NULL},                 /* an answer may have been on its way */
		{NULL, "b", true, "a", false, 200, NULL}, {NULL, NULL, true, "a", false, 200, NULL},
		{"x", NULL, true, "x", false, 200, NULL}};                 /* it is handed back to him */
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .previous = CASES[i].previous, .epoch = 3});
		struct scene s = {"a", "a x", .previous = CASES[i].previous, .no_api = CASES[i].no_api};
		o.since = NOW - 10 * CLOCK_S;
		mem_replace(&o.before[0], CASES[i].before);
		if (CASES[i].announced)
			ownership_announced(&o, "x", r);
		ownership_claimed(&o, "x", r, NOW);
		assert_null(ownership_refuted(&o));
		enum ownership_action action = step(&o, s, NOW);
		if (!CASES[i].no_api) {
			assert_int_equal(action, OWNERSHIP_LOOK);
			assert_null(ownership_refuted(&o));   /* not yet */
			ownership_looked(&o, CASES[i].status, NOW + MS);
			s.holder = CASES[i].holder;
			s.fate = HOLDER_PRESENT;
			step(&o, s, NOW + MS);
		}
		char *lives = ownership_refuted(&o);
		if (!lives != !CASES[i].lives || (lives && strcmp(lives, CASES[i].lives) != 0))
			fail_msg("case %zu: %s", i, lives ? lives : "nobody");
		free(lives);
		assert_null(ownership_refuted(&o));   /* told once */
		ownership_free(&o);
		record_free(r);
	}
}

/* What was announced in one time as the owner proves nothing in the next; nor what is announced when it is not ours. */
static void refuted_no_more(void **state)
{
	struct scene s = {.holder = "a", .candidates = "a x"};
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct ownership o = in_state(ours ? OWNERSHIP_OWNED : OWNERSHIP_IDLE);
		mem_replace(&o.before[0], "x");
		ownership_announced(&o, "x", NULL);
		ownership_enter(&o, OWNERSHIP_CHECK, NOW);
		ownership_enter(&o, OWNERSHIP_OWNED, NOW);
		o.since = NOW - 10 * CLOCK_S;
		ownership_claimed(&o, "x", NULL, NOW);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_LOOK);
		ownership_looked(&o, 200, NOW);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_DEFEND);
		assert_null(ownership_refuted(&o));
		ownership_free(&o);
	}
}

/* No answer to the look is as good as no API; and the look is not repeated for the same one. */
static void look_unanswered(void **state)
{
	static const struct { int status; enum ownership_state to; } CASES[] = {
		{0, OWNERSHIP_YIELDING}, {500, OWNERSHIP_YIELDING}, {404, OWNERSHIP_OWNED}, {200, OWNERSHIP_OWNED}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct scene s = {.holder = "a", .candidates = "b a"};
		ownership_claimed(&o, "b", NULL, NOW);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_LOOK);
		ownership_looked(&o, CASES[i].status, NOW);
		step(&o, s, NOW);
		assert_int_equal(o.state, CASES[i].to);
		assert_true(o.retry_at == (CASES[i].status == 0 || CASES[i].status == 500 ? NOW + CLOCK_S : 0));
		ownership_free(&o);
	}
}

/* A write that hangs when a rival appears is not waited for. */
static void hanging_write(void **state)
{
	(void)state;
	for (int64_t written = -50; written <= 50; written += 100) {
		struct ownership o = in_state(OWNERSHIP_OWNED);
		struct scene s = {"x", "a b", .fate = HOLDER_DEAD};
		o.since = NOW - 10 * CLOCK_S;
		mem_replace(&o.from, "x");
		mem_replace(&o.before[0], "x");
		if (written < 0)
			assert_int_equal(step(&o, s, NOW + written * MS), OWNERSHIP_WRITE);
		ownership_claimed(&o, "b", NULL, NOW);
		if (written > 0) {   /* in this war already: it has a full second to come back */
			o.in_flight = true;
			o.called_at = NOW + written * MS;
		}
		int64_t at = NOW + (written > 0 ? written * MS : 0) + 100 * MS;
		acts_at(&o, s, at, OWNERSHIP_ABANDON);
		assert_true(wake == at + MS);
		assert_true(o.retry_at == (written > 0 ? at + CLOCK_S : at));
		assert_int_equal(step(&o, s, at + MS), OWNERSHIP_LOOK);
		/* Nor does a look hang for longer than this, and then there is no API server. */
		acts_at(&o, s, at + 201 * MS, OWNERSHIP_ABANDON);
		assert_true(wake == at + 202 * MS && o.retry_at == at + 201 * MS + CLOCK_S);
		assert_int_equal(step(&o, s, at + 202 * MS), OWNERSHIP_DEFEND);   /* it was taken from x, and b is no better */
		ownership_free(&o);
	}
}

/* What is written after a look is a write. */
static void write_after_look(void **state)
{
	struct ownership o = in_state(OWNERSHIP_OWNED);
	struct scene s = {"x", "a b", .fate = HOLDER_DEAD};
	(void)state;
	o.since = NOW - 10 * CLOCK_S;
	mem_replace(&o.from, "x");
	mem_replace(&o.before[0], "x");
	ownership_claimed(&o, "b", NULL, NOW);
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_LOOK);
	ownership_looked(&o, 200, NOW + MS);
	assert_int_equal(step(&o, s, NOW + MS), OWNERSHIP_WRITE);
	assert_int_equal(step(&o, s, NOW + MS), OWNERSHIP_DEFEND);
	ownership_claimed(&o, "b", NULL, NOW + 2 * MS);
	acts_at(&o, s, NOW + 102 * MS, OWNERSHIP_ABANDON);
	ownership_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wars), cmocka_unit_test(defends_with_pauses), cmocka_unit_test(rank_decides), cmocka_unit_test(record_decides),
		cmocka_unit_test(race_ends), cmocka_unit_test(refuted), cmocka_unit_test(refuted_no_more), cmocka_unit_test(look_unanswered), cmocka_unit_test(hanging_write),
		cmocka_unit_test(write_after_look)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
