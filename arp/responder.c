#include "arp/responder.h"

#include <stdlib.h>

#include "config/base/map.h"

struct owned {
	uint32_t address;
	bool guarded;        /* in the stead of `mac` */
	int64_t since;       /* what came before is not ours to answer */
	struct mac mac;
	UT_hash_handle hh;
};

struct responder {
	struct mac mac;
	struct owned *owned;
};

struct responder *responder_new(void)
{
	return mem_zalloc(sizeof(struct responder));
}

void responder_free(struct responder *r)
{
	struct owned *o, *tmp;
	if (!r)
		return;
	HASH_ITER(hh, r->owned, o, tmp) {
		HASH_DEL(r->owned, o);
		free(o);
	}
	free(r);
}

void responder_set_mac(struct responder *r, const struct mac *mac)
{
	r->mac = *mac;
}

static struct owned *find(const struct responder *r, uint32_t address)
{
	struct owned *o;
	HASH_FIND(hh, r->owned, &address, sizeof(address), o);
	return o;
}

static struct owned *get(struct responder *r, uint32_t address)
{
	struct owned *o = find(r, address);
	if (!o) {
		o = mem_zalloc(sizeof(*o));
		o->address = address;
		HASH_ADD(hh, r->owned, address, sizeof(o->address), o);
	}
	return o;
}

static void drop(struct responder *r, struct owned *o)
{
	HASH_DEL(r->owned, o);
	free(o);
}

void responder_set(struct responder *r, uint32_t address, bool answer)
{
	struct owned *o = find(r, address);
	if (answer)
		get(r, address)->guarded = false;
	else if (o && !o->guarded)
		drop(r, o);
}

bool responder_has(const struct responder *r, uint32_t address)
{
	const struct owned *o = find(r, address);
	return o && !o->guarded;
}

void responder_guard(struct responder *r, uint32_t address, const struct mac *owner)
{
	struct owned *o = find(r, address);
	if (o && !o->guarded)
		return;
	if (!owner) {
		if (o)
			drop(r, o);
		return;
	}
	o = get(r, address);
	o->guarded = true;
	o->mac = *owner;
}

bool responder_guards(const struct responder *r, uint32_t address)
{
	const struct owned *o = find(r, address);
	return o && o->guarded;
}

void responder_since(struct responder *r, uint32_t address, int64_t at)
{
	struct owned *o = find(r, address);
	if (o)
		o->since = at;
}

size_t responder_count(const struct responder *r)
{
	return HASH_COUNT(r->owned);
}

enum responder_verdict responder_receive(const struct responder *r, const struct arp_frame *frame, int64_t at, struct arp_frame *reply)
{
	bool for_us = mac_equal(&frame->eth_dst, &MAC_BROADCAST) || mac_equal(&frame->eth_dst, &r->mac);
	if (!for_us || mac_equal(&frame->eth_src, &r->mac))
		return RESPONDER_IGNORE;   /* another VLAN's or host's, or an echo of our own */
	if (frame->spa && (find(r, frame->spa) || frame->op == ARP_REPLY || frame->spa == frame->tpa))
		return RESPONDER_CLAIM;
	const struct owned *o = frame->op == ARP_REQUEST && !mac_equal(&frame->sha, &r->mac) ? find(r, frame->tpa) : NULL;
	if (!o || at < o->since)
		return RESPONDER_IGNORE;
	*reply = arp_answer(frame, o->guarded ? &o->mac : &r->mac);
	reply->eth_src = r->mac;
	return frame->spa ? RESPONDER_ANSWER : RESPONDER_PROBE;
}
