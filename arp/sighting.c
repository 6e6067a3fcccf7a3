#include "arp/sighting.h"

#include "arp/filter.h"

const char *sighting_name(enum sighting kind)
{
	static const char *const NAMES[] = {"request", "reply", "probe", "announcement", "guard", "liveness", "alarm"};
	return NAMES[kind];
}

enum sighting sighting_of(const struct arp_frame *f, bool between_nodes)
{
	bool broadcast = mac_equal(&f->eth_dst, &MAC_BROADCAST);
	if (f->op == ARP_REQUEST && mac_equal(&f->tha, &ALARM_MARK))
		return SIGHTING_ALARM;
	if (f->op == ARP_REQUEST && !f->spa)
		return SIGHTING_PROBE;
	if (f->spa == f->tpa)   /* no kernel says this to one host only: it is a speaker's answer to a liveness question */
		return broadcast ? SIGHTING_ANNOUNCEMENT : SIGHTING_LIVENESS;
	if (f->op == ARP_REQUEST)
		return between_nodes && !broadcast ? SIGHTING_LIVENESS : SIGHTING_REQUEST;
	if (!mac_equal(&f->sha, &f->eth_src))
		return SIGHTING_GUARD;
	return between_nodes && !broadcast ? SIGHTING_LIVENESS : SIGHTING_REPLY;
}
