#include "arp/tally.h"

#include <stdlib.h>

#include "config/base/map.h"

struct row {
	struct tally_entry entry;
	UT_hash_handle hh;
};

struct tally {
	struct row *rows;
};

struct tally *tally_new(void)
{
	return mem_zalloc(sizeof(struct tally));
}

void tally_free(struct tally *t)
{
	struct row *r, *tmp;
	if (!t)
		return;
	HASH_ITER(hh, t->rows, r, tmp) {
		HASH_DEL(t->rows, r);
		free(r);
	}
	free(t);
}

struct tally_entry *tally_at(struct tally *t, uint32_t address)
{
	static struct tally_entry unread;
	struct row *r;
	if (!t)
		return &unread;
	HASH_FIND(hh, t->rows, &address, sizeof(address), r);
	if (!r) {
		r = mem_zalloc(sizeof(*r));
		r->entry.address = address;
		HASH_ADD(hh, t->rows, entry.address, sizeof(r->entry.address), r);
	}
	return &r->entry;
}

void tally_each(const struct tally *t, void (*visit)(void *data, const struct tally_entry *entry), void *data)
{
	struct row *r, *tmp;
	HASH_ITER(hh, t->rows, r, tmp)
		visit(data, &r->entry);
}
