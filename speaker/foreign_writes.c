#include "speaker/foreign_writes.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"

#define TIMEOUT (5 * CLOCK_S)
#define RETRY CLOCK_S

struct task {
	struct foreign_writes *writes;
	struct address address;
	struct api_call *call;   /* NULL: it has ended, and nothing is written before `not_before` */
	int64_t not_before;
	UT_hash_handle hh;
};

struct foreign_writes {
	struct cluster *cluster;
	const char *node;
	struct task *tasks;
	void (*on_done)(void *data);
	void *data;
};

void foreign_writes_init(struct foreign_writes **wp, struct cluster *cluster, const char *node, void (*on_done)(void *data), void *data)
{
	struct foreign_writes *w = mem_zalloc(sizeof(*w));
	w->cluster = cluster;
	w->node = node;
	w->on_done = on_done;
	w->data = data;
	*wp = w;
}

static void on_result(void *data, const struct api_result *result)
{
	struct task *t = data;
	t->call = NULL;
	/* Conflicts mean that somebody else has written: the watch tells what. */
	if (!api_succeeded(result) && result->status != 409 && result->status != 404 && cluster_api_answers(t->writes->cluster))
		log_warn("foreignRecordFailed", NO_KV, "%s", result->message);
	t->not_before = clock_now() + RETRY;   /* by then the watch has told it */
	t->writes->on_done(t->writes->data);
}

static struct task *task_ready(struct foreign_writes *w, const struct address *a)
{
	struct task *t;
	HASH_FIND(hh, w->tasks, a, sizeof(*a), t);
	if (!t) {
		t = mem_zalloc(sizeof(*t));
		t->writes = w;
		t->address = *a;
		HASH_ADD(hh, w->tasks, address, sizeof(t->address), t);
	}
	return t->call || clock_now() < t->not_before || !cluster_api_answers(w->cluster) ? NULL : t;
}

static void call(struct task *t, const char *method, const char *name, json_t *body)
{
	struct foreign_writes *w = t->writes;
	char *path = cluster_lease_path(w->cluster, name);
	struct api_request request = {.method = method, .path = path, .body = body, .timeout = TIMEOUT, .on_result = on_result, .data = t,
				      .content_type = strcmp(method, "PATCH") == 0 ? API_MERGE_PATCH : API_JSON};
	t->call = api_send(cluster_api(w->cluster), &request);
	json_decref(body);
	free(path);
}

void foreign_writes_put(struct foreign_writes *w, const struct address *a, const char *link, const struct mac *mac, const char *refused)
{
	const struct model *m = cluster_model(w->cluster);
	const struct foreign_record *r = model_foreign(m, a);
	if (r && mac_equal(&r->mac, mac) && (!refused || strcmp(r->refused, refused) == 0))
		return;
	struct task *t = task_ready(w, a);
	if (t && r)
		call(t, "PATCH", r->meta.name, foreign_record_patch(r, w->node, link, mac, refused));
	else if (t)
		call(t, "POST", NULL, foreign_record_body(a, cluster_namespace(w->cluster), m->lb_class, w->node, link, mac, refused));
}

void foreign_writes_delete(struct foreign_writes *w, const struct foreign_record *r)
{
	struct task *t = task_ready(w, &r->address);
	if (t)
		call(t, "DELETE", r->meta.name, delete_options(&r->meta));
}

void foreign_writes_close(struct foreign_writes *w)
{
	struct task *t, *tmp;
	if (!w)
		return;
	HASH_ITER(hh, w->tasks, t, tmp) {
		api_cancel(t->call);
		HASH_DEL(w->tasks, t);
		free(t);
	}
	free(w);
}
