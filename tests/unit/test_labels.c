/* Label maps, label selectors, lists of strings. */
#include "config/labels.h"
#include "tests/unit/unit.h"

static struct labels labels(const char *text)
{
	struct labels l;
	struct error err;
	json_t *json = unit_json(text);
	if (labels_decode(json, &l, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(json);
	return l;
}

static void decodes_maps(void **state)
{
	(void)state;
	struct labels l = labels("{'b': '2', 'a': '', 'c/d.e': 'x'}");
	assert_int_equal(l.n, 3);
	assert_string_equal(l.items[0].key, "b");   /* the object's order */
	assert_string_equal(labels_get(&l, "b"), "2");
	assert_string_equal(labels_get(&l, "a"), "");
	assert_null(labels_get(&l, "B"));
	labels_set(&l, "b", "3");
	labels_set(&l, "new", "4");
	assert_int_equal(l.n, 4);
	assert_string_equal(labels_get(&l, "b"), "3");
	assert_string_equal(labels_get(&l, "new"), "4");
	labels_free(&l);
	assert_int_equal(l.n, 0);
	struct error err;
	assert_int_equal(labels_decode(NULL, &l, &err), 0);
	assert_int_equal(l.n, 0);
	json_t *null = json_null();
	assert_int_equal(labels_decode(null, &l, &err), 0);
	assert_int_equal(l.n, 0);
}

static void refuses_other_maps(void **state)
{
	static const char *const BAD[] = {"[]", "'x'", "7", "{'a': 1}", "{'a': 'x', 'b': null}", "{'a': {'b': 'c'}}"};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct labels l;
		struct error err = {""};
		json_t *json = unit_json(BAD[i]);
		assert_int_equal(labels_decode(json, &l, &err), -EINVAL);
		assert_int_equal(l.n, 0);
		unit_contains(err.text, "string");
		json_decref(json);
	}
}

static void compares_maps(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} PAIRS[] = {{"{}", "{}", true}, {"{'a': '1'}", "{'a': '1'}", true}, {"{'a': '1', 'b': '2'}", "{'b': '2', 'a': '1'}", true},
		     {"{'a': '1'}", "{'a': '2'}", false}, {"{'a': '1'}", "{'b': '1'}", false}, {"{'a': '1'}", "{'a': '1', 'b': '2'}", false}};
	(void)state;
	for (size_t i = 0; i < COUNT(PAIRS); i++) {
		struct labels a = labels(PAIRS[i].a), b = labels(PAIRS[i].b);
		assert_int_equal(labels_equal(&a, &b), PAIRS[i].equal);
		assert_int_equal(labels_equal(&b, &a), PAIRS[i].equal);
		labels_free(&a);
		labels_free(&b);
	}
}

static void selects(void **state)
{
	static const struct {
		const char *selector, *labels;
		bool match;
	} ASKED[] = {
		{"{}", "{}", true},
		{"{}", "{'a': 'b'}", true},
		{"{'matchLabels': {'a': 'b'}}", "{'a': 'b', 'c': 'd'}", true},
		{"{'matchLabels': {'a': 'b'}}", "{'a': 'c'}", false},
		{"{'matchLabels': {'a': 'b'}}", "{}", false},
		{"{'matchLabels': {'a': 'b', 'c': 'd'}}", "{'a': 'b'}", false},
		{"{'matchLabels': {'a': ''}}", "{'a': ''}", true},
		{"{'matchLabels': {'a': ''}}", "{}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'y']}]}", "{'a': 'y'}", true},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'y']}]}", "{'a': 'z'}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x']}]}", "{}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'NotIn', 'values': ['x']}]}", "{'a': 'x'}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'NotIn', 'values': ['x']}]}", "{'a': 'y'}", true},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'NotIn', 'values': ['x']}]}", "{}", true},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}]}", "{'a': ''}", true},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}]}", "{'b': ''}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'DoesNotExist'}]}", "{'a': ''}", false},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'DoesNotExist', 'values': []}]}", "{}", true},
		{"{'matchLabels': {'a': 'b'}, 'matchExpressions': [{'key': 'c', 'operator': 'Exists'}]}", "{'a': 'b', 'c': 'd'}", true},
		{"{'matchLabels': {'a': 'b'}, 'matchExpressions': [{'key': 'c', 'operator': 'Exists'}]}", "{'a': 'b'}", false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct selector s;
		struct error err = {""};
		json_t *json = unit_json(ASKED[i].selector);
		if (selector_decode(json, &s, &err) < 0)
			fail_msg("%s", err.text);
		struct labels l = labels(ASKED[i].labels);
		if (selector_matches(&s, &l) != ASKED[i].match)
			fail_msg("%s on %s: not %d", ASKED[i].selector, ASKED[i].labels, ASKED[i].match);
		labels_free(&l);
		selector_free(&s);
		json_decref(json);
	}
}

static void refuses_bad_selectors(void **state)
{
	static const struct {
		const char *selector, *says;
	} BAD[] = {
		{"'a=b'", "must be an object"},
		{"{'matchLabels': {'a': 1}}", "must be a string"},
		{"{'matchExpressions': [{'operator': 'Exists'}]}", "need key and operator"},
		{"{'matchExpressions': [{'key': '', 'operator': 'Exists'}]}", "need key and operator"},
		{"{'matchExpressions': [{'key': 'a'}]}", "need key and operator"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'Like', 'values': ['x']}]}", "\"Like\" is not a valid label selector operator"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'in', 'values': ['x']}]}", "write In, NotIn, Exists or DoesNotExist"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 7}]}", "need key and operator"},
		{"{'matchExpressions': [7]}", "need key and operator"},
		{"{'matchExpressions': {'key': 'a', 'operator': 'Exists'}}", "matchExpressions must be a list"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': 'x'}]}", "values must be a list of strings"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 7]}]}", "put quotes around its entry number 2"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x y']}]}", "\"x y\" is not a label value"},
		{"{'matchExpressions': [{'key': 'a b', 'operator': 'Exists'}]}", "\"a b\" is not a label key"},
		{"{'matchLabels': {'a': '-x'}}", "\"-x\" is not a label value"},
		{"{'matchLabels': {'a/b/c': 'x'}}", "\"a/b/c\" is not a label key"},
		{"{'matchLabels': ['a']}", "matchLabels"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'In'}]}", "In needs values"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'NotIn', 'values': []}]}", "NotIn needs values"},
		{"{'matchExpressions': [{'key': 'a', 'operator': 'Exists', 'values': ['x']}]}", "Exists takes no values"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct selector s;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].selector);
		if (selector_decode(json, &s, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].selector);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
}

static void lists_of_selectors(void **state)
{
	static const struct {
		const char *list, *labels;
		bool match, match_if_empty;
	} ASKED[] = {
		{"[]", "{'a': 'b'}", false, true},
		{"null", "{'a': 'b'}", false, true},
		{"[{'matchLabels': {'a': 'x'}}, {'matchLabels': {'a': 'b'}}]", "{'a': 'b'}", true, true},
		{"[{'matchLabels': {'a': 'x'}}]", "{'a': 'b'}", false, false},
		{"[{}]", "{}", true, true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct selectors s;
		struct error err = {""};
		json_t *json = unit_json(ASKED[i].list);
		struct labels l = labels(ASKED[i].labels);
		assert_int_equal(selectors_decode(json, "spec.x", &s, &err), 0);
		assert_int_equal(selectors_match(&s, &l, false), ASKED[i].match);
		assert_int_equal(selectors_match(&s, &l, true), ASKED[i].match_if_empty);
		labels_free(&l);
		selectors_free(&s);
		json_decref(json);
	}
	static const struct {
		const char *list, *says;
	} BAD[] = {
		{"{}", "spec.x must be a list of label selectors"}, {"[{}, 'x']", "spec.x[1]: a label selector must be an object"},
		{"[null]", "spec.x[0]: a label selector must be an object"},
		{"[{'matchLabels': {'a': 'b'}}, {'matchLabels': {'a': 'b'}}]", "spec.x[1]: duplicate definition of a label selector"},
		{"[{}, {'matchLabels': {}, 'matchExpressions': []}]", "duplicate definition of a label selector"},
		{"[{'matchLabels': {'a': 'b', 'c': 'd'}}, {}, {'matchLabels': {'c': 'd', 'a': 'b'}}]", "spec.x[2]: duplicate definition"},
		{"[{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'y']}]}, {'matchExpressions': [{'key': 'a', 'operator': 'In', "
		 "'values': ['y', 'x']}]}]", "duplicate definition of a label selector"},
		{"[{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'y', 'x']}]}]", "duplicate definition of match expression value \"x\""},
		{"[{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}, {'key': 'a', 'operator': 'Exists'}]}]", "duplicate definition of a match expression"},
		{"[{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['x', 'y']}, {'key': 'a', 'operator': 'In', 'values': ['y', 'x']}]}]",
		 "duplicate definition of a match expression"},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct selectors s;
		struct error err = {""};
		json_t *json = unit_json(BAD[i].list);
		if (selectors_decode(json, "spec.x", &s, &err) != -EINVAL)
			fail_msg("%s was accepted", BAD[i].list);
		assert_int_equal(s.n, 0);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
	/* Different enough for MetalLB. */
	static const char *const GOOD[] = {
		"[{'matchLabels': {'a': 'b'}}, {'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['b']}]}]",
		("[{'matchExpressions': [{'key': 'a', 'operator': 'Exists'}, {'key': 'b', 'operator': 'Exists'}]}, "
		 "{'matchExpressions': [{'key': 'b', 'operator': 'Exists'}, {'key': 'a', 'operator': 'Exists'}]}]"),
		"[{'matchLabels': {'a': 'b'}, 'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['b']}]}]",
		"[{'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['b']}, {'key': 'a', 'operator': 'NotIn', 'values': ['b']}]}]",
		"[{'matchExpressions': null}, {'matchLabels': {'a': ''}}]",
	};
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		struct selectors s;
		struct error err = {""};
		json_t *json = unit_json(GOOD[i]);
		if (selectors_decode(json, "spec.x", &s, &err) < 0)
			fail_msg("%s: %s", GOOD[i], err.text);
		selectors_free(&s);
		json_decref(json);
	}
}

/* Kubernetes' syntax of label keys and values; of 63 and 64 characters too. */
static void label_syntax(void **state)
{
#define C63 "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"
	static const struct {
		const char *key, *value;
		bool good;
	} ASKED[] = {
		{"a", "", true}, {"a", "b", true}, {"A.b_c-9", "A.b_c-9", true}, {"kubernetes.io/hostname", "worker-1", true}, {"a.b-c.d/x", "1", true},
		{"9/9", "9", true}, {C63, C63, true}, {C63 "." C63 "/" C63, "x", true}, {C63 C63 "/x", "x", true},
		{"", "x", false}, {"-a", "x", false}, {"a-", "x", false}, {"a b", "x", false}, {"/a", "x", false}, {"a/", "x", false}, {"a/b/c", "x", false},
		{"A.b/c", "x", false}, {"a..b/c", "x", false}, {".a/c", "x", false}, {"a./c", "x", false}, {"-a/c", "x", false}, {"a-/c", "x", false},
		{"a-.b/c", "x", false}, {"a.-b/c", "x", false}, {"a_b/c", "x", false}, {C63 "d", "x", false}, {C63 "." C63 "." C63 "." C63 "/x", "x", false},
		{"\u00e9", "x", false}, {"a", "-x", false}, {"a", "x-", false}, {"a", "x y", false}, {"a", "x/y", false}, {"a", C63 "d", false},
		{"a", "\u00e9", false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct selector s;
		struct error err = {""};
		json_t *json = json_pack("{s:{s:s}}", "matchLabels", ASKED[i].key, ASKED[i].value);
		if ((selector_decode(json, &s, &err) == 0) != ASKED[i].good)
			fail_msg("%s=%s: not %d %s", ASKED[i].key, ASKED[i].value, ASKED[i].good, err.text);
		selector_free(&s);
		json_decref(json);
	}
}

static void lists_of_strings(void **state)
{
	char **items;
	size_t n;
	struct error err = {""};
	(void)state;
	json_t *json = unit_json("['b', 'a', '']");
	assert_int_equal(strings_decode(json, "spec.x", &items, &n, &err), 0);
	assert_int_equal(n, 3);
	assert_string_equal(items[0], "b");
	assert_true(strings_contain(items, n, "a"));
	assert_true(strings_contain(items, n, ""));
	assert_false(strings_contain(items, n, "c"));
	strings_free(items, n);
	json_decref(json);
	assert_int_equal(strings_decode(NULL, "spec.x", &items, &n, &err), 0);
	assert_int_equal(n, 0);
	json = unit_json("['a', 'b', 'a']");
	assert_int_equal(strings_decode(json, "spec.x", &items, &n, &err), 0);
	assert_int_equal(n, 3);
	strings_free(items, n);
	json_decref(json);
	static const struct {
		const char *list, *says;
	} BAD[] = {{"'a'", "spec.x must be a list of strings"}, {"['a', 1]", "spec.x must be a list of strings; put quotes around its entry number 2"},
		   {"['a', 'b', 'a']", "duplicate definition of \"a\" in spec.x"}};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		json = unit_json(BAD[i].list);
		assert_int_equal(strings_decode_unique(json, "spec.x", &items, &n, &err), -EINVAL);
		assert_null(items);
		assert_int_equal(n, 0);
		unit_contains(err.text, BAD[i].says);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_maps), cmocka_unit_test(refuses_other_maps), cmocka_unit_test(compares_maps), cmocka_unit_test(selects),
		cmocka_unit_test(refuses_bad_selectors), cmocka_unit_test(lists_of_selectors), cmocka_unit_test(lists_of_strings),
		cmocka_unit_test(label_syntax),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
