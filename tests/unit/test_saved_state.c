/* What a speaker writes down and makes of it again. */
#include "speaker/election.h"
#include "speaker/saved_state.h"
#include "tests/unit/support.h"

#define LINKS "[{'name': 'eth0', 'mac': '02:00:00:00:00:0a', 'addresses': ['192.168.122.10/24']}]"
#define PEERS "[{'name': 'eth0', 'mac': '02:00:00:00:00:0b', 'addresses': ['192.168.122.11/24']}]"

static void cluster(struct model *m)
{
	model_init(m, "", false);
	support_pool(m, "default-pool", "'addresses': ['192.168.122.100-192.168.122.150', 'fd00::1-fd00::9']");
	support_advertisement(m, "all", "");
	support_node(m, "a", "", "");
	support_node(m, "b", "", "");
	support_node_record(m, "b", PEERS);
	support_node_record(m, "a", LINKS);
	support_service(m, (struct support_service){.ips = "192.168.122.100"});
	support_slice(m, "web-1", "web", "{'addresses': ['10.244.0.5'], 'nodeName': 'b', 'conditions': {'ready': true}}");
	support_record(m, (struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = 7});
	support_record(m, (struct support_record){.address = "192.168.122.101", .holder = "b", .epoch = 2});
}

static char *saved(void)
{
	struct model m;
	struct address ours[] = {support_address("192.168.122.140"), support_address("192.168.122.100")};   /* the first has no record by now */
	cluster(&m);
	char *text = saved_state_encode(&m, "a", ours, 2);
	char *again = saved_state_encode(&m, "a", ours, 2);
	assert_string_equal(text, again);
	free(again);
	model_free(&m);
	return text;
}

static void there_and_back(void **state)
{
	struct model *m;
	struct error err = {""};
	struct candidate *list;
	const struct node_link *links[4];
	char *text = saved();
	(void)state;
	assert_int_equal(saved_state_decode(text, "a", &m, &err), 0);
	struct address ours = support_address("192.168.122.100"), others = support_address("192.168.122.101"), six = support_address("fd00::5");
	const struct record *r = model_record(m, &ours);
	assert_non_null(r);
	assert_string_equal(r->holder, "a");
	assert_int_equal(r->epoch, 7);
	assert_null(model_record(m, &others));   /* not ours to answer */
	assert_int_equal(election_candidates(m, r, &list), 1);
	assert_string_equal(list[0].node, "a");
	free(list);
	assert_non_null(election_user(m, r));
	assert_int_equal(election_links(m, r, m->own, links, 4), 1);
	assert_string_equal(links[0]->name, "eth0");
	assert_non_null(model_node_record(m, "b"));   /* peers are known by their MACs */
	assert_non_null(model_pool_of(m, &others));
	assert_non_null(model_pool_of(m, &six));
	model_free(m);
	free(m);
	free(text);
}

static void refuses(void **state)
{
	static const struct { const char *text, *why; } BAD[] = {
		{"", "not JSON"}, {"{", "not JSON"}, {"[]", "version"}, {"{}", "version"}, {"{\"format\": 2}", "version"}, {"{\"format\": 1}", "node \"\""},
		{"{\"format\": 1, \"node\": \"a\"}", "nothing to resume"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": []}", "nothing was ours"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": [{}], \"ranges\": [\"1.2.3.4\"], \"interfaces\": [\"e\"], \"nodes\": []}", "address is missing"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": [{\"address\": \"x\"}], \"ranges\": [\"1.2.3.4-1.2.3.9\"], \"interfaces\": [\"e\"]}", "x"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": [{\"address\": \"1.2.3.4\"}], \"ranges\": [\"1.2.3.4-1.2.3.9\"], \"interfaces\": [\"e\"]}", "links are missing"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": [{\"address\": \"1.2.3.4\"}], \"ranges\": [7], \"interfaces\": [\"e\"]}", "addresses"},
		{"{\"format\": 1, \"node\": \"a\", \"addresses\": [{\"address\": \"1.2.3.4\"}], \"ranges\": [\"1.2.3.4-1.2.3.9\"], \"interfaces\": [\"e\"], \"nodes\": [7]}", ""},
	};
	struct model *m;
	struct error err;
	char *text = saved();
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		assert_true(saved_state_decode(BAD[i].text, "a", &m, &err) < 0);
		if (!strstr(err.text, BAD[i].why))
			fail_msg("%s: %s", BAD[i].text, err.text);
	}
	assert_true(saved_state_decode(text, "b", &m, &err) < 0);
	assert_string_equal(err.text, "written by node \"a\"");
	for (size_t cut = 0; cut < strlen(text); cut += 7) {   /* torn */
		char *torn = mem_strndup(text, cut);
		assert_true(saved_state_decode(torn, "a", &m, &err) < 0);
		free(torn);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(refuses)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
