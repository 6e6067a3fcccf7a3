/* When which gratuitous ARP goes out (wire.md section 3.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arp/announcer.h"
#include "config/base/clock.h"

#define VIP 0x0a630064
#define REQUEST ANNOUNCE_REQUEST
#define BOTH (ANNOUNCE_REQUEST | ANNOUNCE_REPLY)

struct sent {
	int64_t at;
	int forms;
};

static const struct sent SCHEDULE[] = {
	{0, BOTH}, {200 * CLOCK_MS, REQUEST}, {1100 * CLOCK_MS, BOTH}, {2 * CLOCK_S, REQUEST}, {5 * CLOCK_S, REQUEST},
};
#define STEPS (sizeof(SCHEDULE) / sizeof(SCHEDULE[0]))

/* Sleeps from deadline to deadline until `until`; returns how many were sent. For one address. */
static size_t run(struct announcer *a, int64_t until, struct sent *out, size_t max)
{
	size_t n = 0;
	struct announcement due[4];
	for (int64_t now = announcer_deadline(a); now <= until; now = announcer_deadline(a)) {
		if (now > 0)
			assert_int_equal(announcer_due(a, now - 1, due, 4), 0);
		size_t got = announcer_due(a, now, due, 4);
		for (size_t i = 0; i < got; i++) {
			assert_true(n < max);
			out[n++] = (struct sent){now, due[i].forms};
		}
		assert_true(announcer_deadline(a) > now);   /* or the caller would spin */
	}
	return n;
}

static void assert_schedule(const struct sent *sent, size_t n, int64_t start)
{
	assert_true(n >= STEPS);
	for (size_t i = 0; i < STEPS; i++) {
		assert_int_equal(sent[i].at, start + SCHEDULE[i].at);
		assert_int_equal(sent[i].forms, SCHEDULE[i].forms);
	}
}

static void schedule(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(0);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	announcer_start(a, VIP, 10 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), 10 * CLOCK_S);
	assert_int_equal(run(a, 1000 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, 10 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);   /* no refresh */
	announcer_free(a);
	announcer_free(NULL);
}

static void refresh(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(60 * CLOCK_S);
	announcer_start(a, VIP, 0);
	assert_int_equal(run(a, 200 * CLOCK_S, sent, 32), STEPS + 3);
	assert_schedule(sent, STEPS, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(sent[STEPS + i].at, (65 + 60 * (int64_t)i) * CLOCK_S);
		assert_int_equal(sent[STEPS + i].forms, REQUEST);
	}
	announcer_free(a);
}

static void restart_in_the_middle(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(0);
	announcer_start(a, VIP, 0);
	assert_int_equal(run(a, 1500 * CLOCK_MS, sent, 32), 3);
	announcer_restart_all(a, 1600 * CLOCK_MS);
	assert_int_equal(run(a, 100 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, 1600 * CLOCK_MS);
	announcer_restart_all(a, 200 * CLOCK_S);   /* also after the schedule has run */
	assert_int_equal(run(a, 300 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, 200 * CLOCK_S);
	announcer_free(a);
}

static void stop(void **state)
{
	(void)state;
	struct announcement due[8];
	struct announcer *a = announcer_new(60 * CLOCK_S);
	announcer_start(a, VIP, 0);
	announcer_start(a, VIP + 1, 0);
	announcer_stop(a, VIP);
	announcer_stop(a, VIP);
	announcer_stop(a, VIP + 9);
	assert_int_equal(announcer_due(a, 0, due, 8), 1);
	assert_int_equal(due[0].address, VIP + 1);
	announcer_stop(a, VIP + 1);
	for (int64_t now = 0; now < 200 * CLOCK_S; now += CLOCK_S)
		assert_int_equal(announcer_due(a, now, due, 8), 0);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	announcer_restart_all(a, 200 * CLOCK_S);
	assert_int_equal(announcer_due(a, 200 * CLOCK_S, due, 8), 0);
	announcer_free(a);
}

static void late_wake_up(void **state)
{
	(void)state;
	static const int64_t lates[] = {1, 150 * CLOCK_MS, CLOCK_S, 4900 * CLOCK_MS, 3600 * CLOCK_S};
	for (size_t i = 0; i < sizeof(lates) / sizeof(lates[0]); i++) {
		struct sent sent[32];
		struct announcement due[8];
		struct announcer *a = announcer_new(0);
		announcer_start(a, VIP, 0);
		assert_int_equal(announcer_due(a, 0, due, 8), 1);
		int64_t wake = SCHEDULE[1].at + lates[i];
		assert_int_equal(announcer_due(a, wake, due, 8), 1);
		assert_int_equal(announcer_due(a, wake, due, 8), 0);
		assert_int_equal(run(a, wake + 100 * CLOCK_S, sent, 32), STEPS - 2);
		for (size_t k = 0; k < STEPS - 2; k++) {
			int64_t before = k ? sent[k - 1].at : wake;
			assert_true(sent[k].at - before >= (SCHEDULE[k + 2].at - SCHEDULE[k + 1].at) / 2);
			assert_true(sent[k].at >= SCHEDULE[k + 2].at);
			assert_int_equal(sent[k].forms, SCHEDULE[k + 2].forms);
		}
		announcer_free(a);
	}
}

static void late_refreshes_are_not_made_up(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcement due[8];
	struct announcer *a = announcer_new(60 * CLOCK_S);
	announcer_start(a, VIP, 0);
	assert_int_equal(run(a, 6 * CLOCK_S, sent, 32), STEPS);
	assert_int_equal(announcer_due(a, 1000 * CLOCK_S, due, 8), 1);
	assert_int_equal(announcer_deadline(a), 1060 * CLOCK_S);
	announcer_free(a);
}

static void once(void **state)
{
	(void)state;
	struct announcer *a = announcer_new(0);
	announcer_start(a, VIP, 0);
	announcer_start(a, VIP + 1, 0);
	static const struct {
		uint32_t address;
		int64_t at;
		bool allowed;
	} cases[] = {
		{VIP + 2, 0, false},                   /* not ours */
		{VIP, 0, true},                        /* the first, even at time 0 */
		{VIP, CLOCK_S - 1, false},
		{VIP + 1, 10, true},                   /* another address does not wait */
		{VIP, CLOCK_S, true},
		{VIP, 2 * CLOCK_S - 1, false},         /* a refused one does not count */
		{VIP, 2 * CLOCK_S, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (announcer_once(a, cases[i].address, cases[i].at) != cases[i].allowed)
			fail_msg("case %zu: wanted %d", i, cases[i].allowed);
	announcer_stop(a, VIP);
	assert_false(announcer_once(a, VIP, 10 * CLOCK_S));
	announcer_free(a);
}

#define MANY 500

/* All in one pass as far as max allows, in the order in which they were taken. */
static void five_hundred_at_once(void **state)
{
	(void)state;
	struct announcement due[64];
	struct announcer *a = announcer_new(60 * CLOCK_S);
	size_t next = 0, got;
	for (uint32_t i = 0; i < MANY; i++)
		announcer_start(a, VIP + i * 7, 0);
	do {
		due[63].forms = 99;
		assert_int_equal(announcer_deadline(a), 0);
		got = announcer_due(a, 0, due, 63);
		assert_true(got <= 63);
		assert_int_equal(due[63].forms, 99);
		for (size_t i = 0; i < got; i++) {
			assert_int_equal(due[i].address, VIP + next++ * 7);
			assert_int_equal(due[i].forms, BOTH);
		}
	} while (got == 63);
	assert_int_equal(next, MANY);
	assert_int_equal(announcer_deadline(a), 200 * CLOCK_MS);
	announcer_free(a);
}

/* Five every 10 ms, as under a rate cap: repeats come due long before the last first announcement was sent. */
static void five_hundred_under_a_cap(void **state)
{
	(void)state;
	struct announcement due[5];
	struct announcer *a = announcer_new(0);
	unsigned counts[MANY] = {0};
	int64_t first_done = 0;
	unsigned firsts = 0;
	for (uint32_t i = 0; i < MANY; i++)
		announcer_start(a, VIP + i, 0);
	int64_t now = 0;
	for (; announcer_deadline(a) != CLOCK_NEVER; now += 10 * CLOCK_MS) {
		size_t n = announcer_due(a, now, due, 5);
		for (size_t i = 0; i < n; i++) {
			uint32_t which = due[i].address - VIP;
			assert_true(which < MANY);
			assert_int_equal(due[i].forms, SCHEDULE[counts[which]].forms);
			if (counts[which]++ == 0 && ++firsts == MANY)
				first_done = now;
		}
		assert_true(now < 60 * CLOCK_S);
	}
	/* 1.0 s would be the first announcements alone; repeats may take as much again, no more. */
	assert_true(first_done > 0 && first_done <= 2 * CLOCK_S);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(counts[i], STEPS);
	announcer_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule), cmocka_unit_test(refresh), cmocka_unit_test(restart_in_the_middle), cmocka_unit_test(stop),
		cmocka_unit_test(late_wake_up), cmocka_unit_test(late_refreshes_are_not_made_up), cmocka_unit_test(once),
		cmocka_unit_test(five_hundred_at_once), cmocka_unit_test(five_hundred_under_a_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
