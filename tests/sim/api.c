/* k8sclient/api.h on the simulated API server: a queue of requests like the real one's, the way there and back, and what can
 * happen to it: nobody listens (refused at once), packets are lost (TCP sends them again until the time is up). A write may be
 * done and its answer lost. */
#include "k8sclient/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "config/base/memory.h"
#include "tests/sim/process.h"
#include "tests/sim/server.h"

#define TIMEOUT (10 * CLOCK_S)
#define IN_FLIGHT 4
#define RATE_PER_S 50.0
#define RATE_BURST 100.0
#define RETRANSMIT (200 * CLOCK_MS)   /* doubled each time */
#define REFUSED 400                   /* microseconds until "connection refused" */

struct api_call {
	struct api *api;               /* NULL: cancelled, or over */
	struct api_call *prev, *next;
	struct api_call *all_prev, *all_next;
	struct host *host;
	char *method, *path, *content_type;
	json_t *body, *reply;
	int64_t timeout;
	int status, error, tries;
	unsigned pending;              /* on the agenda, or in a stopped process's inbox */
	bool waiting;                  /* in the queue */
	void (*on_result)(void *data, const struct api_result *result);
	void *data;
};

struct api {
	struct host *host;
	struct api_call *calls;
	size_t n_calls, in_flight, in_flight_max;
	double rate, burst, tokens;
	int64_t filled_at;
	bool pump_planned;
	uint64_t failures;
};

static struct api_call *all;

static void call_free(struct api_call *c)
{
	DL_DELETE2(all, c, all_prev, all_next);
	free(c->method);
	free(c->path);
	free(c->content_type);
	json_decref(c->body);
	json_decref(c->reply);
	free(c);
}

static void call_release(struct api_call *c)
{
	if (!c->api && c->pending == 0)
		call_free(c);
}

static void plan(struct api_call *c, int64_t at, void (*run)(void *, uint64_t))
{
	c->pending++;
	world_at(at, run, c, 0);
}

/* ---- the queue ---- */

static void dispatch(struct api_call *c);

static void on_pump(void *data, uint64_t incarnation);

static void pump(struct api *api)
{
	struct api_call *c, *next;
	api->tokens += (double)(world.now - api->filled_at) / 1e6 * api->rate;
	api->tokens = api->tokens > api->burst || api->rate <= 0.0 ? api->burst : api->tokens;
	api->filled_at = world.now;
	DL_FOREACH_SAFE(api->calls, c, next) {
		if (!c->waiting)
			continue;
		if (api->in_flight >= api->in_flight_max)
			return;
		if (api->tokens < 1.0) {
			if (!api->pump_planned)
				world_at(world.now + 20 * CLOCK_MS, on_pump, api->host, api->host->incarnation);
			api->pump_planned = true;
			return;
		}
		api->tokens -= 1.0;
		dispatch(c);
	}
}

static void on_pump(void *data, uint64_t incarnation)
{
	struct host *h = data;
	if (!h->process || h->incarnation != incarnation)
		return;
	h->process->api->pump_planned = false;
	pump(h->process->api);
}

static void leave_queue(struct api_call *c)
{
	struct api *api = c->api;
	DL_DELETE(api->calls, c);
	api->n_calls--;
	if (!c->waiting)
		api->in_flight--;
	c->api = NULL;
}

/* ---- the answer ---- */

static void deliver(void *data, uint64_t arg)
{
	struct api_call *c = (struct api_call *)(uintptr_t)arg;
	struct api *api = c->api;
	c->pending--;
	if (!data || !api) {
		call_release(c);
		return;
	}
	struct api_result result = {.status = c->status, .error = c->error, .reason = "", .message = "", .body = c->reply};
	const char *reason = json_string_value(json_object_get(c->reply, "reason")), *message = json_string_value(json_object_get(c->reply, "message"));
	if (c->error)
		result.message = strerror(-c->error);
	else if (c->status >= 300) {
		result.reason = reason ? reason : "";
		result.message = message ? message : "";
	}
	if (!api_succeeded(&result) && c->status != 404 && c->status != 409)
		api->failures++;
	leave_queue(c);
	c->pending++;   /* until the callback is over */
	c->on_result(c->data, &result);
	c->pending--;
	pump(api);
	call_release(c);
}

static void finish(struct api_call *c, int status, int error)
{
	if (!c->api || c->status || c->error) {   /* cancelled, or it has its answer already */
		call_release(c);
		return;
	}
	c->status = status;
	c->error = error;
	c->pending++;
	process_give(c->host->process, deliver, c->host->process, (uint64_t)(uintptr_t)c);
}

static void on_timeout(void *data, uint64_t arg)
{
	struct api_call *c = data;
	(void)arg;
	c->pending--;
	finish(c, 0, -ETIMEDOUT);
}

static void on_refused(void *data, uint64_t arg)
{
	struct api_call *c = data;
	(void)arg;
	c->pending--;
	finish(c, 0, -ECONNREFUSED);
}

static bool over(const struct api_call *c)
{
	return c->error != 0;   /* the time is up: nobody sends it again */
}

static void on_reply(void *data, uint64_t status)
{
	struct api_call *c = data;
	c->pending--;
	if (!c->api || over(c))
		call_release(c);
	else if (!server_up())
		finish(c, 0, -ECONNRESET);
	else if (c->host->api_cut) {
		c->pending++;
		world_at(world.now + (RETRANSMIT << (c->tries < 6 ? c->tries : 6)), on_reply, c, status);
		c->tries++;
	} else
		finish(c, (int)status, 0);
}

/* ---- the request ---- */

static bool reads(const struct api_call *c)
{
	return strcmp(c->method, "GET") == 0;
}

static void on_arrival(void *data, uint64_t arg)
{
	struct api_call *c = data;
	(void)arg;
	c->pending--;
	if (!server_up()) {
		finish(c, 0, -ECONNREFUSED);
		return;
	}
	int status = server_refuses(c->path) ? 429 : server_request(c->method, c->path, c->content_type, c->body, &c->reply);
	if (!reads(c))
		world_say("%s: %s %s: %d", c->host->name, c->method, c->path, status);
	c->tries = 0;
	c->pending++;
	world_at(world.now + chance_between(&world.chance, 200, reads(c) ? 1500 : 2500), on_reply, c, (uint64_t)status);
}

static void try_to_send(void *data, uint64_t arg)
{
	struct api_call *c = data;
	(void)arg;
	c->pending--;
	if (!c->api || over(c)) {
		call_release(c);
		return;
	}
	if (!server_up()) {
		plan(c, world.now + REFUSED, on_refused);
	} else if (c->host->api_cut) {
		plan(c, world.now + (RETRANSMIT << (c->tries < 6 ? c->tries : 6)), try_to_send);
		c->tries++;
	} else {
		plan(c, world.now + chance_between(&world.chance, 200, reads(c) ? 500 : 2500), on_arrival);
	}
}

static void dispatch(struct api_call *c)
{
	c->waiting = false;
	c->api->in_flight++;
	plan(c, world.now + c->timeout, on_timeout);
	c->pending++;
	try_to_send(c, 0);
}

/* ---- k8sclient/api.h ---- */

void api_init(struct api **apip, uv_loop_t *loop, struct turn *turn, struct credentials *credentials, struct http *http)
{
	struct api *api = mem_zalloc(sizeof(*api));
	(void)loop;
	(void)turn;
	(void)credentials;
	(void)http;
	*api = (struct api){.host = world.here, .in_flight_max = IN_FLIGHT, .rate = RATE_PER_S, .burst = RATE_BURST, .tokens = RATE_BURST,
			    .filled_at = world.now};
	*apip = api;
}

void api_set_limits(struct api *api, size_t in_flight, double rate)
{
	api->in_flight_max = in_flight;
	api->rate = rate;
}

struct api_call *api_send(struct api *api, const struct api_request *request)
{
	if (strstr(request->path, "/events"))   /* nobody reads them here */
		return NULL;
	struct api_call *c = mem_zalloc(sizeof(*c));
	*c = (struct api_call){.api = api, .host = api->host, .method = mem_strdup(request->method), .path = mem_strdup(request->path),
			       .content_type = mem_strdup(request->content_type), .body = json_incref(request->body), .waiting = true,
			       .timeout = request->timeout ? request->timeout : TIMEOUT, .on_result = request->on_result, .data = request->data};
	DL_APPEND(api->calls, c);
	DL_APPEND2(all, c, all_prev, all_next);
	api->n_calls++;
	c->pending++;   /* it may end before we return */
	pump(api);
	c->pending--;
	return c;
}

void api_cancel(struct api_call *c)
{
	if (!c)
		return;
	leave_queue(c);
	call_release(c);
}

struct http *api_http(struct api *api)
{
	(void)api;
	return NULL;
}

size_t api_pending(const struct api *api)
{
	return api->n_calls;
}

uint64_t api_failures(const struct api *api)
{
	return api->failures;
}

void api_close(struct api *api)
{
	while (api->calls)
		api_cancel(api->calls);
	free(api);
}

void api_describe(struct api_failure *f, const char *method, const char *path, int status, int error, const char *transport_message,
		  const char *body, size_t body_len)
{
	(void)method;
	(void)path;
	(void)error;
	(void)transport_message;
	(void)body;
	(void)body_len;
	*f = (struct api_failure){.code = status};
}

void requests_end(void)
{
	while (all)
		call_free(all);
}
