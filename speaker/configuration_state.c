#include "speaker/configuration_state.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/buffer.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"

#define RETRY (10 * CLOCK_S)
#define MISSING (300 * CLOCK_S)   /* the CRD is not installed */
#define SUMMARY_MAX 30000         /* a condition's message has at most 32768 */

enum step { UNREAD, READING, CREATING, WRITING, CURRENT };

struct configuration_state {
	struct configuration_state_config config;
	char *name, *path;      /* of the object; "/apis/.../configurationstates" */
	enum step step;
	struct api_call *call;
	struct deadline retry;
	bool waiting;           /* for retry */
	char *written;          /* the summary that the object shows; NULL: none that counts */
	char *wanted;
	bool said;
};

static bool is_controller(const struct configuration_state *s)
{
	return s->config.node == NULL;
}

/* One line per object that is not in use as it is; "" : all are. To free(). */
static char *summary_of(const struct model *m)
{
	struct buffer text = BUFFER_INIT;
	size_t n = model_problems(m);
	for (size_t i = 0; i < n && text.len < SUMMARY_MAX - 1000; i++)
		buffer_printf(&text, "%s%.900s", i ? "\n" : "", model_problem(m, i).text);
	char *copy = mem_strdup(buffer_string(&text));
	buffer_free(&text);
	return copy;
}

static json_t *owner_of(const struct configuration_state *s)
{
	if (!s->config.pod_name || !s->config.pod_uid)
		return NULL;
	return json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Pod", "name", s->config.pod_name, "uid", s->config.pod_uid);
}

static json_t *metadata_of(const struct configuration_state *s)
{
	json_t *labels = json_pack("{s:s}", "metallb.io/component-type", is_controller(s) ? "controller" : "speaker");
	if (!is_controller(s))
		json_object_set_new(labels, "metallb.io/node-name", json_string(s->config.node));
	json_t *metadata = json_pack("{s:s, s:o}", "name", s->name, "labels", labels), *owner = owner_of(s);
	if (owner)
		json_object_set_new(metadata, "ownerReferences", owner);
	return metadata;
}

static json_t *status_of(const struct configuration_state *s)
{
	char now[CLOCK_TEXT];
	bool valid = !*s->wanted;
	clock_wall_text(now);
	return json_pack("{s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:s}]}", "result", valid ? "Valid" : "Invalid", "errorSummary", s->wanted, "conditions",
			 "type", is_controller(s) ? "poolReconcilerValid" : "configReconcilerValid", "status", valid ? "True" : "False",
			 "reason", valid ? "Reconciled" : "ConfigurationError", "message", s->wanted, "lastTransitionTime", now);
}

static void go_on(struct configuration_state *s);

static void call_api(struct configuration_state *s, enum step step, const char *method, const char *rest, json_t *body, void (*on_result)(void *, const struct api_result *))
{
	char *path = mem_printf("%s%s", s->path, rest);
	struct api_request request = {.method = method, .path = path, .body = body, .on_result = on_result, .data = s,
				      .content_type = !body ? NULL : strcmp(method, "PATCH") == 0 ? API_MERGE_PATCH : API_JSON};
	s->step = step;
	s->call = api_send(cluster_api(s->config.cluster), &request);
	json_decref(body);
	free(path);
}

/* It informs, nothing depends on it: said once, tried again later. */
static void failed(struct configuration_state *s, const struct api_result *result)
{
	if (!s->said && result->status != 404)
		log_warn("configurationStateFailed", NO_KV, "%s", result->message);
	s->said = true;
	s->step = UNREAD;
	s->waiting = true;
	deadline_set(&s->retry, clock_now() + (result->status == 404 ? MISSING : RETRY));
}

static void on_written(void *data, const struct api_result *result)
{
	struct configuration_state *s = data;
	s->call = NULL;
	if (!api_succeeded(result)) {
		failed(s, result);
		return;
	}
	mem_replace(&s->written, json_string_value(json_object_get(json_object_get(result->body, "status"), "errorSummary")));
	if (!s->written)
		s->written = mem_strdup("");
	s->step = CURRENT;
	go_on(s);
}

static void write_status(struct configuration_state *s)
{
	char *rest = mem_printf("/%s/status", s->name);
	call_api(s, WRITING, "PATCH", rest, json_pack("{s:o}", "status", status_of(s)), on_written);
	free(rest);
}

/* What the object says; then what it should say is written, if that is something else. */
static void take_shown(struct configuration_state *s, const json_t *object)
{
	const json_t *status = json_object_get(object, "status");
	const char *summary = json_string_value(json_object_get(status, "errorSummary"));
	mem_replace(&s->written, json_object_get(status, "result") ? (summary ? summary : "") : NULL);
	s->step = CURRENT;
	go_on(s);
}

static void on_made(void *data, const struct api_result *result)
{
	struct configuration_state *s = data;
	s->call = NULL;
	if (api_succeeded(result))
		take_shown(s, result->body);
	else
		failed(s, result);
}

static bool is_owned(const struct configuration_state *s, const json_t *object)
{
	const json_t *owners = json_object_get(json_object_get(object, "metadata"), "ownerReferences");
	const char *uid = json_string_value(json_object_get(json_array_get(owners, 0), "uid"));
	return !s->config.pod_uid || (uid && strcmp(uid, s->config.pod_uid) == 0);
}

static void on_read(void *data, const struct api_result *result)
{
	struct configuration_state *s = data;
	s->call = NULL;
	if (result->status == 404) {
		call_api(s, CREATING, "POST", "", json_pack("{s:s, s:s, s:o}", "apiVersion", "metallb.io/v1beta1", "kind", "ConfigurationState", "metadata", metadata_of(s)), on_made);
	} else if (!api_succeeded(result)) {
		failed(s, result);
	} else if (!is_owned(s, result->body)) {   /* the pod before us made it; it would go with that one */
		char *rest = mem_printf("/%s", s->name);
		call_api(s, CREATING, "PATCH", rest, json_pack("{s:o}", "metadata", metadata_of(s)), on_made);
		free(rest);
	} else {
		take_shown(s, result->body);
	}
}

static void go_on(struct configuration_state *s)
{
	if (s->call || s->waiting)
		return;
	if (s->step == UNREAD) {
		char *rest = mem_printf("/%s", s->name);
		call_api(s, READING, "GET", rest, NULL, on_read);
		free(rest);
	} else if (s->step == CURRENT && (!s->written || strcmp(s->written, s->wanted) != 0)) {
		write_status(s);
	}
}

void configuration_state_step(struct configuration_state *s)
{
	free(s->wanted);
	s->wanted = summary_of(cluster_model(s->config.cluster));
	go_on(s);
}

static void on_retry(void *data)
{
	struct configuration_state *s = data;
	s->waiting = false;
	go_on(s);
}

void configuration_state_init(struct configuration_state **sp, uv_loop_t *loop, const struct configuration_state_config *config)
{
	struct configuration_state *s = mem_zalloc(sizeof(*s));
	s->config = *config;
	s->name = config->node ? mem_printf("speaker-%s", config->node) : mem_strdup("controller");
	s->path = mem_printf("/apis/metallb.io/v1beta1/namespaces/%s/configurationstates", cluster_namespace(config->cluster));
	deadline_init(&s->retry, loop, on_retry, s);
	*sp = s;
}

static void on_timer_closed(void *data)
{
	struct configuration_state *s = data;
	free(s->name);
	free(s->path);
	free(s->written);
	free(s->wanted);
	free(s);
}

void configuration_state_close(struct configuration_state *s)
{
	if (!s)
		return;
	api_cancel(s->call);
	deadline_close(&s->retry, on_timer_closed);
}
