/* speaker/cluster.h on the simulated API server: one list and one watch per resource, each with a delay of its own, resumed
 * after an outage or listed anew after a 410. What it puts into the model is what the real one does. */
#include "speaker/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/names.h"
#include "tests/sim/process.h"
#include "tests/sim/server.h"

#define RETRY_FIRST (400 * CLOCK_MS)
#define RETRY_MAX (10 * CLOCK_S)
#define CONNECT_TIMEOUT (5 * CLOCK_S)

enum resource { SERVICES, SLICES, NODES_, NAMESPACES, LEASES, POOLS, ADVERTISEMENTS, RESOURCES };

static const struct {
	const char *part, *path;
} PATHS[RESOURCES] = {
	{"/services", "/api/v1/services?fieldSelector=spec.type%3DLoadBalancer"},
	{"/endpointslices", "/apis/discovery.k8s.io/v1/endpointslices"},
	{"/nodes", "/api/v1/nodes"},
	{"/namespaces", "/api/v1/namespaces"},
	{"/leases", "/apis/coordination.k8s.io/v1/namespaces/" DEFAULT_NAMESPACE "/leases?labelSelector=l2lb.io%2Fclass"},
	{"/ipaddresspools", "/apis/metallb.io/v1beta1/namespaces/" DEFAULT_NAMESPACE "/ipaddresspools"},
	{"/l2advertisements", "/apis/metallb.io/v1beta1/namespaces/" DEFAULT_NAMESPACE "/l2advertisements"},
};

struct watch {
	bool used, listed, waiting, trouble, planned;   /* waiting: until it tries again */
	uint64_t version;
	json_t *known;          /* keys that were delivered and not gone since */
	unsigned failures;
	int64_t again_at;
};

struct cluster {
	struct process *process;
	struct api *api;
	struct leadership *leadership;
	char *name_space;
	struct model model;
	struct watch watches[RESOURCES];
	bool leader_seen;
	int64_t answers_since;
};

/* ---- objects ---- */

void cluster_take_pool(struct cluster *c, const json_t *object)
{
	struct pool *pool;
	struct error err;
	const json_t *status = json_object_get(object, "status");
	struct pool_counters shown = {.known = json_object_get(status, "assignedIPv4") != NULL,
				      .assigned_v4 = json_integer_value(json_object_get(status, "assignedIPv4")),
				      .assigned_v6 = json_integer_value(json_object_get(status, "assignedIPv6")),
				      .available_v4 = json_integer_value(json_object_get(status, "availableIPv4")),
				      .available_v6 = json_integer_value(json_object_get(status, "availableIPv6"))};
	if (pool_decode(object, &pool, &err) < 0) {
		world_wrong("object", "%s", err.text);
		return;
	}
	model_put_pool(&c->model, pool);
	pool_table_put_counters(&c->model.pools, json_string_value(json_object_get(json_object_get(object, "metadata"), "name")), &shown);
	c->model.revision++;
}

void cluster_take_service(struct cluster *c, const json_t *object)
{
	struct service *s;
	if (service_decode(object, &s, NULL) == 0)
		model_put_service(&c->model, s);
}

static bool is_leader_lease(const struct cluster *c, const char *name)
{
	return c->leadership && name && strcmp(name, leadership_lease(c->leadership)) == 0;
}

static void put_lease(struct cluster *c, const json_t *object, bool confirmed)
{
	struct lease *lease;
	struct record *record;
	struct node_record *node_record;
	struct foreign_record *foreign;
	struct address a;
	struct error err;
	if (lease_decode(object, &lease, &err) < 0)
		return;
	if (is_leader_lease(c, lease->meta.name)) {
		c->leader_seen = true;
		leadership_observe(c->leadership, object);
	} else if (record_decode(lease, &record)) {
		model_put_record(&c->model, record, confirmed);
	} else if (foreign_record_address(lease->meta.name, &a)) {
		if (confirmed && foreign_record_decode(lease, &foreign, &err) == 0)
			model_put_foreign(&c->model, foreign);
	} else if (strncmp(lease->meta.name, "node-", 5) == 0 && node_record_decode(lease, &node_record, &err) == 0) {
		model_put_node_record(&c->model, node_record, confirmed);
	}
	lease_free(lease);
}

static void on_object(struct cluster *c, enum resource resource, const json_t *object)
{
	struct advertisement *ad;
	struct endpoint_slice *slice;
	struct node *node;
	struct object_meta meta;
	switch (resource) {
	case SERVICES:
		cluster_take_service(c, object);
		break;
	case SLICES:
		if (endpoint_slice_decode(object, &slice, NULL) == 0)
			model_put_slice(&c->model, slice);
		break;
	case NODES_:
		if (node_decode(object, &node, NULL) == 0)
			model_put_node(&c->model, node);
		break;
	case NAMESPACES:
		if (object_meta_decode(object, &meta, NULL) == 0)
			model_put_namespace(&c->model, &meta);
		break;
	case LEASES:
		put_lease(c, object, true);
		break;
	case POOLS:
		cluster_take_pool(c, object);
		break;
	case ADVERTISEMENTS:
		if (advertisement_decode(object, &ad, NULL) == 0)
			model_put_advertisement(&c->model, ad);
		break;
	case RESOURCES:
		break;
	}
}

static void drop_lease(struct cluster *c, const char *name)
{
	struct address a;
	if (is_leader_lease(c, name))
		leadership_observe(c->leadership, NULL);
	else if (record_address(name, &a))
		model_drop_record(&c->model, &a);
	else if (foreign_record_address(name, &a))
		model_drop_foreign(&c->model, &a);
	else
		model_drop_node_record(&c->model, name);
}

static void on_gone(struct cluster *c, enum resource resource, const char *key)
{
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
	switch (resource) {
	case SERVICES:
		model_drop_service(&c->model, key);
		break;
	case SLICES:
		model_drop_slice(&c->model, key);
		break;
	case NODES_:
		model_drop_node(&c->model, name);
		break;
	case NAMESPACES:
		model_drop_namespace(&c->model, name);
		break;
	case LEASES:
		drop_lease(c, name);
		break;
	case POOLS:
		model_drop_pool(&c->model, name);
		break;
	case ADVERTISEMENTS:
		model_drop_advertisement(&c->model, name);
		break;
	case RESOURCES:
		break;
	}
}

/* ---- one watch ---- */

static void on_turn(void *data, uint64_t arg);

static void plan(struct cluster *c, enum resource resource, int64_t at)
{
	struct host *h = c->process->host;
	struct watch *w = &c->watches[resource];
	w->planned = true;
	w->again_at = at;
	world_at(at, on_turn, h, (uint64_t)h->incarnation << 8 | resource);
}

static void note_answers(struct cluster *c)
{
	bool any = false;
	for (int i = 0; i < RESOURCES; i++)
		any |= c->watches[i].trouble;
	if (any)
		c->answers_since = CLOCK_NEVER;
	else if (c->answers_since == CLOCK_NEVER)
		c->answers_since = clock_now();
	c->model.revision++;
	c->process->again = true;
}

static void hurry_all(struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].waiting && c->watches[i].again_at > world.now)
			plan(c, (enum resource)i, world.now);
}

static void set_trouble(struct cluster *c, struct watch *w, bool trouble)
{
	if (w->trouble == trouble)
		return;
	w->trouble = trouble;
	if (!trouble)
		hurry_all(c);
	note_answers(c);
}

static void broken(struct cluster *c, enum resource resource, int64_t after)
{
	struct watch *w = &c->watches[resource];
	int64_t wait = RETRY_FIRST << (w->failures < 6 ? w->failures : 6);
	wait = wait > RETRY_MAX ? RETRY_MAX : wait;
	w->failures++;
	w->waiting = true;
	plan(c, resource, world.now + after + wait / 2 + chance_between(&world.chance, 0, wait / 2));
	set_trouble(c, w, true);
}

static void set_synced(struct cluster *c, enum resource resource)
{
	struct model *m = &c->model;
	bool *const synced[RESOURCES] = {&m->services_synced, &m->slices_synced, &m->nodes_synced, &m->namespaces_synced, &m->records_synced,
					 &m->pools_synced, &m->advertisements_synced};
	*synced[resource] = true;
	if (resource == LEASES) {
		model_drop_unconfirmed(m);
		if (c->leadership && !c->leader_seen)
			leadership_observe(c->leadership, NULL);
		c->leader_seen = false;
	}
	note_answers(c);
}

/* A list may come from a cache that lags behind, even behind what this node had seen before it was started anew. */
static void list(struct cluster *c, enum resource resource)
{
	struct watch *w = &c->watches[resource];
	json_t *reply, *before = w->known, *item;
	size_t i;
	const char *key;
	json_t *ignored;
	uint64_t version = server_version_at(chance_between(&world.chance, 0, world.watch_max));
	if (simapi_read_at(server_store(), PATHS[resource].path, version, &reply) != 200) {
		json_decref(reply);
		simapi_request(server_store(), "GET", PATHS[resource].path, NULL, NULL, &reply);
	}
	w->known = json_object();
	json_array_foreach(json_object_get(reply, "items"), i, item) {
		char *name = object_key(item);
		json_object_set_new(w->known, name, json_true());
		free(name);
		on_object(c, resource, item);
	}
	json_object_foreach(before, key, ignored)
		if (!json_object_get(w->known, key))
			on_gone(c, resource, key);
	w->version = strtoull(json_string_value(json_object_get(json_object_get(reply, "metadata"), "resourceVersion")), NULL, 10);
	w->listed = true;
	json_decref(before);
	json_decref(reply);
	set_synced(c, resource);
	if (version != simapi_version(server_store()))   /* the watch tells what the list did not know */
		plan(c, resource, world.now + chance_between(&world.chance, world.watch_min, world.watch_max));
}

static void take_events(struct cluster *c, enum resource resource, const json_t *events)
{
	struct watch *w = &c->watches[resource];
	json_t *event;
	size_t i;
	json_array_foreach(events, i, event) {
		json_t *object = json_object_get(event, "object");
		char *key = object_key(object);
		if (strcmp(json_string_value(json_object_get(event, "type")), "DELETED") == 0) {
			json_object_del(w->known, key);
			on_gone(c, resource, key);
		} else {
			json_object_set_new(w->known, key, json_true());
			on_object(c, resource, object);
		}
		free(key);
	}
}

static void read_watch(struct cluster *c, enum resource resource, bool resumed)
{
	struct watch *w = &c->watches[resource];
	json_t *events = NULL;
	int status = (resumed ? simapi_watch : simapi_watch_on)(server_store(), PATHS[resource].path, w->version, 1000, &events, &w->version);
	if (status == 200)
		take_events(c, resource, events);
	json_decref(events);
	if (status == 410)
		list(c, resource);
}

static void attend(void *data, uint64_t resource)
{
	struct process *p = data;
	if (!p)
		return;
	struct cluster *c = p->cluster;
	struct watch *w = &c->watches[resource];
	bool resumed = w->waiting;
	if (!server_up()) {
		if (!w->trouble || w->waiting)
			broken(c, (enum resource)resource, 0);
		return;
	}
	if (p->host->api_cut) {   /* an open watch waits; who wants to connect gives up some time */
		if (w->waiting || !w->listed)
			broken(c, (enum resource)resource, CONNECT_TIMEOUT);
		return;
	}
	w->waiting = false;
	w->failures = 0;
	if (!w->listed)
		list(c, (enum resource)resource);
	else
		read_watch(c, (enum resource)resource, resumed);
	set_trouble(c, w, false);
}

static void on_turn(void *data, uint64_t arg)
{
	struct host *h = data;
	enum resource resource = (enum resource)(arg & 0xff);
	if (!h->process || h->incarnation != arg >> 8 || !h->process->cluster)
		return;
	struct watch *w = &h->process->cluster->watches[resource];
	if (!w->planned || w->again_at != world.now)
		return;
	w->planned = false;
	process_give(h->process, attend, h->process, resource);
}

/* ---- the server says ---- */

static struct cluster *cluster_on(unsigned i)
{
	return world.hosts[i].process ? world.hosts[i].process->cluster : NULL;
}

void watching_changed(const char *path)
{
	enum resource resource = SERVICES;
	while (resource < RESOURCES && (resource == NAMESPACES || !strstr(path, PATHS[resource].part)))   /* they are in every path */
		resource++;
	if (resource == RESOURCES)
		return;
	for (unsigned i = 0; i < world.n_hosts; i++) {
		struct cluster *c = cluster_on(i);
		struct watch *w = c ? &c->watches[resource] : NULL;
		if (w && w->used && w->listed && !w->waiting && !w->planned && !world.hosts[i].api_cut)
			plan(c, resource, world.now + chance_between(&world.chance, world.watch_min, world.watch_max));
	}
}

void watching_server_down(void)
{
	for (unsigned i = 0; i < world.n_hosts; i++) {
		struct cluster *c = cluster_on(i);
		for (int r = 0; c && r < RESOURCES; r++)
			if (c->watches[r].used && !c->watches[r].waiting && !world.hosts[i].api_cut)
				plan(c, (enum resource)r, world.now + chance_between(&world.chance, 100, 3000));
	}
}

/* TCP sends again what was lost, some time, by a timer that was doubled each time. */
void watching_free_again(struct host *h)
{
	struct cluster *c = h->process ? h->process->cluster : NULL;
	int64_t lasted = world.now - h->api_cut_since, wait = clock_min(lasted > 200 * CLOCK_MS ? lasted : 200 * CLOCK_MS, 3 * CLOCK_S);
	for (int r = 0; c && r < RESOURCES; r++)
		if (c->watches[r].used && !c->watches[r].waiting)
			plan(c, (enum resource)r, world.now + chance_between(&world.chance, CLOCK_MS, wait));
}

/* ---- speaker/cluster.h ---- */

void cluster_init(struct cluster **clusterp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct cluster_config *config)
{
	struct cluster *c = mem_zalloc(sizeof(*c));
	const struct options *o = config->options;
	(void)loop;
	(void)turn;
	c->process = world.here->process;
	c->api = api;
	c->leadership = config->leadership;
	c->name_space = mem_strdup(config->name_space);
	c->answers_since = CLOCK_NEVER;
	model_init(&c->model, o->lb_class, o->ignore_exclude_label);
	for (int i = 0; i < RESOURCES; i++)
		c->watches[i].used = i == NAMESPACES ? o->controller : i == NODES_ || i == SLICES ? o->speaker : true;
	*clusterp = c;
}

void cluster_start(struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].used)
			plan(c, (enum resource)i, world.now + chance_between(&world.chance, 3 * CLOCK_MS, 15 * CLOCK_MS));
}

void cluster_close(struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		json_decref(c->watches[i].known);
	c->process->cluster = NULL;
	model_free(&c->model);
	free(c->name_space);
	free(c);
}

struct model *cluster_model(struct cluster *c)
{
	return &c->model;
}

struct api *cluster_api(struct cluster *c)
{
	return c->api;
}

const char *cluster_namespace(const struct cluster *c)
{
	return c->name_space;
}

char *cluster_lease_path(const struct cluster *c, const char *name)
{
	return mem_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", c->name_space, name ? "/" : "", name ? name : "");
}

void cluster_step(void *cluster)
{
	(void)cluster;
}

bool cluster_synced(const struct cluster *c)
{
	const struct model *m = &c->model;
	const bool synced[RESOURCES] = {m->services_synced, m->slices_synced, m->nodes_synced, m->namespaces_synced, m->records_synced,
					m->pools_synced, m->advertisements_synced};
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].used && !synced[i])
			return false;
	return true;
}

bool cluster_api_answers(const struct cluster *c)
{
	return c->answers_since != CLOCK_NEVER;
}

int64_t cluster_answers_since(const struct cluster *c)
{
	return c->answers_since;
}

void cluster_take_lease(struct cluster *c, const json_t *lease)
{
	hurry_all(c);
	put_lease(c, lease, false);
}

const char *cluster_trouble(const struct cluster *c)
{
	(void)c;
	return NULL;
}
