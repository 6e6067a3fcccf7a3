/* Peers taken for dead that were not: ownership.md R5. */
#include "config/base/clock.h"
#include "speaker/misjudged.h"
#include "tests/unit/unit.h"

#define NOW (1000 * CLOCK_S)

static void only_after_a_false_verdict(void **state)
{
	struct misjudged *m = misjudged_new();
	(void)state;
	assert_false(misjudged_announces(m, "a", NOW));   /* nothing was taken */
	misjudged_took(m, "a", NOW);
	assert_false(misjudged_is(m, "a", NOW, NULL));
	assert_false(misjudged_announces(m, "b", NOW));
	assert_false(misjudged_announces(m, "a", NOW + 30 * CLOCK_S + 1));   /* by then it may have come back from the dead */
	misjudged_took(m, "a", NOW);
	assert_true(misjudged_announces(m, "a", NOW + 30 * CLOCK_S));
	assert_false(misjudged_announces(m, "a", NOW + 30 * CLOCK_S));   /* once for each mistake */
	assert_true(misjudged_is(m, "a", NOW + 31 * CLOCK_S, NULL));
	assert_false(misjudged_is(m, "b", NOW + 31 * CLOCK_S, NULL));
	misjudged_free(m);
}

/* 30 s, doubling to 16 min; after long without a mistake from the beginning. */
static void longer_each_time(void **state)
{
	struct misjudged *m = misjudged_new();
	int64_t now = NOW, pause = 30 * CLOCK_S, until;
	(void)state;
	for (int i = 0; i < 8; i++) {
		misjudged_took(m, "a", now);
		assert_true(misjudged_announces(m, "a", now));
		assert_true(misjudged_is(m, "a", now + pause - 1, &until));
		assert_true(until == now + pause);
		assert_false(misjudged_is(m, "a", now + pause, &until));
		now += pause;
		pause = pause * 2 > 960 * CLOCK_S ? 960 * CLOCK_S : pause * 2;
	}
	now += 960 * CLOCK_S + 1;
	misjudged_took(m, "a", now);
	assert_true(misjudged_announces(m, "a", now));
	assert_false(misjudged_is(m, "a", now + 30 * CLOCK_S, NULL));
	misjudged_free(m);
	misjudged_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_after_a_false_verdict), cmocka_unit_test(longer_each_time)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
