/* Whose part the census is. */
#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "speaker/census_duty.h"
#include "speaker/election.h"
#include "tests/unit/support.h"

static const struct census_duty_times TIMES = {.silent = 10};
static const char *const NODES[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static struct link_info link_with(int index, const char *name, const char *address, unsigned length)
{
	struct link_info l = {.index = index};
	snprintf(l.name, sizeof(l.name), "%s", name);
	if (address) {
		l.addresses[0] = (struct address_prefix){.address = support_address(address), .length = (uint8_t)length};
		l.n_addresses = 1;
	}
	return l;
}

/* By the rule as it is written: the hash of each, and nothing kept. */
static size_t first_of(const char *network, unsigned there)
{
	struct address a = support_address(network);
	uint8_t least[SHA256_SIZE], h[SHA256_SIZE];
	size_t first = COUNT(NODES);
	for (size_t i = 0; i < COUNT(NODES); i++) {
		election_hash(NODES[i], &a, h);
		if (there & (1u << i) && (first == COUNT(NODES) || memcmp(h, least, sizeof(h)) < 0)) {
			memcpy(least, h, sizeof(h));
			first = i;
		}
	}
	return first;
}

/* Whoever is there: one asks, and all know who. The nodes' own addresses differ, their network does not. */
static void one_asks(void **state)
{
	struct census_duty *d[COUNT(NODES)];
	(void)state;
	for (size_t i = 0; i < COUNT(NODES); i++) {
		char own[ADDRESS_TEXT];
		snprintf(own, sizeof(own), "10.1.2.%zu", 10 + i);
		struct link_info l = link_with((int)i + 2, "eth0", own, 24);
		const struct link_info *links[] = {&l};
		d[i] = census_duty_new(NODES[i], &TIMES);
		census_duty_set_links(d[i], links, 1);
		census_duty_set_nodes(d[i], 0, true, NODES, COUNT(NODES));
	}
	for (unsigned there = 1; there < 1u << COUNT(NODES); there++)
		for (size_t i = 0; i < COUNT(NODES); i++) {
			for (size_t k = 0; k < census_duty_rivals(d[i], 0); k++) {
				size_t who = (size_t)(census_duty_rival(d[i], 0, k)[0] - 'a');
				census_duty_heard(d[i], 0, k, there & (1u << who) ? LIVENESS_ALIVE : LIVENESS_DEAD, INT64_MIN);
			}
			if (there & (1u << i))
				assert_true(census_duty_asks(d[i], 0, 5) == (first_of("10.1.2.0", there) == i));
		}
	for (size_t i = 0; i < COUNT(NODES); i++) {
		assert_int_equal(census_duty_hashes(d[i]), COUNT(NODES));
		census_duty_free(d[i]);
	}
	census_duty_free(NULL);
}

/* The last in order for this network, so that everybody else is a rival, best first. */
static struct census_duty *last_one(const char **name)
{
	struct link_info l = link_with(2, "eth0", "10.1.2.10", 24);
	const struct link_info *links[] = {&l};
	for (size_t i = 0; i < COUNT(NODES); i++) {
		struct census_duty *d = census_duty_new(NODES[i], &TIMES);
		census_duty_set_links(d, links, 1);
		census_duty_set_nodes(d, 0, true, NODES, COUNT(NODES));
		*name = NODES[i];
		if (census_duty_rivals(d, 0) == COUNT(NODES) - 1)
			return d;
		census_duty_free(d);
	}
	fail();
	return NULL;
}

static void who_is_there(void **state)
{
	static const struct { enum liveness_state state; int64_t asked_at; bool asks; } ROWS[] = {
		{LIVENESS_ALIVE, INT64_MIN, false}, {LIVENESS_DEAD, 100, true}, {LIVENESS_SILENT, 100, true}, {LIVENESS_SPEAKER_DOWN, 100, true},
		{LIVENESS_UNKNOWN, INT64_MIN, true}, {LIVENESS_UNKNOWN, 100, false}, {LIVENESS_UNKNOWN, 90, false}, {LIVENESS_UNKNOWN, 89, true}};
	const char *name;
	struct census_duty *d = last_one(&name);
	(void)state;
	assert_int_equal(census_duty_rivals(d, 0), COUNT(NODES) - 1);
	assert_string_equal(census_duty_rival(d, 0, 0), NODES[first_of("10.1.2.0", 0xff)]);
	for (size_t at = 0; at < COUNT(NODES) - 1; at += COUNT(NODES) - 2)   /* the best, and the last before us */
		for (size_t i = 0; i < COUNT(ROWS); i++) {
			for (size_t k = 0; k < COUNT(NODES) - 1; k++)
				census_duty_heard(d, 0, k, k == at ? ROWS[i].state : LIVENESS_DEAD, k == at ? ROWS[i].asked_at : INT64_MIN);
			if (census_duty_asks(d, 0, 100) != ROWS[i].asks)
				fail_msg("row %zu", i);
		}
	census_duty_free(d);
	assert_int_equal(CENSUS_DUTY_TIMES.silent, 180 * CLOCK_S);
}

/* Not known to the others, or without an address to ask from: not we. A rival whose record goes is none any more; a name that
 * stays costs no hash, and keeps what was heard. */
static void hashes_are_kept(void **state)
{
	const char *name;
	struct census_duty *d = last_one(&name);
	struct link_info l = link_with(2, "renamed", "10.1.2.10", 24), moved = link_with(2, "renamed", "10.9.0.10", 16), none = link_with(3, "eth1", NULL, 0);
	const struct link_info *same[] = {&none, &l}, *another[] = {&none, &moved};
	uint64_t hashes = census_duty_hashes(d);
	(void)state;
	census_duty_heard(d, 0, 0, LIVENESS_ALIVE, 0);
	for (int i = 0; i < 100; i++) {
		census_duty_set_links(d, same, 2);
		census_duty_set_nodes(d, 0, true, NODES, COUNT(NODES));
		census_duty_set_nodes(d, 1, true, NODES, COUNT(NODES));
		assert_false(census_duty_asks(d, 1, 100));
	}
	assert_true(census_duty_hashes(d) == hashes);
	assert_false(census_duty_asks(d, 0, 100));   /* no address there */
	assert_int_equal(census_duty_rivals(d, 0), 0);
	census_duty_set_nodes(d, 1, true, &name, 1);
	assert_true(census_duty_asks(d, 1, 100));
	census_duty_set_nodes(d, 1, false, &name, 1);
	assert_false(census_duty_asks(d, 1, 100));
	census_duty_set_nodes(d, 1, true, NODES, COUNT(NODES));
	assert_true(census_duty_hashes(d) == hashes + COUNT(NODES) - 1);   /* they had gone */
	assert_true(census_duty_asks(d, 1, 100));                          /* ... and what was heard of them with them */
	census_duty_set_links(d, another, 2);
	assert_int_equal(census_duty_rivals(d, 1), 0);
	census_duty_set_nodes(d, 1, true, NODES, COUNT(NODES));
	assert_true(census_duty_hashes(d) == hashes + 2 * COUNT(NODES) - 1);
	/* Link-local and IPv6 addresses are none to ask from. */
	struct link_info odd = link_with(4, "eth2", "169.254.1.1", 16);
	odd.addresses[1] = (struct address_prefix){.address = support_address("fd00::1"), .length = 64};
	odd.n_addresses = 2;
	const struct link_info *strange[] = {&odd};
	census_duty_set_links(d, strange, 1);
	census_duty_set_nodes(d, 0, true, NODES, COUNT(NODES));
	assert_false(census_duty_asks(d, 0, 100));
	/* But the first that is one counts, wherever it stands. */
	odd.addresses[2] = (struct address_prefix){.address = support_address("10.1.2.10"), .length = 24};
	odd.n_addresses = 3;
	census_duty_set_links(d, strange, 1);
	census_duty_set_nodes(d, 0, true, NODES, COUNT(NODES));
	assert_int_equal(census_duty_rivals(d, 0), COUNT(NODES) - 1);
	census_duty_free(d);
}

static void where(void **state)
{
	struct link_info first = link_with(2, "mgmt", "10.1.0.5", 24), second = link_with(3, "data", "10.2.0.5", 24);
	const struct link_info *links[] = {&first, &second};
	static const struct { const char *address, *seen_on; bool mgmt, data; } ROWS[] = {
		{"10.1.0.9", NULL, true, false}, {"10.2.0.9", NULL, false, true}, {"10.3.0.9", NULL, true, false},
		{"10.1.0.9", "data", false, true}, {"10.3.0.9", "data", false, true}, {"10.1.0.9", "mgmt", true, false}, {"10.1.0.9", "gone", false, false}};
	struct census_duty *d = census_duty_new("a", &TIMES);
	(void)state;
	census_duty_set_links(d, links, 2);
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct address a = support_address(ROWS[i].address);
		if (census_duty_looks_after(d, 0, &a, ROWS[i].seen_on) != ROWS[i].mgmt || census_duty_looks_after(d, 1, &a, ROWS[i].seen_on) != ROWS[i].data)
			fail_msg("row %zu", i);
	}
	census_duty_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_asks), cmocka_unit_test(who_is_there), cmocka_unit_test(hashes_are_kept), cmocka_unit_test(where)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
