/* Which Service gets which address. Pure: looks at the model, says what to write next; level-triggered, so after any order
 * of events, crashes and lost answers the same questions give the missing steps. Rules: metallb-l2.md section 2.
 *
 * The act of allocation is the creation of the address's record (design.md section 4): the plan for a new Service is
 * CREATE, then (when the record is in the model) STATUS, then nothing. */
#ifndef SPEAKER_ALLOCATOR_H
#define SPEAKER_ALLOCATOR_H

#include "speaker/model.h"

enum allocation_step {
	ALLOCATION_SETTLED,   /* nothing to write */
	ALLOCATION_CREATE,    /* create the record of `address` for this Service */
	ALLOCATION_ADOPT,     /* the record of `address` names this Service with another uid: write it anew */
	ALLOCATION_STATUS,    /* write addresses[0..n) and pool to the Service's status; n = 0 clears it */
};

struct allocation {
	const struct service *service;
	enum allocation_step step;
	struct address address;
	struct address addresses[SERVICE_ADDRESSES];
	size_t n;
	const struct pool *pool;
	const char *reason;   /* of an Event, when something is wrong: AllocationFailed, ClearAssignment, ...; else NULL */
	char text[400];       /* with reason: one line, object and remedy */
};

struct allocator;

struct allocator *allocator_new(void);
void allocator_free(struct allocator *a);

/* What each Service of ours needs now, those that have an address first, then the oldest. *allocationsp belongs to the
 * allocator until the next call. Addresses of CREATE and STATUS steps stay reserved for their Service until it wants another;
 * allocator_created ends it earlier. */
size_t allocator_plan(struct allocator *a, const struct model *m, const struct allocation **allocationsp);

/* The creation for this address has ended, well or not. */
void allocator_created(struct allocator *a, const struct address *address);

/* After allocator_plan: records of our class that no Service needs any more. *recordsp as above. */
size_t allocator_surplus(struct allocator *a, const struct model *m, const struct record ***recordsp);

/* Distinct addresses of the pool that are in use. */
int64_t allocator_in_use(const struct model *m, const struct pool *pool, enum address_family family);

#endif
