/* What the parts of the simulated API server share. */
#ifndef TESTS_SIM_APISERVER_STATE_H
#define TESTS_SIM_APISERVER_STATE_H

#include "tests/sim/apiserver.h"
#include "tests/sim/apiserver_kinds.h"
#include "tests/sim/apiserver_store.h"

struct simapi {
	uint64_t version, serial;   /* resourceVersion; number of the last uid */
	int64_t time;
	struct simalloc alloc;
	struct simstore_table tables[SIMKINDS];
	struct simapi_counts counts;
	enum simapi_fault fault;
};

struct simstore_table *simapi_table(struct simapi *s, const struct simkind *k);

/* The key of an object in its table; to free(). */
char *simapi_key(const char *name_space, const char *name);

/* A write that names one object, or POSTs one: 0 and the object to answer with in *replyp, or the code of the failure. */
int simapi_create(struct simapi *s, const struct simquery *q, const json_t *body, json_t **replyp, struct simerror *e);
int simapi_update(struct simapi *s, const struct simquery *q, const json_t *body, json_t **replyp, bool *createdp, struct simerror *e);
int simapi_patch(struct simapi *s, const struct simquery *q, const json_t *change, json_t **replyp, struct simerror *e);
int simapi_delete(struct simapi *s, const struct simquery *q, const json_t *options, json_t **replyp, struct simerror *e);

/* A list as of a version, which must not be below the floor; from: the first key shown, or NULL. */
json_t *simapi_list(struct simapi *s, const struct simquery *q, uint64_t version, const char *from, size_t limit);

/* The list a request asks for. */
int simapi_list_request(struct simapi *s, const struct simquery *q, json_t **replyp, struct simerror *e);

#endif
