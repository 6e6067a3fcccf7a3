/* One l2lb on one node, made of the binary's own object files: its loop is here, what it talks to is in wire.h and server.h.
 * deadline.h and turn.h are implemented in process.c, link.h and links.h in link.c, api.h and watcher.h in files of their
 * names. What comes for a stopped process waits for it. */
#ifndef TESTS_SIM_PROCESS_H
#define TESTS_SIM_PROCESS_H

#include "config/options.h"
#include "speaker/cluster.h"
#include "speaker/controller_role.h"
#include "speaker/speaker_role.h"
#include "tests/sim/world.h"

#define PROCESS_TIMERS 64

struct deadline;
struct waiting {
	void (*run)(void *data, uint64_t arg);
	void *data;
	uint64_t arg;
};

struct process {
	struct host *host;
	struct options options;
	uv_loop_t loop;              /* never run */
	struct turn turn;
	struct api *api;
	struct leadership *leadership;
	struct watcher *watchers;
	unsigned n_watchers;
	struct cluster *cluster;
	struct controller_role *controller;
	struct speaker_role *speaker;
	struct deadline *timers[PROCESS_TIMERS];
	size_t n_timers;
	struct deadline *closing[PROCESS_TIMERS];   /* closed, their callbacks not run yet */
	size_t n_closing;
	int64_t wake_at;             /* on the agenda */
	bool again, busy;            /* the loop may not sleep; it runs */
	bool soon;                   /* a turn is on the agenda */
	bool stopped;                /* SIGSTOP */
	bool late;                   /* stopped, but for some milliseconds only, as its machine has other work: it still counts as running */
	int64_t stopped_at;
	bool ended;                  /* it has said goodbye; gone when it comes to rest */
	struct waiting *inbox;       /* while stopped */
	size_t n_inbox, inbox_room;
	bool draining, discards;     /* what waited is given out; the frames in it are not wanted */
	struct link *link;           /* open, of its one interface; NULL */
	struct links *links;
	void (*on_end)(struct host *h);     /* after a SIGTERM */
};

enum { PROCESS_SPEAKER = 1, PROCESS_CONTROLLER = 2 };

void process_start(struct host *h, unsigned roles);
void process_kill(struct host *h);     /* SIGKILL, or the power is off; nothing is said */
void process_stop(struct host *h);     /* SIGSTOP */
void process_continue(struct host *h);
void process_terminate(struct host *h, void (*on_end)(struct host *h));   /* SIGTERM; on_end when it has ended */
bool process_runs(const struct host *h);   /* there, and not stopped but for a moment */

/* Lets the process have it: now, or when it goes on. A turn of its loop follows. */
void process_give(struct process *p, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg);
void process_turn(struct process *p);
extern void (*process_frame)(void *data, uint64_t arg);   /* what wire.c gives: several may come in one turn */
void process_settle(struct process *p);   /* after something that needs a turn only rarely */

#endif
