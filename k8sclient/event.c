#include "k8sclient/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/map.h"

#define NOTE_MAX 1024
#define KEPT_MAX 4096   /* remembered (object, reason) pairs; beyond it the memory is dropped and events may repeat once */

struct sent {
	char *key;   /* "uid reason" */
	char *note;
	UT_hash_handle hh;
};

struct events {
	struct api *api;
	char *controller, *instance;
	struct sent *sent;
	bool said_denied;
};

void events_init(struct events **eventsp, struct api *api, const char *controller, const char *instance)
{
	struct events *e = mem_zalloc(sizeof(*e));
	e->api = api;
	e->controller = mem_strdup(controller);
	e->instance = mem_strdup(instance);
	*eventsp = e;
}

static void sent_free(struct events *e, struct sent *s)
{
	HASH_DEL(e->sent, s);
	free(s->key);
	free(s->note);
	free(s);
}

static void forget_all(struct events *e)
{
	struct sent *s, *tmp;
	HASH_ITER(hh, e->sent, s, tmp)
		sent_free(e, s);
}

/* False when exactly this was the last said about it. */
static bool is_news(struct events *e, const struct event *event)
{
	struct sent *s;
	char *key = mem_printf("%s %s", event->object->uid, event->reason);
	HASH_FIND_STR(e->sent, key, s);
	if (s && strcmp(s->note, event->note) == 0) {
		free(key);
		return false;
	}
	if (s) {
		mem_replace(&s->note, event->note);
		free(key);
		return true;
	}
	if (HASH_COUNT(e->sent) >= KEPT_MAX)
		forget_all(e);
	s = mem_zalloc(sizeof(*s));
	s->key = key;
	s->note = mem_strdup(event->note);
	HASH_ADD_KEYPTR(hh, e->sent, s->key, strlen(s->key), s);
	return true;
}

static void on_result(void *data, const struct api_result *result)
{
	struct events *e = data;
	/* The namespace may be terminating, the object gone: an Event that nobody gets is no reason to act. */
	if (result->status == 403 && !e->said_denied) {
		e->said_denied = true;
		log_warn("eventDenied", NO_KV, "%s", result->message);
	}
}

void events_emit(struct events *e, const struct event *event)
{
	char now[CLOCK_TEXT], name[254], note[NOTE_MAX];
	if (!*event->object->uid || !is_news(e, event))
		return;
	const char *ns = *event->object->name_space ? event->object->name_space : "default";
	snprintf(name, sizeof(name), "%.200s.%llx", event->object->name, (unsigned long long)clock_wall_ns());
	snprintf(note, sizeof(note), "%s", event->note);
	json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s}}",
		"apiVersion", "events.k8s.io/v1", "kind", "Event", "metadata", "name", name, "namespace", ns,
		"eventTime", clock_wall_text(now), "reportingController", e->controller, "reportingInstance", e->instance,
		"action", event->action, "reason", event->reason, "type", event->warning ? "Warning" : "Normal", "note", note,
		"regarding", "apiVersion", event->api_version, "kind", event->kind, "namespace", event->object->name_space,
		"name", event->object->name, "uid", event->object->uid);
	if (!body)   /* a note that is not UTF-8 */
		return;
	if (!*event->object->name_space)
		json_object_del(json_object_get(body, "regarding"), "namespace");
	char *path = mem_printf("/apis/events.k8s.io/v1/namespaces/%s/events", ns);
	struct api_request request = {.method = "POST", .path = path, .content_type = API_JSON, .body = body, .background = true, .on_result = on_result, .data = e};
	api_send(e->api, &request);
	json_decref(body);
	free(path);
}

void events_forget(struct events *e, const char *uid, const char *reason)
{
	struct sent *s, *tmp;
	char *key = mem_printf("%s %s", uid, reason ? reason : "");
	if (reason) {
		HASH_FIND_STR(e->sent, key, s);
		if (s)
			sent_free(e, s);
	} else {
		HASH_ITER(hh, e->sent, s, tmp)
			if (strncmp(s->key, key, strlen(key)) == 0)
				sent_free(e, s);
	}
	free(key);
}

void events_close(struct events *e)
{
	if (!e)
		return;
	forget_all(e);
	free(e->controller);
	free(e->instance);
	free(e);
}
