/* The allocator by itself, for the table in tests/allocation: one JSON command per line on stdin, one JSON answer per settle
 * on stdout. It keeps what the API server would have, delivers it through the real decoders, and does the writes that
 * allocation_writes.c does, each at once and without failure.
 *
 *   allocsim [LB_CLASS]
 *   {"put": OBJECT}       creates it, or merge-patches the one of that name
 *   {"delete": {"kind": KIND, "namespace": NS, "name": NAME}}
 *   {"restart": true}     a new process that lists what is there
 *   {"settle": true, "fixpoint": false}   writes until nothing is left to write, and shows what there is then; fixpoint: that the
 *                         same objects in another order, and a restart, write nothing (default: true)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"
#include "speaker/allocator.h"
#include "speaker/names.h"
#include "tests/sim/merge_patch.h"

#define NAMESPACE "metallb-system"
#define ROUNDS 200   /* more mean that it never comes to rest */

struct sim {
	json_t *objects;      /* what the server has: kind -> key -> object */
	json_t *said;         /* Service -> reason -> text: what is complained of now */
	json_t *events;       /* since the last settle */
	struct model model;
	struct allocator *allocator;
	const char *lb_class;
	unsigned version, serial;
	int writes;
	int64_t now;
	struct error broken;  /* the first promise that was broken; "" : none */
};

/* In the order of a cluster that is set up with care; the other order must do as well. */
static const char *const KINDS[] = {"Namespace", "IPAddressPool", "Lease", "Service"};
#define N_KINDS (sizeof(KINDS) / sizeof(KINDS[0]))

static void broken(struct sim *s, const char *what, const char *which)
{
	if (!*s->broken.text)
		error_set(&s->broken, 0, "%s: %s", which, what);
}

/* ---- the server ---- */

static json_t *metadata_of(const json_t *object)
{
	return json_object_get(object, "metadata");
}

static const char *text_of(const json_t *map, const char *field)
{
	const char *text = json_string_value(json_object_get(map, field));
	return text ? text : "";
}

static json_t *of_kind(const struct sim *s, const char *kind)
{
	return json_object_get(s->objects, kind);
}

static json_t *stamp(struct sim *s, const char *kind, json_t *object)
{
	json_t *meta = metadata_of(object);
	unsigned n = ++s->serial;
	json_object_set_new(meta, "uid", json_sprintf("%s-%u", kind, n));
	json_object_set_new(meta, "creationTimestamp", json_sprintf("2026-01-01T%02u:%02u:%02uZ", n / 3600 % 24, n / 60 % 60, n % 60));
	json_object_set_new(meta, "generation", json_integer(1));
	return object;
}

/* What the server does by itself to what is written. */
static void tidy(const char *kind, json_t *object, const json_t *old)
{
	json_t *meta = metadata_of(object);
	if (strcmp(kind, "Service") == 0 && strcmp(text_of(json_object_get(object, "spec"), "type"), "LoadBalancer") != 0)
		json_object_del(object, "status");
	if (old && !json_equal(json_object_get(object, "spec"), json_object_get(old, "spec")))
		json_object_set_new(meta, "generation", json_integer(json_integer_value(json_object_get(meta, "generation")) + 1));
}

/* The object as it is now: borrowed. NULL: nothing changed. */
static json_t *save(struct sim *s, const char *kind, const json_t *change)
{
	char *key = object_key(change);
	json_t *old = json_object_get(of_kind(s, kind), key), *now = json_deep_copy(old ? old : change);
	if (old)
		merge_patch(now, change);
	else
		stamp(s, kind, now);
	tidy(kind, now, old);
	if (old && json_equal(old, now)) {
		json_decref(now);
		now = NULL;
	} else {
		json_object_set_new(metadata_of(now), "resourceVersion", json_sprintf("%u", ++s->version));
		json_object_set_new(of_kind(s, kind), key, now);
	}
	free(key);
	return now;
}

/* ---- the watches: cluster.c ---- */

static void deliver_service(struct model *m, const json_t *object)
{
	struct service *service;
	if (service_decode(object, &service, NULL) < 0)
		return;
	if (service->load_balancer) {
		model_put_service(m, service);
		return;
	}
	model_drop_service(m, service->meta.key);   /* it leaves the watch's field selector */
	service_free(service);
}

static void deliver_pool(struct model *m, const json_t *object)
{
	struct pool *pool;
	struct error err;
	struct object_meta meta;
	if (pool_decode(object, &pool, &err) == 0) {
		model_put_pool(m, pool);
	} else if (object_meta_decode(object, &meta, NULL) == 0) {
		model_put_malformed_pool(m, &meta, err.text);
		object_meta_free(&meta);
	}
}

static void deliver_lease(struct model *m, const json_t *object)
{
	struct lease *lease;
	struct record *record;
	if (lease_decode(object, &lease, NULL) < 0)
		return;
	if (record_decode(lease, &record))
		model_put_record(m, record, true);
	lease_free(lease);
}

static void deliver(struct model *m, const char *kind, const json_t *object)
{
	struct object_meta meta;
	if (strcmp(kind, "Service") == 0)
		deliver_service(m, object);
	else if (strcmp(kind, "IPAddressPool") == 0)
		deliver_pool(m, object);
	else if (strcmp(kind, "Lease") == 0)
		deliver_lease(m, object);
	else if (object_meta_decode(object, &meta, NULL) == 0)
		model_put_namespace(m, &meta);
}

static void deliver_gone(struct model *m, const char *kind, const char *key)
{
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
	struct address a;
	if (strcmp(kind, "Service") == 0)
		model_drop_service(m, key);
	else if (strcmp(kind, "IPAddressPool") == 0)
		model_drop_pool(m, name);
	else if (strcmp(kind, "Lease") == 0 && record_address(name, &a))
		model_drop_record(m, &a);
	else if (strcmp(kind, "Namespace") == 0)
		model_drop_namespace(m, name);
}

/* All there is, as lists at the start of a process bring it, or the other way round. */
static void deliver_all(const struct sim *s, struct model *m, bool backwards)
{
	for (size_t k = 0; k < N_KINDS; k++) {
		const char *kind = KINDS[backwards ? N_KINDS - 1 - k : k], *key;
		size_t n = json_object_size(of_kind(s, kind));
		const json_t **list = mem_zalloc((n + 1) * sizeof(*list));
		json_t *object;
		size_t i = 0;
		json_object_foreach(of_kind(s, kind), key, object)
			list[i++] = object;
		for (i = 0; i < n; i++)
			deliver(m, kind, list[backwards ? n - 1 - i : i]);
		free(list);
	}
}

/* A write by anybody: saved, then told by the watch. */
static void put(struct sim *s, const char *kind, const json_t *change)
{
	const json_t *now = save(s, kind, change);
	if (now)
		deliver(&s->model, kind, now);
}

static void drop(struct sim *s, const char *kind, const char *key)
{
	json_t *object = json_object_get(of_kind(s, kind), key);
	if (object && json_array_size(json_object_get(metadata_of(object), "finalizers"))) {
		json_t *change = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "namespace", text_of(metadata_of(object), "namespace"),
					   "name", text_of(metadata_of(object), "name"), "deletionTimestamp", "2026-01-02T00:00:00Z");
		put(s, kind, change);
		json_decref(change);
	} else if (object) {
		json_object_del(of_kind(s, kind), key);
		deliver_gone(&s->model, kind, key);
	}
}

/* ---- what is said: controller_role.c ---- */

static void say(struct sim *s, const char *service, const char *reason, bool warning, const char *text)
{
	json_array_append_new(s->events, json_pack("{s:s, s:s, s:b, s:s}", "service", service, "reason", reason, "warning", warning, "text", text));
}

/* Once per reason, until its text changes or it ends. */
static void tell(struct sim *s, const struct allocation *a)
{
	json_t *before = json_object_get(s->said, a->service), *now = json_object();
	for (size_t i = 0; i < a->n_notices; i++) {
		const struct notice *n = &a->notices[i];
		if (strcmp(text_of(before, n->reason), n->text) != 0)
			say(s, a->service, n->reason, n->warning, n->text);
		if (strchr(n->text, '\n'))
			broken(s, "a notice of more than one line", a->service);
		json_object_set_new(now, n->reason, json_string(n->text));
	}
	json_object_set_new(s->said, a->service, now);
}

/* ---- the writes: allocation_writes.c ---- */

/* A patch of an object that is there, under uid and resourceVersion; the model gets the answer. */
static bool patch(struct sim *s, const char *kind, const char *name_space, const char *name, json_t *change)
{
	json_t *meta = metadata_of(change);
	char *key = mem_printf("%s/%s", name_space, name);
	const json_t *now = json_object_get(of_kind(s, kind), key), *have = metadata_of(now);
	bool same = now && strcmp(text_of(have, "uid"), text_of(meta, "uid")) == 0 && strcmp(text_of(have, "resourceVersion"), text_of(meta, "resourceVersion")) == 0;
	if (!same)
		broken(s, "written without knowing its newest version", key);
	json_object_set_new(meta, "namespace", json_string(name_space));
	json_object_set_new(meta, "name", json_string(name));
	if (same)
		put(s, kind, change);
	s->writes++;
	json_decref(change);
	free(key);
	return same;
}

static void create_record(struct sim *s, const struct allocation *a)
{
	json_t *body = record_create_body(&a->address, NAMESPACE, s->lb_class, a->service, a->uid, false);
	char *key = object_key(body);
	if (json_object_get(of_kind(s, "Lease"), key))
		broken(s, "a record is created that is there", key);
	else
		put(s, "Lease", body);
	s->writes++;
	free(key);
	json_decref(body);
}

static void join_record(struct sim *s, const struct allocation *a)
{
	const struct record *r = model_record(&s->model, &a->address);
	char *name = mem_strdup(r->meta.name);
	patch(s, "Lease", NAMESPACE, name, record_join_patch(r, a->service, a->uid));
	free(name);
}

/* Promise 1: an address is in two statuses only when its record names both. */
static void check_shared(struct sim *s, const struct address *ip)
{
	const struct service *const *users;
	const struct record *r = model_record(&s->model, ip);
	size_t n = model_ingress_users(&s->model, ip, &users);
	for (size_t i = 0; i < n && n > 1; i++)
		if (!r || !record_names(r, users[i]->meta.key, users[i]->meta.uid))
			broken(s, "shows an address that another one has", users[i]->meta.key);
}

static void write_status(struct sim *s, const struct allocation *a)
{
	const struct service *service = model_service(&s->model, a->service);
	char text[ADDRESS_TEXT], *ips = mem_strdup("");
	json_t *ingress = json_array();
	for (size_t i = 0; i < a->n; i++) {
		char *longer = mem_printf("%s%s%s", ips, i ? ", " : "", address_format(&a->addresses[i], text));
		free(ips);
		ips = longer;
		json_array_append_new(ingress, json_pack("{s:s}", "ip", text));
	}
	json_t *change = json_pack("{s:{s:s, s:s, s:{s:s?}}, s:{s:{s:o}}}", "metadata", "uid", service->meta.uid, "resourceVersion",
		service->meta.resource_version, "annotations", ANNOTATION_FROM_POOL, a->pool, "status", "loadBalancer", "ingress", ingress);
	char *ns = mem_strdup(service->meta.name_space), *name = mem_strdup(service->meta.name);
	allocator_writing(s->allocator, a->service, a->addresses, a->n);
	if (patch(s, "Service", ns, name, change) && a->n && !a->repair) {
		char *note = mem_printf("Assigned IP [\"%s\"]", ips);
		say(s, a->service, "IPAllocated", false, note);
		free(note);
	}
	for (size_t i = 0; i < a->n; i++)
		check_shared(s, &a->addresses[i]);
	allocator_writing(s->allocator, a->service, NULL, 0);
	free(ips);
	free(ns);
	free(name);
}

/* A Service that is no LoadBalancer any more keeps what we wrote beside its status until we remove it. */
static void remove_annotation(struct sim *s, const char *service)
{
	const json_t *meta = metadata_of(json_object_get(of_kind(s, "Service"), service));
	struct service *live;
	if (!meta || service_decode(json_object_get(of_kind(s, "Service"), service), &live, NULL) < 0)
		return;
	if (!live->load_balancer && !live->meta.deleting && labels_get(&live->meta.annotations, ANNOTATION_FROM_POOL))
		patch(s, "Service", live->meta.name_space, live->meta.name, json_pack("{s:{s:s, s:s, s:{s:n}}}", "metadata", "uid", live->meta.uid,
			"resourceVersion", live->meta.resource_version, "annotations", ANNOTATION_FROM_POOL));
	service_free(live);
}

/* Those who do not need it any more leave it; with the last one it goes. */
static bool release(struct sim *s, const struct record *r)
{
	const char **keys = mem_zalloc((r->n_services + 1) * sizeof(*keys)), **uids = mem_zalloc((r->n_services + 1) * sizeof(*uids));
	char *name = mem_strdup(r->meta.name), *key = mem_strdup(r->meta.key);
	size_t n = 0;
	for (size_t i = 0; i < r->n_services; i++) {
		if (!allocator_needs(s->allocator, r, i)) {
			remove_annotation(s, r->services[i]);
			continue;
		}
		keys[n] = r->services[i];
		uids[n++] = r->service_uids[i];
	}
	if (n) {
		patch(s, "Lease", NAMESPACE, name, record_services_patch(r, keys, uids, n));
	} else {
		s->writes++;
		drop(s, "Lease", key);
	}
	free(keys);
	free(uids);
	free(name);
	free(key);
	return true;
}

static bool act(struct sim *s)
{
	bool acted = false;
	for (const struct allocation *a = allocator_next_open(s->allocator, NULL); a; a = allocator_next_open(s->allocator, a), acted = true) {
		if (a->step == ALLOCATION_CREATE)
			create_record(s, a);
		else if (a->step == ALLOCATION_JOIN)
			join_record(s, a);
		else
			write_status(s, a);
	}
	/* One at a time: giving back changes the list. */
	const struct record *r = allocator_next_release(s->allocator, NULL);
	return r ? release(s, r) : acted;
}

static void plan(struct sim *s)
{
	const struct allocation *a;
	int64_t wake;
	allocator_plan(s->allocator, s->now, &wake);
	while ((a = allocator_next_news(s->allocator)))
		tell(s, a);
}

static void settle(struct sim *s)
{
	s->now += CLOCK_S;
	plan(s);
	for (int round = 0; act(s); round++) {
		if (round == ROUNDS) {
			broken(s, "it does not come to rest", "allocator");
			return;
		}
		plan(s);
	}
}

/* ---- the fixpoint ---- */

static void expect_rest(struct sim *s, struct allocator *a, const char *when)
{
	int64_t wake;
	allocator_plan(a, s->now, &wake);
	while (allocator_next_news(a))
		;
	const struct allocation *open = allocator_next_open(a, NULL);
	const struct record *surplus = allocator_next_release(a, NULL);
	if (open)
		broken(s, when, open->service);
	if (surplus)
		broken(s, when, surplus->meta.name);
}

static void check_fixpoint(struct sim *s)
{
	for (int backwards = 0; backwards < 2; backwards++) {
		struct model fresh;
		model_init(&fresh, s->lb_class, false);
		deliver_all(s, &fresh, backwards);
		struct allocator *a = allocator_new(&fresh, NULL);
		expect_rest(s, a, "a restart would write it again");
		allocator_free(a);
		model_free(&fresh);
	}
	deliver_all(s, &s->model, true);
	expect_rest(s, s->allocator, "the same objects again are no reason to write");
}

/* ---- commands ---- */

static void start(struct sim *s)
{
	model_init(&s->model, s->lb_class, false);
	deliver_all(s, &s->model, false);
	s->allocator = allocator_new(&s->model, NULL);
	s->said = json_object();
}

static void stop(struct sim *s)
{
	allocator_free(s->allocator);
	model_free(&s->model);
	json_decref(s->said);
}

static json_t *show_services(const struct sim *s)
{
	json_t *all = json_object(), *object, *entry;
	const char *key;
	size_t i;
	json_object_foreach(of_kind(s, "Service"), key, object) {
		json_t *ingress = json_object_get(json_object_get(json_object_get(object, "status"), "loadBalancer"), "ingress"), *ips = json_array();
		json_array_foreach(ingress, i, entry)
			json_array_append(ips, json_object_get(entry, json_object_get(entry, "ip") ? "ip" : "hostname"));
		const struct service *known = model_service(&s->model, key);
		json_object_set_new(all, key, json_pack("{s:o, s:b, s:O?}", "ips", ips, "ours", known && model_is_ours(&s->model, known), "pool",
			json_object_get(json_object_get(metadata_of(object), "annotations"), ANNOTATION_FROM_POOL)));
	}
	return all;
}

static json_t *show_records(const struct sim *s)
{
	json_t *all = json_object(), *object;
	const char *key;
	char text[ADDRESS_TEXT];
	struct address a;
	json_object_foreach(of_kind(s, "Lease"), key, object)
		if (record_address(text_of(metadata_of(object), "name"), &a))
			json_object_set_new(all, address_format(&a, text), json_string(text_of(json_object_get(metadata_of(object), "annotations"), RECORD_SERVICES)));
	return all;
}

static int64_t left(const struct pool *p, enum address_family family, int64_t used)
{
	int64_t size = pool_size(p, family);
	return size == INT64_MAX ? size : size > used ? size - used : 0;
}

/* In use: [assignedIPv4, availableIPv4, assignedIPv6, availableIPv6], as pool_status.c writes them. Otherwise: why not. */
static void show_pools(const struct sim *s, json_t *pools, json_t *problems)
{
	for (size_t i = 0; i < s->model.pools.n; i++) {
		const struct pool_entry *e = &s->model.pools.entries[i];
		if (e->pool) {
			int64_t v4 = allocator_in_use(s->allocator, e->meta.name, ADDRESS_V4), v6 = allocator_in_use(s->allocator, e->meta.name, ADDRESS_V6);
			json_object_set_new(pools, e->meta.name, json_pack("[I, I, I, I]", (json_int_t)v4, (json_int_t)left(e->pool, ADDRESS_V4, v4),
				(json_int_t)v6, (json_int_t)left(e->pool, ADDRESS_V6, v6)));
		}
		if (e->problem)
			json_object_set_new(problems, e->meta.name, json_string(e->problem));
	}
}

static void show(struct sim *s)
{
	json_t *pools = json_object(), *problems = json_object();
	show_pools(s, pools, problems);
	json_t *line = json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:I, s:s}", "services", show_services(s), "events", s->events, "records", show_records(s),
		"pools", pools, "problems", problems, "writes", s->writes, "waiting", (json_int_t)allocator_waiting(s->allocator), "broken", s->broken.text);
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
	s->events = json_array();
	s->writes = 0;
}

static void obey(struct sim *s, const json_t *command)
{
	const json_t *object = json_object_get(command, "put"), *gone = json_object_get(command, "delete");
	if (object) {
		put(s, text_of(object, "kind"), object);
	} else if (gone) {
		json_t *named = json_pack("{s:O}", "metadata", gone);
		char *key = object_key(named);
		drop(s, text_of(gone, "kind"), key);
		free(key);
		json_decref(named);
	} else if (json_object_get(command, "restart")) {
		stop(s);
		start(s);
	} else if (json_object_get(command, "settle")) {
		settle(s);
		if (!json_is_false(json_object_get(command, "fixpoint")) && !*s->broken.text)
			check_fixpoint(s);
		show(s);
	}
}

int main(int argc, char **argv)
{
	struct sim s = {.objects = json_object(), .events = json_array(), .lb_class = argc > 1 ? argv[1] : ""};
	char *line = NULL;
	size_t size = 0;
	int code = 0;
	for (size_t k = 0; k < N_KINDS; k++)
		json_object_set_new(s.objects, KINDS[k], json_object());
	start(&s);
	while (code == 0 && getline(&line, &size, stdin) > 0) {
		json_error_t at;
		json_t *command = json_loads(line, 0, &at);
		if (!command) {
			fprintf(stderr, "allocsim: %s: %s", at.text, line);
			code = 2;
			break;
		}
		obey(&s, command);
		json_decref(command);
	}
	stop(&s);
	json_decref(s.events);
	json_decref(s.objects);
	free(line);
	return code;
}
