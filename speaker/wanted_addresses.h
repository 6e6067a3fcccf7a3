/* The addresses that a census should ask for, the most urgent first: those that would be handed out next, those that strangers
 * have, those in use (somebody else may answer for them). Pure. */
#ifndef SPEAKER_WANTED_ADDRESSES_H
#define SPEAKER_WANTED_ADDRESSES_H

#include "speaker/model.h"

#define WANTED_FREE 32        /* of each pool */
#define WANTED_SCAN 8192      /* addresses of a pool looked at for that */
#define WANTED_MAX 1024       /* at 2 questions a second, 8 minutes */

struct wanted_addresses {
	uint32_t addresses[WANTED_MAX];   /* host byte order */
	size_t n;
};

void wanted_addresses_fill(struct wanted_addresses *w, const struct model *m);

#endif
