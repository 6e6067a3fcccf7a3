/* One address seen by one speaker: do we answer for it, guard it, and what is to be written? Pure: the record, the wire's
 * verdicts and the time go in; "answer or not", at most one action and the next deadline come out.
 * The rules are ownership.md R5 to R10, by whose numbers the code refers to them. */
#ifndef SPEAKER_OWNERSHIP_H
#define SPEAKER_OWNERSHIP_H

#include "speaker/holder_fate.h"
#include "speaker/records.h"

enum ownership_state {
	OWNERSHIP_IDLE,       /* somebody else's, nobody's, or not for us */
	OWNERSHIP_CLAIMING,   /* the record is being written; silent until it is ours */
	OWNERSHIP_CHECK,      /* ours by the record or by memory; silent until asking has shown that nobody else answers (R7) */
	OWNERSHIP_OWNED,      /* answering */
	OWNERSHIP_MOVING,     /* answering; a successor is named, and we stop on hearing it (R10) */
	OWNERSHIP_RELEASING,  /* answering; the record is another's: until it is heard, or should have been (R9) */
	OWNERSHIP_YIELDING,   /* answering; asking whether the other one really does (R8) */
	OWNERSHIP_STOPPING,   /* answering; our process ends, until it is heard that another answers with our MAC (R10) */
	OWNERSHIP_GUARDING,   /* answering with the owner's MAC while its speaker is down (R6) */
	OWNERSHIP_REFUSED,    /* a stranger has it: silent until the controller has moved it, or the stranger is gone */
	OWNERSHIP_STATES
};
const char *ownership_state_name(enum ownership_state state);

enum ownership_action {
	OWNERSHIP_NOTHING,
	OWNERSHIP_WRITE,      /* holder = `target` in the record, under its version; then ownership_written */
	OWNERSHIP_NAME,       /* successor = `target` ("": none) in the record, the same way */
	OWNERSHIP_ABANDON,    /* the call under way is not waited for any longer: cancel it; nothing follows */
	OWNERSHIP_LOOK,       /* read the record from the API server; then ownership_looked */
	OWNERSHIP_DEFEND,     /* announce once more */
	OWNERSHIP_ASK,        /* ask for the address by broadcast; answers come as ownership_claimed, ownership_guard_heard */
};

struct ownership_view {
	const char *me;
	const struct record *record;         /* NULL: there is none */
	enum holder_fate fate;               /* of ownership_holder */
	bool record_dead;                    /* another one is believed to have it, and whom the record names is dead */
	bool eligible;                       /* we may answer */
	bool mute;                           /* no link of ours for it works: we cannot answer */
	bool leaving;                        /* our process ends: nothing new is taken or guarded */
	int64_t watched_at;                  /* when a peer last asked whether we are alive: else nobody would guard for us */
	const char *move_to;                 /* a planned move is wanted, to this node; NULL: none */
	bool clear_successor;                /* whom the record names cannot have it, and nobody else is to */
	bool refused;                        /* the record's holder gives it up to a stranger */
	bool served;                         /* some Service could be reached through the address at all */
	const char *const *candidates;       /* eligible nodes that are not down, best first */
	size_t n_candidates;
	bool connected;                      /* something on the link answers us: another's claim can be heard */
	bool holder_alive;                   /* whom the record names answers us on the wire, by our own watch */
	bool api;                            /* the API server answers */
	bool guard;                          /* it is ours to guard for ownership_guarded_node, whose speaker is down */
	bool misjudged;                      /* the holder was taken for dead and was not: nothing is taken from it for a while */
	int64_t not_before;                  /* nobody's: not to be claimed earlier (better ones may be starting); 0: no matter */
	int64_t interval;                    /* liveness interval T, microseconds */
};

#define OWNERSHIP_BEFORE (2 + PREVIOUS_HOLDERS)

struct ownership {
	struct address address;
	enum ownership_state state;
	bool fresh;            /* ours, and never announced before as far as we know: to be probed first */
	bool doubted;          /* ours, and somebody who is no peer answered while we asked: who is to be found out before it is announced */
	char *from;            /* whom it was taken from and not yet recorded; else NULL */
	char *before[OWNERSHIP_BEFORE];   /* then: it, whom the record named, and the record's previous holders (R9); NULL-padded */
	int64_t plan_at;       /* IDLE: when it is our turn; CLOCK_NEVER: no plan */
	enum holder_fate plan_for;
	bool plan_asked;       /* the question before it was sent */
	size_t plan_rank;      /* our place when plan_at was worked out */
	char *target;          /* of the last WRITE or NAME */
	bool in_flight, looking;   /* a call is under way; it is a LOOK */
	int64_t called_at;
	int64_t retry_at;
	int64_t handed_at;     /* GUARDING: since when the record names the new holder; 0: it does not */
	char *guarded;         /* GUARDING: for whom */
	int64_t stopping_at;   /* GUARDING: since when our process is ending; 0: it is not */
	int64_t guard_heard;   /* when a guard last answered for us */
	char *rival;           /* a peer that claims what we answer for; NULL: none */
	int64_t rival_at;      /* when it was heard last, */
	int64_t rival_since;   /* and first */
	bool looked;           /* since the rival appeared */
	char *insists;         /* the peer that had it before us and has announced it since; NULL */
	char *refuted;         /* for ownership_refuted() */
	bool unanswered;       /* ... and the API server did not answer in time */
	int64_t defended_at;
	int64_t war_began;     /* of the defences counted; they are forgotten after 10 s */
	unsigned defences;
	int64_t claimed_at;    /* IDLE: when a peer last said on the wire that it has the address */
	char *believed;        /* who had it last on the wire, when that is newer than the record; else NULL */
	int64_t believed_epoch;
	int64_t doubted_at;    /* IDLE: when it was asked whether he who is believed to have it does */
	unsigned audits;       /* CHECKs of what the record says is ours and another has */
	unsigned insisted;     /* IDLE: how often he who is believed to have it has asked for it himself, one question after another, */
	int64_t insisted_at;   /* and when last */
	bool summoned;         /* ... and the record is being read because of that */
	int64_t epoch;         /* of the record seen last; -1: none since start or sleep */
	int64_t since;         /* of the state */
	unsigned asked;        /* how often in this state, */
	int64_t asked_at;      /* and when last */
};

void ownership_init(struct ownership *o, const struct address *a, int64_t now);
void ownership_free(struct ownership *o);

/* Evaluates; *wakep: when to ask again at the latest. */
enum ownership_action ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep);
bool ownership_answers(const struct ownership *o);   /* with our own MAC */
bool ownership_guards(const struct ownership *o);    /* with the owner's */

/* It was nobody's and is about to be ours by the record, whether we answer already or not. */
bool ownership_claims(const struct ownership *o);

/* We answer what was neither new nor taken from somebody dead: who had it until now goes on until he hears us. */
bool ownership_is_handed(const struct ownership *o);

/* Silent, and may turn out to be ours: until that is known we are not alive to our peers (R1, finding 17). */
bool ownership_undecided(const struct ownership *o);

/* Outcome of a WRITE or NAME: HTTP status, 0 when no answer came. The new record is in the next view already. */
void ownership_written(struct ownership *o, int status, int64_t now);
void ownership_looked(struct ownership *o, int status, int64_t now);

/* A peer's frame says that the address is at the peer; record: as known then, or NULL. */
void ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now);

/* That frame was an announcement. If the peer had the address before us it lives, and does not just want what nobody had; but the
 * announcement may be by a record that we have not seen yet, as when the address is moved back. */
void ownership_announced(struct ownership *o, const char *peer, const struct record *record);

/* The peer that went on announcing what was taken from it, when the record was looked at and still names us, or there is no API to
 * ask: it was never dead. Told once, the caller's to free; NULL: nobody. */
char *ownership_refuted(struct ownership *o);

/* A peer has asked for the address by broadcast. */
void ownership_asked(struct ownership *o, const char *peer, int64_t now);

/* A guard's frame: somebody answers for us with our MAC, or for a third node although it is ours. */
void ownership_guard_heard(struct ownership *o, int64_t now);

/* Somebody who is none of ours answers for it: another load balancer, or a host. */
void ownership_stranger_heard(struct ownership *o);

/* Our process slept for long: silent until asking has shown that nobody else answers. */
void ownership_woke(struct ownership *o, int64_t now);

/* A stranger has it, and we do not (or no longer) announce it. */
void ownership_refused(struct ownership *o, int64_t now);

/* The link is back after a time in which others may have taken the address over. */
void ownership_link_back(struct ownership *o, int64_t now);

/* Who has the address, by the newest of record and wire (finding 7: records lag behind takeovers). "" : nobody. */
const char *ownership_holder(const struct ownership *o, const struct record *record);

/* Recorded as ours before, it is another's now, who is dead by our verdict (fate): he lives, and our verdict was false (R5). */
bool ownership_overwritten(const struct ownership *o, const struct record *record, enum holder_fate fate);

/* For whom we guard or would guard it. */
const char *ownership_guarded_node(const struct ownership *o, const struct record *record);

#endif
