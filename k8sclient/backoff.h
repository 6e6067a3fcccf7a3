/* Exponential backoff with jitter (client-go's reflector: first 0.8 s, doubling, capped). Pure. */
#ifndef K8SCLIENT_BACKOFF_H
#define K8SCLIENT_BACKOFF_H

#include <stdint.h>

struct backoff {
	int64_t first, cap;     /* microseconds */
	int64_t forget_after;   /* so long without a failure: the next one starts at `first` again */
	int64_t next;           /* the next wait before jitter; 0: first */
	int64_t failed_at;      /* of the last failure */
};

#define BACKOFF_INIT(first_us, cap_us, forget_us) ((struct backoff){.first = (first_us), .cap = (cap_us), .forget_after = (forget_us)})

/* A failure at `now`: how long to wait, in microseconds, in [w/2, w) with w doubling up to the cap. random: [0, 1). */
int64_t backoff_next(struct backoff *b, int64_t now, double random);
void backoff_reset(struct backoff *b);

#endif
