/* l2lb run: the daemon. Puts the parts together, starts them once the namespace is known, takes them down on SIGTERM. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "config/options.h"
#include "speaker/allocation_report.h"
#include "speaker/cluster.h"
#include "speaker/commands.h"
#include "speaker/configuration_state.h"
#include "speaker/controller_role.h"
#include "speaker/dry_run_role.h"
#include "speaker/identity.h"
#include "speaker/monitoring.h"
#include "speaker/names.h"
#include "speaker/permissions.h"
#include "speaker/resumption.h"
#include "speaker/speaker_role.h"

#define START_RETRY (2 * CLOCK_S)
#define NAMESPACE_TIMEOUT (3 * CLOCK_S)
#define PATIENCE (20 * CLOCK_S)    /* of a one-time run: a dead leader's Lease has ended by then */
#define CONTROLLER_REQUESTS 16     /* of a controller under way at once */

struct daemon {
	struct options options;
	struct credentials credentials;
	uv_loop_t loop;
	struct turn turn;
	struct http *http;
	struct api *api;
	char *name_space;
	bool name_space_given;
	char *identity;
	struct leadership *leadership;
	struct cluster *cluster;
	struct controller_role *controller;
	struct dry_run_role *dry_run;
	struct speaker_role *speaker;
	struct permissions *permissions;
	struct configuration_state *states[2];   /* the controller's, the speaker's */
	unsigned state_revision;
	struct monitoring *monitoring;
	uv_signal_t signals[2];
	struct deadline retry;     /* of the start */
	struct deadline patience;  /* of a one-time run */
	struct deadline finish;    /* close everything, outside of any callback */
	bool stopping, said_waiting;
	int exit_code;
};

static const char *environment(const char *name)
{
	return getenv(name);
}

/* ---- end ---- */

static void close_all(void *data)
{
	struct daemon *d = data;
	monitoring_close(d->monitoring);
	permissions_close(d->permissions);
	for (int i = 0; i < 2; i++)
		configuration_state_close(d->states[i]);
	controller_role_close(d->controller);
	dry_run_role_close(d->dry_run);
	speaker_role_close(d->speaker);
	if (d->cluster)
		cluster_close(d->cluster);
	leadership_close(d->leadership);
	api_close(d->api);
	http_close(d->http, NULL, NULL);
	for (int i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&d->signals[i], NULL);
	deadline_close(&d->retry, NULL);
	deadline_close(&d->patience, NULL);
	deadline_close(&d->finish, NULL);
	turn_close(&d->turn);
}

/* Callbacks of the parts lead here, and a part must not be closed from its own callback: the timer does it. */
static void finish(void *data)
{
	struct daemon *d = data;
	deadline_set(&d->finish, 0);
}

static void on_left(void *data)
{
	struct daemon *d = data;
	if (d->leadership)
		leadership_release(d->leadership, finish);
	else
		finish(d);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;
	if (d->stopping) {   /* asked twice: at once */
		finish(d);
		return;
	}
	d->stopping = true;
	monitoring_ending(d->monitoring);
	log_info("stopping", NO_KV, "%s: leaving", number == SIGTERM ? "SIGTERM" : "SIGINT");
	if (d->speaker)
		speaker_role_leave(d->speaker, on_left, d);
	else
		on_left(d);
}

static void fail(struct daemon *d, int exit_code)
{
	d->exit_code = exit_code;
	finish(d);
}

/* ---- start ---- */

static void on_leadership(void *data)
{
	struct daemon *d = data;
	turn_again(&d->turn);
}

static void use_flag_pools(struct daemon *d)
{
	struct model *m = cluster_model(d->cluster);
	for (size_t i = 0; i < d->options.n_pools; i++)   /* they belong to the model now */
		model_put_pool(m, d->options.pools[i]);
	d->options.n_pools = 0;
	model_put_advertisement(m, advertisement_for_all());   /* --pool implies one */
	m->pools_synced = m->advertisements_synced = true;
}

/* ---- one-time runs ---- */

static void report(struct daemon *d, const struct allocator *a)
{
	struct buffer text = BUFFER_INIT;
	size_t without = allocation_report(&text, a, cluster_model(d->cluster), d->options.json);
	fputs(buffer_string(&text), stdout);
	fflush(stdout);
	buffer_free(&text);
	d->exit_code = without ? EXIT_FAILED : EXIT_DONE;
	d->stopping = true;
	on_left(d);
}

static void once_step(void *data)
{
	struct daemon *d = data;
	if (d->stopping || api_pending(d->api))   /* Events may be on their way */
		return;
	if (d->dry_run && dry_run_role_done(d->dry_run))
		report(d, dry_run_role_allocator(d->dry_run));
	else if (d->controller && controller_role_at_rest(d->controller))
		report(d, controller_role_allocator(d->controller));
}

/* Nothing may keep a one-time run for ever. */
static void on_patience(void *data)
{
	struct daemon *d = data;
	if (d->stopping)
		return;
	if (!cluster_api_answers(d->cluster) || cluster_trouble(d->cluster)) {
		fprintf(stderr, "l2lb: the API server at %s does not answer (any more)\n", d->credentials.server);
		fail(d, EXIT_API);
	} else if (d->leadership && !leadership_leading(d->leadership)) {
		fprintf(stderr, "l2lb: another controller leads (Lease %s in namespace %s) and allocates what is pending; nothing was done here\n",
			leadership_lease(d->leadership), d->name_space);
		fail(d, EXIT_FAILED);
	} else {
		deadline_set(&d->patience, clock_now() + PATIENCE);
	}
}

static void start_roles(struct daemon *d);

static void on_permission_missing(void *data, const char *what)
{
	(void)data;
	fprintf(stderr, "l2lb: missing permission: %s (apply deploy/rbac.yaml, or grant it to this user)\n", what);
}

static void on_permissions(void *data, size_t missing)
{
	struct daemon *d = data;
	if (d->stopping)
		return;
	if (missing)
		fail(d, EXIT_API);
	else
		start_roles(d);
}

/* A daemon starts at once, and its watches say what they lack; who runs once wants to know all of it, and first. */
static void start(struct daemon *d)
{
	if (d->options.once || d->options.dry_run)
		permissions_check(&d->permissions, d->api, &d->options, d->name_space, on_permission_missing, on_permissions, d);
	else
		start_roles(d);
}

/* ---- the roles ---- */

static void states_step(void *data)
{
	struct daemon *d = data;
	unsigned revision = cluster_model(d->cluster)->revision;
	bool leading = d->leadership && leadership_leading(d->leadership);
	if (revision == d->state_revision || !cluster_synced(d->cluster))
		return;
	if (d->states[0] && leading)
		configuration_state_step(d->states[0]);
	if (d->states[1])
		configuration_state_step(d->states[1]);
	if (!d->states[0] || leading)   /* who leads later still has to say it */
		d->state_revision = revision;
}

static void init_states(struct daemon *d)
{
	const struct options *o = &d->options;
	struct configuration_state_config config = {.cluster = d->cluster, .pod_name = o->pod_name, .pod_uid = o->pod_uid};
	if (o->controller && !o->dry_run && !o->once)
		configuration_state_init(&d->states[0], &d->loop, &config);
	config.node = o->node_name;
	if (o->speaker)
		configuration_state_init(&d->states[1], &d->loop, &config);
	d->state_revision = cluster_model(d->cluster)->revision - 1;
	turn_add(&d->turn, states_step, d);
}

static void start_roles(struct daemon *d)
{
	const struct options *o = &d->options;
	bool flag_pools = o->n_pools > 0;
	bool writes = o->controller && !o->dry_run;
	if (o->controller)
		api_set_limits(d->api, CONTROLLER_REQUESTS, 0);
	if (writes)
		leadership_init(&d->leadership, &d->loop, d->api, d->name_space, o->lb_class, d->identity, on_leadership, d);
	struct cluster_config config = {.options = o, .name_space = d->name_space, .leadership = d->leadership};
	cluster_init(&d->cluster, &d->loop, &d->turn, d->api, &config);
	if (flag_pools)
		use_flag_pools(d);
	turn_add(&d->turn, cluster_step, d->cluster);
	if (writes) {
		controller_role_init(&d->controller, &d->loop, &d->turn, d->cluster, d->leadership, d->identity);
		turn_add(&d->turn, controller_role_step, d->controller);
		metrics_on_collect(monitoring_metrics(d->monitoring), controller_role_collect, d->controller);
	} else if (o->controller) {
		dry_run_role_init(&d->dry_run, d->cluster);
		turn_add(&d->turn, dry_run_role_step, d->dry_run);
	}
	if (o->speaker) {
		int rc = speaker_role_init(&d->speaker, &d->loop, &d->turn, d->cluster, o);
		if (rc < 0) {
			fprintf(stderr, "l2lb: rtnetlink: %s\n", strerror(-rc));
			fail(d, EXIT_FAILED);
			return;
		}
		turn_add(&d->turn, speaker_role_step, d->speaker);
		metrics_on_collect(monitoring_metrics(d->monitoring), speaker_role_collect, d->speaker);
		speaker_role_start(d->speaker);
	}
	monitoring_follow(d->monitoring, d->cluster, d->speaker);
	turn_add(&d->turn, monitoring_step, d->monitoring);
	if (!flag_pools)   /* where pools are objects, their state is one too */
		init_states(d);
	if (o->once) {
		turn_add(&d->turn, once_step, d);
		deadline_set(&d->patience, clock_now() + PATIENCE);
	}
	log_info("starting", KV("namespace", d->name_space, "server", d->credentials.server, "credentials", d->credentials.source), "l2lb %s as %s in namespace %s",
		 L2LB_VERSION, o->controller && o->speaker ? "controller and speaker" : o->controller ? "controller" : "speaker", d->name_space);
	cluster_start(d->cluster);
}

static void namespace_missing(struct daemon *d)
{
	if (d->options.n_pools > 0 && !d->name_space_given) {
		log_info("namespaceMissing", KV("namespace", d->name_space), "namespace %s does not exist; records are kept in kube-system (--namespace chooses another)", d->name_space);
		mem_replace(&d->name_space, "kube-system");
		start(d);
		return;
	}
	fprintf(stderr, "l2lb: namespace \"%s\" does not exist; create it (kubectl create namespace %s) or choose another with --namespace\n", d->name_space, d->name_space);
	fail(d, EXIT_API);
}

static void on_namespace(void *data, const struct api_result *result)
{
	struct daemon *d = data;
	if (d->stopping)
		return;
	if (result->status == 404 && strcmp(result->reason, "NotFound") == 0) {
		namespace_missing(d);
	} else if (api_succeeded(result) || result->status == 403) {   /* 403: the watches will tell */
		start(d);
	} else if (d->options.once) {
		fprintf(stderr, "l2lb: %s\n", result->message);
		fail(d, EXIT_API);
	} else if (d->options.speaker && resumption_possible(d->options.state_file, d->options.node_name)) {
		start(d);   /* the namespace was there in our last life */
	} else {
		/* Not a matter of configuration: a node may start before its API server does. An exec plugin speaks for itself. */
		if (!d->said_waiting && result->error != -ENOKEY)
			log_warn("apiWaiting", NO_KV, "%s; trying again", result->message);
		d->said_waiting |= result->error != -ENOKEY;
		deadline_set(&d->retry, clock_now() + START_RETRY);
	}
}

static void ask_namespace(void *data)
{
	struct daemon *d = data;
	char *path = mem_printf("/api/v1/namespaces/%s", d->name_space);
	struct api_request request = {.method = "GET", .path = path, .timeout = NAMESPACE_TIMEOUT, .on_result = on_namespace, .data = d};
	api_send(d->api, &request);
	free(path);
}

/* Flag or METALLB_NAMESPACE, else the service account's or the context's, else MetalLB's. */
static void choose_namespace(struct daemon *d)
{
	const struct options *o = &d->options;
	d->name_space_given = o->name_space != NULL;
	d->name_space = mem_strdup(o->name_space ? o->name_space : d->credentials.name_space ? d->credentials.name_space : DEFAULT_NAMESPACE);
}

static void set_up(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	uv_loop_init(&d->loop);
	turn_init(&d->turn, &d->loop);
	http_init(&d->http, &d->loop, &d->turn, &d->credentials, "l2lb/" L2LB_VERSION " (linux)");
	turn_add(&d->turn, http_step, d->http);
	api_init(&d->api, &d->loop, &d->turn, &d->credentials, d->http);
	for (int i = 0; i < 2; i++) {
		uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(&d->signals[i], on_signal, numbers[i]);
	}
	deadline_init(&d->retry, &d->loop, ask_namespace, d);
	deadline_init(&d->patience, &d->loop, on_patience, d);
	deadline_init(&d->finish, &d->loop, close_all, d);
	monitoring_init(&d->monitoring, &d->loop, &d->options, d->api);
}

static void say_ignored(const struct options *o)
{
	struct buffer list = BUFFER_INIT;
	for (size_t i = 0; i < o->n_ignored; i++)
		buffer_printf(&list, "%s%s", i ? ", " : "", o->ignored[i]);
	if (o->n_ignored)
		log_info("ignored", NO_KV, "accepted for MetalLB's sake, without meaning here: %s", buffer_string(&list));
	buffer_free(&list);
}

static int usage(void)
{
	struct buffer text = BUFFER_INIT;
	options_usage(&text);
	fputs(buffer_string(&text), stdout);
	buffer_free(&text);
	return EXIT_DONE;
}

int command_run(int argc, char **argv)
{
	struct daemon *d = mem_zalloc(sizeof(*d));
	struct error err;
	int exit_code = EXIT_USAGE;
	if (options_parse(&d->options, argc, argv, environment, &err) < 0) {
		fprintf(stderr, "l2lb: %s\n", err.text);
	} else if (d->options.help) {
		exit_code = usage();
	} else {
		struct credentials_request request = {.kubeconfig = d->options.kubeconfig, .context = d->options.context, .server = d->options.api_server};
		log_set_level(d->options.log_level);
		log_set_human(isatty(STDERR_FILENO));
		log_set_node(d->options.speaker ? d->options.node_name : NULL);
		if (credentials_load(&d->credentials, &request, &err) < 0) {
			fprintf(stderr, "l2lb: %s%s\n", d->options.kubeconfig ? "--kubeconfig: " : "", err.text);
		} else {
			signal(SIGPIPE, SIG_IGN);
			d->identity = identity_make(d->options.pod_name, d->options.pod_uid);
			choose_namespace(d);
			set_up(d);
			say_ignored(&d->options);
			if (!d->options.once && !d->options.dry_run)
				monitoring_start(d->monitoring);
			ask_namespace(d);
			uv_run(&d->loop, UV_RUN_DEFAULT);
			if (uv_loop_close(&d->loop) != 0)
				log_error("handlesOpen", NO_KV, "a handle was left open");
			exit_code = d->exit_code;
		}
	}
	credentials_free(&d->credentials);
	options_free(&d->options);
	log_set_node(NULL);
	free(d->identity);
	free(d->name_space);
	free(d);
	return exit_code;
}
