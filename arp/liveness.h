/* Who on this link is alive, found out by ARP itself (ownership.md R1 to R4). Pure: frames, peers and the time go in,
 * frames to send and changed verdicts come out.
 *
 * One unicast ARP request for a peer's node address asks two at once: its kernel answers to us, its speaker answers in a
 * form no kernel sends (SPA = TPA = the node's address). The nodes of a link form a ring by SHA-256(name); each watches the
 * nodes behind it until it has passed two that are alive. With T the interval: a request every T; when the answer is
 * missing after T/4, ten requests 0.12 T apart and a verdict T/2 after the last: 271 ms after the fault at worst for 100 ms,
 * and up to T/2 more while somebody who could vouch has said nothing. Nobody is convicted
 * without proof that our own link works in both directions, in both halves of the silence. */
#ifndef ARP_LIVENESS_H
#define ARP_LIVENESS_H

#include "arp/frame.h"

enum liveness_state {
	LIVENESS_UNKNOWN,        /* not heard yet, or not watched by us */
	LIVENESS_ALIVE,
	LIVENESS_SILENT,         /* does not answer, but nothing proves that it is not us: the wire cannot judge */
	LIVENESS_SPEAKER_DOWN,   /* the kernel answers, the speaker does not */
	LIVENESS_DEAD,
};
const char *liveness_state_name(enum liveness_state state);

#define NODE_NAME_SIZE 254   /* a DNS subdomain and its NUL */

struct liveness_peer {
	char name[NODE_NAME_SIZE];
	uint32_t address;   /* the node's own address on this link, host byte order */
	struct mac mac;
};

enum liveness_action_kind {
	LIVENESS_SEND,          /* frame */
	LIVENESS_CHANGED,       /* peer, state */
	LIVENESS_HEARD_AGAIN,   /* peer: after a silence of more than four intervals, in either direction; or (once a second) it has
	                         * missed us, as an alarm of its shows: others may have what we have */
};

struct liveness_action {
	enum liveness_action_kind kind;
	struct arp_frame frame;
	const char *peer;       /* valid until the next liveness_set_peers */
	enum liveness_state state;
};

struct liveness;

/* interval: T in microseconds. name is copied. */
struct liveness *liveness_new(const char *name, int64_t interval);
void liveness_free(struct liveness *l);

/* Our own address and MAC on this link; address 0: none, then nobody is asked or answered. */
void liveness_set_self(struct liveness *l, uint32_t address, const struct mac *mac);

/* Ready to answer: the speaker answers for everything that is its own. */
void liveness_set_ready(struct liveness *l, bool ready);

/* All other nodes with a link on this segment. Verdicts of those that stay are kept. */
void liveness_set_peers(struct liveness *l, const struct liveness_peer *peers, size_t n, int64_t now);

/* A host that answers ARP (the gateway, a client heard lately): asked when proof is needed. */
void liveness_add_host(struct liveness *l, uint32_t address, const struct mac *mac, int64_t now);

/* A frame for us or broadcast. True when it was about liveness and nobody else needs to see it. */
bool liveness_receive(struct liveness *l, const struct arp_frame *frame, int64_t now);

/* Time passes. Then take the actions until there are none; then sleep until the deadline. */
void liveness_step(struct liveness *l, int64_t now);
bool liveness_take(struct liveness *l, struct liveness_action *actionp);
int64_t liveness_deadline(const struct liveness *l);

/* Forgets every verdict (own wake, carrier back): all watches start anew. */
void liveness_reset(struct liveness *l, int64_t now);

/* LIVENESS_UNKNOWN for a node that is no peer here. */
enum liveness_state liveness_get(const struct liveness *l, const char *name);

/* The wire cannot judge this node: it is no peer here, or we watch it and it is neither alive nor proven silent. Peers that
 * others watch are theirs to judge. */
bool liveness_undecided(const struct liveness *l, const char *name);
bool liveness_connected(const struct liveness *l);   /* some peer is alive */

/* R6: its speaker is down by our own verdict, and so is everybody between it and us in the ring: one guards, and another one
 * when that one dies. */
bool liveness_guards(const struct liveness *l, const char *name);

/* When a peer last asked us, which means that it watches us; a long time ago: none does. */
int64_t liveness_asked_at(const struct liveness *l);

/* NULL for a node that is no peer here. */
const struct liveness_peer *liveness_peer(const struct liveness *l, const char *name);

/* The peer that has this MAC on this link, or NULL. */
const char *liveness_peer_of_mac(const struct liveness *l, const struct mac *mac);

#endif
