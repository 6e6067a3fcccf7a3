/* Naps and sleep, to the microsecond. */
#include "config/base/clock.h"
#include "speaker/wakefulness.h"
#include "tests/unit/unit.h"

#define NOW (1000 * CLOCK_S)
#define MS CLOCK_MS

static void verdicts(void **state)
{
	static const struct { int64_t interval, after; enum wakefulness_verdict is; } ROWS[] = {
		{100 * MS, 0, WAKEFULNESS_AWAKE}, {100 * MS, 170 * MS, WAKEFULNESS_AWAKE},
		{100 * MS, 170 * MS + 1, WAKEFULNESS_NAPPED}, {100 * MS, 1100 * MS - 1, WAKEFULNESS_NAPPED},
		{100 * MS, 1100 * MS, WAKEFULNESS_SLEPT}, {100 * MS, 20 * CLOCK_S, WAKEFULNESS_SLEPT},
		{20 * MS, 34 * MS, WAKEFULNESS_AWAKE}, {20 * MS, 34 * MS + 1, WAKEFULNESS_NAPPED},
		{CLOCK_S, 1700 * MS, WAKEFULNESS_AWAKE}, {CLOCK_S, 2000 * MS, WAKEFULNESS_SLEPT},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct wakefulness w;
		int64_t lasted = -1;
		wakefulness_init(&w, ROWS[i].interval);
		wakefulness_rest(&w, true, NOW);
		assert_true(w.due == NOW + ROWS[i].interval);
		assert_int_equal(wakefulness_turn(&w, NOW + ROWS[i].after, &lasted), ROWS[i].is);
		assert_true(lasted == (ROWS[i].is == WAKEFULNESS_AWAKE ? -1 : ROWS[i].after));
		assert_true(w.due == NOW + ROWS[i].after + ROWS[i].interval);
		assert_int_equal(wakefulness_turn(&w, NOW + ROWS[i].after, &lasted), WAKEFULNESS_AWAKE);   /* said once */
	}
}

/* With nothing to look after it may sleep as long as it likes; work takes what it takes. */
static void nothing_to_miss(void **state)
{
	struct wakefulness w;
	int64_t lasted;
	(void)state;
	wakefulness_init(&w, 100 * MS);
	assert_int_equal(wakefulness_turn(&w, NOW, &lasted), WAKEFULNESS_AWAKE);
	assert_true(w.due == CLOCK_NEVER);
	assert_int_equal(wakefulness_turn(&w, NOW + 100 * CLOCK_S, &lasted), WAKEFULNESS_AWAKE);
	wakefulness_rest(&w, true, NOW + 200 * CLOCK_S);
	wakefulness_rest(&w, true, NOW + 205 * CLOCK_S);
	assert_int_equal(wakefulness_turn(&w, NOW + 205 * CLOCK_S, &lasted), WAKEFULNESS_AWAKE);
	wakefulness_rest(&w, false, NOW + 205 * CLOCK_S);
	assert_int_equal(wakefulness_turn(&w, NOW + 300 * CLOCK_S, &lasted), WAKEFULNESS_AWAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(nothing_to_miss)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
