/* What an ARP frame means to somebody who watches the network: more than its two operations. Pure. */
#ifndef ARP_SIGHTING_H
#define ARP_SIGHTING_H

#include "arp/frame.h"

enum sighting {
	SIGHTING_REQUEST,        /* who has it? tell me */
	SIGHTING_REPLY,
	SIGHTING_PROBE,          /* RFC 5227: has anybody got it? I am about to take it */
	SIGHTING_ANNOUNCEMENT,   /* gratuitous, in either form */
	SIGHTING_GUARD,          /* a reply for somebody else's MAC: a guard, or a repeater that changes Ethernet sources */
	SIGHTING_LIVENESS,       /* l2lb's nodes ask each other whether they live (liveness.h) */
	SIGHTING_ALARM,          /* a node seems dead: all are to look (filter.h) */
};
const char *sighting_name(enum sighting kind);

/* between_nodes: its two addresses are nodes' own, as far as the caller knows; a unicast question among those is liveness. */
enum sighting sighting_of(const struct arp_frame *frame, bool between_nodes);

#endif
