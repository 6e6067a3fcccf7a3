#include "speaker/pool_status.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"

#define SPACING (20 * CLOCK_MS)   /* a burst of Services gives a few writes, not one each */
#define FIGHT CLOCK_S             /* between two writes of the same figures: somebody else writes them too */
#define RETRY (5 * CLOCK_S)

struct pool_write {
	char *pool;
	struct pool_statuses *all;
	struct api_call *call;
	struct pool_counters sent;   /* the last figures written */
	int64_t not_before;
	UT_hash_handle hh;
};

struct pool_statuses {
	struct cluster *cluster;
	struct pool_write *writes;
	struct deadline timer;
	void (*on_due)(void *data);
	void *data;
	bool said_denied;
};

static int64_t available(const struct pool *p, enum address_family family, int64_t used)
{
	int64_t size = pool_size(p, family);
	return size == INT64_MAX ? size : size > used ? size - used : 0;
}

static struct pool_counters counters_of(const struct allocator *a, const struct pool *p)
{
	struct pool_counters c = {.known = true, .assigned_v4 = allocator_in_use(a, p->meta.name, ADDRESS_V4), .assigned_v6 = allocator_in_use(a, p->meta.name, ADDRESS_V6)};
	c.available_v4 = available(p, ADDRESS_V4, c.assigned_v4);
	c.available_v6 = available(p, ADDRESS_V6, c.assigned_v6);
	return c;
}

static bool equal(const struct pool_counters *a, const struct pool_counters *b)
{
	return a->known == b->known && a->assigned_v4 == b->assigned_v4 && a->assigned_v6 == b->assigned_v6 && a->available_v4 == b->available_v4 &&
	       a->available_v6 == b->available_v6;
}

static void on_written(void *data, const struct api_result *result)
{
	struct pool_write *w = data;
	struct pool_statuses *s = w->all;
	w->call = NULL;
	if (api_succeeded(result)) {
		cluster_take_pool(s->cluster, result->body);
	} else if (result->status != 404) {   /* gone; or MetalLB's older CRD, without a status */
		if (!s->said_denied)
			log_warn("poolStatusFailed", KV("pool", w->pool), "%s", result->message);
		s->said_denied = true;
		w->not_before = clock_now() + RETRY;
	} else {
		w->not_before = clock_now() + 60 * CLOCK_S;
	}
	s->on_due(s->data);
}

static void write_counters(struct pool_statuses *s, struct pool_write *w, const struct pool_entry *e, const struct pool_counters *c)
{
	json_t *patch = json_pack("{s:{s:s}, s:{s:I, s:I, s:I, s:I}}", "metadata", "uid", e->meta.uid, "status", "assignedIPv4", (json_int_t)c->assigned_v4,
				  "assignedIPv6", (json_int_t)c->assigned_v6, "availableIPv4", (json_int_t)c->available_v4, "availableIPv6", (json_int_t)c->available_v6);
	char *path = mem_printf("/apis/metallb.io/v1beta1/namespaces/%s/ipaddresspools/%s/status?fieldManager=" OBJECTS_MANAGER, cluster_namespace(s->cluster), e->meta.name);
	struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = patch, .on_result = on_written, .data = w};
	w->not_before = clock_now() + (equal(&w->sent, c) ? FIGHT : SPACING);
	w->sent = *c;
	w->call = api_send(cluster_api(s->cluster), &request);
	json_decref(patch);
	free(path);
}

static struct pool_write *write_of(struct pool_statuses *s, const char *pool)
{
	struct pool_write *w;
	HASH_FIND_STR(s->writes, pool, w);
	if (w)
		return w;
	w = mem_zalloc(sizeof(*w));
	w->all = s;
	w->pool = mem_strdup(pool);
	HASH_ADD_KEYPTR(hh, s->writes, w->pool, strlen(w->pool), w);
	return w;
}

static void write_free(struct pool_statuses *s, struct pool_write *w)
{
	HASH_DEL(s->writes, w);
	api_cancel(w->call);
	free(w->pool);
	free(w);
}

void pool_statuses_step(struct pool_statuses *s, const struct allocator *a)
{
	const struct model *m = cluster_model(s->cluster);
	struct pool_write *w, *tmp;
	int64_t now = clock_now(), wake = CLOCK_NEVER;
	for (size_t i = 0; i < m->pools.n; i++) {
		const struct pool_entry *e = &m->pools.entries[i];
		if (!e->pool || !*e->meta.uid)   /* not in use, or from a flag */
			continue;
		struct pool_counters c = counters_of(a, e->pool);
		if (equal(&c, &e->counters))
			continue;
		w = write_of(s, e->meta.name);
		if (!w->call && now >= w->not_before)
			write_counters(s, w, e, &c);
		else if (!w->call)
			wake = clock_min(wake, w->not_before);
	}
	HASH_ITER(hh, s->writes, w, tmp)
		if (!pool_table_find(&m->pools, w->pool))
			write_free(s, w);
	deadline_set(&s->timer, wake);
}

static void on_time(void *data)
{
	struct pool_statuses *s = data;
	s->on_due(s->data);
}

void pool_statuses_init(struct pool_statuses **sp, uv_loop_t *loop, struct cluster *cluster, void (*on_due)(void *data), void *data)
{
	struct pool_statuses *s = mem_zalloc(sizeof(*s));
	s->cluster = cluster;
	s->on_due = on_due;
	s->data = data;
	deadline_init(&s->timer, loop, on_time, s);
	*sp = s;
}

size_t pool_statuses_pending(const struct pool_statuses *s)
{
	size_t n = 0;
	for (const struct pool_write *w = s->writes; w; w = w->hh.next)
		n += w->call != NULL;
	return n;
}

static void on_timer_closed(void *data)
{
	free(data);
}

void pool_statuses_close(struct pool_statuses *s)
{
	struct pool_write *w, *tmp;
	if (!s)
		return;
	HASH_ITER(hh, s->writes, w, tmp)
		write_free(s, w);
	deadline_close(&s->timer, on_timer_closed);
}
