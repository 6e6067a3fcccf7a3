#include "k8sclient/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static const char *text_of(const json_t *map, const char *field)
{
	return json_string_value(json_object_get(map, field));
}

static bool says(const json_t *map, const char *field, const char *value)
{
	const char *text = text_of(map, field);
	return text && strcmp(text, value) == 0;
}

static int decode_meta(const json_t *object, const char *kind, struct object_meta *meta, struct error *err)
{
	int rc = object_meta_decode(object, meta, err);
	if (rc < 0) {
		char *key = object_key(object);
		error_prefix(err, "%s %s", kind, key ? key : "without a name");
		free(key);
	}
	return rc;
}

static void add_address(struct address **list, size_t *n, const struct address *a)
{
	*list = mem_realloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = *a;
}

/* ---- Service ---- */

static void decode_families(const json_t *spec, struct service *s)
{
	const json_t *list = json_object_get(spec, "clusterIPs");
	const char *single = text_of(spec, "clusterIP");
	struct address a;
	for (size_t i = 0; i < json_array_size(list) && s->n_families < SERVICE_ADDRESSES; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text && address_parse(text, &a, NULL) == 0)
			s->families[s->n_families++] = a.family;
	}
	if (!json_array_size(list) && single && address_parse(single, &a, NULL) == 0)
		s->families[s->n_families++] = a.family;
}

static int decode_ports(const json_t *list, struct service *s, struct error *err)
{
	size_t n = json_array_size(list);
	s->ports = mem_zalloc(n * sizeof(*s->ports));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);
		const char *protocol = text_of(item, "protocol");
		json_int_t port = json_integer_value(json_object_get(item, "port"));
		if (port < 1 || port > 65535)
			return error_set(err, -EINVAL, "spec.ports[%zu].port is not a port number", i);
		snprintf(s->ports[s->n_ports].protocol, sizeof(s->ports->protocol), "%s", protocol ? protocol : "TCP");
		s->ports[s->n_ports++].port = (uint16_t)port;
	}
	return 0;
}

static void decode_ingress(const json_t *list, struct service *s)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *ip = text_of(json_array_get(list, i), "ip");
		struct address a;
		if (ip && address_parse(ip, &a, NULL) == 0)
			add_address(&s->ingress, &s->n_ingress, &a);
		else
			s->foreign_ingress = true;
		s->bad_ingress |= ip && *ip && address_parse(ip, &a, NULL) < 0;
	}
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static int decode_selector(const json_t *json, struct service *s, struct error *err)
{
	struct labels l;
	int rc = labels_decode(json, &l, err);
	if (rc < 0)
		return rc;
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), by_key);
	for (size_t i = 0; i < l.n; i++) {
		char *longer = mem_printf("%s%s%s=%s", s->selector ? s->selector : "", i ? "," : "", l.items[i].key, l.items[i].value);
		free(s->selector);
		s->selector = longer;
	}
	labels_free(&l);
	return 0;
}

/* The entries are kept by the server, in no order we may rely on: the newest that touched the load balancer status counts. */
static void decode_manager(const json_t *fields, struct service *s)
{
	const char *newest = "";
	for (size_t i = 0; i < json_array_size(fields); i++) {
		const json_t *entry = json_array_get(fields, i), *status = json_object_get(json_object_get(entry, "fieldsV1"), "f:status");
		const char *manager = text_of(entry, "manager"), *time = text_of(entry, "time");
		if (!manager || strcmp(manager, OBJECTS_MANAGER) == 0 || !json_object_get(status, "f:loadBalancer") || !time || strcmp(time, newest) < 0)
			continue;
		newest = time;
		mem_replace(&s->status_manager, manager);
	}
}

/* Other people's annotations can be large (the last applied configuration), and ten thousand Services have them. */
static void drop_foreign_annotations(struct labels *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++) {
		if (strncmp(l->items[i].key, OBJECTS_ANNOTATIONS, strlen(OBJECTS_ANNOTATIONS)) == 0) {
			l->items[kept++] = l->items[i];
		} else {
			free(l->items[i].key);
			free(l->items[i].value);
		}
	}
	l->n = kept;
}

static int decode_service_spec(const json_t *spec, struct service *s, struct error *err)
{
	const char *lb_ip = text_of(spec, "loadBalancerIP");
	if (!json_is_object(spec))
		return error_set(err, -EINVAL, "spec is not an object");
	s->load_balancer = says(spec, "type", "LoadBalancer");
	s->lb_class = mem_strdup(text_of(spec, "loadBalancerClass"));
	s->lb_ip = lb_ip && *lb_ip ? mem_strdup(lb_ip) : NULL;
	s->local = says(spec, "externalTrafficPolicy", "Local");
	s->policy = says(spec, "ipFamilyPolicy", "RequireDualStack") ? REQUIRE_DUAL_STACK
		  : says(spec, "ipFamilyPolicy", "PreferDualStack") ? PREFER_DUAL_STACK : SINGLE_STACK;
	decode_families(spec, s);
	int rc = decode_selector(json_object_get(spec, "selector"), s, err);
	return rc < 0 ? rc : decode_ports(json_object_get(spec, "ports"), s, err);
}

int service_decode(const json_t *object, struct service **servicep, struct error *err)
{
	struct service *s = mem_zalloc(sizeof(*s));
	int rc = decode_meta(object, "Service", &s->meta, err);
	if (rc == 0) {
		rc = decode_service_spec(json_object_get(object, "spec"), s, err);
		if (rc < 0)
			error_prefix(err, "Service %s", s->meta.key);
	}
	if (rc < 0) {
		service_free(s);
		return rc;
	}
	decode_ingress(json_object_get(json_object_get(json_object_get(object, "status"), "loadBalancer"), "ingress"), s);
	decode_manager(json_object_get(json_object_get(object, "metadata"), "managedFields"), s);
	s->generation = json_integer_value(json_object_get(json_object_get(object, "metadata"), "generation"));
	json_t *conditions = json_object_get(json_object_get(object, "status"), "conditions");
	s->conditions = json_array_size(conditions) ? json_deep_copy(conditions) : NULL;
	drop_foreign_annotations(&s->meta.annotations);
	*servicep = s;
	return 0;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	object_meta_free(&s->meta);
	free(s->lb_class);
	free(s->lb_ip);
	free(s->selector);
	free(s->status_manager);
	json_decref(s->conditions);
	free(s->ports);
	free(s->ingress);
	free(s);
}

bool service_has_ingress(const struct service *s, const struct address *a)
{
	for (size_t i = 0; i < s->n_ingress; i++)
		if (address_equal(&s->ingress[i], a))
			return true;
	return false;
}

/* ---- EndpointSlice ---- */

static void decode_endpoint(const json_t *json, struct endpoint *e)
{
	const json_t *conditions = json_object_get(json, "conditions");
	const json_t *ready = json_object_get(conditions, "ready");
	e->node = mem_strdup(text_of(json, "nodeName"));
	e->can_serve = !json_is_false(ready) || json_is_true(json_object_get(conditions, "serving"));
	e->ending = e->can_serve && json_is_false(ready);
}

int endpoint_slice_decode(const json_t *object, struct endpoint_slice **slicep, struct error *err)
{
	struct endpoint_slice *s = mem_zalloc(sizeof(*s));
	int rc = decode_meta(object, "EndpointSlice", &s->meta, err);
	if (rc < 0) {
		endpoint_slice_free(s);
		return rc;
	}
	const char *service = labels_get(&s->meta.labels, "kubernetes.io/service-name");
	const json_t *list = json_object_get(object, "endpoints");
	s->service = mem_printf("%s/%s", s->meta.name_space, service ? service : "");
	s->endpoints = mem_zalloc(json_array_size(list) * sizeof(*s->endpoints));
	for (; s->n < json_array_size(list); s->n++)
		decode_endpoint(json_array_get(list, s->n), &s->endpoints[s->n]);
	*slicep = s;
	return 0;
}

void endpoint_slice_free(struct endpoint_slice *s)
{
	if (!s)
		return;
	object_meta_free(&s->meta);
	free(s->service);
	for (size_t i = 0; i < s->n; i++)
		free(s->endpoints[i].node);
	free(s->endpoints);
	free(s);
}

/* ---- Node ---- */

static bool condition_true(const json_t *conditions, const char *type)
{
	for (size_t i = 0; i < json_array_size(conditions); i++) {
		const json_t *c = json_array_get(conditions, i);
		if (says(c, "type", type))
			return says(c, "status", "True");
	}
	return false;
}

int node_decode(const json_t *object, struct node **nodep, struct error *err)
{
	struct node *n = mem_zalloc(sizeof(*n));
	int rc = decode_meta(object, "Node", &n->meta, err);
	if (rc < 0) {
		node_free(n);
		return rc;
	}
	const json_t *status = json_object_get(object, "status");
	const json_t *addresses = json_object_get(status, "addresses");
	n->ready = condition_true(json_object_get(status, "conditions"), "Ready");
	n->network_unavailable = condition_true(json_object_get(status, "conditions"), "NetworkUnavailable");
	n->cordoned = json_is_true(json_object_get(json_object_get(object, "spec"), "unschedulable"));
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const json_t *item = json_array_get(addresses, i);
		const char *text = text_of(item, "address");
		struct address a;
		if (says(item, "type", "InternalIP") && text && address_parse(text, &a, NULL) == 0)
			add_address(&n->internal, &n->n_internal, &a);
	}
	*nodep = n;
	return 0;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	object_meta_free(&n->meta);
	free(n->internal);
	free(n);
}

/* ---- Lease ---- */

static char *copy_or_empty(const json_t *map, const char *field)
{
	const char *text = text_of(map, field);
	return mem_strdup(text ? text : "");
}

int lease_decode(const json_t *object, struct lease **leasep, struct error *err)
{
	struct lease *l = mem_zalloc(sizeof(*l));
	int rc = decode_meta(object, "Lease", &l->meta, err);
	if (rc < 0) {
		lease_free(l);
		return rc;
	}
	const json_t *spec = json_object_get(object, "spec");
	l->holder = copy_or_empty(spec, "holderIdentity");
	l->duration_s = (int)json_integer_value(json_object_get(spec, "leaseDurationSeconds"));
	l->transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
	l->acquired = copy_or_empty(spec, "acquireTime");
	l->renewed = copy_or_empty(spec, "renewTime");
	*leasep = l;
	return 0;
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	object_meta_free(&l->meta);
	free(l->holder);
	free(l->acquired);
	free(l->renewed);
	free(l);
}
