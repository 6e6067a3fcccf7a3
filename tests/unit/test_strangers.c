/* Strangers on pool addresses: who they are, what is written about them, what the allocator makes of it. */
#include "config/base/clock.h"
#include "speaker/acquaintances.h"
#include "speaker/allocator.h"
#include "speaker/kernel_suspects.h"
#include "speaker/put_aside.h"
#include "speaker/wanted_addresses.h"
#include "tests/unit/support.h"

static const struct mac A = {{2, 0, 0, 0, 0, 0xa}}, B = {{2, 0, 0, 0, 0, 0xb}};

/* Small ones, so that what is done with them is easy to see. */
static const struct acquaintance_times WHO = {.wait = 15, .node = 3000, .stranger = 300};
static const struct kernel_suspect_times KERNELS = {.again = 10, .forget = 300};
static const struct put_aside_times ASIDE = {.max = 3, .window = 60};

/* ---- who is it? ---- */

static void who_is_who(void **state)
{
	struct acquaintances *a = acquaintances_new(&WHO);
	enum conflict_who who;
	struct mac mac;
	bool begin;
	(void)state;
	acquaintances_free(NULL);
	assert_int_equal(acquaintances_who(a, &A, 0, &begin), CONFLICT_UNKNOWN);
	assert_true(begin);
	assert_int_equal(acquaintances_who(a, &A, 1, &begin), CONFLICT_UNKNOWN);
	assert_false(begin);   /* the questions are on their way */
	assert_true(acquaintances_deadline(a) == WHO.wait);
	assert_false(acquaintances_settled(a, WHO.wait - 1, &mac, &who));
	assert_true(acquaintances_settled(a, WHO.wait, &mac, &who));
	assert_true(mac_equal(&mac, &A) && who == CONFLICT_STRANGER);
	assert_false(acquaintances_settled(a, WHO.wait, &mac, &who));
	assert_int_equal(acquaintances_who(a, &A, WHO.wait + 1, &begin), CONFLICT_STRANGER);
	/* Not for ever: a node's answer may have been lost. */
	assert_int_equal(acquaintances_who(a, &A, WHO.wait + WHO.stranger, &begin), CONFLICT_UNKNOWN);
	assert_true(begin);
	acquaintances_answered(a, &A, "n1", WHO.wait + WHO.stranger + 5);
	assert_true(acquaintances_deadline(a) == 0);
	assert_true(acquaintances_settled(a, WHO.wait + WHO.stranger + 5, &mac, &who) && who == CONFLICT_NODE);
	assert_string_equal(acquaintances_node(a, &A), "n1");
	assert_null(acquaintances_node(a, &B));
	assert_true(mac_equal(acquaintances_next_node(a, NULL), &A));
	assert_null(acquaintances_next_node(a, &A));
	acquaintances_forget(a, &A);
	assert_null(acquaintances_next_node(a, NULL));
	/* An answer that comes late corrects the verdict. */
	acquaintances_who(a, &B, 0, &begin);
	assert_true(acquaintances_settled(a, WHO.wait, &mac, &who) && who == CONFLICT_STRANGER);
	acquaintances_answered(a, &B, "n2", WHO.wait + 1);
	assert_true(acquaintances_settled(a, WHO.wait + 1, &mac, &who) && who == CONFLICT_NODE);
	acquaintances_free(a);
}

/* A node is known for five minutes; room is made of who is not known any more, and of nobody else. */
static void forgotten(void **state)
{
	struct acquaintances *a = acquaintances_new(&WHO);
	bool begin;
	(void)state;
	acquaintances_answered(a, &A, "n1", 0);
	assert_int_equal(acquaintances_who(a, &B, 1, &begin), CONFLICT_UNKNOWN);
	assert_string_equal(acquaintances_node(a, &A), "n1");   /* still there when another one is met */
	assert_int_equal(acquaintances_who(a, &A, WHO.node - 1, &begin), CONFLICT_NODE);
	assert_int_equal(acquaintances_who(a, &A, WHO.node, &begin), CONFLICT_UNKNOWN);
	assert_true(begin);
	assert_null(acquaintances_node(a, &A));
	acquaintances_free(a);
	a = acquaintances_new(&WHO);
	acquaintances_answered(a, &A, "n1", 0);
	acquaintances_who(a, &B, WHO.node, &begin);   /* the other one is forgotten by the way */
	assert_null(acquaintances_next_node(a, NULL));
	acquaintances_free(a);
}

static void ever_new_macs(void **state)
{
	struct acquaintances *a = acquaintances_new(&WHO);
	unsigned began = 0;
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct mac mac = {{2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		bool begin;
		acquaintances_who(a, &mac, 0, &begin);
		began += begin;
	}
	assert_in_range(began, 100, 2000);
	acquaintances_free(a);
}

/* ---- peers' kernels ---- */

static void kernels(void **state)
{
	struct kernel_suspects *k = kernel_suspects_new(&KERNELS);
	uint32_t a;
	(void)state;
	kernel_suspects_free(NULL);
	assert_true(kernel_suspects_deadline(k) == CLOCK_NEVER);
	/* Two of them, as it is with IPVS everywhere: neither hides the other. */
	assert_false(kernel_suspects_answered(k, 7, "b", "u", 1, 0));
	assert_false(kernel_suspects_answered(k, 7, "c", "u", 1, 1));
	assert_true(kernel_suspects_deadline(k) == KERNELS.again);
	assert_false(kernel_suspects_ask(k, KERNELS.again - 1, &a));
	assert_true(kernel_suspects_ask(k, KERNELS.again, &a) && a == 7);
	assert_false(kernel_suspects_ask(k, KERNELS.again, &a));
	assert_false(kernel_suspects_answered(k, 7, "b", "u", 1, KERNELS.again - 1));   /* it may be the same answer, late */
	assert_true(kernel_suspects_answered(k, 7, "b", "u", 1, KERNELS.again));
	assert_true(kernel_suspects_answered(k, 7, "c", "u", 1, KERNELS.again + 1));
	assert_false(kernel_suspects_answered(k, 7, "b", "u", 1, KERNELS.again + 2));   /* told already */
	/* Another holder, another record that begins with the same epoch, or long ago: anew. */
	assert_false(kernel_suspects_answered(k, 7, "b", "u", 2, KERNELS.again + 3));
	assert_false(kernel_suspects_answered(k, 7, "b", "v", 2, 3 * KERNELS.again));
	assert_false(kernel_suspects_answered(k, 7, "c", "u", 1, KERNELS.again + 2 + KERNELS.forget));
	/* Who announces has it. */
	assert_false(kernel_suspects_answered(k, 8, "b", "u", 1, 0));
	kernel_suspects_announced(k, 8, "b");
	assert_false(kernel_suspects_answered(k, 8, "b", "u", 1, 2 * KERNELS.again));
	/* What its own tables say needs no second look, and is said once per record. */
	assert_true(kernel_suspects_accuse(k, 9, "me", "u", 1));
	assert_false(kernel_suspects_accuse(k, 9, "me", "u", 1));
	assert_true(kernel_suspects_accuse(k, 9, "me", "u", 2));
	assert_true(kernel_suspects_accuse(k, 9, "me", "v", 2));
	kernel_suspects_free(k);
}

/* Who is silent long enough is forgotten, without anything new about him; what is known for sure when it is not so any more. */
static void old_suspicions(void **state)
{
	struct kernel_suspects *k = kernel_suspects_new(&KERNELS);
	uint32_t a;
	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		kernel_suspects_answered(k, i, "b", "u", 1, 0);
		kernel_suspects_accuse(k, 100 + i, "me", "u", 1);
	}
	kernel_suspects_answered(k, 7, "b", "u", 1, KERNELS.again);   /* accused */
	while (kernel_suspects_ask(k, KERNELS.forget, &a))
		;
	assert_int_equal(kernel_suspects_count(k), 100);
	assert_false(kernel_suspects_ask(k, KERNELS.forget + 1, &a));
	assert_int_equal(kernel_suspects_count(k), 51);
	assert_false(kernel_suspects_answered(k, 7, "b", "u", 1, KERNELS.forget + KERNELS.again));   /* told already: it never was silent for long */
	assert_false(kernel_suspects_ask(k, 2 * KERNELS.forget + KERNELS.again + 1, &a));
	assert_int_equal(kernel_suspects_count(k), 50);
	kernel_suspects_accused(k);
	assert_int_equal(kernel_suspects_count(k), 50);
	assert_false(kernel_suspects_accuse(k, 105, "me", "u", 1));
	kernel_suspects_accused(k);
	assert_int_equal(kernel_suspects_count(k), 1);
	assert_false(kernel_suspects_accuse(k, 105, "me", "u", 1));
	assert_true(kernel_suspects_accuse(k, 106, "me", "u", 1));   /* it has come back */
	kernel_suspects_free(k);
}

/* What the program itself goes by. */
static void times(void **state)
{
	(void)state;
	assert_int_equal(ACQUAINTANCE_TIMES.wait, 150 * CLOCK_MS);
	assert_int_equal(ACQUAINTANCE_TIMES.node, 300 * CLOCK_S);
	assert_int_equal(ACQUAINTANCE_TIMES.stranger, 30 * CLOCK_S);
	assert_int_equal(KERNEL_SUSPECT_TIMES.again, CLOCK_S);
	assert_int_equal(KERNEL_SUSPECT_TIMES.forget, 300 * CLOCK_S);
	assert_true(PUT_ASIDE_TIMES.max == 8 && PUT_ASIDE_TIMES.window == 60 * CLOCK_S);
}

/* ---- put aside ---- */

static void so_many_in_a_window(void **state)
{
	struct put_aside *p = put_aside_new(&ASIDE);
	int64_t retry = 0, times[1000];
	size_t n = 0;
	(void)state;
	put_aside_free(NULL);
	for (int i = 0; i < 3; i++)
		assert_true(put_aside_allow(p, "p", i, &retry));
	assert_false(put_aside_allow(p, "p", 10, &retry));
	assert_true(retry == 60);
	assert_true(put_aside_allow(p, "other", 10, &retry));
	assert_false(put_aside_allow(p, "p", 59, &retry));
	assert_true(put_aside_allow(p, "p", 60, &retry));
	assert_false(put_aside_allow(p, "p", 60, &retry));
	assert_true(retry == 61);
	for (int64_t now = 100; now < 20000 && n < COUNT(times); now += 7)
		if (put_aside_allow(p, "p", now, &retry))
			times[n++] = now;
	assert_true(n > 900);
	for (size_t i = ASIDE.max; i < n; i++)
		assert_true(times[i] - times[i - ASIDE.max] >= ASIDE.window);
	put_aside_free(p);
}

/* ---- records ---- */

static struct foreign_record *foreign_new(const char *address, const char *refused)
{
	struct foreign_record *r = NULL;
	struct address a = support_address(address);
	struct error err = {""};
	char *name = foreign_record_name(&a);
	char *text = mem_printf("{'metadata': {'name': '%s', 'namespace': '" SUPPORT_NS "', 'uid': 'f', 'resourceVersion': '7', 'annotations': {'l2lb.io/mac': "
				"'02:00:00:00:00:77', 'l2lb.io/link': 'eth0', 'l2lb.io/refused': '%s'}}, 'spec': {'holderIdentity': 'n1'}}", name, refused);
	struct lease *l = support_lease(text);
	if (foreign_record_decode(l, &r, &err) < 0)
		fail_msg("%s", err.text);
	lease_free(l);
	free(text);
	free(name);
	return r;
}

static void is_json(json_t *body, const char *wanted)
{
	json_t *json = unit_json(wanted);
	char *got = json_dumps(body, JSON_COMPACT);
	if (!json_equal(body, json))
		fail_msg("got %s, wanted %s", got, wanted);
	free(got);
	json_decref(json);
	json_decref(body);
}

static void records(void **state)
{
	static const char *const BAD[] = {
		"{'metadata': {'name': 'foreign-10.0.0.1', 'namespace': 'x'}, 'spec': {}}",
		"{'metadata': {'name': 'foreign-10.0.0.1', 'namespace': 'x', 'annotations': {'l2lb.io/mac': '02:00:00:00:00'}}, 'spec': {}}",
		"{'metadata': {'name': 'foreign-10.0.0.01', 'namespace': 'x', 'annotations': {'l2lb.io/mac': '02:00:00:00:00:01'}}, 'spec': {}}",
		"{'metadata': {'name': 'ip-10.0.0.1', 'namespace': 'x', 'annotations': {'l2lb.io/mac': '02:00:00:00:00:01'}}, 'spec': {}}",
	};
	struct address a = support_address("192.168.122.100"), b;
	struct foreign_record *r = foreign_new("192.168.122.100", "u9");
	(void)state;
	assert_true(address_equal(&r->address, &a) && r->mac.bytes[5] == 0x77);
	assert_string_equal(r->node, "n1");
	assert_string_equal(r->link, "eth0");
	assert_string_equal(r->refused, "u9");
	is_json(foreign_record_patch(r, "n2", "eth1", &A, NULL), "{'metadata': {'uid': 'f', 'resourceVersion': '7', 'annotations': {'l2lb.io/mac': '02:00:00:00:00:0a', "
		"'l2lb.io/link': 'eth1'}}, 'spec': {'holderIdentity': 'n2'}}");
	is_json(foreign_record_body(&a, "ns", "", "n1", "eth0", &B, "u1"), "{'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': "
		"'foreign-192.168.122.100', 'namespace': 'ns', 'labels': {'l2lb.io/class': 'default', 'l2lb.io/record': 'foreign'}, 'annotations': {'l2lb.io/mac': "
		"'02:00:00:00:00:0b', 'l2lb.io/link': 'eth0', 'l2lb.io/refused': 'u1'}}, 'spec': {'holderIdentity': 'n1'}}");
	foreign_record_free(r);
	foreign_record_free(NULL);
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct lease *l = support_lease(BAD[i]);
		struct error err = {""};
		assert_true(foreign_record_decode(l, &r, &err) < 0);
		unit_contains(err.text, "Lease x/");
		lease_free(l);
	}
	assert_true(foreign_record_address("foreign-fd00-0000-0000-0000-0000-0000-0000-0001", &b));
	assert_false(foreign_record_address("foreign-", &b));
}

/* ---- the allocator ---- */

struct world {
	struct model m;
	struct allocator *a;
	int64_t now, wake;
};

static void begin(struct world *w, const char *addresses)
{
	char *spec = mem_printf("'addresses': ['%s']", addresses);
	*w = (struct world){.now = 1};
	model_init(&w->m, "", false);
	support_pool(&w->m, "p", spec);
	w->a = allocator_new(&w->m, NULL);
	allocator_plan(w->a, w->now, &w->wake);
	free(spec);
}

static void end(struct world *w)
{
	allocator_free(w->a);
	model_free(&w->m);
}

/* The plan for shop/web: "" or its address; and what it says. */
static void expect(struct world *w, enum allocation_step step, const char *ip, const char *reason, const char *says)
{
	char text[ADDRESS_TEXT];
	allocator_plan(w->a, w->now, &w->wake);
	const struct allocation *x = allocator_find(w->a, "shop/web");
	assert_non_null(x);
	if (x->step != step || strcmp(x->n ? address_format(&x->addresses[0], text) : "", ip) != 0)
		fail_msg("step %d, address %s", x->step, x->n ? text : "none");
	bool found = !reason;
	for (size_t i = 0; i < x->n_notices && reason; i++)
		if (strcmp(x->notices[i].reason, reason) == 0) {
			unit_contains(x->notices[i].text, says);
			found = true;
		}
	if (!found)
		fail_msg("no %s", reason);
}

static void skipped_and_handed_out_later(void **state)
{
	struct world w;
	(void)state;
	begin(&w, "10.0.0.1-10.0.0.2");
	model_put_foreign(&w.m, foreign_new("10.0.0.1", ""));
	support_service(&w.m, (struct support_service){.name = "web"});
	expect(&w, ALLOCATION_CREATE, "10.0.0.2", NULL, NULL);
	model_put_foreign(&w.m, foreign_new("10.0.0.2", ""));   /* its record is on its way: it is not decided anew by that */
	support_service(&w.m, (struct support_service){.name = "web", .version = 2, .annotations = "'" ANNOTATION_IPS "': '10.0.0.1'"});
	expect(&w, ALLOCATION_CREATE, "10.0.0.2", "LoadBalancerFailed", "02:00:00:00:00:77");
	struct address a = support_address("10.0.0.1");
	model_drop_foreign(&w.m, &a);
	expect(&w, ALLOCATION_CREATE, "10.0.0.1", NULL, NULL);
	end(&w);
	/* All of them: the message says so. */
	begin(&w, "10.0.0.1-10.0.0.2");
	model_put_foreign(&w.m, foreign_new("10.0.0.1", ""));
	model_put_foreign(&w.m, foreign_new("10.0.0.2", ""));
	support_service(&w.m, (struct support_service){.name = "web"});
	expect(&w, ALLOCATION_SETTLED, "", "AllocationFailed", "0 of 2 in use, 2 used by strangers");
	end(&w);
}

static void kept_unless_refused(void **state)
{
	struct world w;
	(void)state;
	begin(&w, "10.0.0.1-10.0.0.3");
	support_record(&w.m, (struct support_record){.address = "10.0.0.1", .holder = "n1"});
	support_service(&w.m, (struct support_service){.name = "web", .ips = "10.0.0.1", .annotations = "'" ANNOTATION_FROM_POOL "': 'p'"});
	expect(&w, ALLOCATION_SETTLED, "10.0.0.1", NULL, NULL);
	model_put_foreign(&w.m, foreign_new("10.0.0.1", ""));
	expect(&w, ALLOCATION_SETTLED, "10.0.0.1", NULL, NULL);   /* it is in use and stays */
	model_put_foreign(&w.m, foreign_new("10.0.0.1", "another one"));
	expect(&w, ALLOCATION_SETTLED, "10.0.0.1", NULL, NULL);
	model_put_foreign(&w.m, foreign_new("10.0.0.1", "r-10.0.0.1"));
	expect(&w, ALLOCATION_CREATE, "10.0.0.2", "ClearAssignment", "02:00:00:00:00:77");
	end(&w);
	/* Asked for by name there is no other. */
	begin(&w, "10.0.0.1-10.0.0.3");
	support_record(&w.m, (struct support_record){.address = "10.0.0.1", .holder = "n1"});
	support_service(&w.m, (struct support_service){.name = "web", .ips = "10.0.0.1", .annotations = "'" ANNOTATION_IPS "': '10.0.0.1'"});
	model_put_foreign(&w.m, foreign_new("10.0.0.1", "r-10.0.0.1"));
	expect(&w, ALLOCATION_STATUS, "", "AllocationFailed", "02:00:00:00:00:77");
	end(&w);
}

static void not_more_than_eight_a_minute(void **state)
{
	struct world w;
	char text[ADDRESS_TEXT];
	(void)state;
	begin(&w, "10.0.0.1-10.0.0.20");
	for (int i = 1; i <= 20; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i);
		model_put_foreign(&w.m, foreign_new(text, ""));
	}
	w.now = CLOCK_S;
	support_service(&w.m, (struct support_service){.name = "web"});
	allocator_plan(w.a, w.now, &w.wake);
	assert_int_equal(allocator_find(w.a, "shop/web")->step, ALLOCATION_CREATE);
	assert_true(w.wake == 61 * CLOCK_S);
	unsigned aside = 0;
	for (const struct foreign_entry *e = w.m.foreign; e; e = e->hh.next)
		aside += e->put_aside;
	assert_int_equal(aside, 8);
	w.now = w.wake;
	allocator_plan(w.a, w.now, &w.wake);
	aside = 0;
	for (const struct foreign_entry *e = w.m.foreign; e; e = e->hh.next)
		aside += e->put_aside;
	assert_int_equal(aside, 16);
	end(&w);
}

/* A controller that has just started finds what was put aside before it: all of that counts at once. */
static void those_of_before(void **state)
{
	struct model m;
	int64_t wake;
	char text[ADDRESS_TEXT];
	(void)state;
	model_init(&m, "", false);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.20']");
	for (int i = 1; i <= 12; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i);
		model_put_foreign(&m, foreign_new(text, ""));
	}
	support_service(&m, (struct support_service){.name = "web"});
	struct allocator *a = allocator_new(&m, NULL);
	allocator_plan(a, 1, &wake);
	assert_string_equal(address_format(&allocator_find(a, "shop/web")->address, text), "10.0.0.13");
	allocator_free(a);
	model_free(&m);
}

/* ---- what the census asks for ---- */

static void wanted(void **state)
{
	struct model m;
	struct wanted_addresses *w = mem_zalloc(sizeof(*w));
	(void)state;
	model_init(&m, "", false);
	wanted_addresses_fill(w, &m);
	assert_int_equal(w->n, 0);
	support_pool(&m, "p", "'addresses': ['10.0.0.0-10.0.0.5', 'fd00::1-fd00::9'], 'avoidBuggyIPs': true");
	support_record(&m, (struct support_record){.address = "10.0.0.2"});
	support_record(&m, (struct support_record){.address = "fd00::1"});
	support_service(&m, (struct support_service){.name = "other", .ips = "10.0.0.3"});
	model_put_foreign(&m, foreign_new("10.0.0.4", ""));
	wanted_addresses_fill(w, &m);
	const uint32_t WANTED[] = {0x0a000004, 0x0a000001, 0x0a000005, 0x0a000002};
	assert_int_equal(w->n, COUNT(WANTED));
	assert_memory_equal(w->addresses, WANTED, sizeof(WANTED));
	support_pool(&m, "large", "'addresses': ['10.1.0.0/16', '255.255.255.254-255.255.255.255']");
	wanted_addresses_fill(w, &m);
	assert_int_equal(w->n, COUNT(WANTED) + WANTED_FREE);
	model_free(&m);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_who), cmocka_unit_test(forgotten), cmocka_unit_test(ever_new_macs), cmocka_unit_test(kernels), cmocka_unit_test(old_suspicions), cmocka_unit_test(times), cmocka_unit_test(so_many_in_a_window), cmocka_unit_test(records),
					   cmocka_unit_test(skipped_and_handed_out_later), cmocka_unit_test(kept_unless_refused),
					   cmocka_unit_test(not_more_than_eight_a_minute), cmocka_unit_test(those_of_before), cmocka_unit_test(wanted)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
