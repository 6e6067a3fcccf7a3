#include "speaker/permissions.h"

#include <stdlib.h>

#include "config/base/memory.h"

enum need {
	ALWAYS = 0,
	TO_WRITE = 1,    /* not for --dry-run */
	WITH_CRDS = 2,   /* not with --pool */
};

struct permission {
	const char *group, *resource, *subresource;
	const char *verbs[7];
	bool in_namespace;   /* ours; else all */
	int need;            /* enum need, all bits of it */
};

/* The same as deploy/rbac.yaml says of the controller. */
static const struct permission PERMISSIONS[] = {
	{"", "services", NULL, {"get", "list", "watch"}, false, ALWAYS},
	{"", "services", "status", {"patch"}, false, TO_WRITE},
	{"events.k8s.io", "events", NULL, {"create"}, false, TO_WRITE},
	{"coordination.k8s.io", "leases", NULL, {"get", "list", "watch", "create", "update", "patch", "delete"}, true, TO_WRITE},
	{"", "namespaces", NULL, {"list", "watch"}, false, WITH_CRDS},
	{"metallb.io", "ipaddresspools", NULL, {"list", "watch"}, true, WITH_CRDS},
	{"metallb.io", "l2advertisements", NULL, {"list", "watch"}, true, WITH_CRDS},
};
#define N_PERMISSIONS (sizeof(PERMISSIONS) / sizeof(PERMISSIONS[0]))

struct question {
	struct permissions *all;
	struct api_call *call;
	const struct permission *permission;
	const char *verb;
};

struct permissions {
	char *name_space;
	struct question *questions;
	size_t n, open, missing;
	void (*on_missing)(void *data, const char *what);
	void (*on_done)(void *data, size_t missing);
	void *data;
};

static void on_answer(void *data, const struct api_result *result)
{
	struct question *q = data;
	struct permissions *p = q->all;
	const struct permission *m = q->permission;
	q->call = NULL;
	const json_t *allowed = json_object_get(json_object_get(result->body, "status"), "allowed");
	if (api_succeeded(result) && json_is_false(allowed)) {
		char *what = mem_printf("%s %s%s%s%s%s in %s%s", q->verb, m->resource, m->subresource ? "/" : "", m->subresource ? m->subresource : "", *m->group ? "." : "",
					m->group, m->in_namespace ? "namespace " : "all namespaces", m->in_namespace ? p->name_space : "");
		p->missing++;
		p->on_missing(p->data, what);
		free(what);
	}
	if (--p->open == 0)
		p->on_done(p->data, p->missing);
}

static void ask(struct question *q, struct api *api)
{
	const struct permission *m = q->permission;
	json_t *attributes = json_pack("{s:s, s:s, s:s}", "group", m->group, "resource", m->resource, "verb", q->verb);
	if (m->subresource)
		json_object_set_new(attributes, "subresource", json_string(m->subresource));
	if (m->in_namespace)
		json_object_set_new(attributes, "namespace", json_string(q->all->name_space));
	json_t *body = json_pack("{s:s, s:s, s:{s:o}}", "apiVersion", "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview", "spec", "resourceAttributes", attributes);
	struct api_request request = {.method = "POST", .path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", .content_type = API_JSON, .body = body,
				      .on_result = on_answer, .data = q};
	q->call = api_send(api, &request);
	json_decref(body);
}

void permissions_check(struct permissions **pp, struct api *api, const struct options *options, const char *name_space,
		       void (*on_missing)(void *data, const char *what), void (*on_done)(void *data, size_t missing), void *data)
{
	struct permissions *p = mem_zalloc(sizeof(*p));
	p->name_space = mem_strdup(name_space);
	p->on_missing = on_missing;
	p->on_done = on_done;
	p->data = data;
	p->questions = mem_zalloc(N_PERMISSIONS * 7 * sizeof(*p->questions));
	for (size_t i = 0; i < N_PERMISSIONS; i++) {
		const struct permission *m = &PERMISSIONS[i];
		if (((m->need & TO_WRITE) && options->dry_run) || ((m->need & WITH_CRDS) && options->n_pools))
			continue;
		for (size_t j = 0; j < 7 && m->verbs[j]; j++)
			p->questions[p->n++] = (struct question){.all = p, .permission = m, .verb = m->verbs[j]};
	}
	p->open = p->n;
	*pp = p;
	for (size_t i = 0; i < p->n; i++)
		ask(&p->questions[i], api);
}

void permissions_close(struct permissions *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		api_cancel(p->questions[i].call);
	free(p->questions);
	free(p->name_space);
	free(p);
}
