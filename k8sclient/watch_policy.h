/* What to do when a list or a watch has ended: the decision table of kubernetes-client.md section 1.3. Pure. */
#ifndef K8SCLIENT_WATCH_POLICY_H
#define K8SCLIENT_WATCH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum watch_next {
	WATCH_AGAIN,           /* watch from the last resourceVersion, at once */
	WATCH_AFTER_BACKOFF,   /* the same after a wait */
	LIST_AGAIN,            /* forget the resourceVersion, list at once */
	LIST_AFTER_BACKOFF,
	WAIT_DENIED,           /* 401, 403: say so, try slowly */
	WAIT_MISSING,          /* 404: the CRD is not installed; an empty set until it is */
};

struct watch_end {
	bool listing;          /* it was a list */
	int status;            /* HTTP status, 0: none came */
	int error;             /* negative errno of the transport; 0: a clean end */
	int code;              /* of an in-stream ERROR event or of the error body; 0: none */
	bool too_large_version;/* the server does not know our resourceVersion yet (504) */
	int64_t retry_after;   /* microseconds the server asked us to wait at least; 0: it did not */
	int64_t lasted;        /* microseconds since the answer began */
	unsigned events;       /* received in it, bookmarks included */
	unsigned failures;     /* of this watch in a row without progress */
	unsigned expired;      /* 410s among them */
};

enum watch_next watch_decide(const struct watch_end *end);

/* How long to wait where watch_decide says that a wait is due: planned, or as the server asked. He knows when it is worth while:
 * a restarted API server refuses custom resources for seconds with 429 and "Retry-After: 1", and whoever waits by a doubling
 * backoff misses them for ten. Who is told so again and again goes by the backoff. random: [0, 1). */
int64_t watch_wait(const struct watch_end *end, int64_t planned, double random);

#endif
