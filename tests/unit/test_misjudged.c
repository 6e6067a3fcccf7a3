/* Peers taken for dead that were not: ownership.md R5. */
#include "config/base/clock.h"
#include "speaker/misjudged.h"
#include "tests/unit/support.h"

#define NOW (1000 * CLOCK_S)

static void only_after_a_false_verdict(void **state)
{
	struct misjudged *m = misjudged_new();
	(void)state;
	assert_false(misjudged_announces(m, "a", NULL, NOW));   /* nothing was taken */
	misjudged_took(m, "a", NOW);
	assert_false(misjudged_is(m, "a", NOW, NULL));
	assert_false(misjudged_announces(m, "b", NULL, NOW));
	assert_false(misjudged_announces(m, "a", NULL, NOW + 30 * CLOCK_S + 1));   /* by then it may have come back from the dead */
	misjudged_took(m, "a", NOW);
	assert_true(misjudged_announces(m, "a", NULL, NOW + 30 * CLOCK_S));
	assert_false(misjudged_announces(m, "a", NULL, NOW + 30 * CLOCK_S));   /* once for each mistake */
	assert_true(misjudged_is(m, "a", NOW + 31 * CLOCK_S, NULL));
	assert_false(misjudged_is(m, "b", NOW + 31 * CLOCK_S, NULL));
	misjudged_free(m);
}

/* Whom the record names, or is to name, may announce it: nobody was wrong about him. Who records over us was alive. */
static void not_by_a_handover(void **state)
{
	static const struct { const char *holder, *successor; bool proof; } ROWS[] = {{"a", "", false}, {"me", "a", false}, {"me", "", true}, {"me", "b", true}, {"b", "", true}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct misjudged *m = misjudged_new();
		struct record *r = support_record_new((struct support_record){.address = "10.0.0.1", .holder = ROWS[i].holder, .successor = ROWS[i].successor, .epoch = 3});
		misjudged_took(m, "a", NOW);
		assert_int_equal(misjudged_announces(m, "a", r, NOW + CLOCK_S), ROWS[i].proof);
		assert_int_equal(misjudged_is(m, "a", NOW + CLOCK_S, NULL), ROWS[i].proof);
		if (!ROWS[i].proof)
			assert_true(misjudged_records(m, "a", NOW + CLOCK_S));
		record_free(r);
		misjudged_free(m);
	}
}

/* 30 s, doubling to 16 min; after long without a mistake from the beginning. */
static void longer_each_time(void **state)
{
	struct misjudged *m = misjudged_new();
	int64_t now = NOW, pause = 30 * CLOCK_S, until;
	(void)state;
	for (int i = 0; i < 8; i++) {
		misjudged_took(m, "a", now);
		assert_true(misjudged_announces(m, "a", NULL, now));
		assert_true(misjudged_is(m, "a", now + pause - 1, &until));
		assert_true(until == now + pause);
		assert_false(misjudged_is(m, "a", now + pause, &until));
		now += pause;
		pause = pause * 2 > 960 * CLOCK_S ? 960 * CLOCK_S : pause * 2;
	}
	now += 960 * CLOCK_S + 1;
	misjudged_took(m, "a", now);
	assert_true(misjudged_announces(m, "a", NULL, now));
	assert_false(misjudged_is(m, "a", now + 30 * CLOCK_S, NULL));
	misjudged_free(m);
	misjudged_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_after_a_false_verdict), cmocka_unit_test(not_by_a_handover), cmocka_unit_test(longer_each_time)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
