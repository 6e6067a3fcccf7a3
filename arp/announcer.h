/* When to send which announcement of which address (wire.md section 3.2): both gratuitous forms and the directed ones at
 * once when an address is taken, then paced repeats, then a slow refresh. Many addresses at once are spread in time, never
 * dropped: first announcements go before everything else, then what is due longest. Pure.
 *
 * The rate cap is for switches that count (ARP inspection shuts a port above 15 per second). It covers what is said here:
 * announcements of every form, refreshes, defences, directed ones. It does not cover answers to requests, which come as
 * often as somebody asks, nor the questions of others beside this object: liveness (about 60 frames per second and node at
 * its default interval), the census, the search for a directed host's MAC. */
#ifndef ARP_ANNOUNCER_H
#define ARP_ANNOUNCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct announcer;

/* Each bit is a frame. */
#define ANNOUNCE_REQUEST 1u             /* RFC 5227 announcement */
#define ANNOUNCE_REPLY 2u               /* gratuitous reply */
#define ANNOUNCE_HOST(i) (4u << (i))    /* a request to this host alone, by unicast; i < ANNOUNCE_HOSTS */
#define ANNOUNCE_HOSTS 16

/* Microseconds. The schedule itself is a table in announcer.c. */
struct announcer_times {
	int64_t probed;                     /* between two announcements after probes, */
	int64_t defend;                     /* ... and in a conflict: DEFEND_INTERVAL */
	int64_t rest;                       /* under a cap: from an address's first request to the rest of its first announcement */
	int64_t retry_first, retry_last;    /* of a frame that could not be sent */
};
extern const struct announcer_times ANNOUNCER_TIMES;

struct announcement {
	uint32_t address;   /* host byte order */
	unsigned forms;
};

/* refresh: microseconds between repeats after the schedule has run, 0: none; each address has its own moment within it.
 * rate: frames in any one second, 0: no cap. times is borrowed; NULL: ANNOUNCER_TIMES. */
struct announcer *announcer_new(const struct announcer_times *times, int64_t refresh, unsigned rate);
void announcer_free(struct announcer *a);

/* Which ANNOUNCE_HOST() there are now; at first none. */
void announcer_set_hosts(struct announcer *a, unsigned forms);

/* Starts the schedule (again): on taking over, link-up, MAC change. One whose first announcement still waits keeps its place. */
void announcer_start(struct announcer *a, uint32_t address, int64_t now);
void announcer_stop(struct announcer *a, uint32_t address);   /* nothing is left in the queue */
void announcer_restart_all(struct announcer *a, int64_t now);

/* One announcement outside the schedule, which announcer_due gives at once. False: too soon, or not ours.
 * After a stranger's probe, at most one per second and address: a DHCP server may just have overwritten its neighbour entry
 * (wire.md 7.5). In a conflict (conflict.h decides), never more than one per 10 s and address (RFC 5227 section 2.4 c, DEFEND_INTERVAL). */
bool announcer_probed(struct announcer *a, uint32_t address, int64_t now);
bool announcer_defend(struct announcer *a, uint32_t address, int64_t now);

/* Fills at most max due announcements; returns how many. Call again when it returns max. A new address comes twice: first
 * its request, behind the requests of all the rest (under a cap 50 ms later: others may be taken meanwhile). */
size_t announcer_due(struct announcer *a, int64_t now, struct announcement *out, size_t max);

/* These frames of what announcer_due gave could not be sent (a full queue): they come again, after 10 ms, then twice as long
 * each time, up to 1 s. */
void announcer_failed(struct announcer *a, const struct announcement *what, int64_t now);

/* When announcer_due has something to say next; CLOCK_NEVER: never. */
int64_t announcer_deadline(const struct announcer *a);

#endif
