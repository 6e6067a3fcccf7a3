/* When what is wrong on the server is written. */
#include "config/base/clock.h"
#include "speaker/paced_write.h"
#include "tests/unit/unit.h"

#define T (1000 * CLOCK_S)
static const struct paced_write_times TIMES = {.settle = 2 * CLOCK_S, .retry = 5 * CLOCK_S, .retry_max = 15 * CLOCK_S, .remembered = 900 * CLOCK_S};

static void settles(void **state)
{
	struct paced_write w = {0};
	(void)state;
	assert_true(paced_write_is_over(&w, &TIMES, T));
	assert_false(paced_write_begin(&w, T));
	assert_true(paced_write_deadline(&w) == CLOCK_NEVER);
	paced_write_look(&w, &TIMES, true, T);
	assert_false(paced_write_is_over(&w, &TIMES, T));
	assert_true(paced_write_deadline(&w) == T + TIMES.settle);
	paced_write_look(&w, &TIMES, true, T + CLOCK_S);   /* still; that is no new beginning */
	assert_false(paced_write_begin(&w, T + TIMES.settle - 1));
	paced_write_look(&w, &TIMES, false, T + TIMES.settle - 1);
	assert_false(paced_write_begin(&w, T + TIMES.settle));
	assert_true(paced_write_is_over(&w, &TIMES, T + TIMES.settle));   /* nothing was written: nothing is to be remembered */
	paced_write_look(&w, &TIMES, true, T + TIMES.settle);
	assert_true(paced_write_begin(&w, T + 2 * TIMES.settle));
	assert_false(paced_write_begin(&w, T + 20 * TIMES.settle));       /* under way */
	assert_true(paced_write_deadline(&w) == CLOCK_NEVER);
	paced_write_look(&w, &TIMES, false, T + 3 * TIMES.settle);
	assert_false(paced_write_is_over(&w, &TIMES, T + 3 * TIMES.settle));
	paced_write_ended(&w, &TIMES, PACED_WRITE_DONE, T + 3 * TIMES.settle);
	assert_false(paced_write_is_over(&w, &TIMES, T + 3 * TIMES.settle + TIMES.remembered - 1));
	assert_true(paced_write_is_over(&w, &TIMES, T + 3 * TIMES.settle + TIMES.remembered));
}

/* After a failure it waits twice as long each time; a view that was old is no failure. */
static void fails(void **state)
{
	static const int64_t PAUSES[] = {5 * CLOCK_S, 10 * CLOCK_S, 15 * CLOCK_S, 15 * CLOCK_S};
	struct paced_write w = {0};
	int64_t now = T;
	(void)state;
	paced_write_look(&w, &TIMES, true, now);
	for (size_t i = 0; i < COUNT(PAUSES); i++) {
		now = paced_write_deadline(&w) + 100 * CLOCK_S;   /* so that repair.h has no part in it */
		assert_true(paced_write_begin(&w, now));
		paced_write_ended(&w, &TIMES, PACED_WRITE_FAILED, now);
		assert_true(paced_write_deadline(&w) == now + PAUSES[i]);
	}
	now += 100 * CLOCK_S;
	assert_true(paced_write_begin(&w, now));
	paced_write_ended(&w, &TIMES, PACED_WRITE_STALE, now);
	assert_true(paced_write_deadline(&w) == now + TIMES.settle);
	now += 100 * CLOCK_S;
	assert_true(paced_write_begin(&w, now));
	paced_write_ended(&w, &TIMES, PACED_WRITE_FAILED, now);
	assert_true(paced_write_deadline(&w) == now + PAUSES[0]);   /* from the beginning */
}

/* Somebody undoes each write at once, for a day. */
static void quarrel(void **state)
{
	struct paced_write w = {0};
	unsigned writes = 0, first_minute = 0;
	(void)state;
	paced_write_look(&w, &TIMES, true, T);
	for (int64_t now = T; now < T + 24 * 3600 * CLOCK_S; now += CLOCK_S / 2) {
		if (!paced_write_begin(&w, now)) {
			assert_true(paced_write_deadline(&w) > now);   /* the timer does not spin */
			continue;
		}
		writes++;
		first_minute += now < T + 60 * CLOCK_S;
		paced_write_ended(&w, &TIMES, PACED_WRITE_DONE, now);
		paced_write_look(&w, &TIMES, false, now);
		paced_write_look(&w, &TIMES, true, now);
	}
	assert_int_equal(first_minute, 3);
	assert_in_range(writes, 100, 300);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(PACED_WRITE_TIMES.settle, CLOCK_S);
	assert_int_equal(PACED_WRITE_TIMES.retry, 5 * CLOCK_S);
	assert_int_equal(PACED_WRITE_TIMES.retry_max, 300 * CLOCK_S);
	assert_true(PACED_WRITE_TIMES.remembered > 600 * CLOCK_S);   /* repair.h's last back-off */
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(settles), cmocka_unit_test(fails), cmocka_unit_test(quarrel), cmocka_unit_test(defaults)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
