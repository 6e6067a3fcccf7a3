/* k8sclient/watcher.h on the simulated API server: a list and then a watch with a delay of its own, resumed after an outage or
 * listed anew after a 410. What the server shows may come from a cache that lags behind. */
#include "k8sclient/watcher.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "config/base/memory.h"
#include "config/object_meta.h"
#include "k8sclient/watch_policy.h"
#include "tests/sim/process.h"
#include "tests/sim/server.h"

#define CONNECT_TIMEOUT (5 * CLOCK_S)
#define LIST_MIN (3 * CLOCK_MS)    /* there and back, on a connection that may have to be made */
#define LIST_MAX (15 * CLOCK_MS)

struct watcher {
	struct process *process;
	struct watcher *prev, *next;
	unsigned id;
	struct watcher_config on;
	char *path, *selector, *asked;   /* asked: path and selector */
	bool running, listed, waiting;   /* waiting: until it tries again */
	bool trouble, unreachable;
	uint64_t version;
	json_t *known;                   /* keys that were delivered and not gone since */
	unsigned failures;
	int64_t listed_at;
	bool planned;                    /* the next list, or news on the open watch, or the next try, */
	int64_t again_at;                /* then */
	struct watcher_stats stats;
};

static void on_turn(void *data, uint64_t arg);

static void plan(struct watcher *w, int64_t wait)
{
	struct host *h = w->process->host;
	w->planned = true;
	w->again_at = world.now + wait;
	world_at(w->again_at, on_turn, h, (uint64_t)h->incarnation << 8 | w->id);
}

static void set_trouble(struct watcher *w, const char *why)
{
	if (!why && !w->trouble)
		return;
	w->trouble = why != NULL;
	w->process->again = true;
	if (w->on.on_trouble)
		w->on.on_trouble(w->on.data, why);
}

static void broken(struct watcher *w, const char *why, bool unreachable, int64_t after)
{
	int64_t wait = w->on.times.retry_first << (w->failures < 6 ? w->failures : 6);
	wait = wait > w->on.times.retry_max ? w->on.times.retry_max : wait;
	wait = wait / 2 + chance_between(&world.chance, 0, wait / 2);
	if (!unreachable)   /* "Retry-After: 1" */
		wait = watch_wait(&(struct watch_end){.retry_after = CLOCK_S, .failures = w->failures}, wait, chance_between(&world.chance, 0, 999) / 1000.);
	w->failures++;
	w->waiting = true;
	w->unreachable = unreachable;
	plan(w, after + wait);
	set_trouble(w, why);
}

/* ---- what the server says ---- */

static void gone(struct watcher *w, const char *key, json_t *last)
{
	json_object_del(w->known, key);
	w->on.on_gone(w->on.data, key, last);
}

static void deliver(struct watcher *w, json_t *object)
{
	char *key = object_key(object);
	json_object_set_new(w->known, key, json_true());
	free(key);
	w->on.on_object(w->on.data, object);
}

/* A list may come from a cache that lags behind, even behind what this node had seen before it was started anew. */
static void list(struct watcher *w)
{
	json_t *reply, *before = w->known, *item, *ignored;
	size_t i;
	const char *key;
	void *tmp;
	uint64_t version = server_version_at(chance_between(&world.chance, 0, world.watch_max));
	if (simapi_read_at(server_store(), w->asked, version, &reply) != 200) {
		json_decref(reply);
		simapi_request(server_store(), "GET", w->asked, NULL, NULL, &reply);
	}
	w->known = json_object();
	w->listed = true;
	w->listed_at = world.now;
	w->stats.lists++;
	w->version = strtoull(json_string_value(json_object_get(json_object_get(reply, "metadata"), "resourceVersion")), NULL, 10);
	json_array_foreach(json_object_get(reply, "items"), i, item)
		deliver(w, item);
	json_object_foreach_safe(before, tmp, key, ignored)
		if (!json_object_get(w->known, key))
			gone(w, key, NULL);
	json_decref(before);
	json_decref(reply);
	set_trouble(w, NULL);
	w->on.on_synced(w->on.data);
	if (w->running && w->listed && version != simapi_version(server_store()))   /* the watch tells what the list did not know */
		plan(w, chance_between(&world.chance, world.watch_min, world.watch_max));
}

static void read_watch(struct watcher *w, bool resumed)
{
	json_t *events = NULL, *event;
	size_t i;
	uint64_t next = w->version;
	int status = (resumed ? simapi_watch : simapi_watch_on)(server_store(), w->asked, w->version, 1000, &events, &next);
	if (status == 410) {
		json_decref(events);
		list(w);
		return;
	}
	w->version = next;
	set_trouble(w, NULL);
	if (status == 200)
		json_array_foreach(events, i, event) {
			json_t *object = json_object_get(event, "object");
			char *key = object_key(object);
			w->stats.events++;
			if (strcmp(json_string_value(json_object_get(event, "type")), "DELETED") != 0)
				deliver(w, object);
			else if (watcher_knows(w, key))
				gone(w, key, object);
			free(key);
		}
	json_decref(events);
}

static struct watcher *find(const struct process *p, unsigned id)
{
	struct watcher *w;
	DL_SEARCH_SCALAR(p->watchers, w, id, id);
	return w;
}

static void attend(void *data, uint64_t id)
{
	struct watcher *w = data ? find(data, (unsigned)id) : NULL;
	if (!w || !w->running)
		return;
	bool resumed = w->waiting;
	if (!server_up()) {
		broken(w, "connection refused", true, 0);
	} else if (w->process->host->api_cut) {   /* an open watch waits; who wants to connect gives up some time */
		if (w->waiting || !w->listed)
			broken(w, "no answer", true, CONNECT_TIMEOUT);
	} else if ((w->waiting || !w->listed) && server_refuses(w->path)) {
		broken(w, "429 storage is (re)initializing", false, 0);
	} else {
		w->waiting = false;
		w->failures = 0;
		if (w->listed)
			read_watch(w, resumed);
		else
			list(w);
	}
}

static void on_turn(void *data, uint64_t arg)
{
	struct host *h = data;
	if (!h->process || h->incarnation != arg >> 8)
		return;
	struct watcher *w = find(h->process, (unsigned)(arg & 0xff));
	if (!w || !w->planned || w->again_at != world.now)
		return;
	w->planned = false;
	process_give(h->process, attend, h->process, w->id);
}

/* ---- the server has something to say ---- */

/* "leases", of an object or of all. */
static void resource_of(const char *path, char *name, size_t size)
{
	const char *p = path;
	unsigned skip = strncmp(path, "/api/", 5) == 0 ? 3 : 4;   /* /api/v1/..., /apis/GROUP/v1/... */
	for (unsigned i = 0; i < skip && p; i++)
		p = strchr(p + (i > 0), '/');
	const char *in = p && strncmp(p, "/namespaces/", 12) == 0 ? strchr(p + 12, '/') : NULL;
	p = in ? in : p;
	snprintf(name, size, "%.*s", p ? (int)strcspn(p + 1, "/?") : 0, p ? p + 1 : "");
}

void watching_changed(const char *path)
{
	char changed[40], watched[40];
	struct watcher *w;
	resource_of(path, changed, sizeof(changed));
	for (unsigned i = 0; i < world.n_hosts; i++) {
		if (!world.hosts[i].process || world.hosts[i].api_cut)
			continue;
		DL_FOREACH(world.hosts[i].process->watchers, w) {
			resource_of(w->path, watched, sizeof(watched));
			if (w->running && w->listed && !w->waiting && !w->planned && strcmp(changed, watched) == 0)
				plan(w, chance_between(&world.chance, world.watch_min, world.watch_max));
		}
	}
}

static void plan_all(struct host *h, int64_t least, int64_t most)
{
	struct watcher *w;
	if (h->process)
		DL_FOREACH(h->process->watchers, w)
			if (w->running && !w->waiting)
				plan(w, chance_between(&world.chance, least, most));
}

void watching_server_down(void)
{
	for (unsigned i = 0; i < world.n_hosts; i++)
		if (!world.hosts[i].api_cut)
			plan_all(&world.hosts[i], 100, 3 * CLOCK_MS);
}

/* TCP sends again what was lost, some time, by a timer that was doubled each time. */
void watching_free_again(struct host *h)
{
	int64_t lasted = world.now - h->api_cut_since;
	plan_all(h, CLOCK_MS, clock_min(lasted > 200 * CLOCK_MS ? lasted : 200 * CLOCK_MS, 3 * CLOCK_S));
}

/* ---- k8sclient/watcher.h ---- */

static void set_asked(struct watcher *w)
{
	free(w->asked);
	w->asked = w->selector ? mem_printf("%s?%s", w->path, w->selector) : mem_strdup(w->path);
}

void watcher_init(struct watcher **watcherp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct watcher_config *config)
{
	struct watcher *w = mem_zalloc(sizeof(*w));
	(void)loop;
	(void)turn;
	(void)api;
	w->process = world.here->process;
	w->on = *config;
	w->path = mem_strdup(config->path);
	w->selector = mem_strdup(config->selector);
	w->known = json_object();
	w->listed_at = CLOCK_LONG_AGO;
	set_asked(w);
	w->id = w->process->n_watchers++;
	DL_APPEND(w->process->watchers, w);
	*watcherp = w;
}

void watcher_start(struct watcher *w)
{
	if (w->running)
		return;
	w->running = true;
	plan(w, chance_between(&world.chance, LIST_MIN, LIST_MAX));
}

void watcher_select(struct watcher *w, const char *selector)
{
	if (w->selector && strcmp(w->selector, selector) == 0)
		return;
	mem_replace(&w->selector, selector);
	set_asked(w);
	w->listed = false;
	if (!w->running || (w->waiting && w->trouble))   /* the next try uses it */
		return;
	int64_t wait = w->listed_at + w->on.times.reselect - world.now;
	plan(w, (wait > 0 ? wait : 0) + chance_between(&world.chance, CLOCK_MS, LIST_MIN));
}

void watcher_hurry(struct watcher *w)
{
	if (w->running && w->waiting && w->trouble && w->unreachable)
		plan(w, 0);
}

bool watcher_knows(const struct watcher *w, const char *key)
{
	return json_object_get(w->known, key) != NULL;
}

void watcher_stop(struct watcher *w)
{
	w->running = w->waiting = w->planned = false;
	set_trouble(w, NULL);
}

void watcher_close(struct watcher *w)
{
	if (!w)
		return;
	DL_DELETE(w->process->watchers, w);
	json_decref(w->known);
	free(w->path);
	free(w->selector);
	free(w->asked);
	free(w);
}

const struct watcher_stats *watcher_stats(const struct watcher *w)
{
	return &w->stats;
}
