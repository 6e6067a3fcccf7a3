/* When to send which gratuitous ARP (wire.md section 3.2): both forms at once when an address is taken, then paced
 * repeats, then a slow refresh. Many addresses at once are spread in time, never dropped. Pure. */
#ifndef ARP_ANNOUNCER_H
#define ARP_ANNOUNCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct announcer;

enum { ANNOUNCE_REQUEST = 1, ANNOUNCE_REPLY = 2 };

struct announcement {
	uint32_t address;   /* host byte order */
	int forms;          /* ANNOUNCE_REQUEST | ANNOUNCE_REPLY */
};

/* refresh: microseconds between repeats after the schedule has run; 0: none. */
struct announcer *announcer_new(int64_t refresh);
void announcer_free(struct announcer *a);

/* Starts the schedule (again): on taking over, link-up, MAC change. */
void announcer_start(struct announcer *a, uint32_t address, int64_t now);
void announcer_stop(struct announcer *a, uint32_t address);
void announcer_restart_all(struct announcer *a, int64_t now);

/* One announcement now, at most one per second and address, outside the schedule: after a stranger's probe (a DHCP server
 * may just have overwritten its neighbour entry, wire.md 7.5). False: too soon. */
bool announcer_once(struct announcer *a, uint32_t address, int64_t now);

/* Fills at most max due announcements; returns how many. Call again when it returns max. */
size_t announcer_due(struct announcer *a, int64_t now, struct announcement *out, size_t max);

/* When announcer_due has something to say next; CLOCK_NEVER: never. */
int64_t announcer_deadline(const struct announcer *a);

#endif
