/* What a request asks for: the path, selectors and the other parameters. And how a request fails. */
#ifndef TESTS_SIM_APISERVER_QUERY_H
#define TESTS_SIM_APISERVER_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct simkind;

/* ---- failure ---- */

struct simerror {
	int code;
	const char *reason;
	char text[512];
	char *token;   /* of a 410: metadata.continue; owned */
};

/* Fills it in and returns the code. */
int simfail(struct simerror *e, int code, const char *reason, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The Status object for it (new); name may be NULL. Frees what the error owns. */
json_t *simerror_status(struct simerror *e, const struct simkind *kind, const char *name);

/* ---- requests ---- */

enum simlabel_op { LABEL_IS, LABEL_IS_NOT, LABEL_EXISTS, LABEL_MISSING };

struct simlabel {
	enum simlabel_op op;
	char *key;
	char **values;   /* of LABEL_IS and LABEL_IS_NOT: any of them */
	size_t n;
};

struct simfield {
	char *path, *value;
	bool not;
};

struct simquery {
	const struct simkind *kind;
	char *name_space, *name;   /* NULL: all, a collection */
	char *sub;                 /* NULL or "status" */
	struct simlabel *labels;
	size_t n_labels;
	struct simfield *fields;
	size_t n_fields;
	size_t limit;              /* 0: none */
	char *token, *version, *match;   /* continue, resourceVersion, resourceVersionMatch; NULL: not given */
	bool watch, initial;       /* sendInitialEvents */
	bool dry;                  /* dryRun=All */
};

/* 0 or the code of the failure. Both ways: end it with simquery_free. */
int simquery_parse(const char *path_and_query, struct simquery *q, struct simerror *e);
void simquery_free(struct simquery *q);

/* Whether labels and fields select this object (the namespace is not looked at). */
bool simquery_selects(const struct simquery *q, const json_t *object);

/* A version as the parameters spell it. */
int simquery_number(const char *text, uint64_t *versionp, struct simerror *e);

#endif
