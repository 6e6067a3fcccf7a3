#include "tests/sim/server.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "tests/sim/observer.h"

#define PAST 256
#define CUSTOM_LATE (8 * CLOCK_S)   /* as measured */
#define WALL_BEGAN INT64_C(1767225600)

static struct {
	struct simapi *store;
	bool up;
	int64_t custom_at;   /* then custom resources are served */
	struct {
		int64_t at;
		uint64_t version;
	} past[PAST];   /* a ring: since when which version was the newest */
	size_t n_past;
} server;

void server_begin(void)
{
	memset(&server, 0, sizeof(server));
	server.store = simapi_new();
	server.up = true;
}

void server_forget_past(void)
{
	server.n_past = 1;
	server.past[0].at = INT64_MIN;
	server.past[0].version = simapi_version(server.store);
}

void server_end(void)
{
	requests_end();
	simapi_free(server.store);
	server.store = NULL;
}

struct simapi *server_store(void)
{
	return server.store;
}

bool server_up(void)
{
	return server.up;
}

void server_set_up(bool up)
{
	if (up == server.up)
		return;
	server.up = up;
	world_say("API server %s", up ? "is back" : "stops");
	if (up)
		server.custom_at = world.now + chance_between(&world.chance, 0, CUSTOM_LATE);
	else
		watching_server_down();
}

bool server_refuses(const char *path)
{
	return world.now < server.custom_at && strncmp(path, "/apis/metallb.io/", 17) == 0;
}

void server_compact(void)
{
	world_say("API server compacts");
	simapi_compact(server.store);
}

void server_cut(struct host *h, int by)
{
	h->api_cut += (unsigned)by;
	if (h->api_cut == (by > 0 ? 1 : 0)) {
		world_say("%s: its way to the API server is %s", h->name, by > 0 ? "cut" : "free again");
		if (by > 0)
			h->api_cut_since = world.now;
		else
			watching_free_again(h);
	}
}

static void note_version(void)
{
	uint64_t version = simapi_version(server.store);
	if (server.n_past && server.past[(server.n_past - 1) % PAST].version == version)
		return;
	server.past[server.n_past % PAST].at = world.now;
	server.past[server.n_past++ % PAST].version = version;
}

uint64_t server_version_at(int64_t lag)
{
	size_t i = server.n_past, oldest = i > PAST ? i - PAST : 0;
	if (lag <= 0 || i == 0)
		return simapi_version(server.store);
	while (i > oldest + 1 && server.past[(i - 1) % PAST].at > world.now - lag)
		i--;
	return server.past[(i - 1) % PAST].version;
}

/* Which version the writer has seen, by his body: "" when he does not say. */
static const char *version_seen(const char *method, const json_t *body)
{
	const json_t *where = json_object_get(body, strcmp(method, "DELETE") == 0 ? "preconditions" : "metadata");
	const char *version = json_string_value(json_object_get(where, "resourceVersion"));
	return version ? version : "";
}

/* Nobody may overwrite what he has not seen: one owner per address stands on that. */
static bool is_last(const char *path, const char *version)
{
	json_t *object = NULL;
	int status = simapi_request(server.store, "GET", path, NULL, NULL, &object);
	const char *last = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
	bool is = status != 200 || (last && strcmp(last, version) == 0);
	json_decref(object);
	return is;
}

int server_request(const char *method, const char *path, const char *content_type, const json_t *body, json_t **replyp)
{
	uint64_t before = simapi_version(server.store);
	const char *version = strcmp(method, "GET") == 0 || strcmp(method, "POST") == 0 ? "" : version_seen(method, body);
	bool stale = *version && !is_last(path, version);
	simapi_set_time(server.store, WALL_BEGAN + world.now / CLOCK_S);
	int status = simapi_request(server.store, method, path, content_type, body, replyp);
	if (stale && status < 300)
		world_wrong("stale-write", "%s %s is done, though the writer has not seen the last version", method, path);
	if (simapi_version(server.store) != before) {
		note_version();
		observer_written(method, path, *replyp);
		watching_changed(path);
	}
	return status;
}

void server_do(const char *method, const char *path, json_t *body)
{
	json_t *reply = NULL;
	int status = server_request(method, path, strcmp(method, "PATCH") == 0 ? "application/merge-patch+json" : NULL, body, &reply);
	if (status < 200 || status > 299) {
		char *text = json_dumps(reply, JSON_COMPACT);
		fprintf(stderr, "sim: %s %s: %d %s\n", method, path, status, text ? text : "");
		free(text);
		abort();
	}
	json_decref(reply);
	json_decref(body);
}
