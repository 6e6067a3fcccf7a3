#include "speaker/allocation_writes.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "speaker/names.h"

#define RETRY CLOCK_S            /* after a write that failed for another reason than a conflict */
#define CONFLICT (50 * CLOCK_MS) /* the watch brings the new version meanwhile */
#define AT_ONCE 64               /* tasks under way; the API client bounds requests */

/* One write under way, for a Service (by uid) or a record (by Lease name). */
struct task {
	char *key;
	struct allocation_writes *writes;
	struct api_call *call;          /* NULL: waiting for retry_at */
	int64_t retry_at;
	struct address address;         /* of the record concerned */
	char *service, *text, *pool;    /* "namespace/name"; of a status: addresses for the log, pool */
	bool writing, repair;           /* the allocator was told of a status write */
	struct object_meta record;      /* release: the very version; look: the uid that is known */
	char **asked;                   /* release: Services still to be looked at */
	size_t n_asked;
	char **keys, **uids;            /* release: those that stay */
	size_t n_keys;
	UT_hash_handle hh;
};

struct allocation_writes {
	struct allocation_writes_config config;
	struct task *tasks;
	size_t busy;
	struct deadline timer;
};

static struct model *model_of(const struct allocation_writes *w)
{
	return cluster_model(w->config.cluster);
}

/* ---- tasks ---- */

static struct task *task_find(const struct allocation_writes *w, const char *key)
{
	struct task *t;
	HASH_FIND_STR(w->tasks, key, t);
	return t;
}

static struct task *task_new(struct allocation_writes *w, const char *key)
{
	struct task *t = mem_zalloc(sizeof(*t));
	t->key = mem_strdup(key);
	t->writes = w;
	HASH_ADD_KEYPTR(hh, w->tasks, t->key, strlen(t->key), t);
	return t;
}

static void status_ended(struct task *t)
{
	if (t->writing)
		allocator_writing(t->writes->config.allocator, t->service, NULL, 0);
	t->writing = false;
}

static void task_free(struct task *t)
{
	struct allocation_writes *w = t->writes;
	status_ended(t);
	HASH_DEL(w->tasks, t);
	w->busy -= t->call != NULL;
	api_cancel(t->call);
	free(t->key);
	free(t->service);
	free(t->text);
	free(t->pool);
	object_meta_free(&t->record);
	strings_free(t->asked, t->n_asked);
	strings_free(t->keys, t->n_keys);
	strings_free(t->uids, t->n_keys);
	free(t);
}

static void answered(struct task *t)
{
	t->call = NULL;
	t->writes->busy--;
}

static void task_retry(struct task *t, int64_t wait)
{
	status_ended(t);
	t->retry_at = clock_now() + wait;
	deadline_set(&t->writes->timer, clock_min(t->writes->timer.at, t->retry_at));
}

static void task_done(struct task *t)
{
	struct allocation_writes *w = t->writes;
	task_free(t);
	w->config.on_news(w->config.data);
}

static bool is_busy(const struct allocation_writes *w, const char *key)
{
	const struct task *t = task_find(w, key);
	return t && t->call;
}

/* True when a new task may start under this key: none is there, or the old one's wait is over. */
static bool is_clear(struct allocation_writes *w, const char *key)
{
	struct task *t = task_find(w, key);
	if (t && (t->call || t->retry_at > clock_now()))
		return false;
	if (t)
		task_free(t);
	return true;
}

static void call_api(struct task *t, const char *method, const char *path, const char *type, json_t *body,
		     void (*on_result)(void *data, const struct api_result *))
{
	struct api_request request = {.method = method, .path = path, .content_type = type, .body = body, .on_result = on_result, .data = t};
	t->call = api_send(cluster_api(t->writes->config.cluster), &request);
	t->writes->busy++;
	json_decref(body);
}

static char *service_path(const char *key, const char *rest)
{
	const char *slash = strchr(key, '/');
	return mem_printf("/api/v1/namespaces/%.*s/services/%s%s", (int)(slash - key), key, slash + 1, rest);
}

/* 409 means that our view is old, and the watch or a look brings the new one; anything else is said. */
static void write_failed(struct task *t, const char *event, const struct api_result *result)
{
	struct allocation_writes *w = t->writes;
	if (result->status != 409)
		log_warn(event, KV("service", t->service ? t->service : t->key), "%s", result->message);
	task_retry(t, result->status == 409 ? CONFLICT : RETRY);
	w->config.on_news(w->config.data);
}

/* ---- records: create, join ---- */

static void on_looked(void *data, const struct api_result *result)
{
	struct task *t = data;
	answered(t);
	if (api_succeeded(result))
		cluster_take_lease(t->writes->config.cluster, result->body);
	else if (result->status == 404 && t->record.uid)
		model_drop_record_object(model_of(t->writes), &t->address, t->record.uid);
	task_done(t);
}

static void look_at_record(struct task *t)
{
	const struct record *known = model_record(model_of(t->writes), &t->address);
	char *name = record_name(&t->address), *path = cluster_lease_path(t->writes->config.cluster, name);
	mem_replace(&t->record.uid, known ? known->meta.uid : NULL);   /* if it is gone, this one is */
	call_api(t, "GET", path, NULL, NULL, on_looked);
	free(path);
	free(name);
}

static void on_record_written(void *data, const struct api_result *result)
{
	struct task *t = data;
	answered(t);
	if (api_succeeded(result)) {
		cluster_take_lease(t->writes->config.cluster, result->body);
		task_done(t);
	} else if (result->status == 409 || result->status == 404 || result->status == 0) {
		look_at_record(t);   /* somebody else has it, or our own write got through and its answer did not */
	} else {
		write_failed(t, "recordFailed", result);
	}
}

static struct task *record_task(struct allocation_writes *w, const struct allocation *a)
{
	struct task *t = task_new(w, a->uid);
	t->address = a->address;
	t->service = mem_strdup(a->service);
	return t;
}

static void create_record(struct allocation_writes *w, const struct allocation *a)
{
	struct task *t = record_task(w, a);
	char *path = cluster_lease_path(w->config.cluster, NULL);
	const struct service *s = model_service(model_of(w), a->service);
	bool found = s && service_has_ingress(s, &a->address);
	call_api(t, "POST", path, API_JSON,
		 record_create_body(&a->address, cluster_namespace(w->config.cluster), model_of(w)->lb_class, a->service, a->uid, found), on_record_written);
	free(path);
}

static void join_record(struct allocation_writes *w, const struct allocation *a)
{
	const struct record *r = model_record(model_of(w), &a->address);
	struct task *t = record_task(w, a);
	char *path = cluster_lease_path(w->config.cluster, r->meta.name);
	call_api(t, "PATCH", path, API_MERGE_PATCH, record_join_patch(r, a->service, a->uid), on_record_written);
	free(path);
}

/* ---- the Service's status ---- */

static void on_status_written(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct allocation_writes *w = t->writes;
	answered(t);
	if (!api_succeeded(result)) {
		if (result->status == 404)   /* gone meanwhile; the watch says so too */
			task_done(t);
		else
			write_failed(t, "statusFailed", result);
		return;
	}
	const struct service *s = model_service(model_of(w), t->service);
	bool known = s && strcmp(s->meta.uid, t->key) == 0;   /* else the watch has shown meanwhile that it is gone */
	if (known)
		cluster_take_service(w->config.cluster, result->body);
	w->config.on_status(w->config.data, known ? model_service(model_of(w), t->service) : NULL, t->service, t->text, t->pool, t->repair);
	task_done(t);
}

static char *addresses_text(const struct allocation *a)
{
	char one[ADDRESS_TEXT], two[ADDRESS_TEXT];
	if (a->n == 0)
		return mem_strdup("");
	if (a->n == 1)
		return mem_strdup(address_format(&a->addresses[0], one));
	return mem_printf("%s, %s", address_format(&a->addresses[0], one), address_format(&a->addresses[1], two));
}

static void write_status(struct allocation_writes *w, const struct allocation *a)
{
	const struct service *s = model_service(model_of(w), a->service);
	struct task *t = task_new(w, a->uid);
	json_t *ingress = json_array();
	char text[ADDRESS_TEXT];
	for (size_t i = 0; i < a->n; i++)   /* only "ip": the server adds ipMode itself */
		json_array_append_new(ingress, json_pack("{s:s}", "ip", address_format(&a->addresses[i], text)));
	json_t *patch = json_pack("{s:{s:s, s:s, s:{s:s?}}, s:{s:{s:o}}}", "metadata", "uid", s->meta.uid, "resourceVersion", s->meta.resource_version,
		"annotations", ANNOTATION_FROM_POOL, a->pool, "status", "loadBalancer", "ingress", ingress);
	char *path = service_path(a->service, "/status?fieldManager=" OBJECTS_MANAGER);
	t->service = mem_strdup(a->service);
	t->text = addresses_text(a);
	t->pool = mem_strdup(a->pool ? a->pool : "");
	t->repair = a->repair;
	t->writing = true;
	allocator_writing(w->config.allocator, a->service, a->addresses, a->n);
	call_api(t, "PATCH", path, API_MERGE_PATCH, patch, on_status_written);
	free(path);
}

/* ---- records that somebody does not need any more ---- */

static void ask_next_service(struct task *t);

static void on_released(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct allocation_writes *w = t->writes;
	char text[ADDRESS_TEXT];
	answered(t);
	address_format(&t->address, text);
	if (t->n_keys && api_succeeded(result)) {
		log_info("ipLeft", KV("ip", text, "service", t->text), "%s: still shared by %zu, no longer used by Service %s", text, t->n_keys, t->text);
		cluster_take_lease(w->config.cluster, result->body);
		task_done(t);
	} else if (!t->n_keys && (api_succeeded(result) || result->status == 404)) {
		log_info("ipReleased", KV("ip", text, "service", t->text), "%s: free again; no Service uses it", text);
		model_drop_record_object(model_of(w), &t->address, t->record.uid);
		task_done(t);
	} else if (result->status == 409 || result->status == 404 || result->status == 0) {
		look_at_record(t);
	} else {
		write_failed(t, "recordFailed", result);
	}
}

static bool still_needs(const struct allocation_writes *w, const struct task *t, const json_t *object)
{
	struct service *live;
	struct model *m = model_of(w);
	if (service_decode(object, &live, NULL) < 0)
		return true;
	const struct service *known = model_service(m, live->meta.key);
	/* Our view may be older than what another controller acted on: only a Service that is just as we know it, or is not
	 * ours any more, lets go of its address. */
	bool ours = model_is_ours(m, live);
	bool same = known && strcmp(known->meta.uid, live->meta.uid) == 0 && strcmp(known->meta.resource_version, live->meta.resource_version) == 0;
	bool writing = known && is_busy(w, known->meta.uid);   /* its status may be about to show the address */
	bool needs = writing || (ours && (!same || service_has_ingress(live, &t->address)));
	service_free(live);
	return needs;
}

static void on_annotation_removed(void *data, const struct api_result *result)
{
	(void)data;
	if (!api_succeeded(result) && result->status != 404 && result->status != 409)
		log_warn("annotationFailed", NO_KV, "%s", result->message);
}

/* A Service that is no LoadBalancer any more: the server has cleared its status, what we wrote beside it is ours to remove. */
static void remove_annotation(struct allocation_writes *w, const json_t *object)
{
	struct service *live;
	if (service_decode(object, &live, NULL) < 0)
		return;
	if (!live->load_balancer && !live->meta.deleting && labels_get(&live->meta.annotations, ANNOTATION_FROM_POOL)) {
		json_t *patch = json_pack("{s:{s:s, s:s, s:{s:n}}}", "metadata", "uid", live->meta.uid, "resourceVersion",
					  live->meta.resource_version, "annotations", ANNOTATION_FROM_POOL);
		char *path = service_path(live->meta.key, "/status?fieldManager=" OBJECTS_MANAGER);
		struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch,
					      .on_result = on_annotation_removed, .data = w};
		api_send(cluster_api(w->config.cluster), &request);
		json_decref(patch);
		free(path);
	}
	service_free(live);
}

/* The cache may be old: before an address is given back the Services that let go of it are read from the server. */
static void on_service_read(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct allocation_writes *w = t->writes;
	answered(t);
	if (result->status != 404 && !(api_succeeded(result) && !still_needs(w, t, result->body))) {
		task_retry(t, RETRY);
		w->config.on_news(w->config.data);   /* a status may have waited for this */
		return;
	}
	if (api_succeeded(result))
		remove_annotation(w, result->body);
	free(t->asked[--t->n_asked]);
	ask_next_service(t);
}

static void ask_next_service(struct task *t)
{
	if (t->n_asked && strchr(t->asked[t->n_asked - 1], '/')) {
		char *path = service_path(t->asked[t->n_asked - 1], "");
		call_api(t, "GET", path, NULL, NULL, on_service_read);
		free(path);
		return;
	}
	if (!leadership_leading(t->writes->config.leadership)) {
		task_retry(t, RETRY);
		return;
	}
	char *path = cluster_lease_path(t->writes->config.cluster, t->record.name);
	const struct record version = {.meta = t->record};
	if (t->n_keys)
		call_api(t, "PATCH", path, API_MERGE_PATCH,
			 record_services_patch(&version, (const char *const *)t->keys, (const char *const *)t->uids, t->n_keys), on_released);
	else
		call_api(t, "DELETE", path, API_JSON, delete_options(&t->record), on_released);
	free(path);
}

static void release(struct allocation_writes *w, const struct record *r)
{
	struct task *t = task_new(w, r->meta.name);
	t->address = r->address;
	object_meta_copy(&t->record, &r->meta);
	t->asked = mem_zalloc((r->n_services + 1) * sizeof(char *));
	t->keys = mem_zalloc((r->n_services + 1) * sizeof(char *));
	t->uids = mem_zalloc((r->n_services + 1) * sizeof(char *));
	for (size_t i = 0; i < r->n_services; i++) {
		if (allocator_needs(w->config.allocator, r, i)) {
			t->keys[t->n_keys] = mem_strdup(r->services[i]);
			t->uids[t->n_keys++] = mem_strdup(r->service_uids[i]);
		} else {
			t->asked[t->n_asked++] = mem_strdup(r->services[i]);
		}
	}
	t->text = mem_strdup(t->n_asked ? t->asked[0] : "");
	ask_next_service(t);
}

/* ---- the step ---- */

/* A record that may be gone in a moment is no ground for a status. */
static bool being_released(const struct allocation_writes *w, const struct allocation *a)
{
	bool found = false;
	for (size_t i = 0; i < a->n; i++) {
		char *name = record_name(&a->addresses[i]);
		found |= is_busy(w, name);
		free(name);
	}
	return found;
}

static void start(struct allocation_writes *w, const struct allocation *a)
{
	/* Asked anew before each write: leadership may have ended while we thought. */
	if (!leadership_leading(w->config.leadership) || !is_clear(w, a->uid))
		return;
	switch (a->step) {
	case ALLOCATION_SETTLED:
		break;
	case ALLOCATION_CREATE:
		create_record(w, a);
		break;
	case ALLOCATION_JOIN:
		join_record(w, a);
		break;
	case ALLOCATION_STATUS:
		if (!being_released(w, a))
			write_status(w, a);
		break;
	}
}

static void drop_idle(struct allocation_writes *w)
{
	struct task *t, *tmp;
	if (HASH_COUNT(w->tasks) == w->busy)
		return;
	HASH_ITER(hh, w->tasks, t, tmp)
		if (!t->call && t->retry_at <= clock_now())
			task_free(t);
}

void allocation_writes_step(struct allocation_writes *w)
{
	const struct allocator *a = w->config.allocator;
	drop_idle(w);
	for (const struct allocation *o = allocator_next_open(a, NULL); o && w->busy < AT_ONCE; o = allocator_next_open(a, o))
		start(w, o);
	for (const struct record *r = allocator_next_release(a, NULL); r && w->busy < AT_ONCE; r = allocator_next_release(a, &r->address))
		if (leadership_leading(w->config.leadership) && is_clear(w, r->meta.name))
			release(w, r);
}

static void on_due(void *data)
{
	struct allocation_writes *w = data;
	w->config.on_news(w->config.data);
}

void allocation_writes_init(struct allocation_writes **wp, uv_loop_t *loop, const struct allocation_writes_config *config)
{
	struct allocation_writes *w = mem_zalloc(sizeof(*w));
	w->config = *config;
	deadline_init(&w->timer, loop, on_due, w);
	*wp = w;
}

size_t allocation_writes_pending(const struct allocation_writes *w)
{
	return HASH_COUNT(w->tasks);
}

static void on_timer_closed(void *data)
{
	free(data);
}

void allocation_writes_close(struct allocation_writes *w)
{
	struct task *t, *tmp;
	if (!w)
		return;
	HASH_ITER(hh, w->tasks, t, tmp)
		task_free(t);
	deadline_close(&w->timer, on_timer_closed);
}
