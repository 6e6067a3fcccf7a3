/* Addresses, prefixes, ranges: syntax of metallb-l2.md section 1.1, sizes of 2.6. */
#include "config/address.h"
#include "tests/unit/unit.h"

static struct address address(const char *text)
{
	struct address a;
	struct error err;
	if (address_parse(text, &a, &err) < 0)
		fail_msg("%s", err.text);
	return a;
}

static struct address_range range(const char *text)
{
	struct address_range r;
	struct error err;
	if (address_range_parse(text, &r, &err) < 0)
		fail_msg("%s", err.text);
	return r;
}

static void parses_and_formats(void **state)
{
	static const struct {
		const char *in, *out;
		int family;
	} GOOD[] = {
		{"0.0.0.0", "0.0.0.0", 4},
		{"192.168.122.10", "192.168.122.10", 4},
		{"255.255.255.255", "255.255.255.255", 4},
		{"::ffff:1.2.3.4", "1.2.3.4", 4},
		{"::FFFF:0102:0304", "1.2.3.4", 4},
		{"::", "::", 6},
		{"::1", "::1", 6},
		{"FE80:0:0::0001", "fe80::1", 6},
		{"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1", 6},
		{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", 6},   /* RFC 5952: a single zero field is not shortened */
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6},
		{"::1.2.3.4", "::102:304", 6},   /* as Go writes it; libc would print dots */
		{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304", 6},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		char text[ADDRESS_TEXT];
		struct address a = address(GOOD[i].in);
		assert_int_equal(a.family, GOOD[i].family);
		assert_string_equal(address_format(&a, text), GOOD[i].out);
		struct address again = address(text);
		assert_true(address_equal(&a, &again));
	}
}

static void refuses_what_is_no_address(void **state)
{
	static const char *const BAD[] = {"", " 1.2.3.4", "1.2.3.4 ", "1.2.3", "1.2.3.256", "1.2.3.4.5", "01.2.3.4", "1.2.3.04", "0x1.2.3.4",
					  "fe80::1%eth0", "1::2::3", ":::", "12345::", "g::", "1.2.3.4/24", "localhost", "1,2,3,4"};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct address a = {.family = 99};
		struct error err = {""};
		if (address_parse(BAD[i], &a, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", BAD[i]);
		assert_int_equal(a.family, 99);   /* untouched */
		unit_contains(err.text, BAD[i]);
		unit_contains(err.text, "is not an IP address");
		assert_int_equal(address_parse(BAD[i], &a, NULL), -EINVAL);
	}
}

static void orders_all(void **state)
{
	static const char *const ORDER[] = {"0.0.0.0", "1.2.3.4", "1.2.3.5", "1.2.4.0", "128.0.0.0", "255.255.255.255", "::", "::1", "1::", "fe80::1"};
	(void)state;
	for (size_t i = 0; i < COUNT(ORDER); i++)
		for (size_t j = 0; j < COUNT(ORDER); j++) {
			struct address a = address(ORDER[i]), b = address(ORDER[j]);
			int order = address_compare(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			assert_int_equal(address_equal(&a, &b), i == j);
		}
}

static void counts_on(void **state)
{
	static const struct {
		const char *from, *to;   /* to NULL: it was the last */
	} STEPS[] = {
		{"1.2.3.4", "1.2.3.5"}, {"1.2.3.255", "1.2.4.0"}, {"1.255.255.255", "2.0.0.0"}, {"255.255.255.255", NULL},
		{"::", "::1"}, {"::ffff:ffff", "::1:0:0"}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(STEPS); i++) {
		struct address next = {0}, a = address(STEPS[i].from);
		assert_int_equal(address_next(&a, &next), STEPS[i].to != NULL);
		if (STEPS[i].to) {
			struct address want = address(STEPS[i].to);
			assert_true(address_equal(&next, &want));
		}
	}
	struct address v4 = address_from_v4(0xc0a87a0a), want = address("192.168.122.10");
	assert_true(address_equal(&v4, &want));
	assert_int_equal(address_to_v4(&want), 0xc0a87a0a);
}

static void ranges(void **state)
{
	static const struct {
		const char *in, *first, *last;
		int64_t size;
	} GOOD[] = {
		{"192.168.1.0/24", "192.168.1.0", "192.168.1.255", 256},
		{"192.168.10.100/24", "192.168.10.0", "192.168.10.255", 256},   /* host bits are masked off */
		{"1.2.3.0/25", "1.2.3.0", "1.2.3.127", 128},
		{"1.2.3.0/31", "1.2.3.0", "1.2.3.1", 2},
		{"1.2.3.4/32", "1.2.3.4", "1.2.3.4", 1},
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255", INT64_C(1) << 32},
		{"10.0.0.0/8", "10.0.0.0", "10.255.255.255", 1 << 24},
		{"1.2.3.0/024", "1.2.3.0", "1.2.3.255", 256},   /* as in Go, unlike zeros before an octet */
		{"1.2.3.0/0000024", "1.2.3.0", "1.2.3.255", 256},
		{"::/0128", "::", "::", 1},
		{"::ffff:1.2.3.0/120", "1.2.3.0", "1.2.3.255", 256},
		{"::FFFF:0102:0304/128", "1.2.3.4", "1.2.3.4", 1},
		{"::ffff:1.2.3.4/96", "0.0.0.0", "255.255.255.255", INT64_C(1) << 32},
		{"::ffff:1.2.3.4/94", "::fffc:0:0", NULL, INT64_C(1) << 34},   /* its last has no text that is IPv6 */
		{"::1.2.3.4/120", "::102:300", "::102:3ff", 256},
		{"::ffff:1.2.3.4-1.2.3.9", "1.2.3.4", "1.2.3.9", 6},
		{"1.2.3.4-::ffff:1.2.3.9", "1.2.3.4", "1.2.3.9", 6},
		{"1.2.3.4\u00a0-\u00a01.2.3.9", "1.2.3.4", "1.2.3.9", 6},   /* blanks as Unicode has them */
		{"\u2003\u30001.2.3.4\n\v\f\r-\xc2\x85" "1.2.3.9\u1680\u2028", "1.2.3.4", "1.2.3.9", 6},
		{"FD00::A-fd00::b", "fd00::a", "fd00::b", 2},
		{"1.1.1.1-1.1.1.100", "1.1.1.1", "1.1.1.100", 100},
		{" 1.1.1.1\t-  1.1.1.1 ", "1.1.1.1", "1.1.1.1", 1},
		{"1.1.1.250-1.1.2.5", "1.1.1.250", "1.1.2.5", 12},
		{"0.0.0.0-255.255.255.255", "0.0.0.0", "255.255.255.255", INT64_C(1) << 32},
		{"1000::/127", "1000::", "1000::1", 2},
		{"fc00:f853:0ccd:e799::/124", "fc00:f853:ccd:e799::", "fc00:f853:ccd:e799::f", 16},
		{"::/66", "::", "::3fff:ffff:ffff:ffff", INT64_C(1) << 62},
		{"::/65", "::", "::7fff:ffff:ffff:ffff", INT64_MAX},
		{"::/64", "::", "::ffff:ffff:ffff:ffff", INT64_MAX},
		{"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", INT64_MAX},
		{"::fffe - ::1:1", "::fffe", "::1:1", 4},
		{"0:0:0:1:ffff:ffff:ffff:ffff-0:0:0:2::", "::1:ffff:ffff:ffff:ffff", "0:0:0:2::", 2},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		struct address_range r = range(GOOD[i].in);
		struct address first = address(GOOD[i].first), last = GOOD[i].last ? address(GOOD[i].last) : r.last;
		if (!address_equal(&r.first, &first) || !address_equal(&r.last, &last))
			fail_msg("%s has other bounds", GOOD[i].in);
		assert_int_equal(address_range_size(&r), GOOD[i].size);
	}
}

static void formats_ranges(void **state)
{
	static const struct {
		const char *in, *out;
	} GOOD[] = {
		{"192.168.10.100/24", "192.168.10.0/24"}, {"1.2.3.4/32", "1.2.3.4/32"}, {"1.2.3.4-1.2.3.4", "1.2.3.4/32"}, {"1.2.3.4 - 1.2.3.7", "1.2.3.4/30"},
		{"1.2.3.4-1.2.3.8", "1.2.3.4-1.2.3.8"}, {"1.2.3.5-1.2.3.8", "1.2.3.5-1.2.3.8"}, {"0.0.0.0/0", "0.0.0.0/0"}, {"::/0", "::/0"},
		{"FD00::1-fd00::ffff", "fd00::1-fd00::ffff"}, {"fd00::-fd00::ffff", "fd00::/112"}, {"::ffff:1.2.3.0/120", "1.2.3.0/24"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		char text[ADDRESS_RANGE_TEXT];
		struct address_range r = range(GOOD[i].in);
		assert_string_equal(address_range_format(&r, text), GOOD[i].out);
	}
}

static void refuses_bad_ranges(void **state)
{
	static const struct {
		const char *in, *says;
	} BAD[] = {
		{"", "no prefix length"}, {"1.2.3.4", "no prefix length; write 1.2.3.4/32 for that one address"},
		{"fe80::1", "no prefix length; write fe80::1/128 for that one address"}, {"fe80::1%eth0", "no prefix length"},
		{"hello", "no prefix length; write a CIDR such as"},
		{"1.2.3.4/", "such as 192.168.1.0/24"}, {"/24", "such as 192.168.1.0/24"}, {" 1.2.3.0/24", "remove the blanks"},
		{"1.2.3.0/24 ", "remove the blanks"}, {"1.2.3.0/ 24", "remove the blanks"}, {"1.2.3.0/+24", "such as"}, {"1.2.3.0/-", "invalid start IP"},
		{"1.2.3.0/24/8", "such as"}, {"01.2.3.0/24", "such as"}, {"1.2.3.00/24", "such as"}, {"fe80::1%eth0/64", "such as"},
		{"1.2.3.0/33", "from 0 to 32"}, {"::/129", "from 0 to 128"}, {"::ffff:1.2.3.0/129", "from 0 to 128"}, {"1.2.3.0/16777239", "from 0 to 32"},
		{"1.2.3.0/4294967320", "such as"}, {"1.2.3.0/99999999999999999999999", "such as"},
		{"1.2.3/24", "such as"}, {"1.2.3.x/24", "such as"}, {"00001::/64", "such as"}, {"1:2:3:4:5:6:7:8::/64", "such as"},
		{"-", "invalid start IP"}, {"1.2.3.4-", "invalid end IP"}, {"-1.2.3.4", "invalid start IP"}, {"1.2.3.4-5", "invalid end IP"},
		{"1.2.3.4-1.2.3.5-1.2.3.6", "invalid end IP"}, {"1.2.3.4-1.2.3.3", "start IP 1.2.3.4 is after the end IP 1.2.3.3; swap them"},
		{"::2-::1", "is after the end IP"}, {"fd01::1-fd00::1", "is after the end IP"}, {"1.2.3.4-::1", "different families"},
		{"::1-1.2.3.4", "different families"}, {"1.2.3.4-fd00::1", "different families"}, {"::1.2.3.4-1.2.3.5", "different families"},
		{"1.2.3.04-1.2.3.5", "invalid start IP"}, {"fe80::1%eth0-fe80::2", "invalid start IP"}, {"1.2.3.0/24-1.2.4.0/24", "invalid start IP"},
		{"\u200b1.2.3.4-1.2.3.9", "invalid start IP"}, {"1.2.3.4\xc2-1.2.3.9", "invalid start IP"},
		{"11111111111111111111111111111111111111111111111111111111111/24", "such as"},
		{"11111111111111111111111111111111111111111111111111111111111-1.2.3.4", "invalid start IP"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct address_range r;
		struct error err = {""};
		if (address_range_parse(BAD[i].in, &r, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", BAD[i].in);
		unit_contains(err.text, BAD[i].says);
		unit_contains(err.text, "invalid CIDR \"");
	}
}

static void contains_and_overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlap;
	} PAIRS[] = {
		{"1.2.3.0/24", "1.2.3.128/25", true},      {"1.2.3.0/24", "1.2.4.0/24", false}, {"1.2.3.0/24", "1.2.3.255-1.2.4.3", true},
		{"1.2.3.0/25", "1.2.3.128/25", false},     {"0.0.0.0/0", "9.9.9.9/32", true},    {"0.0.0.0/0", "::/0", false},
		{"1.1.1.1-1.1.1.5", "1.1.1.5-1.1.1.9", true}, {"1.1.1.1-1.1.1.4", "1.1.1.5-1.1.1.9", false}, {"1000::/64", "1000::5/128", true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(PAIRS); i++) {
		struct address_range a = range(PAIRS[i].a), b = range(PAIRS[i].b);
		assert_int_equal(address_range_overlaps(&a, &b), PAIRS[i].overlap);
		assert_int_equal(address_range_overlaps(&b, &a), PAIRS[i].overlap);
	}
	static const struct {
		const char *address;
		bool in;
	} ASKED[] = {{"1.2.3.9", false}, {"1.2.3.10", true}, {"1.2.3.15", true}, {"1.2.3.20", true}, {"1.2.3.21", false}, {"::1", false}};
	struct address_range r = range("1.2.3.10-1.2.3.20");
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct address a = address(ASKED[i].address);
		assert_int_equal(address_range_contains(&r, &a), ASKED[i].in);
	}
}

static void prefixes(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool in;
	} ASKED[] = {
		{"192.168.122.10/24", "192.168.122.255", true}, {"192.168.122.10/24", "192.168.123.1", false}, {"192.168.122.10/23", "192.168.123.1", true},
		{"192.168.122.10/32", "192.168.122.10", true},  {"192.168.122.10/32", "192.168.122.11", false}, {"192.168.122.10/0", "8.8.8.8", true},
		{"192.168.122.10/0", "::1", false}, {"fe80::1/64", "fe80::ffff:1", true}, {"fe80::1/64", "fe80:0:0:1::1", false}, {"fe80::1/10", "febf::1", true},
		{"fe80::1/10", "fec0::1", false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ASKED); i++) {
		struct address_prefix p;
		struct error err;
		struct address a = address(ASKED[i].address);
		assert_int_equal(address_prefix_parse(ASKED[i].prefix, &p, &err), 0);
		if (address_prefix_contains(&p, &a) != ASKED[i].in)
			fail_msg("%s in %s: not %d", ASKED[i].address, ASKED[i].prefix, ASKED[i].in);
	}
	struct address_prefix p;
	char text[ADDRESS_TEXT];
	assert_int_equal(address_prefix_parse("192.168.122.10/24", &p, NULL), 0);
	assert_string_equal(address_format(&p.address, text), "192.168.122.10");   /* host bits stay */
	assert_int_equal(p.length, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_formats), cmocka_unit_test(refuses_what_is_no_address), cmocka_unit_test(orders_all),
		cmocka_unit_test(counts_on), cmocka_unit_test(ranges), cmocka_unit_test(refuses_bad_ranges), cmocka_unit_test(formats_ranges),
		cmocka_unit_test(contains_and_overlaps), cmocka_unit_test(prefixes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
