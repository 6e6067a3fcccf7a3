/* The speaker: answers for the addresses this node owns. A shell around the pure election and ownership: gathers what the
 * model and the wire say, carries out what ownership decides, and keeps this node's own record. */
#ifndef SPEAKER_SPEAKER_ROLE_H
#define SPEAKER_SPEAKER_ROLE_H

#include "speaker/cluster.h"
#include "speaker/metrics.h"

struct speaker_role;

/* -errno when the node's links cannot be watched. cluster and options outlive the role. */
int speaker_role_init(struct speaker_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster, const struct options *options);
void speaker_role_start(struct speaker_role *role);
void speaker_role_step(void *role);   /* a step of the turn */
bool speaker_role_ready(const struct speaker_role *role);   /* it takes part: synced, and it answers for what it has */

/* For metrics_on_collect: what it announces, and the frames of each address. */
void speaker_role_collect(void *role, struct metrics *metrics);

/* Our process ends: on_done runs when others were heard to answer for every address (a guard, or who took it over), or after 1.8 s. */
void speaker_role_leave(struct speaker_role *role, void (*on_done)(void *data), void *data);
void speaker_role_close(struct speaker_role *role);   /* NULL is fine */

#endif
