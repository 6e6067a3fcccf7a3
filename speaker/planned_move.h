/* Should an address that this node owns and answers for go to another one, without any fault (design.md section 5, ownership.md
 * R10)? Pure: the candidates, the record and the time go in at each step; whom it is to be handed to comes out, and why. The
 * caller names that node in the record (successor) unless it is named already, the successor takes it, we stop on hearing it.
 * Whoever is named stays the answer until it is down or has had its time, whatever else changes meanwhile. One struct per
 * address, for as long as we own it. */
#ifndef SPEAKER_PLANNED_MOVE_H
#define SPEAKER_PLANNED_MOVE_H

#include "speaker/election.h"

enum planned_reason {
	PLANNED_NOTHING,
	PLANNED_SUCCESSOR,    /* the record names one: `l2lb move`, or an earlier life of this speaker */
	PLANNED_UNFIT,        /* we may not have it any more, another may */
	PLANNED_DRAIN,        /* our node is drained or cordoned */
	PLANNED_ENDING,       /* externalTrafficPolicy Local: our endpoints are terminating, another's are not */
	PLANNED_PREFERENCE,   /* preferredNodeSelectors: a better node has been there for 30 s */
};
const char *planned_reason_text(enum planned_reason reason);   /* for the log: "drain", "preferredNode", ... */

enum planned_refusal {
	PLANNED_ACCEPTED,
	PLANNED_ALREADY,        /* it is us */
	PLANNED_NOT_ELIGIBLE,   /* election_check says why */
	PLANNED_WRONG_LINK,     /* no link of its has the address's subnet, and another node has one */
	PLANNED_LEAVES,         /* drained or cordoned itself: it would hand the address on */
	PLANNED_DOWN,           /* not alive on the wire */
	PLANNED_SILENT,         /* it was named, and did not take it in time */
};
/* What is wrong with it and what to do, to follow "node NAME ". */
const char *planned_refusal_text(enum planned_refusal refusal);

struct planned_view {
	const char *me;                         /* the owner */
	const struct record *record;            /* as it is now; its holder is `me` */
	const struct candidate *candidates;     /* election_candidates: best first */
	const bool *up;                         /* of each: alive, as far as the wire shows; ours does not matter */
	size_t n;
};

struct planned_step {
	const char *target;             /* the view's: hand over to it; NULL: keep the address */
	enum planned_reason reason;
	enum planned_refusal refusal;   /* of a successor whom somebody else has named: said once, for an Event */
	bool clear;                     /* the record's successor is to be taken out: it cannot take the address, and nobody else is to */
	int64_t wake;                   /* when to ask again at the latest; CLOCK_NEVER */
};

struct planned_move {
	char *better;           /* whom we would prefer to us; NULL: nobody */
	int64_t better_since;
	int64_t ending_since;   /* CLOCK_NEVER: they are not, or nobody else has better ones */
	char *chosen, *before;  /* our own choice, and the last other one, which a write may be about to name still; NULL: none */
	char *named;            /* whom the record names, since `named_at`; NULL: nobody */
	int64_t named_at;
	char *refused;          /* version of the record in which a successor was refused; NULL: none */
	char *silent;           /* who was given his time and did not take it: comes last */
	int64_t silent_until;
};

void planned_move_init(struct planned_move *p);
void planned_move_free(struct planned_move *p);   /* afterwards as after _init: for the next time we own it */
/* May the owner hand it over to this node? And whom could it hand it to when its own node is to have none: NULL, nobody. For
 * who asks from outside, too (`up` all true, `record` not looked at). */
enum planned_refusal planned_move_judge(const struct planned_view *v, const char *node);
const struct candidate *planned_move_refuge(const struct planned_view *v);

/* And whom its preferredNodeSelectors would give it to. */
const struct candidate *planned_move_preferred(const struct planned_view *v);

struct planned_step planned_move_step(struct planned_move *p, const struct planned_view *v, int64_t now);

#endif
