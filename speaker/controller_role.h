/* The controller: carries out what the allocator plans, as long as this process leads. A shell around the pure allocator;
 * allocation_writes.h makes the requests, pool_status.h keeps the counters; what is to be said about it is said here. */
#ifndef SPEAKER_CONTROLLER_ROLE_H
#define SPEAKER_CONTROLLER_ROLE_H

#include "speaker/allocator.h"
#include "speaker/cluster.h"
#include "speaker/metrics.h"

struct controller_role;

/* identity: of the leader election, for Events too. cluster and leadership outlive the role. */
void controller_role_init(struct controller_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster,
			  struct leadership *leadership, const char *identity);
void controller_role_step(void *role);   /* a step of the turn */

/* Leading, everything known, nothing left to write or on its way. */
bool controller_role_at_rest(const struct controller_role *role);
void controller_role_collect(void *role, struct metrics *metrics);   /* for metrics_on_collect */
const struct allocator *controller_role_allocator(const struct controller_role *role);
void controller_role_close(struct controller_role *role);   /* NULL is fine */

#endif
