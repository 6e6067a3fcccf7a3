/* The in-kernel filter, as a pcap expression: frames about pool addresses (target or sender), frames to our own MAC
 * (liveness), and alarms. Its size depends on the pools' ranges only, never on addresses in use or nodes. Pure. */
#ifndef ARP_FILTER_H
#define ARP_FILTER_H

#include "arp/frame.h"
#include "config/base/buffer.h"

struct ipv4_range {
	uint32_t first, last;   /* host byte order, both included */
};

/* An alarm is a broadcast request whose (elsewhere ignored) target hardware address is this. */
extern const struct mac ALARM_MARK;

void arp_filter(struct buffer *expression, const struct ipv4_range *ranges, size_t n, const struct mac *own);

#endif
