#include "speaker/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define RETRY (5 * CLOCK_S)
#define LIFETIME (10 * CLOCK_S)
#define CONNECTIONS 24            /* also what one loop turn can be made to do, TLS handshakes included */
#define CONNECTIONS_HARD 32       /* those cut off are not gone at once */
#define RUNS_AT_ONCE 4
#define PAUSE_MAX (64 * CLOCK_MS)
#define MEMORY (16u * 1024)       /* of a connection: request line and headers */

struct connection {
	int descriptor;
	int64_t until;
	bool cut;
	struct connection *prev, *next;
};

/* A libmicrohttpd daemon keeps its certificate for life: another certificate is another instance on the same socket. */
struct instance {
	struct http_server_config config;
	struct MHD_Daemon *daemon;
	struct fd poll;                      /* of the daemon's epoll descriptor */
	struct deadline timer;
	bool again;                          /* a connection was closed: a run may be needed to accept the next */
	int64_t pause;                       /* before it is run again without an event */
	struct connection *connections;      /* oldest first */
	size_t n_connections;                /* not cut */
	struct http_exchange *suspended;
};

struct http_server {
	uv_loop_t *loop;
	struct http_server_config config;
	int listener;                        /* -1: none yet */
	struct instance *instance;
	char *certificate, *key;
	bool started;
	int said;                            /* the error that was logged last */
	struct deadline retry;
};

struct http_exchange {
	struct instance *instance;
	struct MHD_Connection *connection;   /* NULL: it is gone, the answer is still to come */
	char *path;
	bool asked, answered, suspended;
	struct MHD_Response *response;
	int status;
	struct http_exchange *prev, *next;   /* in instance->suspended */
};

/* ---- connections: each has a limited life ---- */

static void cut(struct instance *i, struct connection *c)
{
	if (c->cut)
		return;
	c->cut = true;
	i->n_connections--;
	shutdown(c->descriptor, SHUT_RDWR);   /* libmicrohttpd sees an end and closes it */
}

static void on_connection(void *data, struct MHD_Connection *mhd, void **state, enum MHD_ConnectionNotificationCode code)
{
	struct instance *i = data;
	struct connection *c = *state;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		c = mem_zalloc(sizeof(*c));
		c->descriptor = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		c->until = clock_now() + LIFETIME;
		*state = c;
		DL_APPEND(i->connections, c);
		i->n_connections++;
		struct connection *oldest = i->connections;
		while (oldest && oldest->cut)
			oldest = oldest->next;
		if (i->n_connections > CONNECTIONS)
			cut(i, oldest);
	} else if (c) {
		i->again = true;
		i->n_connections -= !c->cut;
		DL_DELETE(i->connections, c);
		free(c);
	}
}

/* Cuts those that are due; when the next one is. */
static int64_t cut_due(struct instance *i, int64_t now)
{
	struct connection *c;
	DL_FOREACH(i->connections, c) {
		if (!c->cut && c->until > now)
			return c->until;
		cut(i, c);
	}
	return CLOCK_NEVER;
}

/* ---- running the daemon ---- */

/* libmicrohttpd asks to be run again at once as long as a TLS client is in the middle of a record, which may be as long as
 * the client pleases. A few times that is granted, then more and more rarely; whatever arrives is an event of its own. */
static int64_t run_daemon(struct instance *i)
{
	MHD_UNSIGNED_LONG_LONG wait = 0;
	for (int n = 0; n < RUNS_AT_ONCE; n++) {
		i->again = false;
		MHD_run(i->daemon);
		bool limited = MHD_get_timeout(i->daemon, &wait) == MHD_YES;
		if (!limited && !i->again)
			return CLOCK_NEVER;
		if (wait > 0 && !i->again)
			return (int64_t)(wait > 60000 ? 60000 : wait) * CLOCK_MS;
	}
	i->pause = i->pause ? clock_min(2 * i->pause, PAUSE_MAX) : CLOCK_MS;
	return i->pause;
}

static void run(struct instance *i)
{
	cut_due(i, clock_now());
	int64_t wait = run_daemon(i), now = clock_now();
	int64_t next = cut_due(i, now);
	deadline_set(&i->timer, wait == CLOCK_NEVER ? next : clock_min(next, now + wait));
}

static void on_poll(struct fd *poll, int events)
{
	struct instance *i = poll->data;
	(void)events;
	i->pause = 0;
	run(i);
}

static void on_due(void *data)
{
	run(data);
}

/* ---- exchanges ---- */

static void exchange_free(struct http_exchange *x)
{
	if (x->response)
		MHD_destroy_response(x->response);
	free(x->path);
	free(x);
}

static struct MHD_Response *make_response(const char *content_type, const char *body, size_t length)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
	if (!r)
		mem_exhausted();
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	return r;
}

static enum MHD_Result refuse(struct MHD_Connection *mhd, unsigned status, const char *line)
{
	struct MHD_Response *r = make_response("text/plain; charset=utf-8", line, strlen(line));
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result queued = MHD_queue_response(mhd, status, r);
	MHD_destroy_response(r);
	return queued;
}

static bool has_body(struct MHD_Connection *mhd)
{
	const char *length = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	return (length && strcmp(length, "0") != 0) || MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

/* libmicrohttpd calls this when the headers are there, when the request is, and after each resumption. */
static enum MHD_Result on_access(void *data, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *upload,
				 size_t *upload_size, void **state)
{
	struct instance *i = data;
	struct http_exchange *x = *state;
	(void)version;
	(void)upload;
	if (!x) {
		x = *state = mem_zalloc(sizeof(*x));
		x->instance = i;
		x->connection = mhd;
		x->path = mem_strdup(url);
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return refuse(mhd, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
		return has_body(mhd) ? refuse(mhd, 413, "no body, please\n") : MHD_YES;
	}
	if (*upload_size)
		return MHD_NO;
	if (!x->asked) {
		x->asked = true;
		i->config.on_request(i->config.data, x);
	}
	if (x->answered)
		return MHD_queue_response(mhd, (unsigned)x->status, x->response);
	x->suspended = true;
	DL_APPEND(i->suspended, x);
	MHD_suspend_connection(mhd);
	return MHD_YES;
}

static void resume(struct http_exchange *x)
{
	DL_DELETE(x->instance->suspended, x);
	x->suspended = false;
	MHD_resume_connection(x->connection);
}

static void on_completed(void *data, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode why)
{
	struct http_exchange *x = *state;
	(void)data;
	(void)mhd;
	(void)why;
	if (!x)
		return;
	x->connection = NULL;
	if (x->answered || !x->asked)
		exchange_free(x);
}

const char *http_exchange_path(const struct http_exchange *x)
{
	return x->path;
}

const char *http_exchange_header(const struct http_exchange *x, const char *name)
{
	return x->connection ? MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name) : NULL;
}

void http_exchange_answer(struct http_exchange *x, int status, const char *content_type, const char *body, size_t length)
{
	if (!x->connection) {
		exchange_free(x);
		return;
	}
	x->answered = true;
	x->status = status;
	x->response = make_response(content_type, body, length);
	if (status == 401)
		MHD_add_response_header(x->response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (x->suspended) {
		x->instance->pause = 0;
		deadline_set(&x->instance->timer, 0);   /* x may be gone once it runs */
		resume(x);
	}
}

void http_exchange_line(struct http_exchange *x, int status, const char *line)
{
	char *body = mem_printf("%s\n", line);
	http_exchange_answer(x, status, "text/plain; charset=utf-8", body, strlen(body));
	free(body);
}

/* ---- instances ---- */

__attribute__((format(printf, 2, 0))) static void on_mhd_log(void *data, const char *format, va_list args)
{
	char text[256];
	(void)data;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\r\n")] = '\0';
	log_debug("httpServer", NO_KV, "%s", text);   /* what clients do wrong is no news */
}

static const char *priorities(int tls_min_version)
{
	return tls_min_version >= 13 ? "NORMAL:-VERS-ALL:+VERS-TLS1.3" : "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
}

static struct MHD_Daemon *start_daemon(struct instance *i, int listener, const char *certificate, const char *key)
{
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)priorities(i->config.tls_min_version)},
		{MHD_OPTION_END, 0, NULL},
	};
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (i->config.tls_min_version ? (unsigned)MHD_USE_TLS : 0);
	return MHD_start_daemon(flags, 0, NULL, NULL, on_access, i, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, listener,
				MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_HARD, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(LIFETIME / CLOCK_S),
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_NOTIFY_CONNECTION, on_connection, i,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, i, MHD_OPTION_ARRAY, i->config.tls_min_version ? tls : &tls[3], MHD_OPTION_END);
}

static void on_timer_closed(void *data)
{
	free(data);
}

static void on_poll_closed(struct fd *poll)
{
	struct instance *i = poll->data;
	deadline_close(&i->timer, on_timer_closed);
}

static void instance_close(struct instance *i)
{
	if (!i)
		return;
	fd_close(&i->poll, on_poll_closed);   /* before the descriptor goes */
	while (i->suspended)
		resume(i->suspended);
	MHD_stop_daemon(i->daemon);
	deadline_set(&i->timer, CLOCK_NEVER);
}

/* Takes a copy of the listening socket: the daemon closes its own. */
static int instance_open(struct instance **ip, struct http_server *server, const char *certificate, const char *key)
{
	struct instance *i = mem_zalloc(sizeof(*i));
	int copy = dup(server->listener);
	i->config = server->config;
	i->daemon = copy >= 0 ? start_daemon(i, copy, certificate, key) : NULL;
	if (!i->daemon) {
		if (copy >= 0)
			close(copy);
		free(i);
		return copy < 0 ? -errno : -EINVAL;
	}
	int rc = fd_init(&i->poll, server->loop, MHD_get_daemon_info(i->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, on_poll, i);
	if (rc < 0) {
		MHD_stop_daemon(i->daemon);
		free(i);
		return rc;
	}
	deadline_init(&i->timer, server->loop, on_due, i);
	fd_start(&i->poll, FD_READ);
	deadline_set(&i->timer, 0);   /* epoll is told about the listening socket in the first run */
	*ip = i;
	return 0;
}

/* ---- the server ---- */

static int open_socket(const struct sockaddr *address, socklen_t length, int family)
{
	int one = 1, none = 0;
	int s = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0)
		return -errno;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof(none));
	if (bind(s, address, length) < 0 || listen(s, SOMAXCONN) < 0) {
		int rc = -errno;
		close(s);
		return rc;
	}
	return s;
}

static int open_listener(unsigned port, bool loopback)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(loopback ? INADDR_LOOPBACK : INADDR_ANY)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
	int s = loopback ? -EAFNOSUPPORT : open_socket((const struct sockaddr *)&v6, sizeof(v6), AF_INET6);
	if (s == -EAFNOSUPPORT || s == -EADDRNOTAVAIL)   /* a kernel without IPv6 */
		s = open_socket((const struct sockaddr *)&v4, sizeof(v4), AF_INET);
	return s;
}

static void say_failure(struct http_server *server, int error)
{
	char port[16];
	if (server->said == error)
		return;
	server->said = error;
	snprintf(port, sizeof(port), "%u", server->config.port);
	log_warn("portFailed", KV("flag", server->config.flag, "port", port), "%s %s: %s%s; trying again every %d s, all else goes on", server->config.flag, port,
		 strerror(-error), error == -EADDRINUSE ? " by another program on this host (an old MetalLB?); stop it or choose another port" : "",
		 (int)(RETRY / CLOCK_S));
}

static void try_start(void *data)
{
	struct http_server *server = data;
	char port[16];
	int rc = 0;
	if (server->instance || !server->started || (server->config.tls_min_version && !server->certificate))
		return;
	if (server->listener < 0)
		server->listener = rc = open_listener(server->config.port, server->config.loopback);
	if (rc >= 0)
		rc = instance_open(&server->instance, server, server->certificate, server->key);
	if (rc < 0) {
		say_failure(server, rc);
		deadline_set(&server->retry, clock_now() + RETRY);
		return;
	}
	server->said = 0;
	snprintf(port, sizeof(port), "%u", server->config.port);
	log_info("serving", KV("flag", server->config.flag, "port", port), "%s %s: %s on %s", server->config.flag, port,
		 server->config.tls_min_version ? "HTTPS" : "HTTP", server->config.loopback ? "127.0.0.1" : "all interfaces");
}

void http_server_init(struct http_server **serverp, uv_loop_t *loop, const struct http_server_config *config)
{
	struct http_server *server = mem_zalloc(sizeof(*server));
	server->loop = loop;
	server->config = *config;
	server->listener = -1;
	deadline_init(&server->retry, loop, try_start, server);
	*serverp = server;
}

void http_server_start(struct http_server *server)
{
	server->started = true;
	try_start(server);
}

int http_server_use(struct http_server *server, const char *certificate, const char *key, struct error *err)
{
	if (server->instance) {
		struct instance *next;
		if (instance_open(&next, server, certificate, key) < 0)
			return error_set(err, -EINVAL, "certificate: GnuTLS does not accept it");
		instance_close(server->instance);
		server->instance = next;
	}
	mem_replace(&server->certificate, certificate);
	mem_replace(&server->key, key);
	try_start(server);
	return 0;
}

static void on_retry_closed(void *data)
{
	free(data);
}

void http_server_close(struct http_server *server)
{
	if (!server)
		return;
	instance_close(server->instance);
	if (server->listener >= 0)
		close(server->listener);
	free(server->certificate);
	free(server->key);
	deadline_close(&server->retry, on_retry_closed);
}
