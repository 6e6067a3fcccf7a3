/* The API client by itself, for the contract tests: one JSON line per callback on stdout.
 *
 *   apiprobe FLAGS watch PATH [SELECTOR]      list and watch until SIGTERM
 *   apiprobe FLAGS request METHOD PATH [BODY] one request (PATCH: merge-patch)
 *   FLAGS: --kubeconfig FILE --context NAME --page N --stall MS --watch-least MS --retry-first MS --retry-max MS
 *          --denied MS --missing MS --lifetime MS
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/object_meta.h"
#include "k8sclient/watcher.h"

struct probe {
	uv_loop_t loop;
	struct turn turn;
	struct credentials credentials;
	struct http *http;
	struct api *api;
	struct watcher *watcher;
	uv_signal_t terminate;
	struct deadline lifetime;
	struct watcher_times times;
	const char *kubeconfig, *context;
	unsigned page;
	int64_t lives;
	int exit_code;
};

static void print(json_t *line)
{
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static void on_object(void *data, json_t *object)
{
	(void)data;
	char *key = object_key(object);
	json_t *meta = json_object_get(object, "metadata");
	print(json_pack("{s:s, s:s, s:O?, s:O?}", "event", "object", "key", key, "uid", json_object_get(meta, "uid"),
			"resourceVersion", json_object_get(meta, "resourceVersion")));
	free(key);
}

static void on_gone(void *data, const char *key, json_t *last)
{
	(void)data;
	print(json_pack("{s:s, s:s, s:b}", "event", "gone", "key", key, "last", last != NULL));
}

static void on_synced(void *data)
{
	struct probe *p = data;
	const struct watcher_stats *s = watcher_stats(p->watcher);
	print(json_pack("{s:s, s:i, s:i, s:i}", "event", "synced", "lists", (int)s->lists, "watches", (int)s->watches, "bookmarks", (int)s->bookmarks));
}

static void on_trouble(void *data, const char *why)
{
	struct probe *p = data;
	const struct watcher_stats *s = watcher_stats(p->watcher);
	print(json_pack("{s:s, s:s?, s:i, s:i, s:i}", "event", "trouble", "why", why, "lists", (int)s->lists, "watches", (int)s->watches,
			"bookmarks", (int)s->bookmarks));
}

static void finish(struct probe *p)
{
	if (uv_is_closing((uv_handle_t *)&p->terminate))
		return;
	if (p->watcher) {
		const struct watcher_stats *s = watcher_stats(p->watcher);
		print(json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "event", "end", "lists", (int)s->lists, "watches", (int)s->watches,
				"events", (int)s->events, "bookmarks", (int)s->bookmarks, "failures", (int)s->failures));
	}
	watcher_close(p->watcher);
	api_close(p->api);
	http_close(p->http, NULL, NULL);
	uv_close((uv_handle_t *)&p->terminate, NULL);
	deadline_close(&p->lifetime, NULL);
	turn_close(&p->turn);
}

static void on_result(void *data, const struct api_result *r)
{
	struct probe *p = data;
	print(json_pack("{s:s, s:i, s:i, s:s, s:s, s:O?}", "event", "result", "status", r->status, "error", r->error, "reason", r->reason,
			"message", r->message, "body", r->body));
	p->exit_code = api_succeeded(r) ? 0 : 1;
	deadline_set(&p->lifetime, 0);   /* http must not be closed from one of its callbacks */
}

static void on_terminate(uv_signal_t *signal, int number)
{
	(void)number;
	finish(signal->data);
}

static void on_lifetime(void *data)
{
	finish(data);
}

static int take_flags(struct probe *p, int argc, char **argv)
{
	struct {
		const char *name;
		int64_t *place;
	} times[] = {{"--stall", &p->times.stall}, {"--watch-least", &p->times.watch_least}, {"--retry-first", &p->times.retry_first},
		     {"--retry-max", &p->times.retry_max}, {"--denied", &p->times.denied}, {"--missing", &p->times.missing}, {"--lifetime", &p->lives}};
	int at = 1;
	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
		if (strcmp(argv[at], "--kubeconfig") == 0)
			p->kubeconfig = argv[at + 1];
		else if (strcmp(argv[at], "--context") == 0)
			p->context = argv[at + 1];
		else if (strcmp(argv[at], "--page") == 0)
			p->page = (unsigned)atoi(argv[at + 1]);
		for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
			if (strcmp(argv[at], times[i].name) == 0)
				*times[i].place = atoll(argv[at + 1]) * CLOCK_MS;
	}
	return at;
}

static int start(struct probe *p, int argc, char **argv, int at)
{
	if (argc - at >= 2 && strcmp(argv[at], "watch") == 0) {
		struct watcher_config config = {.name = argv[at + 1], .path = argv[at + 1], .selector = argc - at > 2 ? argv[at + 2] : NULL,
						.page = p->page, .times = p->times, .on_object = on_object, .on_gone = on_gone,
						.on_synced = on_synced, .on_trouble = on_trouble, .data = p};
		watcher_init(&p->watcher, &p->loop, &p->turn, p->api, &config);
		watcher_start(p->watcher);
		return 0;
	}
	if (argc - at >= 3 && strcmp(argv[at], "request") == 0) {
		const char *method = argv[at + 1];
		json_t *body = argc - at > 3 ? json_loads(argv[at + 3], 0, NULL) : NULL;
		struct api_request request = {.method = method, .path = argv[at + 2], .body = body, .on_result = on_result, .data = p,
					      .content_type = !body ? NULL : strcmp(method, "PATCH") == 0 ? API_MERGE_PATCH : API_JSON};
		api_send(p->api, &request);
		json_decref(body);
		return 0;
	}
	fprintf(stderr, "usage: apiprobe [FLAG VALUE...] watch PATH [SELECTOR] | request METHOD PATH [BODY]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct probe probe;
	struct probe *p = &probe;
	struct error err;
	p->times = WATCHER_TIMES;
	int at = take_flags(p, argc, argv);
	struct credentials_request request = {.kubeconfig = p->kubeconfig, .context = p->context};
	if (credentials_load(&p->credentials, &request, &err) < 0) {
		fprintf(stderr, "apiprobe: %s\n", err.text);
		return 3;
	}
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&p->loop);
	turn_init(&p->turn, &p->loop);
	http_init(&p->http, &p->loop, &p->turn, &p->credentials, "apiprobe");
	turn_add(&p->turn, http_step, p->http);
	api_init(&p->api, &p->loop, &p->turn, &p->credentials, p->http);
	uv_signal_init(&p->loop, &p->terminate);
	p->terminate.data = p;
	uv_signal_start(&p->terminate, on_terminate, SIGTERM);
	deadline_init(&p->lifetime, &p->loop, on_lifetime, p);
	if (p->lives)
		deadline_set(&p->lifetime, clock_now() + p->lives);
	p->exit_code = start(p, argc, argv, at);
	if (p->exit_code)
		finish(p);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	int closed = uv_loop_close(&p->loop);
	credentials_free(&p->credentials);
	return closed ? 70 : p->exit_code;   /* 70: a handle was left open */
}
