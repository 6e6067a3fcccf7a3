#include "speaker/monitoring.h"

#include <stdlib.h>
#include <string.h>

#include "speaker/http_server.h"
#include "speaker/metrics_auth.h"
#include "speaker/process_metrics.h"
#include "speaker/server_certificate.h"

struct monitoring {
	const struct options *options;
	struct api *api;
	struct metrics *metrics;
	struct http_server *scrapes, *probes;       /* NULL: off */
	struct server_certificate *certificate;
	struct metrics_auth *auth;                  /* NULL: everybody may */
	struct cluster *cluster;
	const struct speaker_role *speaker;
	unsigned seen_revision;
	bool ending;
};

/* ---- readiness ---- */

static void add_missing(struct buffer *why, bool wanted, bool synced, const char *what)
{
	if (wanted && !synced)
		buffer_printf(why, "%s%s", why->len ? ", " : "not ready: the API server has not listed ", what);
}

/* Nothing in why: ready. */
static void missing(const struct monitoring *m, struct buffer *why)
{
	const struct options *o = m->options;
	if (m->ending) {
		buffer_text(why, "not ready: ending");
		return;
	}
	if (!m->cluster) {
		buffer_text(why, "not ready: the API server has not answered");
		return;
	}
	const struct model *model = cluster_model(m->cluster);
	if (!cluster_synced(m->cluster)) {
		add_missing(why, true, model->services_synced, "services");
		add_missing(why, true, model->records_synced, "leases");
		add_missing(why, o->controller, model->namespaces_synced, "namespaces");
		add_missing(why, o->speaker, model->nodes_synced, "nodes");
		add_missing(why, o->speaker, model->slices_synced, "endpointslices");
		add_missing(why, true, model->pools_synced, "ipaddresspools");
		add_missing(why, true, model->advertisements_synced, "l2advertisements");
		if (!why->len)
			buffer_text(why, "not ready: the API server has not listed everything");
	} else if (m->speaker && !speaker_role_ready(m->speaker)) {
		buffer_text(why, "not ready: the speaker is starting");
	}
}

static void on_probe(void *data, struct http_exchange *x)
{
	struct monitoring *m = data;
	const char *path = http_exchange_path(x);
	struct buffer why = BUFFER_INIT;
	if (strcmp(path, "/healthz") == 0) {
		http_exchange_line(x, 200, "ok");
	} else if (strcmp(path, "/readyz") == 0) {
		missing(m, &why);
		http_exchange_line(x, why.len ? 503 : 200, why.len ? buffer_string(&why) : "ok");
	} else {
		http_exchange_line(x, 404, "not found; here are /healthz and /readyz");
	}
	buffer_free(&why);
}

/* ---- /metrics ---- */

static void send_metrics(struct monitoring *m, struct http_exchange *x)
{
	struct buffer text = BUFFER_INIT;
	metrics_render(m->metrics, &text);
	http_exchange_answer(x, 200, METRICS_CONTENT_TYPE, buffer_string(&text), text.len);
	buffer_free(&text);
}

struct asking {
	struct monitoring *monitoring;
	struct http_exchange *exchange;
};

static void on_verdict(void *data, int status, const char *why)
{
	struct asking *a = data;
	if (status == 200)
		send_metrics(a->monitoring, a->exchange);
	else
		http_exchange_line(a->exchange, status, why);
	free(a);
}

static void on_scrape(void *data, struct http_exchange *x)
{
	struct monitoring *m = data;
	if (strcmp(http_exchange_path(x), "/metrics") != 0) {
		http_exchange_line(x, 404, "not found; here is /metrics");
	} else if (m->auth) {
		struct asking *a = mem_zalloc(sizeof(*a));
		*a = (struct asking){m, x};
		metrics_auth_ask(m->auth, http_exchange_header(x, "Authorization"), on_verdict, a);
	} else {
		send_metrics(m, x);
	}
}

static int on_certificate(void *data, const char *certificate, const char *key, struct error *err)
{
	struct monitoring *m = data;
	return http_server_use(m->scrapes, certificate, key, err);
}

static void collect(void *data, struct metrics *metrics)
{
	struct monitoring *m = data;
	const struct model *model = m->cluster ? cluster_model(m->cluster) : NULL;
	metrics_set(metrics, METRIC_UPDATE_ERRORS, NO_KV, (double)api_failures(m->api));
	metrics_set(metrics, METRIC_CONFIG_LOADED, NO_KV, model && model->pools_synced && model->advertisements_synced);
	metrics_set(metrics, METRIC_CONFIG_STALE, NO_KV, model && model_problems(model) > 0);
}

void monitoring_step(void *data)
{
	struct monitoring *m = data;
	unsigned revision = cluster_model(m->cluster)->revision;
	if (revision == m->seen_revision)
		return;
	m->seen_revision = revision;
	metrics_add(m->metrics, METRIC_UPDATES, NO_KV, 1);
}

/* ---- life ---- */

void monitoring_init(struct monitoring **mp, uv_loop_t *loop, const struct options *o, struct api *api)
{
	struct monitoring *m = mem_zalloc(sizeof(*m));
	m->options = o;
	m->api = api;
	m->metrics = metrics_new();
	metrics_on_collect(m->metrics, collect, m);
	metrics_on_collect(m->metrics, process_metrics_collect, NULL);
	metrics_set(m->metrics, METRIC_BUILD_INFO, KV("version", L2LB_VERSION), 1);
	metrics_set(m->metrics, METRIC_UPDATES, NO_KV, 0);   /* a rate needs a first value */
	metrics_set(m->metrics, METRIC_CONFIG_STALE, NO_KV, 0);
	if (o->port) {
		struct http_server_config config = {.flag = "--port", .port = o->port, .tls_min_version = o->tls_min_version, .on_request = on_scrape, .data = m};
		http_server_init(&m->scrapes, loop, &config);
		server_certificate_init(&m->certificate, loop, o->metrics_cert_dir, o->node_name ? o->node_name : o->pod_name ? o->pod_name : "l2lb",
					on_certificate, m);
		if (o->metrics_auth)
			metrics_auth_init(&m->auth, loop, api);
	}
	if (o->health_probe_port) {
		struct http_server_config config = {.flag = "--health-probe-port", .port = o->health_probe_port, .loopback = o->speaker,
						    .on_request = on_probe, .data = m};
		http_server_init(&m->probes, loop, &config);
	}
	*mp = m;
}

void monitoring_start(struct monitoring *m)
{
	if (m->probes)
		http_server_start(m->probes);
	if (m->scrapes) {
		http_server_start(m->scrapes);
		server_certificate_start(m->certificate);
	}
}

struct metrics *monitoring_metrics(struct monitoring *m)
{
	return m->metrics;
}

void monitoring_follow(struct monitoring *m, struct cluster *cluster, const struct speaker_role *speaker)
{
	m->cluster = cluster;
	m->speaker = speaker;
	m->seen_revision = cluster_model(cluster)->revision;
}

void monitoring_ending(struct monitoring *m)
{
	m->ending = true;
}

void monitoring_close(struct monitoring *m)
{
	if (!m)
		return;
	metrics_auth_close(m->auth);   /* answers those who wait */
	server_certificate_close(m->certificate);
	http_server_close(m->scrapes);
	http_server_close(m->probes);
	metrics_free(m->metrics);
	free(m);
}
