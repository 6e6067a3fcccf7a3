/* Who is passed over for a new address: rounds by hand, then many by chance. Nodes are a, b, c, ... = 0, 1, 2, ... */
#include "speaker/spread.h"
#include "tests/unit/support.h"

#define NODES 8
#define OFFERS 12

static struct address address_number(unsigned n)
{
	return address_from_v4(0xc0a87a64 + n);
}

static struct spread *begin(unsigned revision, const char *held, uint32_t n_nodes)
{
	struct spread *s;
	spread_init(&s);
	spread_begin(s, revision, n_nodes);
	for (; *held; held++)
		spread_hold(s, (uint32_t)(*held - 'a'));
	return s;
}

static void give(struct spread *s, unsigned number, const char *order, uint32_t partner, const struct address *follows)
{
	uint32_t nodes[NODES];
	size_t n = strlen(order);
	struct address a = address_number(number);
	for (size_t i = 0; i < n; i++)
		nodes[i] = (uint32_t)(order[i] - 'a');
	spread_offer(s, &a, nodes, n, partner, follows);
}

/* The first in the order as the election has it: partner, then those with room, then the rest; "-": an empty order. */
static char owner(const struct spread *s, unsigned number, const char *order)
{
	struct address a = address_number(number);
	char best = '-';
	enum spread_place place = SPREAD_FULL;
	for (; *order; order++) {
		enum spread_place now = spread_place(s, &a, (uint32_t)(*order - 'a'));
		if (best == '-' || now < place) {
			best = *order;
			place = now;
		}
	}
	return best;
}

static void rounds(void **state)
{
	static const struct {
		const char *what, *held;
		uint32_t n_nodes;
		const char *orders[OFFERS];
		const char *owners;
	} ROWS[] = {
		{"the first has it", "", 3, {"abc"}, "a"},
		{"a second one would be more than its share", "", 3, {"abc", "abc", "abc"}, "aab"},    /* ceil(3.75 / 3) = 2 */
		{"of two nobody gets both", "", 3, {"abc", "acb"}, "ac"},                               /* ceil(2.5 / 3) = 1 */
		{"what is held counts", "aa", 2, {"ab"}, "b"},                                          /* ceil(3.75 / 2) = 2 */
		{"who has enough is passed over", "aaaa", 3, {"abc", "abc", "abc"}, "bbb"},
		{"with one node there is no choice", "aaa", 1, {"a", "a"}, "aa"},
		{"nobody may have it", "", 2, {"", "ab"}, "-a"},
		{"only some may have these: they share alike", "", 4, {"ab", "ab", "ab", "ab", "ab", "ab", "cd", "dc"}, "aaababcd"},
		{"another has much that only it may have", "aaaaaaaaaaaa", 3, {"abc", "abc", "abc", "acb"}, "bbbc"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct spread *s = begin(1, ROWS[i].held, ROWS[i].n_nodes);
		char got[OFFERS + 1] = "";
		size_t n = strlen(ROWS[i].owners);
		for (unsigned j = 0; j < n; j++)
			give(s, j, ROWS[i].orders[j], SPREAD_NOBODY, NULL);
		spread_assign(s);
		for (unsigned j = 0; j < n; j++)
			got[j] = owner(s, j, ROWS[i].orders[j]);
		if (strcmp(got, ROWS[i].owners) != 0)
			fail_msg("%s: %s", ROWS[i].what, got);
		spread_free(s);
	}
}

static void families(void **state)
{
	struct address first = address_number(0), other = address_number(9);
	(void)state;
	/* The other family's owner comes first though it has enough, unless it may not have this one; it counts like any other. */
	struct spread *s = begin(1, "bbbb", 3);
	give(s, 0, "abc", 1, NULL);
	give(s, 1, "ac", 1, NULL);
	spread_assign(s);
	assert_int_equal(owner(s, 0, "abc"), 'b');
	assert_int_equal(owner(s, 1, "ac"), 'a');
	spread_free(s);
	/* ... and for him, not for the first in the order. */
	s = begin(1, "", 2);
	for (unsigned i = 0; i < 4; i++)
		give(s, i, "ba", i < 3 ? 0 : SPREAD_NOBODY, NULL);
	spread_assign(s);
	struct address last = address_number(3);   /* ceil(5 / 2) = 3 */
	assert_int_equal(spread_place(s, &last, 0), SPREAD_FULL);
	assert_int_equal(spread_place(s, &last, 1), SPREAD_ROOM);
	spread_free(s);
	/* Both are new: the second goes where the first is meant to go. */
	s = begin(1, "", 3);
	give(s, 0, "abc", SPREAD_NOBODY, NULL);
	give(s, 1, "cba", SPREAD_NOBODY, &first);
	give(s, 2, "cba", SPREAD_NOBODY, &other);   /* nobody offered that one */
	spread_assign(s);
	assert_int_equal(owner(s, 1, "cba"), 'a');
	assert_int_equal(owner(s, 2, "cba"), 'c');
	spread_free(s);
}

static void revisions(void **state)
{
	struct address a = address_number(0);
	struct spread *s = begin(7, "aa", 2);
	(void)state;
	assert_false(spread_is_of(s, 7));
	give(s, 0, "ab", SPREAD_NOBODY, NULL);
	spread_assign(s);
	assert_true(spread_is_of(s, 7));
	assert_false(spread_is_of(s, 8));
	assert_int_equal(spread_place(s, &a, 0), SPREAD_FULL);
	spread_begin(s, 8, 2);
	assert_false(spread_is_of(s, 8));   /* not before it is assigned */
	spread_assign(s);
	assert_int_equal(spread_place(s, &a, 0), SPREAD_ROOM);   /* not offered any more */
	spread_free(s);
}

/* Each node and each address has its own place: every second node is full, for some of the addresses only. */
static void many_nodes(void **state)
{
	uint32_t all[20], few[2] = {1, 19};
	struct spread *s;
	(void)state;
	spread_init(&s);
	spread_begin(s, 1, 20);
	for (uint32_t i = 0; i < 20; i++) {
		all[i] = i;
		for (int k = 0; k < 9 && i % 2; k++)
			spread_hold(s, i);
	}
	struct address a[3] = {address_number(0), address_number(1), address_number(2)};
	spread_offer(s, &a[0], all, 20, SPREAD_NOBODY, NULL);
	spread_offer(s, &a[1], few, 2, SPREAD_NOBODY, NULL);   /* ceil(1.25 x 19 / 2) = 12 each */
	spread_offer(s, &a[2], all, 20, SPREAD_NOBODY, NULL);
	spread_assign(s);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(spread_place(s, &a[0], i), i % 2 ? SPREAD_FULL : SPREAD_ROOM);   /* ceil(1.25 x 93 / 20) = 6 */
		assert_int_equal(spread_place(s, &a[1], i), SPREAD_ROOM);
		assert_int_equal(spread_place(s, &a[2], i), i % 2 ? SPREAD_FULL : SPREAD_ROOM);
	}
	spread_free(s);
}

/* Orders by chance: nobody gets more than ceil(1.25 x the fair share) of what all may have, and whoever has taken what was
 * meant for him changes nothing for the rest. */
static void by_chance(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		uint64_t chance = seed;
		unsigned n_nodes = 1 + support_pick(&chance, NODES), n = 1 + support_pick(&chance, 60), loads[NODES] = {0};
		char orders[60][NODES + 1] = {""}, owners[61] = "", held[61] = "";
		struct spread *s = begin(1, "", n_nodes);
		for (unsigned i = 0; i < n; i++) {
			for (unsigned j = 0; j < n_nodes; j++) {   /* shuffled as it is filled */
				unsigned at = support_pick(&chance, j + 1);
				orders[i][j] = orders[i][at];
				orders[i][at] = (char)('a' + j);
			}
			give(s, i, orders[i], SPREAD_NOBODY, NULL);
		}
		spread_assign(s);
		for (unsigned i = 0; i < n; i++)
			loads[(owners[i] = owner(s, i, orders[i])) - 'a']++;
		for (unsigned j = 0; j < n_nodes; j++)
			if (loads[j] > (5 * n + 4 * n_nodes - 1) / (4 * n_nodes))
				fail_msg("seed %llu: %u of %u on one of %u nodes", (unsigned long long)seed, loads[j], n, n_nodes);
		spread_free(s);
		bool taken[60];
		for (unsigned i = 0; i < n; i++)
			if ((taken[i] = support_chance(&chance, 50)))
				held[strlen(held)] = owners[i];
		s = begin(2, held, n_nodes);
		for (unsigned i = 0; i < n; i++)
			if (!taken[i])
				give(s, i, orders[i], SPREAD_NOBODY, NULL);
		spread_assign(s);
		for (unsigned i = 0; i < n; i++)
			if (!taken[i] && owner(s, i, orders[i]) != owners[i])
				fail_msg("seed %llu: %u changed its mind", (unsigned long long)seed, i);
		spread_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rounds), cmocka_unit_test(families), cmocka_unit_test(revisions), cmocka_unit_test(many_nodes), cmocka_unit_test(by_chance)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
