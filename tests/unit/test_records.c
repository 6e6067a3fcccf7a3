/* Our Leases: names, decoding and the bodies of the writes. design.md section 5. */
#include "tests/unit/support.h"

static void names(void **state)
{
	static const struct {
		const char *address, *name;
	} ROWS[] = {
		{"192.168.122.100", "ip-192.168.122.100"},
		{"0.0.0.0", "ip-0.0.0.0"},
		{"::ffff:10.0.0.1", "ip-10.0.0.1"},
		{"fd00::1", "ip-fd00-0000-0000-0000-0000-0000-0000-0001"},
		{"2001:db8:1:2:3:4:5:6", "ip-2001-0db8-0001-0002-0003-0004-0005-0006"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct address a = support_address(ROWS[i].address), back;
		char *name = record_name(&a);
		assert_string_equal(name, ROWS[i].name);
		assert_true(record_address(name, &back));
		assert_true(address_equal(&a, &back));
		free(name);
	}
}

/* Two Leases never mean one address. */
static void not_names(void **state)
{
	static const char *const ROWS[] = {"", "ip-", "ip", "ip-1.2.3", "ip-1.2.3.4.5", "ip-1.2.3.4-x", "node-a", "xip-1.2.3.4", "l2lb-controller",
					   "ip-fd00--1", "ip-fd00-0-0-0-0-0-0-1", "ip-FD00-0000-0000-0000-0000-0000-0000-0001",
					   "ip--ffff-1.2.3.4", "ip-::ffff:1.2.3.4", "ip-0000-0000-0000-0000-0000-ffff-0102-0304",
					   "ip-11111111111111111111111111111111111111111111111111111111111"};
	struct address a;
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++)
		if (record_address(ROWS[i], &a))
			fail_msg("%s is taken for an address", ROWS[i]);
}

static void node_names_and_classes(void **state)
{
	(void)state;
	char node[260] = "", *name = node_record_name("worker-1"), *class = record_class("");
	assert_string_equal(name, "node-worker-1");
	assert_string_equal(class, "default");
	free(name);
	free(class);
	/* hashlib.sha256(b"x/y").hexdigest()[:16], and of 249 times "n" */
	class = record_class("x/y");
	assert_string_equal(class, "bd3c9047d6816c31");
	free(class);
	memset(node, 'n', 248);
	name = node_record_name(node);
	assert_int_equal(strlen(name), 253);
	free(name);
	node[248] = 'n';
	name = node_record_name(node);
	assert_string_equal(name, "node-764c7b24d050f877");
	free(name);
}

static void decodes(void **state)
{
	(void)state;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .services = "shop/web,shop/api,ops/git", .uids = "u1,u2",
					      .holder = "worker-1", .epoch = 7, .previous = "a,b,c,d", .version = 12});
	assert_string_equal(r->holder, "worker-1");
	assert_int_equal(r->epoch, 7);
	assert_int_equal(r->n_services, 3);
	assert_string_equal(r->services[2], "ops/git");
	assert_string_equal(r->service_uids[1], "u2");
	assert_string_equal(r->service_uids[2], "");
	assert_string_equal(r->meta.resource_version, "12");
	assert_string_equal(labels_get(&r->meta.labels, LABEL_CLASS), "default");
	static const struct {
		const char *key, *uid;
		bool named;
	} NAMED[] = {
		{"shop/web", NULL, true}, {"shop/web", "u1", true}, {"shop/web", "u2", false}, {"shop/web", "", false}, {"ops/git", "", true},
		{"ops/git", "u3", false}, {"shop/we", NULL, false}, {"shop/web,shop/api", NULL, false}, {"", NULL, false},
	};
	for (size_t i = 0; i < COUNT(NAMED); i++)
		assert_int_equal(record_names(r, NAMED[i].key, NAMED[i].uid), NAMED[i].named);
	assert_true(record_held_before(r, "a"));
	assert_true(record_held_before(r, "c"));
	assert_false(record_held_before(r, "d"));
	assert_false(record_held_before(r, "worker-1"));
	record_free(r);
	record_free(NULL);
}

static void decodes_a_bare_lease(void **state)
{
	struct record *r = NULL;
	struct lease *l = support_lease("{'metadata': {'name': 'ip-10.0.0.1', 'namespace': 'x'}, 'spec': {}}");
	(void)state;
	assert_true(record_decode(l, &r));
	assert_string_equal(r->holder, "");
	assert_int_equal(r->n_services, 0);
	assert_null(r->previous[0]);
	assert_false(record_held_before(r, ""));
	record_free(r);
	lease_free(l);
	l = support_lease("{'metadata': {'name': 'l2lb-controller', 'namespace': 'x'}, 'spec': {'holderIdentity': 'me'}}");
	assert_false(record_decode(l, &r));
	lease_free(l);
}

static void is_json(json_t *body, const char *wanted)
{
	json_t *json = unit_json(wanted);
	if (!json_equal(body, json)) {
		char *text = json_dumps(body, JSON_COMPACT);
		print_error("got %s\n", text);
		free(text);
		fail_msg("wanted %s", wanted);
	}
	json_decref(json);
	json_decref(body);
}

static void create_body(void **state)
{
	struct address a = support_address("192.168.122.100");
	(void)state;
	is_json(record_create_body(&a, "metallb-system", "", "shop/web", "u1", false),
		"{'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'ip-192.168.122.100', 'namespace': 'metallb-system', "
		"'labels': {'l2lb.io/class': 'default', 'l2lb.io/record': 'address'}, "
		"'annotations': {'l2lb.io/services': 'shop/web', 'l2lb.io/service-uids': 'u1'}}, 'spec': {}}");
}

/* previous: newest first, three at most, and only when the holder changes. */
static void holder_patch(void **state)
{
	static const struct {
		const char *was, *previous, *is, *wanted;
	} ROWS[] = {
		{"", "", "b", NULL},
		{"b", "a", "b", NULL},
		{"a", "", "b", "a"},
		{"c", "b,a", "d", "c,b,a"},
		{"d", "c,b,a", "e", "d,c,b"},
		{"a", "b", "b", "a,b"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct record *r = support_record_new((struct support_record){.address = "10.0.0.1", .holder = ROWS[i].was, .previous = ROWS[i].previous,
						      .epoch = 4, .uid = "r1", .version = 9});
		char *previous = ROWS[i].wanted ? mem_printf("'l2lb.io/previous': '%s', ", ROWS[i].wanted) : mem_strdup("");
		char *wanted = mem_printf("{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {%s'l2lb.io/link': 'eth0'}}, 'spec': "
					  "{'holderIdentity': '%s', 'acquireTime': '2026-01-01T00:00:00.000000Z', 'leaseTransitions': 5}}", previous, ROWS[i].is);
		is_json(record_holder_patch(r, ROWS[i].is, "eth0", "2026-01-01T00:00:00.000000Z"), wanted);
		free(wanted);
		free(previous);
		record_free(r);
	}
}

static void successor_patch(void **state)
{
	struct record *r = support_record_new((struct support_record){.address = "10.0.0.1", .holder = "a", .successor = "b", .epoch = 4, .uid = "r1", .version = 9});
	(void)state;
	assert_string_equal(r->successor, "b");
	is_json(record_successor_patch(r, "c"), "{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {'l2lb.io/successor': 'c'}}}");
	is_json(record_successor_patch(r, ""), "{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {'l2lb.io/successor': null}}}");
	is_json(record_holder_patch(r, "b", "eth0", "2026-01-01T00:00:00.000000Z"),   /* done */
		"{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {'l2lb.io/previous': 'a', 'l2lb.io/link': 'eth0', 'l2lb.io/successor': null}}, "
		"'spec': {'holderIdentity': 'b', 'acquireTime': '2026-01-01T00:00:00.000000Z', 'leaseTransitions': 5}}");
	record_free(r);
}

static void drain_patch(void **state)
{
	struct model m;
	(void)state;
	model_init(&m, "", false);
	support_node_record(&m, "a", "[]");
	const struct node_record *r = model_node_record(&m, "a");
	assert_false(r->draining);
	is_json(node_record_drain_patch(r, true), "{'metadata': {'uid': 'n', 'resourceVersion': '1', 'annotations': {'l2lb.io/drain': 'true'}}}");
	is_json(node_record_drain_patch(r, false), "{'metadata': {'uid': 'n', 'resourceVersion': '1', 'annotations': {'l2lb.io/drain': null}}}");
	model_free(&m);
}

static void other_bodies(void **state)
{
	struct record *r = support_record_new((struct support_record){.address = "10.0.0.1", .uid = "r1", .version = 9});
	(void)state;
	is_json(record_services_patch(r, (const char *const[]){"a/b", "c/d"}, (const char *const[]){"1", "2"}, 2),
		"{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {'l2lb.io/services': 'a/b,c/d', 'l2lb.io/service-uids': '1,2'}}}");
	is_json(record_services_patch(r, NULL, NULL, 0),
		"{'metadata': {'uid': 'r1', 'resourceVersion': '9', 'annotations': {'l2lb.io/services': '', 'l2lb.io/service-uids': ''}}}");
	is_json(delete_options(&r->meta), "{'apiVersion': 'v1', 'kind': 'DeleteOptions', 'preconditions': {'uid': 'r1', 'resourceVersion': '9'}}");
	record_free(r);
}

/* ---- nodes ---- */

static int decode_links(const char *annotation, const char *holder, struct node_record **rp, struct error *err)
{
	struct lease *l;
	json_t *json = json_pack("{s:{s:s, s:s, s:{s:s}}, s:{s:s}}", "metadata", "name", "node-a", "namespace", "x", "annotations", RECORD_LINKS, annotation,
				 "spec", "holderIdentity", holder);
	assert_int_equal(lease_decode(json, &l, err), 0);
	int rc = node_record_decode(l, rp, err);
	lease_free(l);
	json_decref(json);
	return rc;
}

static void node_links(void **state)
{
	struct node_link links[2] = {{.name = "eth0", .mac = {{2, 0, 0, 0, 0, 10}}, .by_default = true, .n_addresses = 2}, {.name = "vlan7", .mac = {{2, 0, 0, 0, 0, 11}}}};
	struct node_record *r = NULL;
	struct error err = {""};
	(void)state;
	assert_int_equal(address_prefix_parse("192.168.122.10/24", &links[0].addresses[0], &err), 0);
	assert_int_equal(address_prefix_parse("fd00::10/64", &links[0].addresses[1], &err), 0);
	json_t *body = node_record_body("worker-1", "n-uid", "metallb-system", "", links, 2);
	struct lease *l;
	assert_int_equal(lease_decode(body, &l, &err), 0);
	assert_int_equal(node_record_decode(l, &r, &err), 0);
	assert_string_equal(l->meta.name, "node-worker-1");
	assert_string_equal(r->node, "worker-1");
	assert_int_equal(r->n_links, 2);
	assert_true(r->links[0].by_default);
	assert_false(r->links[1].by_default);
	assert_int_equal(r->links[0].n_addresses, 2);
	assert_true(mac_equal(&r->links[1].mac, &links[1].mac));
	assert_ptr_equal(node_record_link(r, "vlan7"), &r->links[1]);
	assert_null(node_record_link(r, "vlan"));
	assert_true(node_record_says(r, links, 2));
	assert_false(node_record_says(r, links, 1));
	links[1].by_default = true;
	assert_false(node_record_says(r, links, 2));
	json_t *owners = json_object_get(json_object_get(body, "metadata"), "ownerReferences");
	is_json(json_incref(owners), "[{'apiVersion': 'v1', 'kind': 'Node', 'name': 'worker-1', 'uid': 'n-uid'}]");
	json_t *patch = node_record_patch(r, links, 0);
	is_json(patch, "{'metadata': {'uid': '', 'resourceVersion': '', 'annotations': {'l2lb.io/links': '[]'}}}");
	json_decref(body);
	lease_free(l);
	node_record_free(r);
}

static void bad_node_links(void **state)
{
	static const struct {
		const char *annotation, *holder, *says;
	} ROWS[] = {
		{"", "a", "Lease x/node-a: l2lb.io/links is not a JSON list"},
		{"{}", "a", "is not a JSON list"},
		{"[", "a", "is not a JSON list"},
		{"[]", "", "no holderIdentity"},
		{"[1]", "a", "needs name and mac"},
		{"[{\"name\": \"eth0\"}]", "a", "needs name and mac"},
		{"[{\"name\": \"0123456789abcdef\", \"mac\": \"02:00:00:00:00:01\"}]", "a", "needs name and mac"},
		{"[{\"name\": \"eth0\", \"mac\": \"02:00:00:00:00\"}]", "a", "needs name and mac"},
		{"[{\"name\": \"eth0\", \"mac\": \"02:00:00:00:00:01\", \"addresses\": [\"1.2.3.4\"]}]", "a", "an address of eth0 is not address/length"},
		{"[{\"name\": \"eth0\", \"mac\": \"02:00:00:00:00:01\", \"addresses\": [7]}]", "a", "an address of eth0 is not address/length"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct node_record *r = NULL;
		struct error err = {""};
		assert_int_equal(decode_links(ROWS[i].annotation, ROWS[i].holder, &r, &err), -EINVAL);
		unit_contains(err.text, ROWS[i].says);
	}
}

/* What does not fit is left out; the rest counts. */
static void many_link_addresses(void **state)
{
	struct node_record *r = NULL;
	struct error err = {""};
	json_t *addresses = json_array();
	(void)state;
	for (int i = 1; i <= LINK_ADDRESSES + 3; i++)
		json_array_append_new(addresses, json_sprintf("10.0.0.%d/24", i));
	json_t *list = json_pack("[{s:s, s:s, s:o}]", "name", "eth0", "mac", "02:00:00:00:00:01", "addresses", addresses);
	char *text = json_dumps(list, 0);
	assert_int_equal(decode_links(text, "a", &r, &err), 0);
	assert_int_equal(r->links[0].n_addresses, LINK_ADDRESSES);
	node_record_free(r);
	free(text);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names), cmocka_unit_test(not_names), cmocka_unit_test(node_names_and_classes), cmocka_unit_test(decodes),
		cmocka_unit_test(decodes_a_bare_lease), cmocka_unit_test(create_body), cmocka_unit_test(holder_patch), cmocka_unit_test(successor_patch), cmocka_unit_test(drain_patch), cmocka_unit_test(other_bodies),
		cmocka_unit_test(node_links), cmocka_unit_test(bad_node_links), cmocka_unit_test(many_link_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
