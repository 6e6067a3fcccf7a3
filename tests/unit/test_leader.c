/* Leader election: candidates against a Lease store with optimistic concurrency, in simulated time. */
#include "config/base/clock.h"
#include "k8sclient/leader.h"
#include "tests/unit/unit.h"

#define N 3
#define STEP (10 * CLOCK_MS)
#define FIRST (1000 * CLOCK_S)   /* the machine has been up for a while */

struct record {   /* the Lease as the server has it */
	bool exists;
	char holder[16];
	int duration_s;
	int64_t transitions;
	unsigned version;
};

struct candidate {
	struct leader leader;
	char identity[16];
	bool running;
	bool hears;              /* its watch works */
	bool reaches;            /* its requests get through; else they hang */
	bool late_answers;       /* its writes are done but the answer never comes */
	enum leader_action flying;
	unsigned flying_version;
	int64_t arrives_at, answered_at, fails_at;
	int status;
	struct record answer;
	struct { int64_t at; struct record record; } heard[64];   /* on their way by watch */
	size_t n_heard;
	unsigned requests, looks, creates, takes;
};

struct world {
	int64_t now;
	struct record record;
	struct candidate c[N];
	unsigned seed;
	int64_t request_delay, watch_delay;
	int leading;              /* -1: nobody */
	int64_t leading_since;
	unsigned conflicts, changes;
};

static double dice(struct world *w)
{
	w->seed = w->seed * 1103515245u + 12345u;
	return (double)(w->seed >> 16 & 0x7fff) / 32768.0;
}

static void observe(struct candidate *c, const struct record *r, int64_t now)
{
	char version[16];
	struct lease lease = {.duration_s = r->duration_s, .transitions = r->transitions};
	snprintf(version, sizeof(version), "%u", r->version);
	lease.meta.resource_version = version;
	lease.holder = (char *)r->holder;
	leader_observe(&c->leader, r->exists ? &lease : NULL, now);
}

static void tell_watches(struct world *w)
{
	for (int i = 0; i < N; i++) {
		struct candidate *c = &w->c[i];
		if (!c->running || !c->hears)
			continue;
		assert_true(c->n_heard < COUNT(c->heard));
		c->heard[c->n_heard].at = w->now + w->watch_delay;
		c->heard[c->n_heard++].record = w->record;
	}
}

static void store(struct world *w, const char *holder, int duration_s, int64_t transitions)
{
	w->record.exists = true;
	snprintf(w->record.holder, sizeof(w->record.holder), "%s", holder);
	w->record.duration_s = duration_s;
	w->record.transitions = transitions;
	w->record.version++;
	tell_watches(w);
}

static void delete_lease(struct world *w)
{
	w->record.exists = false;
	w->record.version++;
	tell_watches(w);
}

/* The server does what c's request asks for. */
static int serve(struct world *w, struct candidate *c)
{
	struct record *r = &w->record;
	switch (c->flying) {
	case LEADER_LOOK:
		return r->exists ? 200 : 404;
	case LEADER_CREATE:
		if (r->exists)
			break;
		store(w, c->identity, 15, 0);
		return 201;
	case LEADER_RENEW:
	case LEADER_TAKE:
	case LEADER_RELEASE:
		if (!r->exists)
			return 404;
		if (r->version != c->flying_version)
			break;
		if (c->flying == LEADER_RELEASE)
			store(w, "", 1, r->transitions);
		else
			store(w, c->identity, 15, r->transitions + (c->flying == LEADER_TAKE));
		return 200;
	case LEADER_NOTHING:
		fail_msg("nothing was sent");
	}
	w->conflicts++;
	return 409;
}

static void send(struct world *w, struct candidate *c, enum leader_action action)
{
	c->flying = action;
	c->flying_version = c->leader.version ? (unsigned)atoi(c->leader.version) : 0;
	c->arrives_at = c->reaches ? w->now + w->request_delay : CLOCK_NEVER;
	c->answered_at = CLOCK_NEVER;
	c->fails_at = w->now + 5 * CLOCK_S;   /* the caller's time limit for one request */
	c->requests++;
	c->looks += action == LEADER_LOOK;
	c->creates += action == LEADER_CREATE;
	c->takes += action == LEADER_TAKE;
}

static void step_candidate(struct world *w, struct candidate *c)
{
	int64_t wake;
	size_t due = 0;
	while (due < c->n_heard && c->heard[due].at <= w->now)
		observe(c, &c->heard[due++].record, w->now);
	memmove(c->heard, c->heard + due, (c->n_heard - due) * sizeof(c->heard[0]));
	c->n_heard -= due;
	if (c->flying && w->now >= c->arrives_at) {
		c->status = serve(w, c);
		c->answer = w->record;
		c->arrives_at = CLOCK_NEVER;
		c->answered_at = c->late_answers ? CLOCK_NEVER : w->now + w->request_delay;
	}
	if (c->flying && (w->now >= c->answered_at || w->now >= c->fails_at)) {
		enum leader_action action = c->flying;
		int status = w->now >= c->answered_at ? c->status : 0;
		c->flying = LEADER_NOTHING;
		if (status == 200 || status == 201)
			observe(c, &c->answer, w->now);
		leader_result(&c->leader, action, status, w->now);
	}
	enum leader_action action = leader_next(&c->leader, w->now, dice(w), &wake);
	assert_true(wake > w->now || c->flying || action);   /* or its owner would spin */
	if (action)
		send(w, c, action);
}

/* Time goes on; at no moment do two lead. */
static void run(struct world *w, int64_t duration)
{
	for (int64_t end = w->now + duration; w->now < end; w->now += STEP) {
		int leading = -1;
		for (int i = 0; i < N; i++)
			if (w->c[i].running)
				step_candidate(w, &w->c[i]);
		for (int i = 0; i < N; i++) {
			if (!w->c[i].running || !leader_leading(&w->c[i].leader, w->now))
				continue;
			if (leading >= 0)
				fail_msg("at %lld ms %d and %d lead", (long long)((w->now - FIRST) / CLOCK_MS), leading, i);
			leading = i;
		}
		if (leading != w->leading) {
			w->leading = leading;
			w->leading_since = w->now;
			w->changes++;
		}
	}
}

static void start(struct world *w, int i)
{
	struct candidate *c = &w->c[i];
	memset(c, 0, sizeof(*c));
	snprintf(c->identity, sizeof(c->identity), "pod-%d", i);
	leader_init(&c->leader, c->identity);
	c->running = c->hears = c->reaches = true;
	c->heard[c->n_heard].at = w->now + w->watch_delay;   /* the first list */
	c->heard[c->n_heard++].record = w->record;
}

static void kill(struct world *w, int i)
{
	w->c[i].running = false;
	leader_free(&w->c[i].leader);
}

static struct world *make_world(int candidates, unsigned seed)
{
	struct world *w = mem_zalloc(sizeof(*w));
	w->now = FIRST;
	w->record.version = 100;
	w->leading = -1;
	w->seed = seed;
	w->request_delay = 20 * CLOCK_MS;
	w->watch_delay = 30 * CLOCK_MS;
	for (int i = 0; i < candidates; i++)
		start(w, i);
	return w;
}

static void end_world(struct world *w)
{
	for (int i = 0; i < N; i++)
		if (w->c[i].running)
			kill(w, i);
	free(w);
}

/* Runs until somebody leads (or somebody else than `not`), at most `limit`; how long that took. */
static int64_t until_led(struct world *w, int not, int64_t limit)
{
	int64_t began = w->now;
	while (w->leading < 0 || w->leading == not) {
		run(w, STEP);
		if (w->now - began > limit)
			fail_msg("nobody leads after %lld ms", (long long)(limit / CLOCK_MS));
	}
	return w->now - began;
}

static void one_leads_and_renews(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world *w = make_world(N, seed);
		assert_true(until_led(w, -1, CLOCK_S) <= 200 * CLOCK_MS);   /* a Lease that does not exist is made at once */
		int first = w->leading;
		unsigned version = w->record.version, before[N];
		for (int i = 0; i < N; i++)
			before[i] = w->c[i].requests;
		run(w, 60 * CLOCK_S);
		assert_int_equal(w->leading, first);
		assert_int_equal(w->changes, 1);
		assert_in_range(w->record.version - version, 28, 31);   /* every 2 s */
		for (int i = 0; i < N; i++)
			if (i != first)   /* they wait for the watch; at most the race for the first one is looked after */
				assert_true(w->c[i].requests - before[i] <= 2);
		assert_int_equal(w->record.transitions, 0);
		end_world(w);
	}
}

static void silence_of_15_s_is_taken_over(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world *w = make_world(N, seed);
		until_led(w, -1, CLOCK_S);
		run(w, 7 * CLOCK_S);
		int dead = w->leading;
		kill(w, dead);
		int64_t silent = until_led(w, dead, 20 * CLOCK_S);
		assert_true(silent >= 13 * CLOCK_S - 100 * CLOCK_MS);   /* the last renewal was at most 2 s old */
		assert_true(silent <= 15 * CLOCK_S + 200 * CLOCK_MS);
		assert_int_equal(w->record.transitions, 1);
		run(w, 30 * CLOCK_S);
		assert_int_equal(w->record.transitions, 1);
		end_world(w);
	}
}

static void same_identity_goes_on_at_once(void **state)
{
	struct world *w = make_world(2, 1);
	(void)state;
	until_led(w, -1, CLOCK_S);
	run(w, 5 * CLOCK_S);
	int leader = w->leading;
	kill(w, leader);
	run(w, CLOCK_S);
	start(w, leader);
	assert_true(until_led(w, -1, CLOCK_S) <= 200 * CLOCK_MS);
	assert_int_equal(w->leading, leader);
	assert_int_equal(w->record.transitions, 0);   /* it is its own, renewed rather than taken */
	end_world(w);
}

static void release_is_taken_over_at_once(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world *w = make_world(2, seed);
		until_led(w, -1, CLOCK_S);
		run(w, 5 * CLOCK_S);
		int old = w->leading;
		struct candidate *c = &w->c[old];
		while (c->flying)
			run(w, STEP);
		enum leader_action action = leader_release(&c->leader, w->now);
		assert_int_equal(action, LEADER_RELEASE);
		assert_false(leader_leading(&c->leader, w->now));
		send(w, c, action);
		assert_true(until_led(w, old, 2 * CLOCK_S) <= 300 * CLOCK_MS);
		run(w, 30 * CLOCK_S);   /* the one that released sends nothing more */
		assert_int_equal(w->leading, 1 - old);
		int64_t wake;
		assert_int_equal(leader_next(&c->leader, w->now, 0.0, &wake), LEADER_NOTHING);
		/* Nothing to release a second time, nor for who does not lead. */
		assert_int_equal(leader_release(&c->leader, w->now), LEADER_NOTHING);
		end_world(w);
	}
}

static void hung_requests_end_it_after_10_s(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world *w = make_world(2, seed);
		until_led(w, -1, CLOCK_S);
		run(w, 5 * CLOCK_S);
		int old = w->leading;
		w->c[old].reaches = false;
		int64_t last = w->c[old].leader.confirmed, hung = w->now, wake;
		while (w->leading == old)
			run(w, STEP);
		assert_in_range(w->now - last, 10 * CLOCK_S, 10 * CLOCK_S + 2 * STEP);
		assert_int_equal(w->leading, -1);
		/* Its owner was told to look at that very moment, even with a request in flight. */
		struct leader copy = w->c[old].leader;
		copy.leading = copy.in_flight = true;
		assert_int_equal(leader_next(&copy, last + 9 * CLOCK_S, 0.0, &wake), LEADER_NOTHING);
		assert_int_equal(wake, last + 10 * CLOCK_S);
		until_led(w, old, 10 * CLOCK_S);
		assert_true(w->now - hung <= 15 * CLOCK_S + 200 * CLOCK_MS);
		w->c[old].reaches = true;   /* comes back: it has seen the other one */
		run(w, 30 * CLOCK_S);
		assert_int_equal(w->leading, 1 - old);
		end_world(w);
	}
}

/* Writes are done, answers are lost: what was not confirmed does not count. */
static void lost_answers(void **state)
{
	struct world *w = make_world(2, 3);
	(void)state;
	until_led(w, -1, CLOCK_S);
	int old = w->leading;
	w->c[old].late_answers = true;
	run(w, 9 * CLOCK_S);
	assert_int_equal(w->leading, old);
	run(w, 3 * CLOCK_S);
	assert_int_equal(w->leading, -1);
	w->c[old].late_answers = false;
	until_led(w, -1, 20 * CLOCK_S);
	run(w, 30 * CLOCK_S);
	end_world(w);
}

static void a_deaf_candidate_looks(void **state)
{
	struct world *w = make_world(2, 1);
	(void)state;
	until_led(w, -1, CLOCK_S);
	int leader = w->leading, deaf = 1 - leader;
	run(w, 200 * CLOCK_MS);
	w->c[deaf].hears = false;
	run(w, 120 * CLOCK_S);   /* it thinks the leader silent, tries, is told 409, looks */
	assert_int_equal(w->leading, leader);
	assert_true(w->c[deaf].looks >= 5);
	assert_in_range(w->c[deaf].looks, w->c[deaf].takes - 1, w->c[deaf].takes + 1);
	assert_true(w->c[deaf].requests <= 2 * (120 / 13 + 1));
	end_world(w);
}

static void a_deaf_leader_stays(void **state)
{
	struct world *w = make_world(2, 1);
	(void)state;
	until_led(w, -1, CLOCK_S);
	int leader = w->leading;
	w->c[leader].hears = false;
	run(w, 60 * CLOCK_S);   /* the answers to its own writes are enough */
	assert_int_equal(w->leading, leader);
	assert_true(w->conflicts <= 1);
	/* Somebody edits the Lease, the holder stays: 409, a look, the next renewal. */
	unsigned looks = w->c[leader].looks;
	store(w, w->c[leader].identity, 15, w->record.transitions);
	run(w, 5 * CLOCK_S);
	assert_int_equal(w->c[leader].looks, looks + 1);
	assert_int_equal(w->leading, leader);
	end_world(w);
}

static void a_deleted_lease_is_made_again(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world *w = make_world(N, seed);
		w->watch_delay = 100 * CLOCK_MS;   /* later than answers, but all hear it in the same moment */
		until_led(w, -1, CLOCK_S);
		run(w, 5 * CLOCK_S);
		delete_lease(w);
		run(w, 100 * CLOCK_MS);
		assert_true(until_led(w, -1, CLOCK_S) <= CLOCK_S);
		run(w, 30 * CLOCK_S);
		assert_true(w->record.exists);
		assert_true(w->leading >= 0);
		end_world(w);
	}
	/* Known by an answer rather than by the watch. */
	struct world *w = make_world(1, 1);
	until_led(w, -1, CLOCK_S);
	w->c[0].hears = false;
	delete_lease(w);
	run(w, 3 * CLOCK_S);
	assert_true(w->record.exists);
	assert_int_equal(w->leading, 0);
	assert_int_equal(w->c[0].creates, 2);
	end_world(w);
}

/* Everything at random, for long: never two. */
static void chaos(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 10; seed++) {
		struct world *w = make_world(N, seed);
		w->request_delay = (int64_t)(dice(w) * 3.0 * (double)CLOCK_S);
		w->watch_delay = (int64_t)(dice(w) * 0.5 * (double)CLOCK_S);
		for (int minute = 0; minute < 120; minute++) {
			int i = (int)(dice(w) * N);
			if (!w->c[i].running) {
				start(w, i);
			} else if (dice(w) < 0.2) {
				kill(w, i);
			} else {
				w->c[i].reaches = dice(w) < 0.6;
				w->c[i].late_answers = dice(w) < 0.2;
			}
			run(w, (int64_t)(dice(w) * 20.0 * (double)CLOCK_S));
		}
		assert_true(w->changes > 5);
		end_world(w);
	}
}

static void outcomes(void **state)
{
	static const struct {
		int status;
		enum leader_action next;   /* asked at once; NOTHING: later */
	} ROWS[] = {{409, LEADER_LOOK}, {404, LEADER_CREATE}, {0, LEADER_NOTHING}, {500, LEADER_NOTHING}, {403, LEADER_NOTHING}, {429, LEADER_NOTHING}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct leader l;
		struct lease lease = {.holder = mem_strdup(""), .duration_s = 1};
		int64_t wake;
		lease.meta.resource_version = mem_strdup("5");
		leader_init(&l, "me");
		assert_int_equal(leader_next(&l, FIRST, 0.5, &wake), LEADER_NOTHING);   /* nothing is known yet */
		assert_int_equal(wake, CLOCK_NEVER);
		leader_observe(&l, &lease, FIRST);
		assert_int_equal(leader_next(&l, FIRST, 0.5, &wake), LEADER_TAKE);   /* holder "" is free */
		assert_int_equal(leader_next(&l, FIRST, 0.5, &wake), LEADER_NOTHING);   /* one at a time */
		leader_result(&l, LEADER_TAKE, ROWS[i].status, FIRST + CLOCK_S);
		assert_false(leader_leading(&l, FIRST + CLOCK_S));
		assert_int_equal(leader_next(&l, FIRST + CLOCK_S, 0.5, &wake), ROWS[i].next);
		if (ROWS[i].next == LEADER_NOTHING)
			assert_in_range(wake, FIRST + 2 * CLOCK_S, FIRST + 44 * CLOCK_S / 10);
		leader_free(&l);
		free(lease.holder);
		free(lease.meta.resource_version);
	}
	struct leader l;
	leader_init(&l, "me");
	leader_observe(&l, NULL, FIRST);
	int64_t wake;
	assert_int_equal(leader_next(&l, FIRST, 0.0, &wake), LEADER_CREATE);
	leader_result(&l, LEADER_CREATE, 201, FIRST + 11 * CLOCK_S);   /* too late to count */
	assert_false(leader_leading(&l, FIRST + 11 * CLOCK_S));
	leader_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_leads_and_renews), cmocka_unit_test(silence_of_15_s_is_taken_over), cmocka_unit_test(same_identity_goes_on_at_once),
		cmocka_unit_test(release_is_taken_over_at_once), cmocka_unit_test(hung_requests_end_it_after_10_s), cmocka_unit_test(lost_answers),
		cmocka_unit_test(a_deaf_candidate_looks), cmocka_unit_test(a_deaf_leader_stays), cmocka_unit_test(a_deleted_lease_is_made_again),
		cmocka_unit_test(chaos), cmocka_unit_test(outcomes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
