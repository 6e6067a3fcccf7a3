/* The kernel's filter: the very program that link.c installs, run by the kernel on a pair of sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "arp/filter.h"
#include "arp/link.h"
#include "arp/liveness.h"
#include "arp/responder.h"

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

struct kernel {
	int in, out;
	unsigned steps;
};

static struct kernel with_filter(const struct ipv4_range *ranges, size_t n)
{
	struct buffer expression = BUFFER_INIT;
	struct sock_fprog program;
	struct error err;
	int pair[2];
	arp_filter(&expression, ranges, n, &OWN);
	if (link_compile(buffer_string(&expression), &program, &err) < 0)
		fail_msg("%s: %s", buffer_string(&expression), err.text);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	if (setsockopt(pair[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		fail_msg("%u instructions: %s", program.len, strerror(errno));
	struct kernel k = {.in = pair[0], .out = pair[1], .steps = program.len};
	free(program.filter);
	buffer_free(&expression);
	return k;
}

static void done(const struct kernel *k)
{
	close(k->in);
	close(k->out);
}

static bool passes_bytes(const struct kernel *k, const uint8_t *bytes, size_t len)
{
	uint8_t back[2048];
	assert_int_equal(send(k->out, bytes, len, 0), len);
	return recv(k->in, back, sizeof(back), MSG_DONTWAIT) >= 0;
}

static bool passes(const struct kernel *k, const struct arp_frame *frame)
{
	uint8_t bytes[60] = {0};
	arp_frame_build(frame, bytes);
	return passes_bytes(k, bytes, sizeof(bytes));
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
	struct kernel program = with_filter(POOLS, N_POOLS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arp_frame f = between(cases[i].op, cases[i].to, cases[i].spa, cases[i].tpa);
		if (passes(&program, &f) != cases[i].pass)
			fail_msg("%s: wanted %s", cases[i].what, cases[i].pass ? "pass" : "drop");
	}
	done(&program);
}

static void alarms_pass(void **state)
{
	(void)state;
	struct kernel program = with_filter(POOLS, N_POOLS), no_pools = with_filter(NULL, 0);
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
	done(&program);
	done(&no_pools);
}

/* IPv4 that looks like an ARP frame from the ethertype on, a VLAN tag, cut frames. */
static void other_packets_do_not_pass(void **state)
{
	(void)state;
	struct kernel program = with_filter(POOLS, N_POOLS);
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
	done(&program);
}

static void without_pools_only_what_is_for_us(void **state)
{
	(void)state;
	struct kernel program = with_filter(NULL, 0);
	struct arp_frame to_us = between(ARP_REPLY, &OWN, CLIENT, NODE), to_all = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, 0x0a630070);
	assert_true(passes(&program, &to_us));
	assert_false(passes(&program, &to_all));
	done(&program);
}

static void every_address(void **state)
{
	(void)state;
	static const struct ipv4_range all = {0, 0xffffffff};
	struct kernel program = with_filter(&all, 1);
	static const uint32_t some[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct arp_frame f = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, some[i]);
		assert_true(passes(&program, &f));
	}
	done(&program);
}

static void size_goes_by_ranges_only(void **state)
{
	(void)state;
	static const struct ipv4_range sizes[] = {{0x0a630064, 0x0a630065}, {0x0a630064, 0x0a630096}, {0x0a000005, 0x0afffff7}};
	struct kernel first = with_filter(sizes, 1);
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct kernel other = with_filter(sizes + i, 1);
		assert_int_equal(other.steps, first.steps);
		done(&other);
	}
	done(&first);

	/* 200 ranges still fit into what the kernel takes, and work to the last. */
	struct ipv4_range many[200];
	for (uint32_t i = 0; i < 200; i++)
		many[i] = (struct ipv4_range){0x0a000000 + i * 512, 0x0a0000ff + i * 512};
	struct kernel program = with_filter(many, 200);
	assert_in_range(program.steps, 200, 4096);
	for (uint32_t i = 0; i < 200; i++) {
		struct arp_frame in = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, many[i].last);
		struct arp_frame out = between(ARP_REQUEST, &MAC_BROADCAST, CLIENT, many[i].last + 1);
		assert_true(passes(&program, &in));
		assert_false(passes(&program, &out));
	}
	done(&program);
}

/* Another host's frames and other VLANs' come first to the guard, which no expression can say. */
static void packet_types_first(void **state)
{
	(void)state;
	struct sock_fprog program;
	struct error err;
	assert_int_equal(link_compile("arp", &program, &err), 0);
	assert_int_equal(program.filter[0].k, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
	assert_int_equal(program.filter[1].code, BPF_JMP | BPF_JGT | BPF_K);
	assert_int_equal(program.filter[1].k, 1);
	assert_int_equal(program.filter[1].jt, 0);
	assert_int_equal(program.filter[2].code, BPF_RET | BPF_K);
	assert_int_equal(program.filter[2].k, 0);
	free(program.filter);
	assert_int_equal(link_compile("arp and (", &program, &err), -EINVAL);
}

/* ---- the kernel's filter and the user-space check agree, on many frames ---- */

struct view {
	uint8_t bytes[80];
	size_t len;
};

/* What the filter is meant to be, in plain C. A load behind the end of a frame ends a program with "no". */
static bool described(const struct view *v, const struct ipv4_range *ranges, size_t n)
{
	const uint8_t *b = v->bytes;
	if (v->len < 14 || b[12] != 0x08 || b[13] != 0x06)
		return false;
	if (memcmp(b, OWN.bytes, MAC_SIZE) == 0)
		return true;
	if (v->len >= 38 && memcmp(b + 32, ALARM_MARK.bytes, MAC_SIZE) == 0)
		return true;
	for (size_t i = 0; v->len >= ARP_FRAME_SIZE && i < n; i++)
		for (size_t at = 28; at <= 38; at += 10) {
			uint32_t a = (uint32_t)b[at] << 24 | (uint32_t)b[at + 1] << 16 | (uint32_t)b[at + 2] << 8 | b[at + 3];
			if (a >= ranges[i].first && a <= ranges[i].last)
				return true;
		}
	return false;
}

struct world {
	const struct ipv4_range *ranges;
	size_t n;
	struct responder *responder;
	struct liveness *liveness;
	unsigned seen, passed, acted, tagged_acted;
};

static uint32_t pick(uint32_t below)
{
	return (uint32_t)lrand48() % below;
}

/* An address at or near the edge of a range, in one, a node's, a client's, or any. */
static uint32_t some_address(const struct world *w)
{
	static const uint32_t known[] = {NODE, 0x0a63000b, CLIENT, 0, 0xffffffff, 0x0a630001};
	uint32_t kind = pick(8);
	if (kind < 5 && w->n) {
		const struct ipv4_range *r = &w->ranges[pick((uint32_t)w->n)];
		uint32_t size = r->last - r->first;
		const uint32_t edges[] = {r->first, r->last, r->first - 1, r->last + 1, r->first + (size ? pick(size) : 0)};
		return edges[kind];
	}
	return kind < 7 ? known[pick(sizeof(known) / sizeof(known[0]))] : (uint32_t)mrand48();
}

static struct mac some_mac(void)
{
	static const struct mac multicast = {{0x01, 0, 0x5e, 0, 0, 1}};
	const struct mac *const known[] = {&OWN, &PEER, &MAC_BROADCAST, &MAC_ZERO, &ALARM_MARK, &multicast, &MAC_BROADCAST, &OWN};
	struct mac m = *known[pick(8)];
	if (pick(6) == 0)
		m.bytes[pick(MAC_SIZE)] ^= (uint8_t)(1 << pick(8));
	return m;
}

static struct arp_frame some_frame(const struct world *w)
{
	struct arp_frame f = {.eth_dst = MAC_BROADCAST, .eth_src = PEER, .op = (uint16_t)(1 + pick(2)), .sha = PEER, .spa = some_address(w), .tpa = some_address(w)};
	if (pick(2))
		f.eth_dst = some_mac();
	if (pick(4) == 0)
		f.eth_src = some_mac();
	if (pick(4) == 0)
		f.sha = some_mac();
	if (pick(3) == 0)
		f.tha = some_mac();
	if (pick(6) == 0)
		f.spa = f.tpa;
	if (pick(6) == 0)
		f.spa = 0x0a63000b, f.tpa = NODE;   /* a peer asks us */
	return f;
}

/* Bytes as the kernel's filter sees them: it has put a VLAN tag aside before. */
static struct view some_bytes(const struct world *w)
{
	struct view v = {.len = pick(3) ? 60 : ARP_FRAME_SIZE};
	struct arp_frame f = some_frame(w);
	for (size_t i = 0; i < sizeof(v.bytes); i++)
		v.bytes[i] = (uint8_t)pick(256);   /* padding is anything */
	arp_frame_build(&f, v.bytes);
	if (pick(4) == 0)
		for (uint32_t n = 1 + pick(3); n > 0; n--)
			v.bytes[pick(ARP_FRAME_SIZE)] = (uint8_t)pick(256);
	if (pick(4) == 0)
		v.bytes[12 + pick(10)] ^= (uint8_t)(1 << pick(8));
	if (pick(5) == 0)
		v.len = pick(65);
	return v;
}

/* As libpcap hands it to us: with the tag, as much as link.c keeps. */
static struct view tagged(const struct view *v, unsigned tci)
{
	struct view t = {.len = v->len + 4};
	memcpy(t.bytes, v->bytes, 12);
	memcpy(t.bytes + 12, (const uint8_t[]){0x81, 0x00, (uint8_t)(tci >> 8), (uint8_t)tci}, 4);
	memcpy(t.bytes + 16, v->bytes + 12, sizeof(t.bytes) - 16);
	return t;
}

static bool in_pool(const struct world *w, uint32_t a)
{
	for (size_t i = 0; i < w->n; i++)
		if (a >= w->ranges[i].first && a <= w->ranges[i].last)
			return true;
	return false;
}

/* Would anybody above the link do something about it? Claims count where they are about pools. */
static bool acted_on(struct world *w, const struct view *v, int64_t now)
{
	struct arp_frame f, reply;
	struct liveness_action action;
	/* Memory of just this size: a sanitizer sees what is read behind it. */
	size_t len = v->len < LINK_FRAME ? v->len : LINK_FRAME;
	uint8_t *kept = malloc(len ? len : 1);
	memcpy(kept, v->bytes, len);
	bool valid = arp_frame_parse(kept, len, &f);
	free(kept);
	if (!valid)
		return false;
	bool alive = liveness_receive(w->liveness, &f, now);
	while (liveness_take(w->liveness, &action))
		;
	if (alive)
		return true;
	switch (responder_receive(w->responder, &f, 0, &reply)) {
	case RESPONDER_IGNORE: return false;
	case RESPONDER_CLAIM: return in_pool(w, f.spa);
	case RESPONDER_ANSWER:
	case RESPONDER_PROBE: return true;
	}
	return false;
}

static void one_frame(struct world *w, const struct kernel *k, int64_t now)
{
	struct view v = some_bytes(w);
	unsigned tci = (pick(8) << 13) | (pick(2) ? 0 : 1 + pick(4094));
	bool is_tagged = pick(6) == 0;
	struct view ours = is_tagged ? tagged(&v, tci) : v;
	bool pass = passes_bytes(k, v.bytes, v.len), act = acted_on(w, &ours, now);
	w->seen++;
	w->passed += pass;
	w->acted += act;
	w->tagged_acted += act && is_tagged;
	if (pass == described(&v, w->ranges, w->n) && (pass || !act) && !(act && is_tagged && (tci & 0xfff)))
		return;
	for (size_t i = 0; i < v.len; i++)
		print_error("%02x ", v.bytes[i]);
	fail_msg("frame %u: the kernel says %d, the description %d, user space %d (tag: %d %04x)", w->seen, pass, described(&v, w->ranges, w->n), act, is_tagged, tci);
}

static void on_many_frames(const struct ipv4_range *ranges, size_t n, unsigned frames)
{
	struct kernel k = with_filter(ranges, n);
	struct world w = {.ranges = ranges, .n = n, .responder = responder_new(), .liveness = liveness_new("node-1", 100000)};
	struct liveness_peer peer = {.name = "node-2", .address = 0x0a63000b, .mac = PEER};
	responder_set_mac(w.responder, &OWN);
	for (size_t i = 0; i < n; i++) {
		responder_set(w.responder, ranges[i].first, true);
		responder_set(w.responder, ranges[i].last, true);
	}
	liveness_set_self(w.liveness, NODE, &OWN);
	liveness_set_ready(w.liveness, true);
	liveness_set_peers(w.liveness, &peer, 1, 0);
	liveness_step(w.liveness, 0);
	for (unsigned i = 0; i < frames; i++)
		one_frame(&w, &k, (int64_t)i * 10);
	/* A test that only sees one kind proves nothing. */
	assert_in_range(w.passed, frames / 10, frames - 1);
	assert_in_range(w.acted, frames / 200, w.passed);
	assert_in_range(w.tagged_acted, 1, w.acted);
	responder_free(w.responder);
	liveness_free(w.liveness);
	done(&k);
}

static void agrees_with_user_space(void **state)
{
	(void)state;
	static const struct ipv4_range all = {0, 0xffffffff};
	struct ipv4_range random[40];
	const char *given = getenv("SEED");
	long seed = given ? atol(given) : (long)time(NULL);
	print_message("seed %ld (SEED=... repeats it)\n", seed);
	srand48(seed);
	on_many_frames(POOLS, N_POOLS, 100000);
	on_many_frames(NULL, 0, 20000);
	on_many_frames(&all, 1, 20000);
	for (size_t n = 1; n <= sizeof(random) / sizeof(random[0]); n += 13) {
		for (size_t i = 0; i < n; i++) {
			uint32_t first = (uint32_t)mrand48(), size = pick(3) ? pick(256) : pick(1 << 20);
			random[i] = (struct ipv4_range){first, first > UINT32_MAX - size ? UINT32_MAX : first + size};
		}
		on_many_frames(random, n, 20000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_frames_pass), cmocka_unit_test(alarms_pass), cmocka_unit_test(other_packets_do_not_pass),
		cmocka_unit_test(without_pools_only_what_is_for_us), cmocka_unit_test(every_address), cmocka_unit_test(size_goes_by_ranges_only),
		cmocka_unit_test(packet_types_first), cmocka_unit_test(agrees_with_user_space),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
