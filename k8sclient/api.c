#include "k8sclient/api.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define TIMEOUT (10 * CLOCK_S)
#define ANSWER_MAX (16u * 1024 * 1024)
#define IN_FLIGHT 4           /* connections for ordinary requests */
#define RATE_PER_S 50.0       /* ownership.md: Lease writes <= 50/s a node; reads are rare */
#define RATE_BURST 100.0
#define TRIES 10
#define BACKGROUND_MAX 2000   /* waiting; more are dropped */

struct api_call {
	struct api *api;
	struct api_call *prev, *next; /* in its queue, oldest first */
	bool background;
	struct http_transfer *transfer;
	char *method, *path, *content_type, *body;
	int64_t timeout;
	int64_t not_before;           /* CLOCK_NEVER while in flight */
	int tries;
	void (*on_result)(void *data, const struct api_result *result);
	void *data;
};

struct api {
	struct turn *turn;
	struct credentials *credentials;
	struct http *http;
	struct api_call *calls, *background;   /* two queues; what informs only waits for what matters */
	size_t n_background;
	size_t in_flight, pending;
	uint64_t failures;
	size_t in_flight_max;
	double rate, burst;
	double tokens;
	int64_t filled_at;
	struct deadline wake;
};

/* ---- words for failures ---- */

/* The first line that is not blank; control characters, which a terminal would obey, as '?'. */
static void first_line(char *out, size_t size, const char *text, size_t len)
{
	size_t n = 0;
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	for (; n < len && n + 1 < size && n < 300 && text[n] && text[n] != '\n' && text[n] != '\r'; n++)
		out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
	out[n] = '\0';
}

static const char *remedy(int status, int error)
{
	switch (status) {
	case 401:
		return "; the credentials are not accepted: check token or certificate (expired?)";
	case 403:
		return "; apply deploy/rbac.yaml or grant this user the verb";
	}
	switch (error) {
	case -ECONNREFUSED:
		return "; is the API server up and the address right?";
	case -EPROTO:
		return "; check certificate-authority and the server's certificate";
	case -EHOSTUNREACH:
		return "; check the server's name";
	}
	return "";
}

void api_describe(struct api_failure *f, const char *method, const char *path, int status, int error, const char *transport_message,
		  const char *body, size_t body_len)
{
	char why[400] = "";
	size_t shown = strcspn(path, "?");
	*f = (struct api_failure){.code = status};
	json_t *object = body_len ? json_loadb(body, body_len, API_PARSE, NULL) : NULL;
	const char *reason = json_string_value(json_object_get(object, "reason"));
	const char *message = json_string_value(json_object_get(object, "message"));
	const json_t *code = json_object_get(object, "code");
	if (json_is_integer(code))
		f->code = (int)json_integer_value(code);
	if (reason)
		snprintf(f->reason, sizeof(f->reason), "%s", reason);
	if (error)
		first_line(why, sizeof(why), transport_message, strlen(transport_message));
	else if (message)
		first_line(why, sizeof(why), message, strlen(message));
	else   /* not every error is a Status: proxies send HTML, max-inflight plain text */
		first_line(why, sizeof(why), body ? body : "", body_len);
	if (error)
		snprintf(f->message, sizeof(f->message), "%s %.*s: %s%s", method, (int)shown, path, why, remedy(status, error));
	else
		snprintf(f->message, sizeof(f->message), "%s %.*s: %d%s%s%s", method, (int)shown, path, status, *why ? " " : "", why, remedy(status, error));
	json_decref(object);
}

/* ---- the queue ---- */

static void call_free(struct api_call *call)
{
	struct api *api = call->api;
	if (call->background) {
		DL_DELETE(api->background, call);
		api->n_background--;
	} else {
		DL_DELETE(api->calls, call);
	}
	api->pending--;
	if (call->transfer) {
		api->in_flight--;
		http_cancel(call->transfer);
	}
	free(call->method);
	free(call->path);
	free(call->content_type);
	free(call->body);
	free(call);
}

static void report(struct api_call *call, const struct http_result *http)
{
	struct api_failure failure = {0};
	struct api_result result = {.status = http->status, .error = http->error, .reason = "", .message = ""};
	json_error_t at;
	if (http->body->len && http->error == 0)
		result.body = json_loadb(http->body->data, http->body->len, API_PARSE, &at);
	if (http->error == 0 && http->status >= 200 && http->status < 300) {
		if (!result.body && http->body->len) {
			result.error = -EBADMSG;
			api_describe(&failure, call->method, call->path, http->status, -EBADMSG, "the answer is not JSON", "", 0);
		}
	} else {
		api_describe(&failure, call->method, call->path, http->status, http->error, http->message, buffer_string(http->body), http->body->len);
	}
	if (!api_succeeded(&result) && result.status != 404 && result.status != 409)
		call->api->failures++;
	result.reason = failure.reason;
	result.message = failure.message;
	void (*on_result)(void *data, const struct api_result *) = call->on_result;
	void *data = call->data;
	call_free(call);
	on_result(data, &result);
	json_decref(result.body);
}

static bool worth_retrying(const struct api_call *call, const struct http_result *http)
{
	if (call->tries >= TRIES)
		return false;
	if (http->retry_after && (http->status == 429 || http->status >= 500))
		return true;
	if (http->status == 429)
		return true;
	/* A kept connection that the server had closed: reading again cannot hurt. */
	return http->error == -EIO && call->tries < 2 && strcmp(call->method, "GET") == 0;
}

static void on_done(void *data, const struct http_result *http)
{
	struct api_call *call = data;
	struct api *api = call->api;
	call->transfer = NULL;   /* http frees it */
	api->in_flight--;
	if (worth_retrying(call, http)) {
		int64_t wait = http->error ? 0 : http->retry_after ? http->retry_after : CLOCK_S;
		call->not_before = clock_now() + wait + (int64_t)((double)wait * 0.25 * clock_random());
		log_debug("apiRetry", NO_KV, "%s %s: %d, waiting %d ms as told", call->method, call->path, http->status, (int)(wait / CLOCK_MS));
	} else {
		report(call, http);
	}
	turn_again(api->turn);
}

static void dispatch(struct api *api, struct api_call *call)
{
	call->not_before = CLOCK_NEVER;
	call->tries++;
	api->in_flight++;
	api->tokens -= 1.0;
	struct http_request request = {
		.method = call->method, .path = call->path, .content_type = call->content_type, .body = call->body,
		.timeout = call->timeout, .body_max = ANSWER_MAX, .on_done = on_done, .data = call,
	};
	call->transfer = http_start(api->http, &request);
}

/* Starts what can be started of one queue; *wakep: when there is more. True: something had to wait for a place. */
static bool start_calls(struct api *api, struct api_call *first, size_t most, int64_t now, int64_t *wakep)
{
	for (struct api_call *call = first; call; call = call->next) {
		if (call->not_before == CLOCK_NEVER)
			continue;
		if (call->not_before > now) {
			*wakep = clock_min(*wakep, call->not_before);
		} else if (api->in_flight >= most) {
			return true;
		} else if (api->tokens < 1.0) {
			*wakep = clock_min(*wakep, now + 20 * CLOCK_MS);
			return true;
		} else {
			dispatch(api, call);
		}
	}
	return false;
}

static void api_step(void *data)
{
	struct api *api = data;
	int64_t now = clock_now(), wake = CLOCK_NEVER;
	api->tokens += (double)(now - api->filled_at) / 1e6 * api->rate;
	api->tokens = api->tokens > api->burst || api->rate <= 0.0 ? api->burst : api->tokens;
	api->filled_at = now;
	if (!start_calls(api, api->calls, api->in_flight_max, now, &wake))
		start_calls(api, api->background, (api->in_flight_max + 3) / 4, now, &wake);
	deadline_set(&api->wake, wake);
}

static void on_wake(void *data)
{
	struct api *api = data;
	turn_again(api->turn);
}

void api_init(struct api **apip, uv_loop_t *loop, struct turn *turn, struct credentials *credentials, struct http *http)
{
	struct api *api = mem_zalloc(sizeof(*api));
	api->turn = turn;
	api->credentials = credentials;
	api->http = http;
	api->in_flight_max = IN_FLIGHT;
	api->rate = RATE_PER_S;
	api->tokens = api->burst = RATE_BURST;
	api->filled_at = clock_now();
	deadline_init(&api->wake, loop, on_wake, api);
	turn_add(turn, api_step, api);
	*apip = api;
}

void api_set_limits(struct api *api, size_t in_flight, double rate)
{
	api->in_flight_max = in_flight;
	api->rate = rate;
}

struct api_call *api_send(struct api *api, const struct api_request *request)
{
	if (request->background && api->n_background >= BACKGROUND_MAX)
		return NULL;
	struct api_call *call = mem_zalloc(sizeof(*call));
	call->api = api;
	call->method = mem_strdup(request->method);
	call->path = mem_strdup(request->path);
	call->content_type = mem_strdup(request->content_type);
	call->body = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
	call->timeout = request->timeout ? request->timeout : TIMEOUT;
	call->on_result = request->on_result;
	call->data = request->data;
	call->background = request->background;
	if (call->background) {
		DL_APPEND(api->background, call);
		api->n_background++;
	} else {
		DL_APPEND(api->calls, call);
	}
	api->pending++;
	turn_again(api->turn);
	return call;
}

void api_cancel(struct api_call *call)
{
	if (call)
		call_free(call);
}

struct http *api_http(struct api *api)
{
	return api->http;
}

size_t api_pending(const struct api *api)
{
	return api->pending;
}

uint64_t api_failures(const struct api *api)
{
	return api->failures;
}

static void on_deadline_closed(void *data)
{
	free(data);
}

void api_close(struct api *api)
{
	while (api->calls)
		call_free(api->calls);
	while (api->background)
		call_free(api->background);
	deadline_close(&api->wake, on_deadline_closed);
}
