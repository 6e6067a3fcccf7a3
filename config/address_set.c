#include "config/address_set.h"

#include <search.h>
#include <stdlib.h>

#include "config/base/memory.h"

/* Disjoint, and never adjacent: neighbours are merged. */
static int compare(const void *x, const void *y)
{
	const struct address_range *a = x, *b = y;
	if (address_compare(&a->last, &b->first) < 0)
		return -1;
	return address_compare(&a->first, &b->last) > 0;
}

/* The interval that holds the address, or NULL. */
static struct address_range *find(const struct address_set *s, const struct address *a)
{
	const struct address_range one = {*a, *a};
	void *found = tfind(&one, &s->intervals, compare);
	return found ? *(struct address_range **)found : NULL;
}

static void insert(struct address_set *s, const struct address *first, const struct address *last)
{
	struct address_range *r = mem_zalloc(sizeof(*r));
	*r = (struct address_range){*first, *last};
	if (!tsearch(r, &s->intervals, compare))
		mem_exhausted();
	s->n++;
}

static void take_out(struct address_set *s, struct address_range *r)
{
	tdelete(r, &s->intervals, compare);
	free(r);
	s->n--;
}

static bool previous(const struct address *a, struct address *out)
{
	size_t size = a->family == ADDRESS_V4 ? 4 : 16;
	*out = *a;
	for (size_t i = size; i-- > 0;)
		if (out->bytes[i]--)
			return true;
	return false;   /* the first of its family */
}

bool address_set_has(const struct address_set *s, const struct address *a)
{
	return find(s, a) != NULL;
}

void address_set_add(struct address_set *s, const struct address *a)
{
	struct address first = *a, last = *a, next;
	if (find(s, a))
		return;
	struct address_range *below = previous(a, &next) ? find(s, &next) : NULL;
	struct address_range *above = address_next(a, &next) ? find(s, &next) : NULL;
	if (below) {
		first = below->first;
		take_out(s, below);
	}
	if (above) {
		last = above->last;
		take_out(s, above);
	}
	insert(s, &first, &last);
}

void address_set_remove(struct address_set *s, const struct address *a)
{
	struct address_range *r = find(s, a);
	struct address neighbour;
	if (!r)
		return;
	struct address_range old = *r;
	take_out(s, r);
	if (address_compare(&old.first, a) < 0 && previous(a, &neighbour))
		insert(s, &old.first, &neighbour);
	if (address_compare(a, &old.last) < 0 && address_next(a, &neighbour))
		insert(s, &neighbour, &old.last);
}

void address_set_clear(struct address_set *s)
{
	tdestroy(s->intervals, free);
	*s = (struct address_set){0};
}

bool address_set_first_free(const struct address_set *s, const struct address *from, const struct address *last, struct address *freep)
{
	struct address a = *from;
	const struct address_range *r = find(s, &a);
	if (r && !address_next(&r->last, &a))
		return false;
	if (address_compare(&a, last) > 0)
		return false;
	*freep = a;
	return true;
}
