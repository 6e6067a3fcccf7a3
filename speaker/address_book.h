/* Who has which address, and which one is free for a Service. Pure. Beside what Services claim (decided by the allocator) it
 * knows the model's records and statuses; every question costs O(log n), however large a pool or full it is. */
#ifndef SPEAKER_ADDRESS_BOOK_H
#define SPEAKER_ADDRESS_BOOK_H

#include "config/address_set.h"
#include "speaker/model.h"
#include "speaker/sharing.h"

/* One Service's part in the book. */
struct claimant {
	char *key;                                  /* "namespace/name" */
	struct sharing sharing;                     /* as it was when the addresses were granted */
	struct address addresses[SERVICE_ADDRESSES];
	size_t n;                                   /* granted */
	struct address flight[SERVICE_ADDRESSES];
	size_t n_flight;                            /* of a write under way, which may take effect whatever is decided meanwhile */
};

struct address_use;
struct shared_key;
struct pool_count;

struct address_book {
	const struct model *model;
	struct address_use *uses;      /* one for each address that anybody has, in any way */
	struct address_set taken;      /* the same, ordered */
	struct shared_key *keys;       /* sharing key -> addresses */
	struct pool_count *counts;
	bool freed;                    /* an address, or a right to share one, may have become free; the reader resets it */
};

void address_book_init(struct address_book *b, const struct model *m);
void address_book_free(struct address_book *b);

/* The model's record of the address, or who shows it, changed. */
void address_book_refresh(struct address_book *b, const struct address *a);
void address_book_recount(struct address_book *b);   /* the pools changed */

/* What the claimant has from now on; takes over sharing's content. */
void address_book_grant(struct address_book *b, struct claimant *c, const struct address *addresses, size_t n, struct sharing *sharing);
void address_book_fly(struct address_book *b, struct claimant *c, const struct address *addresses, size_t n);

/* Those that were granted the address, or write it; *usersp is the book's until the next change. */
size_t address_book_users(const struct address_book *b, const struct address *a, struct claimant *const **usersp);
bool claimant_has(const struct claimant *c, const struct address *a);      /* granted */
bool claimant_writes(const struct claimant *c, const struct address *a);

/* A Service that wants an address; sharing: as the Service is now. */
struct seeker {
	const struct claimant *claimant;
	const struct service *service;
	const struct sharing *sharing;
};

/* May it take the address, or keep one that it has already shown or recorded? Else err says who is in the way. */
bool address_book_may_take(const struct address_book *b, const struct seeker *k, const struct address *a, struct error *err);
bool address_book_may_keep(const struct address_book *b, const struct seeker *k, const struct address *a, struct error *err);

/* The first address of the pool it may have: in the order of spec.addresses, ascending. */
bool address_book_first(const struct address_book *b, const struct seeker *k, const struct pool *pool, enum address_family family, struct address *out);

/* Addresses of the pool that are put aside because strangers use them. */
int64_t address_book_put_aside(const struct address_book *b, const char *pool, enum address_family family);

/* Distinct addresses of the pool that are granted or recorded; ADDRESS_NONE: of both families. */
int64_t address_book_in_use(const struct address_book *b, const char *pool, enum address_family family);

#endif
