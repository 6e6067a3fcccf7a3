/* When which gratuitous ARP goes out (wire.md section 3.2). */
#include "arp/announcer.h"
#include "config/base/clock.h"
#include "tests/unit/support.h"

#define VIP 0x0a630064
#define REQUEST ANNOUNCE_REQUEST
#define BOTH (ANNOUNCE_REQUEST | ANNOUNCE_REPLY)

struct sent {
	int64_t at;
	unsigned forms;
};

static const struct sent SCHEDULE[] = {
	{0, BOTH}, {200 * CLOCK_MS, REQUEST}, {1100 * CLOCK_MS, BOTH}, {2 * CLOCK_S, REQUEST}, {5 * CLOCK_S, REQUEST},
};
#define STEPS (sizeof(SCHEDULE) / sizeof(SCHEDULE[0]))

/* What announcer_due gave for one address at one moment counts as one. */
static size_t due_together(struct announcer *a, int64_t now, unsigned *formsp)
{
	struct announcement due[64];
	size_t n = announcer_due(a, now, due, 64);
	*formsp = 0;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(*formsp & due[i].forms, 0);
		*formsp |= due[i].forms;
	}
	return n;
}

/* Sleeps from deadline to deadline until `until`; returns how many were sent. For one address. */
static size_t run(struct announcer *a, int64_t until, struct sent *out, size_t max)
{
	size_t n = 0;
	unsigned forms;
	for (int64_t now = announcer_deadline(a); now <= until; now = announcer_deadline(a)) {
		if (now > 0)
			assert_int_equal(due_together(a, now - 1, &forms), 0);
		assert_true(due_together(a, now, &forms) > 0);
		assert_true(n < max);
		out[n++] = (struct sent){now, forms};
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
	struct announcer *a = announcer_new(NULL, 0, 0);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	announcer_start(a, VIP, 10 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), 10 * CLOCK_S);
	assert_int_equal(run(a, 1000 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, 10 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);   /* no refresh */
	announcer_free(a);
	announcer_free(NULL);
}

/* Each address has its own moment in the interval, and keeps it, whenever it was taken. */
static void refresh(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		struct sent sent[32];
		struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
		int64_t start = i * 7 * CLOCK_S;
		announcer_start(a, VIP + i, start);
		assert_int_equal(run(a, start + (5 + 180) * CLOCK_S, sent, 32), STEPS + 3);
		assert_schedule(sent, STEPS, start);
		for (size_t k = 0; k < 3; k++) {
			int64_t pause = sent[STEPS + k].at - sent[STEPS + k - 1].at;
			assert_true(k ? pause == 60 * CLOCK_S : pause > 0 && pause <= 60 * CLOCK_S);
			assert_int_equal(sent[STEPS + k].forms, REQUEST);
		}
		int64_t moment = sent[STEPS].at % (60 * CLOCK_S);
		announcer_start(a, VIP + i, 1000 * CLOCK_S + start);
		assert_int_equal(run(a, start + (1005 + 60) * CLOCK_S, sent, 32), STEPS + 1);
		assert_int_equal(sent[STEPS].at % (60 * CLOCK_S), moment);
		announcer_free(a);
	}
}

static void restart_in_the_middle(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(NULL, 0, 0);
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
	struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
	announcer_start(a, VIP, 0);
	announcer_start(a, VIP + 1, 0);
	announcer_stop(a, VIP);
	announcer_stop(a, VIP);
	announcer_stop(a, VIP + 9);
	assert_int_equal(announcer_due(a, 0, due, 8), 2);
	assert_int_equal(due[0].address, VIP + 1);
	assert_int_equal(due[0].forms | due[1].forms, BOTH);
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
	for (size_t i = 0; i < COUNT(lates); i++) {
		struct sent sent[32];
		unsigned forms;
		struct announcer *a = announcer_new(NULL, 0, 0);
		announcer_start(a, VIP, 0);
		assert_int_equal(due_together(a, 0, &forms), 2);
		int64_t wake = SCHEDULE[1].at + lates[i];
		assert_int_equal(due_together(a, wake, &forms), 1);
		assert_int_equal(due_together(a, wake, &forms), 0);
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
	unsigned forms;
	struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
	announcer_start(a, VIP, 0);
	assert_int_equal(run(a, 5 * CLOCK_S, sent, 32), STEPS);
	int64_t first = announcer_deadline(a);
	assert_int_equal(due_together(a, 1000 * CLOCK_S, &forms), 1);
	assert_true(announcer_deadline(a) > 1000 * CLOCK_S);
	assert_int_equal((announcer_deadline(a) - first) % (60 * CLOCK_S), 0);
	announcer_free(a);
}

#define MANY 500

/* Taken at one moment, and woken late: yet never all refreshed at one moment. */
static void refreshes_are_spread(void **state)
{
	(void)state;
	struct announcement due[64];
	struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
	unsigned in_second[60] = {0};
	size_t n;
	for (uint32_t i = 0; i < MANY; i++)
		announcer_start(a, VIP + i, 0);
	while (announcer_deadline(a) <= 300 * CLOCK_S)
		announcer_due(a, announcer_deadline(a), due, 64);
	while (announcer_due(a, 5000 * CLOCK_S, due, 64) > 0)   /* the machine slept: all are due */
		;
	while (announcer_deadline(a) < 5060 * CLOCK_S) {
		int64_t now = announcer_deadline(a);
		n = announcer_due(a, now, due, 64);
		in_second[now / CLOCK_S - 5000] += (unsigned)n;
	}
	for (size_t i = 0; i < 60; i++)
		if (in_second[i] < 4 || in_second[i] > 13)   /* 8.3 would be perfect */
			fail_msg("%u of %d in second %zu", in_second[i], MANY, i);
	announcer_free(a);
}

/* ---- outside the schedule ---- */

enum reason { PROBED, CONFLICT };

static void limits(void **state)
{
	(void)state;
	static const struct {
		uint32_t address;
		enum reason reason;
		int64_t at;
		bool allowed;
	} cases[] = {
		{VIP + 2, PROBED, 10 * CLOCK_S, false},               /* not ours */
		{VIP + 2, CONFLICT, 10 * CLOCK_S, false},
		{VIP, PROBED, 10 * CLOCK_S, true},
		{VIP, PROBED, 11 * CLOCK_S - 1, false},
		{VIP + 1, PROBED, 10 * CLOCK_S + 10, true},           /* another address does not wait */
		{VIP, CONFLICT, 11 * CLOCK_S - 1, true},              /* nor another reason */
		{VIP, PROBED, 11 * CLOCK_S, true},
		{VIP, PROBED, 12 * CLOCK_S - 1, false},               /* a refused one does not count */
		{VIP, PROBED, 12 * CLOCK_S, true},
		{VIP, CONFLICT, 21 * CLOCK_S - 2, false},
		{VIP, CONFLICT, 21 * CLOCK_S - 1, true},
		{VIP, CONFLICT, 31 * CLOCK_S - 2, false},
		{VIP + 1, CONFLICT, 31 * CLOCK_S - 2, true},
	};
	struct announcement due[8];
	struct announcer *a = announcer_new(NULL, 0, 0);
	announcer_start(a, VIP, 0);
	announcer_start(a, VIP + 1, 0);
	while (announcer_deadline(a) != CLOCK_NEVER)
		announcer_due(a, announcer_deadline(a), due, 8);
	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t now = cases[i].at;
		bool allowed = cases[i].reason == PROBED ? announcer_probed(a, cases[i].address, now) : announcer_defend(a, cases[i].address, now);
		assert_int_equal(announcer_deadline(a), allowed ? now : CLOCK_NEVER);
		size_t n = announcer_due(a, now, due, 8);
		/* One frame, no schedule behind it. */
		if (allowed != cases[i].allowed || n != allowed || (n && (due[0].address != cases[i].address || due[0].forms != REQUEST)))
			fail_msg("case %zu: wanted %d, gave %zu", i, cases[i].allowed, n);
		assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	}
	announcer_stop(a, VIP);
	assert_false(announcer_probed(a, VIP, 100 * CLOCK_S));
	assert_false(announcer_defend(a, VIP, 100 * CLOCK_S));
	announcer_free(a);
}

/* In the middle of the schedule: the schedule goes on as if nothing had been. */
static void extra_leaves_the_schedule_alone(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(NULL, 0, 0);
	announcer_start(a, VIP, 0);
	assert_true(announcer_defend(a, VIP, 0));   /* the first announcement is about to go: it is the defence */
	assert_int_equal(run(a, 500 * CLOCK_MS, sent, 32), 2);
	assert_int_equal(sent[0].forms, BOTH);
	assert_true(announcer_probed(a, VIP, 600 * CLOCK_MS));
	assert_int_equal(run(a, 100 * CLOCK_S, sent + 2, 30), STEPS - 1);
	assert_int_equal(sent[2].at, 600 * CLOCK_MS);
	assert_int_equal(sent[2].forms, REQUEST);
	memmove(sent + 2, sent + 3, (STEPS - 2) * sizeof(*sent));
	assert_schedule(sent, STEPS, 0);
	/* One that waits goes with its address. */
	announcer_start(a, VIP, 200 * CLOCK_S);
	run(a, 200 * CLOCK_S, sent, 32);
	assert_true(announcer_defend(a, VIP, 200 * CLOCK_S + 1));
	announcer_stop(a, VIP);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	announcer_free(a);
}

/* ---- hosts ---- */

/* Begun anew while one outside the schedule waits: its first announcement is enough. */
static void begun_anew_with_an_extra(void **state)
{
	(void)state;
	struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
	struct announcement due[8];
	announcer_start(a, VIP, 0);
	assert_true(announcer_due(a, 0, due, 8) > 0);
	assert_true(announcer_probed(a, VIP, 100 * CLOCK_MS));
	announcer_start(a, VIP, 100 * CLOCK_MS);
	size_t n = announcer_due(a, 100 * CLOCK_MS, due, 8);
	unsigned requests = 0;
	for (size_t i = 0; i < n; i++)
		requests += (due[i].forms & REQUEST) != 0;
	assert_int_equal(requests, 1);
	announcer_free(a);
}

static void directed(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcer *a = announcer_new(NULL, 0, 0);
	unsigned hosts = ANNOUNCE_HOST(0) | ANNOUNCE_HOST(15);
	announcer_set_hosts(a, hosts | ANNOUNCE_HOST(16) | REQUEST);   /* what is no host is none */
	announcer_start(a, VIP, 0);
	assert_int_equal(run(a, CLOCK_S, sent, 32), 2);
	assert_int_equal(sent[0].forms, BOTH | hosts);
	assert_int_equal(sent[1].forms, REQUEST);
	announcer_set_hosts(a, ANNOUNCE_HOST(3));   /* found out meanwhile */
	assert_int_equal(run(a, 100 * CLOCK_S, sent, 32), 3);
	assert_int_equal(sent[0].at, 1100 * CLOCK_MS);
	assert_int_equal(sent[0].forms, BOTH | ANNOUNCE_HOST(3));
	assert_int_equal(sent[1].forms | sent[2].forms, REQUEST);
	announcer_free(a);
}

/* Hosts that are gone before their turn under a cap: nothing is given, and nothing hangs. */
static void hosts_go(void **state)
{
	(void)state;
	struct sent sent[32];
	struct announcement due[8];
	struct announcer *a = announcer_new(NULL, 0, 2);
	announcer_set_hosts(a, ANNOUNCE_HOST(1));
	announcer_start(a, VIP, 0);
	assert_int_equal(announcer_due(a, 0, due, 8), 1);
	assert_int_equal(announcer_deadline(a), 50 * CLOCK_MS);
	assert_int_equal(announcer_due(a, 50 * CLOCK_MS, due, 8), 1);
	assert_int_equal(due[0].forms, ANNOUNCE_REPLY);
	announcer_set_hosts(a, 0);
	assert_int_equal(announcer_due(a, CLOCK_S, due, 8), 0);   /* the host's frame was due */
	int frames = 0;
	for (size_t n = run(a, 100 * CLOCK_S, sent, 32); n > 0; n--)
		frames += __builtin_popcount(sent[n - 1].forms);
	assert_int_equal(frames, 5);   /* what is left of the schedule */
	announcer_free(a);
}

/* ---- many ---- */

/* All in one pass as far as max allows: the requests of all, in the order in which they were taken, then the rest. */
static void five_hundred_at_once(void **state)
{
	(void)state;
	struct announcement due[64];
	struct announcer *a = announcer_new(NULL, 60 * CLOCK_S, 0);
	size_t next = 0, got;
	announcer_set_hosts(a, ANNOUNCE_HOST(0));
	for (uint32_t i = 0; i < MANY; i++)
		announcer_start(a, VIP + i * 7, 0);
	do {
		due[63].forms = 99;
		assert_int_equal(announcer_deadline(a), 0);
		got = announcer_due(a, 0, due, 63);
		assert_true(got <= 63);
		assert_int_equal(due[63].forms, 99);
		for (size_t i = 0; i < got; i++, next++) {
			assert_int_equal(due[i].address, VIP + next % MANY * 7);
			assert_int_equal(due[i].forms, next < MANY ? REQUEST : ANNOUNCE_REPLY | ANNOUNCE_HOST(0));
		}
	} while (got == 63);
	assert_int_equal(next, 2 * MANY);
	assert_int_equal(announcer_deadline(a), 200 * CLOCK_MS);
	announcer_free(a);
}

struct capped {
	int64_t at[MANY][16];     /* when each frame of an address went */
	unsigned n[MANY], replies[MANY], hosts[MANY];
	int64_t sent[MANY * 16];
	size_t n_sent;
};

/* Wakes at the deadlines only. */
static void run_capped(struct announcer *a, unsigned rate, struct capped *c)
{
	int64_t now = 0;
	*c = (struct capped){0};
	while ((now = announcer_deadline(a)) != CLOCK_NEVER) {
		struct announcement due[7];
		size_t n = announcer_due(a, now, due, 7);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			uint32_t which = due[i].address - VIP;
			for (unsigned form = 1; form <= due[i].forms; form <<= 1) {
				if (!(due[i].forms & form))
					continue;
				c->at[which][c->n[which]++] = now;
				c->replies[which] += form == ANNOUNCE_REPLY;
				c->hosts[which] += form > ANNOUNCE_REPLY;
				if (c->n_sent >= rate)
					assert_true(now - c->sent[c->n_sent - rate] >= CLOCK_S);
				c->sent[c->n_sent++] = now;
			}
		}
		assert_true(now < 10000 * CLOCK_S);
	}
}

/* The cap holds in each second, is used up, first announcements go before all others, and each gets all its frames. */
static void five_hundred_under_a_cap(void **state)
{
	(void)state;
	static struct capped c;
	static const unsigned RATES[] = {1, 2, 15, 100, 499, 10000};
	for (size_t r = 0; r < COUNT(RATES); r++) {
		struct announcer *a = announcer_new(NULL, 0, RATES[r]);
		announcer_set_hosts(a, ANNOUNCE_HOST(0));
		unsigned many = RATES[r] < 10 ? 20 : MANY;
		for (uint32_t i = 0; i < many; i++)
			announcer_start(a, VIP + i, 0);
		run_capped(a, RATES[r], &c);
		int64_t last_first = 0, first_second = CLOCK_NEVER;
		for (size_t i = 0; i < many; i++) {
			assert_int_equal(c.n[i], 9);   /* five requests, two replies, two to the host */
			assert_int_equal(c.replies[i], 2);
			assert_int_equal(c.hosts[i], 2);
			last_first = c.at[i][0] > last_first ? c.at[i][0] : last_first;
			first_second = clock_min(first_second, c.at[i][1]);
		}
		assert_int_equal(last_first, (int64_t)(many - 1) / RATES[r] * CLOCK_S);
		assert_true(first_second >= last_first);
		/* While there is work nothing is left unused. */
		size_t whole = c.n_sent / RATES[r];
		if (RATES[r] <= 100)
			assert_true(c.sent[c.n_sent - 1] <= (int64_t)whole * CLOCK_S + 6 * CLOCK_S);
		announcer_free(a);
	}
}

/* Taken one by one, each with a look at what is due, as in a takeover: the requests of all still go before the rest. */
static void taken_one_by_one(void **state)
{
	(void)state;
	struct announcement due[64];
	struct announcer *a = announcer_new(NULL, 0, 100);
	announcer_set_hosts(a, ANNOUNCE_HOST(0));
	for (uint32_t i = 0; i < 100; i++) {
		int64_t now = (int64_t)i * 400;
		announcer_start(a, VIP + i, now);
		assert_int_equal(announcer_due(a, now, due, 64), 1);
		assert_int_equal(due[0].address, VIP + i);
		assert_int_equal(due[0].forms, REQUEST);
	}
	announcer_free(a);
}

/* Repeats of others are waiting in numbers: a new address goes first, and so does a defence. */
static void first_overtakes(void **state)
{
	(void)state;
	struct announcement due[16];
	struct announcer *a = announcer_new(NULL, 0, 10);
	for (uint32_t i = 0; i < 100; i++)
		announcer_start(a, VIP + i, 0);
	int64_t now = 0;
	for (int i = 0; i < 15; i++, now += CLOCK_S)
		assert_int_equal(announcer_due(a, now, due, 16), 10);
	announcer_start(a, VIP + 200, now - 1);
	assert_true(announcer_defend(a, VIP + 7, now - 1));
	assert_int_equal(announcer_due(a, now - 1, due, 16), 0);
	assert_int_equal(announcer_due(a, now, due, 16), 10);
	assert_int_equal(due[0].address, VIP + 200);
	assert_int_equal(due[1].address, VIP + 7);
	/* Who waits for his first keeps his place when he is started again; stopped and started he is the last. */
	struct announcer *b = announcer_new(NULL, 0, 1);
	for (uint32_t i = 0; i < 4; i++)
		announcer_start(b, VIP + i, i);
	announcer_start(b, VIP, 10);
	announcer_stop(b, VIP + 1);
	announcer_start(b, VIP + 1, 10);
	announcer_restart_all(b, 11);
	static const uint32_t ORDER[] = {VIP, VIP + 2, VIP + 3, VIP + 1};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(announcer_due(b, 20 + (int64_t)i * CLOCK_S, due, 16), 1);
		assert_int_equal(due[0].address, ORDER[i]);
		assert_int_equal(due[0].forms, REQUEST);
	}
	announcer_free(a);
	announcer_free(b);
}

/* ---- frames that could not be sent ---- */

static void fail_all(struct announcer *a, const struct announcement *due, size_t n, int64_t now)
{
	for (size_t i = 0; i < n; i++)
		announcer_failed(a, &due[i], now);
}

static void failures(void **state)
{
	(void)state;
	static const int64_t PAUSES[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000};
	struct sent sent[32];
	struct announcement due[8];
	struct announcer *a = announcer_new(NULL, 0, 0);
	int64_t now = 5 * CLOCK_S;
	announcer_set_hosts(a, ANNOUNCE_HOST(2));
	announcer_start(a, VIP, now);
	for (size_t i = 0; i < COUNT(PAUSES); i++) {
		size_t n = announcer_due(a, now, due, 8);
		assert_int_equal(n, 2);
		assert_int_equal(due[0].forms, REQUEST);
		assert_int_equal(due[1].forms, ANNOUNCE_REPLY | ANNOUNCE_HOST(2));
		fail_all(a, due, n, now);
		assert_int_equal(announcer_deadline(a), now + PAUSES[i] * CLOCK_MS);
		now = announcer_deadline(a);
	}
	/* Then the schedule begins: at the moment when the first one really went. */
	announcer_set_hosts(a, 0);
	assert_int_equal(run(a, 100 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, now);
	/* Only one half fails: only that comes again, and the rest of the schedule is where it was. */
	announcer_start(a, VIP, 200 * CLOCK_S);
	announcer_due(a, 200 * CLOCK_S, due, 8);
	announcer_failed(a, &(struct announcement){VIP, ANNOUNCE_REPLY}, 200 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), 200 * CLOCK_S + 10 * CLOCK_MS);
	assert_int_equal(announcer_due(a, 200 * CLOCK_S + 10 * CLOCK_MS, due, 8), 1);
	assert_int_equal(due[0].forms, ANNOUNCE_REPLY);
	assert_int_equal(run(a, 300 * CLOCK_S, sent + 1, 31), STEPS - 1);
	sent[0] = (struct sent){200 * CLOCK_S, BOTH};
	assert_schedule(sent, STEPS, 200 * CLOCK_S);
	/* A failed repeat comes again, a defence too. */
	assert_true(announcer_defend(a, VIP, 300 * CLOCK_S));
	assert_int_equal(announcer_due(a, 300 * CLOCK_S, due, 8), 1);
	fail_all(a, due, 1, 300 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), 300 * CLOCK_S + 10 * CLOCK_MS);
	assert_int_equal(run(a, 400 * CLOCK_S, sent, 32), 1);
	assert_int_equal(sent[0].forms, REQUEST);
	/* Reported late, when the schedule has begun anew: it does not lose its beginning. */
	announcer_start(a, VIP, 400 * CLOCK_S);
	run(a, 402 * CLOCK_S, sent, 32);
	announcer_start(a, VIP, 403 * CLOCK_S);
	announcer_failed(a, &(struct announcement){VIP, REQUEST}, 403 * CLOCK_S);
	now = announcer_deadline(a);
	assert_int_equal(run(a, 500 * CLOCK_S, sent, 32), STEPS);
	assert_schedule(sent, STEPS, now);
	/* Of what is stopped nobody hears again. */
	announcer_start(a, VIP, 500 * CLOCK_S);
	size_t n = announcer_due(a, 500 * CLOCK_S, due, 8);
	announcer_stop(a, VIP);
	fail_all(a, due, n, 500 * CLOCK_S);
	assert_int_equal(announcer_deadline(a), CLOCK_NEVER);
	announcer_free(a);
}

/* Also in the first moment of all. */
static void first_failure(void **state)
{
	struct announcement due[8];
	struct announcer *a = announcer_new(NULL, 0, 0);
	(void)state;
	announcer_start(a, VIP, 0);
	fail_all(a, due, announcer_due(a, 0, due, 8), 0);
	assert_int_equal(announcer_deadline(a), 10 * CLOCK_MS);
	announcer_free(a);
}

/* Twice the longest pause without a failure: what fails then is tried soon again. */
static void failures_are_forgotten(void **state)
{
	(void)state;
	static const struct { int64_t after, pause; } CASES[] = {{1500, 20}, {2000, 20}, {2001, 10}};
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct announcement due[8];
		struct announcer *a = announcer_new(NULL, 0, 0);
		int64_t again = 5 * CLOCK_S + CASES[i].after * CLOCK_MS;
		announcer_start(a, VIP, 5 * CLOCK_S);
		fail_all(a, due, announcer_due(a, 5 * CLOCK_S, due, 8), 5 * CLOCK_S);
		fail_all(a, due, announcer_due(a, again, due, 8), again);
		assert_int_equal(announcer_deadline(a), again + CASES[i].pause * CLOCK_MS);
		announcer_free(a);
	}
}

/* ---- chance ---- */

#define SOME 40

struct judge {
	bool on, waits;          /* its first request has not gone since it was started */
	int64_t hold;            /* a failure: not before */
	unsigned good[18];       /* frames that went since the start, by bit */
};

static void judge_given(struct judge *all, const struct announcement *g, unsigned failed, int64_t now)
{
	struct judge *j = &all[g->address - VIP];
	assert_true(j->on);
	bool first = j->waits && (g->forms & REQUEST);
	for (size_t i = 0; !first && g->forms != REQUEST && i < SOME; i++)   /* a lone request may be a defence */
		if (all[i].on && all[i].waits && all[i].hold <= now)
			fail_msg("%zu waits for its first announcement while others repeat", i);
	if (first)
		assert_int_equal(g->forms, REQUEST);
	for (unsigned bit = 0; bit < 18; bit++)
		j->good[bit] += (g->forms & ~failed) >> bit & 1;
	if (g->forms & ~failed & REQUEST)
		j->waits = false;
	if (failed)
		j->hold = now + CLOCK_S;   /* at most; how long exactly is tested above */
}

static void random_history(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct judge all[SOME] = {0};
		uint64_t chance = seed;
		unsigned rate = seed % 3 ? 1 + support_pick(&chance, 200) : 0, failing = seed % 4 ? support_pick(&chance, 30) : 0;
		struct announcer *a = announcer_new(NULL, 0, rate);
		static int64_t sent[200000];
		size_t n_sent = 0;
		int64_t now = 0;
		announcer_set_hosts(a, ANNOUNCE_HOST(0) | ANNOUNCE_HOST(5));
		for (int turn = 0; turn < 3000 || announcer_deadline(a) != CLOCK_NEVER; turn++) {
			uint32_t which = support_pick(&chance, SOME);
			unsigned what = turn < 3000 ? support_pick(&chance, 40) : 99;
			if (what < 4 || turn < 20) {
				announcer_start(a, VIP + which, now);
				all[which] = (struct judge){.on = true, .waits = true};
			} else if (what == 5) {
				announcer_stop(a, VIP + which);
				all[which].on = false;
			} else if (what == 6) {
				assert_int_equal(announcer_probed(a, VIP + which, now) && !all[which].on, 0);
			} else if (what == 7) {
				announcer_defend(a, VIP + which, now);
			}
			struct announcement due[5];
			size_t n = announcer_due(a, now, due, 1 + support_pick(&chance, 5));
			for (size_t i = 0; i < n; i++) {
				unsigned failed = turn < 3000 && support_chance(&chance, failing) ? due[i].forms & (unsigned)support_random(&chance) : 0;
				judge_given(all, &due[i], failed, now);
				for (int k = __builtin_popcount(due[i].forms); k > 0; k--) {
					assert_true(!rate || n_sent < rate || now - sent[n_sent - rate] >= CLOCK_S);
					assert_true(n_sent < COUNT(sent));
					sent[n_sent++] = now;
				}
				if (failed)
					announcer_failed(a, &(struct announcement){due[i].address, failed}, now);
			}
			int64_t deadline = announcer_deadline(a);
			if (deadline > now && deadline != CLOCK_NEVER) {
				assert_int_equal(announcer_due(a, deadline - 1, due, 5), 0);
				now = support_chance(&chance, 70) ? deadline : now + support_pick(&chance, 300) * CLOCK_MS;
			} else if (deadline == CLOCK_NEVER) {
				now += CLOCK_S;
			}
		}
		for (size_t i = 0; i < SOME; i++)
			if (all[i].on)
				assert_true(!all[i].waits && all[i].good[0] >= 5 && all[i].good[1] >= 2 && all[i].good[2] >= 2 && all[i].good[7] >= 2);
		announcer_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule), cmocka_unit_test(refresh), cmocka_unit_test(restart_in_the_middle), cmocka_unit_test(stop),
		cmocka_unit_test(late_wake_up), cmocka_unit_test(late_refreshes_are_not_made_up), cmocka_unit_test(refreshes_are_spread),
		cmocka_unit_test(limits), cmocka_unit_test(extra_leaves_the_schedule_alone), cmocka_unit_test(begun_anew_with_an_extra), cmocka_unit_test(directed), cmocka_unit_test(hosts_go),
		cmocka_unit_test(five_hundred_at_once), cmocka_unit_test(five_hundred_under_a_cap), cmocka_unit_test(taken_one_by_one), cmocka_unit_test(first_overtakes),
		cmocka_unit_test(failures), cmocka_unit_test(first_failure), cmocka_unit_test(failures_are_forgotten), cmocka_unit_test(random_history),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
