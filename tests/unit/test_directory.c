/* Where the gateway and the named hosts are, and when they are asked for. */
#include "arp/directory.h"
#include "config/base/clock.h"
#include "tests/unit/unit.h"

#define GATEWAY 0x0a630001
#define PRINTER 0x0a630030
static const struct mac ONE = {{2, 0, 0, 0, 0, 1}}, OTHER = {{2, 0, 0, 0, 0, 2}};

static void asks_until_it_is_heard(void **state)
{
	static const int64_t WANTED[] = {0, 200, 600, 1400, 3000, 6200, 12600, 25400, 51000, 102200, 162200};
	(void)state;
	struct directory *d = directory_new(NULL);
	assert_int_equal(directory_deadline(d), CLOCK_NEVER);
	directory_set(d, (uint32_t[DIRECTORY_HOSTS]){GATEWAY}, 0);
	for (size_t i = 0; i < COUNT(WANTED); i++) {
		assert_int_equal(directory_deadline(d), WANTED[i] * CLOCK_MS);
		assert_int_equal(directory_ask(d, WANTED[i] * CLOCK_MS - 1), 0);
		assert_int_equal(directory_ask(d, WANTED[i] * CLOCK_MS), GATEWAY);
		assert_int_equal(directory_ask(d, WANTED[i] * CLOCK_MS), 0);
	}
	assert_null(directory_mac(d, 0));
	assert_true(directory_heard(d, GATEWAY, &ONE, 184 * CLOCK_S));
	assert_true(mac_equal(directory_mac(d, 0), &ONE));
	assert_int_equal(directory_deadline(d), 244 * CLOCK_S);
	assert_int_equal(directory_ask(d, 244 * CLOCK_S), GATEWAY);
	assert_int_equal(directory_deadline(d), 304 * CLOCK_S);
	directory_free(d);
	directory_free(NULL);
}

static void several(void **state)
{
	(void)state;
	uint32_t hosts[DIRECTORY_HOSTS] = {0, PRINTER, 0, GATEWAY};
	struct directory *d = directory_new(NULL);
	directory_set(d, hosts, 5);
	assert_int_equal(directory_ask(d, 5), PRINTER);
	assert_int_equal(directory_ask(d, 5), GATEWAY);
	assert_int_equal(directory_ask(d, 5), 0);
	assert_false(directory_heard(d, 0, &ONE, 6));   /* an empty place is nobody */
	assert_false(directory_heard(d, PRINTER + 1, &ONE, 6));
	assert_true(directory_heard(d, PRINTER, &ONE, 6));
	assert_false(directory_heard(d, PRINTER, &ONE, 7));
	assert_true(directory_heard(d, PRINTER, &OTHER, 8));   /* another machine by now */
	assert_true(mac_equal(directory_mac(d, 1), &OTHER));
	assert_int_equal(directory_address(d, 1), PRINTER);
	assert_null(directory_mac(d, 0));
	assert_null(directory_mac(d, 3));
	/* Who stays in its place stays known, and is asked for anew. */
	hosts[0] = GATEWAY;
	hosts[3] = 0;
	directory_set(d, hosts, 9);
	assert_true(mac_equal(directory_mac(d, 1), &OTHER));
	assert_int_equal(directory_ask(d, 9), GATEWAY);
	assert_int_equal(directory_ask(d, 9), PRINTER);
	hosts[1] = PRINTER + 1;
	directory_set(d, hosts, 10);
	assert_null(directory_mac(d, 1));
	directory_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(asks_until_it_is_heard), cmocka_unit_test(several)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
