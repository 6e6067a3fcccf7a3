/* What the parts of liveness.h share. For liveness.c (the table, the ring), liveness_round.c (what one peer owes us, and proof)
 * and liveness_receive.c (what is heard) only. */
#ifndef ARP_LIVENESS_PARTS_H
#define ARP_LIVENESS_PARTS_H

#include "arp/liveness.h"
#include "config/base/clock.h"
#include "config/base/crypto.h"

#define HOSTS 4   /* that answer ARP; for proof */

enum phase { IDLE, EXPECTING, ROUND };

struct peer {
	struct liveness_peer is;
	uint8_t hash[SHA256_SIZE];
	enum liveness_state state;
	bool watched;
	bool slow;                   /* one of too many that are down */
	bool alarm_round;            /* not watched: one round because of an alarm */
	enum phase phase;
	int64_t next_ask, expect_by, next_send, verdict_at;
	int64_t alarm_at, patience;  /* the first alarm of this round; until when its verdict may wait for the others' word */
	int64_t spoke_at;            /* its speaker, last: by an answer, a request or an alarm */
	int sent, alarms;
	int64_t middle;              /* of this window: from the first request in it to the verdict */
	bool kernel_heard;           /* in this window */
	bool proof[2];               /* somebody else answered us in its first, second half */
	bool confirmed;              /* alarm_round: a watcher still misses it in the second half */
	int64_t unknown_since, last_heard, held_until, alarm_heard, verdict_until;
	struct arp_frame vouch_to;   /* an alarm we may vouch against */
	int64_t vouch_until;
};

struct host {
	uint32_t address;
	struct mac mac;
	int64_t heard;
};

struct liveness {
	char name[NODE_NAME_SIZE];
	uint8_t hash[SHA256_SIZE];
	int64_t interval;
	uint32_t address;
	struct mac mac;
	bool ready;
	bool moved;                  /* our address or MAC changed since the last step */
	struct peer *peers;
	size_t n, slow;
	size_t before;               /* that many come before us in the ring's order */
	struct host hosts[HOSTS];
	int64_t last_answer;         /* a round trip of our own, with anybody */
	int64_t evidence_asked;
	int64_t asked_at;            /* by a peer */
	int64_t missed_at;           /* by one, as its alarm said */
	size_t evidence_next;        /* index of the peer whose turn it is */
	struct liveness_action *queue;
	size_t queued, taken, queue_cap;
	int64_t expected_step;       /* the deadline given out last; a step much later than it was late */
};

/* ---- the queue of actions: liveness.c ---- */

struct liveness_action *liveness_push(struct liveness *l, enum liveness_action_kind kind);
void liveness_ask(struct liveness *l, uint32_t address, const struct mac *mac);
void liveness_alarm(struct liveness *l, const struct peer *p);

/* ---- states: liveness.c ---- */

void liveness_changed(struct liveness *l, struct peer *p, enum liveness_state state);   /* and nothing follows from it */
void liveness_enter(struct liveness *l, struct peer *p, enum liveness_state state, int64_t now);   /* and the ring is another one */

/* We were not running: answers may sit unread, and silence proves nothing (R3 c). */
void liveness_notice_late(struct liveness *l, int64_t now);
void liveness_discard_rounds(struct liveness *l, int64_t now);

static inline bool liveness_down(const struct peer *p)
{
	return p->state == LIVENESS_DEAD || p->state == LIVENESS_SPEAKER_DOWN;
}

/* ---- rounds: liveness_round.c ---- */

/* The first request sent within it (sent = 1) or not yet. */
void liveness_open_window(const struct liveness *l, struct peer *p, int sent, int64_t now);
void liveness_begin_round(struct peer *p, int64_t now);
static inline void liveness_end_round(struct peer *p, int64_t next_ask)
{
	p->phase = IDLE;
	p->next_ask = next_ask;
}
void liveness_step_peer(struct liveness *l, struct peer *p, int64_t now);
int64_t liveness_peer_deadline(const struct peer *p);

/* A request of ours was answered, by `with` or, NULL, by a host. */
void liveness_round_trip(struct liveness *l, const struct peer *with, int64_t now);

#endif
