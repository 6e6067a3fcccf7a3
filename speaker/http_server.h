/* A small HTTP or HTTPS server on the loop; the only file that knows libmicrohttpd. For answers that are ready or nearly so:
 * GET and HEAD (others: 405), no request bodies (413), one request a connection.
 *
 * Whoever connects can do no harm: nothing here waits; a connection lives 10 seconds, whatever it does or leaves undone;
 * there are at most 24, and when more come the oldest makes room. */
#ifndef SPEAKER_HTTP_SERVER_H
#define SPEAKER_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "config/base/error.h"

struct http_server;
struct http_exchange;   /* a request, until it is answered */

struct http_server_config {
	const char *flag;      /* that gave the port, for the log: "--port" */
	unsigned port;
	bool loopback;         /* 127.0.0.1; else all interfaces, IPv4 and IPv6 */
	int tls_min_version;   /* 12, 13; 0: plain HTTP */
	/* Runs from the loop; http_exchange_answer must follow, at once or later. */
	void (*on_request)(void *data, struct http_exchange *exchange);
	void *data;
};

void http_server_init(struct http_server **serverp, uv_loop_t *loop, const struct http_server_config *config);

/* Listens (HTTPS: once it has a certificate). When it cannot, the port being taken above all, that is logged and tried
 * again every few seconds. */
void http_server_start(struct http_server *server);

/* The certificate (chain) and its key, PEM, from now on. -EINVAL with err when they are refused: the former ones stay. */
int http_server_use(struct http_server *server, const char *certificate, const char *key, struct error *err);

/* NULL is fine. Not from on_request. Exchanges that are not answered yet still have to be; the answer goes nowhere. */
void http_server_close(struct http_server *server);

/* Valid until the answer. */
const char *http_exchange_path(const struct http_exchange *exchange);   /* without the query */
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);   /* NULL: none */

/* Ends the exchange. body is copied. */
void http_exchange_answer(struct http_exchange *exchange, int status, const char *content_type, const char *body, size_t length);
void http_exchange_line(struct http_exchange *exchange, int status, const char *line);   /* as text/plain */

#endif
