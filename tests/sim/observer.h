/* Looks on: who would answer a client that asks for an address at this moment, what leaves the nodes, what is written. Checks
 * the promises of design.md section 2 (1, 2, 3, 9) and measures how long nobody or two answered.
 *
 * Kinds of wrong: two-services, lost-address, sender, ethernet-source, guard-mac, guard-form, malformed, busy, start, dark-after, two-after,
 * not-record, guard-left, moved-after, astray-after, deleted-after, goes-on, no-carrier; by run.c: dark, two, moves, stale, astray, spread, not-moved, too-soon; by server.c: stale-write; by jobs.c: crash. */
#ifndef TESTS_SIM_OBSERVER_H
#define TESTS_SIM_OBSERVER_H

#include <jansson.h>

#include "tests/sim/process.h"

struct measured {
	int64_t dark, two;     /* the longest time, of any address */
	int64_t two_total;
	unsigned moves;        /* most of any address: the client got another MAC */
	unsigned same;         /* times that two answered with the same MAC */
	int64_t astray;        /* the longest time that an owner may not have been one, while another could */
	int64_t moved_at;      /* the first move; CLOCK_NEVER */
	unsigned stale;        /* answers by a process that had been stopped, for long, at once: to what was asked before */
	unsigned most_on_one;  /* addresses, of one node, at the end */
	unsigned answered;     /* addresses, at the end */
};

void observer_begin(void);
void observer_expect_start(void);           /* now: exactly one answers for each address */
void observer_measure(void);                /* from now on */
void observer_expect_rest(void);            /* from now on: exactly one answers, who the record says, and nothing moves */
void observer_end(struct measured *m);
unsigned observer_owner(unsigned address);  /* who answers alone, by its MAC; HOSTS: nobody */

void observer_cluster_changed(void);         /* endpoints, labels */
void observer_dirty(void);                  /* somebody may answer otherwise now */
void observer_delivered(struct process *p);   /* a frame, to it */
void observer_woke(struct host *h);
void observer_frame(struct host *from, const struct arp_frame *f);
void observer_written(const char *method, const char *path, const json_t *reply);

#endif
