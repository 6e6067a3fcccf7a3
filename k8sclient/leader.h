/* Leader election by one Lease, as client-go does it (kubernetes-client.md section 1.9): 15 s duration, 10 s to renew,
 * a try every 2 s; what others wrote is timed by our own clock from the moment we saw it change. Pure: it says which
 * request to make; the caller makes it and tells the outcome. Candidates see the Lease through a watch and never poll. */
#ifndef K8SCLIENT_LEADER_H
#define K8SCLIENT_LEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "k8sclient/objects.h"

enum leader_action {
	LEADER_NOTHING,
	LEADER_CREATE,    /* POST: holder = identity, transitions = 0 */
	LEADER_RENEW,     /* PUT under `version`: renewTime = now, the rest kept */
	LEADER_TAKE,      /* PUT under `version`: holder = identity, acquireTime = renewTime = now, transitions + 1 */
	LEADER_LOOK,      /* GET: what we know is not the last version */
	LEADER_RELEASE,   /* PUT under `version`: holder "", duration 1 */
};

struct leader {
	const char *identity;        /* borrowed; unique per pod */
	int64_t duration, renew_deadline, retry;   /* microseconds */
	char *holder;                /* observed; "" : nobody; NULL: no Lease */
	char *version;               /* observed resourceVersion; NULL: no Lease */
	int64_t transitions;
	int64_t observed_at;         /* when holder or version last changed for us */
	int64_t holder_duration;     /* as the holder wrote it */
	bool known;                  /* observed at all, as present or as absent */
	bool in_flight;
	bool look;                   /* our version was refused */
	int64_t sent_at;             /* of the request in flight */
	int64_t confirmed;           /* send time of the last write that succeeded; leadership counts from here */
	bool leading;
	int64_t next;                /* earliest next try */
};

void leader_init(struct leader *l, const char *identity);
void leader_free(struct leader *l);

/* From the watch, a GET or a write's answer; lease NULL: there is none. */
void leader_observe(struct leader *l, const struct lease *lease, int64_t now);

/* The observed holder is known to have ended: its Lease may be taken at once. */
void leader_holder_ended(struct leader *l);

/* What to send now; marks it as in flight. *wakep: when to ask again. random: [0, 1). */
enum leader_action leader_next(struct leader *l, int64_t now, double random, int64_t *wakep);

/* The request's outcome: HTTP status, 0 when none came. On success call leader_observe with the answer first. */
void leader_result(struct leader *l, enum leader_action action, int status, int64_t now);

/* May leader-only work be done at this moment? Also ends leadership that could not be renewed in time. */
bool leader_leading(struct leader *l, int64_t now);

/* At the end: LEADER_RELEASE when there is something to release, else LEADER_NOTHING. */
enum leader_action leader_release(struct leader *l, int64_t now);

#endif
