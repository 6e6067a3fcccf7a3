/* speaker/cluster.h on the simulated API server: one list and one watch per kind, each with a delay of its own, resumed
 * after an outage or listed anew after a 410. */
#include "speaker/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/intake.h"
#include "speaker/names.h"
#include "tests/sim/process.h"
#include "tests/sim/server.h"

#define RETRY_FIRST (400 * CLOCK_MS)
#define RETRY_MAX (10 * CLOCK_S)
#define CONNECT_TIMEOUT (5 * CLOCK_S)

static const struct {
	const char *part, *path;
} PATHS[INTAKE_KINDS] = {
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
	struct watch watches[INTAKE_KINDS];
	bool leader_seen;
	int64_t answers_since;
};

/* ---- objects ---- */

static bool is_leader_lease(const struct cluster *c, const char *name)
{
	return c->leadership && name && strcmp(name, leadership_lease(c->leadership)) == 0;
}

static void put(struct cluster *c, enum intake_kind kind, const json_t *object, bool confirmed)
{
	struct error err;
	if (intake_put(&c->model, kind, object, confirmed, &err) < 0)
		world_wrong("object", "%s", err.text);
}

void cluster_take_pool(struct cluster *c, const json_t *object)
{
	put(c, INTAKE_POOL, object, false);
}

void cluster_take_service(struct cluster *c, const json_t *object)
{
	put(c, INTAKE_SERVICE, object, false);
}

static void on_object(struct cluster *c, enum intake_kind kind, const json_t *object)
{
	if (kind == INTAKE_LEASE && is_leader_lease(c, json_string_value(json_object_get(json_object_get(object, "metadata"), "name")))) {
		c->leader_seen = true;
		leadership_observe(c->leadership, object);
		return;
	}
	put(c, kind, object, true);
}

static void on_gone(struct cluster *c, enum intake_kind kind, const char *key)
{
	const char *slash = strchr(key, '/');
	if (kind == INTAKE_LEASE && is_leader_lease(c, slash ? slash + 1 : key))
		leadership_observe(c->leadership, NULL);
	else
		intake_drop(&c->model, kind, key);
}

/* ---- one watch ---- */

static void on_turn(void *data, uint64_t arg);

static void plan(struct cluster *c, enum intake_kind kind, int64_t at)
{
	struct host *h = c->process->host;
	struct watch *w = &c->watches[kind];
	w->planned = true;
	w->again_at = at;
	world_at(at, on_turn, h, (uint64_t)h->incarnation << 8 | kind);
}

static void note_answers(struct cluster *c)
{
	bool any = false;
	for (int i = 0; i < INTAKE_KINDS; i++)
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
	for (int i = 0; i < INTAKE_KINDS; i++)
		if (c->watches[i].waiting && c->watches[i].again_at > world.now)
			plan(c, (enum intake_kind)i, world.now);
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

static void broken(struct cluster *c, enum intake_kind kind, int64_t after)
{
	struct watch *w = &c->watches[kind];
	int64_t wait = RETRY_FIRST << (w->failures < 6 ? w->failures : 6);
	wait = wait > RETRY_MAX ? RETRY_MAX : wait;
	w->failures++;
	w->waiting = true;
	plan(c, kind, world.now + after + wait / 2 + chance_between(&world.chance, 0, wait / 2));
	set_trouble(c, w, true);
}

static void set_synced(struct cluster *c, enum intake_kind kind)
{
	struct model *m = &c->model;
	bool *const synced[INTAKE_KINDS] = {&m->services_synced, &m->slices_synced, &m->nodes_synced, &m->namespaces_synced, &m->records_synced,
					 &m->pools_synced, &m->advertisements_synced};
	*synced[kind] = true;
	if (kind == INTAKE_LEASE) {
		model_drop_unconfirmed(m);
		if (c->leadership && !c->leader_seen)
			leadership_observe(c->leadership, NULL);
		c->leader_seen = false;
	}
	note_answers(c);
}

/* A list may come from a cache that lags behind, even behind what this node had seen before it was started anew. */
static void list(struct cluster *c, enum intake_kind kind)
{
	struct watch *w = &c->watches[kind];
	json_t *reply, *before = w->known, *item;
	size_t i;
	const char *key;
	json_t *ignored;
	uint64_t version = server_version_at(chance_between(&world.chance, 0, world.watch_max));
	if (simapi_read_at(server_store(), PATHS[kind].path, version, &reply) != 200) {
		json_decref(reply);
		simapi_request(server_store(), "GET", PATHS[kind].path, NULL, NULL, &reply);
	}
	w->known = json_object();
	json_array_foreach(json_object_get(reply, "items"), i, item) {
		char *name = object_key(item);
		json_object_set_new(w->known, name, json_true());
		free(name);
		on_object(c, kind, item);
	}
	json_object_foreach(before, key, ignored)
		if (!json_object_get(w->known, key))
			on_gone(c, kind, key);
	w->version = strtoull(json_string_value(json_object_get(json_object_get(reply, "metadata"), "resourceVersion")), NULL, 10);
	w->listed = true;
	json_decref(before);
	json_decref(reply);
	set_synced(c, kind);
	if (version != simapi_version(server_store()))   /* the watch tells what the list did not know */
		plan(c, kind, world.now + chance_between(&world.chance, world.watch_min, world.watch_max));
}

static void take_events(struct cluster *c, enum intake_kind kind, const json_t *events)
{
	struct watch *w = &c->watches[kind];
	json_t *event;
	size_t i;
	json_array_foreach(events, i, event) {
		json_t *object = json_object_get(event, "object");
		char *key = object_key(object);
		if (strcmp(json_string_value(json_object_get(event, "type")), "DELETED") == 0) {
			json_object_del(w->known, key);
			on_gone(c, kind, key);
		} else {
			json_object_set_new(w->known, key, json_true());
			on_object(c, kind, object);
		}
		free(key);
	}
}

static void read_watch(struct cluster *c, enum intake_kind kind, bool resumed)
{
	struct watch *w = &c->watches[kind];
	json_t *events = NULL;
	int status = (resumed ? simapi_watch : simapi_watch_on)(server_store(), PATHS[kind].path, w->version, 1000, &events, &w->version);
	if (status == 200)
		take_events(c, kind, events);
	json_decref(events);
	if (status == 410)
		list(c, kind);
}

static void attend(void *data, uint64_t kind)
{
	struct process *p = data;
	if (!p)
		return;
	struct cluster *c = p->cluster;
	struct watch *w = &c->watches[kind];
	bool resumed = w->waiting;
	if (!server_up()) {
		if (!w->trouble || w->waiting)
			broken(c, (enum intake_kind)kind, 0);
		return;
	}
	if (p->host->api_cut) {   /* an open watch waits; who wants to connect gives up some time */
		if (w->waiting || !w->listed)
			broken(c, (enum intake_kind)kind, CONNECT_TIMEOUT);
		return;
	}
	w->waiting = false;
	w->failures = 0;
	if (!w->listed)
		list(c, (enum intake_kind)kind);
	else
		read_watch(c, (enum intake_kind)kind, resumed);
	set_trouble(c, w, false);
}

static void on_turn(void *data, uint64_t arg)
{
	struct host *h = data;
	enum intake_kind kind = (enum intake_kind)(arg & 0xff);
	if (!h->process || h->incarnation != arg >> 8 || !h->process->cluster)
		return;
	struct watch *w = &h->process->cluster->watches[kind];
	if (!w->planned || w->again_at != world.now)
		return;
	w->planned = false;
	process_give(h->process, attend, h->process, kind);
}

/* ---- the server says ---- */

static struct cluster *cluster_on(unsigned i)
{
	return world.hosts[i].process ? world.hosts[i].process->cluster : NULL;
}

void watching_changed(const char *path)
{
	enum intake_kind kind = INTAKE_SERVICE;
	while (kind < INTAKE_KINDS && (kind == INTAKE_NAMESPACE || !strstr(path, PATHS[kind].part)))   /* they are in every path */
		kind++;
	if (kind == INTAKE_KINDS)
		return;
	for (unsigned i = 0; i < world.n_hosts; i++) {
		struct cluster *c = cluster_on(i);
		struct watch *w = c ? &c->watches[kind] : NULL;
		if (w && w->used && w->listed && !w->waiting && !w->planned && !world.hosts[i].api_cut)
			plan(c, kind, world.now + chance_between(&world.chance, world.watch_min, world.watch_max));
	}
}

void watching_server_down(void)
{
	for (unsigned i = 0; i < world.n_hosts; i++) {
		struct cluster *c = cluster_on(i);
		for (int r = 0; c && r < INTAKE_KINDS; r++)
			if (c->watches[r].used && !c->watches[r].waiting && !world.hosts[i].api_cut)
				plan(c, (enum intake_kind)r, world.now + chance_between(&world.chance, 100, 3000));
	}
}

/* TCP sends again what was lost, some time, by a timer that was doubled each time. */
void watching_free_again(struct host *h)
{
	struct cluster *c = h->process ? h->process->cluster : NULL;
	int64_t lasted = world.now - h->api_cut_since, wait = clock_min(lasted > 200 * CLOCK_MS ? lasted : 200 * CLOCK_MS, 3 * CLOCK_S);
	for (int r = 0; c && r < INTAKE_KINDS; r++)
		if (c->watches[r].used && !c->watches[r].waiting)
			plan(c, (enum intake_kind)r, world.now + chance_between(&world.chance, CLOCK_MS, wait));
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
	for (int i = 0; i < INTAKE_KINDS; i++)
		c->watches[i].used = i == INTAKE_NAMESPACE ? o->controller : i == INTAKE_NODE || i == INTAKE_SLICE ? o->speaker : true;
	*clusterp = c;
}

void cluster_start(struct cluster *c)
{
	for (int i = 0; i < INTAKE_KINDS; i++)
		if (c->watches[i].used)
			plan(c, (enum intake_kind)i, world.now + chance_between(&world.chance, 3 * CLOCK_MS, 15 * CLOCK_MS));
}

void cluster_close(struct cluster *c)
{
	for (int i = 0; i < INTAKE_KINDS; i++)
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
	const bool synced[INTAKE_KINDS] = {m->services_synced, m->slices_synced, m->nodes_synced, m->namespaces_synced, m->records_synced,
					m->pools_synced, m->advertisements_synced};
	for (int i = 0; i < INTAKE_KINDS; i++)
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
	put(c, INTAKE_LEASE, lease, false);
}

const char *cluster_trouble(const struct cluster *c)
{
	(void)c;
	return NULL;
}
