/* One link put to work: the packet socket and the pure cores around it (responder, announcer, liveness), with their timer.
 * A thin shell: it moves frames and time between them and tells its owner what they found. IPv4; NDP will stand beside. */
#ifndef ARP_SEGMENT_H
#define ARP_SEGMENT_H

#include <uv.h>

#include "arp/announcer.h"
#include "arp/census.h"
#include "arp/conflict.h"
#include "arp/directory.h"
#include "arp/filter.h"
#include "arp/link_table.h"
#include "arp/liveness.h"
#include "arp/tally.h"
#include "config/base/error.h"

struct segment;

#define SEGMENT_ANNOUNCE_TO 15

struct segment_config {
	const char *node;               /* our node's name */
	int64_t liveness_interval;      /* microseconds */
	int64_t gratuitous_interval;    /* 0: no refresh */
	unsigned arp_rate;              /* announcements per second, 0: no cap; announcer.h says what counts */
	const uint32_t *announce_to;    /* hosts that are told directly, as the gateway is; outlive the segment */
	size_t n_announce_to;           /* at most SEGMENT_ANNOUNCE_TO */
	struct tally *tally;            /* counts by address; outlives the segment; NULL: nobody wants to know */
	/* All run from the loop; they may call any verb but segment_close. */
	void (*on_state)(void *data, struct segment *s, const char *peer, enum liveness_state state);
	void (*on_heard_again)(void *data, struct segment *s, const char *peer);
	/* The cores' times; NULL: CENSUS_TIMES and so on; outlive the segment. */
	const struct census_times *census;
	const struct conflict_times *conflict;
	const struct announcer_times *announcer;
	const struct directory_times *directory;
	bool give_up;                   /* announced addresses are given up to strangers (RFC 5227 §2.4 b), not kept (c) */
	/* Somebody's frame says that `address` (host byte order) is at sha; eth_src differs from it when a guard speaks. answer: it
	 * answers a question of ours, else he says so by himself. */
	void (*on_claim)(void *data, struct segment *s, uint32_t address, const struct mac *sha, const struct mac *eth_src, bool answer);
	/* A peer asks for a pool address, by broadcast. NULL: nobody wants to know. */
	void (*on_question)(void *data, struct segment *s, uint32_t address, const char *peer);
	/* A frame of none of our nodes has a pool address as its sender, or (0) probes for one of ours. Who is it?
	 * CONFLICT_UNKNOWN: to be found out; segment_identified follows. */
	enum conflict_who (*on_sender)(void *data, struct segment *s, uint32_t address, const struct mac *mac);
	/* Another one than our nodes uses an address that we claim or announce. refused: it is ours no more. This and on_sender
	 * may not own or release addresses at once. */
	void (*on_conflict)(void *data, struct segment *s, uint32_t address, const struct mac *mac, enum conflict_who who, bool refused);
	/* The carrier is back after so long that another node may have taken over: whoever owns addresses here asks first. (After
	 * a short flap all are simply announced again.) */
	void (*on_return)(void *data, struct segment *s);
	/* Did this process not run for so long that others may have taken what it has? Asked before anything is done about
	 * frames or the time; when it says yes the owner has called segment_woke. NULL: never. */
	bool (*slept)(void *data);
	void *data;
};

struct segment_counters {
	uint64_t received, malformed, requests, answers, gratuitous, send_failed;
};

/* Opens the link. -EPERM, -ENODEV, ... with err. */
int segment_open(struct segment **segmentp, uv_loop_t *loop, const struct link_info *link, const struct segment_config *config,
		 const struct ipv4_range *ranges, size_t n_ranges, struct error *err);
void segment_close(struct segment *s);   /* NULL is fine */

/* News of the link: name, addresses, MAC, carrier. Announces again when the carrier is back or the MAC is another. */
void segment_update(struct segment *s, const struct link_info *link);
const struct link_info *segment_link(const struct segment *s);
bool segment_dead(const struct segment *s);   /* its link was deleted, whatever has the index or name now: close it */
void segment_set_ranges(struct segment *s, const struct ipv4_range *ranges, size_t n);
void segment_set_peers(struct segment *s, const struct liveness_peer *peers, size_t n);
void segment_set_ready(struct segment *s, bool ready);   /* answer liveness requests */

/* Answer for the address and announce it, at once or when it is known that nobody else uses it; or stop both. Repeating it
 * changes nothing. Evidence of the census makes probing needless. handed: another one goes on until he hears us; what waits here
 * already is his to answer. */
void segment_own(struct segment *s, uint32_t address, enum conflict_claim claim, bool handed);
void segment_release(struct segment *s, uint32_t address);
bool segment_owns(const struct segment *s, uint32_t address);   /* answers */
void segment_announce(struct segment *s, uint32_t address);   /* an owned one, once more from the start */

/* Answer for the address with the MAC of this peer, whose speaker is down, and tell its node so once (ownership.md R6); NULL:
 * no longer. False: it is no peer here. */
bool segment_guard(struct segment *s, uint32_t address, const char *peer);

/* R6: of those on this link it is our part to guard what the peer has. */
bool segment_is_guard_of(const struct segment *s, const char *peer);

/* When a peer last asked whether we are alive; a long time ago: none watches us. */
int64_t segment_watched_at(const struct segment *s);

/* Asks for the address by broadcast, from the node's own address; answers arrive as on_claim. */
void segment_ask(struct segment *s, uint32_t address);

/* Who the host with this MAC is, after it was asked for by `who`. */
void segment_identified(struct segment *s, const struct mac *mac, enum conflict_who who);

/* Somebody else has seen a stranger with this MAC use an address that is ours. */
void segment_told(struct segment *s, uint32_t address, const struct mac *mac);

/* When the peer last asked for a pool address, as who takes part in the census does; INT64_MIN: not lately. */
int64_t segment_asked_at(const struct segment *s, const char *peer);

/* The census of this link: for census_want, census_set_asking and its questions. After a change of what is wanted or who asks,
 * segment_census_changed. */
struct census *segment_census(struct segment *s);
void segment_census_changed(struct segment *s);

/* Our own process slept: drops what is queued and all verdicts. */
void segment_woke(struct segment *s);

bool segment_is_peer(const struct segment *s, const char *node);   /* it has a link on this segment */
enum liveness_state segment_liveness(const struct segment *s, const char *node);

/* The wire cannot judge this node: it is no peer here, or neither alive nor proven silent although we watch it. */
bool segment_undecided(const struct segment *s, const char *node);
bool segment_connected(const struct segment *s);   /* some peer is alive: others can hear us and we them */
const char *segment_peer_of_mac(const struct segment *s, const struct mac *mac);
const struct segment_counters *segment_counters(const struct segment *s);

#endif
