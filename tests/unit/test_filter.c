/* The kernel filter's expression, compiled by libpcap and run over frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pcap/pcap.h>

#include "arp/filter.h"

static const struct mac OWN = {{0x02, 0, 0, 0, 0, 0x0a}};
static const struct mac PEER = {{0x02, 0, 0, 0, 0, 0x0b}};

#define NODE 0x0a63000a      /* 10.99.0.10 */
#define CLIENT 0x0a630002

static const struct ipv4_range POOLS[] = {
	{0x0a630064, 0x0a630096},   /* 10.99.0.100-150 */
	{0xc0a80100, 0xc0a801ff},   /* 192.168.1.0/24, above 2^31 */
	{0x0a6300c8, 0x0a6300c8},   /* 10.99.0.200 */
};
#define N_POOLS (sizeof(POOLS) / sizeof(POOLS[0]))

static struct bpf_program compile(const struct ipv4_range *ranges, size_t n)
{
	struct buffer expression = BUFFER_INIT;
	struct bpf_program program;
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	assert_non_null(dead);
	arp_filter(&expression, ranges, n, &OWN);
	if (pcap_compile(dead, &program, buffer_string(&expression), 1, PCAP_NETMASK_UNKNOWN) != 0)
		fail_msg("%s: %s", buffer_string(&expression), pcap_geterr(dead));
	pcap_close(dead);
	buffer_free(&expression);
	return program;
}

static bool passes_bytes(const struct bpf_program *program, const uint8_t *bytes, unsigned len)
{
	struct pcap_pkthdr header = {.caplen = len, .len = len};
	return pcap_offline_filter(program, &header, bytes) != 0;
}

static bool passes(const struct bpf_program *program, const struct arp_frame *frame)
{
	uint8_t bytes[60] = {0};
	arp_frame_build(frame, bytes);
	return passes_bytes(program, bytes, sizeof(bytes));
}

static struct arp_frame between(uint16_t op, const struct mac *to, uint32_t spa, uint32_t tpa)
{
	return (struct arp_frame){.eth_dst = *to, .eth_src = PEER, .op = op, .sha = PEER, .spa = spa, .tpa = tpa};
}

static void which_frames_pass(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint16_t op;
		const struct mac *to;
		uint32_t spa, tpa;
		bool pass;
	} cases[] = {
		{"question for the first of a range", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630064, true},
		{"question for the last of it", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630096, true},
		{"question for the one before", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630063, false},
		{"question for the one behind", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630097, false},
		{"probe", ARP_REQUEST, &MAC_BROADCAST, 0, 0x0a630070, true},
		{"unicast question", ARP_REQUEST, &OWN, CLIENT, 0x0a630070, true},
		{"announcement", ARP_REQUEST, &MAC_BROADCAST, 0x0a630070, 0x0a630070, true},
		{"sender in a range, target outside", ARP_REQUEST, &MAC_BROADCAST, 0x0a630070, CLIENT, true},
		{"reply, sender in a range", ARP_REPLY, &MAC_BROADCAST, 0x0a630070, CLIENT, true},
		{"high range, first", ARP_REQUEST, &MAC_BROADCAST, 0, 0xc0a80100, true},
		{"high range, last, as sender", ARP_REPLY, &MAC_BROADCAST, 0xc0a801ff, 1, true},
		{"behind the high range", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0xc0a80200, false},
		{"single address", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a6300c8, true},
		{"beside the single address", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a6300c9, false},
		{"liveness question to us", ARP_REQUEST, &OWN, 0x0a63000b, NODE, true},
		{"the gateway's answer to us", ARP_REPLY, &OWN, 0x0a630001, NODE, true},
		{"foreign question", ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630003, false},
		{"foreign answer to somebody else", ARP_REPLY, &PEER, 0x0a630003, CLIENT, false},
		{"kernel's broadcast question for our node", ARP_REQUEST, &MAC_BROADCAST, CLIENT, NODE, false},
	};
	struct bpf_program program = compile(POOLS, N_POOLS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arp_frame f = between(cases[i].op, cases[i].to, cases[i].spa, cases[i].tpa);
		if (passes(&program, &f) != cases[i].pass)
			fail_msg("%s: wanted %s", cases[i].what, cases[i].pass ? "pass" : "drop");
	}
	pcap_freecode(&program);
}

static void alarms_pass(void **state)
{
	(void)state;
	struct bpf_program program = compile(POOLS, N_POOLS), no_pools = compile(NULL, 0);
	struct arp_frame alarm = between(ARP_REQUEST, &MAC_BROADCAST, 0x0a63000b, 0x0a63000c);
	alarm.tha = ALARM_MARK;
	assert_true(passes(&program, &alarm));
	assert_true(passes(&no_pools, &alarm));
	for (size_t i = 0; i < MAC_SIZE; i++) {
		struct arp_frame other = alarm;
		other.tha.bytes[i] ^= 0x10;
		assert_false(passes(&program, &other));
	}
	assert_int_equal(ALARM_MARK.bytes[0] & 1, 0);
	pcap_freecode(&program);
	pcap_freecode(&no_pools);
}

/* IPv4 that looks like an ARP frame from the ethertype on, a VLAN tag, cut frames. */
static void other_packets_do_not_pass(void **state)
{
	(void)state;
	struct bpf_program program = compile(POOLS, N_POOLS);
	struct arp_frame f = between(ARP_REQUEST, &OWN, CLIENT, 0x0a630070);
	uint8_t bytes[64] = {0};
	arp_frame_build(&f, bytes);
	assert_true(passes_bytes(&program, bytes, ARP_FRAME_SIZE));
	bytes[12] = 0x08, bytes[13] = 0x00;
	assert_false(passes_bytes(&program, bytes, 60));
	bytes[12] = 0x86, bytes[13] = 0xdd;
	assert_false(passes_bytes(&program, bytes, 60));
	memmove(bytes + 16, bytes + 12, 30);
	memcpy(bytes + 12, (const uint8_t[]){0x81, 0x00, 0x00, 0x05, 0x08, 0x06}, 6);
	assert_false(passes_bytes(&program, bytes, 64));
	f.eth_dst = MAC_BROADCAST;
	arp_frame_build(&f, bytes);
	for (unsigned len = 0; len < ARP_FRAME_SIZE; len++)
		assert_false(passes_bytes(&program, bytes, len));
	pcap_freecode(&program);
}

static void without_pools_only_what_is_for_us(void **state)
{
	(void)state;
	struct bpf_program program = compile(NULL, 0);
	struct arp_frame to_us = between(ARP_REPLY, &OWN, CLIENT, NODE), to_all = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630070);
	assert_true(passes(&program, &to_us));
	assert_false(passes(&program, &to_all));
	pcap_freecode(&program);
}

static void every_address(void **state)
{
	(void)state;
	static const struct ipv4_range all = {0, 0xffffffff};
	struct bpf_program program = compile(&all, 1);
	static const uint32_t some[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct arp_frame f = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, some[i]);
		assert_true(passes(&program, &f));
	}
	pcap_freecode(&program);
}

static void size_goes_by_ranges_only(void **state)
{
	(void)state;
	static const struct ipv4_range sizes[] = {{0x0a630064, 0x0a630065}, {0x0a630064, 0x0a630096}, {0x0a000005, 0x0afffff7}};
	struct bpf_program first = compile(sizes, 1);
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bpf_program other = compile(sizes + i, 1);
		assert_int_equal(other.bf_len, first.bf_len);
		pcap_freecode(&other);
	}
	pcap_freecode(&first);

	/* 200 ranges still fit into the kernel's 4096 instructions, and work to the last. */
	struct ipv4_range many[200];
	for (uint32_t i = 0; i < 200; i++)
		many[i] = (struct ipv4_range){0x0a000000 + i * 512, 0x0a0000ff + i * 512};
	struct bpf_program program = compile(many, 200);
	assert_in_range(program.bf_len, 200, 4096);
	for (uint32_t i = 0; i < 200; i++) {
		struct arp_frame in = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, many[i].last);
		struct arp_frame out = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, many[i].last + 1);
		assert_true(passes(&program, &in));
		assert_false(passes(&program, &out));
	}
	pcap_freecode(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_frames_pass), cmocka_unit_test(alarms_pass), cmocka_unit_test(other_packets_do_not_pass),
		cmocka_unit_test(without_pools_only_what_is_for_us), cmocka_unit_test(every_address), cmocka_unit_test(size_goes_by_ranges_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
