/* The table of links: what a kernel really said (tests/fuzz/corpus/netlink, recorded by tests/fuzz/record.py), and messages
 * built here for kernels and drivers that the recording machine has not. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>

#include "arp/link_table.h"
#include "tests/unit/unit.h"

#define RECORDED "tests/fuzz/corpus/netlink/"
#define WORKS (IFF_UP | IFF_RUNNING | IFF_BROADCAST)

/* ---- what was recorded ---- */

static char *recorded(const char *name, size_t *lenp)
{
	char *path = mem_printf(RECORDED "%s", name), *bytes = mem_zalloc(1 << 16);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s: %s (run from the repository's root)", path, strerror(errno));
	*lenp = fread(bytes, 1, 1 << 16, f);
	fclose(f);
	free(path);
	return bytes;
}

static int replay(struct link_table *t, const char *name)
{
	size_t len;
	char *bytes = recorded(name, &len);
	int news = link_table_apply(t, bytes, len);
	assert_int_equal(news & LINK_TABLE_MALFORMED, 0);
	free(bytes);
	return news;
}

static void replay_dumps(struct link_table *t)
{
	assert_int_equal(replay(t, "dump-links"), LINK_TABLE_CHANGED | LINK_TABLE_DONE);
	assert_int_equal(replay(t, "dump-addresses"), LINK_TABLE_CHANGED | LINK_TABLE_DONE);
	assert_int_equal(replay(t, "dump-routes"), LINK_TABLE_CHANGED | LINK_TABLE_DONE);
}

static const struct link_info *get(const struct link_table *t, const char *name)
{
	const struct link_info *link = link_table_find(t, name);
	if (!link)
		fail_msg("%s is not in the table", name);
	return link;
}

static void expect_mac(const struct link_info *link, const char *mac)
{
	char text[MAC_TEXT];
	assert_string_equal(mac_format(&link->mac, text), mac);
}

static void a_dump(void **state)
{
	struct link_table t = {0};
	(void)state;
	replay_dumps(&t);
	assert_int_equal(t.n, 2);
	const struct link_info *eth0 = get(&t, "eth0");
	expect_mac(eth0, "02:00:00:00:00:0a");
	assert_int_equal(link_own_address(eth0), 0xc0a87a0a);
	assert_int_equal(eth0->gateway, 0xc0a87a01);
	assert_int_equal(eth0->master, 0);
	assert_true(link_works(eth0) && link_usable(eth0));
	assert_false(link_works(get(&t, "lo")));
	assert_int_equal(replay(&t, "dump-links"), LINK_TABLE_DONE);   /* nothing new */
	link_table_free(&t);
}

static void down_and_up(void **state)
{
	struct link_table t = {0};
	(void)state;
	replay_dumps(&t);
	assert_int_equal(replay(&t, "link-down"), LINK_TABLE_CHANGED);
	assert_false(link_works(get(&t, "eth0")));
	assert_int_equal(link_own_address(get(&t, "eth0")), 0xc0a87a0a);   /* IPv4 addresses stay */
	replay(&t, "link-up");
	assert_true(link_works(get(&t, "eth0")));
	link_table_free(&t);
}

/* Both events may be read at once: the table then looks as before but for the kernel's counter. */
static void a_flap_leaves_a_trace(void **state)
{
	struct link_table t = {0};
	(void)state;
	replay_dumps(&t);
	replay(&t, "link-down");
	replay(&t, "link-up");
	struct link_info before = *get(&t, "eth0");
	assert_int_equal(replay(&t, "flap"), LINK_TABLE_CHANGED);
	struct link_info after = *get(&t, "eth0");
	assert_true(link_works(&after));
	assert_int_equal(after.carrier_ups, before.carrier_ups + 1);
	link_table_free(&t);
}

static void a_life(void **state)
{
	struct link_table t = {0};
	struct address other;
	(void)state;
	replay_dumps(&t);
	replay(&t, "mac");
	expect_mac(get(&t, "eth0"), "02:00:00:00:99:0b");
	size_t n = get(&t, "eth0")->n_addresses;
	replay(&t, "address-added");
	assert_int_equal(get(&t, "eth0")->n_addresses, n + 1);
	replay(&t, "address-removed");
	assert_int_equal(get(&t, "eth0")->n_addresses, n);
	replay(&t, "route");
	assert_int_equal(get(&t, "eth0")->gateway, 0xc0a87a02);
	int index = get(&t, "eth0")->index;
	replay(&t, "renamed");
	assert_null(link_table_find(&t, "eth0"));
	assert_int_equal(get(&t, "lan0")->index, index);
	other = address_from_v4(0xc0a87a64);
	assert_true(link_has_subnet_of(get(&t, "lan0"), &other));
	link_table_free(&t);
}

static void in_and_out_of_a_bridge(void **state)
{
	struct link_table t = {0};
	(void)state;
	replay_dumps(&t);
	replay(&t, "renamed");
	replay(&t, "enslaved");
	assert_true(get(&t, "lan0")->port && link_works(get(&t, "lan0")));
	assert_false(link_usable(get(&t, "lan0")));
	assert_true(link_usable(get(&t, "br0")));
	replay(&t, "released");   /* AF_BRIDGE messages are in it: a DELLINK of the port among them */
	assert_true(link_usable(get(&t, "lan0")));
	assert_false(link_works(get(&t, "br0")));   /* without ports no carrier */
	replay(&t, "deleted");
	assert_null(link_table_find(&t, "br0"));
	replay(&t, "macvlan");
	assert_true(link_usable(get(&t, "sub0")));
	replay(&t, "carrier-lost");   /* of the parent: both lose it, and both stay */
	assert_false(link_works(get(&t, "lan0")) || link_works(get(&t, "sub0")));
	link_table_free(&t);
}

/* As long as it is and not a byte longer, so that ASan and valgrind see a read behind it. */
static void cut_anywhere(void **state)
{
	static const char *const FILES[] = {"dump-links", "dump-addresses", "dump-routes", "enslaved"};
	(void)state;
	for (size_t i = 0; i < COUNT(FILES); i++) {
		size_t len;
		char *bytes = recorded(FILES[i], &len);
		for (size_t cut = 0; cut <= len; cut += cut < 2000 ? 1 : 97) {
			struct link_table t = {0};
			char *part = malloc(cut ? cut : 1);
			memcpy(part, bytes, cut);
			link_table_apply(&t, part, cut);
			free(part);
			link_table_free(&t);
		}
		free(bytes);
	}
}

/* ---- what is built here ---- */

struct message {
	union {
		struct nlmsghdr h;
		char bytes[1024];
	};
};

static void *start(struct message *m, unsigned short type, size_t header)
{
	memset(m, 0, sizeof(*m));
	m->h.nlmsg_type = type;
	m->h.nlmsg_len = (unsigned)NLMSG_LENGTH(header);
	return NLMSG_DATA(&m->h);
}

static struct rtattr *add(struct message *m, unsigned short type, const void *value, size_t len)
{
	struct rtattr *a = (struct rtattr *)(m->bytes + NLMSG_ALIGN(m->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), value, len);
	m->h.nlmsg_len = (unsigned)(NLMSG_ALIGN(m->h.nlmsg_len) + RTA_LENGTH(len));
	return a;
}

static void start_link(struct message *m, int index, const char *name, unsigned flags)
{
	const struct mac mac = {{0x02, 0, 0, 0, 0, (uint8_t)index}};
	struct ifinfomsg *info = start(m, RTM_NEWLINK, sizeof(*info));
	*info = (struct ifinfomsg){.ifi_index = index, .ifi_flags = flags, .ifi_type = ARPHRD_ETHER};
	add(m, IFLA_IFNAME, name, strlen(name) + 1);
	add(m, IFLA_ADDRESS, mac.bytes, MAC_SIZE);
}

static int apply(struct link_table *t, const struct message *m)
{
	return link_table_apply(t, m, m->h.nlmsg_len);
}

static int new_link(struct link_table *t, int index, const char *name, unsigned flags)
{
	struct message m;
	start_link(&m, index, name, flags);
	return apply(t, &m);
}

/* kind: of the master; NULL: not told. */
static void new_member(struct link_table *t, int index, const char *name, int master, const char *kind)
{
	struct message m;
	start_link(&m, index, name, WORKS);
	add(&m, IFLA_MASTER, &master, sizeof(master));
	if (kind) {
		struct rtattr *nest = add(&m, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
		add(&m, IFLA_INFO_KIND, "veth", 5);
		add(&m, IFLA_INFO_SLAVE_KIND, kind, strlen(kind) + 1);
		nest->rta_len = (unsigned short)(m.bytes + m.h.nlmsg_len - (char *)nest);
	}
	apply(t, &m);
}

static int address(struct link_table *t, unsigned short type, int index, const char *local, unsigned char length)
{
	struct message m;
	struct address a;
	struct error err;
	assert_int_equal(address_parse(local, &a, &err), 0);
	bool v4 = a.family == ADDRESS_V4;
	struct ifaddrmsg *info = start(&m, type, sizeof(*info));
	*info = (struct ifaddrmsg){.ifa_family = v4 ? AF_INET : AF_INET6, .ifa_prefixlen = length, .ifa_index = (unsigned)index};
	add(&m, v4 ? IFA_LOCAL : IFA_ADDRESS, a.bytes, v4 ? 4 : 16);
	return apply(t, &m);
}

/* A bridge, bond or team takes its members' frames away; a VRF only says which routes they use. */
static void masters(void **state)
{
	static const struct {
		const char *kind;
		bool port;
	} ROWS[] = {{"bridge", true}, {"bond", true}, {"team", true}, {"openvswitch", true}, {"vrf", false}, {"vrfx", true}, {"v", true}, {NULL, true}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct link_table t = {0};
		new_member(&t, 2, "eth0", 9, ROWS[i].kind);
		assert_int_equal(get(&t, "eth0")->master, 9);
		assert_int_equal(get(&t, "eth0")->port, ROWS[i].port);
		assert_true(link_works(get(&t, "eth0")));
		assert_int_equal(link_usable(get(&t, "eth0")), !ROWS[i].port);
		new_link(&t, 2, "eth0", WORKS);   /* let go */
		assert_true(link_usable(get(&t, "eth0")));
		link_table_free(&t);
	}
}

static void what_works(void **state)
{
	static const struct {
		unsigned flags;
		bool works;
	} ROWS[] = {
		{WORKS, true}, {WORKS | IFF_MULTICAST | IFF_PROMISC, true}, {WORKS | IFF_MASTER, true},   /* a bond */
		{WORKS & ~IFF_UP, false}, {WORKS & ~IFF_RUNNING, false}, {WORKS & ~IFF_BROADCAST, false},
		{WORKS | IFF_NOARP, false}, {WORKS | IFF_LOOPBACK, false},
	};
	struct link_table t = {0};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		new_link(&t, 2, "eth0.5", ROWS[i].flags);
		assert_int_equal(link_works(get(&t, "eth0.5")), ROWS[i].works);
		assert_int_equal(link_usable(get(&t, "eth0.5")), ROWS[i].works);
	}
	link_table_free(&t);
}

static void names_not_used_by_default(void **state)
{
	static const char *const NEVER[] = {"lo", "docker0", "cni0", "flannel.1", "cali1234", "veth0a", "kube-ipvs0", "virbr0", "tunl0", "vxlan.calico",
					    "cilium_host", "nodelocaldns", "lxc1", "dummy0", "podman0", "ovn-k8s-mp0", "br-int"};
	static const char *const USED[] = {"eth0", "enp3s0", "eth0.5", "bond0", "br0", "wlan0", "lo1", "local", "data"};
	struct link_table t = {0};
	(void)state;
	for (size_t i = 0; i < COUNT(NEVER); i++) {
		new_link(&t, 2, NEVER[i], WORKS);
		if (link_usable(&t.links[0]) || !link_works(&t.links[0]))
			fail_msg("%s", NEVER[i]);
	}
	for (size_t i = 0; i < COUNT(USED); i++) {
		new_link(&t, 2, USED[i], WORKS);
		if (!link_usable(&t.links[0]))
			fail_msg("%s", USED[i]);
	}
	link_table_free(&t);
}

/* Wireless drivers tell of scans by messages that have no master, no MAC and no counters in them. */
static void a_wireless_event_says_nothing(void **state)
{
	struct link_table t = {0};
	struct message m;
	(void)state;
	new_member(&t, 2, "wlan0", 9, "bridge");
	struct ifinfomsg *info = start(&m, RTM_NEWLINK, sizeof(*info));
	*info = (struct ifinfomsg){.ifi_index = 2, .ifi_flags = WORKS, .ifi_type = ARPHRD_ETHER};
	add(&m, IFLA_IFNAME, "wlan0", 6);
	add(&m, IFLA_WIRELESS, "scan", 4);
	assert_int_equal(apply(&t, &m), 0);
	assert_true(get(&t, "wlan0")->port);
	link_table_free(&t);
}

static void made_anew_with_the_same_index(void **state)
{
	struct link_table t = {0};
	struct message m;
	(void)state;
	new_link(&t, 2, "eth0", WORKS);
	address(&t, RTM_NEWADDR, 2, "192.168.122.10", 24);
	start_link(&m, 2, "eth0", 0);
	m.h.nlmsg_type = RTM_DELLINK;
	assert_int_equal(apply(&t, &m), LINK_TABLE_CHANGED);
	assert_int_equal(apply(&t, &m), 0);
	new_link(&t, 2, "eth0", WORKS);
	assert_int_equal(get(&t, "eth0")->n_addresses, 0);
	link_table_free(&t);
}

static void many_at_once(void **state)
{
	struct link_table t = {0};
	struct message m;
	char name[IF_NAMESIZE];
	(void)state;
	for (int i = 0; i < 1000; i++) {
		int index = 1 + i * 7 % 1000;   /* in no order */
		snprintf(name, sizeof(name), "v%d", index);
		assert_int_equal(new_link(&t, index, name, WORKS), LINK_TABLE_CHANGED);
	}
	assert_int_equal(t.n, 1000);
	for (size_t i = 0; i < t.n; i++)
		assert_int_equal(t.links[i].index, (int)i + 1);
	for (int i = 1; i <= 1000; i++)
		if (i != 500) {
			start_link(&m, i, "v", 0);
			m.h.nlmsg_type = RTM_DELLINK;
			apply(&t, &m);
		}
	assert_int_equal(t.n, 1);
	assert_string_equal(t.links[0].name, "v500");
	link_table_free(&t);
}

static void addresses(void **state)
{
	struct link_table t = {0};
	struct address vip = address_from_v4(0xc0a87a64);
	(void)state;
	new_link(&t, 2, "eth0", WORKS);
	assert_int_equal(address(&t, RTM_NEWADDR, 7, "192.168.122.10", 24), 0);   /* of no link that we know */
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "192.168.122.10", 33), 0);
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "fe80::1", 64), LINK_TABLE_CHANGED);
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "169.254.1.1", 16), LINK_TABLE_CHANGED);
	assert_int_equal(link_own_address(get(&t, "eth0")), 0);
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "192.168.122.10", 32), LINK_TABLE_CHANGED);
	assert_false(link_has_subnet_of(get(&t, "eth0"), &vip));   /* a /32 is no subnet */
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "192.168.122.10", 24), LINK_TABLE_CHANGED);
	assert_int_equal(address(&t, RTM_NEWADDR, 2, "192.168.122.10", 24), 0);
	assert_int_equal(link_own_address(get(&t, "eth0")), 0xc0a87a0a);
	assert_true(link_has_subnet_of(get(&t, "eth0"), &vip));
	assert_int_equal(address(&t, RTM_DELADDR, 2, "192.168.122.10", 24), LINK_TABLE_CHANGED);
	assert_int_equal(address(&t, RTM_DELADDR, 2, "192.168.122.10", 24), 0);
	assert_false(link_has_subnet_of(get(&t, "eth0"), &vip));
	link_table_free(&t);
}

static int end_with(unsigned short type, unsigned short flags, int code)
{
	struct link_table t = {0};
	struct message m;
	memcpy(start(&m, type, sizeof(code)), &code, sizeof(code));
	m.h.nlmsg_flags = flags;
	return apply(&t, &m);
}

/* An error in place of a dump is not the end of one: the table would be empty. */
static void ends(void **state)
{
	(void)state;
	assert_int_equal(end_with(NLMSG_DONE, NLM_F_MULTI, 0), LINK_TABLE_DONE);
	assert_int_equal(end_with(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, 0), LINK_TABLE_DONE | LINK_TABLE_INTERRUPTED);
	assert_int_equal(end_with(NLMSG_DONE, NLM_F_MULTI, -ENOMEM), LINK_TABLE_DONE | LINK_TABLE_INTERRUPTED);
	assert_int_equal(end_with(NLMSG_ERROR, 0, -EBUSY), LINK_TABLE_REFUSED);
	assert_int_equal(end_with(NLMSG_ERROR, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump), cmocka_unit_test(down_and_up), cmocka_unit_test(a_flap_leaves_a_trace), cmocka_unit_test(a_life),
		cmocka_unit_test(in_and_out_of_a_bridge), cmocka_unit_test(cut_anywhere), cmocka_unit_test(masters), cmocka_unit_test(what_works),
		cmocka_unit_test(names_not_used_by_default), cmocka_unit_test(a_wireless_event_says_nothing),
		cmocka_unit_test(made_anew_with_the_same_index), cmocka_unit_test(many_at_once), cmocka_unit_test(addresses), cmocka_unit_test(ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
