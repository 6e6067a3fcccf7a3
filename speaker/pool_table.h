/* The pools of the cluster and which of them are in use. Pure. One bad object disables itself and whatever overlaps it, never
 * the rest: of two that overlap the older one stays, and an object that became bad goes on serving as it last was good. */
#ifndef SPEAKER_POOL_TABLE_H
#define SPEAKER_POOL_TABLE_H

#include "config/pool.h"

struct pool_counters {
	bool known;   /* the object has a status */
	int64_t assigned_v4, assigned_v6, available_v4, available_v6;
};

struct pool_entry {
	struct object_meta meta;   /* of the object as it is now */
	struct pool *pool;         /* in use: the object as it is, or as it last was good; NULL: not in use */
	char *problem;             /* why it is not in use as it is: one line with the remedy; NULL: it is */
	struct pool *wanted;       /* as it is now, when that is not `pool`; NULL: the same, or not understood */
	char *malformed;           /* why it is not understood */
	struct pool_counters counters;   /* as the object's status shows them */
};

struct pool_table {
	struct pool_entry *entries;   /* in the order in which they are tried (pool_compare); those not in use last */
	size_t n;
};

void pool_table_put(struct pool_table *t, struct pool *p);   /* takes p */
void pool_table_put_counters(struct pool_table *t, const char *name, const struct pool_counters *c);

/* Only the object's status changed since it was put: nothing to decide anew. Takes over its resourceVersion then. */
bool pool_table_unchanged(struct pool_table *t, const struct pool *p);

/* The object is there but not understood. meta: copied. */
void pool_table_put_malformed(struct pool_table *t, const struct object_meta *meta, const char *why);
void pool_table_drop(struct pool_table *t, const char *name);
void pool_table_free(struct pool_table *t);

const struct pool_entry *pool_table_find(const struct pool_table *t, const char *name);
const struct pool *pool_table_of(const struct pool_table *t, const struct address *a);   /* in use; NULL */

/* The object of that name when it is there but not in use; NULL: else, and for no name. What Services have of it they keep. */
const struct object_meta *pool_table_unused(const struct pool_table *t, const char *name);
const struct pool *pool_table_named(const struct pool_table *t, const char *name);       /* in use; NULL */

#endif
