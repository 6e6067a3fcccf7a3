/* The condition l2lb.io/AddressConflict: what is written, and when nothing is. */
#include "speaker/conflict_condition.h"
#include "tests/unit/support.h"

#define NOW "2026-03-04T05:06:07.123456Z"
#define MAC_1 "02:00:00:00:00:77"
#define MAC_2 "02:00:00:00:00:78"
#define OTHER "{'type': 'example.com/Other', 'status': 'Unknown', 'reason': 'Why', 'message': 'm', 'lastTransitionTime': '2025-01-01T00:00:00Z', 'more': 7}"

static void stranger(struct model *m, const char *address, const char *mac, const char *refused)
{
	struct foreign_record *r = NULL;
	struct address a = support_address(address);
	char *name = foreign_record_name(&a);
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "', 'uid': 'f', 'resourceVersion': '7', 'annotations': {'l2lb.io/mac': '%s', "
				"'l2lb.io/link': 'eth0', 'l2lb.io/refused': '%s'}}, 'spec': {'holderIdentity': 'n1'}}", name, mac, refused);
	struct lease *l = support_lease(text);
	assert_int_equal(foreign_record_decode(l, &r, NULL), 0);
	model_put_foreign(m, r);
	lease_free(l);
	free(text);
	free(name);
}

/* A Service with these status.conditions (JSON, single quotes), metadata fields and spec fields after them. */
static void put(struct model *m, const char *ips, const char *conditions, const char *meta, const char *spec)
{
	struct service *s = NULL;
	char *ingress = support_ingress(ips);
	char *text = mem_printf("{'metadata': {'name': 'web', 'namespace': 'shop', 'uid': 'u-web', 'resourceVersion': '5'%s}, 'spec': {'type': 'LoadBalancer', "
				"'clusterIPs': ['10.96.0.1'], 'ports': [{'port': 80}]%s}, 'status': {'loadBalancer': {'ingress': [%s]}, 'conditions': [%s]}}",
				meta, spec, ingress, conditions);
	json_t *json = unit_json(text);
	if (service_decode(json, &s, NULL) < 0)
		fail_msg("%s", text);
	model_put_service(m, s);
	json_decref(json);
	free(text);
	free(ingress);
}

static json_t *patch(struct model *m, const char *now)
{
	return conflict_condition_patch(m, model_service(m, "shop/web"), now);
}

static void nothing(struct model *m)
{
	json_t *p = patch(m, "2027-01-01T00:00:00.000000Z");
	char *text = p ? json_dumps(p, JSON_COMPACT) : NULL;
	if (p)
		fail_msg("%s is to be written", text);
}

/* What the server makes of the patch: the Service with these conditions is put in. */
static void written(struct model *m, json_t *p, const char *ips, const char *meta)
{
	json_t *conditions = json_object_get(json_object_get(p, "status"), "conditions");
	char *list = json_is_array(conditions) ? json_dumps(conditions, JSON_COMPACT) : mem_strdup("[]");
	list[strlen(list) - 1] = '\0';
	for (char *c = list; *c; c++)
		*c = *c == '"' ? '\'' : *c;
	put(m, ips, list + 1, meta, "");
	free(list);
	json_decref(p);
}

static const json_t *condition(const json_t *p, size_t at)
{
	return json_array_get(json_object_get(json_object_get(p, "status"), "conditions"), at);
}

static void is(const json_t *object, const char *field, const char *text)
{
	const char *value = json_string_value(json_object_get(object, field));
	assert_non_null(value);
	assert_string_equal(value, text);
}

static void begins_and_ends(void **state)
{
	struct model m;
	struct address a = support_address("10.0.0.1");
	(void)state;
	model_init(&m, "", false);
	put(&m, "10.0.0.1", OTHER, ", 'generation': 3", "");
	nothing(&m);
	stranger(&m, "10.0.0.2", MAC_1, "");
	nothing(&m);   /* not its address */
	stranger(&m, "10.0.0.1", MAC_1, "");
	json_t *p = patch(&m, NOW);
	is(json_object_get(p, "metadata"), "uid", "u-web");
	is(json_object_get(p, "metadata"), "resourceVersion", "5");
	json_t *other = unit_json(OTHER);
	assert_true(json_equal(condition(p, 0), other));   /* whatever it holds */
	json_decref(other);
	is(condition(p, 1), "type", "l2lb.io/AddressConflict");
	is(condition(p, 1), "status", "True");
	is(condition(p, 1), "reason", "UsedByAnotherHost");
	is(condition(p, 1), "lastTransitionTime", "2026-03-04T05:06:07Z");
	is(condition(p, 1), "message", "10.0.0.1: a host on the network with the MAC address " MAC_1 " uses this address too (seen on eth0 of node n1); it is kept and defended; "
	   "find that host and give it another address");
	assert_int_equal(json_integer_value(json_object_get(condition(p, 1), "observedGeneration")), 3);
	assert_int_equal(json_array_size(json_object_get(json_object_get(p, "status"), "conditions")), 2);
	written(&m, p, "10.0.0.1", ", 'generation': 3");
	nothing(&m);
	/* Another host: said, but it began when it began. Another generation as well. */
	stranger(&m, "10.0.0.1", MAC_2, "");
	p = patch(&m, "2027-01-01T00:00:00.000000Z");
	unit_contains(json_string_value(json_object_get(condition(p, 1), "message")), MAC_2);
	is(condition(p, 1), "lastTransitionTime", "2026-03-04T05:06:07Z");
	written(&m, p, "10.0.0.1", ", 'generation': 4");
	p = patch(&m, NOW);
	assert_int_equal(json_integer_value(json_object_get(condition(p, 1), "observedGeneration")), 4);
	written(&m, p, "10.0.0.1", ", 'generation': 4");
	nothing(&m);
	model_drop_foreign(&m, &a);
	p = patch(&m, NOW);
	assert_int_equal(json_array_size(json_object_get(json_object_get(p, "status"), "conditions")), 1);
	is(condition(p, 0), "type", "example.com/Other");
	written(&m, p, "10.0.0.1", ", 'generation': 4");
	nothing(&m);
	model_free(&m);
}

/* Alone, it goes without a trace; a server without generations is shown none. */
static void alone(void **state)
{
	struct model m;
	struct address a = support_address("10.0.0.1");
	(void)state;
	model_init(&m, "", false);
	put(&m, "10.0.0.1,fd00::1", "", "", "");
	stranger(&m, "10.0.0.1", MAC_1, "");
	stranger(&m, "fd00::1", MAC_2, "");
	json_t *p = patch(&m, NOW);
	assert_null(json_object_get(condition(p, 0), "observedGeneration"));
	const char *message = json_string_value(json_object_get(condition(p, 0), "message"));
	unit_contains(message, MAC_1);
	unit_contains(message, "fd00::1: a host on the network with the MAC address " MAC_2);
	written(&m, p, "10.0.0.1,fd00::1", "");
	nothing(&m);
	model_drop_foreign(&m, &a);
	p = patch(&m, NOW);
	assert_null(strstr(json_string_value(json_object_get(condition(p, 0), "message")), MAC_1));
	written(&m, p, "10.0.0.1,fd00::1", "");
	/* It is not the Service's any more. */
	put(&m, "10.0.0.1", "{'type': 'l2lb.io/AddressConflict', 'status': 'True'}", "", "");
	p = patch(&m, NOW);
	assert_true(json_is_null(json_object_get(json_object_get(p, "status"), "conditions")));
	written(&m, p, "10.0.0.1", "");
	nothing(&m);
	model_free(&m);
}

/* What is no state of ours is put right: False, twice, without its text. */
static void put_right(void **state)
{
	static const char *const HAVE[] = {
		"{'type': 'l2lb.io/AddressConflict', 'status': 'False', 'lastTransitionTime': '2020-01-01T00:00:00Z'}",
		"{'type': 'l2lb.io/AddressConflict', 'status': 'False'}, {'type': 'l2lb.io/AddressConflict', 'status': 'False'}",
		"{'type': 'l2lb.io/AddressConflict'}"};
	(void)state;
	for (size_t i = 0; i < COUNT(HAVE); i++) {
		struct model m;
		model_init(&m, "", false);
		stranger(&m, "10.0.0.1", MAC_1, "");
		put(&m, "10.0.0.1", HAVE[i], "", "");
		json_t *p = patch(&m, NOW);
		is(condition(p, 0), "lastTransitionTime", "2026-03-04T05:06:07Z");
		written(&m, p, "10.0.0.1", "");
		nothing(&m);
		model_free(&m);
	}
}

/* Who gets another address keeps nothing; other classes are other controllers'; one that is no LoadBalancer any more is nobody's. */
static void whose(void **state)
{
	static const char OURS[] = "{'type': 'l2lb.io/AddressConflict', 'status': 'True', 'reason': 'UsedByAnotherHost', 'message': 'x'}";
	struct model m;
	(void)state;
	model_init(&m, "", false);
	support_record(&m, (struct support_record){.address = "10.0.0.1", .holder = "n1"});
	put(&m, "10.0.0.1", "", "", "");
	stranger(&m, "10.0.0.1", MAC_1, "r-10.0.0.1");
	nothing(&m);
	stranger(&m, "10.0.0.1", MAC_1, "an older one");
	json_decref(patch(&m, NOW));
	put(&m, "10.0.0.1", "", "", ", 'loadBalancerClass': 'a.b/c'");
	nothing(&m);
	put(&m, "10.0.0.1", OURS, "", ", 'loadBalancerClass': 'a.b/c'");
	nothing(&m);
	put(&m, "", OURS, ", 'deletionTimestamp': '2026-01-01T00:00:00Z'", "");
	nothing(&m);
	put(&m, "10.0.0.1", OURS, ", 'deletionTimestamp': '2026-01-01T00:00:00Z'", "");   /* held by a finalizer: it keeps its address */
	json_t *p = patch(&m, NOW);
	assert_non_null(p);
	json_decref(p);
	put(&m, "", OURS, "", ", 'type': 'ClusterIP'");
	p = patch(&m, NOW);
	assert_non_null(p);
	json_decref(p);
	put(&m, "", OTHER, "", ", 'type': 'ClusterIP'");
	nothing(&m);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(begins_and_ends), cmocka_unit_test(alone), cmocka_unit_test(put_right), cmocka_unit_test(whose)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
