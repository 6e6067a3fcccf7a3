/* One address on one link: may it be announced yet, and what to do about others that use it (RFC 5227, shortened; wire.md
 * section 2). Pure: what was heard and the time go in, bits of CONFLICT_DO_* come out.
 *
 * A new address is probed before it is announced (§2.1.1) unless it is known to be free; one that was in use before is only
 * asked for; one that was announced is kept and defended for good (§2.4 c), or given up (§2.4 b) where that is wanted.
 * Our own nodes are no conflict: among them the records decide. */
#ifndef ARP_CONFLICT_H
#define ARP_CONFLICT_H

#include "arp/frame.h"

enum conflict_state {
	CONFLICT_NONE,        /* not ours here */
	CONFLICT_PROBING,     /* silent; ARP probes are on their way */
	CONFLICT_ASKING,      /* silent; an ordinary question is on its way */
	CONFLICT_DOUBT,       /* silent; somebody answered: who is it? */
	CONFLICT_WAITING,     /* silent; another node answers (MetalLB before a migration), until it has been quiet */
	CONFLICT_CLAIMED,     /* announced, answered */
	CONFLICT_DEFENDING,   /* the same, and a stranger uses it too */
	CONFLICT_REFUSED,     /* silent for good: a stranger has it */
	CONFLICT_STATES
};
const char *conflict_state_name(enum conflict_state state);

enum conflict_claim {
	CONFLICT_CLAIM_PROBE,   /* never used before, as far as we know */
	CONFLICT_CLAIM_ASK,     /* in use before (a status shows it), by we do not know whom */
	CONFLICT_CLAIM_KNOWN,   /* ours already, or known to be free */
};

enum conflict_who {
	CONFLICT_UNKNOWN,    /* the caller finds out, and calls conflict_identified */
	CONFLICT_PEER,       /* a node of ours */
	CONFLICT_NODE,       /* a node of the cluster that shows no links of its own: another load balancer runs there */
	CONFLICT_STRANGER,
};

/* What the caller is to do, together. */
enum {
	CONFLICT_DO_PROBE = 1,       /* send an ARP probe */
	CONFLICT_DO_ASK = 2,         /* send an ordinary question */
	CONFLICT_DO_ANNOUNCE = 4,    /* answer from now on, and start the announcements */
	CONFLICT_DO_DEFEND = 8,      /* send one announcement */
	CONFLICT_DO_REPORT = 16,     /* tell the operator: `mac` (of `who`) uses the address; once, until it has been quiet */
	CONFLICT_DO_REFUSE = 32,     /* it is not ours any more: silent from now on */
};

/* Microseconds. All of them, so that simulation can shrink them. */
struct conflict_times {
	unsigned probes;                     /* PROBE_NUM */
	int64_t probe_wait;                  /* the first one comes after 0..this */
	int64_t probe_min, probe_max;        /* between them */
	int64_t announce_wait;               /* quiet after the last one */
	int64_t ask_wait;                    /* quiet after a question */
	int64_t identify_wait;               /* who is not identified by then is a stranger */
	int64_t node_ask, node_quiet;        /* another node answers: asked so often, until silent for so long */
	int64_t defend;                      /* DEFEND_INTERVAL */
	int64_t quiet;                       /* a stranger not heard for so long has gone */
};
extern const struct conflict_times CONFLICT_TIMES;

struct conflict {
	const struct conflict_times *times;
	bool give_up;                /* §2.4 b instead of c: a second conflict within DEFEND_INTERVAL ends it */
	enum conflict_state state;
	enum conflict_claim claim;
	unsigned probes;             /* sent */
	int64_t next;                /* when the state goes on by itself */
	int64_t ask_at;              /* WAITING: the next question */
	struct mac mac;              /* the last one who was in the way */
	enum conflict_who who;
	bool reported;
	int64_t reported_at;
	int64_t conflict_at;         /* CLAIMED, DEFENDING: the last conflict */
	bool second;                 /* ... came within DEFEND_INTERVAL of one before */
	int64_t defended_at;
};

/* times is borrowed. */
void conflict_init(struct conflict *c, const struct conflict_times *times, bool give_up);

/* The address is ours on this link; random: 0..1. Repeating it changes nothing, but KNOWN ends waiting. */
unsigned conflict_start(struct conflict *c, enum conflict_claim claim, int64_t now, double random);
void conflict_stop(struct conflict *c);

/* Somebody's frame with our address as sender (probe false), or his ARP probe for it (true). who: as known now. */
unsigned conflict_heard(struct conflict *c, const struct mac *mac, bool probe, enum conflict_who who, int64_t now);
unsigned conflict_identified(struct conflict *c, const struct mac *mac, enum conflict_who who, int64_t now);

/* Time passes; *wakep: when to call again at the latest. */
unsigned conflict_step(struct conflict *c, int64_t now, double random, int64_t *wakep);

bool conflict_answers(const struct conflict *c);   /* CLAIMED or DEFENDING */

#endif
