/* Many nodes around one record, in random order: in the end one answers, and it is the one that the record names. A segment
 * without time, where everybody who is up hears all; whole nodes on a real one are tests/sim's. */
#include "config/base/clock.h"
#include "speaker/ownership.h"
#include "tests/unit/support.h"

#define T (100 * CLOCK_MS)
#define NOW (1000 * CLOCK_S)

#define NODES 5

struct sim_node {
	struct ownership core;
	bool up, api, eligible, leaving;
	struct record *seen;             /* its view of the record */
	bool stuck_watch;
	enum ownership_action call;      /* under way, with the version it was made for */
	char target[4];
	unsigned version;
	int64_t call_at;
};

struct sim {
	uint64_t random;
	unsigned seed, n, version;
	int epoch;
	char holder[4], previous[32], successor[4];
	struct sim_node nodes[NODES];
	int64_t now;
};

static const char *const NAMES[NODES] = {"a", "b", "c", "d", "e"};

static struct record *server_record(const struct sim *s)
{
	return support_record_new((struct support_record){.address = "192.168.122.100", .holder = s->holder, .previous = s->previous, .successor = s->successor, .epoch = s->epoch, .version = s->version});
}

static void see(struct sim *s, struct sim_node *n)
{
	record_free(n->seen);
	n->seen = server_record(s);
}

/* Everybody who is up hears it. */
static void announce(struct sim *s, unsigned who)
{
	for (unsigned i = 0; i < s->n; i++)
		if (i != who && s->nodes[i].up)
			ownership_claimed(&s->nodes[i].core, NAMES[who], s->nodes[i].seen, s->now);
}

static enum holder_fate fate_of(const struct sim *s, unsigned me, const char *holder)
{
	if (!*holder)
		return HOLDER_NONE;
	if (strcmp(holder, NAMES[me]) == 0)
		return HOLDER_ME;
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(holder, NAMES[i]) == 0)
			return s->nodes[i].up ? HOLDER_PRESENT : HOLDER_DEAD;
	return HOLDER_GONE;
}

static void answer_call(struct sim *s, struct sim_node *n)
{
	enum ownership_action call = n->call;
	int status = !n->api ? 0 : call == OWNERSHIP_LOOK ? 200 : n->version == s->version ? 200 : 409;
	n->call = OWNERSHIP_NOTHING;
	if (status == 200 && call == OWNERSHIP_NAME) {
		snprintf(s->successor, sizeof(s->successor), "%s", n->target);
		s->version++;
	}
	if (status == 200 && call == OWNERSHIP_WRITE) {
		*s->successor = '\0';
		char longer[64];
		if (*s->holder && strcmp(s->holder, n->target) != 0) {
			snprintf(longer, sizeof(longer), "%s%s%s", s->holder, *s->previous ? "," : "", s->previous);
			snprintf(s->previous, sizeof(s->previous), "%.5s", longer);   /* three of them */
		}
		snprintf(s->holder, sizeof(s->holder), "%s", n->target);
		s->epoch++;
		s->version++;
	}
	if (status)
		see(s, n);
	if (call != OWNERSHIP_LOOK)
		ownership_written(&n->core, status, s->now);
	else
		ownership_looked(&n->core, status, s->now);
}

static void step_node(struct sim *s, unsigned me)
{
	struct sim_node *n = &s->nodes[me];
	const char *up[NODES];
	int64_t wake;
	if (!n->up)
		return;
	struct ownership_view v = {.me = NAMES[me], .record = n->seen, .fate = fate_of(s, me, ownership_holder(&n->core, n->seen)), .eligible = n->eligible,
				   .leaving = n->leaving, .candidates = up, .connected = true, .api = n->api, .interval = T};
	for (unsigned i = 0; i < s->n; i++) {
		v.served |= s->nodes[i].eligible;
		if (s->nodes[i].eligible && s->nodes[i].up)
			up[v.n_candidates++] = NAMES[i];
	}
	for (unsigned i = 0; !v.move_to && i < v.n_candidates && (!n->eligible || n->leaving); i++)
		v.move_to = up[i] == NAMES[me] ? NULL : up[i];
	bool before = ownership_answers(&n->core);
	enum ownership_action action = ownership_step(&n->core, &v, s->now, &wake);
	if (action == OWNERSHIP_WRITE || action == OWNERSHIP_NAME || action == OWNERSHIP_LOOK) {
		n->call = action;
		n->version = (unsigned)atoi(n->seen->meta.resource_version);
		snprintf(n->target, sizeof(n->target), "%s", n->core.target ? n->core.target : "");
		n->call_at = s->now + (int64_t)(1 + support_pick(&s->random, n->api ? 20 : 400)) * CLOCK_MS;
	}
	for (unsigned i = 0; action == OWNERSHIP_ASK && i < s->n; i++)
		if (i != me && s->nodes[i].up && ownership_answers(&s->nodes[i].core))
			ownership_claimed(&n->core, NAMES[i], n->seen, s->now);
	if (action == OWNERSHIP_DEFEND || (!before && ownership_answers(&n->core)))
		announce(s, me);
}

static void kill_or_start(struct sim *s, unsigned me)
{
	struct sim_node *n = &s->nodes[me];
	struct address a = support_address("192.168.122.100");
	n->up = !n->up;
	n->call = OWNERSHIP_NOTHING;
	if (!n->up) {
		ownership_free(&n->core);
		return;
	}
	n->leaving = false;
	if (n->api)
		see(s, n);
	ownership_init(&n->core, &a, s->now);
}

static void fault(struct sim *s)
{
	unsigned me = support_pick(&s->random, s->n), up = 0;
	struct sim_node *n = &s->nodes[me];
	for (unsigned i = 0; i < s->n; i++)
		up += s->nodes[i].up && s->nodes[i].eligible;
	switch (support_pick(&s->random, 7)) {
	case 0:
		if (!n->up || up > 1 || !n->eligible)
			kill_or_start(s, me);
		break;
	case 1:
		n->api = !n->api;
		break;
	case 2:   /* an outage for all */
		for (unsigned i = 0; i < s->n; i++)
			s->nodes[i].api = false;
		break;
	case 3:
		n->stuck_watch = !n->stuck_watch;
		break;
	case 4:
		n->eligible = !n->eligible;
		break;
	case 5:
		n->leaving = n->up && up > 1 && !n->leaving;
		break;
	default:
		if (n->up)
			ownership_woke(&n->core, s->now);
	}
}

static void pass(struct sim *s, int64_t time)
{
	s->now += time;
	for (unsigned i = 0; i < s->n; i++) {
		struct sim_node *n = &s->nodes[i];
		if (n->up && n->call != OWNERSHIP_NOTHING && s->now >= n->call_at)
			answer_call(s, n);
		if (n->up && n->api && !n->stuck_watch && support_chance(&s->random, 10))
			see(s, n);
		if (n->up)
			step_node(s, i);
	}
}

/* An owner refreshes its announcement; whoever shares the address hears it. */
static void refresh(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->nodes[i].up && ownership_answers(&s->nodes[i].core))
			announce(s, i);
}

static void check_one_owner(struct sim *s)
{
	unsigned answering = 0;
	const char *who = "";
	for (unsigned i = 0; i < s->n; i++)
		if (s->nodes[i].up && ownership_answers(&s->nodes[i].core)) {
			answering++;
			who = NAMES[i];
		}
	if (answering != 1 || strcmp(who, s->holder) != 0)
		fail_msg("seed %u: %u answer (%s), the record names %s", s->seed, answering, who, s->holder);
}

static void run(unsigned seed)
{
	struct sim s = {.seed = seed, .random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .version = 1, .now = NOW};
	s.n = 2 + support_pick(&s.random, NODES - 1);
	for (unsigned i = 0; i < s.n; i++) {
		s.nodes[i].eligible = s.nodes[i].api = true;
		kill_or_start(&s, i);
	}
	for (unsigned i = 0; i < 6000; i++) {
		if (support_chance(&s.random, 1) && support_chance(&s.random, 40))
			fault(&s);
		if (i % 1000 == 0)
			refresh(&s);
		pass(&s, CLOCK_MS);
	}
	/* All is well again, but who is dead stays dead. */
	bool any = false;
	for (unsigned i = 0; i < s.n; i++) {
		s.nodes[i].api = true;
		s.nodes[i].stuck_watch = s.nodes[i].leaving = false;
		any |= s.nodes[i].up && s.nodes[i].eligible;
	}
	if (!any) {
		s.nodes[0].eligible = true;
		if (!s.nodes[0].up)
			kill_or_start(&s, 0);
	}
	for (unsigned i = 0; i < 3200; i++) {   /* 160 s, an announcement a minute: the slowest rule needs 150 */
		if (i % 1200 == 0)
			refresh(&s);
		pass(&s, 50 * CLOCK_MS);
	}
	check_one_owner(&s);
	for (unsigned i = 0; i < s.n; i++) {
		if (s.nodes[i].up)
			ownership_free(&s.nodes[i].core);
		record_free(s.nodes[i].seen);
	}
}

static void one_answers(void **state)
{
	const char *text = getenv("SEEDS");
	(void)state;
	for (unsigned seed = 1; seed <= (text ? (unsigned)atoi(text) : 60); seed++)
		run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_answers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
