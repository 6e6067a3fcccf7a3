#include "speaker/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "speaker/intake.h"
#include "speaker/names.h"

#define FRESH_RESELECT (20 * CLOCK_MS)
#define SETTLE CLOCK_S
#define WARM 2u   /* connections */

/* FRESH_SLICES: those of Services that appeared a moment ago; the watch of all others is renewed at most once a second. */
enum resource { SERVICES, SLICES, FRESH_SLICES, NODES, NAMESPACES, LEASES, POOLS, ADVERTISEMENTS, RESOURCES };

struct cluster;
struct cluster_watch {   /* what a watcher's callbacks need */
	struct cluster *cluster;
	enum resource resource;
	struct watcher *watcher;
	char *trouble;   /* what is wrong; NULL: it works */
};

struct cluster {
	struct api *api;
	struct turn *turn;
	const struct options *options;
	char *name_space;
	struct leadership *leadership;
	struct model model;
	struct cluster_watch watches[RESOURCES];
	struct deadline settle;    /* the big watch takes over the fresh names */
	bool leader_seen;          /* in the list that is being delivered */
	bool services_changed, slices_waiting;
	char **slice_names;        /* that the watch of all asks for; sorted */
	size_t n_slice_names;
	struct api_call *warming[WARM];
	int64_t answers_since;     /* for Leases; CLOCK_NEVER: it does not answer */
	int64_t nodes_since;       /* for Leases and Nodes */
};

/* ---- objects ---- */

static bool is_leader_lease(const struct cluster *c, const char *name)
{
	return c->leadership && name && strcmp(name, leadership_lease(c->leadership)) == 0;
}

static void put(struct cluster *c, enum intake_kind kind, const json_t *object, bool confirmed)
{
	struct error err;
	struct object_meta meta;
	if (intake_put(&c->model, kind, object, confirmed, &err) == 0)
		return;
	bool named = object_meta_decode(object, &meta, NULL) == 0;
	log_error("invalidObject", KV("kind", intake_kind_name(kind), "object", named ? meta.key : ""), "%s", err.text);
	if (named)
		object_meta_free(&meta);
}

void cluster_take_pool(struct cluster *c, const json_t *pool)
{
	put(c, INTAKE_POOL, pool, false);
}

void cluster_take_service(struct cluster *c, const json_t *service)
{
	put(c, INTAKE_SERVICE, service, false);
	c->services_changed = true;
}

/* The server answers one of us: the others need not wait out their backoff. */
void cluster_hurry(struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].watcher)
			watcher_hurry(c->watches[i].watcher);
}

void cluster_take_lease(struct cluster *c, const json_t *lease)
{
	cluster_hurry(c);
	put(c, INTAKE_LEASE, lease, false);
}

/* ---- the watchers' callbacks ---- */

static enum intake_kind kind_of(enum resource resource)
{
	static const enum intake_kind KINDS[RESOURCES] = {
		[SERVICES] = INTAKE_SERVICE, [SLICES] = INTAKE_SLICE, [FRESH_SLICES] = INTAKE_SLICE, [NODES] = INTAKE_NODE,
		[NAMESPACES] = INTAKE_NAMESPACE, [LEASES] = INTAKE_LEASE, [POOLS] = INTAKE_POOL, [ADVERTISEMENTS] = INTAKE_ADVERTISEMENT};
	return KINDS[resource];
}

static void on_object(void *data, json_t *object)
{
	struct cluster_watch *w = data;
	struct cluster *c = w->cluster;
	if (w->resource == LEASES && is_leader_lease(c, json_string_value(json_object_get(json_object_get(object, "metadata"), "name")))) {
		c->leader_seen = true;
		leadership_observe(c->leadership, object);
		return;
	}
	put(c, kind_of(w->resource), object, true);
	c->services_changed |= w->resource == SERVICES;
}

static void on_gone(void *data, const char *key, json_t *last)
{
	struct cluster_watch *w = data;
	struct cluster *c = w->cluster;
	const char *slash = strchr(key, '/');
	if (w->resource == LEASES && is_leader_lease(c, slash ? slash + 1 : key)) {
		leadership_observe(c->leadership, NULL);
		return;
	}
	bool slices = w->resource == SLICES || w->resource == FRESH_SLICES;
	if (slices && !last && watcher_knows(c->watches[w->resource == SLICES ? FRESH_SLICES : SLICES].watcher, key))
		return;   /* gone from one selection, it is in the other */
	intake_drop(&c->model, kind_of(w->resource), key);
	c->services_changed |= w->resource == SERVICES;
}

static void note_since(int64_t *since, bool answers)
{
	if (!answers)
		*since = CLOCK_NEVER;
	else if (*since == CLOCK_NEVER)
		*since = clock_now();
}

static void note_answers(struct cluster *c)
{
	bool records = c->model.records_synced && !c->watches[LEASES].trouble;
	note_since(&c->answers_since, records);
	note_since(&c->nodes_since, records && c->model.nodes_synced && !c->watches[NODES].trouble);
	c->model.revision++;
	turn_again(c->turn);
}

static void on_trouble(void *data, const char *why)
{
	struct cluster_watch *w = data;
	mem_replace(&w->trouble, why);
	if (why && w->resource == LEASES && w->cluster->options->dry_run)   /* who only asks may have no right to see them */
		w->cluster->model.records_synced = true;
	if (!why)
		cluster_hurry(w->cluster);
	note_answers(w->cluster);
}

static void on_warm(void *data, const struct api_result *result)
{
	struct api_call **place = data;
	(void)result;
	*place = NULL;
}

/* Each renewed watch takes a connection for itself. The list for the next new Service (whose watch keeps its connection) and
 * the claim of its address shall not wait for TLS handshakes. */
static void warm_up(struct cluster *c)
{
	for (size_t i = 0; i < WARM; i++) {
		struct api_request request = {.method = "GET", .path = "/version", .on_result = on_warm, .data = &c->warming[i]};
		if (!c->warming[i])
			c->warming[i] = api_send(c->api, &request);
	}
}

static void on_synced(void *data)
{
	struct cluster_watch *w = data;
	struct cluster *c = w->cluster;
	struct model *m = &c->model;
	bool *const synced[RESOURCES] = {&m->services_synced, &m->slices_synced, &m->slices_synced, &m->nodes_synced, &m->namespaces_synced,
					 &m->records_synced, &m->pools_synced, &m->advertisements_synced};
	*synced[w->resource] = true;
	if (w->resource == SLICES) {
		c->services_changed = true;   /* fresh ones that it has now need no watch of their own */
		warm_up(c);
	}
	if (w->resource == LEASES) {
		model_drop_unconfirmed(m);
		if (c->leadership && !c->leader_seen)
			leadership_observe(c->leadership, NULL);
		c->leader_seen = false;
	}
	note_answers(c);
}


/* ---- the set ---- */

static void on_settle(void *data);

static void add(struct cluster *c, uv_loop_t *loop, enum resource resource, const char *name, const char *path, const char *selector)
{
	struct cluster_watch *w = &c->watches[resource];
	struct watcher_config config = {.name = name, .path = path, .selector = selector, .times = WATCHER_TIMES, .on_object = on_object,
					.on_gone = on_gone, .on_synced = on_synced, .on_trouble = on_trouble, .data = w};
	config.times.stall = c->options->api_stall;
	config.times.retry_max = c->options->api_retry_max;
	if (resource == FRESH_SLICES) {
		config.times.reselect = FRESH_RESELECT;
		config.cached = true;
	}
	*w = (struct cluster_watch){.cluster = c, .resource = resource};
	watcher_init(&w->watcher, loop, c->turn, c->api, &config);
}

static void add_in_namespace(struct cluster *c, uv_loop_t *loop, enum resource resource, const char *name, const char *group, const char *selector)
{
	char *path = mem_printf("/apis/%s/namespaces/%s/%s", group, c->name_space, name);
	add(c, loop, resource, name, path, selector);
	free(path);
}

void cluster_init(struct cluster **clusterp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct cluster_config *config)
{
	struct cluster *c = mem_zalloc(sizeof(*c));
	const struct options *o = config->options;
	c->api = api;
	c->turn = turn;
	c->options = o;
	c->name_space = mem_strdup(config->name_space);
	c->leadership = config->leadership;
	c->answers_since = c->nodes_since = CLOCK_NEVER;
	c->services_changed = true;   /* the empty set needs a decision too */
	model_init(&c->model, o->lb_class, o->ignore_exclude_label);
	/* Only LoadBalancer Services: traffic follows them, not the cluster. */
	add(c, loop, SERVICES, "services", "/api/v1/services", "fieldSelector=spec.type%3DLoadBalancer");
	/* The leader's renewals concern candidates only. */
	add_in_namespace(c, loop, LEASES, "leases", "coordination.k8s.io/v1",
			 o->controller ? "labelSelector=l2lb.io%2Fclass" : "labelSelector=l2lb.io%2Fclass%2Cl2lb.io%2Frecord%21%3Dleader");
	if (o->controller && o->n_pools == 0)   /* pools from flags admit all of them */
		add(c, loop, NAMESPACES, "namespaces", "/api/v1/namespaces", NULL);
	if (o->speaker) {
		add(c, loop, NODES, "nodes", "/api/v1/nodes", NULL);
		add(c, loop, SLICES, "endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", NULL);
		add(c, loop, FRESH_SLICES, "endpointslices", "/apis/discovery.k8s.io/v1/endpointslices", NULL);
		deadline_init(&c->settle, loop, on_settle, c);
	}
	if (o->n_pools == 0) {
		add_in_namespace(c, loop, POOLS, "ipaddresspools", "metallb.io/v1beta1", NULL);
		add_in_namespace(c, loop, ADVERTISEMENTS, "l2advertisements", "metallb.io/v1beta1", NULL);
	}
	*clusterp = c;
}

void cluster_start(struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].watcher && i != SLICES && i != FRESH_SLICES)   /* these wait for the names of our Services */
			watcher_start(c->watches[i].watcher);
}

static void on_settle_closed(void *data)
{
	free(data);
}

void cluster_close(struct cluster *c)
{
	bool timer = c->watches[SLICES].watcher != NULL;
	for (int i = 0; i < RESOURCES; i++) {
		watcher_close(c->watches[i].watcher);
		free(c->watches[i].trouble);
	}
	for (size_t i = 0; i < WARM; i++)
		api_cancel(c->warming[i]);
	model_free(&c->model);
	strings_free(c->slice_names, c->n_slice_names);
	free(c->name_space);
	if (timer)
		deadline_close(&c->settle, on_settle_closed);
	else
		free(c);
}

/* ---- the EndpointSlice selectors ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of our Services, sorted, each once; to strings_free. */
static size_t service_names(const struct cluster *c, char ***namesp)
{
	struct service_entry *e, *tmp;
	size_t n = 0, kept = 0;
	char **names = mem_zalloc((HASH_COUNT(c->model.services) + 1) * sizeof(*names));
	HASH_ITER(hh, c->model.services, e, tmp)
		if (model_is_ours(&c->model, e->service))
			names[n++] = mem_strdup(e->service->meta.name);
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {   /* the same name in several namespaces counts once */
		if (kept && strcmp(names[kept - 1], names[i]) == 0)
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	*namesp = names;
	return kept;
}

/* Lets the watcher ask for "kubernetes.io/service-name in (a,b)"; with no names there is nothing to watch. */
static void watch_names(struct watcher *w, char *const *names, size_t n)
{
	struct buffer text = BUFFER_INIT;
	if (n == 0) {
		watcher_stop(w);
		return;
	}
	buffer_text(&text, "labelSelector=kubernetes.io%2Fservice-name%20in%20(");
	for (size_t i = 0; i < n; i++)
		buffer_printf(&text, "%s%s", i ? "%2C" : "", names[i]);
	buffer_text(&text, ")");
	watcher_select(w, buffer_string(&text));
	watcher_start(w);
	buffer_free(&text);
}

/* The names the big watch does not ask for yet. */
static size_t missing_names(const struct cluster *c, char *const *names, size_t n, char **missing)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (!c->n_slice_names || !bsearch(&names[i], c->slice_names, c->n_slice_names, sizeof(char *), by_name))
			missing[k++] = names[i];
	return k;
}

static void renew_all(struct cluster *c, char **names, size_t n)
{
	strings_free(c->slice_names, c->n_slice_names);
	c->slice_names = names;
	c->n_slice_names = n;
	watch_names(c->watches[SLICES].watcher, names, n);
}

static void on_settle(void *data)
{
	struct cluster *c = data;
	char **names;
	c->slices_waiting = false;
	size_t n = service_names(c, &names);
	renew_all(c, names, n);
}

void cluster_step(void *cluster)
{
	struct cluster *c = cluster;
	char **names;
	if (!c->watches[SLICES].watcher || !c->model.services_synced || !c->services_changed)
		return;
	c->services_changed = false;
	size_t n = service_names(c, &names);
	if (!c->model.slices_synced && n) {   /* at start all come in one list */
		renew_all(c, names, n);
		return;
	}
	c->model.slices_synced = true;
	char **missing = mem_zalloc((n + 1) * sizeof(*missing));
	size_t k = missing_names(c, names, n, missing);
	watch_names(c->watches[FRESH_SLICES].watcher, missing, k);
	/* Those gone may stay in the big watch's selector until it is renewed for a new one. */
	if (k && !c->slices_waiting) {
		c->slices_waiting = true;
		deadline_set(&c->settle, clock_now() + SETTLE);
	}
	free(missing);
	strings_free(names, n);
}

/* ---- questions ---- */

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

bool cluster_synced(const struct cluster *c)
{
	const struct model *m = &c->model;
	const bool synced[RESOURCES] = {m->services_synced, m->slices_synced, m->slices_synced, m->nodes_synced, m->namespaces_synced,
					m->records_synced, m->pools_synced, m->advertisements_synced};
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].watcher && !synced[i])
			return false;
	return true;
}

bool cluster_api_answers(const struct cluster *c)
{
	return c->answers_since != CLOCK_NEVER;
}

const char *cluster_trouble(const struct cluster *c)
{
	for (int i = 0; i < RESOURCES; i++)
		if (c->watches[i].trouble)
			return c->watches[i].trouble;
	return NULL;
}

int64_t cluster_answers_since(const struct cluster *c)
{
	return c->answers_since;
}

int64_t cluster_nodes_since(const struct cluster *c)
{
	return c->nodes_since;
}
