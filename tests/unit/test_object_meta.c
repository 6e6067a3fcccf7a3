/* metadata of objects, and the order of resourceVersions. */
#include "config/object_meta.h"
#include "tests/unit/unit.h"

static struct object_meta meta(const char *text)
{
	struct object_meta m;
	struct error err;
	json_t *json = unit_json(text);
	if (object_meta_decode(json, &m, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return m;
}

static void decodes(void **state)
{
	(void)state;
	struct object_meta m = meta("{'metadata': {'name': 'web', 'namespace': 'shop', 'uid': 'u-1', 'resourceVersion': '12', 'labels': {'a': 'b'}, "
				    "'creationTimestamp': '2026-11-01T00:00:00Z', 'annotations': {'c': 'd'}, 'deletionTimestamp': '2026-11-02T00:00:00Z'}}");
	assert_string_equal(m.key, "shop/web");
	assert_string_equal(m.name_space, "shop");
	assert_string_equal(m.name, "web");
	assert_string_equal(m.uid, "u-1");
	assert_string_equal(m.resource_version, "12");
	assert_string_equal(m.created, "2026-11-01T00:00:00Z");
	assert_true(m.deleting);
	assert_string_equal(labels_get(&m.labels, "a"), "b");
	assert_string_equal(labels_get(&m.annotations, "c"), "d");
	object_meta_free(&m);
	m = meta("{'metadata': {'name': 'node1', 'labels': null, 'deletionTimestamp': null}}");
	assert_string_equal(m.key, "node1");
	assert_string_equal(m.name_space, "");
	assert_string_equal(m.uid, "");
	assert_string_equal(m.created, "");
	assert_false(m.deleting);
	assert_int_equal(m.labels.n, 0);
	object_meta_free(&m);
}

static void refuses(void **state)
{
	static const struct {
		const char *object, *says;
	} BAD[] = {
		{"{}", "no metadata.name"}, {"[]", "no metadata.name"}, {"'x'", "no metadata.name"}, {"{'metadata': []}", "no metadata.name"},
		{"{'metadata': {}}", "no metadata.name"}, {"{'metadata': {'name': ''}}", "no metadata.name"}, {"{'metadata': {'name': 7}}", "no metadata.name"},
		{"{'metadata': {'name': 'x', 'labels': {'a': 7}}}", "\"a\" must be a string"}, {"{'metadata': {'name': 'x', 'labels': []}}", "maps of strings"},
		{"{'metadata': {'name': 'x', 'labels': {'a': 'b'}, 'annotations': {'c': {}}}}", "\"c\" must be a string"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct object_meta m;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].object);
		if (object_meta_decode(json, &m, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].object);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
}

static void keys(void **state)
{
	static const struct {
		const char *object, *key;
	} KEYS[] = {{"{'metadata': {'name': 'a', 'namespace': 'n'}}", "n/a"}, {"{'metadata': {'name': 'a', 'namespace': ''}}", "a"},
		    {"{'metadata': {'name': 'a'}}", "a"}, {"{'metadata': {'namespace': 'n'}}", NULL}, {"null", NULL}};
	(void)state;
	for (size_t i = 0; i < COUNT(KEYS); i++) {
		json_t *json = unit_json(KEYS[i].object);
		char *key = object_key(json);
		if (KEYS[i].key)
			assert_string_equal(key, KEYS[i].key);
		else
			assert_null(key);
		free(key);
		json_decref(json);
	}
}

static void ages(void **state)
{
	static const char *const ORDER[] = {
		"{'metadata': {'name': 'z', 'namespace': 'z', 'creationTimestamp': '2025-12-31T23:59:59Z'}}",
		"{'metadata': {'name': 'b', 'namespace': 'a', 'creationTimestamp': '2026-01-01T00:00:00Z'}}",
		"{'metadata': {'name': 'a', 'namespace': 'b', 'creationTimestamp': '2026-01-01T00:00:00Z'}}",
		"{'metadata': {'name': 'b', 'namespace': 'b', 'creationTimestamp': '2026-01-01T00:00:00Z'}}",
		"{'metadata': {'name': 'a', 'namespace': 'a', 'creationTimestamp': '2026-01-01T00:00:01Z'}}",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ORDER); i++)
		for (size_t j = 0; j < COUNT(ORDER); j++) {
			struct object_meta a = meta(ORDER[i]), b = meta(ORDER[j]);
			int order = object_meta_compare_age(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			object_meta_free(&a);
			object_meta_free(&b);
		}
}

static void versions(void **state)
{
	static const char *const ORDER[] = {NULL, "0", "1", "9", "10", "99", "100", "18446744073709551615", "18446744073709551616",
					    "340282366920938463463374607431768211456", "340282366920938463463374607431768211457"};
	(void)state;
	for (size_t i = 0; i < COUNT(ORDER); i++)
		for (size_t j = 0; j < COUNT(ORDER); j++) {
			int order = resource_version_compare(ORDER[i], ORDER[j]);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	assert_int_equal(resource_version_compare("", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes), cmocka_unit_test(refuses), cmocka_unit_test(keys), cmocka_unit_test(ages), cmocka_unit_test(versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
