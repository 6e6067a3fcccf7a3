#include "tests/sim/apiserver_kinds.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

/* ---- tools ---- */

const char *simtext(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "";
}

json_t *simpart(json_t *object, const char *key)
{
	json_t *part = json_object_get(object, key);
	if (!json_is_object(part))
		json_object_set_new(object, key, part = json_object());
	return part;
}

void simdefault(json_t *object, const char *key, json_t *value)
{
	if (json_object_get(object, key))
		json_decref(value);
	else
		json_object_set_new(object, key, value);
}

int siminvalid(struct simerror *e, const char *field, const char *why)
{
	return simfail(e, 422, "Invalid", "is invalid: %s: %s", field, why);
}

/* Writes outside /status never change it. */
static void keep_status(json_t *object, const json_t *old)
{
	const json_t *status = json_object_get(old, "status");
	if (status)
		json_object_set_new(object, "status", json_deep_copy(status));
	else
		json_object_del(object, "status");
}

/* Status paths of the built-in resources put back the spec and let metadata through. */
static void keep_spec(json_t *object, const json_t *old)
{
	const json_t *spec = json_object_get(old, "spec");
	if (spec)
		json_object_set_new(object, "spec", json_deep_copy(spec));
	else
		json_object_del(object, "spec");
}

/* ---- Lease ---- */

/* MicroTime: 2006-01-02T15:04:05.000000Z, exactly six digits. */
static bool is_micro_time(const char *text)
{
	const char *shape = "dddd-dd-ddTdd:dd:dd.dddddd";
	size_t n = strlen(shape);
	for (size_t i = 0; i < n; i++)
		if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
			return false;
	return strcmp(text + n, "Z") == 0;
}

static int decode_lease(json_t *object, struct simerror *e)
{
	static const struct { const char *name; char kind; } FIELDS[] = {
		{"holderIdentity", 's'}, {"leaseDurationSeconds", 'i'}, {"acquireTime", 't'}, {"renewTime", 't'}, {"leaseTransitions", 'i'},
	};
	const json_t *given = json_object_get(object, "spec");
	if (given && !json_is_object(given))
		return simfail(e, 400, "BadRequest", "Lease in version \"v1\" cannot be handled as a Lease: spec");
	json_t *spec = json_object();
	int code = 0;
	for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
		json_t *value = json_object_get(given, FIELDS[i].name);
		if (!value)
			continue;
		bool good = FIELDS[i].kind == 'i' ? json_is_integer(value) : json_is_string(value);
		if (good && FIELDS[i].kind == 't')
			good = is_micro_time(json_string_value(value));
		if (!good)
			code = simfail(e, 400, "BadRequest", "Lease in version \"v1\" cannot be handled as a Lease: %s", FIELDS[i].name);
		json_object_set(spec, FIELDS[i].name, value);
	}
	json_object_set_new(object, "spec", spec);   /* a Go struct: fields it does not know are gone */
	return code;
}

static int check_lease(const json_t *object, const json_t *old, struct simerror *e)
{
	const json_t *spec = json_object_get(object, "spec"), *duration = json_object_get(spec, "leaseDurationSeconds");
	(void)old;
	if (duration && json_integer_value(duration) <= 0)
		return siminvalid(e, "spec.leaseDurationSeconds", "must be greater than 0");
	if (json_integer_value(json_object_get(spec, "leaseTransitions")) < 0)
		return siminvalid(e, "spec.leaseTransitions", "must be greater than or equal to 0");
	return 0;
}

/* ---- Node ---- */

static const char *const INFO[] = {"machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
	"kubeProxyVersion", "operatingSystem", "architecture"};

static void prepare_node(json_t *object, const json_t *old, struct simalloc *alloc)
{
	(void)alloc;
	/* Nodes are the exception: the kubelet registers with its status in the POST. */
	if (old)
		keep_status(object, old);
	json_t *spec = simpart(object, "spec"), *status = simpart(object, "status");
	simdefault(simpart(simpart(status, "daemonEndpoints"), "kubeletEndpoint"), "Port", json_integer(0));
	for (size_t i = 0; i < sizeof(INFO) / sizeof(INFO[0]); i++)
		simdefault(simpart(status, "nodeInfo"), INFO[i], json_string(""));
	/* Admission holds every new Node for not ready. */
	if (!old && !json_object_get(spec, "taints"))
		json_object_set_new(spec, "taints", json_pack("[{s:s, s:s}]", "key", "node.kubernetes.io/not-ready", "effect", "NoSchedule"));
}

/* ---- EndpointSlice ---- */

static void prepare_slice(json_t *object, const json_t *old, struct simalloc *alloc)
{
	size_t i;
	json_t *port, *endpoint;
	(void)old;
	(void)alloc;
	if (!json_array_size(json_object_get(object, "endpoints")))
		json_object_set_new(object, "endpoints", json_null());
	json_array_foreach(json_object_get(object, "endpoints"), i, endpoint)
		simpart(endpoint, "conditions");
	simdefault(object, "ports", json_null());
	json_array_foreach(json_object_get(object, "ports"), i, port) {
		simdefault(port, "name", json_string(""));
		simdefault(port, "protocol", json_string("TCP"));
	}
}

static int check_endpoints(const json_t *endpoints, const char *type, struct simerror *e)
{
	unsigned char bytes[16];
	size_t i, j;
	json_t *endpoint, *address;
	int family = strcmp(type, "IPv4") == 0 ? AF_INET : AF_INET6;
	json_array_foreach(endpoints, i, endpoint) {
		const json_t *addresses = json_object_get(endpoint, "addresses");
		if (!json_array_size(addresses))
			return siminvalid(e, "endpoints[].addresses", "Required value: must contain at least 1 address");
		json_array_foreach(addresses, j, address)
			if (strcmp(type, "FQDN") != 0 && (!json_is_string(address) || inet_pton(family, json_string_value(address), bytes) != 1))
				return siminvalid(e, "endpoints[].addresses", family == AF_INET ? "must be an IPv4 address" : "must be an IPv6 address");
	}
	return 0;
}

static int check_slice(const json_t *object, const json_t *old, struct simerror *e)
{
	const char *type = simtext(object, "addressType");
	if (!*type)
		return siminvalid(e, "addressType", "Required value");
	if (strcmp(type, "IPv4") != 0 && strcmp(type, "IPv6") != 0 && strcmp(type, "FQDN") != 0)
		return siminvalid(e, "addressType", "Unsupported value");
	if (old && strcmp(simtext(old, "addressType"), type) != 0)
		return siminvalid(e, "addressType", "field is immutable");
	return check_endpoints(json_object_get(object, "endpoints"), type, e);
}

/* ---- Namespace, custom resources ---- */

static void prepare_namespace(json_t *object, const json_t *old, struct simalloc *alloc)
{
	(void)alloc;
	json_t *meta = json_object_get(object, "metadata");
	keep_status(object, old);
	simdefault(simpart(object, "status"), "phase", json_string("Active"));
	simdefault(simpart(object, "spec"), "finalizers", json_pack("[s]", "kubernetes"));
	json_object_set_new(simpart(meta, "labels"), "kubernetes.io/metadata.name", json_string(simtext(meta, "name")));
}

static void prepare_custom(json_t *object, const json_t *old, struct simalloc *alloc)
{
	(void)alloc;
	keep_status(object, old);
}

static void prepare_pool(json_t *object, const json_t *old, struct simalloc *alloc)
{
	json_t *spec = json_object_get(object, "spec");
	prepare_custom(object, old, alloc);
	if (json_is_object(spec)) {
		simdefault(spec, "autoAssign", json_true());
		simdefault(spec, "avoidBuggyIPs", json_false());
	}
}

static int check_pool(const json_t *object, const json_t *old, struct simerror *e)
{
	(void)old;
	if (!json_array_size(json_object_get(json_object_get(object, "spec"), "addresses")))
		return siminvalid(e, "spec.addresses", "Required value");
	return 0;
}

/* Of a custom resource, /status changes status and nothing else: no labels, no annotations. */
static void keep_all_but_status(json_t *object, const json_t *old)
{
	json_t *status = json_incref(json_object_get(object, "status")), *meta = json_deep_copy(json_object_get(old, "metadata"));
	json_t *given = json_incref(json_object_get(object, "metadata"));
	static const char *const GUARDS[] = {"resourceVersion", "uid"};   /* these still guard the write */
	for (size_t i = 0; i < 2; i++)
		if (json_object_get(given, GUARDS[i]))
			json_object_set(meta, GUARDS[i], json_object_get(given, GUARDS[i]));
	json_object_clear(object);
	json_t *kept = json_deep_copy(old);
	json_object_update(object, kept);
	json_object_set_new(object, "metadata", meta);
	if (status)
		json_object_set(object, "status", status);
	else
		json_object_del(object, "status");
	json_decref(kept);
	json_decref(given);
	json_decref(status);
}

/* ---- the table ---- */

#define METALLB "metallb.io", "v1beta1"
#define CUSTOM .namespaced = true, .status = true, .generation = true, .conditional = true, .custom = true, .prepare_status = keep_all_but_status

const struct simkind simkinds[SIMKINDS] = {
	{"", "v1", "namespaces", "Namespace", .status = true, .prepare = prepare_namespace, .prepare_status = keep_spec},
	{"", "v1", "nodes", "Node", .status = true, .field = "spec.unschedulable", .prepare = prepare_node, .prepare_status = keep_spec},
	{"", "v1", "services", "Service", .namespaced = true, .status = true, .put_creates = true, .returns_deleted = true, .field = "spec.type",
	 .prepare = simservice_prepare, .prepare_status = simservice_prepare_status, .check = simservice_check},
	{"", "v1", "configmaps", "ConfigMap", .namespaced = true},
	{"", "v1", "events", "Event", .namespaced = true, .counted = true},
	{"events.k8s.io", "v1", "events", "Event", .namespaced = true, .counted = true},
	{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", .namespaced = true, .generation = true, .labels_count = true,
	 .prepare = prepare_slice, .check = check_slice},
	{"coordination.k8s.io", "v1", "leases", "Lease", .namespaced = true, .conditional = true, .put_creates = true, .decode = decode_lease,
	 .check = check_lease},
	{METALLB, "ipaddresspools", "IPAddressPool", CUSTOM, .prepare = prepare_pool, .check = check_pool},
	{METALLB, "l2advertisements", "L2Advertisement", CUSTOM, .prepare = prepare_custom},
	{METALLB, "servicel2statuses", "ServiceL2Status", CUSTOM, .prepare = prepare_custom},
	{METALLB, "configurationstates", "ConfigurationState", CUSTOM, .prepare = prepare_custom},
};

const struct simkind *simkind_find(const char *group, const char *version, const char *plural)
{
	for (size_t i = 0; i < SIMKINDS; i++)
		if (strcmp(simkinds[i].plural, plural) == 0 && strcmp(simkinds[i].group, group) == 0 && strcmp(simkinds[i].version, version) == 0)
			return &simkinds[i];
	return NULL;
}

bool simkind_selectable(const struct simkind *k, const char *field)
{
	return strcmp(field, "metadata.name") == 0 || strcmp(field, "metadata.namespace") == 0 || (k->field && strcmp(field, k->field) == 0);
}

/* ---- decoding ---- */

static void drop_nulls(json_t *value)
{
	const char *key;
	json_t *member;
	void *tmp;
	size_t i;
	if (json_is_array(value)) {
		json_array_foreach(value, i, member)
			drop_nulls(member);
		return;
	}
	json_object_foreach_safe(value, tmp, key, member) {
		if (json_is_null(member))
			json_object_del(value, key);
		else
			drop_nulls(member);
	}
}

static int check_texts(const struct simkind *k, const json_t *meta, const char *name, struct simerror *e)
{
	json_t *map = json_object_get(meta, name), *value;
	const char *key;
	if (map && !json_is_object(map))
		return simfail(e, 400, "BadRequest", "%s in version \"%s\" cannot be handled as a %s: metadata.%s", k->kind, k->version, k->kind, name);
	json_object_foreach(map, key, value)
		if (!json_is_string(value))
			return simfail(e, 400, "BadRequest", "%s in version \"%s\" cannot be handled as a %s: metadata.%s of type string", k->kind,
				       k->version, k->kind, name);
	return 0;
}

/* What ObjectMeta knows stays, and of that what is not empty. */
static void tidy_metadata(json_t *object, json_t *meta)
{
	static const char *const KNOWN[] = {"name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers"};
	json_t *tidy = json_object();
	for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
		json_t *value = json_object_get(meta, KNOWN[i]);
		bool empty = !value || (json_is_object(value) && !json_object_size(value)) || (json_is_array(value) && !json_array_size(value))
			     || (json_is_string(value) && !json_string_length(value));
		if (!empty)
			json_object_set(tidy, KNOWN[i], value);
	}
	json_object_set_new(object, "metadata", tidy);
}

int simkind_decode(const struct simkind *k, json_t *object, struct simerror *e)
{
	char version[64] = "";
	if (*k->group)
		strcat(strcpy(version, k->group), "/");
	strcat(version, k->version);
	if (!json_is_object(object))
		return simfail(e, 400, "BadRequest", "couldn't get version/kind; json parse error");
	drop_nulls(object);
	if (k->custom && !json_object_get(object, "kind"))
		return simfail(e, 400, "BadRequest", "Object 'Kind' is missing in the request body");
	simdefault(object, "kind", json_string(k->kind));
	simdefault(object, "apiVersion", json_string(version));
	if (k->custom && strcmp(simtext(object, "apiVersion"), version) == 0 && strcmp(simtext(object, "kind"), k->kind) != 0)
		return siminvalid(e, "kind", "Invalid value");
	if (strcmp(simtext(object, "kind"), k->kind) != 0 || strcmp(simtext(object, "apiVersion"), version) != 0)
		return simfail(e, 400, "BadRequest", "the API version in the data does not match the expected API version (%s, Kind=%s)", version, k->kind);
	simdefault(object, "metadata", json_object());
	json_t *meta = json_object_get(object, "metadata");
	if (!json_is_object(meta))
		return simfail(e, 400, "BadRequest", "%s in version \"%s\" cannot be handled as a %s: metadata", k->kind, k->version, k->kind);
	int code = check_texts(k, meta, "labels", e);
	if (code == 0)
		code = check_texts(k, meta, "annotations", e);
	if (code == 0)
		tidy_metadata(object, meta);
	if (code == 0 && k->decode)
		code = k->decode(object, e);
	return code;
}

void simkind_prepare(const struct simkind *k, const char *sub, json_t *object, const json_t *old, struct simalloc *alloc)
{
	if (sub && old)
		k->prepare_status(object, old);
	else if (k->prepare)
		k->prepare(object, old, alloc);
}

/* A deleted object that waits for its finalizers gets no new ones. */
static int check_finalizers(const json_t *object, const json_t *old, struct simerror *e)
{
	const json_t *meta = json_object_get(object, "metadata"), *before = json_object_get(old, "metadata");
	size_t i, j;
	json_t *wanted, *had;
	if (!json_object_get(before, "deletionTimestamp"))
		return 0;
	json_array_foreach(json_object_get(meta, "finalizers"), i, wanted) {
		bool known = false;
		json_array_foreach(json_object_get(before, "finalizers"), j, had)
			known |= json_equal(wanted, had);
		if (!known)
			return siminvalid(e, "metadata.finalizers", "Forbidden: no new finalizers can be added if the object is being deleted");
	}
	return 0;
}

int simkind_check(const struct simkind *k, const json_t *object, const json_t *old, struct simerror *e)
{
	int code = old ? check_finalizers(object, old, e) : 0;
	if (code == 0 && k->check)
		code = k->check(object, old, e);
	return code;
}

static bool same_labels(const json_t *object, const json_t *old)
{
	const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
	const json_t *before = json_object_get(json_object_get(old, "metadata"), "labels");
	return labels == before || (labels && before && json_equal(labels, before));
}

bool simkind_next_generation(const struct simkind *k, const json_t *object, const json_t *old)
{
	const char *key;
	json_t *value;
	if (!k->generation)
		return false;
	if (k->labels_count && !same_labels(object, old))
		return true;
	if (json_object_size(object) != json_object_size(old) && !k->status)
		return true;
	json_object_foreach((json_t *)object, key, value)
		if (strcmp(key, "metadata") != 0 && !(k->status && strcmp(key, "status") == 0) && !json_equal(value, json_object_get(old, key)))
			return true;
	json_object_foreach((json_t *)old, key, value)
		if (strcmp(key, "metadata") != 0 && !(k->status && strcmp(key, "status") == 0) && !json_object_get(object, key))
			return true;
	return false;
}
