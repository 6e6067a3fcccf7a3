#include "speaker/leadership.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "speaker/identity.h"
#include "speaker/names.h"
#include "speaker/records.h"

#define REQUEST_TIMEOUT (5 * CLOCK_S)   /* below the time to renew, so that one lost request does not cost the leadership */
#define RELEASE_TIMEOUT CLOCK_S

struct leadership {
	struct api *api;
	char *name_space, *lease, *class, *identity;
	struct leader core;
	struct deadline timer;
	json_t *raw;             /* the last Lease seen: a PUT keeps the fields we do not know */
	enum leader_action action;   /* in flight */
	bool was_leading;
	void (*on_change)(void *data);
	void (*on_released)(void *data);
	void *data;
};

static void run(struct leadership *l);

static void observe(struct leadership *l, const json_t *object)
{
	struct lease *lease;
	if (!object) {
		leader_observe(&l->core, NULL, clock_now());
	} else if (lease_decode(object, &lease, NULL) == 0) {
		leader_observe(&l->core, lease, clock_now());
		if (l->core.version && strcmp(l->core.version, lease->meta.resource_version) == 0) {
			json_decref(l->raw);
			l->raw = json_deep_copy(object);
		}
		lease_free(lease);
		/* Killed and started again on this very machine: no reason to wait for 15 s. */
		if (l->core.holder && *l->core.holder && identity_is_dead(l->core.holder))
			leader_holder_ended(&l->core);
	}
}

static void on_result(void *data, const struct api_result *result)
{
	struct leadership *l = data;
	enum leader_action action = l->action;
	l->action = LEADER_NOTHING;
	if (api_succeeded(result))
		observe(l, result->body);
	else if (result->status == 403)
		log_error("leaderElectionDenied", NO_KV, "%s", result->message);
	leader_result(&l->core, action, result->status, clock_now());
	if (action == LEADER_RELEASE && l->on_released)
		l->on_released(l->data);
	else
		run(l);
}

static json_t *fresh_lease(const struct leadership *l)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}}, s:{}}", "apiVersion", "coordination.k8s.io/v1", "kind", "Lease", "metadata",
			 "name", l->lease, "namespace", l->name_space, "labels", LABEL_CLASS, l->class, LABEL_RECORD, "leader", "spec");
}

static json_t *body_for(const struct leadership *l, enum leader_action action)
{
	char now[CLOCK_TEXT];
	bool release = action == LEADER_RELEASE;
	json_t *body = action == LEADER_CREATE || !l->raw ? fresh_lease(l) : json_deep_copy(l->raw);
	json_t *spec = json_object_get(body, "spec");
	clock_wall_text(now);
	json_object_set_new(spec, "holderIdentity", json_string(release ? "" : l->identity));
	json_object_set_new(spec, "leaseDurationSeconds", json_integer(release ? 1 : (json_int_t)(l->core.duration / CLOCK_S)));
	json_object_set_new(spec, "renewTime", json_string(now));
	if (action != LEADER_RENEW)
		json_object_set_new(spec, "acquireTime", json_string(now));
	json_object_set_new(spec, "leaseTransitions", json_integer(action == LEADER_CREATE ? 0 : l->core.transitions + (action == LEADER_TAKE)));
	return body;
}

static void carry_out(struct leadership *l, enum leader_action action)
{
	bool create = action == LEADER_CREATE, look = action == LEADER_LOOK;
	char *path = mem_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", l->name_space, create ? "" : "/", create ? "" : l->lease);
	json_t *body = look ? NULL : body_for(l, action);
	struct api_request request = {.method = look ? "GET" : create ? "POST" : "PUT", .path = path, .content_type = look ? NULL : API_JSON,
				      .body = body, .timeout = action == LEADER_RELEASE ? RELEASE_TIMEOUT : REQUEST_TIMEOUT,
				      .on_result = on_result, .data = l};
	l->action = action;
	api_send(l->api, &request);
	json_decref(body);
	free(path);
}

static void run(struct leadership *l)
{
	int64_t wake, now = clock_now();
	enum leader_action action = leader_next(&l->core, now, clock_random(), &wake);
	if (action != LEADER_NOTHING)
		carry_out(l, action);
	deadline_set(&l->timer, wake);
	bool leading = leader_leading(&l->core, now);
	if (leading == l->was_leading)
		return;
	l->was_leading = leading;
	if (leading)
		log_info("leading", KV("lease", l->lease, "identity", l->identity), "this controller leads");
	else
		log_warn("leadershipLost", KV("lease", l->lease, "holder", l->core.holder ? l->core.holder : ""), "this controller leads no longer");
	l->on_change(l->data);
}

static void on_due(void *data)
{
	run(data);
}

void leadership_init(struct leadership **lp, uv_loop_t *loop, struct api *api, const char *name_space, const char *lb_class,
		     const char *identity, void (*on_change)(void *data), void *data)
{
	struct leadership *l = mem_zalloc(sizeof(*l));
	l->api = api;
	l->name_space = mem_strdup(name_space);
	l->class = record_class(lb_class);
	l->lease = *lb_class ? mem_printf("%s-%s", LEADER_LEASE, l->class) : mem_strdup(LEADER_LEASE);
	l->identity = mem_strdup(identity);
	l->on_change = on_change;
	l->data = data;
	leader_init(&l->core, l->identity);
	deadline_init(&l->timer, loop, on_due, l);
	*lp = l;
}

const char *leadership_lease(const struct leadership *l)
{
	return l->lease;
}

void leadership_observe(struct leadership *l, const json_t *lease)
{
	observe(l, lease);
	run(l);
}

bool leadership_leading(struct leadership *l)
{
	return leader_leading(&l->core, clock_now());
}

void leadership_release(struct leadership *l, void (*on_done)(void *data))
{
	if (leader_release(&l->core, clock_now()) == LEADER_NOTHING) {
		on_done(l->data);
		return;
	}
	l->was_leading = false;
	l->on_released = on_done;
	carry_out(l, LEADER_RELEASE);
}

static void on_timer_closed(void *data)
{
	struct leadership *l = data;
	leader_free(&l->core);
	json_decref(l->raw);
	free(l->name_space);
	free(l->lease);
	free(l->class);
	free(l->identity);
	free(l);
}

void leadership_close(struct leadership *l)
{
	if (l)
		deadline_close(&l->timer, on_timer_closed);
}
