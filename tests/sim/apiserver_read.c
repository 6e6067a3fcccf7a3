/* Lists in pages, reads of older versions, and watches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "tests/sim/apiserver_state.h"

static json_t *version_text(uint64_t version)
{
	return json_sprintf("%llu", (unsigned long long)version);
}

/* ---- continue tokens: version and next key, "n" for "whatever is there now" ---- */

static char *token_make(uint64_t version, bool now, const char *key)
{
	char *hex = mem_zalloc(2 * strlen(key) + 1);
	for (size_t i = 0; key[i]; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)key[i]);
	char *token = now ? mem_printf("n-%s", hex) : mem_printf("%llu-%s", (unsigned long long)version, hex);
	free(hex);
	return token;
}

/* The key in it, to free(); NULL: not one of ours. *versionp is 0 for "now". */
static char *token_read(const char *token, uint64_t *versionp)
{
	char *end;
	*versionp = *token == 'n' ? 0 : strtoull(token, &end, 10);
	if (*token == 'n')
		end = (char *)token + 1;
	if (end == token || *end != '-')
		return NULL;
	size_t n = strlen(++end);
	char *key = mem_zalloc(n / 2 + 1);
	for (size_t i = 0; i + 1 < n; i += 2) {
		unsigned byte;
		if (sscanf(end + i, "%2x", &byte) != 1) {
			free(key);
			return NULL;
		}
		key[i / 2] = (char)byte;
	}
	return key;
}

/* ---- lists ---- */

/* Items of lists have no kind and apiVersion, those of custom resources have. */
static json_t *list_item(const struct simkind *k, json_t *object)
{
	if (k->custom)
		return json_incref(object);
	json_t *item = json_copy(object);
	json_object_del(item, "kind");
	json_object_del(item, "apiVersion");
	return item;
}

/* The part of a view that is in the namespace asked for. */
static void bounds(const struct simstore_view *v, const struct simquery *q, const char *from, size_t *firstp, size_t *endp)
{
	bool found;
	*firstp = 0;
	*endp = v->n;
	if (q->name_space && q->kind->namespaced) {
		char *low = mem_printf("%s/", q->name_space), *high = mem_printf("%s0", q->name_space);   /* '0' comes after '/' */
		*firstp = simstore_find(v->items, v->n, low, &found);
		*endp = simstore_find(v->items, v->n, high, &found);
		free(low);
		free(high);
	}
	if (from) {
		size_t at = simstore_find(v->items, v->n, from, &found);
		*firstp = at > *firstp ? at : *firstp;
	}
}

json_t *simapi_list(struct simapi *s, const struct simquery *q, uint64_t version, const char *from, size_t limit)
{
	const struct simkind *k = q->kind;
	struct simstore_view v = simstore_at(simapi_table(s, k), version);
	json_t *items = json_array(), *meta = json_pack("{s:o}", "resourceVersion", version_text(version));
	size_t first, end, left = 0;
	const char *next = NULL;
	bounds(&v, q, from, &first, &end);
	for (size_t i = first; i < end; i++) {
		if (limit && json_array_size(items) == limit) {   /* the rest is not looked at: none of it may be selected */
			left = end - i;
			next = v.items[i].key;
			break;
		}
		if (simquery_selects(q, v.items[i].object))
			json_array_append_new(items, list_item(k, v.items[i].object));
	}
	if (next) {
		char *token = token_make(version, false, next);
		json_object_set_new(meta, "continue", json_string(token));
		free(token);
		if (!q->n_labels && !q->n_fields)
			json_object_set_new(meta, "remainingItemCount", json_integer((json_int_t)left));
	}
	simstore_view_free(&v);
	return json_pack("{s:o, s:o, s:o, s:o}", "kind", json_sprintf("%sList", k->kind), "apiVersion",
			 json_sprintf("%s%s%s", k->group, *k->group ? "/" : "", k->version), "metadata", meta, "items", items);
}

static int expired(struct simerror *e, uint64_t version)
{
	return simfail(e, 410, "Expired", "The provided resource version (%llu) is too old.", (unsigned long long)version);
}

static int continue_list(struct simapi *s, const struct simquery *q, json_t **replyp, struct simerror *e)
{
	uint64_t version;
	int code = 0;
	if (q->version || q->match)
		return simfail(e, 400, "BadRequest", "specifying resource version is not allowed when using continue");
	char *from = token_read(q->token, &version);
	if (!from)
		return simfail(e, 400, "BadRequest", "continue key is not valid");
	if (!version)
		version = s->version;
	if (version < simapi_table(s, q->kind)->floor) {
		e->token = token_make(0, true, from);
		code = simfail(e, 410, "Expired", "The provided continue parameter is too old to display a consistent list result.");
	} else if (version > s->version) {
		code = simfail(e, 400, "BadRequest", "continue key is not valid");
	} else {
		*replyp = simapi_list(s, q, version, from, q->limit);
	}
	free(from);
	return code;
}

/* The version a new list shows. */
static int list_version(struct simapi *s, const struct simquery *q, size_t limit, uint64_t *versionp, struct simerror *e)
{
	uint64_t wanted = 0;
	int code = q->version ? simquery_number(q->version, &wanted, e) : 0;
	bool exact = q->match && strcmp(q->match, "Exact") == 0;
	*versionp = s->version;
	if (code)
		return code;
	if (q->initial || (q->match && !q->version) || (exact && wanted == 0))
		return simfail(e, 422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden");
	if (q->match && !exact && strcmp(q->match, "NotOlderThan") != 0)
		return simfail(e, 422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value");
	if (wanted > s->version)
		return simfail(e, 504, "Timeout", "Timeout: Too large resource version: %llu, current: %llu", (unsigned long long)wanted,
			       (unsigned long long)s->version);
	if (!exact && !(wanted && limit && !q->match))   /* a version with a limit has always meant exactly this one */
		return 0;
	*versionp = wanted;
	return wanted < simapi_table(s, q->kind)->floor ? expired(e, wanted) : 0;
}

static bool selects_name(const struct simquery *q)
{
	for (size_t i = 0; i < q->n_fields; i++)
		if (strcmp(q->fields[i].path, "metadata.name") == 0 && !q->fields[i].not)
			return true;
	return false;
}

int simapi_list_request(struct simapi *s, const struct simquery *q, json_t **replyp, struct simerror *e)
{
	uint64_t version;
	/* A selected name is read by itself, and version 0 served from the watch cache: neither is paged. */
	size_t limit = selects_name(q) || (q->version && strcmp(q->version, "0") == 0) ? 0 : q->limit;
	if (q->token)
		return continue_list(s, q, replyp, e);
	int code = list_version(s, q, limit, &version, e);
	if (code == 0)
		*replyp = simapi_list(s, q, version, NULL, limit);
	return code;
}

int simapi_read_at(struct simapi *s, const char *path_and_query, uint64_t version, json_t **replyp)
{
	struct simquery q;
	struct simerror e = {0};
	int code = simquery_parse(path_and_query, &q, &e);
	if (code == 0 && (version < simapi_table(s, q.kind)->floor || version > s->version))
		code = expired(&e, version);
	if (code == 0 && !q.name)
		*replyp = simapi_list(s, &q, version, NULL, q.limit);
	if (code == 0 && q.name) {
		struct simstore_view v = simstore_at(simapi_table(s, q.kind), version);
		char *key = simapi_key(q.name_space, q.name);
		bool found;
		size_t at = simstore_find(v.items, v.n, key, &found);
		if (found)
			*replyp = json_incref(v.items[at].object);
		else
			code = simfail(&e, 404, "NotFound", "%s \"%s\" not found", q.kind->plural, q.name);
		simstore_view_free(&v);
		free(key);
	}
	if (code)
		*replyp = simerror_status(&e, q.kind, q.name);
	simquery_free(&q);
	return code ? code : 200;
}

/* ---- watches ---- */

static bool sees(const struct simquery *q, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	if (!object || (q->kind->namespaced && q->name_space && strcmp(q->name_space, simtext(meta, "namespace")) != 0))
		return false;
	return (!q->name || strcmp(q->name, simtext(meta, "name")) == 0) && simquery_selects(q, object);
}

/* An object that left the selection: its content of before under the version of the event. */
static json_t *left(const struct simstore_event *e)
{
	json_t *object = json_copy(e->before), *meta = json_copy(json_object_get(object, "metadata"));
	json_object_set_new(meta, "resourceVersion", version_text(e->version));
	json_object_set_new(object, "metadata", meta);
	return object;
}

/* The event as this watch sees it; NULL: not at all. */
static json_t *seen(const struct simapi *s, const struct simquery *q, const struct simstore_event *e)
{
	bool before = sees(q, e->before), after = !e->deleted && sees(q, e->now);
	if (after)
		return json_pack("{s:s, s:O}", "type", before ? "MODIFIED" : "ADDED", "object", e->now);
	if (before && e->deleted)
		return json_pack("{s:s, s:O}", "type", "DELETED", "object", e->now);
	if (before && s->fault != SIMAPI_LEAVES_SILENTLY)
		return json_pack("{s:s, s:o}", "type", "DELETED", "object", left(e));
	return NULL;
}

static json_t *initial_state(struct simapi *s, const struct simquery *q)
{
	const struct simstore_table *t = simapi_table(s, q->kind);
	json_t *events = json_array();
	for (size_t i = 0; i < t->n; i++)
		if (sees(q, t->items[i].object))
			json_array_append_new(events, json_pack("{s:s, s:O}", "type", "ADDED", "object", t->items[i].object));
	return events;
}

static json_t *events_after(struct simapi *s, const struct simquery *q, uint64_t version, size_t max, uint64_t *nextp)
{
	const struct simstore_table *t = simapi_table(s, q->kind);
	json_t *events = json_array();
	*nextp = version > s->version ? version : s->version;
	for (size_t i = simstore_after(t, version); i < t->n_history; i++) {
		json_t *event = seen(s, q, &t->history[i]);
		if (event)
			json_array_append_new(events, event);
		if (max && json_array_size(events) == max) {
			*nextp = t->history[i].version;
			break;
		}
	}
	return events;
}

static int watch(struct simapi *s, const char *path_and_query, uint64_t version, size_t max, bool open, json_t **eventsp, uint64_t *nextp)
{
	struct simquery q;
	struct simerror e = {0};
	int code = simquery_parse(path_and_query, &q, &e);
	const struct simstore_table *t = code ? NULL : simapi_table(s, q.kind);
	*nextp = version;
	if (code == 0 && !(open && version == 0) && version < (open ? t->floor : t->lost))
		code = simfail(&e, 410, "Expired", "too old resource version: %llu (%llu)", (unsigned long long)version, (unsigned long long)t->floor);
	if (code) {
		*eventsp = simerror_status(&e, NULL, NULL);
	} else if (open && version == 0) {
		*eventsp = initial_state(s, &q);
		*nextp = s->version;
	} else {
		*eventsp = events_after(s, &q, version, max, nextp);
	}
	simquery_free(&q);
	return code ? code : 200;
}

int simapi_watch(struct simapi *s, const char *path_and_query, uint64_t version, size_t max, json_t **eventsp, uint64_t *nextp)
{
	return watch(s, path_and_query, version, max, true, eventsp, nextp);
}

int simapi_watch_on(struct simapi *s, const char *path_and_query, uint64_t version, size_t max, json_t **eventsp, uint64_t *nextp)
{
	if (version >= s->version) {
		*eventsp = json_array();
		*nextp = version;
		return 200;
	}
	return watch(s, path_and_query, version, max, false, eventsp, nextp);
}
