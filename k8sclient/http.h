/* HTTP/1.1 on the loop; the only file that knows libcurl. libcurl's callbacks only record; http_step (a step of the turn,
 * turn.h) hands over what came. One connection per running transfer; idle ones are kept for the next. Where an exec plugin
 * gives the credentials (exec_plugin.h), it is run from here, and transfers wait for it.
 *
 * A transfer lives from http_start until its on_done has returned, or until http_cancel. */
#ifndef K8SCLIENT_HTTP_H
#define K8SCLIENT_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "config/base/buffer.h"
#include "config/base/turn.h"
#include "k8sclient/credentials.h"

struct http;
struct http_transfer;

struct http_result {
	int status;                 /* HTTP status; 0: no answer came */
	int error;                  /* 0, or a negative errno: -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, -EPROTO (TLS), -EIO,
	                             * -ENOKEY (the exec plugin gave no credentials; its own log line has said so) */
	const char *message;        /* what went wrong, in words; "" when nothing */
	int64_t retry_after;        /* microseconds the server asked us to wait; 0: it did not */
	const struct buffer *body;  /* bytes that on_data did not take */
};

struct http_request {
	const char *method;         /* GET POST PUT PATCH DELETE */
	const char *path;           /* from the slash on, query included */
	const char *content_type;   /* NULL: no body */
	const char *body;           /* copied */
	int64_t timeout;            /* for the whole exchange, and for waiting for credentials before it; microseconds, 0: none */
	size_t body_max;            /* an answer larger than this fails with -EFBIG */
	/* A stream: may consume from the buffer (buffer_consume); NULL: all is kept for on_done. status is known by then. */
	void (*on_data)(void *data, int status, struct buffer *bytes);
	void (*on_done)(void *data, const struct http_result *result);
	void *data;
};

int http_init(struct http **httpp, uv_loop_t *loop, struct turn *turn, struct credentials *credentials, const char *user_agent);
void http_step(void *http);
struct http_transfer *http_start(struct http *http, const struct http_request *request);
void http_cancel(struct http_transfer *transfer);   /* NULL is fine; no callback follows */

/* Cancels everything; not from one of its callbacks. on_close runs when the last handle is closed and http is freed. */
void http_close(struct http *http, void (*on_close)(void *data), void *data);

#endif
