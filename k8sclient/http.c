#include "k8sclient/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "k8sclient/exec_plugin.h"

#define CONNECT_TIMEOUT_MS 10000L
#define KEEPALIVE_S 30L
#define USER_TIMEOUT_MS 30000u   /* unacknowledged data or unanswered keepalives for so long end a connection */
#define SECRETS_EVERY (60 * CLOCK_S)

struct http {
	uv_loop_t *loop;
	struct turn *turn;
	struct credentials *credentials;
	char *user_agent;
	CURLM *multi;
	uv_timer_t timer;
	struct http_transfer *transfers;
	struct exec_plugin *plugin;  /* NULL: the credentials come from elsewhere */
	struct deadline patience;    /* of the transfers that wait for it */
	size_t open_handles;         /* timers, plugin and sockets whose close callback has not run */
	bool closing, multi_failed;
	unsigned generation;         /* of the credentials that idle connections were made with */
	void (*on_close)(void *data);
	void *close_data;
};

struct http_transfer {
	struct http *http;
	struct http_transfer *next, **place;   /* in http->transfers */
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	char *body;
	struct buffer received;
	size_t body_max;
	char errors[CURL_ERROR_SIZE];
	CURLcode result;
	bool fresh, done, too_large;
	bool held;                   /* waits for credentials */
	bool without_key;            /* ended because there are none */
	int64_t give_up_at;          /* while held */
	unsigned generation;         /* of the credentials it was sent with */
	int64_t retry_after;
	void (*on_data)(void *data, int status, struct buffer *bytes);
	void (*on_done)(void *data, const struct http_result *result);
	void *data;
};

/* ---- libcurl's sockets and timer on the loop ---- */

struct http_socket {
	struct fd fd;
	struct http *http;
	curl_socket_t descriptor;
};

static void handle_closed(struct http *http)
{
	if (--http->open_handles > 0 || !http->closing)
		return;
	void (*on_close)(void *data) = http->on_close;
	void *data = http->close_data;
	free(http->user_agent);
	free(http);
	curl_global_cleanup();
	if (on_close)
		on_close(data);
}

static void record_done(struct http *http)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct http_transfer *t = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		t->result = message->data.result;
		t->done = true;
	}
}

static void act(struct http *http, curl_socket_t socket, int events)
{
	int running;
	if (http->closing)
		return;
	/* After an error of the multi all its transfers are undefined: http_step fails them and starts a new one. */
	if (curl_multi_socket_action(http->multi, socket, events, &running) != CURLM_OK)
		http->multi_failed = true;
	else
		record_done(http);
}

static void on_socket_event(struct fd *fd, int events)
{
	struct http_socket *s = fd->data;
	/* With IN, an error is found by reading: what came before it is taken, and the message tells which error it was. */
	int flags = (events & FD_READ ? CURL_CSELECT_IN : 0) | (events & FD_WRITE ? CURL_CSELECT_OUT : 0) |
		    (events & FD_ERROR ? CURL_CSELECT_IN | CURL_CSELECT_ERR : 0);
	act(s->http, s->descriptor, flags);
}

static void on_socket_closed(struct fd *fd)
{
	struct http_socket *s = fd->data;
	struct http *http = s->http;
	free(s);
	handle_closed(http);
}

static struct http_socket *socket_open(struct http *http, curl_socket_t descriptor)
{
	struct http_socket *s = mem_zalloc(sizeof(*s));
	s->http = http;
	s->descriptor = descriptor;
	if (fd_init(&s->fd, http->loop, descriptor, on_socket_event, s) < 0) {
		free(s);
		return NULL;
	}
	http->open_handles++;
	curl_multi_assign(http->multi, descriptor, s);
	return s;
}

static int on_curl_socket(CURL *easy, curl_socket_t descriptor, int what, void *user, void *socket)
{
	(void)easy;
	struct http *http = user;
	struct http_socket *s = socket;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			fd_close(&s->fd, on_socket_closed);
		curl_multi_assign(http->multi, descriptor, NULL);
		return 0;
	}
	if (!s)
		s = socket_open(http, descriptor);
	if (!s)
		return -1;
	int events = what == CURL_POLL_IN ? FD_READ : what == CURL_POLL_OUT ? FD_WRITE : FD_READ | FD_WRITE;
	return fd_start(&s->fd, events) < 0 ? -1 : 0;
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
	(void)multi;
	struct http *http = user;
	if (http->closing)
		return 0;
	if (timeout_ms < 0)
		uv_timer_stop(&http->timer);
	else
		uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

static void multi_open(struct http *http)
{
	http->multi = curl_multi_init();
	if (!http->multi)
		mem_exhausted();
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	/* Watches in use count too: with fewer than all a connection would be closed, and a handshake made, for each request. */
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, 40L);
}

/* Of the plugin's state (http_step looks), or of a held transfer's time. */
static void on_news(void *data)
{
	struct http *http = data;
	turn_again(http->turn);
}

int http_init(struct http **httpp, uv_loop_t *loop, struct turn *turn, struct credentials *credentials, const char *user_agent)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return -EIO;
	struct http *http = mem_zalloc(sizeof(*http));
	http->loop = loop;
	http->turn = turn;
	http->credentials = credentials;
	http->generation = credentials->generation;
	http->user_agent = mem_strdup(user_agent);
	uv_timer_init(loop, &http->timer);
	http->timer.data = http;
	deadline_init(&http->patience, loop, on_news, http);
	http->open_handles = 2;
	multi_open(http);
	if (credentials->exec) {
		exec_plugin_init(&http->plugin, loop, credentials, &EXEC_TIMES, on_news, http);
		http->open_handles++;
		exec_plugin_start(http->plugin);
	}
	*httpp = http;
	return 0;
}

/* ---- transfers ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
	struct http_transfer *t = user;
	if (t->received.len + size * n > t->body_max) {
		t->too_large = true;
		return 0;
	}
	buffer_append(&t->received, bytes, size * n);
	t->fresh = true;
	return size * n;
}

static void say_warning(const char *text)
{
	/* T10: API servers announce deprecations so; once is enough. */
	static char *last;
	if (last && strcmp(last, text) == 0)
		return;
	mem_replace(&last, text);
	log_warn("apiWarning", NO_KV, "the API server warns: %s", text);
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
	struct http_transfer *t = user;
	size_t len = size * n;
	char *text = mem_strndup(line, len);
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text) {   /* the end of the head is news: a watch may stay silent for long */
		t->fresh = t->on_data != NULL;
	} else if (strncasecmp(text, "retry-after:", 12) == 0) {
		long seconds = strtol(text + 12, NULL, 10);
		t->retry_after = seconds < 0 ? 0 : seconds > 60 ? 60 * CLOCK_S : seconds * CLOCK_S;
	} else if (strncasecmp(text, "warning: 299 ", 13) == 0) {
		say_warning(text + 13);
	}
	free(text);
	return len;
}

static int on_socket_made(void *user, curl_socket_t descriptor, curlsocktype purpose)
{
	(void)user;
	(void)purpose;
	unsigned timeout = USER_TIMEOUT_MS;
	setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	return CURL_SOCKOPT_OK;
}

static void add_header(struct http_transfer *t, char *line)
{
	t->headers = curl_slist_append(t->headers, line);
	free(line);
}

static void set_blob(CURL *easy, CURLoption option, const struct secret *s)
{
	struct curl_blob blob = {.data = s->data, .len = s->len, .flags = CURL_BLOB_COPY};
	if (s->data)
		curl_easy_setopt(easy, option, &blob);
}

/* tls-server-name: the URL carries the name to verify, CONNECT_TO the host to connect to. */
static char *make_url(struct http_transfer *t, const struct credentials *c, const char *path)
{
	if (!c->tls_server_name)
		return mem_printf("%s%s", c->server, path);
	const char *host = strstr(c->server, "://") + 3, *port = strrchr(host, ':');
	const char *bracket = strrchr(host, ']');
	if (!port || (bracket && port < bracket))
		port = NULL;
	size_t host_len = port ? (size_t)(port - host) : strlen(host);
	port = port ? port + 1 : "443";
	char *rule = mem_printf("%s:%s:%.*s:%s", c->tls_server_name, port, (int)host_len, host, port);
	t->connect_to = curl_slist_append(NULL, rule);
	free(rule);
	curl_easy_setopt(t->easy, CURLOPT_CONNECT_TO, t->connect_to);
	return mem_printf("https://%s:%s%s", c->tls_server_name, port, path);
}

static void set_security(struct http_transfer *t, const struct credentials *c)
{
	CURL *easy = t->easy;
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	if (c->ca.data)   /* a private CA is the only one trusted then */
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	set_blob(easy, CURLOPT_CAINFO_BLOB, &c->ca);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, &c->certificate);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, &c->key);
	if (c->proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, c->proxy);
	if (c->token.len)
		add_header(t, mem_printf("Authorization: Bearer %s", c->token.data));
	t->generation = c->generation;
	/* Secrets changed: a kept connection may belong to the old ones. */
	if (t->http->generation != c->generation) {
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
		t->http->generation = c->generation;
	}
}

static void set_request(struct http_transfer *t, const struct http_request *request)
{
	CURL *easy = t->easy;
	char *url = make_url(t, t->http->credentials, request->path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	free(url);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, t->http->user_agent);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(request->timeout / CLOCK_MS));
	add_header(t, mem_strdup("Accept: application/json"));
	if (request->content_type) {
		add_header(t, mem_printf("Content-Type: %s", request->content_type));
		add_header(t, mem_strdup("Expect:"));
		t->body = mem_strdup(request->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(t->body));
	}
}

static void set_transport(struct http_transfer *t)
{
	CURL *easy = t->easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->errors);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
}

static void refresh_secrets(struct http *http)
{
	struct error err;
	if (credentials_refresh(http->credentials, clock_now(), SECRETS_EVERY, &err) < 0)
		log_warn("credentialsUnreadable", NO_KV, "%s; the old ones stay in use", err.text);
}

/* From here on it is libcurl's. */
static void submit(struct http_transfer *t)
{
	t->held = false;
	set_security(t, t->http->credentials);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	if (curl_multi_add_handle(t->http->multi, t->easy) != CURLM_OK) {
		t->result = CURLE_FAILED_INIT;
		t->done = true;
		turn_again(t->http->turn);
	}
}

struct http_transfer *http_start(struct http *http, const struct http_request *request)
{
	struct http_transfer *t = mem_zalloc(sizeof(*t));
	refresh_secrets(http);
	t->http = http;
	t->easy = curl_easy_init();
	if (!t->easy)
		mem_exhausted();
	t->body_max = request->body_max;
	t->on_data = request->on_data;
	t->on_done = request->on_done;
	t->data = request->data;
	set_transport(t);
	set_request(t, request);
	t->next = http->transfers;
	t->place = &http->transfers;
	if (t->next)
		t->next->place = &t->next;
	http->transfers = t;
	if (http->credentials->state == CREDENTIALS_READY) {
		submit(t);
	} else {
		t->held = true;
		t->give_up_at = request->timeout ? clock_now() + request->timeout : CLOCK_NEVER;
		turn_again(http->turn);
	}
	return t;
}

static void transfer_free(struct http_transfer *t)
{
	*t->place = t->next;
	if (t->next)
		t->next->place = t->place;
	curl_multi_remove_handle(t->http->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->connect_to);
	free(t->body);
	buffer_free(&t->received);
	free(t);
}

void http_cancel(struct http_transfer *transfer)
{
	if (transfer)
		transfer_free(transfer);
}

/* ---- handing over ---- */

static int errno_of(const struct http_transfer *t)
{
	if (t->too_large)
		return -EFBIG;
	if (t->without_key)
		return -ENOKEY;
	switch (t->result) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return -EPROTO;
	default:
		return -EIO;
	}
}

static int status_of(struct http_transfer *t)
{
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static const char *message_of(const struct http_transfer *t)
{
	if (t->too_large)
		return "the answer is too large";
	if (t->without_key)
		return t->http->credentials->problem;
	if (t->result == CURLE_OK)
		return "";
	return t->errors[0] ? t->errors : curl_easy_strerror(t->result);
}

static void finish(struct http_transfer *t)
{
	struct http_result result = {.status = status_of(t), .error = errno_of(t), .message = message_of(t), .retry_after = t->retry_after,
				     .body = &t->received};
	/* Old secrets may be the reason: the next request looks at the files again. */
	if (result.status == 401 || result.error == -EPROTO)
		t->http->credentials->checked = CLOCK_LONG_AGO;
	if (result.status == 401 && t->generation == t->http->credentials->generation)
		exec_plugin_refused(t->http->plugin);
	t->on_done(t->data, &result);
	transfer_free(t);
}

/* Transfers that waited for the exec plugin: sent, ended, or left waiting. */
static void release_held(struct http *http)
{
	enum credentials_state state = http->credentials->state;
	int64_t now = clock_now(), next = CLOCK_NEVER;
	for (struct http_transfer *t = http->transfers; t; t = t->next) {
		if (!t->held || t->done)
			continue;
		if (state == CREDENTIALS_READY) {
			submit(t);
		} else if (state == CREDENTIALS_MISSING) {
			t->without_key = t->done = true;
		} else if (t->give_up_at <= now) {
			strcpy(t->errors, "no credentials yet: the exec plugin is still running");
			t->result = CURLE_OPERATION_TIMEDOUT;
			t->done = true;
		} else {
			next = clock_min(next, t->give_up_at);
		}
	}
	deadline_set(&http->patience, next);
}

/* One transfer with news, or NULL. Callbacks may start and cancel any transfer, so the search starts anew each time. */
static struct http_transfer *next_with_news(struct http *http)
{
	for (struct http_transfer *t = http->transfers; t; t = t->next)
		if (t->done || (t->fresh && t->on_data))
			return t;
	return NULL;
}

static void restart_multi(struct http *http)
{
	http->multi_failed = false;
	for (struct http_transfer *t = http->transfers; t; t = t->next) {
		if (t->held)
			continue;
		curl_multi_remove_handle(http->multi, t->easy);
		if (!t->done) {
			t->result = CURLE_RECV_ERROR;
			t->done = true;
		}
	}
	curl_multi_cleanup(http->multi);
	multi_open(http);
}

void http_step(void *data)
{
	struct http *http = data;
	struct http_transfer *t;
	if (http->multi_failed)
		restart_multi(http);
	if (http->plugin && !http->closing)
		release_held(http);
	while (!http->closing && (t = next_with_news(http))) {
		if (t->fresh && t->on_data) {
			t->fresh = false;
			t->on_data(t->data, status_of(t), &t->received);   /* may cancel t */
			continue;
		}
		finish(t);
	}
}

static void on_timer_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

static void on_part_closed(void *data)
{
	handle_closed(data);
}

void http_close(struct http *http, void (*on_close)(void *data), void *data)
{
	while (http->transfers)
		transfer_free(http->transfers);
	http->on_close = on_close;
	http->close_data = data;
	curl_multi_cleanup(http->multi);   /* may still call the socket callback */
	http->multi = NULL;
	http->closing = true;
	uv_close((uv_handle_t *)&http->timer, on_timer_closed);
	deadline_close(&http->patience, on_part_closed);
	if (http->plugin)
		exec_plugin_close(http->plugin, on_part_closed, http);
}
