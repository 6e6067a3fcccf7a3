/* Rows about what others do with Services, their endpoints and the nodes: nothing fails. */
#include "tests/sim/rows.h"

#define add rows_add
#define phase rows_phase

static uint64_t some_nodes(const struct schedule *s, struct chance *c)
{
	uint64_t all = (UINT64_C(1) << s->nodes) - 1, mask = chance_next(c) & all;
	return mask ? mask : UINT64_C(1) << chance_between(c, 0, s->nodes - 1);
}

static struct fault *endpoints(struct schedule *s, int64_t at, int64_t lasts, unsigned service, uint64_t nodes)
{
	struct fault *f = add(s, FAULT_ENDPOINTS, at, lasts, HOSTS);
	f->value = (int)service;
	f->mask = nodes;
	return f;
}

/* Where the owner has none it goes, at once, to a node that has one, and stays there. */
void draw_endpoints(struct schedule *s, struct chance *c)
{
	s->local = true;
	for (unsigned i = 0; i < s->addresses; i++)
		endpoints(s, phase(c), chance_percent(c, 40) ? NEVER_BACK : chance_between(c, S, 4 * S), i, some_nodes(s, c));
}

void draw_endpoints_cluster(struct schedule *s, struct chance *c)
{
	draw_endpoints(s, c);
	s->local = false;
}

/* Nowhere: nobody answers, and that is no gap. */
void draw_endpoints_none(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	s->local = chance_percent(c, 50);
	if (chance_percent(c, 20))
		endpoints(s, at, NEVER_BACK, 0, 0);
	else if (chance_percent(c, 50))
		endpoints(s, at, chance_between(c, 20 * MS, 3 * S), 0, 0);
	else {   /* it comes back elsewhere */
		int64_t none = chance_between(c, 20 * MS, 2 * S);
		endpoints(s, at, NEVER_BACK, 0, 0);
		endpoints(s, at + none, 2 * S, 0, some_nodes(s, c));
	}
}

/* One that comes and goes moves an address once at most: away from it. */
void draw_endpoints_flap(struct schedule *s, struct chance *c)
{
	unsigned flaps = chance_percent(c, 70) ? 0 : (unsigned)chance_between(c, 0, s->nodes - 1);
	s->local = chance_percent(c, 80);
	struct fault *f = endpoints(s, phase(c), chance_between(c, 2 * S, 5 * S), 0, chance_percent(c, 20) ? UINT64_C(1) << flaps : some_nodes(s, c) | 1);
	f->a = flaps;
	f->b = (unsigned)(chance_percent(c, 50) ? chance_between(c, 5, 100) : chance_between(c, 100, 1200));
}

/* That alone says nothing about it: what does is seen on the wire. */
void draw_not_ready(struct schedule *s, struct chance *c)
{
	add(s, FAULT_NOT_READY, phase(c), chance_percent(c, 50) ? NEVER_BACK : chance_between(c, 100 * MS, 3 * S), 0);
}

void draw_excluded(struct schedule *s, struct chance *c)
{
	add(s, FAULT_EXCLUDE, phase(c), chance_percent(c, 50) ? NEVER_BACK : chance_between(c, 50 * MS, 3 * S), 0);
}

/* Stable for 30 s, or nothing moves. */
void draw_preferred(struct schedule *s, struct chance *c)
{
	unsigned to = (unsigned)chance_between(c, 1, s->nodes - 1);
	add(s, FAULT_PREFER, phase(c), chance_percent(c, 50) ? NEVER_BACK : chance_between(c, S, 29 * S), to);
	if (chance_percent(c, 30) && s->faults[0].lasts != NEVER_BACK)
		add(s, FAULT_PREFER, s->faults[0].at + s->faults[0].lasts + chance_between(c, 100 * MS, S), NEVER_BACK, to);
}

/* Neither the second one nor the end of the first changes anything for clients. */
void draw_shared(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	s->controllers = true;
	add(s, FAULT_SHARE, at, chance_percent(c, 50) ? NEVER_BACK : chance_between(c, 500 * MS, 2 * S), HOSTS);
	if (s->faults[0].lasts == NEVER_BACK && chance_percent(c, 60))
		add(s, FAULT_DELETE, at + chance_between(c, 500 * MS, 2 * S), NEVER_BACK, HOSTS);
}

/* And made again, perhaps before everybody has heard of it. */
void draw_deleted(struct schedule *s, struct chance *c)
{
	s->controllers = chance_percent(c, 50);
	for (unsigned i = 0; i < s->addresses; i++)
		add(s, FAULT_DELETE, phase(c), chance_percent(c, 20) ? NEVER_BACK : chance_between(c, chance_percent(c, 50) ? 0 : 100 * MS, 2 * S), HOSTS)->value = (int)i;
	if (chance_percent(c, 40))
		add(s, chance_percent(c, 50) ? FAULT_KILL : FAULT_TERM, phase(c), chance_between(c, 50 * MS, 2 * S), 0);
}
