#include "speaker/pool_ranges.h"

#include <stdlib.h>

#include "config/base/memory.h"
#include "speaker/election.h"

#define KEPT_GAP 256   /* addresses less than this apart make one range */

static int by_first(const void *x, const void *y)
{
	const struct ipv4_range *a = x, *b = y;
	return (a->first > b->first) - (a->first < b->first);
}

static size_t kept_ranges(const struct model *m, struct ipv4_range *ranges)
{
	size_t n = 0, merged = 0;
	for (const struct record_entry *e = m->records; e; e = e->hh.next) {
		const struct address *a = &e->record->address;
		const struct service *s = a->family != ADDRESS_V4 || model_pool_of(m, a) ? NULL : election_user(m, e->record);
		if (s && election_pool(m, a, s))
			ranges[n++] = (struct ipv4_range){address_to_v4(a), address_to_v4(a)};
	}
	qsort(ranges, n, sizeof(*ranges), by_first);
	for (size_t i = 0; i < n; i++) {
		if (merged && ranges[i].first - ranges[merged - 1].last < KEPT_GAP)
			ranges[merged - 1].last = ranges[i].last;
		else
			ranges[merged++] = ranges[i];
	}
	return merged;
}

size_t pool_ranges(const struct model *m, struct ipv4_range **rangesp)
{
	size_t n = 0, most = 0;
	bool all_used = true;   /* nearly always: then no address is looked at */
	for (size_t i = 0; i < m->pools.n; i++) {
		most += m->pools.entries[i].pool ? m->pools.entries[i].pool->n_ranges : 0;
		all_used &= m->pools.entries[i].pool != NULL;
	}
	struct ipv4_range *ranges = mem_zalloc((most + (all_used ? 0 : HASH_COUNT(m->records))) * sizeof(*ranges));
	for (size_t i = 0; i < m->pools.n; i++)
		for (size_t j = 0; m->pools.entries[i].pool && j < m->pools.entries[i].pool->n_ranges; j++) {
			const struct address_range *r = &m->pools.entries[i].pool->ranges[j];
			if (r->first.family == ADDRESS_V4)
				ranges[n++] = (struct ipv4_range){address_to_v4(&r->first), address_to_v4(&r->last)};
		}
	if (!all_used)
		n += kept_ranges(m, ranges + n);
	*rangesp = ranges;
	return n;
}
