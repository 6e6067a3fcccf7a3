/* ARP frames byte for byte (wire.md section 1.1), and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arp/frame.h"

#define OWN_IP 0x0a63000a      /* 10.99.0.10 */
#define VIP 0x0a630064         /* 10.99.0.100 */
#define CLIENT_IP 0x0a630002   /* 10.99.0.2 */

static const struct mac OWN = {{0x02, 0, 0, 0, 0, 0x0a}};
static const struct mac CLIENT = {{0x02, 0, 0, 0, 0, 0x02}};

#define B_OWN 0x02, 0, 0, 0, 0, 0x0a
#define B_CLIENT 0x02, 0, 0, 0, 0, 0x02
#define B_ALL 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define B_ZERO 0, 0, 0, 0, 0, 0
#define B_OWN_IP 10, 99, 0, 10
#define B_VIP 10, 99, 0, 100
#define B_CLIENT_IP 10, 99, 0, 2
#define B_FIXED 0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0x00

/* A client asks for the VIP; the frame that most cases below start from. */
static const uint8_t REQUEST[ARP_FRAME_SIZE] = {B_ALL, B_CLIENT, B_FIXED, 1, B_CLIENT, B_CLIENT_IP, B_ZERO, B_VIP};

static struct arp_frame request(uint32_t spa)
{
	return (struct arp_frame){.eth_dst = MAC_BROADCAST, .eth_src = CLIENT, .op = ARP_REQUEST, .sha = CLIENT, .spa = spa, .tpa = VIP};
}

static void built_frames(void **state)
{
	(void)state;
	struct arp_frame asked = request(CLIENT_IP), probed = request(0), relayed = request(CLIENT_IP);
	relayed.eth_src = (struct mac){{0x02, 0, 0, 0, 0, 0x77}};
	const struct {
		const char *what;
		struct arp_frame frame;
		uint8_t bytes[ARP_FRAME_SIZE];
	} cases[] = {
		{"answer", arp_answer(&asked, &OWN), {B_CLIENT, B_OWN, B_FIXED, 2, B_OWN, B_VIP, B_CLIENT, B_CLIENT_IP}},
		{"answer to a probe", arp_answer(&probed, &OWN), {B_CLIENT, B_OWN, B_FIXED, 2, B_OWN, B_VIP, B_CLIENT, 0, 0, 0, 0}},
		{"answer to the payload's sender", arp_answer(&relayed, &OWN), {B_CLIENT, B_OWN, B_FIXED, 2, B_OWN, B_VIP, B_CLIENT, B_CLIENT_IP}},
		{"announcement", arp_announcement(VIP, &OWN), {B_ALL, B_OWN, B_FIXED, 1, B_OWN, B_VIP, B_ZERO, B_VIP}},
		{"gratuitous reply", arp_gratuitous_reply(VIP, &OWN), {B_ALL, B_OWN, B_FIXED, 2, B_OWN, B_VIP, B_OWN, B_VIP}},
		{"question to all", arp_question(OWN_IP, &OWN, VIP, NULL), {B_ALL, B_OWN, B_FIXED, 1, B_OWN, B_OWN_IP, B_ZERO, B_VIP}},
		{"question to one", arp_question(OWN_IP, &OWN, CLIENT_IP, &CLIENT),
		 {B_CLIENT, B_OWN, B_FIXED, 1, B_OWN, B_OWN_IP, B_ZERO, B_CLIENT_IP}},
		{"request", asked, {B_ALL, B_CLIENT, B_FIXED, 1, B_CLIENT, B_CLIENT_IP, B_ZERO, B_VIP}},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[ARP_FRAME_SIZE];
		memset(bytes, 0xa5, sizeof(bytes));
		arp_frame_build(&cases[i].frame, bytes);
		if (memcmp(bytes, cases[i].bytes, sizeof(bytes)) != 0)
			print_error("%s:\n", cases[i].what);
		assert_memory_equal(bytes, cases[i].bytes, sizeof(bytes));
	}
}

static void parses_every_field(void **state)
{
	(void)state;
	struct arp_frame f;
	const uint8_t bytes[ARP_FRAME_SIZE] = {1, 2, 3, 4, 5, 6, 0x12, 0x22, 0x32, 0x42, 0x52, 0x62, B_FIXED, 2, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25,
					       0xc0, 0xa8, 0xfe, 0x01, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0xff, 0x80, 0x7f, 0x02};
	assert_true(arp_frame_parse(bytes, sizeof(bytes), &f));
	assert_memory_equal(f.eth_dst.bytes, bytes, MAC_SIZE);
	assert_memory_equal(f.eth_src.bytes, bytes + 6, MAC_SIZE);
	assert_int_equal(f.op, ARP_REPLY);
	assert_memory_equal(f.sha.bytes, bytes + 22, MAC_SIZE);
	assert_int_equal(f.spa, 0xc0a8fe01);
	assert_memory_equal(f.tha.bytes, bytes + 32, MAC_SIZE);
	assert_int_equal(f.tpa, 0xff807f02);
}

static void lengths(void **state)
{
	(void)state;
	struct arp_frame f;
	/* Exactly as much memory as was received: a sanitizer sees any byte read behind it. */
	for (size_t len = 0; len < ARP_FRAME_SIZE; len++) {
		uint8_t *bytes = malloc(len ? len : 1);
		memcpy(bytes, REQUEST, len);
		assert_false(arp_frame_parse(bytes, len, &f));
		free(bytes);
	}
	static const size_t whole[] = {ARP_FRAME_SIZE, 60, 64, 1500};
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		uint8_t *bytes = malloc(whole[i]);
		memset(bytes, 0xee, whole[i]);
		memcpy(bytes, REQUEST, ARP_FRAME_SIZE);
		assert_true(arp_frame_parse(bytes, whole[i], &f));
		uint8_t again[ARP_FRAME_SIZE];
		arp_frame_build(&f, again);
		assert_memory_equal(again, REQUEST, ARP_FRAME_SIZE);
		free(bytes);
	}
}

static void one_field_mutations(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		size_t at, n;
		uint8_t bytes[MAC_SIZE];
		bool valid;
	} cases[] = {
		{"ethertype IPv4", 12, 2, {0x08, 0x00}, false},
		{"ethertype RARP", 12, 2, {0x80, 0x35}, false},
		{"a VLAN tag in its place", 12, 2, {0x81, 0x00}, false},
		{"hardware InfiniBand", 14, 2, {0, 32}, false},
		{"hardware 0", 14, 2, {0, 0}, false},
		{"hardware 256", 14, 2, {1, 1}, false},
		{"protocol IPv6", 16, 2, {0x86, 0xdd}, false},
		{"protocol ARP", 16, 2, {0x08, 0x06}, false},
		{"hardware length 0", 18, 1, {0}, false},
		{"hardware length 20", 18, 1, {20}, false},
		{"hardware length 255", 18, 1, {255}, false},
		{"protocol length 0", 19, 1, {0}, false},
		{"protocol length 16", 19, 1, {16}, false},
		{"op 0", 20, 2, {0, 0}, false},
		{"op 2, a reply", 20, 2, {0, 2}, true},
		{"op 3, reverse request", 20, 2, {0, 3}, false},
		{"op 257, low byte 1", 20, 2, {1, 1}, false},
		{"op 65535", 20, 2, {0xff, 0xff}, false},
		{"sender broadcast", 22, 6, {B_ALL}, false},
		{"sender multicast", 22, 1, {0x03}, false},
		{"sender zero", 22, 6, {B_ZERO}, false},
		{"sender almost zero", 22, 6, {0, 0, 0, 0, 0, 1}, true},
		{"Ethernet source multicast", 6, 1, {0x03}, false},
		{"Ethernet source not the sender (a guard)", 11, 1, {0x77}, true},
		{"sender address 0 (a probe)", 28, 4, {0, 0, 0, 0}, true},
		{"target hardware anything", 32, 6, {B_ALL}, true},
		{"target address 255.255.255.255", 38, 4, {255, 255, 255, 255}, true},
		{"to one host", 0, 6, {B_OWN}, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[ARP_FRAME_SIZE];
		struct arp_frame f = {.op = 99, .spa = 1};
		memcpy(bytes, REQUEST, sizeof(bytes));
		memcpy(bytes + cases[i].at, cases[i].bytes, cases[i].n);
		if (arp_frame_parse(bytes, sizeof(bytes), &f) != cases[i].valid)
			fail_msg("%s: wanted %s", cases[i].what, cases[i].valid ? "valid" : "refused");
		if (!cases[i].valid)
			assert_int_equal(f.op, 99);   /* untouched */
	}
}

/* A tag that says only a priority is no VLAN; all others, and two of them, are not ours to read. */
static void vlan_tags(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint8_t tag[4];
		bool valid;
	} cases[] = {
		{"VID 0", {0x81, 0x00, 0x00, 0x00}, true},
		{"VID 0, highest priority", {0x81, 0x00, 0xe0, 0x00}, true},
		{"VID 0, drop eligible", {0x81, 0x00, 0x10, 0x00}, true},
		{"VID 1", {0x81, 0x00, 0x00, 0x01}, false},
		{"VID 5, priority 3", {0x81, 0x00, 0x60, 0x05}, false},
		{"VID 256", {0x81, 0x00, 0x01, 0x00}, false},
		{"VID 4095", {0x81, 0x00, 0x0f, 0xff}, false},
		{"802.1ad, VID 0", {0x88, 0xa8, 0x00, 0x00}, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arp_frame f, plain;
		uint8_t *bytes = malloc(ARP_FRAME_SIZE + 4);
		memcpy(bytes, REQUEST, 12);
		memcpy(bytes + 12, cases[i].tag, 4);
		memcpy(bytes + 16, REQUEST + 12, ARP_FRAME_SIZE - 12);
		if (arp_frame_parse(bytes, ARP_FRAME_SIZE + 4, &f) != cases[i].valid)
			fail_msg("%s: wanted %s", cases[i].what, cases[i].valid ? "valid" : "refused");
		assert_false(arp_frame_parse(bytes, ARP_FRAME_SIZE + 3, &f));
		if (cases[i].valid) {
			assert_true(arp_frame_parse(REQUEST, ARP_FRAME_SIZE, &plain));
			assert_true(mac_equal(&f.eth_dst, &plain.eth_dst) && mac_equal(&f.eth_src, &plain.eth_src) && mac_equal(&f.sha, &plain.sha));
			assert_true(mac_equal(&f.tha, &plain.tha) && f.op == plain.op && f.spa == plain.spa && f.tpa == plain.tpa);
		}
		memcpy(bytes + 16, cases[i].tag, 4);
		assert_false(arp_frame_parse(bytes, ARP_FRAME_SIZE + 4, &f));
		free(bytes);
	}
}

/* Every value of every fixed byte but the right one is refused. */
static void fixed_bytes(void **state)
{
	(void)state;
	struct arp_frame f;
	for (size_t at = 12; at < 21; at++) {
		for (unsigned value = 0; value < 256; value++) {
			uint8_t bytes[ARP_FRAME_SIZE];
			memcpy(bytes, REQUEST, sizeof(bytes));
			bytes[at] = (uint8_t)value;
			assert_int_equal(arp_frame_parse(bytes, sizeof(bytes), &f), value == REQUEST[at]);
		}
	}
}

static void round_trip(void **state)
{
	(void)state;
	unsigned parsed = 0;
	srand48(1);
	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[ARP_FRAME_SIZE], again[ARP_FRAME_SIZE];
		struct arp_frame f;
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)lrand48();
		memcpy(bytes + 12, REQUEST + 12, 9);
		bytes[21] = (uint8_t)(1 + (lrand48() & 1));
		if (!arp_frame_parse(bytes, sizeof(bytes), &f)) {
			assert_true((bytes[6] & 1) || (bytes[22] & 1));
			continue;
		}
		parsed++;
		arp_frame_build(&f, again);
		assert_memory_equal(again, bytes, sizeof(bytes));
	}
	assert_in_range(parsed, 4500, 5500);   /* a quarter has two unicast senders */
}

static void mac_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"02:00:00:00:00:0a", true},  {"FF:ff:Ab:cD:00:99", true}, {"", false},
		{"02:00:00:00:00", false},    {"02:00:00:00:00:", false},  {"02:00:00:00:00:0", false},
		{"02:00:00:00:00:0a ", false}, {"02:00:00:00:00:0a:0b", false}, {" 2:00:00:00:00:0a", false},
		{"-1:00:00:00:00:0a", false}, {"2:0:0:0:0:a", false},      {"0x:00:00:00:00:0a", false},
		{"02-00-00-00-00-0a", false}, {"0200:00:00:00:0a", false}, {"0g:00:00:00:00:0a", false},
	};
	char text[MAC_TEXT];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mac m;
		if (mac_parse(cases[i].text, &m) != cases[i].valid)
			fail_msg("\"%s\": wanted %s", cases[i].text, cases[i].valid ? "valid" : "refused");
		if (cases[i].valid)
			assert_int_equal(strcasecmp(mac_format(&m, text), cases[i].text), 0);
	}
	assert_string_equal(mac_format(&OWN, text), "02:00:00:00:00:0a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_frames), cmocka_unit_test(parses_every_field), cmocka_unit_test(lengths),
		cmocka_unit_test(one_field_mutations), cmocka_unit_test(vlan_tags), cmocka_unit_test(fixed_bytes), cmocka_unit_test(round_trip),
		cmocka_unit_test(mac_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
