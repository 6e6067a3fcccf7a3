#include "speaker/l2_status.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "speaker/l2_status_plan.h"

#define LOOK CLOCK_S
#define RETRY (10 * CLOCK_S)
#define MISSING (300 * CLOCK_S)   /* the CRD is not installed, or we may not */

struct l2_status {
	struct l2_status_config config;
	struct l2_status_plan *plan;
	struct api_call *call;
	char *path;               /* "/apis/.../servicel2statuses" */
	struct deadline timer;
	int64_t looked_at, retry_at;
	bool said;
};

static void go_on(struct l2_status *s);

/* It informs, nothing depends on it: said once, tried again later. */
static void failed(struct l2_status *s, const struct api_result *result, bool missing)
{
	if (!s->said && !missing && cluster_api_answers(s->config.cluster))
		log_warn("l2StatusFailed", NO_KV, "%s", result->message);
	s->said = s->said || !missing;
	s->retry_at = clock_now() + (missing || result->status == 403 ? MISSING : RETRY);
	deadline_set(&s->timer, clock_min(s->timer.at, s->retry_at));
}

static void on_listed(void *data, const struct api_result *result)
{
	struct l2_status *s = data;
	s->call = NULL;
	if (!api_succeeded(result)) {
		failed(s, result, result->status == 404);
		return;
	}
	l2_status_plan_list(s->plan, json_object_get(result->body, "items"));
	go_on(s);
}

static void on_result(void *data, const struct api_result *result)
{
	struct l2_status *s = data;
	s->call = NULL;
	if (l2_status_plan_ended(s->plan, result->status))
		go_on(s);
	else
		failed(s, result, result->status == 404);
}

static void call_api(struct l2_status *s, const char *method, const char *rest, const json_t *body, void (*on_end)(void *, const struct api_result *))
{
	char *path = mem_printf("%s%s", s->path, rest);
	struct api_request request = {.method = method, .path = path, .body = (json_t *)(uintptr_t)body, .background = true, .on_result = on_end, .data = s,
				      .content_type = !body ? NULL : strcmp(method, "PATCH") == 0 ? API_MERGE_PATCH : API_JSON};
	s->call = api_send(cluster_api(s->config.cluster), &request);
	free(path);
}

static void go_on(struct l2_status *s)
{
	struct l2_status_request request;
	if (s->call || clock_now() < s->retry_at || !cluster_api_answers(s->config.cluster))
		return;
	if (l2_status_plan_needs_list(s->plan)) {
		char *rest = mem_printf("?labelSelector=" L2_STATUS_LABEL_NODE "%%3D%s", s->config.node);
		call_api(s, "GET", rest, NULL, on_listed);
		free(rest);
	} else if (l2_status_plan_next(s->plan, &request)) {
		char *rest = request.name ? mem_printf("/%s%s", request.name, request.status ? "/status" : "") : mem_strdup("");
		call_api(s, request.method, rest, request.body, on_result);
		json_decref(request.body);
		free(rest);
	}
}

bool l2_status_is_due(struct l2_status *s, int64_t now)
{
	if (now - s->looked_at >= LOOK)
		return true;
	deadline_set(&s->timer, clock_min(s->timer.at, s->looked_at + LOOK));
	return false;
}

void l2_status_begin(struct l2_status *s)
{
	s->looked_at = clock_now();
	l2_status_plan_begin(s->plan);
}

void l2_status_want(struct l2_status *s, const char *service, const char *link, const char *previous)
{
	l2_status_plan_want(s->plan, service, link, previous);
}

void l2_status_end(struct l2_status *s)
{
	l2_status_plan_end(s->plan);
	if (l2_status_plan_waits(s->plan))
		deadline_set(&s->timer, clock_min(s->timer.at, s->looked_at + LOOK));
	go_on(s);
}

static void on_time(void *data)
{
	struct l2_status *s = data;
	s->config.on_due(s->config.data);
}

void l2_status_init(struct l2_status **sp, uv_loop_t *loop, const struct l2_status_config *config)
{
	struct l2_status *s = mem_zalloc(sizeof(*s));
	s->config = *config;
	s->plan = l2_status_plan_new(config->node, config->pod_name, config->pod_uid);
	s->path = mem_printf("/apis/metallb.io/v1beta1/namespaces/%s/servicel2statuses", cluster_namespace(config->cluster));
	s->looked_at = CLOCK_LONG_AGO;
	deadline_init(&s->timer, loop, on_time, s);
	*sp = s;
}

static void on_timer_closed(void *data)
{
	struct l2_status *s = data;
	l2_status_plan_free(s->plan);
	free(s->path);
	free(s);
}

void l2_status_close(struct l2_status *s)
{
	if (!s)
		return;
	api_cancel(s->call);
	deadline_close(&s->timer, on_timer_closed);
}
