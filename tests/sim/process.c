#include "tests/sim/process.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "speaker/names.h"
#include "tests/sim/link.h"
#include "tests/sim/observer.h"

#define TURNS_MAX 200   /* a loop that does not come to rest */
#define READING 30      /* microseconds until the loop has read what comes */
#define LATE_MIN 20     /* microseconds until a timer's callback runs */
#define LATE_MAX 120

void (*process_frame)(void *data, uint64_t arg);

static struct process *here(void)
{
	return world.here->process;
}

/* ---- config/base/deadline.h: timer.data is the process, timer.timeout its own time when the callback is due ---- */

#define UNSET INT64_MAX

static int64_t due_of(const struct deadline *d)
{
	return (int64_t)d->timer.timeout;
}

int deadline_init(struct deadline *d, uv_loop_t *loop, void (*on_due)(void *data), void *data)
{
	struct process *p = here();
	(void)loop;
	*d = (struct deadline){.at = CLOCK_NEVER, .on_due = on_due, .data = data};
	d->timer.data = p;
	d->timer.timeout = UNSET;
	assert(p->n_timers < PROCESS_TIMERS);
	p->timers[p->n_timers++] = d;
	return 0;
}

/* libuv counts whole milliseconds of a clock that it has rounded down. */
void deadline_set(struct deadline *d, int64_t at)
{
	if (at == d->at)
		return;
	d->at = at;
	if (at == CLOCK_NEVER) {
		d->timer.timeout = UNSET;
		return;
	}
	int64_t now = clock_now(), wait = at - now;
	int64_t least = d->firing ? 1 : 0, ms = wait <= 0 ? 0 : (wait + CLOCK_MS - 1) / CLOCK_MS;
	d->timer.timeout = (uint64_t)((now / CLOCK_MS + (ms < least ? least : ms)) * CLOCK_MS);
}

void deadline_close(struct deadline *d, void (*on_close)(void *data))
{
	struct process *p = d->timer.data;
	d->on_close = on_close;
	for (size_t i = 0; i < p->n_timers; i++)
		if (p->timers[i] == d) {
			p->timers[i] = p->timers[--p->n_timers];
			p->closing[p->n_closing++] = d;
			return;
		}
}

static int64_t next_due(const struct process *p)
{
	int64_t due = UNSET;
	for (size_t i = 0; i < p->n_timers; i++)
		due = clock_min(due, due_of(p->timers[i]));
	return due;
}

static void run_timers(struct process *p)
{
	int64_t now = clock_now();
	for (unsigned guard = 0; guard < TURNS_MAX; guard++) {
		struct deadline *first = NULL;
		for (size_t i = 0; i < p->n_timers; i++)
			if (due_of(p->timers[i]) <= now && (!first || due_of(p->timers[i]) < due_of(first)))
				first = p->timers[i];
		if (!first)
			return;
		first->at = CLOCK_NEVER;
		first->timer.timeout = UNSET;
		first->firing = true;
		first->on_due(first->data);
		first->firing = false;
	}
	world_wrong("busy", "%s: its timers do not come to rest", p->host->name);
}

static void run_closing(struct process *p)
{
	while (p->n_closing) {
		struct deadline *d = p->closing[--p->n_closing];
		if (d->on_close)
			d->on_close(d->data);
	}
}

/* ---- config/base/turn.h ---- */

int turn_init(struct turn *turn, uv_loop_t *loop)
{
	(void)loop;
	memset(turn, 0, sizeof(*turn));
	return 0;
}

void turn_add(struct turn *turn, void (*run)(void *data), void *data)
{
	assert(turn->n_steps < TURN_STEPS);
	turn->steps[turn->n_steps].run = run;
	turn->steps[turn->n_steps++].data = data;
}

void turn_again(struct turn *turn)
{
	(void)turn;
	here()->again = true;
}

void turn_close(struct turn *turn)
{
	(void)turn;
}

/* ---- the loop ---- */

static void on_wake(void *data, uint64_t incarnation);

static void set_wake(struct process *p)
{
	struct host *h = p->host;
	int64_t due = next_due(p);
	if (due == UNSET)
		return;
	int64_t at = world_global(h, due);
	at = (at < world.now ? world.now : at) + LATE_MIN;
	if (p->wake_at <= at + LATE_MAX - LATE_MIN && p->wake_at >= world.now)
		return;
	p->wake_at = at + chance_between(&world.chance, 0, LATE_MAX - LATE_MIN);
	world_at(p->wake_at, on_wake, h, h->incarnation);
}

static void free_process(struct process *p);

/* Callbacks have run: timers, steps, until it may sleep. */
void process_turn(struct process *p)
{
	struct host *before = world.here;
	if (p->busy || p->stopped)
		return;
	p->busy = true;
	world.here = p->host;
	log_set_node(p->host->name);
	for (unsigned guard = 0;; guard++) {
		p->again = false;
		run_timers(p);
		for (size_t i = 0; i < p->turn.n_steps; i++)
			p->turn.steps[i].run(p->turn.steps[i].data);
		run_closing(p);
		if (!p->again || p->ended || world.wrong)
			break;
		if (guard > TURNS_MAX) {
			world_wrong("busy", "%s: its loop does not come to rest", p->host->name);
			break;
		}
	}
	p->busy = false;
	if (p->ended) {
		struct host *h = p->host;
		void (*on_end)(struct host *) = p->on_end;
		free_process(p);
		world.here = before;
		observer_dirty();
		if (on_end)
			on_end(h);
		return;
	}
	set_wake(p);
	world.here = before;
}

void process_settle(struct process *p)
{
	if (p->again)
		process_turn(p);
	else
		set_wake(p);
}

static void on_wake(void *data, uint64_t incarnation)
{
	struct host *h = data;
	struct process *p = h->process;
	if (!p || h->incarnation != incarnation || p->wake_at != world.now)
		return;
	p->wake_at = -1;
	process_turn(p);
}

static void on_soon(void *data, uint64_t incarnation)
{
	struct host *h = data;
	if (!h->process || h->incarnation != incarnation)
		return;
	h->process->soon = false;
	process_turn(h->process);
}

/* The loop reads what has come, frames by the dozen, before it looks at the rest. */
static void turn_soon(struct process *p)
{
	if (!p->soon)
		world_at(world.now + READING, on_soon, p->host, p->host->incarnation);
	p->soon = true;
}

void process_give(struct process *p, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg)
{
	struct host *before = world.here;
	if (p->stopped) {
		if (p->n_inbox == p->inbox_room) {
			p->inbox_room = p->inbox_room ? p->inbox_room * 2 : 64;
			p->inbox = mem_realloc(p->inbox, p->inbox_room * sizeof(*p->inbox));
		}
		p->inbox[p->n_inbox++] = (struct waiting){run, data, arg};
		return;
	}
	bool nested = p->busy;
	world.here = p->host;
	log_set_node(p->host->name);
	p->busy = true;
	run(data, arg);
	p->busy = nested;
	world.here = before;
	if (run == process_frame)
		turn_soon(p);
	else
		process_turn(p);
}

bool process_runs(const struct host *h)
{
	return h->powered && h->process && (!h->process->stopped || h->process->late);
}

/* ---- life and death ---- */

static const char *no_environment(const char *name)
{
	(void)name;
	return NULL;
}

static void make_options(struct process *p, unsigned roles)
{
	char interval[24];
	snprintf(interval, sizeof(interval), "%dms", (int)(world.interval / CLOCK_MS));
	char role[24], flags[5][24] = {"--role", "--node-name", "--liveness-interval", "--state-file", "--on-conflict"};
	char conflicts[12];
	snprintf(conflicts, sizeof(conflicts), "%s", world.give_up ? "move" : "defend");
	snprintf(role, sizeof(role), "%s", roles == PROCESS_SPEAKER ? "speaker" : roles == PROCESS_CONTROLLER ? "controller" : "all");
	char *arguments[] = {flags[0], role, flags[1], p->host->name, flags[2], interval, flags[3], p->host->name, flags[4], conflicts};
	struct error err;
	if (options_parse(&p->options, (int)(sizeof(arguments) / sizeof(*arguments)), arguments, no_environment, &err) < 0) {
		fprintf(stderr, "sim: options: %s\n", err.text);
		abort();
	}
}

static void on_leadership(void *data)
{
	(void)data;
	here()->again = true;
}

void process_start(struct host *h, unsigned roles)
{
	struct process *p = mem_zalloc(sizeof(*p));
	struct host *before = world.here;
	p->host = h;
	p->wake_at = -1;
	h->process = p;
	h->incarnation++;
	world.here = h;
	world_say("%s: process starts", h->name);
	make_options(p, roles);
	turn_init(&p->turn, &p->loop);
	api_init(&p->api, &p->loop, &p->turn, NULL, NULL);
	if (roles & PROCESS_CONTROLLER) {
		char identity[64];
		snprintf(identity, sizeof(identity), "%s_%u", h->name, h->incarnation);
		api_set_limits(p->api, 16, 0);
		leadership_init(&p->leadership, &p->loop, p->api, DEFAULT_NAMESPACE, "", identity, on_leadership, p);
	}
	struct cluster_config config = {.options = &p->options, .name_space = DEFAULT_NAMESPACE, .leadership = p->leadership};
	cluster_init(&p->cluster, &p->loop, &p->turn, p->api, &config);
	turn_add(&p->turn, cluster_step, p->cluster);
	if (roles & PROCESS_CONTROLLER) {
		controller_role_init(&p->controller, &p->loop, &p->turn, p->cluster, p->leadership, h->name);
		turn_add(&p->turn, controller_role_step, p->controller);
	}
	if (roles & PROCESS_SPEAKER) {
		speaker_role_init(&p->speaker, &p->loop, &p->turn, p->cluster, &p->options);
		turn_add(&p->turn, speaker_role_step, p->speaker);
		speaker_role_start(p->speaker);
	}
	cluster_start(p->cluster);
	process_turn(p);
	world.here = before;
}

/* Through its own close functions, so that a memory checker finds what they forget. Whatever they send goes nowhere. */
static void free_process(struct process *p)
{
	struct host *h = p->host, *before = world.here;
	h->process = NULL;
	h->incarnation++;
	world.here = h;
	h->process = p;   /* the close functions run in it */
	p->stopped = false;
	link_mute(p);
	controller_role_close(p->controller);
	speaker_role_close(p->speaker);
	cluster_close(p->cluster);
	leadership_close(p->leadership);
	api_close(p->api);
	run_closing(p);
	h->process = NULL;
	world.here = before;
	options_free(&p->options);
	for (size_t i = 0; i < p->n_inbox; i++)   /* what waits frees itself when it finds the process gone */
		p->inbox[i].run(NULL, p->inbox[i].arg);
	free(p->inbox);
	free(p);
}

void process_kill(struct host *h)
{
	if (!h->process)
		return;
	world_say("%s: process killed", h->name);
	free_process(h->process);
	observer_dirty();
}

void process_stop(struct host *h)
{
	if (!h->process)
		return;
	world_say("%s: process stopped", h->name);
	h->process->stopped = true;
	h->process->late = false;
	h->process->stopped_at = world.now;
	observer_dirty();
}

static void run_inbox(struct process *p)
{
	struct waiting *inbox = p->inbox;
	size_t n = p->n_inbox;
	p->inbox = NULL;
	p->n_inbox = p->inbox_room = 0;
	p->discards = false;
	p->draining = p->busy = true;
	for (size_t i = 0; i < n; i++)
		inbox[i].run(inbox[i].data, inbox[i].arg);
	p->busy = false;
	p->draining = false;
	free(inbox);
}

/* The loop slept in epoll: first what can be read is read, then its timers see how late it is. */
void process_continue(struct host *h)
{
	struct process *p = h->process;
	if (!p || !p->stopped)
		return;
	world_say("%s: process continues, %zu things wait for it", h->name, p->n_inbox);
	p->stopped = false;
	world.here = h;
	observer_woke(h);
	run_inbox(p);
	world.here = NULL;
	process_turn(p);
	observer_dirty();
}

static void on_released(void *data)
{
	struct process *p = data;
	world_say("%s: process ends", p->host->name);
	p->ended = true;
	p->again = true;
}

/* As command_run.c does it: a controller gives its leadership back. */
static void on_left(void *data)
{
	struct process *p = data;
	if (p->leadership)
		leadership_release(p->leadership, on_released);
	else
		on_released(p);
}

static void terminate(void *data, uint64_t arg)
{
	struct process *p = data;
	(void)arg;
	if (!p)
		return;
	if (p->speaker)
		speaker_role_leave(p->speaker, on_left, p);
	else
		on_left(p);
}

void process_terminate(struct host *h, void (*on_end)(struct host *h))
{
	if (!h->process)
		return;
	world_say("%s: SIGTERM", h->name);
	h->process->on_end = on_end;
	process_give(h->process, terminate, h->process, 0);
}
