/* Ordinary requests to an API server: JSON in and out, one line of text for each failure, 429 and 5xx with Retry-After
 * waited out, a few at a time and at a bounded rate. Watches go through watcher.h.
 *
 * Writes are not repeated when the connection broke (the server may have done them): callers look again and decide anew. */
#ifndef K8SCLIENT_API_H
#define K8SCLIENT_API_H

#include <jansson.h>

#include "k8sclient/http.h"

#define API_JSON "application/json"
#define API_MERGE_PATCH "application/merge-patch+json"

/* How answers are parsed: anybody may write \u0000 into an annotation, and that must not break the list for all. */
#define API_PARSE JSON_ALLOW_NUL

struct api;
struct api_call;

struct api_result {
	int status;            /* HTTP status; 0: no answer came */
	int error;             /* negative errno when no answer came or its body is not JSON; else 0 */
	const char *reason;    /* the Status object's reason ("Conflict", "Forbidden", ...); "" */
	const char *message;   /* one line for people: which request failed and why; "" on success */
	json_t *body;          /* the answer's object; borrowed, NULL when there is none */
};

struct api_request {
	const char *method, *path;
	const char *content_type;   /* NULL: no body */
	json_t *body;               /* borrowed for the call */
	bool background;            /* an Event: sent when nothing that matters waits; dropped (NULL) when thousands wait */
	int64_t timeout;            /* per try, microseconds; 0: the default of 10 s */
	void (*on_result)(void *data, const struct api_result *result);
	void *data;
};

static inline bool api_succeeded(const struct api_result *r)
{
	return r->error == 0 && r->status >= 200 && r->status < 300;
}

void api_init(struct api **apip, uv_loop_t *loop, struct turn *turn, struct credentials *credentials, struct http *http);

/* How many requests may be under way at once, and how many a second may start (0: as many as the server takes). The
 * defaults suit one node of many; the leader of a cluster may ask for more: it is limited by the server's 429. */
void api_set_limits(struct api *api, size_t in_flight, double rate);
struct api_call *api_send(struct api *api, const struct api_request *request);
void api_cancel(struct api_call *call);   /* NULL is fine; no callback follows */
struct http *api_http(struct api *api);

/* Number of calls sent or waiting. */
size_t api_pending(const struct api *api);

/* How many calls ended without success, other than by 404 and 409, which callers count with. */
uint64_t api_failures(const struct api *api);
void api_close(struct api *api);   /* cancels all; before http_close */

/* Turns an HTTP result into words: used by the watcher too. message: "GET /path: <why>; <remedy>". Pure. */
struct api_failure {
	char reason[64];
	char message[640];
	int code;   /* the Status object's code, else the HTTP status */
};
void api_describe(struct api_failure *f, const char *method, const char *path, int status, int error, const char *transport_message,
		  const char *body, size_t body_len);

#endif
