/* metadata of a Kubernetes object, decoded from JSON. Pure. */
#ifndef CONFIG_OBJECT_META_H
#define CONFIG_OBJECT_META_H

#include <stdint.h>

#include "config/labels.h"

struct object_meta {
	char *name_space;         /* "" for cluster-scoped objects */
	char *name;
	char *key;                /* "namespace/name", or "name" when cluster-scoped: the key of every map */
	char *uid;
	char *resource_version;   /* an opaque decimal text; compare with resource_version_compare */
	char *created;            /* RFC 3339 UTC: compares as text; "" when absent */
	int64_t generation;       /* grows with each change of the spec; 0: the server does not count it */
	bool deleting;            /* deletionTimestamp is set */
	struct labels labels;
	struct labels annotations;
};

/* Decodes object.metadata. -EINVAL when there is no name or a field has another type. */
int object_meta_decode(const json_t *object, struct object_meta *metap, struct error *err);
void object_meta_copy(struct object_meta *to, const struct object_meta *from);   /* to: empty */
void object_meta_free(struct object_meta *meta);

/* Order of age: creation time, then namespace/name. */
int object_meta_compare_age(const struct object_meta *a, const struct object_meta *b);

/* <0, 0, >0. Unbounded decimal integers (KEP-5504): by length, then bytes; never parsed into a number. NULL is oldest. */
int resource_version_compare(const char *a, const char *b);

/* "namespace/name" of a raw object, or NULL when it has no name; to free(). */
char *object_key(const json_t *object);

#endif
