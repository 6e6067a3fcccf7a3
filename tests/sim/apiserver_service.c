/* Services: cluster addresses, node ports, and the rules of load balancer fields. */
#include <arpa/inet.h>
#include <string.h>

#include "tests/sim/apiserver_kinds.h"

static bool is_type(const json_t *spec, const char *type)
{
	return strcmp(simtext(spec, "type"), type) == 0;
}

static bool has_cluster_ip(const json_t *spec)
{
	return !is_type(spec, "ExternalName") && strcmp(simtext(spec, "clusterIP"), "None") != 0;
}

static bool wants_node_ports(const json_t *spec)
{
	return is_type(spec, "NodePort") || (is_type(spec, "LoadBalancer") && !json_is_false(json_object_get(spec, "allocateLoadBalancerNodePorts")));
}

static bool wants_health_port(const json_t *spec)
{
	return is_type(spec, "LoadBalancer") && strcmp(simtext(spec, "externalTrafficPolicy"), "Local") == 0;
}

static bool is_external(const json_t *spec)
{
	return is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
}

static void set_defaults(json_t *spec)
{
	size_t i;
	json_t *port;
	simdefault(spec, "type", json_string("ClusterIP"));
	simdefault(spec, "sessionAffinity", json_string("None"));
	if (!is_type(spec, "ExternalName"))
		simdefault(spec, "internalTrafficPolicy", json_string("Cluster"));
	json_array_foreach(json_object_get(spec, "ports"), i, port) {
		simdefault(port, "protocol", json_string("TCP"));
		if (!json_object_get(port, "targetPort"))
			json_object_set(port, "targetPort", json_object_get(port, "port"));
	}
	if (is_external(spec))
		simdefault(spec, "externalTrafficPolicy", json_string("Cluster"));
	if (is_type(spec, "LoadBalancer"))
		simdefault(spec, "allocateLoadBalancerNodePorts", json_true());
}

static void carry(json_t *spec, const json_t *old, const char *name)
{
	if (!json_object_get(spec, name) && json_object_get(old, name))
		json_object_set_new(spec, name, json_deep_copy(json_object_get(old, name)));
}

static void carry_node_port(json_t *port, const json_t *old)
{
	size_t i;
	json_t *known;
	if (json_integer_value(json_object_get(port, "nodePort")))
		return;
	json_array_foreach(json_object_get(old, "ports"), i, known)
		if (strcmp(simtext(known, "name"), simtext(port, "name")) == 0 && json_object_get(known, "nodePort"))
			json_object_set(port, "nodePort", json_object_get(known, "nodePort"));
}

/* Allocated values the client left out of an update stay as they were. */
static void carry_over(json_t *spec, const json_t *old)
{
	size_t i;
	json_t *port;
	if (has_cluster_ip(spec) && has_cluster_ip(old)) {
		carry(spec, old, "clusterIP");
		carry(spec, old, "clusterIPs");
		carry(spec, old, "ipFamilies");
		carry(spec, old, "ipFamilyPolicy");
	}
	if (wants_node_ports(spec) && wants_node_ports(old))
		json_array_foreach(json_object_get(spec, "ports"), i, port)
			carry_node_port(port, old);
	if (wants_health_port(spec) && wants_health_port(old))
		carry(spec, old, "healthCheckNodePort");
}

static void drop_unchanged(json_t *spec, const json_t *old, const char *name)
{
	if (json_equal(json_object_get(spec, name), json_object_get(old, name)))
		json_object_del(spec, name);
}

/* A change of the type wipes the fields that only made sense before, when the client left them untouched. */
static void drop_for_type(json_t *spec, const json_t *old)
{
	size_t i;
	json_t *port;
	if (has_cluster_ip(old) && is_type(spec, "ExternalName")) {
		static const char *const OF_CLUSTER[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"};
		for (i = 0; i < sizeof(OF_CLUSTER) / sizeof(OF_CLUSTER[0]); i++)
			drop_unchanged(spec, old, OF_CLUSTER[i]);
	}
	if (is_external(old) && !is_external(spec)) {
		json_array_foreach(json_object_get(spec, "ports"), i, port)
			json_object_del(port, "nodePort");
		drop_unchanged(spec, old, "externalTrafficPolicy");
	}
	if (wants_health_port(old) && !wants_health_port(spec))
		drop_unchanged(spec, old, "healthCheckNodePort");
	if (is_type(old, "LoadBalancer") && !is_type(spec, "LoadBalancer")) {
		drop_unchanged(spec, old, "allocateLoadBalancerNodePorts");
		drop_unchanged(spec, old, "loadBalancerClass");
	}
}

/* Single stack IPv4, unless the client says otherwise; IPv6 families get addresses too, so that dual stack can be simulated. */
static void allocate_addresses(json_t *spec, const json_t *old, struct simalloc *alloc)
{
	if (is_type(spec, "ExternalName"))
		return;
	simdefault(spec, "ipFamilyPolicy", json_string("SingleStack"));
	simdefault(spec, "ipFamilies", strcmp(simtext(spec, "ipFamilyPolicy"), "SingleStack") == 0 ? json_pack("[s]", "IPv4") : json_pack("[s, s]", "IPv4", "IPv6"));
	if (strcmp(simtext(spec, "clusterIP"), "None") == 0) {
		json_object_set_new(spec, "clusterIPs", json_pack("[s]", "None"));
		return;
	}
	if (old && !is_type(old, "ExternalName") && !json_object_get(spec, "clusterIP"))   /* one that never got any, see simalloc */
		return;
	if (!json_object_get(spec, "clusterIPs")) {
		json_object_set_new(spec, "clusterIPs", json_array());
		if (json_object_get(spec, "clusterIP"))
			json_array_append(json_object_get(spec, "clusterIPs"), json_object_get(spec, "clusterIP"));
	}
	json_t *have = json_object_get(spec, "clusterIPs"), *families = json_object_get(spec, "ipFamilies");
	for (size_t i = json_array_size(have); i < json_array_size(families); i++) {
		const char *family = json_string_value(json_array_get(families, i));
		unsigned n = alloc->addresses++ % 65000 + 512;
		bool v6 = family && strcmp(family, "IPv6") == 0;
		json_array_append_new(have, v6 ? json_sprintf("fd00:96::%x", n) : json_sprintf("10.96.%u.%u", n >> 8, n & 255));
	}
	json_object_set(spec, "clusterIP", json_array_get(have, 0));
}

static void allocate_ports(json_t *spec, struct simalloc *alloc)
{
	size_t i;
	json_t *port;
	if (wants_node_ports(spec))
		json_array_foreach(json_object_get(spec, "ports"), i, port)
			if (!json_integer_value(json_object_get(port, "nodePort")))
				json_object_set_new(port, "nodePort", json_integer(30086 + alloc->ports++ % 2682));
	if (wants_health_port(spec) && !json_object_get(spec, "healthCheckNodePort"))
		json_object_set_new(spec, "healthCheckNodePort", json_integer(30086 + alloc->ports++ % 2682));
}

static json_t *ingresses(const json_t *object)
{
	return json_object_get(json_object_get(json_object_get(object, "status"), "loadBalancer"), "ingress");
}

/* Defaulting happens on decoding, so it touches whatever is in the status whenever the type that was sent is LoadBalancer. */
static void default_ip_mode(json_t *object)
{
	size_t i;
	json_t *ingress;
	if (is_type(json_object_get(object, "spec"), "LoadBalancer"))
		json_array_foreach(ingresses(object), i, ingress)
			if (*simtext(ingress, "ip"))
				simdefault(ingress, "ipMode", json_string("VIP"));
}

void simservice_prepare(json_t *object, const json_t *old, struct simalloc *alloc)
{
	json_t *spec = simpart(object, "spec");
	const json_t *before = json_object_get(old, "spec"), *status = json_object_get(old, "status");
	set_defaults(spec);
	json_object_set_new(object, "status", status ? json_deep_copy(status) : json_pack("{s:{}}", "loadBalancer"));
	if (old) {
		carry_over(spec, before);
		drop_for_type(spec, before);
		if (!is_type(spec, "LoadBalancer"))
			json_object_set_new(simpart(object, "status"), "loadBalancer", json_object());
	}
	if (alloc) {
		allocate_addresses(spec, before, alloc);
		allocate_ports(spec, alloc);
	}
	default_ip_mode(object);
}

void simservice_prepare_status(json_t *object, const json_t *old)
{
	json_t *balancer = simpart(simpart(object, "status"), "loadBalancer"), *ingress = json_object_get(balancer, "ingress");
	if (ingress && !json_array_size(ingress))
		json_object_del(balancer, "ingress");
	default_ip_mode(object);
	json_object_set_new(object, "spec", json_deep_copy(json_object_get(old, "spec")));
}

static int check_spec(const json_t *spec, struct simerror *e)
{
	if (!is_type(spec, "ClusterIP") && !is_type(spec, "ExternalName") && !is_external(spec))
		return siminvalid(e, "spec.type", "Unsupported value");
	if (has_cluster_ip(spec) && !json_array_size(json_object_get(spec, "ports")))
		return siminvalid(e, "spec.ports", "Required value");
	if (json_object_get(spec, "loadBalancerClass") && !is_type(spec, "LoadBalancer"))
		return siminvalid(e, "spec.loadBalancerClass", "Forbidden: may only be used when `type` is 'LoadBalancer'");
	if (json_object_get(spec, "allocateLoadBalancerNodePorts") && !is_type(spec, "LoadBalancer"))
		return siminvalid(e, "spec.allocateLoadBalancerNodePorts", "Forbidden: may only be used when `type` is 'LoadBalancer'");
	if (json_object_get(spec, "externalTrafficPolicy") && !is_external(spec))
		return siminvalid(e, "spec.externalTrafficPolicy", "may only be set for externally-accessible services");
	return 0;
}

static int check_change(const json_t *spec, const json_t *old, struct simerror *e)
{
	const json_t *class = json_object_get(spec, "loadBalancerClass"), *was = json_object_get(old, "loadBalancerClass");
	bool same = class == was || (class && was && json_equal(class, was));
	if (is_type(spec, "LoadBalancer") && is_type(old, "LoadBalancer") && !same)
		return siminvalid(e, "spec.loadBalancerClass", "may not change once set");
	if (has_cluster_ip(old) && has_cluster_ip(spec) && strcmp(simtext(old, "clusterIP"), simtext(spec, "clusterIP")) != 0)
		return siminvalid(e, "spec.clusterIPs[0]", "may not change once set");
	return 0;
}

static int check_ingress(const json_t *ingress, struct simerror *e)
{
	unsigned char bytes[16];
	const char *ip = simtext(ingress, "ip"), *mode = simtext(ingress, "ipMode");
	if (*ip && inet_pton(AF_INET, ip, bytes) != 1 && inet_pton(AF_INET6, ip, bytes) != 1)
		return siminvalid(e, "status.loadBalancer.ingress[].ip", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
	if (*ip && !*mode)
		return siminvalid(e, "status.loadBalancer.ingress[].ipMode", "Required value: must be specified when `ip` is set");
	if (!*ip && *mode)
		return siminvalid(e, "status.loadBalancer.ingress[].ipMode", "may not be specified when `ip` is not set");
	if (*mode && strcmp(mode, "VIP") != 0 && strcmp(mode, "Proxy") != 0)
		return siminvalid(e, "status.loadBalancer.ingress[].ipMode", "Unsupported value");
	return 0;
}

int simservice_check(const json_t *object, const json_t *old, struct simerror *e)
{
	const json_t *spec = json_object_get(object, "spec");
	json_t *list = ingresses(object), *ingress;
	size_t i;
	int code = check_spec(spec, e);
	if (code == 0 && old)
		code = check_change(spec, json_object_get(old, "spec"), e);
	if (code == 0 && json_array_size(list) && !is_type(spec, "LoadBalancer"))
		code = siminvalid(e, "status.loadBalancer.ingress", "Forbidden: may only be used when `spec.type` is \"LoadBalancer\"");
	json_array_foreach(list, i, ingress)
		if (code == 0)
			code = check_ingress(ingress, e);
	return code;
}
