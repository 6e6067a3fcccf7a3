/* L2Advertisement: rules of metallb-l2.md section 1.2. */
#include "config/advertisement.h"
#include "tests/unit/unit.h"

static struct advertisement *advertisement(const char *spec)
{
	struct advertisement *ad = NULL;
	struct error err;
	char *text = mem_printf("{'metadata': {'name': 'ad', 'namespace': 'metallb-system'}, 'spec': %s}", spec);
	json_t *json = unit_json(text);
	if (advertisement_decode(json, &ad, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	free(text);
	return ad;
}

static struct labels labels(const char *text)
{
	struct labels l;
	json_t *json = unit_json(text);
	assert_int_equal(labels_decode(json, &l, NULL), 0);
	json_decref(json);
	return l;
}

static void selects_pools(void **state)
{
	static const struct {
		const char *spec;
		bool selected;   /* the pool "p" with label tier=gold */
	} ASKED[] = {
		{"{}", true},
		{"null", true},
		{"{'ipAddressPools': []}", true},
		{"{'ipAddressPools': ['p']}", true},
		{"{'ipAddressPools': ['x', 'p']}", true},
		{"{'ipAddressPools': ['unknown']}", false},
		{"{'ipAddressPools': ['P']}", false},
		{"{'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'gold'}}]}", true},
		{"{'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'tin'}}]}", false},
		{"{'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'tin'}}, {'matchLabels': {'tier': 'gold'}}]}", true},
		{"{'ipAddressPools': ['p'], 'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'tin'}}]}", true},
		{"{'ipAddressPools': ['x'], 'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'gold'}}]}", true},
		{"{'ipAddressPools': ['x'], 'ipAddressPoolSelectors': [{'matchLabels': {'tier': 'tin'}}]}", false},
		{"{'ipAddressPoolSelectors': [{}]}", true},
	};
	struct pool *p;
	(void)state;
	assert_int_equal(pool_from_flag("name=p,1.2.3.0/24", 1, &p, NULL), 0);
	labels_set(&p->meta.labels, "tier", "gold");
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct advertisement *ad = advertisement(ASKED[i].spec);
		if (advertisement_selects_pool(ad, &p->meta) != ASKED[i].selected)
			fail_msg("%s: not %d", ASKED[i].spec, ASKED[i].selected);
		advertisement_free(ad);
	}
	pool_free(p);
}

static void selects_nodes_and_services(void **state)
{
	static const struct {
		const char *selectors, *labels;
		bool selected;
	} ASKED[] = {
		{"[]", "{}", true},
		{"[{'matchLabels': {'a': 'b'}}]", "{'a': 'b'}", true},
		{"[{'matchLabels': {'a': 'b'}}]", "{}", false},
		{"[{'matchLabels': {'a': 'b'}}, {'matchLabels': {'c': 'd'}}]", "{'c': 'd'}", true},
		{"[{}]", "{}", true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct labels l = labels(ASKED[i].labels), other = labels("{'zzz': 'zzz'}");
		char *nodes = mem_printf("{'nodeSelectors': %s}", ASKED[i].selectors), *services = mem_printf("{'serviceSelectors': %s}", ASKED[i].selectors);
		struct advertisement *ad = advertisement(nodes);
		assert_int_equal(advertisement_selects_node(ad, &l), ASKED[i].selected);
		assert_true(advertisement_selects_service(ad, &other));   /* one does not restrict the other */
		advertisement_free(ad);
		ad = advertisement(services);
		assert_int_equal(advertisement_selects_service(ad, &l), ASKED[i].selected);
		assert_true(advertisement_selects_node(ad, &other));
		advertisement_free(ad);
		labels_free(&l);
		labels_free(&other);
		free(nodes);
		free(services);
	}
}

static void scores(void **state)
{
	static const char SPEC[] = "{'nodeSelectors': [{'matchLabels': {'in': 'yes'}}], 'preferredNodeSelectors': ["
				   "{'weight': 10, 'preference': {'matchLabels': {'a': '1'}}}, {'weight': 5, 'preference': {'matchLabels': {'b': '1'}}},"
				   "{'weight': 100, 'preference': {'matchLabels': {'c': '1'}}}, {'weight': 1, 'preference': {}}]}";
	static const struct {
		const char *node;
		int score;
	} ASKED[] = {{"{'in': 'yes'}", 1}, {"{'in': 'yes', 'a': '1'}", 11}, {"{'in': 'yes', 'a': '1', 'b': '1', 'c': '1'}", 116},
		     {"{'a': '1', 'b': '1'}", 0}};
	(void)state;
	struct advertisement *ad = advertisement(SPEC), *none = advertisement("{}");
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct labels l = labels(ASKED[i].node);
		assert_int_equal(advertisement_score(ad, &l), ASKED[i].score);
		assert_int_equal(advertisement_score(none, &l), 0);
		labels_free(&l);
	}
	advertisement_free(ad);
	advertisement_free(none);
}

static void interfaces(void **state)
{
	(void)state;
	struct advertisement *ad = advertisement("{'interfaces': ['eth0', 'br-lan.7']}");
	assert_int_equal(ad->n_interfaces, 2);
	assert_string_equal(ad->interfaces[0], "eth0");
	assert_string_equal(ad->interfaces[1], "br-lan.7");
	advertisement_free(ad);
	ad = advertisement("{}");
	assert_int_equal(ad->n_interfaces, 0);
	advertisement_free(ad);
}

/* What MetalLB takes, odd as some of it is. */
static void accepts(void **state)
{
	static const char *const GOOD[] = {
		"{'interfaces': ['eth0', 'eth0', 'a-name-that-no-link-can-have']}",
		"{'ipAddressPools': ['unknown', ''], 'ipAddressPoolSelectors': null, 'preferredNodeSelectors': null, 'interfaces': null}",
		"{'preferredNodeSelectors': [{'weight': 1, 'preference': {}}, {'weight': 1, 'preference': {}}]}",
		("{'preferredNodeSelectors': [{'weight': 100, 'preference': {'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'x']}, "
		 "{'key': 'a', 'operator': 'In', 'values': ['x', 'x']}]}}]}"),
		"{'nodeSelectors': [{'matchLabels': {'a': 'b'}}, {'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['b']}]}]}",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++)
		advertisement_free(advertisement(GOOD[i]));
}

static void for_all(void **state)
{
	(void)state;
	struct advertisement *ad = advertisement_for_all();
	struct labels none = {0};
	struct pool *p;
	assert_int_equal(pool_from_flag("1.2.3.0/24", 1, &p, NULL), 0);
	assert_true(advertisement_selects_pool(ad, &p->meta));
	assert_true(advertisement_selects_node(ad, &none));
	assert_true(advertisement_selects_service(ad, &none));
	assert_int_equal(advertisement_score(ad, &none), 0);
	assert_int_equal(ad->n_interfaces, 0);
	pool_free(p);
	advertisement_free(ad);
}

static void refuses(void **state)
{
	static const struct {
		const char *object, *says;
	} BAD[] = {
		{"{}", "L2Advertisement without a name: the object has no metadata.name"},
		{"{'metadata': {'name': 'ad', 'annotations': {'x': 1}}}", "L2Advertisement ad: \"x\" must be a string"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'ipAddressPools': 'p'}}", "L2Advertisement ad: spec.ipAddressPools must be a list of strings"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'ipAddressPools': ['p', 'p']}}", "duplicate definition of \"p\""},
		{"{'metadata': {'name': 'ad'}, 'spec': []}", "L2Advertisement ad: spec must be an object"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'interfaces': 'eth0'}}", "spec.interfaces must be a list of strings"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'nodeSelectors': [{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'x']}]}]}}",
		 "spec.nodeSelectors[0]: duplicate definition of match expression value"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'serviceSelectors': [{'matchExpressions': [{'key': 'a', 'operator': 'Exists', 'values': ['x']}]}]}}",
		 "spec.serviceSelectors[0]: a label selector's operator Exists takes no values"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': {}}}", "spec.preferredNodeSelectors must be a list"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [7]}}", "[0]: weight must be a whole number from 1 to 100"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': '5', 'preference': {}}]}}", "[0]: weight must be a whole number"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': 4294967297, 'preference': {}}]}}", "from 1 to 100"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': 5, 'preference': {'matchExpressions': [{'key': 'a', 'operator': 'x'}]}}]}}",
		 "spec.preferredNodeSelectors[0]: preference: \"x\" is not a valid label selector operator"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'interfaces': ['eth0', 7]}}", "spec.interfaces must be a list of strings"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'nodeSelectors': [{}, {}]}}", "duplicate definition"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'ipAddressPoolSelectors': [{'matchExpressions': [{'key': 'a', 'operator': 'x'}]}]}}", "operator"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'serviceSelectors': {}}}", "must be a list"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': 0, 'preference': {}}]}}", "spec.preferredNodeSelectors[0]: weight must be a whole number from 1 to 100"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': 1, 'preference': {}}, {'weight': 101, 'preference': {}}]}}",
		 "[1]: weight must be a whole number from 1 to 100"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'preference': {}}]}}", "weight must be a whole number from 1 to 100"},
		{"{'metadata': {'name': 'ad'}, 'spec': {'preferredNodeSelectors': [{'weight': 5}]}}", "must be an object"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct advertisement *ad = NULL;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].object);
		if (advertisement_decode(json, &ad, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].object);
		assert_null(ad);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selects_pools), cmocka_unit_test(selects_nodes_and_services), cmocka_unit_test(scores), cmocka_unit_test(interfaces),
		cmocka_unit_test(for_all), cmocka_unit_test(accepts), cmocka_unit_test(refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
