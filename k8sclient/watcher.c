#include "k8sclient/watcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/map.h"
#include "config/object_meta.h"
#include "k8sclient/backoff.h"
#include "k8sclient/watch_policy.h"

#define PAGE 500
#define EVENT_MAX (16u * 1024 * 1024)   /* one event; etcd's limit for an object is 1.5 MiB */
#define LIST_MAX (256u * 1024 * 1024)
#define WATCH_SLACK (30 * CLOCK_S)
#define MISSING_PATIENCE (30 * CLOCK_S)

struct known {   /* an object that was delivered; uid tells a re-made one from the same */
	char *key;
	char *uid;
	unsigned generation;   /* of the list that named it last */
	UT_hash_handle hh;
};

enum watcher_state { STOPPED, LISTING, WATCHING, WAITING };

struct watcher {
	struct turn *turn;
	struct api *api;
	char *name, *path, *selector;
	unsigned page;
	bool cached;
	struct watcher_times times;
	struct watcher_config on;
	enum watcher_state state;
	struct http_transfer *transfer;
	char *request_path;          /* for messages */
	char *version;               /* where to watch from; NULL: list first */
	char *continue_token;
	bool unpaged;                /* a continue token expired: the next list comes in one piece */
	unsigned generation;
	struct known *known;
	bool trouble, unreachable;   /* unreachable: the last end was one of transport */
	struct backoff backoff;
	struct deadline timer;       /* WAITING: the next try; WATCHING: the stall */
	int64_t began, last_byte, missing_since, listed_at;
	int in_stream_code;
	bool broken_stream;
	unsigned events_in_watch, failures, expired;
	unsigned denials;            /* in a row */
	struct watcher_stats stats;
};

static void try_next(struct watcher *w);

/* ---- the set of delivered objects ---- */

static void known_free(struct watcher *w, struct known *k)
{
	HASH_DEL(w->known, k);
	free(k->key);
	free(k->uid);
	free(k);
}

static void forget(struct watcher *w, const char *key, json_t *last)
{
	struct known *k;
	HASH_FIND_STR(w->known, key, k);
	if (!k)
		return;
	known_free(w, k);
	w->on.on_gone(w->on.data, key, last);
}

static void deliver(struct watcher *w, json_t *object)
{
	struct known *k;
	char *key = object_key(object);
	const char *uid = json_string_value(json_object_get(json_object_get(object, "metadata"), "uid"));
	if (!key) {
		log_warn("malformedObject", NO_KV, "%s: an object without a name was skipped", w->name);
		return;
	}
	HASH_FIND_STR(w->known, key, k);
	if (k && strcmp(k->uid, uid ? uid : "") != 0) {   /* deleted and made again while we were away */
		forget(w, key, NULL);
		k = NULL;
	}
	if (!k) {
		k = mem_zalloc(sizeof(*k));
		k->key = mem_strdup(key);
		k->uid = mem_strdup(uid ? uid : "");
		HASH_ADD_KEYPTR(hh, w->known, k->key, strlen(k->key), k);
	}
	k->generation = w->generation;
	free(key);
	w->on.on_object(w->on.data, object);
}

static void forget_unlisted(struct watcher *w)
{
	struct known *k, *tmp;
	HASH_ITER(hh, w->known, k, tmp) {
		if (k->generation == w->generation)
			continue;
		char *key = mem_strdup(k->key);
		forget(w, key, NULL);
		free(key);
	}
}

/* ---- state ---- */

static void set_trouble(struct watcher *w, const char *why)
{
	if (!why && !w->trouble)
		return;
	w->trouble = why != NULL;
	if (w->on.on_trouble)
		w->on.on_trouble(w->on.data, why);
}

static void drop_transfer(struct watcher *w)
{
	struct http_transfer *t = w->transfer;
	w->transfer = NULL;
	http_cancel(t);
}

static void wait_for(struct watcher *w, int64_t microseconds)
{
	w->state = WAITING;
	deadline_set(&w->timer, clock_now() + microseconds);
}

/* A server that has just started denies everything until it has read its roles: only who goes on being denied is asked
 * slowly. */
static int64_t denied_wait(struct watcher *w)
{
	int64_t wait = w->times.retry_first;
	for (unsigned i = 1; i < w->denials && wait < w->times.denied; i++)
		wait *= 2;
	wait = clock_min(wait, w->times.denied);
	return wait + (int64_t)((double)wait * 0.25 * clock_random());
}

static void go_on(struct watcher *w, enum watch_next next, const struct watch_end *end, int64_t now)
{
	int64_t wait = 0;
	if (next == LIST_AGAIN || next == LIST_AFTER_BACKOFF || next == WAIT_MISSING)
		mem_replace(&w->version, NULL);
	mem_replace(&w->continue_token, NULL);
	if (next == WATCH_AFTER_BACKOFF || next == LIST_AFTER_BACKOFF)
		wait = backoff_next(&w->backoff, now, clock_random());
	if (next == WAIT_DENIED)
		wait = denied_wait(w);
	if (next == WAIT_MISSING) {
		/* Quickly at first, as CRDs are often applied a moment later; one GET per five minutes in the long run. */
		wait = clock_min((now - w->missing_since) / 2 + CLOCK_S, w->times.missing);
	}
	if (wait)
		wait_for(w, watch_wait(end, wait, clock_random()));
	else
		try_next(w);
}

/* The server knows no such resource. Right after a change of a CRD that is a passing state, so what was there is only given
 * up when it lasts. */
static void missing(struct watcher *w, int64_t now)
{
	bool first = !w->missing_since;
	if (first)
		w->missing_since = now;
	if (first || w->trouble)
		log_warn("resourceMissing", KV("resource", w->name), "%s: the server has no such resource; apply deploy/crds, or use --pool", w->name);
	set_trouble(w, NULL);
	if (HASH_COUNT(w->known) && now - w->missing_since < MISSING_PATIENCE)
		return;
	w->generation++;
	forget_unlisted(w);
	w->on.on_synced(w->on.data);
}

/* A list or watch has ended: what now? Says why, once per change. */
static void ended(struct watcher *w, struct watch_end *end, const char *method_message)
{
	int64_t now = clock_now();
	end->listing = w->state == LISTING;
	end->failures = w->failures;
	w->unreachable = end->error != 0;
	end->expired = w->expired;
	enum watch_next next = watch_decide(end);
	w->expired += end->code == 410;
	w->denials = next == WAIT_DENIED ? w->denials + 1 : 0;
	if (next == WATCH_AGAIN) {
		w->failures = w->expired = 0;
	} else if (next == LIST_AGAIN) {
		w->failures++;
		log_info("watchExpired", KV("resource", w->name), "%s: the server no longer has our place in its history; listing again", w->name);
	} else if (next == WAIT_MISSING) {
		missing(w, now);
	} else {
		w->failures++;
		w->stats.failures++;
		if (!w->trouble)
			log_warn("watchFailed", KV("resource", w->name), "%s: %s; trying again", w->name, method_message);
		set_trouble(w, method_message);
	}
	go_on(w, next, end, now);
}

/* ---- listing ---- */

static void listed(struct watcher *w, const char *version)
{
	mem_replace(&w->version, version);
	mem_replace(&w->continue_token, NULL);
	w->unpaged = false;
	w->missing_since = 0;
	forget_unlisted(w);
	if (w->trouble)
		log_info("watchRestored", KV("resource", w->name), "%s: the API server answers again", w->name);
	set_trouble(w, NULL);
	w->on.on_synced(w->on.data);
	try_next(w);
}

static void page_came(struct watcher *w, json_t *body)
{
	const json_t *metadata = json_object_get(body, "metadata");
	json_t *items = json_object_get(body, "items");
	const char *version = json_string_value(json_object_get(metadata, "resourceVersion"));
	const char *token = json_string_value(json_object_get(metadata, "continue"));
	for (size_t i = 0; i < json_array_size(items); i++)
		deliver(w, json_array_get(items, i));
	if (token && *token) {
		mem_replace(&w->continue_token, token);
		try_next(w);
	} else {
		listed(w, version && *version ? version : "0");
	}
}

static bool is_list(const json_t *body)
{
	const char *kind = json_string_value(json_object_get(body, "kind"));
	size_t n = kind ? strlen(kind) : 0;
	return n > 4 && strcmp(kind + n - 4, "List") == 0;
}

static void on_list_done(void *data, const struct http_result *result)
{
	struct watcher *w = data;
	struct api_failure failure = {0};
	struct watch_end end = {.status = result->status, .error = result->error, .retry_after = result->retry_after};
	json_t *body = NULL;
	w->transfer = NULL;
	if (result->status == 200 && !result->error) {
		body = json_loadb(result->body->data ? result->body->data : "", result->body->len, API_PARSE, NULL);
		if (is_list(body)) {
			page_came(w, body);
			json_decref(body);
			return;
		}
		end.error = -EBADMSG;
		api_describe(&failure, "GET", w->request_path, 200, -EBADMSG, "the answer is not a list", "", 0);
	} else {
		api_describe(&failure, "GET", w->request_path, result->status, result->error, result->message, buffer_string(result->body), result->body->len);
		end.code = result->error ? 0 : failure.code;
		w->unpaged = end.code == 410 && w->continue_token;
	}
	json_decref(body);
	ended(w, &end, failure.message);
}

static void start_list(struct watcher *w)
{
	struct buffer path = BUFFER_INIT;
	if (!w->continue_token)
		w->generation++;
	buffer_printf(&path, "%s?", w->path);
	if (w->cached)
		buffer_text(&path, "resourceVersion=0&");
	else if (!w->unpaged)
		buffer_printf(&path, "limit=%u&", w->page);
	if (w->continue_token)   /* base64url: needs no escaping */
		buffer_printf(&path, "continue=%s&", w->continue_token);
	if (w->selector)
		buffer_text(&path, w->selector);
	w->state = LISTING;
	w->stats.lists++;
	w->listed_at = clock_now();
	deadline_set(&w->timer, CLOCK_NEVER);
	mem_replace(&w->request_path, buffer_string(&path));
	struct http_request request = {.method = "GET", .path = w->request_path, .timeout = w->times.list_timeout, .body_max = LIST_MAX,
				       .on_done = on_list_done, .data = w};
	w->transfer = http_start(api_http(w->api), &request);
	buffer_free(&path);
}

/* ---- watching ---- */

static void remember_version(struct watcher *w, const json_t *object)
{
	const char *version = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
	if (version && *version)
		mem_replace(&w->version, version);
}

static void in_stream_error(struct watcher *w, const json_t *status)
{
	const json_t *code = json_object_get(status, "code");
	w->in_stream_code = json_is_integer(code) ? (int)json_integer_value(code) : 500;
}

static void take_event(struct watcher *w, json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "type"));
	json_t *object = json_object_get(event, "object");
	if (!type || !json_is_object(object)) {
		w->broken_stream = true;
		return;
	}
	w->events_in_watch++;
	if (strcmp(type, "ERROR") == 0) {
		in_stream_error(w, object);
		return;
	}
	w->failures = w->expired = 0;
	remember_version(w, object);
	if (strcmp(type, "BOOKMARK") == 0) {
		w->stats.bookmarks++;
		return;
	}
	w->stats.events++;
	char *key = object_key(object);
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		deliver(w, object);
	else if (strcmp(type, "DELETED") == 0 && key)
		forget(w, key, object);
	else
		log_debug("watchUnknownEvent", KV("resource", w->name), "%s: event of unknown type %.40s ignored", w->name, type);
	free(key);
}

static void set_stall(struct watcher *w)
{
	deadline_set(&w->timer, w->last_byte + w->times.stall);
}

/* Cuts whole lines off the stream. Only bytes that are new are searched for a newline. */
static void on_watch_data(void *data, int status, struct buffer *bytes)
{
	struct watcher *w = data;
	if (status != 200)
		return;
	if (w->trouble) {   /* the answer's head is enough: a quiet resource sends nothing for a minute */
		log_info("watchRestored", KV("resource", w->name), "%s: the API server answers again", w->name);
		set_trouble(w, NULL);
	}
	w->last_byte = clock_now();
	set_stall(w);
	size_t start = 0;
	char *newline;
	while (bytes->len && !w->broken_stream && !w->in_stream_code && w->state == WATCHING &&
	       (newline = memchr(bytes->data + start, '\n', bytes->len - start))) {
		size_t len = (size_t)(newline - bytes->data) - start;
		json_t *event = json_loadb(bytes->data + start, len, API_PARSE, NULL);
		start += len + 1;
		if (event)
			take_event(w, event);
		else if (len)
			w->broken_stream = true;
		json_decref(event);
	}
	if (w->state != WATCHING)
		return;   /* a callback stopped us: the buffer is gone */
	buffer_consume(bytes, start);
	if (!w->broken_stream && !w->in_stream_code)
		return;
	drop_transfer(w);
	struct watch_end end = {.status = 200, .code = w->in_stream_code, .error = w->broken_stream ? -EBADMSG : 0,
				.lasted = clock_now() - w->began, .events = w->events_in_watch};
	ended(w, &end, w->broken_stream ? "the watch sent a line that is not an event" : "the watch ended with an error");
}

static void on_watch_done(void *data, const struct http_result *result)
{
	struct watcher *w = data;
	struct api_failure failure = {0};
	struct watch_end end = {.status = result->status, .error = result->error, .retry_after = result->retry_after,
				.lasted = clock_now() - w->began, .events = w->events_in_watch};
	w->transfer = NULL;
	if (result->status == 200 && result->error == 0) {
		ended(w, &end, "the watch ended at once without an event");
		return;
	}
	api_describe(&failure, "GET", w->request_path, result->status, result->error, result->message, buffer_string(result->body), result->body->len);
	end.code = result->status == 200 ? 0 : failure.code;
	end.too_large_version = result->status == 504;
	ended(w, &end, failure.message);
}

static void start_watch(struct watcher *w)
{
	struct buffer path = BUFFER_INIT;
	int64_t lifetime = w->times.watch_least + (int64_t)((double)w->times.watch_least * clock_random());
	buffer_printf(&path, "%s?watch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%d", w->path, w->version,
		      (int)(lifetime / CLOCK_S));
	if (w->selector)
		buffer_printf(&path, "&%s", w->selector);
	w->state = WATCHING;
	w->stats.watches++;
	w->in_stream_code = 0;
	w->broken_stream = false;
	w->events_in_watch = 0;
	w->began = w->last_byte = clock_now();
	set_stall(w);
	mem_replace(&w->request_path, buffer_string(&path));
	/* The server was told when to end; the deadline is for one that forgets (k/k #102464). */
	struct http_request request = {.method = "GET", .path = w->request_path, .timeout = lifetime + WATCH_SLACK, .body_max = EVENT_MAX,
				       .on_data = on_watch_data, .on_done = on_watch_done, .data = w};
	w->transfer = http_start(api_http(w->api), &request);
	buffer_free(&path);
}

static void try_next(struct watcher *w)
{
	if (w->version)
		start_watch(w);
	else
		start_list(w);
}

static void on_timer(void *data)
{
	struct watcher *w = data;
	if (w->state == WAITING) {
		try_next(w);
	} else if (w->state == WATCHING) {
		log_info("watchStalled", KV("resource", w->name), "%s: no byte for %d s; opening the watch anew", w->name, (int)(w->times.stall / CLOCK_S));
		drop_transfer(w);
		struct watch_end end = {.status = 200, .error = -ETIMEDOUT, .lasted = clock_now() - w->began, .events = w->events_in_watch};
		ended(w, &end, "no byte for too long");
	}
}

/* ---- verbs ---- */

void watcher_init(struct watcher **watcherp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct watcher_config *config)
{
	struct watcher *w = mem_zalloc(sizeof(*w));
	w->turn = turn;
	w->api = api;
	w->on = *config;
	w->name = mem_strdup(config->name);
	w->path = mem_strdup(config->path);
	w->selector = mem_strdup(config->selector);
	w->cached = config->cached;
	w->page = config->page ? config->page : PAGE;
	w->times = config->times;
	w->backoff = BACKOFF_INIT(w->times.retry_first, w->times.retry_max, w->times.healthy_after);
	deadline_init(&w->timer, loop, on_timer, w);
	*watcherp = w;
}

void watcher_start(struct watcher *w)
{
	if (w->state == STOPPED)
		try_next(w);
}

void watcher_select(struct watcher *w, const char *selector)
{
	if (w->selector && strcmp(w->selector, selector) == 0)
		return;
	mem_replace(&w->selector, selector);
	mem_replace(&w->version, NULL);
	mem_replace(&w->continue_token, NULL);
	if (w->state == STOPPED)
		return;
	int64_t wait = w->listed_at + w->times.reselect - clock_now();
	drop_transfer(w);
	if (w->state == WAITING && w->trouble)
		return;   /* the next try uses it */
	if (wait > 0)
		wait_for(w, wait);
	else
		try_next(w);
}

void watcher_hurry(struct watcher *w)
{
	if (w->state == WAITING && w->trouble && w->unreachable)
		deadline_set(&w->timer, 0);
}

bool watcher_knows(const struct watcher *w, const char *key)
{
	struct known *k;
	HASH_FIND_STR(w->known, key, k);
	return k != NULL;
}

static void halt(struct watcher *w)
{
	drop_transfer(w);
	w->state = STOPPED;
	deadline_set(&w->timer, CLOCK_NEVER);
}

void watcher_stop(struct watcher *w)
{
	halt(w);
	set_trouble(w, NULL);   /* who asks for nothing has no trouble: else the owner would wait for ever for its end */
}

static void on_timer_closed(void *data)
{
	struct watcher *w = data;
	struct known *k, *tmp;
	HASH_ITER(hh, w->known, k, tmp)
		known_free(w, k);
	free(w->name);
	free(w->path);
	free(w->selector);
	free(w->request_path);
	free(w->version);
	free(w->continue_token);
	free(w);
}

void watcher_close(struct watcher *w)
{
	if (!w)
		return;
	halt(w);
	deadline_close(&w->timer, on_timer_closed);
}

const struct watcher_stats *watcher_stats(const struct watcher *w)
{
	return &w->stats;
}
