/* The ServiceL2Status objects of a node, against a server of a few lines: what is written, and that nothing is when all is well. */
#include "speaker/l2_status_plan.h"
#include "tests/unit/unit.h"

struct server {
	json_t *objects;          /* by name, of all nodes */
	unsigned writes;
	int fail;                 /* the status of every answer; 0: as it is */
};

static json_t *list(const struct server *s, const char *node)
{
	json_t *items = json_array(), *object;
	const char *name;
	json_object_foreach(s->objects, name, object)
		if (strcmp(json_string_value(json_object_get(json_object_get(json_object_get(object, "metadata"), "labels"), "metallb.io/node")), node) == 0)
			json_array_append(items, object);
	return items;
}

static int answer(struct server *s, const struct l2_status_request *r)
{
	json_t *have = r->name ? json_object_get(s->objects, r->name) : NULL;
	if (s->fail)
		return s->fail;
	s->writes++;
	if (strcmp(r->method, "POST") == 0) {
		const char *name = json_string_value(json_object_get(json_object_get(r->body, "metadata"), "name"));
		if (json_object_get(s->objects, name))
			return 409;
		assert_null(json_object_get(r->body, "status"));   /* the server would drop it */
		json_object_set_new(s->objects, name, json_deep_copy(r->body));
		return 201;
	}
	if (!have)
		return 404;
	if (strcmp(r->method, "DELETE") == 0)
		json_object_del(s->objects, r->name);
	else if (r->status)
		json_object_set(have, "status", json_object_get(r->body, "status"));
	else
		json_object_update(json_object_get(have, "metadata"), json_object_get(r->body, "metadata"));
	return 200;
}

/* Until nothing is left to do; returns how many writes it took. */
static unsigned run(struct server *s, struct l2_status_plan *p, const char *node)
{
	struct l2_status_request r;
	unsigned before = s->writes;
	for (int turns = 0; turns < 1000; turns++) {
		if (l2_status_plan_needs_list(p)) {
			json_t *items = list(s, node);
			l2_status_plan_list(p, items);
			json_decref(items);
		}
		if (!l2_status_plan_next(p, &r))
			return s->writes - before;
		int status = answer(s, &r);
		json_decref(r.body);
		if (!l2_status_plan_ended(p, status))
			return s->writes - before;
	}
	fail_msg("it does not come to rest");
	return 0;
}

static unsigned look(struct server *s, struct l2_status_plan *p, const char *node, const char *services, const char *previous)
{
	char *copy = mem_strdup(services), *rest = copy, *one;
	l2_status_plan_begin(p);
	while ((one = strsep(&rest, " ")))
		if (*one)
			l2_status_plan_want(p, one, "eth0", previous);
	l2_status_plan_end(p);
	free(copy);
	return run(s, p, node);
}

/* So often that nothing is waited for. */
static unsigned announce(struct server *s, struct l2_status_plan *p, const char *node, const char *services, const char *previous)
{
	unsigned writes = look(s, p, node, services, previous);
	for (int looks = 0; looks < 2 && l2_status_plan_waits(p); looks++)
		writes += look(s, p, node, services, previous);
	assert_false(l2_status_plan_waits(p));
	return writes;
}

static const json_t *object(const struct server *s, const char *node, const char *service)
{
	char *name = l2_status_name(node, service);
	const json_t *o = json_object_get(s->objects, name);
	free(name);
	return o;
}

static void comes_and_goes(void **state)
{
	struct server s = {.objects = json_object()};
	struct l2_status_plan *p = l2_status_plan_new("n1", "speaker-x", "pod-1");
	struct l2_status_request r;
	(void)state;
	l2_status_plan_free(NULL);
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "shop/web", "eth0", NULL);
	l2_status_plan_end(p);
	assert_false(l2_status_plan_next(p, &r));   /* before it is known what is there */
	assert_int_equal(announce(&s, p, "n1", "shop/web", NULL), 2);
	json_t *wanted = unit_json("{'apiVersion': 'metallb.io/v1beta1', 'kind': 'ServiceL2Status', 'metadata': {'labels': {'metallb.io/node': 'n1', "
				   "'metallb.io/service-name': 'web', 'metallb.io/service-namespace': 'shop'}, 'ownerReferences': [{'apiVersion': 'v1', 'kind': 'Pod', "
				   "'name': 'speaker-x', 'uid': 'pod-1'}]}, 'status': {'node': 'n1', 'serviceName': 'web', 'serviceNamespace': 'shop', "
				   "'interfaces': [{'name': 'eth0'}]}}");
	char *name = l2_status_name("n1", "shop/web");
	json_object_set_new(json_object_get(wanted, "metadata"), "name", json_string(name));
	assert_true(json_equal(object(&s, "n1", "shop/web"), wanted));
	json_decref(wanted);
	for (int i = 0; i < 100; i++)
		assert_int_equal(announce(&s, p, "n1", "shop/web", NULL), 0);
	/* One more link; then the other order, which is the same. */
	for (int i = 0; i < 2; i++) {
		l2_status_plan_begin(p);
		l2_status_plan_want(p, "shop/web", i ? "eth1" : "eth0", NULL);
		l2_status_plan_want(p, "shop/web", i ? "eth0" : "eth1", NULL);
		l2_status_plan_want(p, "shop/web", "eth1", NULL);
		l2_status_plan_end(p);
		assert_int_equal(run(&s, p, "n1"), i ? 0 : 1);
	}
	assert_int_equal(json_array_size(json_object_get(json_object_get(object(&s, "n1", "shop/web"), "status"), "interfaces")), 2);
	/* Not announced for a moment: nothing. */
	l2_status_plan_begin(p);
	l2_status_plan_end(p);
	assert_int_equal(run(&s, p, "n1"), 0);
	assert_true(l2_status_plan_waits(p));
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "shop/web", "eth0", NULL);
	l2_status_plan_want(p, "shop/web", "eth1", NULL);
	l2_status_plan_end(p);
	assert_false(l2_status_plan_waits(p));
	assert_int_equal(run(&s, p, "n1"), 0);
	assert_int_equal(announce(&s, p, "n1", "", NULL), 1);
	assert_int_equal(json_object_size(s.objects), 0);
	assert_int_equal(announce(&s, p, "n1", "", NULL), 0);
	/* Somebody removes it before it has its status, or while it has it: a later write finds out. */
	announce(&s, p, "n1", "shop/web", NULL);
	json_object_del(s.objects, name);
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "shop/web", "eth2", NULL);
	l2_status_plan_end(p);
	run(&s, p, "n1");
	assert_non_null(json_object_get(object(&s, "n1", "shop/web"), "status"));
	free(name);
	l2_status_plan_free(p);
	json_decref(s.objects);
}

/* Names are the same on every node and in every version: an heir has to know them. Links are shown in order, and not without end. */
static void names_and_links(void **state)
{
	static const char *const LINKS[] = {"d", "b", "c", "a", "b"}, *const SORTED[] = {"a", "b", "c", "d"};
	struct server s = {.objects = json_object()};
	struct l2_status_plan *p = l2_status_plan_new("n1", NULL, NULL);
	char *name = l2_status_name("n1", "shop/web"), link[8];
	(void)state;
	assert_string_equal(name, "l2-4c6301de763124e43755");
	l2_status_plan_begin(p);
	for (size_t i = 0; i < COUNT(LINKS); i++)
		l2_status_plan_want(p, "shop/web", LINKS[i], NULL);
	l2_status_plan_end(p);
	run(&s, p, "n1");
	const json_t *shown = json_object_get(json_object_get(object(&s, "n1", "shop/web"), "status"), "interfaces");
	assert_int_equal(json_array_size(shown), COUNT(SORTED));
	for (size_t i = 0; i < COUNT(SORTED); i++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(shown, i), "name")), SORTED[i]);
	l2_status_plan_begin(p);
	for (int i = 0; i < 40; i++) {
		snprintf(link, sizeof(link), "l%d", i);
		l2_status_plan_want(p, "shop/web", link, NULL);
	}
	l2_status_plan_end(p);
	run(&s, p, "n1");
	assert_int_equal(json_array_size(json_object_get(json_object_get(object(&s, "n1", "shop/web"), "status"), "interfaces")), 16);
	free(name);
	l2_status_plan_free(p);
	json_decref(s.objects);
}

/* A process that starts finds what it had, writes nothing about it, and removes the rest: MetalLB's too. A new pod takes over. */
static void starts(void **state)
{
	struct server s = {.objects = json_object()};
	struct l2_status_plan *p = l2_status_plan_new("n1", "speaker-x", "pod-1"), *other = l2_status_plan_new("n2", NULL, NULL);
	(void)state;
	announce(&s, p, "n1", "a/a b/b c/c", NULL);
	announce(&s, other, "n2", "a/a d/d", NULL);
	json_object_set_new(s.objects, "l2-x7k2p", unit_json("{'metadata': {'name': 'l2-x7k2p', 'labels': {'metallb.io/node': 'n1', 'metallb.io/service-name': 'a', "
							     "'metallb.io/service-namespace': 'a'}}, 'status': {'node': 'n1'}}"));
	json_object_set_new(s.objects, "l2-none", unit_json("{'metadata': {'name': 'l2-none', 'labels': {'metallb.io/node': 'n1'}}}"));
	l2_status_plan_free(p);
	p = l2_status_plan_new("n1", "speaker-x", "pod-1");
	assert_int_equal(announce(&s, p, "n1", "a/a c/c", NULL), 3);   /* b/b, and both that are none of ours */
	assert_int_equal(json_object_size(s.objects), 4);
	l2_status_plan_free(p);
	p = l2_status_plan_new("n1", "speaker-y", "pod-2");
	assert_int_equal(announce(&s, p, "n1", "a/a c/c", NULL), 2);
	const json_t *owner = json_array_get(json_object_get(json_object_get(object(&s, "n1", "a/a"), "metadata"), "ownerReferences"), 0);
	assert_string_equal(json_string_value(json_object_get(owner, "uid")), "pod-2");
	assert_int_equal(announce(&s, p, "n1", "a/a c/c", NULL), 0);
	assert_null(json_object_get(json_object_get(object(&s, "n2", "d/d"), "metadata"), "ownerReferences"));
	l2_status_plan_free(p);
	l2_status_plan_free(other);
	json_decref(s.objects);
}

/* Whoever takes an address over removes what the dead one said, once, and nothing of the others. */
static void takes_over(void **state)
{
	struct server s = {.objects = json_object()};
	struct l2_status_plan *dead = l2_status_plan_new("n1", NULL, NULL), *heir = l2_status_plan_new("n2", NULL, NULL);
	(void)state;
	announce(&s, dead, "n1", "a/a b/b", NULL);
	assert_int_equal(announce(&s, heir, "n2", "a/a", "n1"), 3);
	assert_null(object(&s, "n1", "a/a"));
	assert_non_null(object(&s, "n1", "b/b"));
	assert_non_null(object(&s, "n2", "a/a"));
	for (int i = 0; i < 10; i++)
		assert_int_equal(announce(&s, heir, "n2", "a/a", "n1"), 0);
	assert_int_equal(announce(&s, heir, "n2", "a/a c/c", "n2"), 2);   /* ourselves */
	assert_int_equal(announce(&s, heir, "n2", "a/a c/c d/d", "n9"), 3);   /* it had said nothing: that is found out once */
	assert_int_equal(announce(&s, heir, "n2", "a/a c/c d/d", "n9"), 0);
	l2_status_plan_free(dead);
	l2_status_plan_free(heir);
	json_decref(s.objects);
}

/* An answer that is lost, a server that refuses: tried again, and right in the end. */
static void fails(void **state)
{
	static const int FAILURES[] = {0, 403, 500, 422};
	(void)state;
	for (size_t i = 1; i < COUNT(FAILURES); i++) {
		struct server s = {.objects = json_object()};
		struct l2_status_plan *p = l2_status_plan_new("n1", NULL, NULL);
		s.fail = FAILURES[i];
		assert_int_equal(announce(&s, p, "n1", "a/a b/b", NULL), 0);
		s.fail = 0;
		assert_int_equal(announce(&s, p, "n1", "a/a b/b", NULL), 4);
		s.fail = FAILURES[i];
		announce(&s, p, "n1", "", NULL);
		assert_int_equal(json_object_size(s.objects), 2);
		s.fail = 0;
		assert_int_equal(announce(&s, p, "n1", "a/a", NULL), 1);
		assert_non_null(object(&s, "n1", "a/a"));
		l2_status_plan_free(p);
		json_decref(s.objects);
	}
	/* The POST was done, its answer never came. */
	struct server s = {.objects = json_object()};
	struct l2_status_plan *p = l2_status_plan_new("n1", NULL, NULL);
	struct l2_status_request r;
	l2_status_plan_list(p, NULL);
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "a/a", "eth0", NULL);
	l2_status_plan_end(p);
	assert_true(l2_status_plan_next(p, &r));
	answer(&s, &r);
	json_decref(r.body);
	assert_false(l2_status_plan_ended(p, 0));
	run(&s, p, "n1");
	assert_non_null(json_object_get(object(&s, "n1", "a/a"), "status"));
	/* The links change while a status is written: what was sent counts. */
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "a/a", "eth1", NULL);
	l2_status_plan_end(p);
	assert_true(l2_status_plan_next(p, &r));
	l2_status_plan_begin(p);
	l2_status_plan_want(p, "a/a", "eth2", NULL);
	l2_status_plan_end(p);
	int status = answer(&s, &r);
	json_decref(r.body);
	assert_true(l2_status_plan_ended(p, status));
	assert_int_equal(run(&s, p, "n1"), 1);
	/* A label holds 63 characters. */
	char node[65];
	memset(node, 'n', 64);
	node[64] = '\0';
	struct l2_status_plan *longer = l2_status_plan_new(node, NULL, NULL);
	assert_int_equal(announce(&s, longer, node, "a/a", NULL), 0);
	l2_status_plan_free(longer);
	l2_status_plan_free(p);
	json_decref(s.objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(comes_and_goes), cmocka_unit_test(names_and_links), cmocka_unit_test(starts), cmocka_unit_test(takes_over), cmocka_unit_test(fails)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
