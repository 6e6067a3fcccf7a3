/* Which addresses of the pools are free on one link, known before they are needed: everything heard counts, and one node per
 * link slowly asks (ordinary questions from its own address, never ARP probes, which RFC 5227 §2.1 forbids periodically and
 * which could make a booting owner give up). Answers are unicast, so the other nodes hear the questions only; a question
 * after which nobody said that the address is used counts for them too, a little later. Pure. */
#ifndef ARP_CENSUS_H
#define ARP_CENSUS_H

#include "arp/frame.h"

/* Microseconds. */
struct census_times {
	int64_t spacing;       /* between two questions on a link */
	int64_t answer_wait;   /* our own question counts as unanswered after that, */
	int64_t peer_wait;     /* and a peer's */
	unsigned questions;    /* unanswered ones that make evidence */
	int64_t fresh;         /* evidence is good for so long */
	int64_t renew;         /* an address is asked for again after that */
	int64_t silence;       /* a stranger not heard for so long has gone, if questions stay unanswered too; his address is asked for
	                        * six times as often */
};
extern const struct census_times CENSUS_TIMES;

struct census;

struct census *census_new(const struct census_times *times);   /* borrowed */
void census_free(struct census *c);

/* Is it we who ask? */
void census_set_asking(struct census *c, bool asking);
bool census_asking(const struct census *c);

/* The addresses (host byte order) to ask for, the most urgent first; what is known about others is kept as long as it is good. */
void census_want(struct census *c, const uint32_t *addresses, size_t n, int64_t now);

/* A frame with this sender address; from a stranger, or from one of ours. */
void census_heard(struct census *c, uint32_t address, bool stranger, int64_t now);
void census_asked(struct census *c, uint32_t address, int64_t now);   /* by a peer, by broadcast */
void census_void(struct census *c, uint32_t address);                 /* somebody says that it is in use: evidence counts no more */

/* True: ask for *addressp now. Call again until false. */
bool census_next(struct census *c, int64_t now, uint32_t *addressp);
int64_t census_deadline(const struct census *c);

/* Nobody uses it, by fresh evidence. */
bool census_is_free(struct census *c, uint32_t address, int64_t now);

/* No stranger was heard with it for `silence`, by us who have listened as long; nothing more where nobody can ask. */
bool census_is_unheard(struct census *c, uint32_t address, int64_t now);

/* The stranger that used it has gone: nothing heard for `silence`, by us who have listened as long and asked. */
bool census_is_silent(struct census *c, uint32_t address, int64_t now);

#endif
