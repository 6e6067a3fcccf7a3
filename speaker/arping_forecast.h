/* What `arping` would show for an address, said from what was heard: people believe their arping. Pure. Debian has two:
 *
 *   iputils (package iputils-arping)   asks by broadcast until the first reply, then only the MAC that replied last, by
 *                                      unicast; with -b by broadcast always. Names the MAC that the reply says.
 *   Thomas Habets' (package arping)    asks by broadcast always. Names the Ethernet source of the reply.
 */
#ifndef SPEAKER_ARPING_FORECAST_H
#define SPEAKER_ARPING_FORECAST_H

#include "arp/inquiry.h"
#include "config/base/buffer.h"

enum arping { ARPING_IPUTILS, ARPING_IPUTILS_BROADCAST, ARPING_HABETS, ARPINGS };

struct arping_reply {
	struct mac mac;
	unsigned count;
};

struct arping_forecast {
	struct arping_reply *replies[ARPINGS];   /* by first appearance */
	size_t n[ARPINGS];
	unsigned questions;                      /* -c */
};

/* Of the answers for that address on that link. */
void arping_forecast_make(struct arping_forecast *f, uint32_t address, const char *link, unsigned questions, const struct inquiry_answer *answers,
			  size_t n);
void arping_forecast_free(struct arping_forecast *f);

/* One line without its end: "arping -c 3 -I eth0 192.168.122.100 would show 3 replies from 02:00:00:00:00:0b". */
void arping_forecast_text(const struct arping_forecast *f, uint32_t address, const char *link, struct buffer *out);

#endif
