#include "speaker/conflict_status.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "speaker/conflict_condition.h"

#define AT_ONCE 4

struct task {
	char *service;            /* "namespace/name" */
	struct conflict_statuses *all;
	struct api_call *call;
	struct paced_write pace;
	UT_hash_handle hh;
};

struct conflict_statuses {
	struct cluster *cluster;
	const struct paced_write_times *times;
	struct task *tasks;
	size_t busy;
	struct deadline timer;
	void (*on_due)(void *data);
	void *data;
};

static void task_free(struct conflict_statuses *s, struct task *t)
{
	HASH_DEL(s->tasks, t);
	api_cancel(t->call);
	s->busy -= t->call != NULL;
	free(t->service);
	free(t);
}

/* NULL: nothing is to be written. */
static json_t *patch_for(const struct conflict_statuses *s, const char *key)
{
	char now[CLOCK_TEXT];
	const struct model *m = cluster_model(s->cluster);
	const struct service *service = model_service(m, key);
	return service ? conflict_condition_patch(m, service, clock_wall_text(now)) : NULL;
}

static void look(struct conflict_statuses *s, const char *key)
{
	struct task *t;
	json_t *patch = patch_for(s, key);
	HASH_FIND_STR(s->tasks, key, t);
	if (patch && !t) {
		t = mem_zalloc(sizeof(*t));
		t->all = s;
		t->service = mem_strdup(key);
		HASH_ADD_KEYPTR(hh, s->tasks, t->service, strlen(t->service), t);
	}
	if (t)
		paced_write_look(&t->pace, s->times, patch != NULL, clock_now());
	json_decref(patch);
}

void conflict_statuses_follow(struct conflict_statuses *s)
{
	const struct model *m = cluster_model(s->cluster);
	struct service_entry *e, *e_next;
	struct changed_service *c, *c_next;
	struct changed_address *a, *a_next;
	const struct service *const *users;
	if (m->changes.all) {
		HASH_ITER(hh, m->services, e, e_next)
			if (e->service->conditions || m->foreign)
				look(s, e->service->meta.key);
		return;
	}
	HASH_ITER(hh, m->changes.services, c, c_next)
		look(s, c->key);
	HASH_ITER(hh, m->changes.addresses, a, a_next)
		for (size_t i = 0, n = model_ingress_users(m, &a->address, &users); i < n; i++)
			look(s, users[i]->meta.key);
}

static void on_written(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct conflict_statuses *s = t->all;
	enum paced_write_end end = api_succeeded(result) ? PACED_WRITE_DONE : result->status == 409 || result->status == 404 ? PACED_WRITE_STALE : PACED_WRITE_FAILED;
	t->call = NULL;
	s->busy--;
	if (end == PACED_WRITE_FAILED && !t->pace.pause && cluster_api_answers(s->cluster))
		log_warn("conflictStatusFailed", KV("service", t->service), "%s", result->message);
	paced_write_ended(&t->pace, s->times, end, clock_now());
	if (end == PACED_WRITE_DONE)
		cluster_take_service(s->cluster, result->body);
	look(s, t->service);
	s->on_due(s->data);
}

static void write_one(struct conflict_statuses *s, struct task *t, json_t *patch)
{
	const char *slash = strchr(t->service, '/');
	char *path = mem_printf("/api/v1/namespaces/%.*s/services/%s/status?fieldManager=" OBJECTS_MANAGER, (int)(slash - t->service), t->service, slash + 1);
	struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch, .on_result = on_written, .data = t};
	t->call = api_send(cluster_api(s->cluster), &request);
	s->busy++;
	free(path);
}

static void go_on(struct conflict_statuses *s, struct task *t, int64_t now)
{
	if (t->call || s->busy >= AT_ONCE || !cluster_api_answers(s->cluster))
		return;
	json_t *patch = patch_for(s, t->service);
	paced_write_look(&t->pace, s->times, patch != NULL, now);
	if (paced_write_begin(&t->pace, now))
		write_one(s, t, patch);
	json_decref(patch);
}

void conflict_statuses_step(struct conflict_statuses *s)
{
	struct task *t, *tmp;
	int64_t now = clock_now(), wake = CLOCK_NEVER;
	HASH_ITER(hh, s->tasks, t, tmp) {
		go_on(s, t, now);
		/* One that is due waits for others, or for the API server. */
		int64_t next = paced_write_deadline(&t->pace);
		wake = clock_min(wake, next > now ? next : now + s->times->settle);
		if (paced_write_is_over(&t->pace, s->times, now))
			task_free(s, t);
	}
	deadline_set(&s->timer, wake);
}

static void on_time(void *data)
{
	struct conflict_statuses *s = data;
	s->on_due(s->data);
}

void conflict_statuses_init(struct conflict_statuses **sp, uv_loop_t *loop, struct cluster *cluster, const struct paced_write_times *times,
			    void (*on_due)(void *data), void *data)
{
	struct conflict_statuses *s = mem_zalloc(sizeof(*s));
	s->cluster = cluster;
	s->times = times ? times : &PACED_WRITE_TIMES;
	s->on_due = on_due;
	s->data = data;
	deadline_init(&s->timer, loop, on_time, s);
	*sp = s;
}

static void on_timer_closed(void *data)
{
	free(data);
}

void conflict_statuses_close(struct conflict_statuses *s)
{
	struct task *t, *tmp;
	if (!s)
		return;
	HASH_ITER(hh, s->tasks, t, tmp)
		task_free(s, t);
	deadline_close(&s->timer, on_timer_closed);
}
