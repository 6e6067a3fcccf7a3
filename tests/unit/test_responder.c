/* The decision table of wire.md section 3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arp/responder.h"

static const struct mac OWN = {{0x02, 0, 0, 0, 0, 0x0a}};
static const struct mac PEER = {{0x02, 0, 0, 0, 0, 0x0b}};
static const struct mac CLIENT = {{0x02, 0, 0, 0, 0, 0x02}};
static const struct mac OTHER = {{0x02, 0, 0, 0, 0, 0x77}};
static const struct mac MULTICAST = {{0x01, 0, 0x5e, 0, 0, 1}};

#define CLIENT_IP 0x0a630002
#define VIP 0x0a630064
#define VIP2 0x0a630065
#define FOREIGN 0x0a630066   /* in the pool, not ours */

static struct responder *responder(void)
{
	struct responder *r = responder_new();
	responder_set_mac(r, &OWN);
	responder_set(r, VIP, true);
	responder_set(r, VIP2, true);
	return r;
}

static void decision_table(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		const struct mac *dst, *src;
		uint16_t op;
		const struct mac *sha;
		uint32_t spa, tpa;
		enum responder_verdict verdict;
	} cases[] = {
		{"question", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, VIP, RESPONDER_ANSWER},
		{"unicast refresh", &OWN, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, VIP, RESPONDER_ANSWER},
		{"question through a relay", &MAC_BROADCAST, &OTHER, ARP_REQUEST, &CLIENT, CLIENT_IP, VIP2, RESPONDER_ANSWER},
		{"probe", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, 0, VIP, RESPONDER_PROBE},
		{"question for another's address", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, FOREIGN, RESPONDER_IGNORE},
		{"unicast question for another's address", &OWN, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, FOREIGN, RESPONDER_IGNORE},
		{"probe for another's address", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, 0, FOREIGN, RESPONDER_IGNORE},
		{"question for nothing", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, 0, RESPONDER_IGNORE},
		{"question to another host (foreign VLAN)", &OTHER, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, VIP, RESPONDER_IGNORE},
		{"question to a multicast group", &MULTICAST, &CLIENT, ARP_REQUEST, &CLIENT, CLIENT_IP, VIP, RESPONDER_IGNORE},
		{"echo of our announcement", &MAC_BROADCAST, &OWN, ARP_REQUEST, &OWN, VIP, VIP, RESPONDER_IGNORE},
		{"echo of our guard frame", &MAC_BROADCAST, &OWN, ARP_REPLY, &PEER, FOREIGN, FOREIGN, RESPONDER_IGNORE},
		{"our own question relayed back", &MAC_BROADCAST, &OTHER, ARP_REQUEST, &OWN, CLIENT_IP, VIP, RESPONDER_IGNORE},
		{"a guard of ours announces", &MAC_BROADCAST, &PEER, ARP_REQUEST, &OWN, VIP, VIP, RESPONDER_CLAIM},
		{"a guard of ours answers us", &OWN, &PEER, ARP_REPLY, &OWN, VIP, CLIENT_IP, RESPONDER_CLAIM},
		{"a peer announces ours", &MAC_BROADCAST, &PEER, ARP_REQUEST, &PEER, VIP, VIP, RESPONDER_CLAIM},
		{"gratuitous reply for ours", &MAC_BROADCAST, &PEER, ARP_REPLY, &PEER, VIP, VIP, RESPONDER_CLAIM},
		{"a stranger asks as ours", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, VIP, CLIENT_IP, RESPONDER_CLAIM},
		{"a stranger asks as one of ours for another of ours", &MAC_BROADCAST, &CLIENT, ARP_REQUEST, &CLIENT, VIP, VIP2, RESPONDER_CLAIM},
		{"a peer announces its own", &MAC_BROADCAST, &PEER, ARP_REQUEST, &PEER, FOREIGN, FOREIGN, RESPONDER_CLAIM},
		{"an answer to our question", &OWN, &PEER, ARP_REPLY, &PEER, FOREIGN, CLIENT_IP, RESPONDER_CLAIM},
		{"a reply from nobody", &OWN, &PEER, ARP_REPLY, &PEER, 0, VIP, RESPONDER_IGNORE},
		{"zero asks for zero", &MAC_BROADCAST, &PEER, ARP_REQUEST, &PEER, 0, 0, RESPONDER_IGNORE},
	};
	struct responder *r = responder();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arp_frame f = {.eth_dst = *cases[i].dst, .eth_src = *cases[i].src, .op = cases[i].op, .sha = *cases[i].sha,
				      .spa = cases[i].spa, .tpa = cases[i].tpa}, reply = {.op = 77};
		enum responder_verdict v = responder_receive(r, &f, 0, &reply);
		if (v != cases[i].verdict)
			fail_msg("%s: wanted %d, is %d", cases[i].what, (int)cases[i].verdict, (int)v);
		if (v != RESPONDER_ANSWER && v != RESPONDER_PROBE) {
			assert_int_equal(reply.op, 77);
			continue;
		}
		struct arp_frame wanted = {.eth_dst = *cases[i].sha, .eth_src = OWN, .op = ARP_REPLY, .sha = OWN, .spa = cases[i].tpa,
					   .tha = *cases[i].sha, .tpa = cases[i].spa};
		uint8_t sent[ARP_FRAME_SIZE], expected[ARP_FRAME_SIZE];   /* the struct has padding */
		arp_frame_build(&reply, sent);
		arp_frame_build(&wanted, expected);
		assert_memory_equal(sent, expected, sizeof(sent));
	}
	responder_free(r);
}

static void set_and_take_back(void **state)
{
	(void)state;
	struct responder *r = responder();
	struct arp_frame reply, f = arp_question(CLIENT_IP, &CLIENT, VIP, NULL);
	responder_set(r, VIP, true);   /* twice is once */
	assert_int_equal(responder_count(r), 2);
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	responder_set(r, VIP, false);
	responder_set(r, VIP, false);
	assert_int_equal(responder_count(r), 1);
	assert_false(responder_has(r, VIP));
	assert_true(responder_has(r, VIP2));
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_IGNORE);
	responder_set(r, VIP, true);
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	responder_free(r);
	responder_free(NULL);
}

static void new_mac(void **state)
{
	(void)state;
	struct responder *r = responder();
	struct arp_frame reply, to_old = arp_question(CLIENT_IP, &CLIENT, VIP, &OWN), to_new = arp_question(CLIENT_IP, &CLIENT, VIP, &OTHER);
	responder_set_mac(r, &OTHER);
	assert_int_equal(responder_receive(r, &to_old, 0, &reply), RESPONDER_IGNORE);
	assert_int_equal(responder_receive(r, &to_new, 0, &reply), RESPONDER_ANSWER);
	assert_true(mac_equal(&reply.sha, &OTHER));
	responder_free(r);
}

static void thousand_addresses(void **state)
{
	(void)state;
	struct responder *r = responder_new();
	struct arp_frame reply;
	responder_set_mac(r, &OWN);
	for (uint32_t i = 0; i < 1000; i++)
		responder_set(r, 0x0a000000 + i, true);
	for (uint32_t i = 0; i < 1000; i += 2)
		responder_set(r, 0x0a000000 + i, false);
	assert_int_equal(responder_count(r), 500);
	for (uint32_t i = 0; i < 1000; i++) {
		struct arp_frame f = arp_question(CLIENT_IP, &CLIENT, 0x0a000000 + i, NULL);
		assert_int_equal(responder_receive(r, &f, 0, &reply), i % 2 ? RESPONDER_ANSWER : RESPONDER_IGNORE);
	}
	responder_free(r);
}

/* Whatever comes: only what we own is answered, only with our MAC, never to a group, never to ourselves. */
static void random_frames(void **state)
{
	(void)state;
	const struct mac macs[] = {OWN, PEER, CLIENT, OTHER, MAC_BROADCAST, MULTICAST};
	const uint32_t addresses[] = {0, CLIENT_IP, VIP, VIP2, FOREIGN, VIP - 1, 0xffffffff};
	struct responder *r = responder();
	unsigned answers = 0;
	bool owned[2] = {true, true};
	srand48(7);
	for (int i = 0; i < 200000; i++) {
		struct arp_frame f = {.eth_dst = macs[lrand48() % 6], .eth_src = macs[lrand48() % 4], .op = (uint16_t)(1 + lrand48() % 2),
				      .sha = macs[lrand48() % 4], .spa = addresses[lrand48() % 7], .tha = macs[lrand48() % 6],
				      .tpa = addresses[lrand48() % 7]}, reply;
		if (i % 64 == 0) {
			owned[0] = lrand48() % 2, owned[1] = lrand48() % 2;
			responder_set(r, VIP, owned[0]);
			responder_set(r, VIP2, owned[1]);
		}
		enum responder_verdict v = responder_receive(r, &f, 0, &reply);
		if (v != RESPONDER_ANSWER && v != RESPONDER_PROBE)
			continue;
		answers++;
		assert_true((reply.spa == VIP && owned[0]) || (reply.spa == VIP2 && owned[1]));
		assert_int_equal(reply.spa, f.tpa);
		assert_int_equal(reply.op, ARP_REPLY);
		assert_true(mac_equal(&reply.sha, &OWN) && mac_equal(&reply.eth_src, &OWN));
		assert_true(mac_equal(&reply.eth_dst, &f.sha) && !mac_equal(&reply.eth_dst, &OWN));
		assert_int_equal(f.op, ARP_REQUEST);
		assert_true(f.spa != VIP || !owned[0]);
		assert_true(f.spa != VIP2 || !owned[1]);
		assert_true(mac_equal(&f.eth_dst, &OWN) || mac_equal(&f.eth_dst, &MAC_BROADCAST));
	}
	assert_true(answers > 1000);
	responder_free(r);
}

/* In another's stead: its MAC in the payload, our own as Ethernet source (finding 15). What is our own stays so. */
static void guards(void **state)
{
	static const struct mac OWNER = {{2, 0, 0, 0, 0, 0x77}}, ASKER = {{2, 0, 0, 0, 0, 0x55}};
	struct responder *r = responder_new();
	struct arp_frame reply, f = arp_question(0x0a000005, &ASKER, VIP, NULL);
	(void)state;
	responder_set_mac(r, &OWN);
	responder_guard(r, VIP, &OWNER);
	assert_true(responder_guards(r, VIP) && !responder_has(r, VIP));
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	assert_true(mac_equal(&reply.sha, &OWNER) && mac_equal(&reply.eth_src, &OWN) && mac_equal(&reply.eth_dst, &ASKER));
	f = arp_question(0x0a000007, &OWNER, VIP, NULL);   /* the owner is back, and asks */
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	assert_true(mac_equal(&reply.sha, &OWNER) && mac_equal(&reply.eth_dst, &OWNER));
	f = arp_announcement(VIP, &OWNER);
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_CLAIM);
	responder_set(r, VIP, false);   /* of its own it has nothing to stop */
	assert_true(responder_guards(r, VIP));
	responder_set(r, VIP, true);
	assert_true(responder_has(r, VIP) && !responder_guards(r, VIP));
	responder_guard(r, VIP, &OWNER);
	responder_guard(r, VIP, NULL);
	assert_true(responder_has(r, VIP));
	f = arp_question(0x0a000005, &ASKER, VIP, NULL);
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	assert_true(mac_equal(&reply.sha, &OWN));
	/* Handed over: what waited when we began was another's to answer. */
	responder_since(r, VIP, 1000);
	assert_int_equal(responder_receive(r, &f, 999, &reply), RESPONDER_IGNORE);
	assert_int_equal(responder_receive(r, &f, 1000, &reply), RESPONDER_ANSWER);
	responder_since(r, VIP2, 1000);   /* not ours */
	responder_set(r, VIP, false);
	responder_set(r, VIP, true);
	assert_int_equal(responder_receive(r, &f, 0, &reply), RESPONDER_ANSWER);
	responder_set(r, VIP, false);
	responder_guard(r, VIP2, &OWNER);
	responder_guard(r, VIP2, NULL);
	responder_guard(r, VIP2, NULL);
	assert_int_equal(responder_count(r), 0);
	responder_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards),
		cmocka_unit_test(decision_table), cmocka_unit_test(set_and_take_back), cmocka_unit_test(new_mac),
		cmocka_unit_test(thousand_addresses), cmocka_unit_test(random_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
