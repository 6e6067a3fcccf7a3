/* One address seen by one speaker: do we answer for it, and what is to be written? Pure: the record, the wire's verdicts
 * and the time go in; "answer or not", at most one action and the next deadline come out. A first form of ownership.md
 * R5, R8, R9 and R10 (guarding and the asking before a start come with their own issue). */
#ifndef SPEAKER_OWNERSHIP_H
#define SPEAKER_OWNERSHIP_H

#include "speaker/records.h"

enum ownership_state {
	OWNERSHIP_IDLE,       /* somebody else's, nobody's, or not for us */
	OWNERSHIP_CLAIMING,   /* the record is being written; silent until it is ours */
	OWNERSHIP_OWNED,      /* answering */
	OWNERSHIP_LEAVING,    /* answering until the successor has been heard */
	OWNERSHIP_REFUSED,    /* a stranger has it: silent until the controller has moved it, or the stranger is gone */
	OWNERSHIP_CHECK,      /* its link was away for long: silent until asking has shown that nobody else answers (R7) */
};

enum holder_fate {
	HOLDER_NONE,       /* the record names nobody */
	HOLDER_ME,
	HOLDER_PRESENT,    /* alive, as far as anybody can tell */
	HOLDER_DOWN,       /* silent on the wire, proven */
	HOLDER_GONE,       /* not a node any more, or NotReady where the wire cannot judge */
};

enum ownership_action {
	OWNERSHIP_NOTHING,
	OWNERSHIP_WRITE,      /* holder = `target` in the record, under its version; then ownership_written */
	OWNERSHIP_LOOK,       /* read the record from the API server; then ownership_looked */
	OWNERSHIP_DEFEND,     /* announce once more */
	OWNERSHIP_ASK,        /* ask for the address by broadcast; answers come as ownership_claimed */
};

struct ownership_view {
	const char *me;
	const struct record *record;         /* NULL: there is none */
	enum holder_fate fate;
	bool eligible;                       /* we may answer */
	bool leaving;                        /* we are asked to hand over (SIGTERM) */
	bool refused;                        /* the record's holder gives it up to a stranger */
	bool served;                         /* some Service could be reached through the address at all */
	const char *const *candidates;       /* eligible nodes that are not down, best first */
	size_t n_candidates;
	bool connected;                      /* something on the link answers us: another's claim can be heard */
	bool api;                            /* the API server answers */
	int64_t not_before;                  /* nobody's: not to be claimed earlier (better ones may be starting); 0: no matter */
	int64_t interval;                    /* liveness interval T, microseconds */
};

struct ownership {
	struct address address;
	enum ownership_state state;
	bool fresh;            /* ours, and never announced before as far as we know: to be probed first */
	char *from;            /* whom it was taken from by silence and not yet recorded; else NULL */
	char *from_record;     /* whom the record named then: in a chain of deaths somebody before `from` */
	int64_t plan_at;       /* IDLE: when it is our turn; CLOCK_NEVER: no plan */
	enum holder_fate plan_for;
	char *target;          /* of the last WRITE */
	int64_t handed_at;     /* LEAVING: when the record named the successor */
	bool in_flight;
	int64_t retry_at;
	char *rival;           /* a peer that claims what we own; NULL: none */
	bool looked;           /* since the rival appeared */
	bool unanswered;       /* ... and the API server did not answer in time */
	int64_t defended_at;
	int64_t war_began;     /* of the defences counted; they are forgotten after 10 s */
	unsigned defences;
	int64_t claimed_at;    /* IDLE: when a peer last said on the wire that it has the address */
	bool must_look;        /* we slept: the record is read before anything is answered again */
	char *believed;        /* who announced it last on the wire, when that is newer than the record; else NULL */
	int64_t believed_epoch;
	int64_t audit_at;      /* IDLE, `believed` is not in the record: when to look; CLOCK_NEVER: no doubt */
	int64_t since;         /* of the state */
	unsigned asked;        /* CHECK: how often */
};

void ownership_init(struct ownership *o, const struct address *a, int64_t now);
void ownership_free(struct ownership *o);

/* Evaluates; *wakep: when to ask again at the latest. */
enum ownership_action ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep);
bool ownership_answers(const struct ownership *o);   /* OWNED or LEAVING */

/* Outcome of a WRITE: HTTP status, 0 when no answer came. The new record is in the next view already. */
void ownership_written(struct ownership *o, int status, int64_t now);
void ownership_looked(struct ownership *o, int status, int64_t now);

/* A peer's frame says that the address is at the peer; record: as known then, or NULL. */
void ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now);

/* Our process slept for long: silent until the record has been read. */
void ownership_woke(struct ownership *o, int64_t now);

/* A stranger has it, and we do not (or no longer) announce it. */
void ownership_refused(struct ownership *o, int64_t now);

/* The link is back after a time in which others may have taken the address over. */
void ownership_link_back(struct ownership *o, int64_t now);

/* Who has the address, by the newest of record and wire (finding 7: records lag behind takeovers). "" : nobody. */
const char *ownership_holder(const struct ownership *o, const struct record *record);

#endif
