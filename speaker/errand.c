#include "speaker/errand.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "speaker/command_line.h"
#include "speaker/commands.h"
#include "speaker/names.h"

#define READ_PATIENCE (15 * CLOCK_S)   /* for the first lists */
#define TRIES 10u                      /* of a write that others come before */

struct errand {
	struct errand_config config;
	struct tool_options options;
	struct credentials credentials;
	uv_loop_t loop;
	struct turn turn;
	struct http *http;
	struct api *api;
	struct cluster *cluster;
	char *name_space;
	unsigned seen_revision;
	bool begun, waiting, ending;
	char *lease;                           /* that is being written */
	json_t *(*make)(void *data);
	void (*written)(void *data);
	unsigned tries;
	struct api_call *call;
	uv_signal_t interrupt;
	struct deadline patience;              /* of the first lists, then of --timeout */
	struct deadline finish;                /* close everything, outside of any callback */
	int exit_code;
};

/* ---- end ---- */

static void close_all(void *data)
{
	struct errand *e = data;
	api_cancel(e->call);
	cluster_close(e->cluster);
	api_close(e->api);
	http_close(e->http, NULL, NULL);
	uv_close((uv_handle_t *)&e->interrupt, NULL);
	deadline_close(&e->patience, NULL);
	deadline_close(&e->finish, NULL);
	turn_close(&e->turn);
}

void errand_end(struct errand *e, int exit_code)
{
	if (e->ending)
		return;
	e->ending = true;
	e->exit_code = exit_code;
	deadline_set(&e->finish, 0);
}

void errand_fail(struct errand *e, int exit_code, const char *format, ...)
{
	va_list args;
	char text[1200];
	if (e->ending)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "l2lb: %s\n", text);
	errand_end(e, exit_code);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
	struct errand *e = handle->data;
	(void)number;
	if (e->waiting)
		errand_fail(e, EXIT_PENDING, "interrupted; what was asked for goes on");
	else if (e->tries)
		errand_fail(e, EXIT_PENDING, "interrupted; what was asked for may have been written, and goes on then");
	else
		errand_fail(e, EXIT_API, "interrupted; nothing was written");
}

/* An exec plugin has said why it gives no credentials; its problem is the line that helps. */
static void fail_api(struct errand *e, const char *why)
{
	errand_fail(e, EXIT_API, "%s", e->credentials.problem ? e->credentials.problem : why);
}

static void on_patience(void *data)
{
	struct errand *e = data;
	if (!e->begun)
		errand_fail(e, EXIT_API, "the API server at %s does not answer", e->credentials.server);
	else if (!e->ending && e->config.late)
		e->config.late(e->config.data);
}

/* ---- the watches ---- */

/* Where there are no pools as objects they are flags of controller and speakers, which nobody can ask: they fit, then. */
static void use_any_pool(struct model *m)
{
	struct pool *pool;
	if (m->pools.n || pool_from_flag("0.0.0.0/0", 1, &pool, NULL) < 0)
		return;
	model_put_pool(m, pool);
	if (!m->n_advertisements)
		model_put_advertisement(m, advertisement_for_all());
}

static void step(void *data)
{
	struct errand *e = data;
	struct model *m = cluster_model(e->cluster);
	if (e->ending || m->revision == e->seen_revision)
		return;
	e->seen_revision = m->revision;
	if (e->begun) {
		if (e->config.changed)
			e->config.changed(e->config.data);
	} else if (cluster_trouble(e->cluster)) {
		fail_api(e, cluster_trouble(e->cluster));
	} else if (cluster_synced(e->cluster)) {
		use_any_pool(m);
		e->begun = true;
		deadline_set(&e->patience, CLOCK_NEVER);
		e->config.begin(e->config.data);
	}
}

/* ---- writing ---- */

static void try_write(struct errand *e);

static void on_read(void *data, const struct api_result *result)
{
	struct errand *e = data;
	e->call = NULL;
	if (api_succeeded(result)) {
		cluster_take_lease(e->cluster, result->body);
		try_write(e);
	} else {
		fail_api(e, result->message);
	}
}

static void on_written(void *data, const struct api_result *result)
{
	struct errand *e = data;
	e->call = NULL;
	if (result->status == 409 && e->tries < TRIES) {
		char *path = cluster_lease_path(e->cluster, e->lease);
		struct api_request request = {.method = "GET", .path = path, .on_result = on_read, .data = e};
		e->call = api_send(e->api, &request);
		free(path);
	} else if (api_succeeded(result)) {
		cluster_take_lease(e->cluster, result->body);
		if (!e->waiting && e->options.timeout)
			deadline_set(&e->patience, clock_now() + e->options.timeout);
		e->waiting = true;
		e->written(e->config.data);
	} else {
		fail_api(e, result->message);
	}
}

static void try_write(struct errand *e)
{
	json_t *body = e->ending ? NULL : e->make(e->config.data);
	if (!body)
		return;
	e->tries++;
	char *path = cluster_lease_path(e->cluster, e->lease);
	struct api_request request = {.method = "PATCH", .path = path, .content_type = API_MERGE_PATCH, .body = body, .on_result = on_written, .data = e};
	e->call = api_send(e->api, &request);
	free(path);
	json_decref(body);
}

void errand_write(struct errand *e, const char *lease, json_t *(*make)(void *data), void (*written)(void *data))
{
	mem_replace(&e->lease, lease);
	e->make = make;
	e->written = written;
	e->tries = 0;
	try_write(e);
}

/* ---- what it is asked ---- */

const struct tool_options *errand_options(const struct errand *e)
{
	return &e->options;
}

struct model *errand_model(struct errand *e)
{
	return cluster_model(e->cluster);
}

const char *errand_namespace(const struct errand *e)
{
	return e->name_space;
}

void errand_print(struct errand *e, const struct buffer *text, int exit_code)
{
	if (fputs(buffer_string(text), stdout) == EOF || fflush(stdout) != 0)
		errand_fail(e, EXIT_API, "standard output cannot be written to");
	else if (exit_code != ERRAND_GOES_ON)
		errand_end(e, exit_code);
}

/* ---- life ---- */

static void set_up(struct errand *e)
{
	struct options *o = &e->options.cluster;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_LEVEL_NONE);   /* what goes wrong is said in one line, here */
	/* What a speaker reads is what decides who may have an address. */
	o->speaker = true;
	o->api_stall = 150 * CLOCK_S;
	o->api_retry_max = CLOCK_S;
	e->name_space = mem_strdup(o->name_space ? o->name_space : e->credentials.name_space ? e->credentials.name_space : DEFAULT_NAMESPACE);
	uv_loop_init(&e->loop);
	turn_init(&e->turn, &e->loop);
	http_init(&e->http, &e->loop, &e->turn, &e->credentials, "l2lb/" L2LB_VERSION " (linux)");
	turn_add(&e->turn, http_step, e->http);
	api_init(&e->api, &e->loop, &e->turn, &e->credentials, e->http);
	struct cluster_config config = {.options = o, .name_space = e->name_space};
	cluster_init(&e->cluster, &e->loop, &e->turn, e->api, &config);
	turn_add(&e->turn, cluster_step, e->cluster);
	turn_add(&e->turn, step, e);
	deadline_init(&e->finish, &e->loop, close_all, e);
	deadline_init(&e->patience, &e->loop, on_patience, e);
	uv_signal_init(&e->loop, &e->interrupt);
	e->interrupt.data = e;
	uv_signal_start(&e->interrupt, on_interrupt, SIGINT);
}

static void run(struct errand *e)
{
	set_up(e);
	e->seen_revision = cluster_model(e->cluster)->revision;
	deadline_set(&e->patience, clock_now() + READ_PATIENCE);
	cluster_start(e->cluster);
	uv_run(&e->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&e->loop) != 0)
		fprintf(stderr, "l2lb: handlesOpen: a handle was left open\n");
}

static int load(struct errand *e)
{
	const struct options *o = &e->options.cluster;
	struct credentials_request request = {.kubeconfig = o->kubeconfig, .context = o->context, .server = o->api_server};
	struct error err = {""};
	int rc = credentials_load(&e->credentials, &request, &err);
	if (rc == 0)
		return EXIT_DONE;
	fprintf(stderr, "l2lb: %s%s\n", o->kubeconfig ? "--kubeconfig: " : "", err.text);
	return rc == -ENOENT && !o->kubeconfig ? EXIT_API : EXIT_USAGE;
}

int errand_run(struct errand **errandp, const struct errand_config *config, int argc, char **argv)
{
	struct errand *e = mem_zalloc(sizeof(*e));
	*errandp = e;
	e->config = *config;
	if (command_line_parse(&e->options, config->tool, argc, argv, &e->exit_code)) {
		e->exit_code = load(e);
		if (e->exit_code == EXIT_DONE)
			run(e);
	}
	int exit_code = e->exit_code;
	credentials_free(&e->credentials);
	tool_options_free(&e->options);
	free(e->name_space);
	free(e->lease);
	free(e);
	*errandp = NULL;
	return exit_code;
}
