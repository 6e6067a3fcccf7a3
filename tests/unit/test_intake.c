/* What the API server says, put into the model and taken out of it. */
#include "speaker/intake.h"
#include "tests/unit/support.h"

struct row {
	enum intake_kind kind;
	const char *object;      /* single-quoted */
	const char *key;
	bool (*has)(const struct model *m);
	const char *bad, *why;   /* another one that is not understood, and a word of the reason */
};

static bool has_service(const struct model *m)
{
	return model_service(m, "shop/web") != NULL;
}

static bool has_slice(const struct model *m)
{
	return model_has_endpoint(m, "shop/web", NULL);
}

static bool has_node(const struct model *m)
{
	return model_node(m, "a") != NULL;
}

static bool has_namespace(const struct model *m)
{
	return model_namespace_labels(m, "shop") != NULL;
}

static bool has_record(const struct model *m)
{
	struct address a = support_address("10.0.0.1");
	return model_record(m, &a) != NULL;
}

static bool has_node_record(const struct model *m)
{
	return model_node_record(m, "a") != NULL;
}

static bool has_foreign(const struct model *m)
{
	struct address a = support_address("10.0.0.2");
	return model_foreign(m, &a) != NULL;
}

static bool has_pool(const struct model *m)
{
	return model_pool_named(m, "p") != NULL;
}

static bool has_advertisement(const struct model *m)
{
	return m->n_advertisements == 1;
}

#define META(name, more) "{'metadata': {'name': '" name "', 'namespace': 'shop', 'uid': 'u', 'resourceVersion': '1'" more "}"

static const struct row ROWS[] = {
	{INTAKE_SERVICE, META("web", "") ", 'spec': {'type': 'LoadBalancer', 'ports': [{'port': 80}]}}", "shop/web", has_service, "{'metadata': {'name': 7}}", "name"},
	{INTAKE_SLICE, META("web-1", ", 'labels': {'kubernetes.io/service-name': 'web'}") ", 'endpoints': [{'addresses': ['1.2.3.4'], 'conditions': {'ready': true}}]}",
	 "shop/web-1", has_slice, "{}", "metadata"},
	{INTAKE_NODE, "{'metadata': {'name': 'a', 'uid': 'u', 'resourceVersion': '1'}}", "a", has_node, "{}", "metadata"},
	{INTAKE_NAMESPACE, "{'metadata': {'name': 'shop', 'uid': 'u', 'resourceVersion': '1'}}", "shop", has_namespace, "{}", "metadata"},
	{INTAKE_LEASE, META("ip-10.0.0.1", "") ", 'spec': {'holderIdentity': 'a'}}", "shop/ip-10.0.0.1", has_record, "{}", "metadata"},
	{INTAKE_LEASE, META("node-a", ", 'annotations': {'l2lb.io/links': '[]'}") ", 'spec': {'holderIdentity': 'a'}}", "shop/node-a", has_node_record,
	 META("node-a", ", 'annotations': {'l2lb.io/links': '7'}") ", 'spec': {'holderIdentity': 'a'}}", "l2lb.io/links"},
	{INTAKE_LEASE, META("foreign-10.0.0.2", ", 'annotations': {'l2lb.io/mac': '02:00:00:00:00:01'}") ", 'spec': {'holderIdentity': 'a'}}", "shop/foreign-10.0.0.2", has_foreign,
	 META("foreign-10.0.0.2", ", 'annotations': {'l2lb.io/mac': 'x'}") ", 'spec': {'holderIdentity': 'a'}}", "mac"},
	{INTAKE_POOL, META("p", "") ", 'spec': {'addresses': ['10.0.0.1-10.0.0.9']}}", "shop/p", has_pool, META("q", "") ", 'spec': {'addresses': ['x']}}", "x"},
	{INTAKE_ADVERTISEMENT, META("ad", "") ", 'spec': {}}", "shop/ad", has_advertisement, META("bad", "") ", 'spec': {'ipAddressPools': 7}}", "ipAddressPools"},
};

static void put_and_drop(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct row *row = &ROWS[i];
		struct model m;
		struct error err = {""};
		json_t *good = unit_json(row->object), *bad = unit_json(row->bad);
		model_init(&m, "", false);
		assert_false(row->has(&m));
		if (intake_put(&m, row->kind, good, true, &err) < 0)
			fail_msg("%s: %s", row->object, err.text);
		assert_true(row->has(&m));
		assert_true(intake_put(&m, row->kind, bad, true, &err) < 0);
		if (!strstr(err.text, row->why))
			fail_msg("%s: %s", row->bad, err.text);
		assert_true(row->has(&m));   /* what was good stays */
		intake_drop(&m, row->kind, row->key);
		assert_false(row->has(&m));
		json_decref(good);
		json_decref(bad);
		model_free(&m);
	}
}

/* Strangers are believed from the watch only; malformed pools and advertisements are kept in view; other Leases are not ours. */
static void special_cases(void **state)
{
	struct model m;
	struct error err = {""};
	struct address a = support_address("10.0.0.2");
	json_t *foreign = unit_json(ROWS[6].object), *pool = unit_json(ROWS[7].bad), *ad = unit_json(ROWS[8].bad), *other = unit_json(META("election", "") ", 'spec': {}}");
	(void)state;
	model_init(&m, "", false);
	assert_int_equal(intake_put(&m, INTAKE_LEASE, foreign, false, &err), 0);
	assert_null(model_foreign(&m, &a));
	intake_put(&m, INTAKE_POOL, pool, true, &err);
	assert_int_equal(m.pools.n, 1);
	assert_null(m.pools.entries[0].pool);
	intake_put(&m, INTAKE_ADVERTISEMENT, ad, true, &err);
	assert_int_equal(m.n_refused_ads, 1);
	assert_int_equal(intake_put(&m, INTAKE_LEASE, other, true, &err), 0);
	assert_null(m.records);
	assert_null(m.node_records);
	model_free(&m);
	json_decref(foreign);
	json_decref(pool);
	json_decref(ad);
	json_decref(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(put_and_drop), cmocka_unit_test(special_cases)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
