/* The cluster as the watches tell it: what counts as newer, and which questions give which answers. */
#include "tests/unit/support.h"

static struct model model(void)
{
	struct model m;
	model_init(&m, "", false);
	return m;
}

/* metallb-l2.md section 2.2 */
static void ours(void **state)
{
	static const struct {
		const char *flag, *spec, *meta;
		bool ours;
	} ROWS[] = {
		{"", "", "", true},
		{"x/y", "", "", false},
		{"", ", 'loadBalancerClass': 'x/y'", "", false},
		{"x/y", ", 'loadBalancerClass': 'x/y'", "", true},
		{"x/z", ", 'loadBalancerClass': 'x/y'", "", false},
		{"", ", 'type': 'NodePort'", "", false},
		{"", "", ", 'deletionTimestamp': '2026-01-01T00:00:00Z'", false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct model m;
		model_init(&m, ROWS[i].flag, false);
		support_service(&m, (struct support_service){.spec = ROWS[i].spec, .meta = ROWS[i].meta});
		if (model_is_ours(&m, model_service(&m, "shop/web")) != ROWS[i].ours)
			fail_msg("flag \"%s\"%s%s", ROWS[i].flag, ROWS[i].spec, ROWS[i].meta);
		model_free(&m);
	}
}

static void services(void **state)
{
	struct model m = model();
	struct address a = support_address("10.0.0.1");
	(void)state;
	support_service(&m, (struct support_service){.version = 9, .ips = "10.0.0.1"});
	unsigned revision = m.revision;
	support_service(&m, (struct support_service){.version = 8});   /* older: ignored */
	assert_int_equal(m.revision, revision);
	assert_ptr_equal(model_ingress_user(&m, &a, NULL), model_service(&m, "shop/web"));
	assert_null(model_ingress_user(&m, &a, model_service(&m, "shop/web")));
	support_service(&m, (struct support_service){.version = 10, .uid = "new"});   /* made anew */
	assert_null(model_ingress_user(&m, &a, NULL));
	support_service(&m, (struct support_service){.version = 9, .ips = "10.0.0.1"});   /* a late answer about the old one */
	assert_string_equal(model_service(&m, "shop/web")->meta.uid, "new");
	assert_true(m.revision > revision);
	model_drop_service(&m, "shop/web");
	model_drop_service(&m, "shop/web");
	assert_null(model_service(&m, "shop/web"));
	model_free(&m);
}

static void endpoints(void **state)
{
	struct model m = model();
	(void)state;
	support_slice(&m, "s1", "web", "{'nodeName': 'a'}, {'nodeName': 'b', 'conditions': {'ready': false}}");
	support_slice(&m, "s2", "web", "{'nodeName': 'c', 'conditions': {'ready': false, 'serving': true}}, {}");
	support_slice(&m, "s3", "git", "{'nodeName': 'd'}");
	static const struct {
		const char *service, *node;
		bool has;
	} ROWS[] = {{"shop/web", NULL, true}, {"shop/web", "a", true}, {"shop/web", "b", false}, {"shop/web", "c", true}, {"shop/web", "d", false},
		    {"shop/git", "d", true}, {"shop/x", NULL, false}};
	for (size_t i = 0; i < COUNT(ROWS); i++)
		assert_int_equal(model_has_endpoint(&m, ROWS[i].service, ROWS[i].node), ROWS[i].has);
	assert_true(model_has_lasting_endpoint(&m, "shop/web", "a"));
	assert_false(model_has_lasting_endpoint(&m, "shop/web", "b"));
	assert_false(model_has_lasting_endpoint(&m, "shop/web", "c"));   /* terminating */
	support_slice(&m, "s2", "git", "{'nodeName': 'c'}");   /* it belongs to another now */
	assert_false(model_has_endpoint(&m, "shop/web", "c"));
	assert_true(model_has_endpoint(&m, "shop/git", "c"));
	model_drop_slice(&m, "shop/s1");
	assert_false(model_has_endpoint(&m, "shop/web", NULL));
	model_free(&m);
}

/* A kubelet's heartbeat is no news. */
static void node_news(void **state)
{
#define READY "{'type': 'Ready', 'status': 'True'}"
	static const struct {
		const char *labels, *conditions;
		bool news;
	} ROWS[] = {{"'a': 'b'", READY, false}, {"'a': 'b'", READY ", {'type': 'MemoryPressure', 'status': 'True'}", false}, {"'a': 'c'", READY, true},
		    {"'a': 'b'", "", true}, {"'a': 'b'", READY ", {'type': 'NetworkUnavailable', 'status': 'True'}", true}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct model m = model();
		support_node(&m, "n", "'a': 'b'", READY);
		unsigned revision = m.revision;
		const struct node *before = model_node(&m, "n");
		support_node(&m, "n", ROWS[i].labels, ROWS[i].conditions);
		assert_int_equal(m.revision != revision, ROWS[i].news);
		if (!ROWS[i].news)   /* without a new revision nobody knows that it would be another object */
			assert_ptr_equal(model_node(&m, "n"), before);
		model_drop_node(&m, "n");
		assert_null(model_node(&m, "n"));
		model_free(&m);
	}
}

static void cordon_is_news(void **state)
{
	struct model m = model();
	struct node *n = NULL;
	json_t *json = unit_json("{'metadata': {'name': 'n', 'uid': 'node-n', 'labels': {'a': 'b'}}, 'spec': {'unschedulable': true}, 'status': {'conditions': [" READY "]}}");
	(void)state;
	support_node(&m, "n", "'a': 'b'", READY);
	unsigned revision = m.revision;
	assert_int_equal(node_decode(json, &n, NULL), 0);
	model_put_node(&m, n);
	assert_true(m.revision != revision);
	assert_true(model_node(&m, "n")->cordoned);
	json_decref(json);
	model_free(&m);
}

static struct record *at_version(unsigned version, const char *uid, const char *holder)
{
	return support_record_new((struct support_record){.address = "10.0.0.1", .uid = uid, .version = version, .holder = holder});
}

static void records(void **state)
{
	struct model m = model();
	struct address a = support_address("10.0.0.1");
	(void)state;
	model_put_record(&m, at_version(5, "r1", "a"), true);
	model_put_record(&m, at_version(10, "r1", "b"), false);   /* our own write */
	model_put_record(&m, at_version(7, "r1", "c"), true);     /* an older event */
	assert_string_equal(model_record(&m, &a)->holder, "b");
	model_drop_record_object(&m, &a, "r0");
	assert_non_null(model_record(&m, &a));
	model_drop_record_object(&m, &a, "r1");
	assert_null(model_record(&m, &a));
	model_put_record(&m, at_version(7, "r1", "b"), false);    /* the watch is past it: it has gone meanwhile */
	assert_null(model_record(&m, &a));
	model_put_record(&m, at_version(12, "r2", "b"), false);
	assert_non_null(model_record(&m, &a));
	model_drop_unconfirmed(&m);                                /* a list did not have it */
	assert_null(model_record(&m, &a));
	model_put_record(&m, at_version(12, "r2", "b"), false);
	model_put_record(&m, at_version(12, "r2", "b"), true);
	model_drop_unconfirmed(&m);
	assert_non_null(model_record(&m, &a));
	support_node_record(&m, "n", "[]");
	model_drop_unconfirmed(&m);
	assert_string_equal(model_node_record(&m, "n")->node, "n");
	model_drop_node_record(&m, "node-n");
	assert_null(model_node_record(&m, "n"));
	model_free(&m);
}

/* Of two pools that overlap the older one is in use, in whatever order they come. */
static void overlapping_pools(void **state)
{
	static const char *const SPEC[] = {"'addresses': ['10.0.0.0/24']", "'addresses': ['10.0.0.128/25', '10.0.1.0/24']"};
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct model m = model();
		struct address a = support_address("10.0.0.200"), b = support_address("10.0.1.1");
		for (int i = 0; i < 2; i++) {
			int which = i ^ first;
			support_pool_aged(&m, which ? "new" : "old", which ? "02:00:00" : "01:00:00", SPEC[which]);
		}
		assert_non_null(model_pool_named(&m, "old"));
		assert_null(model_pool_named(&m, "new"));
		assert_string_equal(model_pool_of(&m, &a)->meta.name, "old");
		assert_null(model_pool_of(&m, &b));
		assert_int_equal(model_problems(&m), 1);
		unit_contains(model_problem(&m, 0).text, "IPAddressPool new: overlaps with the older pool old");
		model_drop_pool(&m, "old");
		assert_string_equal(model_pool_of(&m, &a)->meta.name, "new");
		assert_string_equal(model_pool_of(&m, &b)->meta.name, "new");
		model_free(&m);
	}
}

static void namespaces_and_advertisements(void **state)
{
	struct model m = model();
	(void)state;
	support_namespace(&m, "shop", "'team': 'x'");
	assert_string_equal(labels_get(model_namespace_labels(&m, "shop"), "team"), "x");
	support_namespace(&m, "shop", "'team': 'y'");
	assert_string_equal(labels_get(model_namespace_labels(&m, "shop"), "team"), "y");
	model_drop_namespace(&m, "shop");
	assert_null(model_namespace_labels(&m, "shop"));
	support_advertisement(&m, "a", "");
	support_advertisement(&m, "a", "'interfaces': ['eth0']");
	assert_int_equal(m.n_advertisements, 1);
	assert_int_equal(m.advertisements[0]->n_interfaces, 1);
	model_drop_advertisement(&m, "b");
	model_drop_advertisement(&m, "a");
	assert_int_equal(m.n_advertisements, 0);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours), cmocka_unit_test(services), cmocka_unit_test(endpoints), cmocka_unit_test(node_news), cmocka_unit_test(cordon_is_news),
		cmocka_unit_test(records), cmocka_unit_test(overlapping_pools), cmocka_unit_test(namespaces_and_advertisements),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
