/* Putting a foreign write to a Service's status right: at most three times a minute, then backing off from one minute,
 * doubling to ten. Pure. Two controllers that believe in one Service would else write for ever. */
#ifndef SPEAKER_REPAIR_H
#define SPEAKER_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#define REPAIR_BURST 3

struct repair {
	int64_t made[REPAIR_BURST];   /* the last ones, newest last; 0: none */
	int64_t wait;                 /* of the last back-off; 0: none yet */
	int64_t until;                /* backing off until then */
};

/* Another foreign write was seen: may it be put right now? If not, r->until says when to ask again. */
bool repair_allow(struct repair *r, int64_t now);

#endif
