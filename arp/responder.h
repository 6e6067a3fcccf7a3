/* Which of our addresses are answered on one link, and the answer to a frame. Pure.
 * The decision table is wire.md section 3.1. */
#ifndef ARP_RESPONDER_H
#define ARP_RESPONDER_H

#include "arp/frame.h"

struct responder;

enum responder_verdict {
	RESPONDER_IGNORE,
	RESPONDER_ANSWER,    /* send *reply */
	RESPONDER_PROBE,     /* somebody probes our address (RFC 5227): send *reply and announce */
	RESPONDER_CLAIM,     /* somebody else says that an address is his (ours or not); frame->spa, frame->sha. With another
	                      * Ethernet source it is a guard at work, for us if sha is our MAC: no conflict */
};

struct responder *responder_new(void);
void responder_free(struct responder *r);
void responder_set_mac(struct responder *r, const struct mac *mac);

/* Start or stop answering for an address (host byte order). */
void responder_set(struct responder *r, uint32_t address, bool answer);
bool responder_has(const struct responder *r, uint32_t address);

/* Answer in another's stead, with its MAC in the payload (the Ethernet source stays ours, or bridges would move its MAC to our
 * port: ownership.md finding 15); owner NULL: no longer. What we answer for as our own stays our own. */
void responder_guard(struct responder *r, uint32_t address, const struct mac *owner);
bool responder_guards(const struct responder *r, uint32_t address);
size_t responder_count(const struct responder *r);

/* Requests that came before `at` and waited are another's to answer: he went on until he heard us. */
void responder_since(struct responder *r, uint32_t address, int64_t at);

/* frame was parsed, and came `at`; for_us: addressed to our MAC or broadcast (anything else is ignored). */
enum responder_verdict responder_receive(const struct responder *r, const struct arp_frame *frame, int64_t at, struct arp_frame *reply);

#endif
