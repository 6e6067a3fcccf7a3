/* Rows about hosts, and other load balancers, that use addresses of ours. */
#include "tests/sim/rows.h"

#define add rows_add
#define phase rows_phase

void draw_stranger(struct schedule *s, struct chance *c)
{
	struct fault *f = add(s, FAULT_STRANGER, phase(c), chance_between(c, S, 4 * S), HOSTS);
	f->value = (int)chance_between(c, 0, s->addresses - 1);
	if (chance_percent(c, 50)) {   /* its owner is restarted meanwhile: the first node has the first address */
		int64_t at = f->at;
		f->value = 0;
		add(s, chance_percent(c, 50) ? FAULT_TERM : FAULT_KILL, at + chance_between(c, 0, S), chance_between(c, 50 * MS, S), 0);
	}
}

/* On a free address: no new Service may get into its way. */
void draw_stranger_first(struct schedule *s, struct chance *c)
{
	s->controllers = true;
	s->spare = 4;
	s->addresses = 10;
	add(s, FAULT_STRANGER, 0, 14 * S, HOSTS)->value = (int)chance_between(c, 4, 9);
	add(s, FAULT_SERVICES, chance_between(c, 0, chance_percent(c, 50) ? 4 * S : 100 * MS), NEVER_BACK, HOSTS)->value = 2;
}

/* What is announced is given up. */
void draw_stranger_move(struct schedule *s, struct chance *c)
{
	draw_stranger_first(s, c);
	s->give_up = true;
	s->faults[0].value = (int)chance_between(c, 0, 5);
}

/* A migration: the last node runs something else, which answers for an address that a new or an old Service has. */
void draw_other(struct schedule *s, struct chance *c)
{
	unsigned last;
	s->nodes = (unsigned)chance_between(c, 3, 6);
	last = s->nodes - 1;
	for (unsigned i = 0; i < ADDRESSES; i++)
		s->holders[i] = (unsigned char)(1 + i % (last - 1));
	struct fault *other = add(s, FAULT_OTHER, 0, chance_between(c, 2 * S, 14 * S), last);
	if (chance_percent(c, 50)) {
		other->value = (int)chance_between(c, 0, s->addresses - 1);
		add(s, FAULT_TERM, chance_between(c, 0, S), chance_between(c, 50 * MS, 2 * S), 1);
		return;
	}
	s->controllers = true;
	s->spare = 4;
	s->addresses = 10;
	other->value = (int)chance_between(c, 0, 5);
	add(s, FAULT_SERVICES, chance_between(c, 100 * MS, S), NEVER_BACK, HOSTS)->value = 2;
}

/* ---- in the middle of something ---- */

static void announces(struct schedule *s, unsigned address, int64_t at, int64_t lasts, int64_t every)
{
	struct fault *f = add(s, FAULT_STRANGER, at, lasts, HOSTS);
	f->value = (int)address;
	f->b = (unsigned)(every / MS);
}

/* A second announcement, by which the address is given up, comes while it is on its way to another node. */
void draw_stranger_storm(struct schedule *s, struct chance *c)
{
	int64_t at = 100 * MS + phase(c), lasts;
	unsigned to;
	s->nodes = (unsigned)chance_between(c, 3, 6);
	s->give_up = s->controllers = true;
	s->spare = 4;
	s->addresses = 10;
	to = (unsigned)chance_between(c, 1, s->nodes - 1);
	switch (chance_between(c, 0, 3)) {
	case 0:   /* to a successor that does not hear of it */
		add(s, FAULT_API_CUT, at, 4 * S, to);
		add(s, FAULT_MOVE, at + 50 * MS, NEVER_BACK, 0)->b = to;
		announces(s, 0, at + chance_between(c, 60 * MS, 500 * MS), 3 * S, chance_between(c, 100 * MS, 500 * MS));
		break;
	case 1:   /* to one that somebody has written into the record, and who has not seen that */
		add(s, FAULT_API_CUT, at, 4 * S, to);
		add(s, FAULT_RECORD, at + 50 * MS, NEVER_BACK, HOSTS)->b = to;
		announces(s, 0, at + chance_between(c, 0, 200 * MS), 3 * S, chance_between(c, 50 * MS, 300 * MS));
		break;
	case 2:   /* to a guard */
		announces(s, 0, at, 2 * S, chance_between(c, 40 * MS, 200 * MS));
		add(s, FAULT_TERM, at + chance_between(c, 0, 40 * MS), chance_between(c, 50 * MS, S), 0);
		break;
	default:  /* to the one of two that keeps it */
		lasts = chance_between(c, S, 3 * S);
		add(s, FAULT_API, 0, at + lasts + 3 * S, 0);
		add(s, FAULT_CUT, 300 * MS + at, lasts, 0);
		announces(s, 0, 300 * MS + at + lasts + chance_between(c, -10 * MS, 60 * MS), 2 * S, chance_between(c, 10 * MS, 40 * MS));
		break;
	}
}

#define NEW_AT 4   /* the first address that a new Service gets */

static struct fault *other_on(struct schedule *s, unsigned address, int64_t at, int64_t lasts)
{
	struct fault *f = add(s, FAULT_OTHER, at, lasts, s->nodes - 1);
	f->value = (int)address;
	return f;
}

/* Something else runs there, and always did: whose MAC is known as one of ours, for 10 minutes, is a peer whose kernel answers. */
static void leave_last_node(struct schedule *s, unsigned first)
{
	s->without = UINT64_C(1) << (s->nodes - 1);
	for (unsigned i = 0; i < ADDRESSES; i++)
		s->holders[i] = (unsigned char)(first + i % (s->nodes - 1 - first));
}

/* A new Service's address, which somebody begins to use while it is probed; the Service may be deleted meanwhile. */
void draw_stranger_new(struct schedule *s, struct chance *c)
{
	int64_t at = 100 * MS + phase(c), used = at + chance_between(c, 10 * MS, 150 * MS), lasts = chance_between(c, S, 4 * S), known;
	int64_t kind = chance_between(c, 0, 4);
	s->nodes = (unsigned)chance_between(c, 3, 6);
	s->controllers = true;
	s->spare = 4;
	s->addresses = 10;
	leave_last_node(s, 1);
	known = kind == 2 ? S : 0;
	add(s, FAULT_SERVICES, at + known, NEVER_BACK, HOSTS)->value = 2;
	switch (kind) {
	case 0:   /* nobody */
		break;
	case 1:
		announces(s, NEW_AT, used, lasts, chance_between(c, 0, 50 * MS));
		break;
	case 2:   /* two that are known from another address */
		other_on(s, 0, 0, S - 50 * MS);
		announces(s, 1, 0, S - 50 * MS, 100 * MS);
		other_on(s, NEW_AT, used + known, lasts);
		if (chance_percent(c, 70))
			announces(s, NEW_AT, used + known + chance_between(c, 0, 300 * MS), lasts, chance_between(c, 0, 100 * MS));
		break;
	case 3:
		other_on(s, NEW_AT, used, lasts);
		break;
	default:  /* l2lb comes back on that node at once, before it is known who answers */
		add(s, FAULT_LOSS, used - 5 * MS, 500 * MS, s->nodes - 1)->value = 700;
		other_on(s, NEW_AT, used, 400 * MS);
		add(s, FAULT_KILL, used + MS, chance_between(c, 10 * MS, 200 * MS), s->nodes - 1);
		break;
	}
	if (kind == 0 || chance_percent(c, 40)) {
		int64_t deleted = kind == 3 && chance_percent(c, 50) ? chance_between(c, 300 * MS, 900 * MS) : chance_between(c, 20 * MS, 350 * MS);
		add(s, FAULT_DELETE, at + known + deleted, chance_percent(c, 50) ? NEVER_BACK : chance_between(c, 20 * MS, 2 * S), HOSTS)->value = NEW_AT;
	}
}

/* On an address that was in use before, and is asked for when its owner wakes up or has its link back. */
void draw_stranger_back(struct schedule *s, struct chance *c)
{
	int64_t at = 600 * MS + phase(c), silent;
	unsigned kind = (unsigned)chance_between(c, 0, 5);
	s->nodes = (unsigned)chance_between(c, 3, 6);
	s->addresses = 3;
	leave_last_node(s, 1);
	bool flap = chance_percent(c, 50) && kind != 1 && kind != 5;   /* who loses his carrier hands it over */
	silent = flap ? chance_between(c, 10 * MS, 150 * MS) : chance_between(c, 1300 * MS, 2500 * MS);
	if (kind <= 2 || kind == 5)
		add(s, flap ? FAULT_CARRIER : FAULT_STOP, at, silent, 1);
	switch (kind) {
	case 0:   /* known by then */
		announces(s, 0, 0, 5 * S, 100 * MS);
		break;
	case 1:   /* there by then, before anybody has told others of it, and gone before it is asked a second time */
	case 5:   /* ... then the Service goes, too */
		announces(s, 0, at + silent - chance_between(c, 2 * MS, 10 * MS), chance_between(c, 12 * MS, 60 * MS), 0);
		if (kind == 5)
			add(s, FAULT_DELETE, at + silent + chance_between(c, 60 * MS, 150 * MS), 2 * S, HOSTS)->value = 0;
		break;
	case 2:   /* and another load balancer */
		announces(s, 0, 0, 6 * S, 150 * MS);
		other_on(s, 0, 200 * MS, 8 * S);
		break;
	case 3:   /* one that nobody knows comes while that is waited for */
	default:
		other_on(s, 0, 0, chance_between(c, 3 * S, 6 * S));
		add(s, FAULT_TERM, chance_between(c, 0, S), chance_between(c, 50 * MS, S), 1);
		if (kind == 3)
			announces(s, 0, chance_between(c, 1500 * MS, 3 * S), 4 * S, chance_between(c, 0, 300 * MS));
		else
			add(s, FAULT_DELETE, chance_between(c, 1500 * MS, 3 * S), 2 * S, HOSTS)->value = 0;
		break;
	}
}

/* It is remembered for a minute; then the next one, perhaps, comes. */
void draw_stranger_long(struct schedule *s, struct chance *c)
{
	announces(s, 0, phase(c), S, 0);
	add(s, FAULT_STRANGER, chance_between(c, 64 * S, 66 * S), S, 1)->value = (int)chance_between(c, 0, s->addresses - 1);
}
