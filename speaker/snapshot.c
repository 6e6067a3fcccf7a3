#include "speaker/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "config/base/memory.h"
#include "k8sclient/api.h"
#include "speaker/intake.h"
#include "speaker/names.h"

#define PAGE 500

struct snapshot {
	struct snapshot_config config;
	struct credentials credentials;
	struct http *http;
	struct api *api;
	struct api_call *call;
	char *name_space;
	struct model model;
	bool reading_services;   /* the Leases are there */
};

static void ask(struct snapshot *s, const char *token);

static void finish(struct snapshot *s, int rc, const char *why)
{
	s->config.on_done(s->config.data, rc, why);
}

/* ---- reading ---- */

static void on_page(void *data, const struct api_result *result)
{
	struct snapshot *s = data;
	size_t i;
	json_t *object;
	s->call = NULL;
	if (s->reading_services && s->config.services_optional && result->status == 403) {
		finish(s, 0, "");
		return;
	}
	if (!api_succeeded(result)) {
		/* An exec plugin has said why it gives no credentials; its problem is the line that helps. */
		finish(s, result->error ? result->error : -EIO, s->credentials.problem && result->error == -ENOKEY ? s->credentials.problem : result->message);
		return;
	}
	json_array_foreach(json_object_get(result->body, "items"), i, object) {
		enum intake_kind kind = s->reading_services ? INTAKE_SERVICE : INTAKE_LEASE;
		struct error err;
		if (intake_put(&s->model, kind, object, true, &err) < 0)
			log_warn("invalidObject", KV("kind", intake_kind_name(kind)), "%s", err.text);
	}
	const char *token = json_string_value(json_object_get(json_object_get(result->body, "metadata"), "continue"));
	if (token && *token) {
		ask(s, token);
	} else if (!s->reading_services) {
		s->reading_services = true;
		ask(s, NULL);
	} else {
		finish(s, 0, "");
	}
}

/* token: of the page before. Servers make it base64url; anything else must not get into a path. */
static void ask(struct snapshot *s, const char *token)
{
	struct buffer path = BUFFER_INIT;
	if (s->reading_services)
		buffer_printf(&path, "/api/v1/services?fieldSelector=spec.type%%3DLoadBalancer&limit=%d", PAGE);
	else
		buffer_printf(&path, "/apis/coordination.k8s.io/v1/namespaces/%s/leases?labelSelector=l2lb.io%%2Fclass%%2Cl2lb.io%%2Frecord%%21%%3Dleader&limit=%d",
			      s->name_space, PAGE);
	if (token)
		buffer_text(&path, "&continue=");
	for (; token && *token; token++)
		buffer_printf(&path, *token == '-' || *token == '_' || (*token >= '0' && *token <= '9') || ((*token | 32) >= 'a' && (*token | 32) <= 'z')
			      ? "%c" : "%%%02X", (unsigned char)*token);
	struct api_request request = {.method = "GET", .path = buffer_string(&path), .on_result = on_page, .data = s};
	s->call = api_send(s->api, &request);
	buffer_free(&path);
}

/* ---- life ---- */

int snapshot_start(struct snapshot **sp, uv_loop_t *loop, struct turn *turn, const struct snapshot_config *config, struct error *err)
{
	struct snapshot *s = mem_zalloc(sizeof(*s));
	const struct options *o = config->options;
	struct credentials_request request = {.kubeconfig = o->kubeconfig, .context = o->context, .server = o->api_server};
	s->config = *config;
	int rc = credentials_load(&s->credentials, &request, err);
	if (rc < 0) {
		credentials_free(&s->credentials);
		free(s);
		return rc;
	}
	s->name_space = mem_strdup(o->name_space ? o->name_space : s->credentials.name_space ? s->credentials.name_space : DEFAULT_NAMESPACE);
	model_init(&s->model, o->lb_class ? o->lb_class : "", false);
	http_init(&s->http, loop, turn, &s->credentials, "l2lb/" L2LB_VERSION " (linux)");
	turn_add(turn, http_step, s->http);
	api_init(&s->api, loop, turn, &s->credentials, s->http);
	*sp = s;
	ask(s, NULL);
	return 0;
}

const struct model *snapshot_model(const struct snapshot *s)
{
	return &s->model;
}

const char *snapshot_namespace(const struct snapshot *s)
{
	return s->name_space;
}

static void on_closed(void *data)
{
	struct snapshot *s = data;
	credentials_free(&s->credentials);
	model_free(&s->model);
	free(s->name_space);
	free(s);
}

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	api_cancel(s->call);
	api_close(s->api);
	http_close(s->http, on_closed, s);
}
