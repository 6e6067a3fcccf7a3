/* IPAddressPool and --pool: rules of metallb-l2.md sections 1.1 and 2.6. */
#include "config/pool.h"
#include "tests/unit/unit.h"

#define POOL(spec) "{'metadata': {'name': 'p', 'namespace': 'metallb-system', 'uid': 'u', 'resourceVersion': '7'}, 'spec': " spec "}"

#define ALLOCATION(allocation) POOL("{'addresses': ['1.2.3.0/24'], 'serviceAllocation': " allocation "}")

static struct pool *pool(const char *text)
{
	struct pool *p = NULL;
	struct error err;
	json_t *json = unit_json(text);
	if (pool_decode(json, &p, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return p;
}

static struct pool *flag(const char *text, unsigned nth)
{
	struct pool *p = NULL;
	struct error err;
	if (pool_from_flag(text, nth, &p, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return p;
}

static void decodes(void **state)
{
	(void)state;
	struct pool *p = pool(POOL("{'addresses': ['192.168.1.0/24', '10.0.0.1-10.0.0.9', '1000::/127']}"));
	assert_string_equal(p->meta.key, "metallb-system/p");
	assert_string_equal(p->meta.resource_version, "7");
	assert_int_equal(p->n_ranges, 3);
	assert_true(p->auto_assign);
	assert_false(p->avoid_buggy_ips);
	assert_false(p->restricted);
	assert_int_equal(p->priority, 0);
	pool_free(p);
	p = pool(POOL("{'addresses': ['192.168.1.0/24'], 'autoAssign': false, 'avoidBuggyIPs': true, 'serviceAllocation': {'priority': 50, "
		      "'namespaces': ['a', 'b'], 'namespaceSelectors': [{'matchLabels': {'x': 'y'}}], 'serviceSelectors': [{}]}}"));
	assert_false(p->auto_assign);
	assert_true(p->avoid_buggy_ips);
	assert_true(p->restricted);
	assert_int_equal(p->priority, 50);
	assert_int_equal(p->n_namespaces, 2);
	assert_int_equal(p->namespace_selectors.n, 1);
	assert_int_equal(p->service_selectors.n, 1);
	pool_free(p);
}

static void refuses(void **state)
{
	static const struct {
		const char *object, *says;
	} BAD[] = {
		{"{'spec': {'addresses': ['1.2.3.0/24']}}", "IPAddressPool without a name: the object has no metadata.name"},
		{"{'metadata': {'name': ''}, 'spec': {'addresses': ['1.2.3.0/24']}}", "has no metadata.name"},
		{"{'metadata': {'name': 'p', 'labels': {'a': 1}}, 'spec': {'addresses': ['1.2.3.0/24']}}", "IPAddressPool p: \"a\" must be a string"},
		{"{'metadata': {'name': 'p'}}", "IPAddressPool p: pool has no prefixes defined"},
		{POOL("{}"), "pool has no prefixes defined"},
		{POOL("{'addresses': []}"), "pool has no prefixes defined"},
		{POOL("null"), "pool has no prefixes defined"},
		{POOL("[]"), "IPAddressPool p: spec must be an object"},
		{POOL("{'addresses': null}"), "pool has no prefixes defined; give spec.addresses a CIDR or a range"},
		{POOL("{'addresses': '1.2.3.0/24'}"), "spec.addresses must be a list of strings"},
		{POOL("{'addresses': {'a': '1.2.3.0/24'}}"), "spec.addresses must be a list of strings"},
		{POOL("{'addresses': ['1.2.3.0/24', 1]}"), "spec.addresses must be a list of strings; put quotes around its entry number 2"},
		{POOL("{'addresses': ['1.2.3.4']}"), "IPAddressPool p: invalid CIDR \"1.2.3.4\": it has no prefix length; write 1.2.3.4/32"},
		{POOL("{'addresses': [' 1.2.3.0/24']}"), "invalid CIDR \" 1.2.3.0/24\": remove the blanks"},
		{POOL("{'addresses': ['1.2.3.9-1.2.3.1']}"), "IPAddressPool p: invalid CIDR \"1.2.3.9-1.2.3.1\": invalid IP range: start IP 1.2.3.9 is after the "
		 "end IP 1.2.3.1; swap them"},
		{POOL("{'addresses': ['1.2.3.4-::1']}"), "different families"},
		{POOL("{'addresses': ['1.2.3.4-fd00::1']}"), "different families"},
		{POOL("{'addresses': ['1.2.3.0/24', '1.2.3.7-1.2.3.9']}"),
		 "IPAddressPool p: CIDR \"1.2.3.7-1.2.3.9\" overlaps with already defined CIDR \"1.2.3.0/24\" of the same pool; remove one"},
		{POOL("{'addresses': ['1.2.3.7-1.2.3.9', 'fd00::/64', '9.9.9.9/32', '1.2.3.100/24']}"),
		 "CIDR \"1.2.3.0/24\" overlaps with already defined CIDR \"1.2.3.7-1.2.3.9\""},
		{POOL("{'addresses': ['fd00::/64', 'fd00::5/128']}"), "CIDR \"fd00::5/128\" overlaps with already defined CIDR \"fd00::/64\""},
		{POOL("{'addresses': ['1.2.3.4/32', '1.2.3.4-1.2.3.4']}"), "overlaps with already defined CIDR \"1.2.3.4/32\""},
		{POOL("{'addresses': ['1.2.3.4/32', '::ffff:1.2.3.4/128']}"), "overlaps with already defined CIDR \"1.2.3.4/32\""},
		{POOL("{'addresses': ['1.2.3.0/24'], 'autoAssign': 'yes'}"), "spec.autoAssign must be true or false"},
		{POOL("{'addresses': ['1.2.3.0/24'], 'avoidBuggyIPs': 1}"), "spec.avoidBuggyIPs must be true or false"},
		{POOL("{'addresses': ['1.2.3.0/24'], 'serviceAllocation': []}"), "spec.serviceAllocation must be an object"},
		{ALLOCATION("{'priority': '5'}"), "spec.serviceAllocation.priority must be a whole number"},
		{ALLOCATION("{'priority': 1.5}"), "spec.serviceAllocation.priority must be a whole number"},
		{ALLOCATION("{'namespaces': 'a'}"), "spec.serviceAllocation.namespaces must be a list of strings"},
		{ALLOCATION("{'namespaces': ['a', 'b', 'a']}"), "IPAddressPool p: duplicate definition of \"a\" in spec.serviceAllocation.namespaces; name it once"},
		{ALLOCATION("{'namespaceSelectors': {}}"), "spec.serviceAllocation.namespaceSelectors must be a list"},
		{ALLOCATION("{'namespaceSelectors': [{}, {}]}"), "spec.serviceAllocation.namespaceSelectors[1]: duplicate definition"},
		{ALLOCATION("{'serviceSelectors': [{'matchLabels': {'a': 'b'}}, {'matchLabels': {'a': 'b'}}]}"),
		 "spec.serviceAllocation.serviceSelectors[1]: duplicate definition"},
		{ALLOCATION("{'serviceSelectors': [{'matchExpressions': [{'key': 'a', 'operator': '?'}]}]}"),
		 "serviceSelectors[0]: \"?\" is not a valid label selector operator; write In"},
		{ALLOCATION("{'namespaceSelectors': [{'matchExpressions': [{'key': 'a', 'operator': 'In'}]}]}"), "namespaceSelectors[0]: a label selector's operator In needs values"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct pool *p = NULL;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].object);
		if (pool_decode(json, &p, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].object);
		assert_null(p);
		unit_contains(err.text, BAD[i].says);
		unit_contains(err.text, "IPAddressPool");
		assert_null(strchr(err.text, '\n'));
		json_decref(json);
	}
}

/* What MetalLB takes, odd as some of it is; also the text that comes back as one range of a pool of both families. */
static void accepts(void **state)
{
	static const struct {
		const char *object;
		size_t ranges;
	} GOOD[] = {
		{POOL("{'addresses': ['192.168.1.0/24', 'fd00::/120', '10.0.0.1 - 10.0.0.9', 'fd01::1-fd01::9']}"), 4},
		{POOL("{'addresses': ['192.168.10.100/24', '192.168.11.0/024', '::ffff:192.168.12.0/120']}"), 3},
		{POOL("{'addresses': ['1.2.3.4-1.2.3.4', '1.2.3.5/32', '1.2.3.6-1.2.3.6'], 'autoAssign': null, 'avoidBuggyIPs': null, 'serviceAllocation': null}"), 3},
		{POOL("{'addresses': ['0.0.0.0/0', '::/0']}"), 2},
		{ALLOCATION("{'priority': -3, 'namespaces': ['', 'Not_A_Name']}"), 1},
		{ALLOCATION("{'priority': null, 'namespaces': null, 'namespaceSelectors': null, 'serviceSelectors': []}"), 1},
		{ALLOCATION("{'namespaceSelectors': [{'matchLabels': {'a': ''}}, {'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['']}]}]}"), 1},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		struct pool *p = pool(GOOD[i].object);
		assert_int_equal(p->n_ranges, GOOD[i].ranges);
		pool_free(p);
	}
}

static void counts(void **state)
{
	static const struct {
		const char *addresses;
		bool avoid;
		int64_t all, v4, v6;
	} SIZES[] = {
		{"['1.2.3.0/24']", false, 256, 256, 0},
		{"['1.2.3.0/24']", true, 254, 254, 0},
		{"['1.2.3.0/24', '1.2.4.0/25']", false, 384, 384, 0},
		{"['1.2.3.0/24', '1.2.4.0/25']", true, 381, 381, 0},
		{"['1.2.3.0/31', '1000::/127']", false, 4, 2, 2},
		{"['1.2.3.0/31', '1000::/127']", true, 3, 1, 2},
		{"['1.2.3.0/24', '1000::/120']", true, 510, 254, 256},
		{"['1.2.3.0/25', '1.2.3.128/25']", true, 254, 254, 0},
		{"['1.2.3.254/31']", true, 1, 1, 0},
		{"['1.2.3.0/26', '1.2.3.64-1.2.3.255']", true, 254, 254, 0},
		{"['10.0.0.0/22', '10.0.4.255-10.0.5.0']", true, 1024 - 8, 1024 - 8, 0},
		{"['1000::/66']", false, INT64_C(1) << 62, 0, INT64_C(1) << 62},
		{"['1.2.3.128/25']", true, 127, 127, 0},
		{"['1.2.3.0/32']", true, 0, 0, 0},
		{"['1.2.3.255/32']", true, 0, 0, 0},
		{"['1.2.3.1-1.2.3.254']", true, 254, 254, 0},
		{"['1.2.3.255-1.2.4.0']", true, 0, 0, 0},
		{"['1.2.3.250-1.2.5.5']", true, 264, 264, 0},   /* without .3.255 .4.0 .4.255 .5.0 */
		{"['10.0.0.0/16']", true, 65536 - 512, 65536 - 512, 0},
		{"['0.0.0.0/0']", true, (INT64_C(1) << 32) - (2 << 24), (INT64_C(1) << 32) - (2 << 24), 0},
		{"['1000::/120']", true, 256, 0, 256},
		{"['1000::/64', '1.2.3.0/24']", false, INT64_MAX, 256, INT64_MAX},
		{"['1000::/66', '2000::/66', '3000::/66']", false, INT64_MAX, 0, INT64_MAX},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(SIZES); i++) {
		char *text = mem_printf("{'metadata': {'name': 'p'}, 'spec': {'addresses': %s, 'avoidBuggyIPs': %s}}", SIZES[i].addresses,
					SIZES[i].avoid ? "true" : "false");
		struct pool *p = pool(text);
		int64_t all = pool_size(p, ADDRESS_NONE);
		if (all != SIZES[i].all)
			fail_msg("%s: %lld addresses", text, (long long)all);
		assert_int_equal(pool_size(p, ADDRESS_V4), SIZES[i].v4);
		assert_int_equal(pool_size(p, ADDRESS_V6), SIZES[i].v6);
		pool_free(p);
		free(text);
	}
}

/* The counter must agree with what may really be handed out. */
static void counts_what_it_contains(void **state)
{
	static const char *const RANGES[] = {"1.2.3.0/24", "1.2.3.0-1.2.3.0", "1.2.3.1-1.2.3.1", "1.2.2.255-1.2.4.0", "1.2.0.0/22", "1.2.3.200-1.2.3.255",
					     "1.2.3.254-1.2.4.254", "1.2.3.254-1.2.4.255"};
	(void)state;
	for (size_t i = 0; i < COUNT(RANGES); i++) {
		char *text = mem_printf("%s,avoidBuggyIPs=true", RANGES[i]);
		struct pool *p = flag(text, 1);
		int64_t n = 0;
		for (uint32_t v4 = 0x01020000; v4 < 0x01020800; v4++) {
			struct address a = address_from_v4(v4);
			n += pool_contains(p, &a);
		}
		assert_int_equal(pool_size(p, ADDRESS_V4), n);
		pool_free(p);
		free(text);
	}
}

static void contains(void **state)
{
	static const struct {
		const char *address;
		bool in, in_avoiding;
	} ASKED[] = {
		{"192.168.1.0", true, false}, {"192.168.1.1", true, true}, {"192.168.1.255", true, false}, {"192.168.2.0", false, false},
		{"10.0.0.255", true, false}, {"1000::", true, true}, {"1000::ff", true, true}, {"1000::100", false, false}, {"2000::1", false, false},
	};
	(void)state;
	struct pool *plain = flag("192.168.1.0/24,10.0.0.250-10.0.1.3,1000::/120", 1);
	struct pool *avoiding = flag("192.168.1.0/24,10.0.0.250-10.0.1.3,1000::/120,avoidBuggyIPs=true", 1);
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct address a;
		assert_int_equal(address_parse(ASKED[i].address, &a, NULL), 0);
		assert_int_equal(pool_contains(plain, &a), ASKED[i].in);
		assert_int_equal(pool_contains(avoiding, &a), ASKED[i].in_avoiding);
	}
	struct pool *touching = flag("1.1.1.1-1.1.1.1,10.0.1.3-10.0.1.9", 1), *apart = flag("192.168.2.0/24", 1);
	assert_true(pool_overlaps(plain, touching));
	assert_true(pool_overlaps(touching, plain));
	assert_false(pool_overlaps(plain, apart));
	pool_free(plain);
	pool_free(avoiding);
	pool_free(touching);
	pool_free(apart);
}

static void flags(void **state)
{
	static const struct {
		const char *text, *name;
		unsigned nth;
		size_t ranges;
		bool auto_assign, avoid;
	} GOOD[] = {
		{"192.168.1.100-192.168.1.150", "default-pool", 1, 1, true, false},
		{"192.168.1.0/24", "pool-2", 2, 1, true, false},
		{"192.168.1.0/24,10.0.0.0/8,1000::/64", "default-pool", 1, 3, true, false},
		{"name=lan,192.168.1.0/24", "lan", 3, 1, true, false},
		{"192.168.1.0/24,autoAssign=false,avoidBuggyIPs=true,name=x", "x", 1, 1, false, true},
		{"autoAssign=true,192.168.1.0/24,avoidBuggyIPs=false", "default-pool", 1, 1, true, false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		struct pool *p = flag(GOOD[i].text, GOOD[i].nth);
		assert_string_equal(p->meta.name, GOOD[i].name);
		assert_string_equal(p->meta.key, GOOD[i].name);
		assert_int_equal(p->n_ranges, GOOD[i].ranges);
		assert_int_equal(p->auto_assign, GOOD[i].auto_assign);
		assert_int_equal(p->avoid_buggy_ips, GOOD[i].avoid);
		assert_false(p->restricted);
		pool_free(p);
	}
	static const struct {
		const char *text, *says;
	} BAD[] = {
		{"", "no prefix length"}, {"name=x", "no address range"}, {"192.168.1.0/24,", "no prefix length"}, {"192.168.1.4", "no prefix length"},
		{"192.168.1.0/24,192.168.1.9-192.168.1.9", "overlaps"}, {"192.168.1.0/24,name=", "unknown pool option"},
		{"192.168.1.0/24,autoAssign=no", "autoAssign must be true or false"}, {"192.168.1.0/24,color=red", "unknown pool option \"color\""},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct pool *p = NULL;
		struct error err = {""};
		if (pool_from_flag(BAD[i].text, 1, &p, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", BAD[i].text);
		assert_null(p);
		unit_contains(err.text, BAD[i].says);
	}
}

static void admits(void **state)
{
	static const struct {
		const char *allocation, *name_space, *namespace_labels, *service_labels;
		bool admitted;
	} ASKED[] = {
		{"null", "a", "{}", "{}", true},
		{"{}", "a", "{}", "{}", true},
		{"{'priority': 5}", "a", "{}", "{}", true},
		{"{'namespaces': ['a', 'b']}", "a", "{}", "{}", true},
		{"{'namespaces': ['a', 'b']}", "c", "{}", "{}", false},
		{"{'namespaceSelectors': [{'matchLabels': {'x': 'y'}}]}", "c", "{'x': 'y'}", "{}", true},
		{"{'namespaceSelectors': [{'matchLabels': {'x': 'y'}}]}", "c", "{'x': 'z'}", "{}", false},
		{"{'namespaceSelectors': [{'matchLabels': {'x': 'y'}}]}", "c", NULL, "{}", false},
		{"{'namespaces': ['a'], 'namespaceSelectors': [{'matchLabels': {'x': 'y'}}]}", "a", "{}", "{}", true},
		{"{'namespaces': ['a'], 'namespaceSelectors': [{'matchLabels': {'x': 'y'}}]}", "c", "{'x': 'y'}", "{}", true},
		{"{'namespaces': ['a'], 'namespaceSelectors': [{}]}", "a", NULL, "{}", true},
		{"{'serviceSelectors': [{'matchLabels': {'s': 't'}}]}", "a", "{}", "{'s': 't'}", true},
		{"{'serviceSelectors': [{'matchLabels': {'s': 't'}}]}", "a", "{}", "{}", false},
		{"{'namespaces': ['a'], 'serviceSelectors': [{'matchLabels': {'s': 't'}}]}", "a", "{}", "{}", false},
		{"{'namespaces': ['a'], 'serviceSelectors': [{'matchLabels': {'s': 't'}}]}", "b", "{}", "{'s': 't'}", false},
		{"{'namespaces': ['a'], 'serviceSelectors': [{'matchLabels': {'q': 'q'}}, {'matchLabels': {'s': 't'}}]}", "a", "{}", "{'s': 't'}", true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		char *text = mem_printf("{'metadata': {'name': 'p'}, 'spec': {'addresses': ['1.2.3.0/24'], 'serviceAllocation': %s}}", ASKED[i].allocation);
		struct pool *p = pool(text);
		struct labels ns = {0}, service;
		json_t *ns_json = ASKED[i].namespace_labels ? unit_json(ASKED[i].namespace_labels) : NULL, *service_json = unit_json(ASKED[i].service_labels);
		labels_decode(ns_json, &ns, NULL);
		labels_decode(service_json, &service, NULL);
		if (pool_admits(p, ASKED[i].name_space, ASKED[i].namespace_labels ? &ns : NULL, &service) != ASKED[i].admitted)
			fail_msg("row %zu: %s in %s: not %d", i, ASKED[i].allocation, ASKED[i].name_space, ASKED[i].admitted);
		labels_free(&ns);
		labels_free(&service);
		json_decref(ns_json);
		json_decref(service_json);
		pool_free(p);
		free(text);
	}
}

static void orders(void **state)
{
	static const struct {
		const char *name, *allocation;
	} ORDER[] = {{"y", "{'priority': -5000000000}"}, {"z", "{'priority': -1}"}, {"m", "{'priority': 1}"}, {"n", "{'priority': 1}"}, {"a", "{'priority': 20}"},
		     {"a", "{'priority': 4294967296}"}, {"b", "{}"},
		     {"c", "{'priority': 0}"}, {"a", "null"}, {"d", "null"}};
	struct pool *pools[COUNT(ORDER)];
	(void)state;
	for (size_t i = 0; i < COUNT(ORDER); i++) {
		char *text = mem_printf("{'metadata': {'name': '%s'}, 'spec': {'addresses': ['1.2.3.0/24'], 'serviceAllocation': %s}}", ORDER[i].name,
					ORDER[i].allocation);
		pools[i] = pool(text);
		free(text);
	}
	for (size_t i = 0; i < COUNT(ORDER); i++)
		for (size_t j = 0; j < COUNT(ORDER); j++) {
			int order = pool_compare(pools[i], pools[j]);
			if ((order > 0) - (order < 0) != (i > j) - (i < j))
				fail_msg("pools %zu and %zu: %d", i, j, order);
		}
	for (size_t i = 0; i < COUNT(ORDER); i++)
		pool_free(pools[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes), cmocka_unit_test(accepts), cmocka_unit_test(refuses), cmocka_unit_test(counts), cmocka_unit_test(counts_what_it_contains),
		cmocka_unit_test(contains), cmocka_unit_test(flags), cmocka_unit_test(admits), cmocka_unit_test(orders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
