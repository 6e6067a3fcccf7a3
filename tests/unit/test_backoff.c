/* Waits between tries. */
#include "k8sclient/backoff.h"
#include "tests/unit/unit.h"

#define S INT64_C(1000000)

static void doubles_up_to_the_cap(void **state)
{
	static const int64_t WAITS[] = {800000, 1600000, 3200000, 6400000, 10000000, 10000000, 10000000};
	struct backoff low = BACKOFF_INIT(800000, 10 * S, 120 * S), high = low;
	(void)state;
	for (size_t i = 0; i < COUNT(WAITS); i++) {
		int64_t now = (int64_t)i * 20 * S;
		assert_int_equal(backoff_next(&low, now, 0.0), WAITS[i] / 2);
		int64_t wait = backoff_next(&high, now, 0.9999999);
		assert_true(wait < WAITS[i] && wait > WAITS[i] - 10);
	}
}

static void forgets(void **state)
{
	struct backoff b = BACKOFF_INIT(400000, 10 * S, 120 * S);
	(void)state;
	assert_int_equal(backoff_next(&b, 0, 0.0), 200000);
	assert_int_equal(backoff_next(&b, 120 * S, 0.0), 400000);   /* not longer than forget_after */
	assert_int_equal(backoff_next(&b, 240 * S + 1, 0.0), 200000);
	assert_int_equal(backoff_next(&b, 240 * S + 2, 0.0), 400000);
	backoff_reset(&b);
	assert_int_equal(backoff_next(&b, 240 * S + 3, 0.0), 200000);
}

static void odd_bounds(void **state)
{
	static const struct {
		int64_t first, cap, waits[4];
	} ROWS[] = {
		{1000, 1000, {1000, 1000, 1000, 1000}},
		{5000, 1000, {1000, 1000, 1000, 1000}},   /* first above the cap */
		{1000, 3000, {1000, 3000, 3000, 3000}},   /* never above, also when doubling would be */
		{1, INT64_MAX, {1, 2, 4, 8}},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct backoff b = BACKOFF_INIT(ROWS[i].first, ROWS[i].cap, 120 * S);
		for (size_t j = 0; j < 4; j++) {
			int64_t wait = backoff_next(&b, 0, 0.999999), want = ROWS[i].waits[j];
			if (wait > want || wait < want / 2)
				fail_msg("row %zu, try %zu: %lld", i, j, (long long)wait);
		}
	}
	struct backoff b = BACKOFF_INIT(S, INT64_MAX, 120 * S);
	for (int i = 0; i < 200; i++)
		assert_true(backoff_next(&b, 0, 0.5) > 0);   /* no overflow */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_cap), cmocka_unit_test(forgets), cmocka_unit_test(odd_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
