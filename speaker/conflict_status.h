/* Keeps the condition of conflict_condition.h in the statuses of Services, by whoever leads: the controller may write there
 * already, and there is one of it; what it writes is what the Leases foreign-<address> say, so that it can be no second opinion.
 * One write per Service at a time, few at once, after what somebody waits for, and each at its pace (paced_write.h). A shell. */
#ifndef SPEAKER_CONFLICT_STATUS_H
#define SPEAKER_CONFLICT_STATUS_H

#include "speaker/cluster.h"
#include "speaker/paced_write.h"

struct conflict_statuses;

/* on_due: a write has ended, or one that had to wait may be made; conflict_statuses_step is to run. times is borrowed; NULL: PACED_WRITE_TIMES. */
void conflict_statuses_init(struct conflict_statuses **sp, uv_loop_t *loop, struct cluster *cluster, const struct paced_write_times *times,
			    void (*on_due)(void *data), void *data);

/* What the model's journal of changes says is looked at; before the allocator empties it. */
void conflict_statuses_follow(struct conflict_statuses *s);

/* Writes what can be written now. Only for the leader. */
void conflict_statuses_step(struct conflict_statuses *s);
void conflict_statuses_close(struct conflict_statuses *s);   /* NULL is fine */

#endif
