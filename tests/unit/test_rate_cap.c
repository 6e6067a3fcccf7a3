/* No second with more frames than allowed, and none less than possible. */
#include "arp/rate_cap.h"
#include "config/base/clock.h"
#include "tests/unit/support.h"

static void off(void **state)
{
	(void)state;
	struct rate_cap *c = rate_cap_new(0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rate_cap_room(c, 100000, 0), 100000);
		rate_cap_take(c, 100000, 0);
	}
	assert_true(rate_cap_opens(c) <= 0);
	rate_cap_free(c);
	rate_cap_free(NULL);
}

static void a_second_exactly(void **state)
{
	(void)state;
	struct rate_cap *c = rate_cap_new(3);
	assert_true(rate_cap_opens(c) <= 0);
	assert_int_equal(rate_cap_room(c, 2, 0), 2);
	assert_int_equal(rate_cap_room(c, 9, 0), 3);
	rate_cap_take(c, 2, 0);
	assert_int_equal(rate_cap_room(c, 9, 400 * CLOCK_MS), 1);
	rate_cap_take(c, 1, 400 * CLOCK_MS);
	assert_int_equal(rate_cap_room(c, 9, CLOCK_S - 1), 0);
	assert_int_equal(rate_cap_opens(c), CLOCK_S);
	assert_int_equal(rate_cap_room(c, 9, CLOCK_S), 2);
	rate_cap_take(c, 2, CLOCK_S);
	assert_int_equal(rate_cap_opens(c), 1400 * CLOCK_MS);
	assert_int_equal(rate_cap_room(c, 9, 1400 * CLOCK_MS), 1);
	assert_int_equal(rate_cap_room(c, 9, 100 * CLOCK_S), 3);
	rate_cap_free(c);
}

/* Wants at random moments: what passes is what a count over the last second allows. */
static void random_wants(void **state)
{
	(void)state;
	static int64_t sent[40000];
	for (unsigned rate = 1; rate <= 50; rate += 7) {
		struct rate_cap *c = rate_cap_new(rate);
		uint64_t chance = rate;
		size_t n = 0;
		int64_t now = 0;
		for (int i = 0; i < 3000; i++) {
			unsigned within = 0, wanted = support_pick(&chance, 12);
			now += support_pick(&chance, 200) * CLOCK_MS;
			for (size_t k = n; k > 0 && now - sent[k - 1] < CLOCK_S; k--)
				within++;
			unsigned room = rate_cap_room(c, wanted, now), want = wanted < rate - within ? wanted : rate - within;
			assert_int_equal(room, want);
			assert_int_equal(rate_cap_opens(c) <= now, within < rate);
			rate_cap_take(c, room, now);
			for (unsigned k = 0; k < room; k++)
				sent[n++] = now;
		}
		rate_cap_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(off), cmocka_unit_test(a_second_exactly), cmocka_unit_test(random_wants)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
