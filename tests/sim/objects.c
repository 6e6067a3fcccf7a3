#include "tests/sim/objects.h"

#include <stdlib.h>

#include "speaker/names.h"
#include "speaker/records.h"
#include "tests/sim/server.h"

#define LEASES_PATH "/apis/coordination.k8s.io/v1/namespaces/" DEFAULT_NAMESPACE "/leases"
#define METALLB_PATH "/apis/metallb.io/v1beta1/namespaces/" DEFAULT_NAMESPACE

char *objects_address_text(uint32_t address, char text[16])
{
	snprintf(text, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff, address & 0xff);
	return text;
}

void objects_make_cluster(void)
{
	char first[16], last[16];
	server_do("POST", "/api/v1/namespaces", json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", DEFAULT_NAMESPACE));
	server_do("POST", METALLB_PATH "/ipaddresspools",
		  json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:[o]}}", "apiVersion", "metallb.io/v1beta1", "kind", "IPAddressPool", "metadata", "name", "pool",
			    "namespace", DEFAULT_NAMESPACE, "spec", "addresses",
			    json_sprintf("%s-%s", objects_address_text(POOL_FIRST, first), objects_address_text(POOL_FIRST + world.n_addresses - 1, last))));
	server_do("POST", METALLB_PATH "/l2advertisements",
		  json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "apiVersion", "metallb.io/v1beta1", "kind", "L2Advertisement", "metadata", "name", "all",
			    "namespace", DEFAULT_NAMESPACE, "spec"));
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

static void make_slice(const char *name)
{
	json_t *endpoints = json_array();
	for (unsigned i = 0; i < world.n_nodes; i++)
		if (!world.hosts[i].missing)
			json_array_append_new(endpoints, json_pack("{s:[s], s:s, s:{s:b}}", "addresses", "10.244.0.9", "nodeName", world.hosts[i].name,
								   "conditions", "ready", 1));
	server_do("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
		  json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:s, s:o}", "apiVersion", "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata",
			    "name", name, "namespace", "default", "labels", "kubernetes.io/service-name", name, "addressType", "IPv4", "endpoints", endpoints));
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

void objects_make_service(unsigned i, const struct host *holder, bool allocated)
{
	char name[16], ip[16], key[32];
	json_t *reply = NULL;
	snprintf(name, sizeof(name), "s%u", i);
	snprintf(key, sizeof(key), "default/%s", name);
	json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:[{s:s, s:i}], s:{s:s}}}", "apiVersion", "v1", "kind", "Service", "metadata",
				 "name", name, "namespace", "default", "spec", "type", "LoadBalancer", "clusterIP", "10.96.0.9", "ports", "protocol", "TCP",
				 "port", 80, "selector", "app", name);
	if (server_request("POST", "/api/v1/namespaces/default/services", NULL, body, &reply) != 201) {
		char *text = json_dumps(reply, 0);
		fprintf(stderr, "sim: Service: %s\n", text);
		abort();
	}
	json_decref(body);
	make_slice(name);
	if (allocated) {
		make_record(i, json_string_value(json_object_get(json_object_get(reply, "metadata"), "uid")), holder, key);
		show_address(name, objects_address_text(world.addresses[i], ip));
	}
	json_decref(reply);
}
