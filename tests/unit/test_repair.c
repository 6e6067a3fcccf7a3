/* Foreign writes: three repairs a minute, then waits of 1, 2, 4, 8, 10, 10 minutes as long as each try is undone. */
#include "config/base/clock.h"
#include "speaker/repair.h"
#include "tests/unit/unit.h"

#define NOW (1000 * CLOCK_S)

static void three_a_minute(void **state)
{
	struct repair r = {0};
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(repair_allow(&r, NOW + i * CLOCK_S));
	assert_false(repair_allow(&r, NOW + 3 * CLOCK_S));
	assert_int_equal(r.until, NOW + 63 * CLOCK_S);
	assert_false(repair_allow(&r, NOW + 63 * CLOCK_S - 1));
	/* slowly enough, it goes on for ever */
	r = (struct repair){0};
	for (int i = 0; i < 100; i++)
		assert_true(repair_allow(&r, NOW + i * 31 * CLOCK_S));
}

static void doubling(void **state)
{
	static const int WAITS[] = {60, 120, 240, 480, 600, 600};
	struct repair r = {0};
	int64_t now = NOW;
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(repair_allow(&r, now));
	for (size_t i = 0; i < sizeof(WAITS) / sizeof(WAITS[0]); i++) {
		assert_false(repair_allow(&r, now));
		assert_int_equal(r.wait, WAITS[i] * CLOCK_S);
		now = r.until;
		assert_true(repair_allow(&r, now));   /* one try */
		now += CLOCK_S;                       /* which is undone */
	}
	/* quiet for long: as if nothing had been */
	now = r.until + 3600 * CLOCK_S;
	for (int i = 0; i < 3; i++)
		assert_true(repair_allow(&r, now + i * CLOCK_S));
	assert_false(repair_allow(&r, now + 3 * CLOCK_S));
	assert_int_equal(r.wait, 60 * CLOCK_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(three_a_minute), cmocka_unit_test(doubling)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
