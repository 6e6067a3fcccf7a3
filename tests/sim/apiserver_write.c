/* Create, update, patch, delete: the checks in the order the real server takes them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/base/memory.h"
#include "tests/sim/apiserver_state.h"
#include "tests/sim/merge_patch.h"

/* ---- storing ---- */

static json_t *now_text(const struct simapi *s)
{
	struct tm parts;
	char text[32];
	time_t seconds = (time_t)s->time;
	gmtime_r(&seconds, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	return json_string(text);
}

static json_t *metadata_of(const json_t *object)
{
	return json_object_get(object, "metadata");
}

/* Raises the version and stamps it into an object that nobody else holds yet. */
static void stamp(struct simapi *s, json_t *object)
{
	s->counts.writes++;
	json_object_set_new(metadata_of(object), "resourceVersion", json_sprintf("%llu", (unsigned long long)++s->version));
}

static void store(struct simapi *s, const struct simkind *k, json_t *object)
{
	const json_t *meta = metadata_of(object);
	char *key = simapi_key(k->namespaced ? simtext(meta, "namespace") : NULL, simtext(meta, "name"));
	stamp(s, object);
	simstore_put(simapi_table(s, k), key, json_incref(object), s->version);
	free(key);
}

/* Deletes for good; the last state under the version of the deletion: new reference. */
static json_t *drop(struct simapi *s, const struct simkind *k, const char *key, const json_t *object)
{
	json_t *last = json_copy((json_t *)object);
	json_object_set_new(last, "metadata", json_copy(metadata_of(object)));
	stamp(s, last);
	simstore_remove(simapi_table(s, k), key, json_incref(last), s->version);
	return last;
}

static json_t *find(struct simapi *s, const struct simquery *q, char **keyp)
{
	*keyp = simapi_key(q->kind->namespaced ? q->name_space : NULL, q->name);
	return simstore_get(simapi_table(s, q->kind), *keyp);
}

static int not_found(const struct simkind *k, const char *name, struct simerror *e)
{
	return simfail(e, 404, "NotFound", "%s%s%s \"%s\" not found", k->plural, *k->group ? "." : "", k->group, name);
}

static int conflict(const struct simkind *k, const char *name, const char *why, struct simerror *e)
{
	return simfail(e, 409, "Conflict", "Operation cannot be fulfilled on %s%s%s \"%s\": %s", k->plural, *k->group ? "." : "", k->group, name, why);
}

/* ---- create ---- */

static const char *const SERVER_ONLY[] = {"creationTimestamp", "uid", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"};
#define N_SERVER_ONLY (sizeof(SERVER_ONLY) / sizeof(SERVER_ONLY[0]))

static int check_place(const struct simquery *q, const char *name, json_t *meta, struct simerror *e)
{
	if (!q->kind->namespaced)
		json_object_del(meta, "namespace");
	else
		simdefault(meta, "namespace", json_string(q->name_space));
	if (q->kind->namespaced && strcmp(simtext(meta, "namespace"), q->name_space) != 0)
		return simfail(e, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request");
	if (name) {
		simdefault(meta, "name", json_string(name));
		if (strcmp(simtext(meta, "name"), name) != 0)
			return simfail(e, 400, "BadRequest", "the name of the object (%s) does not match the name on the URL (%s)", simtext(meta, "name"), name);
	}
	return 0;
}

/* Lower case letters, digits, '-' and '.'; the parts between dots begin and end with a letter or digit. */
static bool is_subdomain(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n; i++) {
		bool edge = i == 0 || i + 1 == n || name[i - 1] == '.' || name[i + 1] == '.';
		bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9');
		if (!plain && (edge || (name[i] != '-' && name[i] != '.')))
			return false;
	}
	return n > 0 && n <= 253;
}

static int check_name(struct simapi *s, json_t *meta, struct simerror *e)
{
	if (!*simtext(meta, "name") && *simtext(meta, "generateName"))
		json_object_set_new(meta, "name", json_sprintf("%s%05llu", simtext(meta, "generateName"), (unsigned long long)(s->serial + 1) % 100000));
	if (!*simtext(meta, "name"))
		return siminvalid(e, "metadata.name", "Required value: name or generateName is required");
	if (!is_subdomain(simtext(meta, "name")))
		return siminvalid(e, "metadata.name", "Invalid value: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'");
	return 0;
}

/* A body that was decoded, in its place: the end of POST, and of PUT where it creates. */
static int create(struct simapi *s, const struct simquery *q, json_t *object, struct simerror *e)
{
	const struct simkind *k = q->kind;
	json_t *meta = metadata_of(object);
	int code = check_name(s, meta, e);
	if (code)
		return code;
	if (k->namespaced && !simstore_get(simapi_table(s, simkind_find("", "v1", "namespaces")), q->name_space))
		return not_found(simkind_find("", "v1", "namespaces"), q->name_space, e);
	for (size_t i = 0; i < N_SERVER_ONLY; i++)
		if (strcmp(SERVER_ONLY[i], "generation") != 0)   /* of kinds that do not count it, it stays what the client says */
			json_object_del(meta, SERVER_ONLY[i]);
	json_object_del(meta, "resourceVersion");
	json_object_set_new(meta, "uid", json_sprintf("00000000-0000-4000-8000-%012llx", (unsigned long long)++s->serial));
	json_object_set_new(meta, "creationTimestamp", now_text(s));
	if (k->generation)
		json_object_set_new(meta, "generation", json_integer(1));
	simkind_prepare(k, NULL, object, NULL, q->sub ? NULL : &s->alloc);
	code = simkind_check(k, object, NULL, e);
	if (code)
		return code;
	char *key = simapi_key(k->namespaced ? q->name_space : NULL, simtext(meta, "name"));
	bool exists = simstore_get(simapi_table(s, k), key);
	free(key);
	if (exists)
		return simfail(e, 409, "AlreadyExists", "%s%s%s \"%s\" already exists", k->plural, *k->group ? "." : "", k->group, simtext(meta, "name"));
	if (k->counted)
		s->counts.events++;
	else if (!q->dry)
		store(s, k, object);
	return 0;
}

int simapi_create(struct simapi *s, const struct simquery *q, const json_t *body, json_t **replyp, struct simerror *e)
{
	json_t *object = body ? json_deep_copy(body) : json_null();
	int code = simkind_decode(q->kind, object, e);
	if (code == 0 && q->kind->namespaced && !q->name_space)
		code = simfail(e, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
	if (code == 0)
		code = check_place(q, NULL, metadata_of(object), e);
	if (code == 0 && *simtext(metadata_of(object), "resourceVersion"))
		code = simfail(e, 500, "", "resourceVersion should not be set on objects to be created");
	if (code == 0)
		code = create(s, q, object, e);
	if (code == 0)
		*replyp = json_incref(object);
	json_decref(object);
	return code;
}

/* ---- update and patch ---- */

/* What the server alone may change stays as it was. */
static void keep_server_fields(json_t *meta, const json_t *before)
{
	for (size_t i = 0; i < N_SERVER_ONLY; i++) {
		json_t *value = json_object_get(before, SERVER_ONLY[i]);
		if (value)
			json_object_set(meta, SERVER_ONLY[i], value);
		else
			json_object_del(meta, SERVER_ONLY[i]);
	}
	json_object_set(meta, "resourceVersion", json_object_get(before, "resourceVersion"));
}

static int check_guards(const struct simapi *s, const struct simquery *q, const json_t *meta, const json_t *before, struct simerror *e)
{
	const char *version = simtext(meta, "resourceVersion"), *uid = simtext(meta, "uid");
	if (*version && strcmp(version, simtext(before, "resourceVersion")) != 0 && s->fault != SIMAPI_IGNORES_VERSION)
		return conflict(q->kind, q->name, "the object has been modified; please apply your changes to the latest version and try again", e);
	if (*uid && strcmp(uid, simtext(before, "uid")) != 0 && s->fault != SIMAPI_IGNORES_UID)
		return siminvalid(e, "metadata.uid", "field is immutable");
	return 0;
}

/* The last finalizer going away from a deleted object removes it instead: there is one event, and it shows what was stored
 * before; the answer shows what was sent. */
static void settle(struct simapi *s, const struct simquery *q, const char *key, const json_t *old, json_t *object)
{
	const json_t *meta = metadata_of(object);
	if (json_object_get(meta, "deletionTimestamp") && !json_object_get(meta, "finalizers"))
		json_decref(drop(s, q->kind, key, old));
	else
		store(s, q->kind, object);
}

/* The common end of PUT and PATCH: locking, defaults, checks, store. `object` is decoded and nobody else's. */
static int commit(struct simapi *s, const struct simquery *q, const char *key, const json_t *old, json_t *object, bool patch, json_t **replyp,
		  struct simerror *e)
{
	const struct simkind *k = q->kind;
	const json_t *before = metadata_of(old);
	int code = check_guards(s, q, metadata_of(object), before, e);
	if (code)
		return code;
	simkind_prepare(k, q->sub, object, old, &s->alloc);
	json_t *meta = metadata_of(object);
	keep_server_fields(meta, before);
	code = simkind_check(k, object, old, e);
	if (code)
		return code;
	/* A write without effect stores nothing: same version, no event. */
	if (json_equal(object, old) && !(patch && s->fault == SIMAPI_IDLE_PATCH_RAISES)) {
		*replyp = json_incref((json_t *)old);
		return 0;
	}
	if (simkind_next_generation(k, object, old))
		json_object_set_new(meta, "generation", json_integer(json_integer_value(json_object_get(before, "generation")) + 1));
	if (!q->dry)
		settle(s, q, key, old, object);
	*replyp = json_incref(object);
	return 0;
}

static int update_found(struct simapi *s, const struct simquery *q, const char *key, const json_t *old, json_t *object, json_t **replyp,
			bool *createdp, struct simerror *e)
{
	const json_t *meta = metadata_of(object);
	const char *uid = simtext(meta, "uid");
	if (!old && !q->kind->put_creates)
		return not_found(q->kind, q->name, e);
	/* Where it could be created, also when it is gone: this precondition is looked at first. */
	if (*uid && strcmp(uid, simtext(metadata_of(old), "uid")) != 0 && s->fault != SIMAPI_IGNORES_UID)
		return conflict(q->kind, q->name, "StorageError: invalid object, Code: 4, Precondition failed: UID in precondition", e);
	*createdp = !old;   /* by a PUT to its status too */
	if (*createdp) {
		int code = create(s, q, object, e);
		*replyp = code ? NULL : json_incref(object);
		return code;
	}
	if (q->kind->conditional && !*simtext(meta, "resourceVersion"))
		return siminvalid(e, "metadata.resourceVersion", "Invalid value: 0: must be specified for an update");
	return commit(s, q, key, old, object, false, replyp, e);
}

int simapi_update(struct simapi *s, const struct simquery *q, const json_t *body, json_t **replyp, bool *createdp, struct simerror *e)
{
	char *key;
	const json_t *old = find(s, q, &key);
	json_t *object = body ? json_deep_copy(body) : json_null();
	int code = simkind_decode(q->kind, object, e);
	if (code == 0)
		code = check_place(q, q->name, metadata_of(object), e);
	if (code == 0)
		code = update_found(s, q, key, old, object, replyp, createdp, e);
	json_decref(object);
	free(key);
	return code;
}

int simapi_patch(struct simapi *s, const struct simquery *q, const json_t *change, json_t **replyp, struct simerror *e)
{
	char *key;
	const json_t *old = find(s, q, &key);
	json_t *object = NULL;
	int code;
	if (!old) {
		code = not_found(q->kind, q->name, e);
	} else if (!json_is_object(change)) {
		code = simfail(e, 400, "BadRequest", "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}");
	} else {
		object = json_deep_copy(old);
		merge_patch(object, change);
		code = simkind_decode(q->kind, object, e);
		if (code == 400)   /* the result of a patch that does not fit the type is invalid, not malformed */
			code = siminvalid(e, "patch", "Invalid value");
	}
	if (code == 0)
		code = check_place(q, q->name, metadata_of(object), e);
	if (code == 0)
		code = commit(s, q, key, old, object, true, replyp, e);
	json_decref(object);
	free(key);
	return code;
}

/* ---- delete ---- */

static int check_preconditions(const struct simapi *s, const struct simquery *q, const json_t *meta, const json_t *wanted, struct simerror *e)
{
	const char *uid = json_string_value(json_object_get(wanted, "uid")), *version = json_string_value(json_object_get(wanted, "resourceVersion"));
	if (uid && strcmp(uid, simtext(meta, "uid")) != 0 && s->fault != SIMAPI_IGNORES_UID)
		return conflict(q->kind, q->name, "the UID in the precondition does not match the UID in record", e);
	if (version && strcmp(version, simtext(meta, "resourceVersion")) != 0 && s->fault != SIMAPI_IGNORES_VERSION)
		return conflict(q->kind, q->name, "the ResourceVersion in the precondition does not match the ResourceVersion in record", e);
	return 0;
}

/* Finalizers hold it back: it is only marked. New reference to what is there now. */
static json_t *mark_deleted(struct simapi *s, const struct simkind *k, json_t *object)
{
	if (json_object_get(metadata_of(object), "deletionTimestamp"))
		return json_incref(object);
	json_t *marked = json_copy(object), *meta = json_copy(metadata_of(object));
	json_object_set_new(marked, "metadata", meta);
	json_object_set_new(meta, "deletionTimestamp", now_text(s));
	json_object_set_new(meta, "deletionGracePeriodSeconds", json_integer(0));
	if (k->generation)
		json_object_set_new(meta, "generation", json_integer(json_integer_value(json_object_get(meta, "generation")) + 1));
	store(s, k, marked);
	return marked;
}

static json_t *success(const struct simquery *q, const json_t *object)
{
	json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:{s:s, s:s, s:s}}", "kind", "Status", "apiVersion", "v1", "metadata", "status", "Success",
				   "details", "name", q->name, "kind", q->kind->plural, "uid", simtext(metadata_of(object), "uid"));
	if (*q->kind->group)
		json_object_set_new(json_object_get(status, "details"), "group", json_string(q->kind->group));
	return status;
}

int simapi_delete(struct simapi *s, const struct simquery *q, const json_t *options, json_t **replyp, struct simerror *e)
{
	char *key;
	json_t *object = find(s, q, &key);
	int code = object ? 0 : not_found(q->kind, q->name, e);
	if (code == 0)
		code = check_preconditions(s, q, metadata_of(object), json_object_get(options, "preconditions"), e);
	if (code == 0 && q->dry) {
		*replyp = json_incref(object);
	} else if (code == 0 && json_object_get(metadata_of(object), "finalizers")) {
		*replyp = mark_deleted(s, q->kind, object);
	} else if (code == 0) {
		json_t *status = success(q, object), *last = drop(s, q->kind, key, object);   /* `object` is gone after this */
		*replyp = json_incref(q->kind->returns_deleted ? last : status);
		json_decref(status);
		json_decref(last);
	}
	free(key);
	return code;
}
