#include "tests/sim/apiserver_state.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

#define FIRST_VERSION 200        /* a fresh real cluster has used up a few hundred too */
#define FIRST_TIME 1767225600    /* 2026-01-01 */

static void forget(struct simapi *s, uint64_t lost, uint64_t floor)
{
	for (size_t i = 0; s->fault != SIMAPI_NEVER_FORGETS && i < SIMKINDS; i++)
		simstore_forget(&s->tables[i], lost, floor);
}

static void make_namespace(struct simapi *s, const char *name)
{
	json_t *reply, *body = json_pack("{s:{s:s}}", "metadata", "name", name);
	simapi_request(s, "POST", "/api/v1/namespaces", NULL, body, &reply);
	json_decref(reply);
	json_decref(body);
}

struct simapi *simapi_new(void)
{
	struct simapi *s = mem_zalloc(sizeof(*s));
	s->version = FIRST_VERSION;
	s->time = FIRST_TIME;
	forget(s, 0, FIRST_VERSION);
	make_namespace(s, "default");
	make_namespace(s, "kube-system");
	return s;
}

void simapi_free(struct simapi *s)
{
	for (size_t i = 0; s && i < SIMKINDS; i++)
		simstore_free(&s->tables[i]);
	free(s);
}

void simapi_set_time(struct simapi *s, int64_t seconds)
{
	s->time = seconds;
}

uint64_t simapi_version(const struct simapi *s)
{
	return s->version;
}

void simapi_counts(const struct simapi *s, struct simapi_counts *counts)
{
	*counts = s->counts;
}

void simapi_plant(struct simapi *s, enum simapi_fault fault)
{
	s->fault = fault;
}

struct simstore_table *simapi_table(struct simapi *s, const struct simkind *k)
{
	return &s->tables[k - simkinds];
}

char *simapi_key(const char *name_space, const char *name)
{
	return name_space ? mem_printf("%s/%s", name_space, name) : mem_strdup(name);
}

void simapi_compact(struct simapi *s)
{
	/* The counter moves on, so that every version a client holds now counts as old. */
	uint64_t lost = s->version++;
	forget(s, lost, s->version);
}

/* ---- requests ---- */

static int get(struct simapi *s, const struct simquery *q, json_t **replyp, struct simerror *e)
{
	char *key = simapi_key(q->kind->namespaced ? q->name_space : NULL, q->name);
	json_t *object = simstore_get(simapi_table(s, q->kind), key);
	free(key);
	if (!object)
		return simfail(e, 404, "NotFound", "%s%s%s \"%s\" not found", q->kind->plural, *q->kind->group ? "." : "", q->kind->group, q->name);
	*replyp = json_incref(object);
	return 0;
}

static bool is_type(const char *content_type, const char *wanted)
{
	size_t n = strcspn(content_type, "; ");
	return n == strlen(wanted) && strncmp(content_type, wanted, n) == 0;
}

/* What a method does; *statusp is the status of a success. */
static int perform(struct simapi *s, const char *method, const struct simquery *q, const char *content_type, const json_t *body,
		   json_t **replyp, int *statusp, struct simerror *e)
{
	bool put = strcmp(method, "PUT") == 0, post = strcmp(method, "POST") == 0, created = false;
	*statusp = post ? 201 : 200;
	if (strcmp(method, "GET") == 0 && !q->watch)
		return q->name ? get(s, q, replyp, e) : simapi_list_request(s, q, replyp, e);
	if ((put || post) && !is_type(content_type ? content_type : "application/json", "application/json"))
		return simfail(e, 415, "UnsupportedMediaType", "the body of the request was in an unknown format");
	if (post && (!q->name || (q->kind->custom && !q->sub)))   /* of custom resources a name in the path is not looked at */
		return simapi_create(s, q, body, replyp, e);
	if (put && q->name) {
		int code = simapi_update(s, q, body, replyp, &created, e);
		*statusp = created ? 201 : 200;
		return code;
	}
	if ((put || strcmp(method, "PATCH") == 0) && !q->name && q->kind->custom)
		return simfail(e, 400, "BadRequest", "name must be provided");
	if (strcmp(method, "PATCH") == 0 && q->name) {
		if (!is_type(content_type ? content_type : "", "application/merge-patch+json"))
			return simfail(e, 415, "UnsupportedMediaType", "the body of the request was in an unknown format");
		return simapi_patch(s, q, body, replyp, e);
	}
	if (strcmp(method, "DELETE") == 0 && q->name && !q->sub && strcmp(q->kind->plural, "namespaces") != 0)
		return simapi_delete(s, q, body, replyp, e);
	return simfail(e, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
}

int simapi_request(struct simapi *s, const char *method, const char *path_and_query, const char *content_type, const json_t *body, json_t **replyp)
{
	struct simquery q;
	struct simerror e = {0};
	int status = 0, code = simquery_parse(path_and_query, &q, &e);
	*replyp = NULL;
	s->counts.requests++;
	if (code == 0)
		code = perform(s, method, &q, content_type, body, replyp, &status, &e);
	if (code == 409)
		s->counts.conflicts++;
	if (code)
		*replyp = simerror_status(&e, q.kind, q.name);
	simquery_free(&q);
	return code ? code : status;
}
