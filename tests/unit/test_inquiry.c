/* On which links an address is asked for, and from which address. */
#include "arp/inquiry.h"

#include <net/if_arp.h>

#include "tests/unit/unit.h"

static struct link_info LINKS[8];

struct link_case {
	const char *name;
	int master;
	unsigned flags;
	const char *addresses[3];   /* "192.168.122.10/24" */
};

#define UP (IFF_UP | IFF_RUNNING | IFF_BROADCAST)

static struct link_table table_of(const struct link_case *cases, size_t n)
{
	memset(LINKS, 0, sizeof(LINKS));
	for (size_t i = 0; i < n; i++) {
		struct link_info *l = &LINKS[i];
		l->index = (int)i + 1;
		strcpy(l->name, cases[i].name);
		l->master = cases[i].master;
		l->port = l->master != 0;
		l->flags = cases[i].flags;
		l->type = ARPHRD_ETHER;
		for (size_t j = 0; j < 3 && cases[i].addresses[j]; j++)
			assert_int_equal(address_prefix_parse(cases[i].addresses[j], &l->addresses[l->n_addresses++], NULL), 0);
	}
	return (struct link_table){LINKS, n};
}

static uint32_t v4(const char *text)
{
	struct address a;
	assert_int_equal(address_parse(text, &a, NULL), 0);
	return address_to_v4(&a);
}

/* A hypervisor: an uplink, the guests' bridge with a port on it, containers' bridge, a link without address. */
static const struct link_case HYPERVISOR[] = {
	{"ens33", 0, UP, {"10.0.0.5/24", "fd00::5/64"}},
	{"virbr0", 0, UP, {"192.168.122.1/24"}},
	{"vnet0", 2, UP, {"192.168.122.77/24"}},
	{"docker0", 0, UP, {"172.17.0.1/16"}},
	{"eth9", 0, UP, {NULL}},
	{"eth8", 0, IFF_UP | IFF_BROADCAST, {"192.168.122.8/24"}},   /* no carrier */
};

static void by_subnet(void **state)
{
	struct link_table t = table_of(HYPERVISOR, COUNT(HYPERVISOR));
	struct inquiry_route routes[INQUIRY_LINKS];
	struct error err;
	(void)state;
	assert_int_equal(inquiry_choose(&t, NULL, v4("192.168.122.100"), routes, &err), 1);
	assert_string_equal(routes[0].link->name, "virbr0");   /* not its port, nor a link without carrier */
	assert_int_equal(routes[0].own, v4("192.168.122.1"));
	assert_int_equal(inquiry_choose(&t, NULL, v4("10.0.0.9"), routes, &err), 1);
	assert_string_equal(routes[0].link->name, "ens33");
}

static void elsewhere(void **state)
{
	struct link_table t = table_of(HYPERVISOR, COUNT(HYPERVISOR));
	struct inquiry_route routes[INQUIRY_LINKS];
	struct error err;
	(void)state;
	/* Of no subnet: what a node would use by default, so neither virbr0 nor docker0 nor a link without address. */
	assert_int_equal(inquiry_choose(&t, NULL, v4("192.168.55.1"), routes, &err), 1);
	assert_string_equal(routes[0].link->name, "ens33");
	assert_int_equal(routes[0].own, v4("10.0.0.5"));
}

static void several(void **state)
{
	static const struct link_case TWO[] = {
		{"eth0", 0, UP, {"172.16.0.1/24", "192.168.122.10/24"}},
		{"eth1", 0, UP, {"192.168.122.11/24"}},
		{"lo", 0, UP, {"192.168.122.100/32"}},
	};
	struct link_table t = table_of(TWO, COUNT(TWO));
	struct inquiry_route routes[INQUIRY_LINKS];
	struct error err;
	(void)state;
	assert_int_equal(inquiry_choose(&t, NULL, v4("192.168.122.100"), routes, &err), 2);
	assert_int_equal(routes[0].own, v4("192.168.122.10"));   /* the address of that subnet, not the first one */
	assert_int_equal(routes[1].own, v4("192.168.122.11"));
}

static void named(void **state)
{
	struct link_table t = table_of(HYPERVISOR, COUNT(HYPERVISOR));
	struct inquiry_route routes[INQUIRY_LINKS];
	struct error err;
	(void)state;
	assert_int_equal(inquiry_choose(&t, "docker0", v4("192.168.122.100"), routes, &err), 1);
	assert_string_equal(routes[0].link->name, "docker0");
	assert_int_equal(inquiry_choose(&t, "nope", v4("192.168.122.100"), routes, &err), -ENODEV);
	unit_contains(err.text, "nope");
	assert_int_equal(inquiry_choose(&t, "eth8", v4("192.168.122.100"), routes, &err), -ENETDOWN);
	assert_int_equal(inquiry_choose(&t, "vnet0", v4("192.168.122.100"), routes, &err), -EINVAL);
	unit_contains(err.text, "--interface virbr0");
	assert_int_equal(inquiry_choose(&t, "eth9", v4("192.168.122.100"), routes, &err), -EADDRNOTAVAIL);
	unit_contains(err.text, "ARP probe");
}

static void nowhere(void **state)
{
	static const struct link_case NONE[] = {{"eth9", 0, UP, {NULL}}, {"eth0", 0, IFF_BROADCAST, {"192.168.122.8/24"}}};
	struct link_table t = table_of(NONE, COUNT(NONE));
	struct inquiry_route routes[INQUIRY_LINKS];
	struct error err;
	(void)state;
	assert_int_equal(inquiry_choose(&t, NULL, v4("192.168.122.100"), routes, &err), -ENETUNREACH);
	unit_contains(err.text, "192.168.122.100: no link to ask on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_subnet), cmocka_unit_test(elsewhere), cmocka_unit_test(several), cmocka_unit_test(named), cmocka_unit_test(nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
