/* The set of taken addresses against a plain array: random additions and removals in a small range, then the ends of both
 * address spaces. */
#include "config/address_set.h"
#include "tests/unit/support.h"

#define N 40
#define BASE 0xc0a80000u   /* 192.168.0.0 */

static bool first_free(const struct address_set *s, unsigned from, unsigned last, unsigned *found)
{
	struct address a = address_from_v4(BASE + from), z = address_from_v4(BASE + last), out;
	if (!address_set_first_free(s, &a, &z, &out))
		return false;
	*found = address_to_v4(&out) - BASE;
	return true;
}

static void against_an_array(void **state)
{
	struct address_set s = {0};
	bool has[N] = {false};
	uint64_t random = 7;
	(void)state;
	for (int i = 0; i < 20000; i++) {
		unsigned at = support_pick(&random, N), from = support_pick(&random, N), last = from + support_pick(&random, N - from), found = 0, wanted = from;
		struct address a = address_from_v4(BASE + at);
		has[at] = support_chance(&random, 55);
		if (has[at])
			address_set_add(&s, &a);
		else
			address_set_remove(&s, &a);
		size_t intervals = 0;
		for (unsigned j = 0; j < N; j++) {
			struct address b = address_from_v4(BASE + j);
			assert_int_equal(address_set_has(&s, &b), has[j]);
			intervals += has[j] && (j == 0 || !has[j - 1]);
		}
		assert_int_equal(s.n, intervals);   /* neighbours are one */
		while (wanted <= last && has[wanted])
			wanted++;
		assert_int_equal(first_free(&s, from, last, &found), wanted <= last);
		if (wanted <= last)
			assert_int_equal(found, wanted);
	}
	address_set_clear(&s);
	assert_int_equal(s.n, 0);
}

static void ends(void **state)
{
	static const char *const ENDS[] = {"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
	struct address_set s = {0};
	struct address out;
	(void)state;
	for (size_t i = 0; i < COUNT(ENDS); i++) {
		struct address a = support_address(ENDS[i]);
		address_set_add(&s, &a);
		address_set_add(&s, &a);
		assert_true(address_set_has(&s, &a));
		assert_false(address_set_first_free(&s, &a, &a, &out));
	}
	assert_int_equal(s.n, 4);   /* the last IPv4 address and the first IPv6 one are no neighbours */
	for (size_t i = 0; i < COUNT(ENDS); i++) {
		struct address a = support_address(ENDS[i]);
		address_set_remove(&s, &a);
		assert_true(address_set_first_free(&s, &a, &a, &out));
		assert_true(address_equal(&a, &out));
	}
	assert_int_equal(s.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(against_an_array), cmocka_unit_test(ends)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
