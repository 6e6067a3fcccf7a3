#include "speaker/conflict_condition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/buffer.h"
#include "speaker/records.h"

#define REASON "UsedByAnotherHost"

/* One that is about to be replaced, because a stranger has it, is not kept. */
static const struct foreign_record *stranger_on(const struct model *m, const struct address *a)
{
	const struct record *r = model_record(m, a);
	return r && model_is_refused(m, r) ? NULL : model_foreign(m, a);
}

char *conflict_condition_message(const struct model *m, const struct service *s)
{
	struct buffer text = BUFFER_INIT;
	char ip[ADDRESS_TEXT], mac[MAC_TEXT];
	size_t n = 0;
	for (size_t i = 0; model_is_ours(m, s) && i < s->n_ingress; i++) {
		const struct foreign_record *f = stranger_on(m, &s->ingress[i]);
		if (!f)
			continue;
		buffer_printf(&text, "%s%s: a host on the network with the MAC address %s uses this address too (seen on %.15s of node %.253s)", n ? "; " : "",
			      address_format(&s->ingress[i], ip), mac_format(&f->mac, mac), f->link, f->node);
		n++;
	}
	char *message = n ? mem_printf("%s; it is kept and defended; find that host and give it another address", buffer_string(&text)) : NULL;
	buffer_free(&text);
	return message;
}

static bool is_ours(const json_t *condition)
{
	const char *type = json_string_value(json_object_get(condition, "type"));
	return type && strcmp(type, CONFLICT_CONDITION) == 0;
}

static bool says(const json_t *condition, const char *field, const char *text)
{
	const char *value = json_string_value(json_object_get(condition, field));
	return value && strcmp(value, text) == 0;
}

/* A server that does not count a Service's generations shows 0, and then so do we. */
static bool is_right(const json_t *have, const struct service *s, const char *message)
{
	return says(have, "status", "True") && says(have, "reason", REASON) && says(have, "message", message) &&
	       json_integer_value(json_object_get(have, "observedGeneration")) == s->generation;
}

static json_t *condition(const json_t *have, const struct service *s, const char *message, const char *now)
{
	/* metav1.Time: whole seconds. It tells when the conflict began, whoever the host is by now. */
	const char *since = says(have, "status", "True") ? json_string_value(json_object_get(have, "lastTransitionTime")) : NULL;
	char *began = since ? mem_strdup(since) : mem_printf("%.19sZ", now);
	json_t *c = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", CONFLICT_CONDITION, "status", "True", "reason", REASON, "message", message, "lastTransitionTime", began);
	if (s->generation)
		json_object_set_new(c, "observedGeneration", json_integer(s->generation));
	free(began);
	return c;
}

json_t *conflict_condition_patch(const struct model *m, const struct service *s, const char *now)
{
	const json_t *have = NULL, *one;
	size_t i, n = 0;
	json_array_foreach(s->conditions, i, one)
		if (is_ours(one)) {
			have = one;
			n++;
		}
	char *message = conflict_condition_message(m, s);
	/* A LoadBalancer Service of another class is another controller's, whatever it writes. One that is none any more is nobody's. */
	bool hands_off = !model_is_ours(m, s) && s->load_balancer;
	if (hands_off || (message ? n == 1 && is_right(have, s, message) : n == 0)) {
		free(message);
		return NULL;
	}
	json_t *all = json_array();
	json_array_foreach(s->conditions, i, one)
		if (!is_ours(one))
			json_array_append_new(all, json_deep_copy(one));
	if (message)
		json_array_append_new(all, condition(have, s, message, now));
	free(message);
	json_t *patch = record_guarded_patch(&s->meta);
	json_object_set_new(patch, "status", json_pack("{s:o}", "conditions", json_array_size(all) ? all : json_null()));
	if (json_is_null(json_object_get(json_object_get(patch, "status"), "conditions")))
		json_decref(all);
	return patch;
}
