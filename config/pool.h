/* IPAddressPool (metallb.io/v1beta1): the addresses Services may get. Pure. Rules: metallb-l2.md section 1.1. */
#ifndef CONFIG_POOL_H
#define CONFIG_POOL_H

#include "config/address.h"
#include "config/object_meta.h"

struct pool {
	struct object_meta meta;
	struct address_range *ranges;   /* in the order of spec.addresses; they do not overlap */
	size_t n_ranges;
	bool auto_assign;               /* false: only for Services that name the pool or one of its addresses */
	bool avoid_buggy_ips;           /* IPv4 addresses that end in .0 or .255 do not belong to the pool */
	bool restricted;                /* has spec.serviceAllocation */
	int64_t priority;               /* lower first; 0 is last */
	char **namespaces;
	size_t n_namespaces;
	struct selectors namespace_selectors;
	struct selectors service_selectors;
};

/* Decodes and validates one object: accepts what MetalLB accepts and refuses what it refuses, but for a range from one family
 * to the other, which is an error here. *poolp: to pool_free. -EINVAL: err names the pool, the fault, with MetalLB's words,
 * and the remedy. Not seen here: overlaps with other pools (pool_overlaps), objects of another namespace. */
int pool_decode(const json_t *object, struct pool **poolp, struct error *err);

/* A --pool flag: "RANGE", "RANGE,RANGE", each a CIDR or from-to, options "name=...", "autoAssign=false",
 * "avoidBuggyIPs=true" among them. Without a name it is "pool-<nth>" (nth counts from 1; the first is "default-pool"). */
int pool_from_flag(const char *text, unsigned nth, struct pool **poolp, struct error *err);
void pool_free(struct pool *pool);

/* True when the address is one the pool may hand out (in a range and not "buggy" where those are avoided). */
bool pool_contains(const struct pool *pool, const struct address *a);
bool pool_overlaps(const struct pool *a, const struct pool *b);

/* Number of addresses of one family (ADDRESS_NONE: of both), saturating at INT64_MAX. */
int64_t pool_size(const struct pool *pool, enum address_family family);

/* Whether a Service of that namespace and labels may use the pool (spec.serviceAllocation). namespace_labels may be NULL:
 * then no namespaceSelector matches. Selectors that match no namespace make the pool usable by nobody (MetalLB: by all). */
bool pool_admits(const struct pool *pool, const char *name_space, const struct labels *namespace_labels, const struct labels *service_labels);

/* Order in which pools are tried: restricted ones by priority (0 last), then the others; then by name. */
int pool_compare(const struct pool *a, const struct pool *b);

#endif
