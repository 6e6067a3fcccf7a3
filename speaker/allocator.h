/* Which Service gets which address. Pure: follows the model's changes, says what to write next; level-triggered, so after any
 * order of events, crashes and lost answers the same questions give the missing steps. Rules: metallb-l2.md section 2.
 *
 * The act of allocation is the creation of the address's record (design.md section 4), or joining it: the plan for a new
 * Service is CREATE, then (when the record is in the model) STATUS, then nothing. What counts, in this order: the record
 * that names a Service, its status, what it asks for. Only Services that something changed for are decided anew. */
#ifndef SPEAKER_ALLOCATOR_H
#define SPEAKER_ALLOCATOR_H

#include "speaker/model.h"
#include "speaker/put_aside.h"

enum allocation_step {
	ALLOCATION_SETTLED,   /* nothing to write (now) */
	ALLOCATION_CREATE,    /* create the record of `address` for this Service */
	ALLOCATION_JOIN,      /* add this Service (key, uid) to the record of `address`, under its version */
	ALLOCATION_STATUS,    /* write addresses[0..n) and pool to the Service's status; n = 0 clears it */
};

#define ALLOCATION_NOTICES 4

struct notice {
	const char *reason;   /* of an Event: AllocationFailed, ClearAssignment, ... */
	bool warning;
	char *text;           /* one line: object, what, remedy */
};

struct allocation {
	const char *service;  /* "namespace/name" */
	char *uid;
	enum allocation_step step;
	struct address address;
	struct address addresses[SERVICE_ADDRESSES];
	size_t n;
	char *pool;           /* NULL: none */
	bool repair;          /* STATUS: puts a foreign write right */
	bool waiting;         /* it lacks something that it asks for */
	struct notice notices[ALLOCATION_NOTICES];
	size_t n_notices;
};

struct allocator;

/* m is borrowed, and its changes are ours from now on. */
struct allocator *allocator_new(struct model *m, const struct put_aside_times *aside);   /* borrowed; NULL: PUT_ASIDE_TIMES */
void allocator_free(struct allocator *a);

/* Decides anew what changed, Services that have an address first, then the oldest. *wakep: when to ask again at the latest. */
void allocator_plan(struct allocator *a, int64_t now, int64_t *wakep);

/* We lead again: what was written meanwhile was another controller's, not a foreign write. */
void allocator_resume(struct allocator *a);

/* Services decided anew since the last call, each once; NULL: no more. The pointer is good until the next plan. A Service that
 * is gone comes with uid set and n, notices and pool empty, and is forgotten by the next plan. */
const struct allocation *allocator_next_news(struct allocator *a);

/* Services with something to write, in the order they came to it; after NULL: the first. Valid until the next plan. */
const struct allocation *allocator_next_open(const struct allocator *a, const struct allocation *after);
const struct allocation *allocator_find(const struct allocator *a, const char *service);   /* NULL */

/* A status write for these addresses is on its way, or (n = 0) has ended: until then nobody else may have them. */
void allocator_writing(struct allocator *a, const char *service, const struct address *addresses, size_t n);

/* Records that name Services which do not need them any more, one after the other. */
const struct record *allocator_next_release(const struct allocator *a, const struct address *after);
bool allocator_needs(const struct allocator *a, const struct record *r, size_t nth_service);   /* that one still does */

/* Distinct addresses of the pool that are granted or recorded. */
int64_t allocator_in_use(const struct allocator *a, const char *pool, enum address_family family);

/* Services that have an address of the pool. */
int64_t allocator_services(const struct allocator *a, const char *pool);

/* Services that lack something they ask for. */
size_t allocator_waiting(const struct allocator *a);

#endif
