/* Frames as a segment takes them: parsed, shown to the liveness core, then to the responder. The input is frames of 60 bytes
 * (as on a wire, padded) one after the other, the last one as long as it is. What must hold, whatever comes:
 * a frame that is taken is built again byte for byte; nobody but us is answered for, and never with an address that is not
 * ours or a MAC that is not ours; liveness never sends an address of a Service as its sender; nothing grows without bound.
 * The corpus was recorded from a lab by tests/fuzz/record.py. */
#include "arp/filter.h"
#include "arp/liveness.h"
#include "arp/responder.h"
#include "config/base/clock.h"
#include "tests/fuzz/require.h"

#define ADDRESS(last) (0xc0a87a00u + (last))   /* 192.168.122.x */
#define FRAME 60
#define INTERVAL (100 * CLOCK_MS)

static const struct mac OWN = {{0x02, 0, 0, 0, 0, 0x0a}};

static bool owned(uint32_t address)
{
	return address == ADDRESS(100) || address == ADDRESS(101);
}

static void check_round_trip(const uint8_t *bytes, size_t len, const struct arp_frame *frame)
{
	uint8_t built[ARP_FRAME_SIZE];
	REQUIRE(len >= sizeof(built));
	arp_frame_build(frame, built);
	REQUIRE(memcmp(bytes, built, sizeof(built)) == 0);
	REQUIRE(!(frame->sha.bytes[0] & 1));   /* a unicast sender */
}

static void check_answer(enum responder_verdict verdict, const struct arp_frame *frame, const struct arp_frame *reply)
{
	bool for_us = mac_equal(&frame->eth_dst, &OWN) || mac_equal(&frame->eth_dst, &MAC_BROADCAST);
	if (verdict == RESPONDER_IGNORE)
		return;
	REQUIRE(for_us && !mac_equal(&frame->eth_src, &OWN));
	if (verdict == RESPONDER_CLAIM)
		return;
	REQUIRE(frame->op == ARP_REQUEST && owned(frame->tpa) && (verdict == RESPONDER_PROBE) == (frame->spa == 0));
	REQUIRE(reply->op == ARP_REPLY && reply->spa == frame->tpa && reply->tpa == frame->spa);
	REQUIRE(mac_equal(&reply->sha, &OWN) && mac_equal(&reply->eth_src, &OWN) && mac_equal(&reply->eth_dst, &frame->sha));
}

static size_t check_actions(struct liveness *l)
{
	struct liveness_action action;
	size_t n = 0;
	for (; liveness_take(l, &action); n++) {
		if (action.kind != LIVENESS_SEND)
			continue;
		REQUIRE(mac_equal(&action.frame.eth_src, &OWN) && !owned(action.frame.spa) && action.frame.spa != 0);
		/* A vouching names the peer's MAC for the peer's address; all else is ours. */
		REQUIRE(mac_equal(&action.frame.sha, &OWN) || (action.frame.op == ARP_REPLY && action.frame.spa != ADDRESS(10)));
	}
	return n;
}

static struct liveness *liveness_in_the_lab(int64_t now)
{
	static const struct liveness_peer PEERS[] = {
		{.name = "worker-1", .address = ADDRESS(11), .mac = {{0x02, 0, 0, 0, 0, 0x0b}}},
		{.name = "worker-2", .address = ADDRESS(12), .mac = {{0x02, 0, 0, 0, 0, 0x0c}}},
	};
	struct liveness *l = liveness_new("k8s-control", INTERVAL);
	liveness_set_self(l, ADDRESS(10), &OWN);
	liveness_set_peers(l, PEERS, 2, now);
	liveness_set_ready(l, true);
	return l;
}

static void take(struct liveness *l, struct responder *r, const uint8_t *bytes, size_t len, int64_t now)
{
	struct arp_frame frame, reply;
	if (!arp_frame_parse(bytes, len, &frame))
		return;
	check_round_trip(bytes, len, &frame);
	if (liveness_receive(l, &frame, now))
		return;
	enum responder_verdict verdict = responder_receive(r, &frame, 0, &reply);
	check_answer(verdict, &frame, &reply);
	if (verdict == RESPONDER_ANSWER)
		liveness_add_host(l, frame.spa, &frame.sha, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t now = CLOCK_S;
	struct liveness *l = liveness_in_the_lab(now);
	struct responder *r = responder_new();
	responder_set_mac(r, &OWN);
	responder_set(r, ADDRESS(100), true);
	responder_set(r, ADDRESS(101), true);
	for (size_t at = 0; at < size; at += FRAME, now += INTERVAL / 8) {
		/* A copy of its own, so that reading behind a frame is seen. */
		size_t len = size - at < FRAME ? size - at : FRAME;
		uint8_t *bytes = malloc(len);
		memcpy(bytes, data + at, len);
		take(l, r, bytes, len, now);
		free(bytes);
		liveness_step(l, now);
		REQUIRE(check_actions(l) < 100);
		REQUIRE(liveness_deadline(l) > now);
	}
	REQUIRE(responder_count(r) == 2);
	responder_free(r);
	liveness_free(l);
	return 0;
}
