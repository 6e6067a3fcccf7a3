/* Clusters for tests, from a few words: what is left out has a default that works. All of it goes into a model. */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include "speaker/model.h"
#include "speaker/names.h"
#include "tests/unit/unit.h"

#define SUPPORT_NS "metallb-system"

static inline struct address support_address(const char *text)
{
	struct address a = {0};
	struct error err = {""};
	if (address_parse(text, &a, &err) < 0)
		fail_msg("%s", err.text);
	return a;
}

static inline const char *support_or(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

/* ---- Services ---- */

struct support_service {
	const char *name, *name_space;      /* "web", "shop" */
	const char *uid;                    /* "u-<name>" */
	unsigned version;                   /* 1 */
	const char *created;                /* time of day, "00:00:00" */
	const char *labels, *annotations;   /* "'a': 'b'" */
	const char *meta, *spec;            /* further fields, with a comma before them */
	const char *ips;                    /* of the status: "1.2.3.4,::1" */
	const char *status;                 /* or its ingress list as it stands */
};

/* "a,b" as "{'ip': 'a'}, {'ip': 'b'}"; to free(). */
static inline char *support_ingress(const char *ips)
{
	char *copy = mem_strdup(ips), *rest = copy, *one, *text = mem_strdup("");
	while ((one = strsep(&rest, ",")) && *one) {
		char *longer = mem_printf("%s%s{'ip': '%s'}", text, *text ? ", " : "", one);
		free(text);
		text = longer;
	}
	free(copy);
	return text;
}

static inline struct service *support_service_new(struct support_service d)
{
	struct service *s = NULL;
	struct error err = {""};
	char *ingress = d.status ? mem_strdup(d.status) : support_ingress(support_or(d.ips, ""));
	char *uid = d.uid ? mem_strdup(d.uid) : mem_printf("u-%s", support_or(d.name, "web"));
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '%s', 'uid': '%s', 'resourceVersion': '%u', 'creationTimestamp': "
				"'2026-01-01T%sZ', 'labels': {%s}, 'annotations': {%s}%s}, 'spec': {'type': 'LoadBalancer', "
				"'clusterIPs': ['10.96.0.1'], 'ports': [{'port': 80}]%s}, 'status': {'loadBalancer': {'ingress': [%s]}}}",
				support_or(d.name, "web"), support_or(d.name_space, "shop"), uid, d.version ? d.version : 1,
				support_or(d.created, "00:00:00"), support_or(d.labels, ""), support_or(d.annotations, ""),
				support_or(d.meta, ""), support_or(d.spec, ""), ingress);
	json_t *json = unit_json(text);
	if (service_decode(json, &s, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	free(text);
	free(uid);
	free(ingress);
	return s;
}

static inline void support_service(struct model *m, struct support_service d)
{
	model_put_service(m, support_service_new(d));
}

/* ---- our Leases ---- */

struct support_record {
	const char *address;
	const char *services, *uids;   /* "shop/web", "u-web" */
	const char *holder, *previous, *successor;
	bool found;
	int epoch;
	const char *class;             /* "default" */
	const char *uid;               /* "r-<address>" */
	unsigned version;              /* 1 */
};

static inline struct lease *support_lease(const char *text)
{
	struct lease *l = NULL;
	struct error err = {""};
	json_t *json = unit_json(text);
	if (lease_decode(json, &l, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return l;
}

static inline struct record *support_record_new(struct support_record d)
{
	struct record *r = NULL;
	struct address a = support_address(d.address);
	char *name = record_name(&a), *uid = d.uid ? mem_strdup(d.uid) : mem_printf("r-%s", d.address);
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "', 'uid': '%s', 'resourceVersion': '%u', 'labels': "
				"{'" LABEL_CLASS "': '%s', '" LABEL_RECORD "': 'address'}, 'annotations': {'" RECORD_SERVICES "': '%s', '"
				RECORD_SERVICE_UIDS "': '%s', '" RECORD_PREVIOUS "': '%s', '" RECORD_SUCCESSOR "': '%s', '" RECORD_FOUND "': '%s'}}, 'spec': {'holderIdentity': '%s', 'leaseTransitions': %d}}",
				name, uid, d.version ? d.version : 1, support_or(d.class, "default"), support_or(d.services, "shop/web"),
				support_or(d.uids, "u-web"), support_or(d.previous, ""), support_or(d.successor, ""),
				d.found ? "status" : "", support_or(d.holder, ""), d.epoch);
	struct lease *l = support_lease(text);
	if (!record_decode(l, &r))
		fail_msg("%s is no record's name", name);
	lease_free(l);
	free(text);
	free(uid);
	free(name);
	return r;
}

static inline void support_record(struct model *m, struct support_record d)
{
	model_put_record(m, support_record_new(d), true);
}

/* links: the JSON of the annotation, single-quoted. */
static inline void support_node_record(struct model *m, const char *node, const char *links)
{
	struct node_record *r = NULL;
	struct error err = {""};
	char *name = node_record_name(node), *value = mem_strdup(links);
	for (char *p = value; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	json_t *json = json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}}, s:{s:s}}", "metadata", "name", name, "namespace", SUPPORT_NS, "uid", "n",
				 "resourceVersion", "1", "annotations", RECORD_LINKS, value, "spec", "holderIdentity", node);
	struct lease *l = NULL;
	if (lease_decode(json, &l, &err) < 0 || node_record_decode(l, &r, &err) < 0)
		fail_msg("%s", err.text);
	model_put_node_record(m, r, true);
	lease_free(l);
	json_decref(json);
	free(value);
	free(name);
}

/* As `l2lb drain` and `undrain` leave a node's record. */
static inline void support_drain(struct model *m, const char *node, bool draining)
{
	struct node_record *r = model_node_record(m, node);
	r->draining = draining;
	m->revision++;
}

/* ---- Nodes, EndpointSlices, Namespaces ---- */

static inline void support_node(struct model *m, const char *name, const char *labels, const char *conditions)
{
	struct node *n = NULL;
	struct error err = {""};
	char *text = mem_printf("{'metadata': {'name': '%s', 'uid': 'node-%s', 'labels': {%s}}, 'status': {'conditions': [%s]}}", name, name,
				labels, conditions);
	json_t *json = unit_json(text);
	if (node_decode(json, &n, &err) < 0)
		fail_msg("%s", err.text);
	model_put_node(m, n);
	json_decref(json);
	free(text);
}

/* As `kubectl cordon` and `uncordon` leave a Node. */
static inline void support_cordon(struct model *m, const char *node, bool cordoned)
{
	model_node(m, node)->cordoned = cordoned;
	m->revision++;
}

/* endpoints: "{'nodeName': 'a', 'conditions': {'ready': true}}, ..." */
static inline void support_slice(struct model *m, const char *name, const char *service, const char *endpoints)
{
	struct endpoint_slice *s = NULL;
	struct error err = {""};
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': 'shop', 'labels': {'kubernetes.io/service-name': '%s'}}, 'endpoints': [%s]}",
				name, service, endpoints);
	json_t *json = unit_json(text);
	if (endpoint_slice_decode(json, &s, &err) < 0)
		fail_msg("%s", err.text);
	model_put_slice(m, s);
	json_decref(json);
	free(text);
}

static inline void support_namespace(struct model *m, const char *name, const char *labels)
{
	struct object_meta meta;
	struct error err = {""};
	char *text = mem_printf("{'metadata': {'name': '%s', 'labels': {%s}}}", name, labels);
	json_t *json = unit_json(text);
	if (object_meta_decode(json, &meta, &err) < 0)
		fail_msg("%s", err.text);
	model_put_namespace(m, &meta);
	json_decref(json);
	free(text);
}

/* ---- pools and advertisements ---- */

/* created: time of day; spec: "'addresses': [...]" and more. */
static inline void support_pool_aged(struct model *m, const char *name, const char *created, const char *spec)
{
	struct pool *p = NULL;
	struct error err = {""};
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "', 'creationTimestamp': '2026-01-01T%sZ'}, 'spec': {%s}}",
				name, created, spec);
	json_t *json = unit_json(text);
	if (pool_decode(json, &p, &err) < 0)
		fail_msg("%s", err.text);
	model_put_pool(m, p);
	json_decref(json);
	free(text);
}

static inline void support_pool(struct model *m, const char *name, const char *spec)
{
	support_pool_aged(m, name, "00:00:00", spec);
}

/* It is there, and not understood. */
static inline void support_malformed_pool(struct model *m, const char *name)
{
	struct object_meta meta;
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "'}}", name);
	json_t *json = unit_json(text);
	if (object_meta_decode(json, &meta, NULL) < 0)
		fail_msg("%s", text);
	model_put_malformed_pool(m, &meta, "malformed");
	object_meta_free(&meta);
	json_decref(json);
	free(text);
}

static inline void support_advertisement(struct model *m, const char *name, const char *spec)
{
	struct advertisement *ad = NULL;
	struct error err = {""};
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "'}, 'spec': {%s}}", name, spec);
	json_t *json = unit_json(text);
	if (advertisement_decode(json, &ad, &err) < 0)
		fail_msg("%s", err.text);
	model_put_advertisement(m, ad);
	json_decref(json);
	free(text);
}

/* ---- chance that replays ---- */

/* xorshift64*: the same numbers everywhere. */
static inline uint64_t support_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* 0..n-1. The seed must not be 0. */
static inline unsigned support_pick(uint64_t *state, unsigned n)
{
	return (unsigned)((support_random(state) >> 33) % n);
}

static inline bool support_chance(uint64_t *state, unsigned percent)
{
	return support_pick(state, 100) < percent;
}

#define ETH0(address) "[{'name': 'eth0', 'mac': '02:00:00:00:00:01', 'addresses': ['" address "']}]"
#define SERVES(node) "{'nodeName': '" node "', 'conditions': {'ready': true}}"

/* The home lab: three nodes, one pool, one Service with an endpoint on worker-1. */
static inline void support_home(struct model *m)
{
	model_init(m, "", false);
	support_node(m, "k8s-control", "'role': 'control'", "{'type': 'Ready', 'status': 'True'}");
	support_node(m, "worker-1", "'role': 'worker', 'zone': 'a'", "{'type': 'Ready', 'status': 'True'}");
	support_node(m, "worker-2", "'role': 'worker', 'zone': 'b'", "{'type': 'Ready', 'status': 'False'}");
	support_node_record(m, "k8s-control", ETH0("192.168.122.10/24"));
	support_node_record(m, "worker-1", ETH0("192.168.122.11/24"));
	support_node_record(m, "worker-2", ETH0("192.168.122.12/24"));
	support_pool(m, "default-pool", "'addresses': ['192.168.122.100-192.168.122.150', 'fd00::/120']");
	support_advertisement(m, "all", "");
	support_service(m, (struct support_service){.labels = "'app': 'web'"});
	support_slice(m, "web-1", "web", SERVES("worker-1"));
}

#endif
