#include "tests/sim/run.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "tests/sim/coverage.h"
#include "tests/sim/fault.h"
#include "tests/sim/objects.h"
#include "tests/sim/server.h"
#include "tests/sim/wire.h"

#define START (1500 * CLOCK_MS)   /* everything has come up by then */

static void on_start(void *data, uint64_t arg)
{
	(void)arg;
	fault_start_process(data);
}

static void make_services(const struct schedule *s)
{
	unsigned later = 0;
	for (unsigned i = 0; i < s->n_faults; i++)
		if (s->faults[i].kind == FAULT_SERVICES)
			later += (unsigned)s->faults[i].value;
	for (unsigned i = 0; i + later + s->spare < s->addresses; i++) {
		const struct host *holder = &world.hosts[s->holders[i] % s->nodes];
		for (unsigned k = 0; holder->missing && k < s->nodes; k++)
			holder = &world.hosts[k];
		objects_make_service(i, s->unheld ? NULL : holder, true);
	}
}

static bool has_kind(const struct schedule *s, enum fault_kind kind)
{
	for (unsigned i = 0; i < s->n_faults; i++)
		if (s->faults[i].kind == kind)
			return true;
	return false;
}

static void set_up(const struct schedule *s)
{
	world_begin(s->seed + s->twist * UINT64_C(1000003), s->nodes, s->addresses);
	world.interval = s->interval;
	world.watch_max = s->watch_max;
	world.give_up = s->give_up;
	wire_begin();
	server_begin();
	observer_begin();
	coverage_begin();
	for (unsigned i = 0; i < s->nodes; i++) {
		struct host *h = &world.hosts[i];
		h->missing = s->dropped_nodes >> i & 1;
		h->powered = !h->missing && !(s->absent >> i & 1);
	}
	objects_make_cluster(&(struct cluster_shape){.local = s->local, .prefers = has_kind(s, FAULT_PREFER), .controlled = s->controllers});
	for (unsigned i = 0; i < s->nodes; i++)
		if (!world.hosts[i].missing && !(s->without >> i & 1))
			objects_make_node_record(&world.hosts[i]);
	make_services(s);
	server_forget_past();
	fault_plan(s, START);
	for (unsigned i = 0; i < s->nodes; i++)
		if (world.hosts[i].powered && !(s->without >> i & 1))
			world_at(chance_between(&world.chance, 0, 30 * CLOCK_MS), on_start, &world.hosts[i], 0);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < world.n_nodes; i++)
		process_kill(&world.hosts[i]);
	server_end();
	state_files_end();
	wire_end();
	world_end();
}

static void check_bound(const char *kind, int64_t value, int bound, const char *unit)
{
	if (bound >= 0 && value > bound)
		world_wrong(kind, "%lld %s, at most %d are allowed", (long long)value, unit, bound);
}

#define QUICK (30 * CLOCK_MS)

/* Who is late by some milliseconds counts as one that answers, and has not heard yet who else does. */
static int lateness(const struct schedule *s)
{
	int most = 0;
	for (unsigned i = 0; i < s->n_faults; i++)
		if (schedule_has(s, i) && s->faults[i].kind == FAULT_BUSY && s->faults[i].lasts == NEVER_BACK)
			most = s->faults[i].value;
	return most;
}

/* Where watches are slow in a schedule, what is told by them comes so much later. */
static void check_bounds(const struct schedule *s, const struct measured *m)
{
	const struct row *row = s->row;
	int slow = row->dark > 0 && s->watch_max > QUICK ? (int)(s->watch_max / CLOCK_MS) : 0;
	check_bound("dark", (m->dark + 500) / 1000, row->dark + slow, "ms without an answer");
	check_bound("two", (m->two + 500) / 1000, row->two < 0 ? row->two : row->two + lateness(s), "ms with two MACs");
	check_bound("moves", m->moves, row->moves, "moves");
	if (row->astray >= 0)
		check_bound("astray", (m->astray + 500) / 1000, row->astray + (s->watch_max > QUICK ? (int)(s->watch_max / CLOCK_MS) : 0), "ms with an owner that may not have it");
	check_bound("stale", m->stale, row->stale, "answers from before it had checked");
}

/* Where nothing goes wrong each address went to its first owner: nobody has more than 1.25 times its share. */
static void check_spread(const struct schedule *s, const struct measured *m)
{
	bool fresh = s->unheld;
	int nodes = 0, answered = (int)m->answered;
	for (unsigned i = 0; i < s->n_faults; i++) {
		if (schedule_has(s, i) && s->faults[i].kind != FAULT_SERVICES)
			return;
		fresh |= schedule_has(s, i);
	}
	for (unsigned i = 0; i < world.n_nodes; i++)
		nodes += !world.hosts[i].missing;
	if (fresh && !s->absent && nodes)
		check_bound("spread", m->most_on_one, (5 * answered + 4 * nodes - 1) / (4 * nodes), "addresses on one node");
}

/* Where nothing but the API server stands in its way a move that was asked for is done. */
static void check_wishes(const struct schedule *s)
{
	for (unsigned i = 0; i < s->n_faults; i++)
		if (schedule_has(s, i) && s->faults[i].kind != FAULT_MOVE && s->faults[i].kind != FAULT_API)
			return;
	for (unsigned i = 0; i < s->n_faults; i++) {
		const struct fault *f = &s->faults[i];
		if (schedule_has(s, i) && f->kind == FAULT_MOVE && !world.hosts[f->b].missing && observer_owner((unsigned)f->value) != f->b)
			world_wrong("not-moved", "10.99.10.%d is not at n%u, as it was asked for", f->value, f->b);
	}
}

#define STABLE (30 * CLOCK_S)   /* design.md, section 5 */

/* A preferred node has all addresses once it has been stable so long, and nothing before. */
static void check_preference(const struct schedule *s, const struct measured *m)
{
	const struct fault *last = NULL;
	for (unsigned i = 0; i < s->n_faults; i++) {
		if (schedule_has(s, i) && s->faults[i].kind != FAULT_PREFER)
			return;
		last = schedule_has(s, i) ? &s->faults[i] : last;
	}
	if (!last || world.hosts[last->a].missing)
		return;
	if (last->lasts != NEVER_BACK)
		check_bound("too-soon", m->moves, 0, "moves to a node that was not preferred for long enough");
	else if (m->moved_at < START + last->at + STABLE)
		world_wrong("too-soon", "moved %.3f s after n%u was preferred", (double)(m->moved_at - START - last->at) / 1e6, last->a);
	for (unsigned i = 0; last->lasts == NEVER_BACK && i < world.n_addresses; i++)
		if (observer_owner(i) != last->a)
			world_wrong("not-moved", "10.99.10.%u is not at n%u, which is preferred", i, last->a);
}

void run_schedule(const struct schedule *s, bool verbose, struct outcome *o)
{
	int64_t over = START + schedule_faults_end(s);
	log_set_level(verbose ? LOG_LEVEL_INFO : LOG_LEVEL_NONE);
	world.verbose = verbose;
	*o = (struct outcome){.seed = s->seed, .row = (unsigned)(s->row - ROWS), .measures = true};
	set_up(s);
	world_run(START);
	if (!s->absent && !s->unheld)
		observer_expect_start();
	if (!s->row->after)
		observer_measure();
	world_run(over);
	if (s->row->after)
		observer_measure();
	world_run(over + s->row->settle * CLOCK_MS);
	if (!world.wrong)
		observer_expect_rest();
	world_run(world.now + s->row->rest * CLOCK_MS);
	observer_end(&o->measured);
	if (!world.wrong)
		check_bounds(s, &o->measured);
	if (!world.wrong)
		check_spread(s, &o->measured);
	if (!world.wrong)
		check_wishes(s);
	if (!world.wrong)
		check_preference(s, &o->measured);
	o->simulated = world.now;
	o->frames = wire_sent();
	if (world.wrong) {
		snprintf(o->kind, sizeof(o->kind), "%s", world.wrong);
		snprintf(o->details, sizeof(o->details), "%s", world.details);
	}
	tear_down();
}
