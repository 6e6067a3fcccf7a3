/* Who may answer, and in which order: metallb-l2.md section 3.1. The hashes are not ours: python3 -c "import hashlib;
 * print(hashlib.sha256(b'worker-1#192.168.122.100').hexdigest())" and so on, sorted by digest. */
#include "speaker/election.h"
#include "tests/unit/support.h"

#define FAILED "{'nodeName': 'worker-1', 'conditions': {'ready': false}}"

static void expect(const struct model *m, const struct record *r, const char *wanted)
{
	struct candidate *list;
	size_t n = election_candidates(m, r, &list);
	char *got = mem_strdup("");
	for (size_t i = 0; i < n; i++) {
		char *longer = mem_printf("%s%s%s", got, i ? " " : "", list[i].node);
		free(got);
		got = longer;
		assert_int_equal(election_check(m, r, list[i].node), ELECTION_ELIGIBLE);
		assert_non_null(list[i].link);
	}
	assert_string_equal(got, wanted);
	free(got);
	free(list);
}

static void hashes(void **state)
{
	struct address v4 = support_address("192.168.122.100"), v6 = support_address("FD00:0::1");
	uint8_t hash[SHA256_SIZE];
	(void)state;
	election_hash("worker-1", &v4, hash);
	assert_memory_equal(hash, ((uint8_t[]){0x09, 0x7a, 0x68, 0x34}), 4);
	election_hash("worker-2", &v6, hash);   /* Go's text form of the address: worker-2#fd00::1 */
	assert_memory_equal(hash, ((uint8_t[]){0x51, 0x24, 0xe6, 0xdf}), 4);
}

static void order(void **state)
{
	static const struct {
		const char *address, *nodes;
	} ROWS[] = {
		{"192.168.122.100", "worker-1 k8s-control worker-2"}, {"192.168.122.101", "worker-2 k8s-control worker-1"},
		{"192.168.122.102", "worker-2 worker-1 k8s-control"}, {"192.168.122.103", "worker-2 k8s-control worker-1"},
		{"192.168.122.104", "worker-2 k8s-control worker-1"}, {"192.168.122.105", "worker-1 worker-2 k8s-control"},
	};
	struct model m;
	(void)state;
	support_home(&m);   /* worker-2 is NotReady: that alone excludes nobody */
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct record *r = support_record_new((struct support_record){.address = ROWS[i].address});
		expect(&m, r, ROWS[i].nodes);
		record_free(r);
	}
	model_free(&m);
}

/* One fact of the lab changed at a time. */
struct change {
	const char *what;
	struct support_service service;   /* name set: put */
	const char *slice;                /* "": none */
	const char *worker1_labels, *worker1_conditions;
	const char *advertisement;        /* "-" : none */
	const char *links;                /* of worker-1 */
	const char *pool;
	bool ignore_exclude_label;
	enum election_refusal worker1;
	const char *nodes;                /* for .100 */
};

static void apply(struct model *m, const struct change *c)
{
	m->ignore_exclude_label = c->ignore_exclude_label;
	if (c->service.name)
		support_service(m, c->service);
	if (c->slice)
		support_slice(m, "web-1", "web", c->slice);
	if (c->worker1_labels || c->worker1_conditions)
		support_node(m, "worker-1", support_or(c->worker1_labels, "'role': 'worker', 'zone': 'a'"), support_or(c->worker1_conditions, ""));
	if (c->advertisement)
		model_drop_advertisement(m, "all");
	if (c->advertisement && *c->advertisement != '-')
		support_advertisement(m, "some", c->advertisement);
	if (c->links && *c->links)
		support_node_record(m, "worker-1", c->links);
	else if (c->links)
		model_drop_node_record(m, "node-worker-1");
	if (c->pool)
		model_drop_pool(m, "default-pool");
	if (c->pool && strcmp(c->pool, "broken") == 0)
		support_malformed_pool(m, "default-pool");
	else if (c->pool && *c->pool)
		support_pool(m, "other", c->pool);
}

static const char ALL[] = "worker-1 k8s-control worker-2", OTHERS[] = "k8s-control worker-2";

static const struct change CHANGES[] = {
	{"nothing", .nodes = ALL},
	/* endpoints */
	{"no slice with endpoints", .slice = "", .worker1 = ELECTION_NO_ENDPOINT, .nodes = ""},
	{"the endpoint fails", .slice = FAILED, .worker1 = ELECTION_NO_ENDPOINT, .nodes = ""},
	{"the endpoint has no conditions", .slice = "{}", .nodes = ALL},
	{"terminating but serving", .slice = "{'nodeName': 'worker-2', 'conditions': {'ready': false, 'serving': true, 'terminating': true}}", .nodes = ALL},
	{"Local: endpoint on worker-1", .service = {.name = "web", .version = 2, .spec = ", 'externalTrafficPolicy': 'Local'"}, .nodes = "worker-1"},
	{"Local: endpoints on two", .service = {.name = "web", .version = 2, .spec = ", 'externalTrafficPolicy': 'Local'"},
	 .slice = SERVES("worker-2") ", " SERVES("k8s-control"), .worker1 = ELECTION_NO_ENDPOINT, .nodes = "k8s-control worker-2"},
	{"Local: endpoint on no node", .service = {.name = "web", .version = 2, .spec = ", 'externalTrafficPolicy': 'Local'"}, .slice = "{}",
	 .worker1 = ELECTION_NO_ENDPOINT, .nodes = ""},
	/* nodes */
	{"exclude label", .worker1_labels = "'" LABEL_EXCLUDE "': ''", .worker1 = ELECTION_NODE_EXCLUDED, .nodes = OTHERS},
	{"exclude label 'false'", .worker1_labels = "'" LABEL_EXCLUDE "': 'false'", .worker1 = ELECTION_NODE_EXCLUDED, .nodes = OTHERS},
	{"exclude label ignored", .worker1_labels = "'" LABEL_EXCLUDE "': ''", .ignore_exclude_label = true, .nodes = ALL},
	{"network unavailable", .worker1_conditions = "{'type': 'NetworkUnavailable', 'status': 'True'}", .worker1 = ELECTION_NODE_EXCLUDED, .nodes = OTHERS},
	{"network available", .worker1_conditions = "{'type': 'NetworkUnavailable', 'status': 'False'}", .nodes = ALL},
	{"network unknown", .worker1_conditions = "{'type': 'NetworkUnavailable', 'status': 'Unknown'}", .nodes = ALL},
	/* advertisements */
	{"no advertisement", .advertisement = "-", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"of this pool", .advertisement = "'ipAddressPools': ['default-pool']", .nodes = ALL},
	{"of another pool", .advertisement = "'ipAddressPools': ['gold']", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"pool selectors that match nothing", .advertisement = "'ipAddressPoolSelectors': [{'matchLabels': {'x': 'y'}}]", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"nodes by label", .advertisement = "'nodeSelectors': [{'matchLabels': {'zone': 'b'}}, {'matchLabels': {'role': 'control'}}]",
	 .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = OTHERS},
	{"Services by label", .advertisement = "'serviceSelectors': [{'matchLabels': {'app': 'web'}}]", .nodes = ALL},
	{"other Services", .advertisement = "'serviceSelectors': [{'matchLabels': {'app': 'git'}}]", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"a preference goes before the hash", .advertisement = "'preferredNodeSelectors': [{'weight': 1, 'preference': {'matchLabels': {'zone': 'b'}}}]",
	 .nodes = "worker-2 worker-1 k8s-control"},
	{"weights add up", .advertisement = "'preferredNodeSelectors': [{'weight': 60, 'preference': {'matchLabels': {'role': 'control'}}}, "
	 "{'weight': 50, 'preference': {'matchLabels': {'role': 'worker'}}}, {'weight': 20, 'preference': {'matchLabels': {'zone': 'b'}}}]",
	 .nodes = "worker-2 k8s-control worker-1"},
	{"a preference excludes nobody", .advertisement = "'preferredNodeSelectors': [{'weight': 100, 'preference': {'matchLabels': {'no': 'node'}}}]", .nodes = ALL},
	/* links */
	{"no node record", .links = "", .worker1 = ELECTION_NO_LINK, .nodes = OTHERS},
	{"no link", .links = "[]", .worker1 = ELECTION_NO_LINK, .nodes = OTHERS},
	{"a link that must be named", .links = "[{'name': 'eth0', 'mac': '02:00:00:00:00:01', 'addresses': [], 'named': true}]", .worker1 = ELECTION_NO_LINK, .nodes = OTHERS},
	{"and is named", .links = "[{'name': 'eth0', 'mac': '02:00:00:00:00:01', 'addresses': [], 'named': true}]", .advertisement = "'interfaces': ['eth0']", .nodes = ALL},
	{"another interface", .advertisement = "'interfaces': ['eth1']", .worker1 = ELECTION_NO_LINK, .nodes = ""},
	{"a link of another subnet will do, if need be", .links = ETH0("10.0.0.1/24"), .nodes = "k8s-control worker-2 worker-1"},
	/* the Service */
	{"not ours by class", .service = {.name = "web", .version = 2, .spec = ", 'loadBalancerClass': 'x/y'"}, .worker1 = ELECTION_NO_SERVICE, .nodes = ""},
	{"another uid than the record's", .service = {.name = "web", .uid = "u2"}, .worker1 = ELECTION_NO_SERVICE, .nodes = ""},
	{"being deleted", .service = {.name = "web", .version = 2, .meta = ", 'deletionTimestamp': '2026-01-01T00:00:00Z'"}, .worker1 = ELECTION_NO_SERVICE, .nodes = ""},
	{"no LoadBalancer", .service = {.name = "web", .version = 2, .spec = ", 'type': 'ClusterIP'"}, .worker1 = ELECTION_NO_SERVICE, .nodes = ""},
	{"the status shows it", .service = {.name = "web", .version = 2, .ips = "192.168.122.100"}, .nodes = ALL},
	{"the status shows another address", .service = {.name = "web", .version = 2, .ips = "192.168.122.101"}, .worker1 = ELECTION_NO_SERVICE, .nodes = ""},
	/* the pool */
	{"no pool", .pool = "", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"a pool that is not in use: nobody loses an address by that", .service = {.name = "web", .version = 2, .annotations = "'" ANNOTATION_FROM_POOL "': 'default-pool'"}, .pool = "broken", .nodes = ALL},
	{"... but not all pools", .service = {.name = "web", .version = 2, .annotations = "'" ANNOTATION_FROM_POOL "': 'other'"}, .pool = "broken", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"... and not for whom nothing names it", .pool = "broken", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"a pool without the address is no such", .service = {.name = "web", .version = 2, .annotations = "'" ANNOTATION_FROM_POOL "': 'default-pool'"}, .pool = "'addresses': ['10.0.0.0/24']",
	 .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
	{"a pool without the address", .pool = "'addresses': ['10.0.0.0/24']", .worker1 = ELECTION_NO_ADVERTISEMENT, .nodes = ""},
};

static void eligibility(void **state)
{
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100"});
	(void)state;
	for (size_t i = 0; i < COUNT(CHANGES); i++) {
		struct model m;
		support_home(&m);
		apply(&m, &CHANGES[i]);
		enum election_refusal got = election_check(&m, r, "worker-1");
		if (got != CHANGES[i].worker1)
			fail_msg("%s: %s", CHANGES[i].what, election_refusal_text(got));
		expect(&m, r, CHANGES[i].nodes);
		model_free(&m);
	}
	record_free(r);
}

static void strangers(void **state)
{
	struct model m;
	struct record *v4 = support_record_new((struct support_record){.address = "192.168.122.100"});
	struct record *v6 = support_record_new((struct support_record){.address = "fd00::1"});
	struct record *nobody = support_record_new((struct support_record){.address = "192.168.122.101", .services = ""});
	(void)state;
	support_home(&m);
	assert_int_equal(election_check(&m, v4, "worker-9"), ELECTION_NO_NODE);
	assert_int_equal(election_check(&m, v6, "worker-1"), ELECTION_NO_LINK);   /* until there is NDP */
	assert_int_equal(election_check(&m, nobody, "worker-1"), ELECTION_NO_SERVICE);
	expect(&m, nobody, "");
	assert_null(election_user(&m, nobody));
	assert_ptr_equal(election_user(&m, v4), model_service(&m, "shop/web"));
	record_free(v4);
	record_free(v6);
	record_free(nobody);
	model_free(&m);
}

/* Which links, by name; the first is the candidate's. */
static void links(void **state)
{
#define LINK(name, addresses, more) "{'name': '" name "', 'mac': '02:00:00:00:00:01', 'addresses': [" addresses "]" more "}"
	static const struct {
		const char *what, *links, *advertisement, *wanted;
	} ROWS[] = {
		{"the subnet decides", LINK("mgmt", "'10.0.0.1/24'", "") ", " LINK("data", "'10.9.0.1/16', '192.168.122.11/24'", ""), "", "data"},
		{"two in the subnet", LINK("a", "'192.168.122.11/24'", "") ", " LINK("b", "'192.168.0.1/16'", ""), "", "a b"},
		{"a host route is no subnet", LINK("lo0", "'192.168.122.100/32'", "") ", " LINK("eth0", "'10.0.0.1/8'", ""), "", "lo0 eth0"},
		{"none: all of them", LINK("a", "'10.0.0.1/24'", "") ", " LINK("b", "", ""), "", "a b"},
		{"of the named ones those in the subnet", LINK("a", "'192.168.122.11/24'", "") ", " LINK("b", "'10.0.0.1/24'", ""), "'interfaces': ['b']", "b"},
		{"named, though not by default", LINK("br0", "", ", 'named': true") ", " LINK("b", "'192.168.122.11/24'", ""), "'interfaces': ['br0']", "br0"},
	};
	(void)state;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100"});
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct model m;
		const struct node_link *found[8];
		char *text = mem_printf("[%s]", ROWS[i].links), got[64] = "";
		support_home(&m);
		support_node_record(&m, "worker-1", text);
		model_drop_advertisement(&m, "all");
		support_advertisement(&m, "one", ROWS[i].advertisement);
		size_t n = election_links(&m, r, model_node_record(&m, "worker-1"), found, COUNT(found));
		for (size_t j = 0; j < n; j++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", j ? " " : "", found[j]->name);
		if (strcmp(got, ROWS[i].wanted) != 0)
			fail_msg("%s: %s", ROWS[i].what, got);
		assert_int_equal(election_links(&m, r, model_node_record(&m, "worker-1"), found, 1), 1);
		struct candidate *list;
		size_t k = election_candidates(&m, r, &list);
		for (size_t j = 0; j < k; j++)
			if (strcmp(list[j].node, "worker-1") == 0)
				assert_ptr_equal(list[j].link, found[0]);
		free(list);
		free(text);
		model_free(&m);
	}
	record_free(r);
}

/* A node that has lost the right link has others, and comes last; our own links count as they are, not as recorded. */
static void makeshift(void **state)
{
	struct model m;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.101"});
	struct node_link own = {.name = "eth0"};
	(void)state;
	support_home(&m);
	expect(&m, r, "worker-2 k8s-control worker-1");
	support_node_record(&m, "worker-2", ETH0("10.0.0.12/24"));
	expect(&m, r, "k8s-control worker-1 worker-2");
	m.own = &(struct node_record){.node = (char *)"worker-2", .links = &own, .n_links = 1};
	own.addresses[own.n_addresses++] = (struct address_prefix){.address = support_address("192.168.122.12"), .length = 24};
	own.by_default = true;
	expect(&m, r, "worker-2 k8s-control worker-1");
	m.own = &(struct node_record){.node = (char *)"worker-2"};
	expect(&m, r, "k8s-control worker-1");
	m.own = NULL;
	/* Who names links means them, whatever addresses they have. */
	model_drop_advertisement(&m, "all");
	support_advertisement(&m, "all", "'interfaces': ['eth0']");
	expect(&m, r, "worker-2 k8s-control worker-1");
	record_free(r);
	model_free(&m);
}

/* Drained or cordoned: eligible, after all others, but before those without the right link. */
static void draining(void **state)
{
	struct model m;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.101"});
	struct node_record own = {.node = (char *)"worker-1", .draining = true};
	(void)state;
	support_home(&m);
	expect(&m, r, "worker-2 k8s-control worker-1");
	support_drain(&m, "worker-2", true);
	expect(&m, r, "k8s-control worker-1 worker-2");
	support_cordon(&m, "k8s-control", true);
	expect(&m, r, "worker-1 worker-2 k8s-control");
	own.links = model_node_record(&m, "worker-1")->links;   /* of ourselves we know it before others do */
	own.n_links = 1;
	m.own = &own;
	m.revision++;
	expect(&m, r, "worker-2 k8s-control worker-1");
	m.own = NULL;
	support_node_record(&m, "worker-1", ETH0("10.0.0.11/24"));
	expect(&m, r, "worker-2 k8s-control worker-1");
	support_drain(&m, "worker-2", false);
	support_cordon(&m, "k8s-control", false);
	model_drop_advertisement(&m, "all");
	support_advertisement(&m, "some", "'preferredNodeSelectors': [{'weight': 9, 'preference': {'matchLabels': {'role': 'control'}}}]");
	expect(&m, r, "k8s-control worker-2 worker-1");
	support_cordon(&m, "k8s-control", true);   /* whatever is preferred */
	expect(&m, r, "worker-2 k8s-control worker-1");
	record_free(r);
	model_free(&m);
}

/* externalTrafficPolicy Local: a node whose endpoints are terminating serves still, and comes after those that will go on. */
static void ending(void **state)
{
#define ENDS(node) "{'nodeName': '" node "', 'conditions': {'ready': false, 'serving': true, 'terminating': true}}"
	struct model m;
	struct candidate *list;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .services = "shop/web,shop/git", .uids = "u-web,u-git"});
	(void)state;
	support_home(&m);
	support_slice(&m, "web-1", "web", ENDS("worker-1") ", " SERVES("worker-2"));
	expect(&m, r, ALL);   /* with Cluster any endpoint will do */
	support_service(&m, (struct support_service){.version = 2, .spec = ", 'externalTrafficPolicy': 'Local'"});
	expect(&m, r, "worker-2 worker-1");
	assert_int_equal(election_candidates(&m, r, &list), 2);
	assert_false(list[0].ending);
	assert_true(list[1].ending);
	free(list);
	/* Another Service of the address has an endpoint there that stays. */
	support_service(&m, (struct support_service){.name = "git", .spec = ", 'externalTrafficPolicy': 'Local'"});
	support_slice(&m, "git-1", "git", SERVES("worker-1"));
	expect(&m, r, "worker-1 worker-2");
	support_slice(&m, "git-1", "git", ENDS("worker-1"));
	expect(&m, r, "worker-2 worker-1");
	record_free(r);
	model_free(&m);
}

/* Of 24 new addresses at once, plain order would give worker-2 more than its share. */
static void spread(void **state)
{
	static const char *const NODES[] = {"k8s-control", "worker-1", "worker-2"};
	struct model m;
	unsigned plain[3] = {0}, got[3] = {0};
	(void)state;
	support_home(&m);
	for (int i = 0; i < 24; i++) {
		char text[ADDRESS_TEXT];
		snprintf(text, sizeof(text), "192.168.122.%d", 100 + (i * 7) % 24);   /* seen in any order */
		support_record(&m, (struct support_record){.address = text});
	}
	struct record_entry *e, *tmp;
	HASH_ITER(hh, m.records, e, tmp) {
		struct candidate *list;
		assert_int_equal(election_candidates(&m, e->record, &list), 3);
		int best = 0;
		for (int i = 0; i < 3; i++) {
			got[i] += strcmp(list[0].node, NODES[i]) == 0;
			best = memcmp(list[i].hash, list[best].hash, SHA256_SIZE) < 0 ? i : best;
		}
		for (int i = 0; i < 3; i++)
			plain[i] += strcmp(list[best].node, NODES[i]) == 0;
		free(list);
	}
	for (int i = 0; i < 3; i++)
		if (got[i] > 10)   /* ceil(1.25 x 24 / 3) */
			fail_msg("%s would own %u of 24 (%u in plain order)", NODES[i], got[i], plain[i]);
	model_free(&m);
}

/* What a record says that makes its address a new one; and who is passed over when it is. In plain order .101 is worker-2's. */
/* Nor does it matter in which order they became known. */
static void spread_alike(void **state)
{
	char owners[2][32] = {""};
	(void)state;
	for (int round = 0; round < 2; round++) {
		struct model m;
		support_home(&m);
		for (int i = 0; i < 24; i++) {
			char text[ADDRESS_TEXT];
			snprintf(text, sizeof(text), "192.168.122.%d", 100 + (round ? (i * 7) % 24 : i));
			support_record(&m, (struct support_record){.address = text});
		}
		for (int i = 0; i < 24; i++) {
			char text[ADDRESS_TEXT];
			struct candidate *list;
			snprintf(text, sizeof(text), "192.168.122.%d", 100 + i);
			struct address a = support_address(text);
			assert_int_equal(election_candidates(&m, model_record(&m, &a), &list), 3);
			owners[round][i] = list[0].node[strlen(list[0].node) - 1];
			free(list);
		}
		model_free(&m);
	}
	assert_string_equal(owners[0], owners[1]);
}

/* A Service that is gone, or has moved to another address, has no say about links. */
static void links_of_users(void **state)
{
	struct model m;
	const struct node_link *found[8];
	struct record *gone = support_record_new((struct support_record){.address = "192.168.122.100", .services = "shop/gone,shop/web", .uids = "u-gone,u-web"});
	struct record *moved = support_record_new((struct support_record){.address = "192.168.122.100", .services = "shop/git", .uids = "u-git"});
	(void)state;
	support_home(&m);
	support_service(&m, (struct support_service){.name = "git", .ips = "192.168.122.101"});
	assert_int_equal(election_links(&m, gone, model_node_record(&m, "worker-1"), found, 8), 1);
	assert_int_equal(election_links(&m, moved, model_node_record(&m, "worker-1"), found, 8), 0);
	record_free(gone);
	record_free(moved);
	model_free(&m);
}

static void new_or_not(void **state)
{
	static const struct {
		const char *what;
		struct support_record record;
		const char *nodes;
	} ROWS[] = {
		{"new", {.address = "192.168.122.101"}, "k8s-control worker-1 worker-2"},
		{"was owned", {.address = "192.168.122.101", .epoch = 3}, "worker-2 k8s-control worker-1"},
		{"is owned", {.address = "192.168.122.101", .epoch = 1, .holder = "worker-1"}, "worker-2 k8s-control worker-1"},
		{"stood in a status", {.address = "192.168.122.101", .found = true}, "worker-2 k8s-control worker-1"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct model m;
		support_home(&m);
		support_record(&m, (struct support_record){.address = "192.168.122.110", .holder = "worker-2", .epoch = 1, .services = "shop/a", .uids = "u-a"});
		support_record(&m, ROWS[i].record);
		struct address a = support_address("192.168.122.101");
		expect(&m, model_record(&m, &a), ROWS[i].nodes);
		/* Another revision, another outcome. */
		struct address other = support_address("192.168.122.110");
		model_drop_record(&m, &other);
		expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");
		model_free(&m);
	}
}

/* What we have asked for and do not have yet is ours in our own eyes: else a burst would give us more than our share. */
static void claimed(void **state)
{
	struct model m;
	struct node_record own = {.node = (char *)"worker-2"};
	struct address a = support_address("192.168.122.101"), other = support_address("192.168.122.110");
	(void)state;
	support_home(&m);
	support_record(&m, (struct support_record){.address = "192.168.122.101"});
	support_record(&m, (struct support_record){.address = "192.168.122.110", .services = "shop/a", .uids = "u-a"});   /* nobody may have it, now */
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");
	model_note_claim(&m, &other, true);
	m.revision++;
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");   /* we are nobody yet */
	own.links = model_node_record(&m, "worker-2")->links;
	own.n_links = 1;
	m.own = &own;
	m.revision++;
	expect(&m, model_record(&m, &a), "k8s-control worker-1 worker-2");
	support_record(&m, (struct support_record){.address = "192.168.122.110", .holder = "worker-1", .epoch = 1, .version = 2, .services = "shop/a", .uids = "u-a"});
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");   /* another was faster */
	model_note_claim(&m, &other, false);
	model_drop_record(&m, &other);
	model_note_claim(&m, &other, true);   /* it is gone: nothing to note */
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");
	model_free(&m);
}

/* A new address goes where the Service's other family is, full or not, but not to one that is worse off. */
static void second_family(void **state)
{
	struct model m;
	struct address a = support_address("192.168.122.101");
	(void)state;
	support_home(&m);
	support_record(&m, (struct support_record){.address = "192.168.122.101"});
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");
	support_record(&m, (struct support_record){.address = "fd00::1", .holder = "worker-1", .epoch = 1});
	expect(&m, model_record(&m, &a), "worker-1 worker-2 k8s-control");
	support_record(&m, (struct support_record){.address = "192.168.122.110", .holder = "worker-1", .epoch = 1, .services = "shop/a", .uids = "u-a"});
	expect(&m, model_record(&m, &a), "worker-1 worker-2 k8s-control");
	support_drain(&m, "worker-1", true);
	expect(&m, model_record(&m, &a), "worker-2 k8s-control worker-1");
	/* Who has the other family waits for nobody. */
	model_drop_node_record(&m, "node-worker-2");
	assert_true(election_awaits(&m, model_record(&m, &a), "k8s-control"));
	assert_false(election_awaits(&m, model_record(&m, &a), "worker-1"));
	model_free(&m);
}

/* Interfaces of several advertisements add up; one without any allows all default links (metallb-l2.md 3.2). */
static void links_of_several(void **state)
{
	struct model m;
	const struct node_link *found[8];
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100"});
	(void)state;
	support_home(&m);
	support_node_record(&m, "worker-1", "[" LINK("a", "", "") ", " LINK("b", "", ", 'named': true") ", " LINK("c", "", "") "]");
	model_drop_advertisement(&m, "all");
	support_advertisement(&m, "one", "'interfaces': ['b']");
	support_advertisement(&m, "two", "'interfaces': ['c'], 'nodeSelectors': [{'matchLabels': {'zone': 'a'}}]");
	support_advertisement(&m, "elsewhere", "'nodeSelectors': [{'matchLabels': {'zone': 'b'}}]");
	assert_int_equal(election_links(&m, r, model_node_record(&m, "worker-1"), found, 8), 2);
	assert_string_equal(found[0]->name, "b");
	assert_string_equal(found[1]->name, "c");
	support_advertisement(&m, "three", "");
	assert_int_equal(election_links(&m, r, model_node_record(&m, "worker-1"), found, 8), 3);
	model_drop_pool(&m, "default-pool");
	assert_int_equal(election_links(&m, r, model_node_record(&m, "worker-1"), found, 8), 0);
	record_free(r);
	model_free(&m);
}

/* A node that is eligible through one of two Services has links through it too. */
static void two_services(void **state)
{
	struct model m;
	const struct node_link *found[8];
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .services = "shop/web,shop/git", .uids = "u-web,u-git"});
	(void)state;
	support_home(&m);
	support_service(&m, (struct support_service){.name = "git", .labels = "'app': 'git'"});
	model_drop_advertisement(&m, "all");
	support_advertisement(&m, "git", "'serviceSelectors': [{'matchLabels': {'app': 'git'}}]");
	expect(&m, r, "");
	support_slice(&m, "git-1", "git", SERVES("worker-2"));
	expect(&m, r, ALL);
	assert_int_equal(election_links(&m, r, model_node_record(&m, "worker-1"), found, 8), 1);
	record_free(r);
	model_free(&m);
}

/* Both families go by the address that comes first in the status; before there is one, by the record's own. */
static void dual_stack(void **state)
{
	struct model m;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100"});
	(void)state;
	support_home(&m);
	expect(&m, r, ALL);
	support_service(&m, (struct support_service){.version = 2, .ips = "192.168.122.100,fd00::1"});
	expect(&m, r, ALL);
	support_service(&m, (struct support_service){.version = 3, .ips = "fd00::1,192.168.122.100"});
	expect(&m, r, "worker-2 k8s-control worker-1");
	record_free(r);
	model_free(&m);
}

/* The first choice has not shown its links yet: the second may wait for it, the first has nobody to wait for. */
static void awaited(void **state)
{
	struct model m;
	struct candidate *list;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100"});
	(void)state;
	support_home(&m);
	assert_int_equal(election_candidates(&m, r, &list), 3);
	char *first = mem_strdup(list[0].node), *second = mem_strdup(list[1].node), *lease = node_record_name(first);
	free(list);
	assert_false(election_awaits(&m, r, second));
	model_drop_node_record(&m, lease);
	assert_true(election_awaits(&m, r, second));
	assert_false(election_awaits(&m, r, first));
	support_cordon(&m, first, true);   /* it would come last */
	assert_false(election_awaits(&m, r, second));
	support_cordon(&m, first, false);
	assert_true(election_awaits(&m, r, second));
	model_drop_node(&m, first);
	assert_false(election_awaits(&m, r, second));
	/* Who is drained would come after any other. */
	char *third = mem_strdup(strcmp(second, "k8s-control") == 0 ? "worker-2" : "k8s-control"), *theirs = node_record_name(third);
	model_drop_node_record(&m, theirs);
	assert_false(election_awaits(&m, r, second));
	support_drain(&m, second, true);
	assert_true(election_awaits(&m, r, second));
	support_drain(&m, second, false);
	/* What we have published ourselves is newer than what has come back. */
	struct node_record own = *model_node_record(&m, second);
	own.draining = true;
	m.own = &own;
	assert_true(election_awaits(&m, r, second));
	own.node = third;   /* not about that one */
	assert_false(election_awaits(&m, r, second));
	m.own = NULL;
	free(third);
	free(theirs);
	free(first);
	free(second);
	free(lease);
	record_free(r);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes), cmocka_unit_test(order), cmocka_unit_test(eligibility), cmocka_unit_test(strangers),
		cmocka_unit_test(links), cmocka_unit_test(makeshift), cmocka_unit_test(links_of_several), cmocka_unit_test(two_services),
		cmocka_unit_test(dual_stack), cmocka_unit_test(awaited), cmocka_unit_test(draining), cmocka_unit_test(ending),
		cmocka_unit_test(spread_alike), cmocka_unit_test(links_of_users), cmocka_unit_test(spread), cmocka_unit_test(new_or_not), cmocka_unit_test(claimed), cmocka_unit_test(second_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
