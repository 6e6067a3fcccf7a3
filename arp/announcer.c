#include "arp/announcer.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/map.h"

/* RFC 5227 wants two announcements 2 s apart; 0.2 s repairs a lost frame, 1.1 s reaches stacks that hold a changed entry
 * for a second (Linux locktime), 5 s links that came up slowly. */
static const struct {
	int64_t after;
	int forms;
} SCHEDULE[] = {
	{0, ANNOUNCE_REQUEST | ANNOUNCE_REPLY},
	{200 * CLOCK_MS, ANNOUNCE_REQUEST},
	{1100 * CLOCK_MS, ANNOUNCE_REQUEST | ANNOUNCE_REPLY},
	{2 * CLOCK_S, ANNOUNCE_REQUEST},
	{5 * CLOCK_S, ANNOUNCE_REQUEST},
};
#define STEPS (sizeof(SCHEDULE) / sizeof(SCHEDULE[0]))

struct entry {
	uint32_t address;
	int64_t started, next;
	size_t step;          /* STEPS: refreshing */
	int64_t last_extra;
	UT_hash_handle hh;
};

struct announcer {
	int64_t refresh;
	struct entry *entries;
	int64_t deadline;   /* the least `next`, or earlier */
};

struct announcer *announcer_new(int64_t refresh)
{
	struct announcer *a = mem_zalloc(sizeof(*a));
	a->refresh = refresh;
	a->deadline = CLOCK_NEVER;
	return a;
}

void announcer_free(struct announcer *a)
{
	struct entry *e, *tmp;
	if (!a)
		return;
	HASH_ITER(hh, a->entries, e, tmp) {
		HASH_DEL(a->entries, e);
		free(e);
	}
	free(a);
}

static struct entry *find(const struct announcer *a, uint32_t address)
{
	struct entry *e;
	HASH_FIND(hh, a->entries, &address, sizeof(address), e);
	return e;
}

void announcer_start(struct announcer *a, uint32_t address, int64_t now)
{
	struct entry *e = find(a, address);
	if (!e) {
		e = mem_zalloc(sizeof(*e));
		e->address = address;
		e->last_extra = INT64_MIN / 2;
		HASH_ADD(hh, a->entries, address, sizeof(e->address), e);
	}
	e->step = 0;
	e->started = e->next = now;
	a->deadline = clock_min(a->deadline, now);
}

void announcer_stop(struct announcer *a, uint32_t address)
{
	struct entry *e = find(a, address);
	if (!e)
		return;
	HASH_DEL(a->entries, e);
	free(e);
}

void announcer_restart_all(struct announcer *a, int64_t now)
{
	struct entry *e, *tmp;
	HASH_ITER(hh, a->entries, e, tmp)
		announcer_start(a, e->address, now);
}

bool announcer_once(struct announcer *a, uint32_t address, int64_t now)
{
	struct entry *e = find(a, address);
	if (!e || now - e->last_extra < CLOCK_S)
		return false;
	e->last_extra = now;
	return true;
}

static void advance(struct announcer *a, struct entry *e, int64_t now)
{
	if (e->step < STEPS)
		e->step++;
	if (e->step >= STEPS) {
		e->next = a->refresh ? now + a->refresh : CLOCK_NEVER;
		return;
	}
	/* A late wake-up must not send the missed repeats in one burst: at least half of each pause is kept. */
	int64_t pause = SCHEDULE[e->step].after - SCHEDULE[e->step - 1].after;
	int64_t planned = e->started + SCHEDULE[e->step].after;
	e->next = planned > now + pause / 2 ? planned : now + pause / 2;
}

static int by_next(const struct entry *a, const struct entry *b)
{
	return (a->next > b->next) - (a->next < b->next);
}

size_t announcer_due(struct announcer *a, int64_t now, struct announcement *out, size_t max)
{
	size_t n = 0;
	struct entry *e, *tmp;
	int64_t least = CLOCK_NEVER;
	if (now < a->deadline)
		return 0;
	/* The longest due first, or with a small max the repeats of some would overtake the first announcement of others. */
	HASH_SORT(a->entries, by_next);
	HASH_ITER(hh, a->entries, e, tmp) {
		if (e->next <= now && n < max) {
			out[n].address = e->address;
			out[n++].forms = e->step < STEPS ? SCHEDULE[e->step].forms : ANNOUNCE_REQUEST;
			advance(a, e, now);
		}
		least = clock_min(least, e->next);
	}
	a->deadline = least;
	return n;
}

int64_t announcer_deadline(const struct announcer *a)
{
	return a->deadline;
}
