/* What frames say of the peers (R1, R4, R8). */
#include <string.h>

#include "arp/filter.h"
#include "arp/liveness_parts.h"

#define HELD (5 * CLOCK_S)        /* after a vouching */

static struct peer *peer_of_address(struct liveness *l, uint32_t address)
{
	for (size_t i = 0; address && i < l->n; i++)
		if (l->peers[i].is.address == address)
			return &l->peers[i];
	return NULL;
}

/* An answer of a node that we do not watch ends no silence: it was not asked before. */
static void heard(struct liveness *l, struct peer *p, bool answer, int64_t now)
{
	if (answer && !p->watched)
		return;
	if (now - p->last_heard > 4 * l->interval) {
		liveness_push(l, LIVENESS_HEARD_AGAIN)->peer = p->is.name;
		if (p->state == LIVENESS_SILENT || p->state == LIVENESS_DEAD)
			liveness_discard_rounds(l, now);   /* a cut ends: what was silent during it gets another chance (R8) */
	}
	p->last_heard = now;
}

static void vouch(struct liveness *l, struct peer *p, int64_t now)
{
	if (now >= p->vouch_until)
		return;
	p->vouch_until = 0;
	liveness_push(l, LIVENESS_SEND)->frame = (struct arp_frame){
		.eth_dst = p->vouch_to.sha, .eth_src = l->mac, .op = ARP_REPLY, .sha = p->is.mac, .spa = p->is.address,
		.tha = p->vouch_to.sha, .tpa = p->vouch_to.spa};
}

static void answered(struct liveness *l, struct peer *p, bool speaker, int64_t now)
{
	int64_t next_ask = p->next_ask > now ? p->next_ask : now + l->interval;
	if (speaker)
		p->spoke_at = now;
	heard(l, p, true, now);
	liveness_round_trip(l, p, now);
	vouch(l, p, now);
	p->held_until = 0;
	if (p->state == LIVENESS_DEAD)   /* it is to know: its clock may have stood still with it, and to itself it was never away */
		liveness_alarm(l, p);
	if (speaker) {
		if (p->phase != IDLE)
			liveness_end_round(p, next_ask);
		p->alarm_round = false;
		p->verdict_until = 0;
		liveness_enter(l, p, p->watched ? LIVENESS_ALIVE : LIVENESS_UNKNOWN, now);
		return;
	}
	p->kernel_heard = true;
	if (p->state == LIVENESS_DEAD)
		liveness_enter(l, p, LIVENESS_UNKNOWN, now);
	if (p->state == LIVENESS_SPEAKER_DOWN && p->phase != IDLE)
		liveness_end_round(p, next_ask);
}

static bool receive_reply(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	struct peer *p = peer_of_address(l, f->spa);
	if (p && mac_equal(&f->sha, &p->is.mac)) {
		if (mac_equal(&f->eth_src, &p->is.mac)) {
			answered(l, p, f->spa == f->tpa, now);
		} else if (f->tpa == l->address) {   /* a third one vouches: our own path to it is the trouble */
			p->held_until = now + HELD;
			if (p->phase == ROUND)
				liveness_end_round(p, now + l->interval);
		}
		return true;
	}
	for (size_t i = 0; i < HOSTS; i++) {
		struct host *h = &l->hosts[i];
		if (h->address && h->address == f->spa && f->tpa == l->address && mac_equal(&h->mac, &f->sha)) {
			h->heard = now;
			liveness_round_trip(l, NULL, now);
			return false;   /* who asked for it as well may want to know whose MAC it is */
		}
	}
	return false;
}

static void receive_alarm(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	struct peer *p = peer_of_address(l, f->tpa), *by = peer_of_address(l, f->spa);
	if (!p || !by)
		return;
	by->spoke_at = now;
	if (p->watched) {
		if (p->state == LIVENESS_DEAD)
			return;
		p->held_until = 0;   /* we are not the only one that misses it */
		p->vouch_to = *f;
		p->vouch_until = now + l->interval;
		liveness_ask(l, p->is.address, &p->is.mac);
	} else if (p->phase != IDLE) {
		p->confirmed |= now > p->middle;
	} else if (now - p->alarm_heard > 2 * l->interval) {
		p->alarm_heard = now;
		p->alarm_round = true;
		liveness_open_window(l, p, 0, now);
		liveness_begin_round(p, now);
	}
}

static bool receive_request(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	bool alarm = mac_equal(&f->tha, &ALARM_MARK) && mac_equal(&f->eth_dst, &MAC_BROADCAST);
	if (f->tpa != l->address) {
		if (alarm)
			receive_alarm(l, f, now);
		return alarm;
	}
	struct peer *asker = peer_of_address(l, f->spa);
	if (!asker || (!alarm && !mac_equal(&f->eth_dst, &l->mac)))
		return false;   /* the kernel answers for the node's own address */
	heard(l, asker, false, now);
	l->asked_at = asker->spoke_at = now;
	if (alarm && now - l->missed_at > CLOCK_S) {
		l->missed_at = now;
		liveness_push(l, LIVENESS_HEARD_AGAIN)->peer = asker->is.name;
	}
	if (asker->slow && asker->phase == IDLE)
		asker->next_ask = clock_min(asker->next_ask, now);
	if (l->ready)
		liveness_push(l, LIVENESS_SEND)->frame = (struct arp_frame){
			.eth_dst = f->sha, .eth_src = l->mac, .op = ARP_REPLY, .sha = l->mac, .spa = l->address, .tha = f->sha, .tpa = l->address};
	return true;
}

bool liveness_receive(struct liveness *l, const struct arp_frame *frame, int64_t now)
{
	bool consumed;
	if (!l->address || mac_equal(&frame->eth_src, &l->mac))
		return false;
	liveness_notice_late(l, now);
	if (frame->op == ARP_REPLY)
		consumed = mac_equal(&frame->eth_dst, &l->mac) && receive_reply(l, frame, now);
	else
		consumed = receive_request(l, frame, now);
	l->expected_step = liveness_deadline(l);
	return consumed;
}
