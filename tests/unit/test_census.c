/* Evidence about free addresses: when there is some, when it ages, and at what pace it is asked for. */
#include "arp/census.h"
#include "config/base/clock.h"
#include "tests/unit/unit.h"

static const struct census_times TIMES = {.spacing = 500, .answer_wait = 1000, .peer_wait = 3000, .questions = 2, .fresh = 300000, .renew = 60000, .silence = 60000};

#define T(n) ((int64_t)(n))

static void questions_and_their_pace(void **state)
{
	(void)state;
	const uint32_t wanted[] = {30, 10, 20};
	static const struct { int64_t at; uint32_t address; } ASKED[] = {
		{0, 30}, {500, 10}, {1000, 30}, {1500, 10}, {2000, 20}, {3000, 20},   /* each twice, the first wanted first */
		{61000, 30}, {61500, 10}, {63000, 20},                                /* and again when that is old */
	};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_want(c, wanted, 3, 0);
	assert_false(census_next(c, 0, &a));   /* another node asks */
	assert_true(census_deadline(c) == CLOCK_NEVER);
	census_set_asking(c, true);
	size_t n = 0;
	for (int64_t now = 0; now <= 70000; now += 100) {
		bool due = census_deadline(c) <= now;
		bool asked = census_next(c, now, &a);
		assert_true(due || !asked);   /* who sleeps until the deadline misses nothing */
		if (!asked)
			continue;
		if (n == COUNT(ASKED) || ASKED[n].at != now || ASKED[n].address != a)
			fail_msg("question %zu: %u at %lld", n, a, (long long)now);
		n++;
		assert_false(census_next(c, now, &a));
	}
	assert_int_equal(n, COUNT(ASKED));
	census_set_asking(c, false);
	assert_false(census_next(c, 200000, &a));
	census_free(c);
}

/* What was wanted before keeps its place among new ones. */
static void in_the_order_of_need(void **state)
{
	(void)state;
	const uint32_t before[] = {10}, wanted[] = {20, 10, 30}, order[] = {20, 10, 20, 10, 30};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_want(c, before, 1, 0);
	census_want(c, wanted, 3, 0);
	census_set_asking(c, true);
	for (size_t i = 0; i < COUNT(order); i++) {
		assert_true(census_next(c, T(500) * (int64_t)i, &a));
		assert_int_equal(a, order[i]);
	}
	census_free(c);
}

static void a_new_one_goes_first(void **state)
{
	(void)state;
	const uint32_t wanted[] = {1, 2, 3, 4}, more[] = {9, 1, 2, 3, 4};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 4, 0);
	for (int64_t now = 0; now < 65000; now += 500)
		census_next(c, now, &a);
	census_want(c, more, 5, 65000);
	assert_true(census_next(c, 65000, &a));
	assert_int_equal(a, 9);
	census_want(c, NULL, 0, 65500);
	assert_false(census_next(c, 65500, &a));
	assert_true(census_deadline(c) == CLOCK_NEVER);
	census_free(c);
}

static void evidence(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 1, 0);
	assert_true(census_next(c, T(0), &a));
	assert_true(census_next(c, T(1000), &a));
	assert_false(census_is_free(c, 7, 1999));   /* the second one may be answered yet */
	assert_true(census_is_free(c, 7, 2000));
	assert_false(census_is_free(c, 8, 2000));
	assert_true(census_is_free(c, 7, 1000 + 300000 - 1));
	assert_false(census_is_free(c, 7, 1000 + 300000));   /* it ages */
	census_free(c);
}

static void an_answer_ends_it(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 1, 0);
	assert_true(census_next(c, 0, &a));
	assert_true(census_next(c, 1000, &a));
	census_heard(c, 7, true, 1500);   /* late, but it is an answer */
	assert_false(census_is_free(c, 7, 5000));
	census_free(c);
	/* Also when it comes after the evidence, and from one question after that there is none yet. */
	c = census_new(&TIMES);
	census_asked(c, 7, 0);
	census_asked(c, 7, 4000);
	assert_false(census_is_free(c, 7, 6999));
	assert_true(census_is_free(c, 7, 7000));   /* a peer's questions count as well, later */
	census_heard(c, 7, true, 8000);
	assert_false(census_is_free(c, 7, 8000));
	census_asked(c, 7, 9000);
	assert_false(census_is_free(c, 7, 20000));
	census_asked(c, 7, 20000);
	assert_true(census_is_free(c, 7, 23000));
	census_void(c, 7);   /* the asker has published a stranger */
	assert_false(census_is_free(c, 7, 23000));
	census_free(c);
}

/* One of ours answers two questions at once: neither has stayed unanswered. */
static void an_answer_is_to_all_that_are_open(void **state)
{
	(void)state;
	struct census *c = census_new(&TIMES);
	census_asked(c, 7, 0);
	census_asked(c, 7, 1000);
	census_heard(c, 7, false, 1500);
	assert_false(census_is_free(c, 7, 5000));
	census_asked(c, 7, 5000);
	census_asked(c, 7, 6000);
	assert_true(census_is_free(c, 7, 9000));
	census_free(c);
}

static void two_at_once_count_once(void **state)
{
	(void)state;
	struct census *c = census_new(&TIMES);
	for (int64_t now = 0; now < 1000; now += 10)
		census_asked(c, 7, now);
	assert_false(census_is_free(c, 7, 4000));
	/* As one node asks, all are to know it. */
	census_asked(c, 7, 10000);
	census_asked(c, 7, 11000);
	assert_false(census_is_free(c, 7, 12999));
	assert_true(census_is_free(c, 7, 14000));
	for (int64_t now = 20000; now < 60000; now += 1000)   /* open ones are bounded; evidence goes on */
		census_asked(c, 7, now);
	assert_true(census_is_free(c, 7, 63000));
	census_free(c);
}

static void silence_of_a_stranger(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 1, 0);
	census_heard(c, 7, true, 100000);
	for (int64_t now = 100500; now < 160000; now += 500)
		census_next(c, now, &a);
	assert_false(census_is_silent(c, 7, 159999));
	while (census_next(c, 161000, &a) || census_next(c, 230000, &a))
		;
	assert_true(census_is_silent(c, 7, 240000));
	assert_false(census_is_silent(c, 8, 240000));
	/* Who has just begun to listen knows nothing. */
	struct census *young = census_new(&TIMES);
	census_want(young, wanted, 1, 200000);
	census_asked(young, 7, 200000);
	census_asked(young, 7, 204000);
	assert_false(census_is_silent(young, 7, 259999));
	assert_true(census_is_silent(young, 7, 260000));
	census_free(young);
	census_free(c);
	/* Silent, but nobody has asked. */
	c = census_new(&TIMES);
	census_heard(c, 7, true, 0);
	census_asked(c, 7, 1000);
	assert_false(census_is_silent(c, 7, 100000));
	census_free(c);
}

static void strangers_are_asked_more_often(void **state)
{
	(void)state;
	const uint32_t wanted[] = {1, 2};
	struct census *c = census_new(&TIMES);
	unsigned times[3] = {0};
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 2, 0);
	for (int64_t now = 0; now < 60000; now += 100)
		if (census_next(c, now, &a)) {
			times[a]++;
			census_heard(c, a, a == 1, now + 1);   /* both answer, one of them is ours */
		}
	assert_in_range(times[1], 6, 8);
	assert_int_equal(times[2], 2);
	census_heard(c, 1, false, 130000);   /* ours now */
	for (int64_t now = 130000; now < 140000; now += 100)
		census_next(c, now, &a);
	times[1] = 0;
	for (int64_t now = 140000; now < 190000; now += 100)
		if (census_next(c, now, &a))
			times[a]++;
	assert_int_equal(times[1], 0);
	census_free(c);
}

/* A stranger on an address that one of ours announces: the owner's answers do not hide that the other one has gone. */
static void gone_from_an_address_in_use(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	census_want(c, wanted, 1, 0);
	for (int64_t now = 0; now < 200000; now += 100) {
		if (now == 50000)
			census_heard(c, 7, true, now);
		if (census_next(c, now, &a))
			census_heard(c, 7, false, now + 1);
		if (census_is_silent(c, 7, now) != (now >= 110000))
			fail_msg("at %lld", (long long)now);
		assert_false(census_is_free(c, 7, now));
	}
	census_free(c);
}

/* A host that claims everything: neither memory nor the pace follows it; and what is asked for stays known. */
static void flood(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	unsigned asked = 0;
	census_set_asking(c, true);
	census_want(c, wanted, 1, 0);
	for (uint32_t i = 0; i < 200000; i++)
		census_heard(c, 1000 + i, true, i / 100);
	for (int64_t now = 0; now < 60000; now += 50)
		asked += census_next(c, now, &a);
	assert_int_equal(asked, 2);
	assert_true(census_is_free(c, 7, 10000));
	census_want(c, wanted, 1, 400000);   /* what is old goes */
	census_heard(c, 5, true, 400000);
	census_asked(c, 5, 400001);
	census_asked(c, 5, 404001);
	assert_true(census_is_free(c, 5, 407001));
	census_free(c);
}

/* An answer of one of ours says that it is in use, but nothing about a stranger; and what a stranger left unanswered ages. */
static void kinds_of_evidence(void **state)
{
	(void)state;
	struct census *c = census_new(&TIMES);
	census_asked(c, 7, 0);
	census_asked(c, 7, 4000);
	assert_true(census_is_free(c, 7, 7000));
	census_heard(c, 7, false, 7500);   /* late */
	assert_false(census_is_free(c, 7, 7500));
	assert_false(census_is_free(c, 7, 20000));
	census_asked(c, 7, 100000);
	census_asked(c, 7, 104000);
	assert_true(census_is_silent(c, 7, 107000));
	assert_true(census_is_silent(c, 7, 104000 + 300000 - 1));
	assert_false(census_is_silent(c, 7, 104000 + 300000));
	census_free(c);
}

/* Not wanted for a while: asked for twice again, like a new one. */
static void wanted_again(void **state)
{
	(void)state;
	const uint32_t wanted[] = {7};
	struct census *c = census_new(&TIMES);
	uint32_t a;
	census_set_asking(c, true);
	for (int64_t now = 0; now <= 20000; now += 10000) {
		census_want(c, wanted, 1, now);
		assert_true(census_next(c, now, &a));
		assert_false(census_next(c, now + 999, &a));
		assert_true(census_next(c, now + 1000, &a));
		assert_false(census_next(c, now + 5000, &a));
		census_want(c, NULL, 0, now + 6000);
	}
	census_free(c);
}

/* Many that are due at once: one question in each pause, whoever asks for more. */
static void pace_of_many(void **state)
{
	(void)state;
	uint32_t wanted[200], a;
	struct census *c = census_new(&TIMES);
	unsigned asked = 0;
	int64_t last = -500;
	for (uint32_t i = 0; i < 200; i++)
		wanted[i] = i + 1;
	census_set_asking(c, true);
	for (int64_t now = 0; now < 30000; now += 50) {
		if (now % 150 == 0)
			census_want(c, wanted, 200, now);   /* that is no reason to ask at once */
		if (!census_next(c, now, &a))
			continue;
		assert_true(now - last >= 500);
		last = now;
		asked++;
	}
	assert_int_equal(asked, 60);
	census_free(c);
}

static void defaults(void **state)
{
	(void)state;
	assert_true(CENSUS_TIMES.spacing >= CLOCK_S / 2);   /* at most 2/s per link */
	assert_int_equal(CENSUS_TIMES.fresh, 300 * CLOCK_S);
	assert_int_equal(CENSUS_TIMES.questions, 2);
	assert_true(CENSUS_TIMES.renew * 2 < CENSUS_TIMES.fresh && CENSUS_TIMES.questions >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(questions_and_their_pace), cmocka_unit_test(in_the_order_of_need), cmocka_unit_test(a_new_one_goes_first), cmocka_unit_test(evidence),
					   cmocka_unit_test(an_answer_ends_it), cmocka_unit_test(an_answer_is_to_all_that_are_open), cmocka_unit_test(two_at_once_count_once), cmocka_unit_test(silence_of_a_stranger),
					   cmocka_unit_test(strangers_are_asked_more_often), cmocka_unit_test(gone_from_an_address_in_use), cmocka_unit_test(flood),
					   cmocka_unit_test(kinds_of_evidence), cmocka_unit_test(wanted_again), cmocka_unit_test(pace_of_many), cmocka_unit_test(defaults)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
