/* The controller: carries out what the allocator plans, as long as this process leads. A shell around the pure allocator;
 * writes are guarded by uid and resourceVersion, and an answer goes into the model before anything else is decided. */
#ifndef SPEAKER_CONTROLLER_ROLE_H
#define SPEAKER_CONTROLLER_ROLE_H

#include "speaker/cluster.h"

struct controller_role;

/* identity: of the leader election, for Events too. cluster and leadership outlive the role. */
void controller_role_init(struct controller_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster,
			  struct leadership *leadership, const char *identity);
void controller_role_step(void *role);   /* a step of the turn */
void controller_role_close(struct controller_role *role);   /* NULL is fine */

#endif
