/* Who may have an address, in words, and how far it has come; in the home lab of three nodes. */
#include "speaker/relocation.h"
#include "config/base/clock.h"
#include "tests/unit/support.h"

#define LOCAL ", 'externalTrafficPolicy': 'Local'"
#define IP "192.168.122.100"

static void lab(struct model *m)
{
	support_home(m);
	support_record(m, (struct support_record){.address = IP, .holder = "worker-1", .epoch = 1});
}

static const struct record *record_of(const struct model *m)
{
	struct address a = support_address(IP);
	return model_record(m, &a);
}

/* What is wrong with worker-2, and whether worker-1 could get rid of the address. */
struct change {
	const char *what;
	const char *spec;               /* of the Service */
	const char *slice;
	const char *labels, *conditions;   /* of worker-2 */
	const char *advertisement, *pool;
	const char *links;              /* of worker-2; "": no record */
	bool drained, cordoned;
	const char *obstacle;           /* NULL: none */
	const char *stays;              /* part of why nobody else may have it; NULL: somebody may */
};

static const struct change CHANGES[] = {
	{"nothing", .obstacle = NULL},
	{"Local, endpoint here only", .spec = LOCAL, .obstacle = "Service shop/web has externalTrafficPolicy Local and no endpoint there",
	 .stays = "nobody else can take it: node k8s-control may not have it: Service shop/web has externalTrafficPolicy Local and no endpoint there; node worker-2 may not have it: Service"},
	{"Local, endpoint there", .spec = LOCAL, .slice = SERVES("worker-2"), .obstacle = NULL},
	{"no endpoint", .slice = "", .obstacle = "Service shop/web has no endpoint that can serve", .stays = "no endpoint that can serve"},
	{"excluded", .labels = "'" LABEL_EXCLUDE "': ''", .obstacle = "has the label " LABEL_EXCLUDE},
	{"no network", .conditions = "{'type': 'NetworkUnavailable', 'status': 'True'}", .obstacle = "NetworkUnavailable is True"},
	{"not selected", .advertisement = "'nodeSelectors': [{'matchLabels': {'role': 'control'}}]",
	 .obstacle = "no L2Advertisement selects pool default-pool, the Service and this node"},
	{"no pool", .pool = "'addresses': ['10.0.0.0/24']", .obstacle = "no pool contains the address", .stays = "no pool contains the address"},
	{"no record", .links = "", .obstacle = "there is no Lease node-worker-2, so no speaker of l2lb runs on it"},
	{"no link", .links = "[]", .obstacle = "no link of its is fit for the address (the Lease node-worker-2 lists them"},
	{"the wrong link", .links = ETH0("10.0.0.1/24"), .obstacle = "has no link in the subnet of the address, and another node has one"},
	{"drained", .drained = true, .obstacle = "is drained or cordoned"},
	{"cordoned", .cordoned = true, .obstacle = "is drained or cordoned"},
	{"another Service", .spec = ", 'loadBalancerClass': 'x/y'", .obstacle = "no Service of ours uses the address", .stays = "no Service of ours"},
};

static void apply(struct model *m, const struct change *c)
{
	if (c->spec)
		support_service(m, (struct support_service){.version = 2, .spec = c->spec});
	if (c->slice)
		support_slice(m, "web-1", "web", c->slice);
	if (c->labels || c->conditions)
		support_node(m, "worker-2", support_or(c->labels, "'role': 'worker'"), support_or(c->conditions, ""));
	if (c->advertisement) {
		model_drop_advertisement(m, "all");
		support_advertisement(m, "some", c->advertisement);
	}
	if (c->pool) {
		model_drop_pool(m, "default-pool");
		support_pool(m, "other", c->pool);
	}
	if (c->links && *c->links)
		support_node_record(m, "worker-2", c->links);
	else if (c->links)
		model_drop_node_record(m, "node-worker-2");
	if (c->drained)
		support_drain(m, "worker-2", true);
	if (c->cordoned)
		support_cordon(m, "worker-2", true);
}

static void obstacles(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(CHANGES); i++) {
		struct model m;
		char *why;
		lab(&m);
		apply(&m, &CHANGES[i]);
		char *obstacle = relocation_obstacle(&m, record_of(&m), "worker-2");
		if (!obstacle != !CHANGES[i].obstacle)
			fail_msg("%s: %s", CHANGES[i].what, support_or(obstacle, "no obstacle"));
		if (obstacle)
			unit_contains(obstacle, CHANGES[i].obstacle);
		if (relocation_possible(&m, record_of(&m), &why) == (CHANGES[i].stays != NULL))
			fail_msg("%s: %s", CHANGES[i].what, support_or(why, "possible"));
		if (why)
			unit_contains(why, CHANGES[i].stays);
		free(why);
		free(obstacle);
		model_free(&m);
	}
}

static void other_obstacles(void **state)
{
	struct model m;
	char *why;
	(void)state;
	lab(&m);
	why = relocation_obstacle(&m, record_of(&m), "worker-9");
	assert_string_equal(why, "is not in the cluster; see kubectl get nodes");
	free(why);
	/* All others are drained, or have no link in the subnet: the owner keeps it. */
	support_drain(&m, "worker-2", true);
	support_node_record(&m, "k8s-control", ETH0("10.0.0.10/24"));
	assert_false(relocation_possible(&m, record_of(&m), &why));
	unit_contains(why, "nobody else can take it: node k8s-control has no link in the subnet of the address");
	unit_contains(why, "; node worker-2 is drained or cordoned");
	free(why);
	/* Unless it may not have it itself. */
	support_node(&m, "worker-1", "'" LABEL_EXCLUDE "': ''", "");
	assert_true(relocation_possible(&m, record_of(&m), &why));
	model_drop_node(&m, "worker-2");
	model_drop_node(&m, "k8s-control");
	assert_false(relocation_possible(&m, record_of(&m), &why));
	assert_string_equal(why, "there is no other node");
	free(why);
	model_free(&m);
}

static void preferred(void **state)
{
	struct model m;
	(void)state;
	lab(&m);
	assert_null(relocation_preferred(&m, record_of(&m), "worker-2"));
	model_drop_advertisement(&m, "all");
	support_advertisement(&m, "some", "'preferredNodeSelectors': [{'weight': 9, 'preference': {'matchLabels': {'role': 'control'}}}]");
	assert_string_equal(relocation_preferred(&m, record_of(&m), "worker-2"), "k8s-control");
	assert_null(relocation_preferred(&m, record_of(&m), "k8s-control"));
	support_drain(&m, "k8s-control", true);
	assert_null(relocation_preferred(&m, record_of(&m), "worker-2"));
	model_free(&m);
}

static void expect_text(const struct relocation *l, const char *wanted)
{
	struct buffer text = BUFFER_INIT;
	relocation_text(l, false, &text);
	assert_string_equal(buffer_string(&text), wanted);
	buffer_free(&text);
}

static void again(struct model *m, const char *holder, const char *successor)
{
	static unsigned version = 1;
	support_record(m, (struct support_record){.address = IP, .holder = holder, .successor = successor, .version = ++version});
}

/* What the record says after the question was asked, and what that means. */
static void moves(void **state)
{
	static const struct {
		const char *holder, *successor;
		enum relocation_state wanted;
		const char *text;
	} ROWS[] = {
		{"worker-1", "worker-2", RELOCATION_WAITING, "192.168.122.100  worker-1 -> worker-2  waiting\n"},
		{"worker-2", "", RELOCATION_MOVED, "192.168.122.100  worker-1 -> worker-2  moved in 0.25 s\n"},
		{"worker-1", "", RELOCATION_REFUSED,
		 "192.168.122.100  worker-1 -> worker-2  refused: worker-1 does not hand it over: its log and the Events of the Service say why\n"},
		{"k8s-control", "", RELOCATION_ASTRAY,
		 "192.168.122.100  worker-1 -> worker-2  astray: k8s-control has it now; see the log of its speaker, and move it again\n"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct model m;
		struct relocation l;
		lab(&m);
		relocation_init(&l, record_of(&m), "worker-2", CLOCK_S);
		again(&m, ROWS[i].holder, ROWS[i].successor);
		assert_int_equal(relocation_follow(&l, &m, CLOCK_S + 250 * CLOCK_MS), ROWS[i].wanted != RELOCATION_WAITING);
		assert_int_equal(l.state, ROWS[i].wanted);
		expect_text(&l, ROWS[i].text);
		if (l.state != RELOCATION_WAITING)   /* it is over */
			assert_false(relocation_follow(&l, &m, 2 * CLOCK_S));
		relocation_free(&l);
		model_free(&m);
	}
}

static void drains(void **state)
{
	struct model m;
	struct relocation l;
	(void)state;
	lab(&m);
	support_drain(&m, "worker-1", true);
	relocation_init(&l, record_of(&m), NULL, 0);
	assert_false(relocation_follow(&l, &m, 0));
	expect_text(&l, "192.168.122.100  worker-1  waiting\n");
	support_service(&m, (struct support_service){.version = 2, .spec = LOCAL});
	assert_true(relocation_follow(&l, &m, 0));
	assert_int_equal(l.state, RELOCATION_STAYS);
	unit_contains(l.why, "nobody else can take it");
	support_slice(&m, "web-1", "web", SERVES("worker-1") ", " SERVES("worker-2"));   /* somebody may */
	assert_true(relocation_follow(&l, &m, 0));
	assert_int_equal(l.state, RELOCATION_WAITING);
	again(&m, "", "");   /* the record was made anew: nobody has it yet */
	assert_false(relocation_follow(&l, &m, 1200 * CLOCK_MS));
	again(&m, "worker-2", "");
	assert_true(relocation_follow(&l, &m, 1500 * CLOCK_MS));
	expect_text(&l, "192.168.122.100  worker-1 -> worker-2  moved in 1.50 s\n");
	json_t *json = relocation_json(&l);
	char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(3));
	assert_string_equal(text, "{\"address\":\"192.168.122.100\",\"from\":\"worker-1\",\"to\":\"worker-2\",\"state\":\"moved\",\"message\":null,\"seconds\":1.5}");
	free(text);
	json_decref(json);
	relocation_free(&l);
	relocation_init(&l, record_of(&m), NULL, 0);
	struct address a = support_address(IP);
	model_drop_record(&m, &a);
	assert_true(relocation_follow(&l, &m, 0));
	expect_text(&l, "192.168.122.100  worker-2  gone: its Service has gone, or has another address\n");
	struct buffer coloured = BUFFER_INIT;
	relocation_text(&l, true, &coloured);
	unit_contains(buffer_string(&coloured), "\033[33mgone\033[0m");
	buffer_free(&coloured);
	relocation_free(&l);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(obstacles), cmocka_unit_test(other_obstacles), cmocka_unit_test(preferred),
		cmocka_unit_test(moves),     cmocka_unit_test(drains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
