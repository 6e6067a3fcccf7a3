/* The resources, and what the server does to each kind of object on its way in, in the order the real one takes the steps:
 * decode (400 for what does not fit the type; unknown fields go), prepare (defaults, allocated values), check (422). */
#ifndef TESTS_SIM_APISERVER_KINDS_H
#define TESTS_SIM_APISERVER_KINDS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "tests/sim/apiserver_query.h"

/* Where the cluster addresses and ports of Services come from: no two are the same until they are used up. NULL: none are
 * given, as when a PUT to /status makes a Service. */
struct simalloc {
	unsigned addresses, ports;
};

struct simkind {
	const char *group, *version, *plural, *kind;
	bool namespaced;
	bool status;            /* has /status, and writes elsewhere do not change the status */
	bool generation;        /* metadata.generation counts changes beside metadata and status */
	bool labels_count;      /* for the generation, too */
	bool conditional;       /* PUT needs a resourceVersion */
	bool put_creates;       /* PUT of a missing object creates it */
	bool returns_deleted;   /* DELETE answers with the object, not with a Status */
	bool custom;            /* of a CustomResourceDefinition */
	bool counted;           /* taken and thrown away */
	const char *field;      /* selectable beside metadata.name and metadata.namespace; may be NULL */
	int (*decode)(json_t *object, struct simerror *e);
	void (*prepare)(json_t *object, const json_t *old, struct simalloc *alloc);   /* old: NULL on creation */
	void (*prepare_status)(json_t *object, const json_t *old);
	int (*check)(const json_t *object, const json_t *old, struct simerror *e);
};

#define SIMKINDS 12
extern const struct simkind simkinds[SIMKINDS];

const struct simkind *simkind_find(const char *group, const char *version, const char *plural);   /* NULL: none */
bool simkind_selectable(const struct simkind *k, const char *field);

/* A body, freshly copied, in stored form; 0 or the code. */
int simkind_decode(const struct simkind *k, json_t *object, struct simerror *e);

/* Defaults and what the status path may change; then all checks. old and sub may be NULL. */
void simkind_prepare(const struct simkind *k, const char *sub, json_t *object, const json_t *old, struct simalloc *alloc);
int simkind_check(const struct simkind *k, const json_t *object, const json_t *old, struct simerror *e);

/* Whether the change between two states counts for metadata.generation. */
bool simkind_next_generation(const struct simkind *k, const json_t *object, const json_t *old);

/* ---- for the kinds' own files ---- */

const char *simtext(const json_t *object, const char *key);   /* "" when it is no string */
json_t *simpart(json_t *object, const char *key);             /* the object under key; made when missing */
void simdefault(json_t *object, const char *key, json_t *value);   /* takes value */
int siminvalid(struct simerror *e, const char *field, const char *why);

void simservice_prepare(json_t *object, const json_t *old, struct simalloc *alloc);
void simservice_prepare_status(json_t *object, const json_t *old);
int simservice_check(const json_t *object, const json_t *old, struct simerror *e);

#endif
