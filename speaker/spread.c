#include "speaker/spread.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

struct offer {
	struct address address;
	size_t first, n;            /* in `nodes` */
	uint32_t partner;           /* who has the other family, or is to get it */
	struct address follows;     /* family 0: none */
	uint32_t owner;             /* whom it is meant for */
};

struct spread {
	unsigned revision;
	bool worked_out;            /* for that revision */
	uint32_t n_nodes;
	size_t *loads;              /* addresses of each node, those meant for it included */
	struct offer *offers;       /* ascending */
	size_t n_offers, room_offers;
	uint32_t *nodes;            /* of all offers, one after the other; only until they are assigned */
	size_t n_listed, room_listed;
	uint8_t *full;              /* a bit per offer and node */
};

void spread_init(struct spread **sp)
{
	*sp = mem_zalloc(sizeof(**sp));
}

void spread_free(struct spread *s)
{
	if (!s)
		return;
	free(s->loads);
	free(s->offers);
	free(s->nodes);
	free(s->full);
	free(s);
}

bool spread_is_of(const struct spread *s, unsigned revision)
{
	return s->worked_out && s->revision == revision;
}

void spread_begin(struct spread *s, unsigned revision, uint32_t n_nodes)
{
	s->revision = revision;
	s->worked_out = false;
	s->n_nodes = n_nodes;
	s->n_offers = s->n_listed = 0;
	free(s->loads);
	s->loads = mem_zalloc((n_nodes + 1) * sizeof(*s->loads));
}

void spread_hold(struct spread *s, uint32_t node)
{
	s->loads[node]++;
}

void spread_offer(struct spread *s, const struct address *a, const uint32_t *nodes, size_t n, uint32_t partner, const struct address *follows)
{
	if (n == 0)
		return;
	if (s->n_offers == s->room_offers) {
		s->room_offers = 2 * s->room_offers + 16;
		s->offers = mem_realloc(s->offers, s->room_offers * sizeof(*s->offers));
	}
	if (s->n_listed + n > s->room_listed) {
		s->room_listed = 2 * s->room_listed + n;
		s->nodes = mem_realloc(s->nodes, s->room_listed * sizeof(*s->nodes));
	}
	memcpy(s->nodes + s->n_listed, nodes, n * sizeof(*nodes));
	s->offers[s->n_offers++] = (struct offer){.address = *a, .first = s->n_listed, .n = n, .partner = partner, .owner = SPREAD_NOBODY,
						  .follows = follows ? *follows : (struct address){0}};
	s->n_listed += n;
}

static int by_address(const void *key, const void *element)
{
	return address_compare(key, &((const struct offer *)element)->address);
}

static struct offer *find(const struct spread *s, const struct address *a)
{
	return s->n_offers ? bsearch(a, s->offers, s->n_offers, sizeof(*s->offers), by_address) : NULL;
}

/* ceil(1.25 x addresses / nodes) */
static size_t share(size_t addresses, size_t nodes)
{
	return (5 * addresses + 4 * nodes - 1) / (4 * nodes);
}

/* Of all nodes that may get any of the offers. */
static size_t common_limit(const struct spread *s)
{
	size_t addresses = s->n_offers, n = 0;
	bool *counted = mem_zalloc(s->n_nodes * sizeof(*counted));
	for (size_t i = 0; i < s->n_listed; i++) {
		uint32_t node = s->nodes[i];
		if (counted[node])
			continue;
		counted[node] = true;
		n++;
		addresses += s->loads[node];
	}
	free(counted);
	return n ? share(addresses, n) : 0;
}

/* Few nodes may have to own more than the common limit, because others may not have these addresses: among themselves they
 * share alike. So there is always one with room. */
static size_t limit_of(const struct spread *s, const struct offer *o, size_t common)
{
	size_t owned = 0;
	for (size_t i = 0; i < o->n; i++)
		owned += s->loads[s->nodes[o->first + i]];
	size_t among = share(owned + 1, o->n);
	return among > common ? among : common;
}

static size_t row_size(const struct spread *s)
{
	return (s->n_nodes + 7) / 8;
}

static void assign(struct spread *s, struct offer *o, size_t common)
{
	uint8_t *full = s->full + (size_t)(o - s->offers) * row_size(s);
	size_t limit = limit_of(s, o, common);
	for (uint32_t node = 0; node < s->n_nodes; node++)
		if (s->loads[node] + 1 > limit)
			full[node / 8] |= (uint8_t)(1 << node % 8);
	const struct offer *other = o->partner == SPREAD_NOBODY && o->follows.family ? find(s, &o->follows) : NULL;
	if (other && other->owner != SPREAD_NOBODY)
		o->partner = other->owner;
	for (size_t i = 0; i < o->n && o->owner == SPREAD_NOBODY; i++)
		if (s->nodes[o->first + i] == o->partner)
			o->owner = o->partner;
	for (size_t i = 0; i < o->n && o->owner == SPREAD_NOBODY; i++)
		if (s->loads[s->nodes[o->first + i]] + 1 <= limit)
			o->owner = s->nodes[o->first + i];
	s->loads[o->owner]++;
}

void spread_assign(struct spread *s)
{
	size_t common = common_limit(s);
	free(s->full);
	s->full = mem_zalloc(s->n_offers * row_size(s) + 1);
	for (size_t i = 0; i < s->n_offers; i++)
		assign(s, &s->offers[i], common);
	free(s->nodes);
	s->nodes = NULL;
	s->n_listed = s->room_listed = 0;
	s->worked_out = true;
}

enum spread_place spread_place(const struct spread *s, const struct address *a, uint32_t node)
{
	const struct offer *o = find(s, a);
	if (!o)
		return SPREAD_ROOM;
	if (o->partner == node)
		return SPREAD_PARTNER;
	const uint8_t *full = s->full + (size_t)(o - s->offers) * row_size(s);
	return full[node / 8] & (1 << node % 8) ? SPREAD_FULL : SPREAD_ROOM;
}
