#include "speaker/controller_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "k8sclient/event.h"
#include "speaker/allocator.h"
#include "speaker/names.h"

#define RETRY CLOCK_S   /* after a write that failed for another reason than a conflict */

/* One write under way, for a Service (by uid) or a record (by Lease name). */
struct task {
	char *key;
	struct controller_role *role;
	struct api_call *call;          /* NULL: waiting for retry_at */
	int64_t retry_at;
	struct address address;         /* of the record concerned */
	char *service_key, *service_uid;
	char *text;                     /* addresses, for the log */
	char *pool;
	struct object_meta record;      /* REMOVE: the very version that is to go */
	char **asked;                   /* REMOVE: Services still to be looked at */
	size_t n_asked;
	UT_hash_handle hh;
};

struct complaint {   /* what was last said about a Service */
	char *uid;
	char *text;
	bool seen;
	UT_hash_handle hh;
};

struct controller_role {
	struct turn *turn;
	struct cluster *cluster;
	struct leadership *leadership;
	struct events *events;
	struct allocator *allocator;
	struct task *tasks;
	struct complaint *complaints;
	struct deadline timer;
	unsigned seen_revision;
	bool again, was_leading;
};

static struct model *model_of(const struct controller_role *role)
{
	return cluster_model(role->cluster);
}

/* ---- tasks ---- */

static struct task *task_find(struct controller_role *role, const char *key)
{
	struct task *t;
	HASH_FIND_STR(role->tasks, key, t);
	return t;
}

static struct task *task_new(struct controller_role *role, const char *key)
{
	struct task *t = mem_zalloc(sizeof(*t));
	t->key = mem_strdup(key);
	t->role = role;
	HASH_ADD_KEYPTR(hh, role->tasks, t->key, strlen(t->key), t);
	return t;
}

static void task_free(struct task *t)
{
	HASH_DEL(t->role->tasks, t);
	api_cancel(t->call);
	free(t->key);
	free(t->service_key);
	free(t->service_uid);
	free(t->text);
	free(t->pool);
	object_meta_free(&t->record);
	strings_free(t->asked, t->n_asked);
	free(t);
}

static void task_retry(struct task *t, int64_t wait)
{
	t->call = NULL;
	t->retry_at = clock_now() + wait;
	deadline_set(&t->role->timer, clock_min(t->role->timer.at, t->retry_at));
}

static bool is_busy(const struct controller_role *role, const char *key)
{
	struct task *t;
	HASH_FIND_STR(role->tasks, key, t);
	return t && t->call;
}

static void look_again(struct controller_role *role)
{
	role->again = true;
	turn_again(role->turn);
}

static void call_api(struct task *t, const char *method, const char *path, const char *type, json_t *body,
		     void (*on_result)(void *data, const struct api_result *))
{
	struct api_request request = {.method = method, .path = path, .content_type = type, .body = body, .on_result = on_result, .data = t};
	t->call = api_send(cluster_api(t->role->cluster), &request);
	json_decref(body);
}

static char *lease_path(const struct controller_role *role, const char *name)
{
	return mem_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", cluster_namespace(role->cluster), name ? "/" : "", name ? name : "");
}

static char *service_path(const char *key, const char *subresource)
{
	const char *slash = strchr(key, '/');
	return mem_printf("/api/v1/namespaces/%.*s/services/%s%s", (int)(slash - key), key, slash + 1, subresource);
}

/* A write failed: 409 means that our view is old, and the watch or a look brings the new one; anything else is said. */
static void write_failed(struct task *t, const char *event, const struct api_result *result)
{
	if (result->status != 409)
		log_warn(event, KV("service", t->service_key ? t->service_key : t->key), "%s", result->message);
	task_retry(t, result->status == 409 ? 50 * CLOCK_MS : RETRY);
}

/* ---- records: create, adopt ---- */

static void on_looked(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct controller_role *role = t->role;
	t->call = NULL;
	if (api_succeeded(result))
		cluster_take_lease(role->cluster, result->body);
	else if (result->status == 404 && t->record.uid)
		model_drop_record_object(model_of(role), &t->address, t->record.uid);
	allocator_created(role->allocator, &t->address);
	task_free(t);
	look_again(role);
}

static void look_at_record(struct task *t)
{
	const struct record *known = model_record(model_of(t->role), &t->address);
	char *name = record_name(&t->address), *path = lease_path(t->role, name);
	mem_replace(&t->record.uid, known ? known->meta.uid : NULL);   /* if it is gone, this one is */
	call_api(t, "GET", path, NULL, NULL, on_looked);
	free(path);
	free(name);
}

static void on_record_written(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct controller_role *role = t->role;
	t->call = NULL;
	if (api_succeeded(result)) {
		cluster_take_lease(role->cluster, result->body);
		allocator_created(role->allocator, &t->address);
		task_free(t);
		look_again(role);
	} else if (result->status == 409 || result->status == 0) {
		look_at_record(t);   /* somebody else has it, or our own write got through and its answer did not */
	} else {
		allocator_created(role->allocator, &t->address);
		write_failed(t, "recordFailed", result);
	}
}

static void create_record(struct controller_role *role, const struct allocation *a)
{
	const struct service *s = a->service;
	struct task *t = task_new(role, s->meta.uid);
	char *path = lease_path(role, NULL);
	t->address = a->address;
	t->service_key = mem_strdup(s->meta.key);
	call_api(t, "POST", path, API_JSON,
		 record_create_body(&a->address, cluster_namespace(role->cluster), model_of(role)->lb_class, s->meta.key, s->meta.uid), on_record_written);
	free(path);
}

static void adopt_record(struct controller_role *role, const struct allocation *a)
{
	const struct service *s = a->service;
	const struct record *r = model_record(model_of(role), &a->address);
	struct task *t = task_new(role, s->meta.uid);
	char *path = lease_path(role, r->meta.name);
	t->address = a->address;
	t->service_key = mem_strdup(s->meta.key);
	call_api(t, "PATCH", path, API_MERGE_PATCH,
		 record_services_patch(r, (const char *const[]){s->meta.key}, (const char *const[]){s->meta.uid}, 1), on_record_written);
	free(path);
}

/* ---- the Service's status ---- */

static void emit(struct controller_role *role, const struct service *s, bool warning, const char *reason, const char *note)
{
	struct event e = {.kind = "Service", .api_version = "v1", .object = &s->meta, .warning = warning, .reason = reason, .action = "Allocate", .note = note};
	events_emit(role->events, &e);
}

static void on_status_written(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct controller_role *role = t->role;
	t->call = NULL;
	if (!api_succeeded(result)) {
		if (result->status == 404) {   /* gone meanwhile; the watch says so too */
			task_free(t);
			look_again(role);
			return;
		}
		write_failed(t, "statusFailed", result);
		return;
	}
	const struct service *s = model_service(model_of(role), t->service_key);
	if (s && strcmp(s->meta.uid, t->key) == 0) {   /* else the watch has shown meanwhile that it is gone */
		cluster_take_service(role->cluster, result->body);
		s = model_service(model_of(role), t->service_key);
	}
	if (*t->text) {
		char note[200];
		log_info("ipAllocated", KV("service", t->service_key, "ip", t->text, "pool", t->pool), "Service %s: assigned %s from pool %s", t->service_key, t->text, t->pool);
		snprintf(note, sizeof(note), "Assigned IP [\"%s\"]", t->text);
		if (s)
			emit(role, s, false, "IPAllocated", note);
	} else {
		log_info("clearAssignment", KV("service", t->service_key), "Service %s: its addresses were taken back", t->service_key);
	}
	task_free(t);
	look_again(role);
}

static char *addresses_text(const struct allocation *a)
{
	char one[ADDRESS_TEXT];
	char *text = mem_strdup("");
	for (size_t i = 0; i < a->n; i++) {
		char *longer = mem_printf("%s%s%s", text, i ? "\",\"" : "", address_format(&a->addresses[i], one));
		free(text);
		text = longer;
	}
	return text;
}

static void write_status(struct controller_role *role, const struct allocation *a)
{
	const struct service *s = a->service;
	struct task *t = task_new(role, s->meta.uid);
	json_t *ingress = json_array();
	char text[ADDRESS_TEXT];
	for (size_t i = 0; i < a->n; i++)   /* only "ip": the server adds ipMode itself */
		json_array_append_new(ingress, json_pack("{s:s}", "ip", address_format(&a->addresses[i], text)));
	json_t *patch = json_pack("{s:{s:s, s:s, s:{s:s?}}, s:{s:{s:o}}}", "metadata", "uid", s->meta.uid, "resourceVersion", s->meta.resource_version,
		"annotations", ANNOTATION_FROM_POOL, a->pool ? a->pool->meta.name : NULL, "status", "loadBalancer", "ingress", ingress);
	char *path = service_path(s->meta.key, "/status");
	t->service_key = mem_strdup(s->meta.key);
	t->text = addresses_text(a);
	t->pool = mem_strdup(a->pool ? a->pool->meta.name : "");
	call_api(t, "PATCH", path, API_MERGE_PATCH, patch, on_status_written);
	free(path);
}

/* ---- records that nobody needs ---- */

static void ask_next_service(struct task *t);

static void on_record_deleted(void *data, const struct api_result *result)
{
	struct task *t = data;
	struct controller_role *role = t->role;
	char text[ADDRESS_TEXT];
	t->call = NULL;
	if (api_succeeded(result) || result->status == 404) {
		log_info("ipReleased", KV("ip", address_format(&t->address, text), "service", t->text), "%s: free again; no Service uses it", text);
		model_drop_record_object(model_of(role), &t->address, t->record.uid);
		task_free(t);
		look_again(role);
	} else if (result->status == 409 || result->status == 0) {
		look_at_record(t);
	} else {
		write_failed(t, "recordFailed", result);
	}
}

static bool still_needs(const struct controller_role *role, const struct task *t, const json_t *object)
{
	struct service *live;
	if (service_decode(object, &live, NULL) < 0)
		return true;
	const struct service *known = model_service(model_of(role), live->meta.key);
	/* Its own view may be older than what another controller acted on: only a Service that is just as we know it, or
	 * is not ours any more, lets go of its address. */
	bool ours = model_is_ours(model_of(role), live);
	bool same = known && strcmp(known->meta.uid, live->meta.uid) == 0 && strcmp(known->meta.resource_version, live->meta.resource_version) == 0;
	bool writing = known && is_busy(role, known->meta.uid);   /* its status may be about to show the address */
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
static void remove_annotation(struct controller_role *role, const json_t *object)
{
	struct service *live;
	if (service_decode(object, &live, NULL) < 0)
		return;
	if (!live->load_balancer && !live->meta.deleting && labels_get(&live->meta.annotations, ANNOTATION_FROM_POOL)) {
		json_t *patch = json_pack("{s:{s:s, s:s, s:{s:n}}}", "metadata", "uid", live->meta.uid, "resourceVersion",
					  live->meta.resource_version, "annotations", ANNOTATION_FROM_POOL);
		char *path = service_path(live->meta.key, "/status");
		struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch,
					      .on_result = on_annotation_removed, .data = role};
		api_send(cluster_api(role->cluster), &request);
		json_decref(patch);
		free(path);
	}
	service_free(live);
}

/* The cache may be old: before an address is given back the Services that its record names are read from the server. */
static void on_service_read(void *data, const struct api_result *result)
{
	struct task *t = data;
	t->call = NULL;
	if (result->status != 404 && !(api_succeeded(result) && !still_needs(t->role, t, result->body))) {
		task_retry(t, RETRY);
		look_again(t->role);   /* a status may have waited for this */
		return;
	}
	if (api_succeeded(result))
		remove_annotation(t->role, result->body);
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
	if (!leadership_leading(t->role->leadership)) {
		task_retry(t, RETRY);
		return;
	}
	char *path = lease_path(t->role, t->record.name);
	call_api(t, "DELETE", path, API_JSON, delete_options(&t->record), on_record_deleted);
	free(path);
}

static void remove_record(struct controller_role *role, const struct record *r)
{
	struct task *t = task_new(role, r->meta.name);
	t->address = r->address;
	t->text = mem_strdup(r->n_services ? r->services[0] : "");
	t->record = (struct object_meta){.name = mem_strdup(r->meta.name), .key = mem_strdup(r->meta.key), .uid = mem_strdup(r->meta.uid),
					 .resource_version = mem_strdup(r->meta.resource_version)};
	t->n_asked = r->n_services;
	t->asked = mem_zalloc((r->n_services + 1) * sizeof(char *));
	for (size_t i = 0; i < r->n_services; i++)
		t->asked[i] = mem_strdup(r->services[i]);
	ask_next_service(t);
}

/* ---- saying what is wrong ---- */

static void complaint_free(struct controller_role *role, struct complaint *c)
{
	HASH_DEL(role->complaints, c);
	free(c->uid);
	free(c->text);
	free(c);
}

/* Once per Service and text, until it changes. */
static void complain(struct controller_role *role, const struct service *s, const char *event, const char *reason, const char *pool, const char *text)
{
	struct complaint *c;
	char *key = mem_printf("%s %s", s->meta.uid, reason);
	HASH_FIND_STR(role->complaints, key, c);
	if (c) {
		free(key);
	} else {
		c = mem_zalloc(sizeof(*c));
		c->uid = key;
		HASH_ADD_KEYPTR(hh, role->complaints, c->uid, strlen(c->uid), c);
	}
	c->seen = true;
	if (c->text && strcmp(c->text, text) == 0)
		return;
	mem_replace(&c->text, text);
	log_warn(event, KV("service", s->meta.key, "reason", reason, "pool", pool), "%s", text);
	emit(role, s, true, reason, text);
}

static bool advertised(const struct model *m, const struct pool *pool, const struct service *s)
{
	for (size_t i = 0; i < m->n_advertisements; i++)
		if (advertisement_selects_pool(m->advertisements[i], pool) && (!s || advertisement_selects_service(m->advertisements[i], &s->meta.labels)))
			return true;
	return false;
}

/* MetalLB hands out such addresses silently, and people lose an evening (home-network.md). */
static void check_advertised(struct controller_role *role, const struct allocation *a)
{
	const struct model *m = model_of(role);
	char *text;
	if (!a->pool || !a->n || !m->advertisements_synced || advertised(m, a->pool, a->service))
		return;
	text = mem_printf("Service %s: nobody will answer for its address: no L2Advertisement selects pool %s; create one (an empty spec selects all pools)",
			  a->service->meta.key, a->pool->meta.name);
	complain(role, a->service, "notAnnounced", "noMatchingAdvertisement", a->pool->meta.name, text);
	struct event e = {.kind = "IPAddressPool", .api_version = "metallb.io/v1beta1", .object = &a->pool->meta, .warning = true,
			  .reason = "noMatchingAdvertisement", .action = "Announce"};
	char *note = mem_printf("IPAddressPool %s: no L2Advertisement selects it; its addresses are handed out but nobody answers for them; create one (an empty spec selects all pools)",
				a->pool->meta.name);
	e.note = note;
	events_emit(role->events, &e);
	free(note);
	free(text);
}

static void forget_settled(struct controller_role *role)
{
	struct complaint *c, *tmp;
	HASH_ITER(hh, role->complaints, c, tmp) {
		bool seen = c->seen;
		c->seen = false;
		if (seen)
			continue;
		char *space = strchr(c->uid, ' ');
		*space = '\0';
		events_forget(role->events, c->uid, space + 1);
		*space = ' ';
		complaint_free(role, c);
	}
}

static void report_problems(struct controller_role *role)
{
	const struct cluster_problem *p;
	struct model *m = model_of(role);
	while ((p = cluster_next_problem(role->cluster))) {
		struct event e = {.kind = p->kind, .api_version = p->api_version, .object = &p->meta, .warning = true, .reason = "InvalidConfiguration",
				  .action = "Configure", .note = p->text};
		events_emit(role->events, &e);
	}
	for (size_t i = 0; i < m->n_pools; i++) {
		if (!m->pools[i].refused)
			continue;
		struct event e = {.kind = "IPAddressPool", .api_version = "metallb.io/v1beta1", .object = &m->pools[i].pool->meta, .warning = true,
				  .reason = "InvalidConfiguration", .action = "Configure", .note = m->pools[i].refused};
		events_emit(role->events, &e);
	}
}

/* ---- the step ---- */

/* A record that may be gone in a moment is no ground for a status. */
static bool being_removed(const struct controller_role *role, const struct allocation *a)
{
	bool found = false;
	for (size_t i = 0; i < a->n; i++) {
		char *name = record_name(&a->addresses[i]);
		found |= is_busy(role, name);
		free(name);
	}
	return found;
}

static void act_on(struct controller_role *role, const struct allocation *a)
{
	if (a->reason)
		complain(role, a->service, strcmp(a->reason, "ClearAssignment") == 0 ? "clearAssignment" : "allocationFailed", a->reason,
			 a->pool ? a->pool->meta.name : NULL, a->text);
	check_advertised(role, a);
	struct task *t = task_find(role, a->service->meta.uid);
	if (t && (t->call || t->retry_at > clock_now()))
		return;
	if (t)
		task_free(t);
	/* Asked anew before each write: leadership may have ended while we thought. */
	if (a->step != ALLOCATION_SETTLED && !leadership_leading(role->leadership))
		return;
	switch (a->step) {
	case ALLOCATION_SETTLED:
		break;
	case ALLOCATION_CREATE:
		create_record(role, a);
		break;
	case ALLOCATION_ADOPT:
		adopt_record(role, a);
		break;
	case ALLOCATION_STATUS:
		if (!being_removed(role, a))
			write_status(role, a);
		break;
	}
}

static void remove_surplus(struct controller_role *role)
{
	const struct record **records;
	size_t n = allocator_surplus(role->allocator, model_of(role), &records);
	for (size_t i = 0; i < n && leadership_leading(role->leadership); i++) {
		struct task *t = task_find(role, records[i]->meta.name);
		if (t && (t->call || t->retry_at > clock_now()))
			continue;
		if (t)
			task_free(t);
		remove_record(role, records[i]);
	}
}

/* Tasks whose Service or record is gone or settled. */
static void drop_idle_tasks(struct controller_role *role)
{
	struct task *t, *tmp;
	HASH_ITER(hh, role->tasks, t, tmp)
		if (!t->call && t->retry_at <= clock_now())
			task_free(t);
}

void controller_role_step(void *data)
{
	struct controller_role *role = data;
	const struct allocation *plan;
	struct model *m = model_of(role);
	bool leading = leadership_leading(role->leadership);
	bool news = role->again || m->revision != role->seen_revision || leading != role->was_leading;
	if (!news || !leading || !cluster_synced(role->cluster)) {
		role->was_leading = leading && role->was_leading;
		return;
	}
	role->again = false;
	role->was_leading = true;
	role->seen_revision = m->revision;
	report_problems(role);
	size_t n = allocator_plan(role->allocator, m, &plan);
	for (size_t i = 0; i < n; i++)
		act_on(role, &plan[i]);
	remove_surplus(role);
	forget_settled(role);
	drop_idle_tasks(role);
}

static void on_due(void *data)
{
	look_again(data);
}

void controller_role_init(struct controller_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster,
			  struct leadership *leadership, const char *identity)
{
	struct controller_role *role = mem_zalloc(sizeof(*role));
	role->turn = turn;
	role->cluster = cluster;
	role->leadership = leadership;
	role->allocator = allocator_new();
	role->again = true;
	events_init(&role->events, cluster_api(cluster), "metallb-controller", identity);
	deadline_init(&role->timer, loop, on_due, role);
	*rolep = role;
}

static void on_timer_closed(void *data)
{
	free(data);
}

void controller_role_close(struct controller_role *role)
{
	struct task *t, *t_next;
	struct complaint *c, *c_next;
	if (!role)
		return;
	HASH_ITER(hh, role->tasks, t, t_next)
		task_free(t);
	HASH_ITER(hh, role->complaints, c, c_next)
		complaint_free(role, c);
	allocator_free(role->allocator);
	events_close(role->events);
	deadline_close(&role->timer, on_timer_closed);
}
