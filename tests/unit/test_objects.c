/* Service, EndpointSlice, Node, Lease from JSON. */
#include "k8sclient/objects.h"
#include "tests/unit/unit.h"

#define META "'metadata': {'name': 'web', 'namespace': 'shop', 'uid': 'u', 'resourceVersion': '3'}"

static struct service *service(const char *text)
{
	struct service *s = NULL;
	struct error err;
	json_t *json = unit_json(text);
	if (service_decode(json, &s, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return s;
}

static void whole_service(void **state)
{
	(void)state;
	struct service *s = service("{" META ", 'spec': {'type': 'LoadBalancer', 'loadBalancerClass': 'x/y', 'loadBalancerIP': '1.2.3.4', "
				    "'clusterIP': '10.0.0.1', 'clusterIPs': ['10.0.0.1', 'fd00::1'], 'ipFamilyPolicy': 'RequireDualStack', "
				    "'externalTrafficPolicy': 'Local', 'ports': [{'port': 80}, {'port': 53, 'protocol': 'UDP'}, {'port': 65535, 'protocol': 'SCTP'}]}, "
				    "'status': {'loadBalancer': {'ingress': [{'ip': '1.2.3.4', 'ipMode': 'VIP'}, {'hostname': 'a.b'}, {'ip': '1000::1'}]}}}");
	assert_string_equal(s->meta.key, "shop/web");
	assert_true(s->load_balancer);
	assert_string_equal(s->lb_class, "x/y");
	assert_string_equal(s->lb_ip, "1.2.3.4");
	assert_int_equal(s->n_families, 2);
	assert_int_equal(s->families[0], ADDRESS_V4);
	assert_int_equal(s->families[1], ADDRESS_V6);
	assert_int_equal(s->policy, REQUIRE_DUAL_STACK);
	assert_true(s->local);
	assert_int_equal(s->n_ports, 3);
	assert_string_equal(s->ports[0].protocol, "TCP");
	assert_int_equal(s->ports[0].port, 80);
	assert_string_equal(s->ports[1].protocol, "UDP");
	assert_string_equal(s->ports[2].protocol, "SCTP");
	assert_int_equal(s->ports[2].port, 65535);
	assert_int_equal(s->n_ingress, 2);
	assert_true(s->foreign_ingress);
	struct address a;
	assert_int_equal(address_parse("1000::1", &a, NULL), 0);
	assert_true(service_has_ingress(s, &a));
	assert_int_equal(address_parse("1000::2", &a, NULL), 0);
	assert_false(service_has_ingress(s, &a));
	service_free(s);
}

static void other_services(void **state)
{
	static const struct {
		const char *spec;
		bool load_balancer;
		const char *lb_class, *lb_ip;
		size_t families;
		enum ip_family_policy policy;
	} ROWS[] = {
		{"{}", false, NULL, NULL, 0, SINGLE_STACK},
		{"{'type': 'ClusterIP', 'clusterIP': '10.0.0.1'}", false, NULL, NULL, 1, SINGLE_STACK},
		{"{'type': 'LoadBalancer', 'clusterIP': 'None', 'clusterIPs': ['None']}", true, NULL, NULL, 0, SINGLE_STACK},
		{"{'type': 'LoadBalancer', 'clusterIP': '', 'loadBalancerIP': '', 'ports': null}", true, NULL, NULL, 0, SINGLE_STACK},
		{"{'type': 'LoadBalancer', 'clusterIPs': ['fd00::1'], 'ipFamilyPolicy': 'PreferDualStack'}", true, NULL, NULL, 1, PREFER_DUAL_STACK},
		{"{'type': 'LoadBalancer', 'clusterIPs': ['1.1.1.1', '::1', '2.2.2.2']}", true, NULL, NULL, 2, SINGLE_STACK},
		{"{'type': 'LoadBalancer', 'loadBalancerClass': '', 'loadBalancerIP': 'nonsense'}", true, "", "nonsense", 0, SINGLE_STACK},
		{"{'type': 'ExternalName', 'externalName': 'a.b'}", false, NULL, NULL, 0, SINGLE_STACK},
		{"{'type': 7, 'loadBalancerClass': 7, 'clusterIPs': {}, 'ports': {}}", false, NULL, NULL, 0, SINGLE_STACK},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{" META ", 'spec': %s, 'status': {'loadBalancer': {}}}", ROWS[i].spec);
		struct service *s = service(text);
		assert_int_equal(s->load_balancer, ROWS[i].load_balancer);
		assert_int_equal(s->lb_class != NULL, ROWS[i].lb_class != NULL);
		if (ROWS[i].lb_class)
			assert_string_equal(s->lb_class, ROWS[i].lb_class);
		assert_int_equal(s->lb_ip != NULL, ROWS[i].lb_ip != NULL);
		assert_int_equal(s->n_families, ROWS[i].families);
		assert_int_equal(s->policy, ROWS[i].policy);
		assert_false(s->local);
		assert_int_equal(s->n_ingress, 0);
		assert_false(s->foreign_ingress);
		service_free(s);
		free(text);
	}
}

static void ingress(void **state)
{
	static const struct {
		const char *ingress;
		size_t n;
		bool foreign;
	} ROWS[] = {
		{"[]", 0, false}, {"null", 0, false}, {"[{'ip': '1.2.3.4'}]", 1, false}, {"[{'hostname': 'x'}]", 0, true}, {"[{'ip': 'x'}]", 0, true},
		{"[{'ip': ''}]", 0, true}, {"[{}]", 0, true}, {"[{'ip': '1.2.3.4'}, {'ip': '::1'}]", 2, false}, {"['1.2.3.4']", 0, true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{" META ", 'spec': {}, 'status': {'loadBalancer': {'ingress': %s}}}", ROWS[i].ingress);
		struct service *s = service(text);
		assert_int_equal(s->n_ingress, ROWS[i].n);
		assert_int_equal(s->foreign_ingress, ROWS[i].foreign);
		service_free(s);
		free(text);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *object, *says;
	} BAD[] = {
		{"{}", "Service without a name: the object has no metadata.name"},
		{"{" META "}", "Service shop/web: spec is not an object"},
		{"{" META ", 'spec': 'x'}", "Service shop/web: spec is not an object"},
		{"{'metadata': {'name': 'web', 'namespace': 'shop', 'labels': {'a': 1}}, 'spec': {}}", "Service shop/web: \"a\" must be a string"},
		{"{" META ", 'spec': {'ports': [{'port': 80}, {'port': 0}]}}", "spec.ports[1].port is not a port number"},
		{"{" META ", 'spec': {'ports': [{'port': 65536}]}}", "spec.ports[0].port is not a port number"},
		{"{" META ", 'spec': {'ports': [{'port': '80'}]}}", "spec.ports[0].port is not a port number"},
		{"{" META ", 'spec': {'ports': ['80']}}", "spec.ports[0].port is not a port number"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct service *s = NULL;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].object);
		if (service_decode(json, &s, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].object);
		assert_null(s);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
	static const char NAMELESS[] = "{'metadata': {'namespace': 'x'}}";
	struct error err = {""};
	struct endpoint_slice *slice = NULL;
	struct node *node = NULL;
	struct lease *lease = NULL;
	json_t *json = unit_json(NAMELESS);
	assert_int_equal(endpoint_slice_decode(json, &slice, &err), -EINVAL);
	unit_contains(err.text, "EndpointSlice without a name");
	assert_int_equal(node_decode(json, &node, &err), -EINVAL);
	unit_contains(err.text, "Node without a name");
	assert_int_equal(lease_decode(json, &lease, &err), -EINVAL);
	unit_contains(err.text, "Lease without a name");
	json_decref(json);
}

static void cordoned(void **state)
{
	static const struct {
		const char *spec;
		bool cordoned;
	} ROWS[] = {{"{}", false}, {"null", false}, {"{'unschedulable': true}", true}, {"{'unschedulable': false}", false}, {"{'unschedulable': 'yes'}", false}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{'metadata': {'name': 'n1'}, 'spec': %s}", ROWS[i].spec);
		struct node *n = NULL;
		json_t *json = unit_json(text);
		assert_int_equal(node_decode(json, &n, NULL), 0);
		assert_int_equal(n->cordoned, ROWS[i].cordoned);
		node_free(n);
		json_decref(json);
		free(text);
	}
}

static void endpoint_slices(void **state)
{
	static const struct {
		const char *conditions;
		bool can_serve, ending;
	} ROWS[] = {
		{"{}", true, false}, {"null", true, false}, {"{'ready': true}", true, false}, {"{'ready': null}", true, false}, {"{'ready': false}", false, false},
		{"{'ready': false, 'serving': true, 'terminating': true}", true, true}, {"{'ready': false, 'serving': false, 'terminating': true}", false, false},
		{"{'ready': false, 'serving': null}", false, false}, {"{'ready': true, 'serving': true, 'terminating': true}", true, false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{'metadata': {'name': 'web-x', 'namespace': 'shop', 'labels': {'kubernetes.io/service-name': 'web'}}, "
					"'endpoints': [{'addresses': ['1.1.1.1'], 'nodeName': 'n1', 'conditions': %s}, {'addresses': ['1.1.1.2']}]}",
					ROWS[i].conditions);
		struct endpoint_slice *s = NULL;
		json_t *json = unit_json(text);
		assert_int_equal(endpoint_slice_decode(json, &s, NULL), 0);
		assert_string_equal(s->service, "shop/web");
		assert_int_equal(s->n, 2);
		assert_string_equal(s->endpoints[0].node, "n1");
		if (s->endpoints[0].can_serve != ROWS[i].can_serve)
			fail_msg("%s: not %d", ROWS[i].conditions, ROWS[i].can_serve);
		assert_int_equal(s->endpoints[0].ending, ROWS[i].ending);
		assert_null(s->endpoints[1].node);
		assert_true(s->endpoints[1].can_serve);
		endpoint_slice_free(s);
		json_decref(json);
		free(text);
	}
	static const char *const EMPTY[] = {"{" META "}", "{" META ", 'endpoints': null}", "{" META ", 'endpoints': []}", "{" META ", 'endpoints': {}}"};
	for (size_t i = 0; i < COUNT(EMPTY); i++) {
		struct endpoint_slice *s = NULL;
		json_t *json = unit_json(EMPTY[i]);
		assert_int_equal(endpoint_slice_decode(json, &s, NULL), 0);
		assert_int_equal(s->n, 0);
		assert_string_equal(s->service, "shop/");
		endpoint_slice_free(s);
		json_decref(json);
	}
}

static void nodes(void **state)
{
	static const struct {
		const char *status;
		bool ready, network_unavailable;
		size_t internal;
	} ROWS[] = {
		{"{}", false, false, 0},
		{"null", false, false, 0},
		{"{'conditions': [{'type': 'MemoryPressure', 'status': 'False'}, {'type': 'Ready', 'status': 'True'}]}", true, false, 0},
		{"{'conditions': [{'type': 'Ready', 'status': 'False'}]}", false, false, 0},
		{"{'conditions': [{'type': 'Ready', 'status': 'Unknown'}, {'type': 'NetworkUnavailable', 'status': 'True'}]}", false, true, 0},
		{"{'conditions': [{'type': 'NetworkUnavailable', 'status': 'False'}, {'type': 'Ready', 'status': 'True'}]}", true, false, 0},
		{"{'conditions': {}, 'addresses': {}}", false, false, 0},
		{"{'addresses': [{'type': 'Hostname', 'address': 'n1'}, {'type': 'InternalIP', 'address': '192.168.1.5'}, "
		 "{'type': 'ExternalIP', 'address': '8.8.8.8'}, {'type': 'InternalIP', 'address': 'fd00::5'}, {'type': 'InternalIP', 'address': 'x'}, "
		 "{'type': 'InternalIP'}]}", false, false, 2},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{'metadata': {'name': 'n1'}, 'status': %s}", ROWS[i].status);
		struct node *n = NULL;
		json_t *json = unit_json(text);
		assert_int_equal(node_decode(json, &n, NULL), 0);
		assert_string_equal(n->meta.key, "n1");
		assert_int_equal(n->ready, ROWS[i].ready);
		assert_int_equal(n->network_unavailable, ROWS[i].network_unavailable);
		assert_int_equal(n->n_internal, ROWS[i].internal);
		if (n->n_internal) {
			char shown[ADDRESS_TEXT];
			assert_string_equal(address_format(&n->internal[0], shown), "192.168.1.5");
			assert_string_equal(address_format(&n->internal[1], shown), "fd00::5");
		}
		node_free(n);
		json_decref(json);
		free(text);
	}
}

static void leases(void **state)
{
	static const struct {
		const char *spec, *holder;
		int duration;
		int64_t transitions;
		const char *renewed;
	} ROWS[] = {
		{"{'holderIdentity': 'pod_1', 'leaseDurationSeconds': 15, 'leaseTransitions': 4, 'acquireTime': 'x', 'renewTime': '2026-01-01T00:00:00.000000Z'}",
		 "pod_1", 15, 4, "2026-01-01T00:00:00.000000Z"},
		{"{}", "", 0, 0, ""},
		{"null", "", 0, 0, ""},
		{"{'holderIdentity': null, 'leaseDurationSeconds': '15', 'leaseTransitions': null, 'renewTime': 5}", "", 0, 0, ""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf("{" META ", 'spec': %s}", ROWS[i].spec);
		struct lease *l = NULL;
		json_t *json = unit_json(text);
		assert_int_equal(lease_decode(json, &l, NULL), 0);
		assert_string_equal(l->meta.resource_version, "3");
		assert_string_equal(l->holder, ROWS[i].holder);
		assert_int_equal(l->duration_s, ROWS[i].duration);
		assert_int_equal(l->transitions, ROWS[i].transitions);
		assert_string_equal(l->renewed, ROWS[i].renewed);
		lease_free(l);
		json_decref(json);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_service), cmocka_unit_test(other_services), cmocka_unit_test(ingress), cmocka_unit_test(refuses),
		cmocka_unit_test(endpoint_slices), cmocka_unit_test(nodes), cmocka_unit_test(cordoned), cmocka_unit_test(leases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
