/* The addresses one Service is to have: kept, or chosen anew (metallb-l2.md sections 2.3 and 2.4). Pure. */
#ifndef SPEAKER_ALLOCATION_CHOICE_H
#define SPEAKER_ALLOCATION_CHOICE_H

#include "speaker/address_book.h"
#include "speaker/allocator.h"

struct allocation_choice {
	struct address addresses[SERVICE_ADDRESSES];
	size_t n;
	const char *pool;        /* the model's; NULL: none */
	bool waiting;            /* it lacks something it asks for */
	struct notice notices[ALLOCATION_NOTICES];   /* texts are the caller's */
	size_t n_notices;
};

void allocation_choose(struct allocation_choice *c, const struct model *m, const struct address_book *b, const struct seeker *k);

/* Adds what is to be said when the Service is about to be changed (deprecated annotations, IPv6). */
void allocation_remark(struct allocation *out, const struct service *s);

#endif
