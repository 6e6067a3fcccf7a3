/* Carries out what the allocator plans: creates, joins and gives back records, writes statuses. A shell around the pure
 * allocator. One write at a time for each Service and record, several for different ones; each guarded by uid and
 * resourceVersion, and its answer goes into the model before anything else is decided. */
#ifndef SPEAKER_ALLOCATION_WRITES_H
#define SPEAKER_ALLOCATION_WRITES_H

#include "speaker/allocator.h"
#include "speaker/cluster.h"

struct allocation_writes;

struct allocation_writes_config {
	struct cluster *cluster;
	struct allocator *allocator;
	struct leadership *leadership;
	/* An answer came: there may be more to do. */
	void (*on_news)(void *data);
	/* A status was written; s: as it is now, NULL when it is gone. ips: "a" or "a, b"; "" : taken back. */
	void (*on_status)(void *data, const struct service *s, const char *key, const char *ips, const char *pool, bool repair);
	void *data;
};

void allocation_writes_init(struct allocation_writes **wp, uv_loop_t *loop, const struct allocation_writes_config *config);

/* Starts what can be started of the allocator's open steps and releases. */
void allocation_writes_step(struct allocation_writes *w);

/* Writes under way or waiting for another try. */
size_t allocation_writes_pending(const struct allocation_writes *w);
void allocation_writes_close(struct allocation_writes *w);   /* NULL is fine */

#endif
