/* The counters in IPAddressPool status: written right after every change, one write per pool at a time, and put right when
 * somebody else writes them. A shell. */
#ifndef SPEAKER_POOL_STATUS_H
#define SPEAKER_POOL_STATUS_H

#include "speaker/allocator.h"
#include "speaker/cluster.h"

struct pool_statuses;

/* on_due: a write has ended, or one that had to wait may be made; pool_statuses_step is to run. */
void pool_statuses_init(struct pool_statuses **sp, uv_loop_t *loop, struct cluster *cluster, void (*on_due)(void *data), void *data);

/* Writes what differs from what the pools show. Only for the leader, and only where pools are objects. */
void pool_statuses_step(struct pool_statuses *s, const struct allocator *a);
size_t pool_statuses_pending(const struct pool_statuses *s);
void pool_statuses_close(struct pool_statuses *s);   /* NULL is fine */

#endif
