/* New addresses are spread: who is passed over because it would own more than its share (design.md section 5)? Pure. Nodes
 * are numbers, chosen by the caller for one round: spread_begin, then who holds what, then the addresses that are to get a
 * first owner, in the order of addresses, then spread_assign; after that questions are answered.
 *
 * An address goes to the first of its nodes that would not own more than ceil(1.25 x addresses / nodes) then. Addresses that
 * still wait count in it, so the limit stays where it is while one after the other is taken: whoever has taken what was
 * meant for it changes nothing for the rest, and 50 Services at once have one outcome, in whatever order nodes see it. */
#ifndef SPEAKER_SPREAD_H
#define SPEAKER_SPREAD_H

#include "config/address.h"

struct spread;

#define SPREAD_NOBODY UINT32_MAX

enum spread_place {
	SPREAD_PARTNER,   /* has the other family's address of the Service: first */
	SPREAD_ROOM,
	SPREAD_FULL,      /* behind the others */
};

void spread_init(struct spread **sp);
void spread_free(struct spread *s);   /* NULL is fine */

/* A new round; `revision` is what it is worked out for, spread_is_of what the last one was. */
void spread_begin(struct spread *s, unsigned revision, uint32_t n_nodes);
bool spread_is_of(const struct spread *s, unsigned revision);

void spread_hold(struct spread *s, uint32_t node);   /* it owns one more */

/* To be given to one of these, in the order of their preference; partner: who has the other family, or SPREAD_NOBODY; follows:
 * the other family's address, offered before, or NULL. Without nodes it does not count. */
void spread_offer(struct spread *s, const struct address *a, const uint32_t *nodes, size_t n, uint32_t partner, const struct address *follows);
void spread_assign(struct spread *s);

/* SPREAD_ROOM for an address that was not offered. */
enum spread_place spread_place(const struct spread *s, const struct address *a, uint32_t node);

#endif
