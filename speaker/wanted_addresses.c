#include "speaker/wanted_addresses.h"

static void add(struct wanted_addresses *w, const struct address *a)
{
	if (a->family == ADDRESS_V4 && w->n < WANTED_MAX)
		w->addresses[w->n++] = address_to_v4(a);
}

static bool is_free(const struct model *m, const struct address *a)
{
	return !model_record(m, a) && !model_ingress_user(m, a, NULL) && !model_foreign(m, a);
}

/* As the allocator does: in the order of spec.addresses, ascending. */
static void add_free(struct wanted_addresses *w, const struct model *m, const struct pool *pool)
{
	size_t found = 0, scanned = 0;
	for (size_t i = 0; i < pool->n_ranges; i++) {
		const struct address_range *r = &pool->ranges[i];
		struct address a = r->first;
		while (a.family == ADDRESS_V4 && found < WANTED_FREE && scanned++ < WANTED_SCAN) {
			if (pool_contains(pool, &a) && is_free(m, &a)) {
				add(w, &a);
				found++;
			}
			if (address_equal(&a, &r->last) || !address_next(&a, &a))
				break;
		}
	}
}

void wanted_addresses_fill(struct wanted_addresses *w, const struct model *m)
{
	w->n = 0;
	for (const struct foreign_entry *e = m->foreign; e; e = e->hh.next)
		add(w, &e->record->address);
	for (size_t i = 0; i < m->pools.n; i++)
		if (m->pools.entries[i].pool)
			add_free(w, m, m->pools.entries[i].pool);
	for (const struct record_entry *e = m->records; e; e = e->hh.next)
		add(w, &e->record->address);
}
