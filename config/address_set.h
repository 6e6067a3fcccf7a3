/* A set of addresses that answers "the lowest one that is not in it" in O(log n), however large the range or full the set:
 * kept as disjoint intervals in a balanced tree. Pure. */
#ifndef CONFIG_ADDRESS_SET_H
#define CONFIG_ADDRESS_SET_H

#include "config/address.h"

struct address_set {
	void *intervals;   /* tree of tsearch(3) */
	size_t n;          /* intervals */
};

/* Adding what is there and removing what is not changes nothing. */
void address_set_add(struct address_set *s, const struct address *a);
void address_set_remove(struct address_set *s, const struct address *a);
bool address_set_has(const struct address_set *s, const struct address *a);
void address_set_clear(struct address_set *s);

/* The lowest address from `from` to `last` (same family, both included) that is not in the set; false: all are. */
bool address_set_first_free(const struct address_set *s, const struct address *from, const struct address *last, struct address *freep);

#endif
