#include "tests/sim/objects.h"

#include <stdlib.h>

#include "speaker/names.h"
#include "speaker/records.h"
#include "tests/sim/server.h"

#define LEASES_PATH "/apis/coordination.k8s.io/v1/namespaces/" DEFAULT_NAMESPACE "/leases"
#define METALLB_PATH "/apis/metallb.io/v1beta1/namespaces/" DEFAULT_NAMESPACE

static struct cluster_shape shape;
static uint64_t endpoints[ADDRESSES];   /* by Service: the nodes that have one */
static bool shares[ADDRESSES];
static uint64_t excluded;

char *objects_address_text(uint32_t address, char text[16])
{
	snprintf(text, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff);
	return text;
}

static json_t *advertisement_spec(void)
{
	if (!shape.prefers)
		return json_object();
	return json_pack("{s:[{s:i, s:{s:{s:s}}}]}", "preferredNodeSelectors", "weight", 10, "preference", "matchLabels", "preferred", "yes");
}

void objects_make_cluster(const struct cluster_shape *is)
{
	char first[16], last[16];
	shape = *is;
	excluded = 0;
	for (unsigned i = 0; i < ADDRESSES; i++) {
		endpoints[i] = ALL_NODES;
		shares[i] = false;
	}
	server_do("POST", "/api/v1/namespaces", json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", DEFAULT_NAMESPACE));
	server_do("POST", METALLB_PATH "/ipaddresspools",
		  json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:[o]}}", "apiVersion", "metallb.io/v1beta1", "kind", "IPAddressPool", "metadata", "name", "pool",
			    "namespace", DEFAULT_NAMESPACE, "spec", "addresses",
			    json_sprintf("%s-%s", objects_address_text(POOL_FIRST, first), objects_address_text(POOL_FIRST + world.n_addresses - 1, last))));
	server_do("POST", METALLB_PATH "/l2advertisements",
		  json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", "metallb.io/v1beta1", "kind", "L2Advertisement", "metadata", "name", "all",
			    "namespace", DEFAULT_NAMESPACE, "spec", advertisement_spec()));
	for (unsigned i = 0; i < world.n_nodes; i++)
		if (!world.hosts[i].missing)
			objects_make_node(&world.hosts[i]);
}

static json_t *node_status(const struct host *h, bool ready)
{
	char text[16];
	return json_pack("{s:[{s:s, s:s}], s:[{s:s, s:s}]}", "addresses", "type", "InternalIP", "address", objects_address_text(h->address, text),
			 "conditions", "type", "Ready", "status", ready ? "True" : "Unknown");
}

void objects_make_node(const struct host *h)
{
	server_do("POST", "/api/v1/nodes", json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata", "name", h->name));
	objects_set_ready(h, true);
}

void objects_set_ready(const struct host *h, bool ready)
{
	char path[80];
	json_t *body = json_pack("{s:o}", "status", node_status(h, ready)), *reply = NULL;
	snprintf(path, sizeof(path), "/api/v1/nodes/%s/status", h->name);
	server_request("PATCH", path, "application/merge-patch+json", body, &reply);   /* 404 when it was removed */
	json_decref(reply);
	json_decref(body);
}

void objects_remove_node(const struct host *h)
{
	char path[120];
	json_t *reply = NULL;
	snprintf(path, sizeof(path), "/api/v1/nodes/%s", h->name);
	server_request("DELETE", path, NULL, NULL, &reply);
	json_decref(reply);
	objects_forget_links(h);
}

void objects_forget_links(const struct host *h)
{
	char path[400];
	json_t *reply = NULL;
	char *name = node_record_name(h->name);
	snprintf(path, sizeof(path), LEASES_PATH "/%s", name);
	server_request("DELETE", path, NULL, NULL, &reply);
	json_decref(reply);
	free(name);
}

void objects_make_node_record(const struct host *h)
{
	struct node_link link = {.name = "eth0", .mac = h->mac, .by_default = true, .n_addresses = 1};
	link.addresses[0] = (struct address_prefix){.address = address_from_v4(h->address), .length = 16};
	server_do("POST", LEASES_PATH, node_record_body(h->name, "uid", DEFAULT_NAMESPACE, "", &link, 1));
}

static void annotate(const char *lease, const char *key, json_t *value)
{
	char path[200];
	json_t *reply = NULL, *body = json_pack("{s:{s:{s:o}}}", "metadata", "annotations", key, value);
	snprintf(path, sizeof(path), LEASES_PATH "/%s", lease);
	server_request("PATCH", path, "application/merge-patch+json", body, &reply);   /* 404 when it has gone */
	json_decref(reply);
	json_decref(body);
}

void objects_drain(const struct host *h, bool drain)
{
	char *name = node_record_name(h->name);
	annotate(name, RECORD_DRAIN, drain ? json_string("true") : json_null());
	free(name);
}

void objects_move(uint32_t address, const struct host *successor)
{
	struct address a = address_from_v4(address);
	char *name = record_name(&a);
	annotate(name, RECORD_SUCCESSOR, json_string(successor->name));
	free(name);
}

static json_t *endpoints_on(uint64_t nodes)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < world.n_nodes; i++)
		if (!world.hosts[i].missing && (nodes >> i & 1))
			json_array_append_new(list, json_pack("{s:[s], s:s, s:{s:b}}", "addresses", "10.244.0.9", "nodeName", world.hosts[i].name,
							      "conditions", "ready", 1));
	return list;
}

static void make_slice(const char *name)
{
	server_do("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
		  json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:s, s:o}", "apiVersion", "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata",
			    "name", name, "namespace", "default", "labels", "kubernetes.io/service-name", name, "addressType", "IPv4", "endpoints", endpoints_on(ALL_NODES)));
}

static void show_address(const char *name, const char *ip)
{
	char path[100];
	snprintf(path, sizeof(path), "/api/v1/namespaces/default/services/%s/status", name);
	server_do("PATCH", path, json_pack("{s:{s:{s:[{s:s}]}}}", "status", "loadBalancer", "ingress", "ip", ip));
}

/* Made, then held: as the controller and an owner do it. */
static void make_record(unsigned i, const char *uid, const struct host *holder, const char *key)
{
	struct address a = address_from_v4(world.addresses[i]);
	json_t *body = record_create_body(&a, DEFAULT_NAMESPACE, "", key, uid, false);
	json_t *spec = json_object_get(body, "spec");
	if (holder) {
		json_object_set_new(spec, "holderIdentity", json_string(holder->name));
		json_object_set_new(spec, "leaseTransitions", json_integer(1));
		json_object_set_new(json_object_get(json_object_get(body, "metadata"), "annotations"), RECORD_LINK, json_string("eth0"));
	}
	server_do("POST", LEASES_PATH, body);
}

/* The address asked for, by annotation; sharing: with the key that lets others share it. Returns the Service. */
static json_t *post_service(unsigned i, const char *ip, bool sharing)
{
	char name[16];
	json_t *reply = NULL, *annotations = json_object();
	snprintf(name, sizeof(name), "s%u", i);
	if (ip)
		json_object_set_new(annotations, ANNOTATION_IPS, json_string(ip));
	if (sharing)
		json_object_set_new(annotations, ANNOTATION_SHARE, json_string("key"));
	json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:{s:s, s:s, s:s, s:[{s:s, s:i}], s:{s:s}}}", "apiVersion", "v1", "kind", "Service", "metadata",
				 "name", name, "namespace", "default", "annotations", annotations, "spec", "type", "LoadBalancer", "externalTrafficPolicy",
				 shape.local ? "Local" : "Cluster", "clusterIP", "10.96.0.9", "ports", "protocol", "TCP", "port", i < SHARING ? 80 : 81, "selector", "app", name);
	if (server_request("POST", "/api/v1/namespaces/default/services", NULL, body, &reply) != 201) {
		char *text = json_dumps(reply, 0);
		fprintf(stderr, "sim: Service: %s\n", text);
		abort();
	}
	json_decref(body);
	endpoints[i] = ALL_NODES;
	shares[i] = sharing;
	make_slice(name);
	return reply;
}

void objects_make_service(unsigned i, const struct host *holder, bool allocated)
{
	char name[16], ip[16], key[32];
	json_t *made = post_service(i, NULL, false);
	snprintf(name, sizeof(name), "s%u", i);
	snprintf(key, sizeof(key), "default/%s", name);
	if (allocated) {
		make_record(i, json_string_value(json_object_get(json_object_get(made, "metadata"), "uid")), holder, key);
		show_address(name, objects_address_text(world.addresses[i], ip));
	}
	json_decref(made);
}

/* ---- what becomes of them ---- */

static void patch(const char *path, json_t *body)
{
	json_t *reply = NULL;
	server_request("PATCH", path, "application/merge-patch+json", body, &reply);   /* 404 when it has gone */
	json_decref(reply);
	json_decref(body);
}

static void remove_object(const char *path)
{
	json_t *reply = NULL;
	server_request("DELETE", path, NULL, NULL, &reply);
	json_decref(reply);
}

void objects_set_endpoints(unsigned i, uint64_t nodes)
{
	char path[120];
	endpoints[i] = nodes;
	snprintf(path, sizeof(path), "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s%u", i);
	patch(path, json_pack("{s:o}", "endpoints", endpoints_on(nodes)));
}

void objects_delete_service(unsigned i)
{
	char path[200];
	snprintf(path, sizeof(path), "/api/v1/namespaces/default/services/s%u", i);
	remove_object(path);
	snprintf(path, sizeof(path), "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/s%u", i);
	remove_object(path);
	shares[i] = false;
	if (shape.controlled)
		return;
	struct address a = address_from_v4(world.addresses[i]);
	char *name = record_name(&a);
	snprintf(path, sizeof(path), LEASES_PATH "/%s", name);
	remove_object(path);
	free(name);
}

void objects_make_service_again(unsigned i)
{
	objects_make_service(i, NULL, !shape.controlled);
}

/* The first one gets the key, too, without which nobody shares. */
void objects_share_address(unsigned i)
{
	char path[120], ip[16];
	snprintf(path, sizeof(path), "/api/v1/namespaces/default/services/s%u", i);
	patch(path, json_pack("{s:{s:{s:s}}}", "metadata", "annotations", ANNOTATION_SHARE, "key"));
	shares[i] = true;
	json_decref(post_service(i + SHARING, objects_address_text(world.addresses[i], ip), true));
}

bool objects_shares(unsigned i)
{
	return shares[i];
}

uint64_t objects_may(unsigned i)
{
	uint64_t there = 0;
	for (unsigned k = 0; k < world.n_nodes; k++)
		there |= world.hosts[k].missing ? 0 : UINT64_C(1) << k;
	uint64_t serving = endpoints[i] & there;
	return (shape.local ? serving : serving ? there : 0) & ~excluded;
}

static void label(const struct host *h, const char *key, json_t *value)
{
	char path[80];
	snprintf(path, sizeof(path), "/api/v1/nodes/%s", h->name);
	patch(path, json_pack("{s:{s:{s:o}}}", "metadata", "labels", key, value));
}

void objects_exclude(const struct host *h, bool on)
{
	excluded = on ? excluded | UINT64_C(1) << h->index : excluded & ~(UINT64_C(1) << h->index);
	label(h, LABEL_EXCLUDE, on ? json_string("") : json_null());
}

void objects_prefer(const struct host *h, bool on)
{
	label(h, "preferred", on ? json_string("yes") : json_null());
}

void objects_write_holder(uint32_t address, const struct host *holder)
{
	char path[200];
	struct address a = address_from_v4(address);
	char *name = record_name(&a);
	json_t *lease = NULL;
	snprintf(path, sizeof(path), LEASES_PATH "/%s", name);
	if (server_request("GET", path, NULL, NULL, &lease) == 200) {
		json_int_t epoch = json_integer_value(json_object_get(json_object_get(lease, "spec"), "leaseTransitions"));
		patch(path, json_pack("{s:{s:s, s:i}}", "spec", "holderIdentity", holder->name, "leaseTransitions", (int)epoch + 1));
	}
	json_decref(lease);
	free(name);
}
