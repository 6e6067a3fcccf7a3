#include "arp/announcer.h"

#include <stdlib.h>

#include "arp/due_queue.h"
#include "arp/rate_cap.h"
#include "config/base/clock.h"
#include "config/base/map.h"

#define DIRECTED ((ANNOUNCE_HOST(ANNOUNCE_HOSTS) - 1) & ~(ANNOUNCE_HOST(0) - 1))

const struct announcer_times ANNOUNCER_TIMES = {.probed = CLOCK_S, .defend = 10 * CLOCK_S, .rest = 50 * CLOCK_MS, .retry_first = 10 * CLOCK_MS, .retry_last = CLOCK_S};

/* RFC 5227 wants two announcements 2 s apart; 0.2 s repairs a lost frame, 1.1 s reaches stacks that hold a changed entry
 * for a second (Linux locktime), 5 s links that came up slowly. Directed ones are for who ignores all the others. */
static const struct {
	int64_t after;
	unsigned forms;
} SCHEDULE[] = {
	{0, ANNOUNCE_REQUEST | ANNOUNCE_REPLY | DIRECTED},
	{200 * CLOCK_MS, ANNOUNCE_REQUEST},
	{1100 * CLOCK_MS, ANNOUNCE_REQUEST | ANNOUNCE_REPLY | DIRECTED},
	{2 * CLOCK_S, ANNOUNCE_REQUEST},
	{5 * CLOCK_S, ANNOUNCE_REQUEST},
};
#define STEPS (sizeof(SCHEDULE) / sizeof(SCHEDULE[0]))

struct entry {
	uint32_t address;
	int64_t started;      /* when the first announcement went */
	size_t step;          /* the next one to give; STEPS: refreshing */
	unsigned pending;     /* its frames */
	size_t given;         /* the step that was given last: its frames may come back as failed */
	int64_t failed_at, retry;   /* the last failure, and how long was waited after it */
	int64_t probed_at, defended_at;
	struct due next;      /* among the urgent until the first request has gone, then among the repeats */
	struct due extra;     /* one outside the schedule, among the urgent */
	UT_hash_handle hh;
};

struct announcer {
	const struct announcer_times *times;
	int64_t refresh, rest_delay;
	unsigned hosts;
	struct entry *entries;
	struct rate_cap *cap;
	struct due_queue urgent, repeats;
};

struct announcer *announcer_new(const struct announcer_times *times, int64_t refresh, unsigned rate)
{
	struct announcer *a = mem_zalloc(sizeof(*a));
	a->times = times ? times : &ANNOUNCER_TIMES;
	a->refresh = refresh;
	a->cap = rate_cap_new(rate);
	/* Addresses are taken one by one: where frames are counted, the rest of the first must not use up what the last one's
	 * first announcement needs. */
	a->rest_delay = rate ? a->times->rest : 0;
	return a;
}

static void entry_free(struct announcer *a, struct entry *e)
{
	due_queue_remove(&e->next);
	due_queue_remove(&e->extra);
	HASH_DEL(a->entries, e);
	free(e);
}

void announcer_free(struct announcer *a)
{
	struct entry *e, *tmp;
	if (!a)
		return;
	HASH_ITER(hh, a->entries, e, tmp)
		entry_free(a, e);
	due_queue_free(&a->urgent);
	due_queue_free(&a->repeats);
	rate_cap_free(a->cap);
	free(a);
}

void announcer_set_hosts(struct announcer *a, unsigned forms)
{
	a->hosts = forms & DIRECTED;
}

/* ---- what is to be given, and when ---- */

static struct entry *find(const struct announcer *a, uint32_t address)
{
	struct entry *e;
	HASH_FIND(hh, a->entries, &address, sizeof(address), e);
	return e;
}

static bool unheard(const struct entry *e)
{
	return e->step == 0 && (e->pending & ANNOUNCE_REQUEST);
}

static void queue(struct announcer *a, struct entry *e, int64_t at)
{
	due_queue_put(unheard(e) ? &a->urgent : &a->repeats, &e->next, at);
}

void announcer_start(struct announcer *a, uint32_t address, int64_t now)
{
	struct entry *e = find(a, address);
	if (!e) {
		e = mem_zalloc(sizeof(*e));
		e->address = address;
		e->probed_at = e->defended_at = CLOCK_LONG_AGO;
		e->next.owner = e->extra.owner = e;
		HASH_ADD(hh, a->entries, address, sizeof(e->address), e);
	}
	bool waits = unheard(e) && e->next.queue && e->next.at <= now;
	e->step = 0;
	e->pending = SCHEDULE[0].forms;
	e->given = 0;
	e->failed_at = CLOCK_LONG_AGO;
	due_queue_remove(&e->extra);
	if (!waits)
		queue(a, e, now);
}

void announcer_stop(struct announcer *a, uint32_t address)
{
	struct entry *e = find(a, address);
	if (e)
		entry_free(a, e);
}

void announcer_restart_all(struct announcer *a, int64_t now)
{
	struct entry *e, *tmp;
	HASH_ITER(hh, a->entries, e, tmp)
		announcer_start(a, e->address, now);
}

/* The address's own moment within the interval: hundreds taken at once are not refreshed at once for ever, nor after the
 * machine has slept. The golden ratio spreads neighbours evenly. */
static int64_t next_refresh(const struct announcer *a, uint32_t address, int64_t now)
{
	int64_t moment = (int64_t)((uint64_t)(uint32_t)(address * UINT32_C(2654435769)) * (uint64_t)a->refresh >> 32);
	int64_t since = ((now - moment) % a->refresh + a->refresh) % a->refresh;
	return now - since + a->refresh;
}

static void advance(struct announcer *a, struct entry *e, int64_t now)
{
	if (e->step < STEPS)
		e->step++;
	if (e->step >= STEPS) {
		e->pending = ANNOUNCE_REQUEST;
		if (a->refresh)
			queue(a, e, next_refresh(a, e->address, now));
		else
			due_queue_remove(&e->next);
		return;
	}
	/* A late wake-up must not send the missed repeats in one burst: at least half of each pause is kept. */
	int64_t pause = SCHEDULE[e->step].after - SCHEDULE[e->step - 1].after;
	int64_t planned = e->started + SCHEDULE[e->step].after;
	e->pending = SCHEDULE[e->step].forms;
	queue(a, e, planned > now + pause / 2 ? planned : now + pause / 2);
}

/* ---- outside the schedule ---- */

static bool once_more(struct announcer *a, struct entry *e, int64_t *last, int64_t spacing, int64_t now)
{
	if (now - *last < spacing)
		return false;
	*last = now;
	if (!unheard(e) && !e->extra.queue)   /* else one is about to go anyway */
		due_queue_put(&a->urgent, &e->extra, now);
	return true;
}

bool announcer_probed(struct announcer *a, uint32_t address, int64_t now)
{
	struct entry *e = find(a, address);
	return e && once_more(a, e, &e->probed_at, a->times->probed, now);
}

bool announcer_defend(struct announcer *a, uint32_t address, int64_t now)
{
	struct entry *e = find(a, address);
	return e && once_more(a, e, &e->defended_at, a->times->defend, now);
}

/* ---- giving ---- */

/* As many of them as there is room for, broadcasts first. */
static unsigned fit(const struct announcer *a, unsigned forms, int64_t now)
{
	unsigned room = rate_cap_room(a->cap, (unsigned)__builtin_popcount(forms), now), chosen = 0;
	for (; room > 0; room--)
		chosen |= (forms & ~chosen) & -(forms & ~chosen);
	return chosen;
}

static unsigned give_scheduled(struct announcer *a, struct entry *e, int64_t now)
{
	unsigned there = ANNOUNCE_REQUEST | ANNOUNCE_REPLY | a->hosts;
	unsigned forms = fit(a, unheard(e) ? ANNOUNCE_REQUEST : e->pending & there, now);
	int64_t rest = e->next.at;
	if (unheard(e)) {
		e->started = now;
		rest = now + a->rest_delay;
	}
	e->given = e->step;
	e->pending &= there & ~forms;
	if (e->pending)
		queue(a, e, rest);
	else
		advance(a, e, now);
	return forms;
}

static struct due *next_due(const struct announcer *a, int64_t now)
{
	struct due *d = due_queue_first(&a->urgent);
	if (!d || d->at > now)
		d = due_queue_first(&a->repeats);
	return d && d->at <= now && rate_cap_room(a->cap, 1, now) ? d : NULL;
}

size_t announcer_due(struct announcer *a, int64_t now, struct announcement *out, size_t max)
{
	size_t n = 0;
	struct due *d;
	while (n < max && (d = next_due(a, now))) {
		struct entry *e = d->owner;
		unsigned forms = ANNOUNCE_REQUEST;
		if (d == &e->extra)
			due_queue_remove(d);
		else
			forms = give_scheduled(a, e, now);
		rate_cap_take(a->cap, (unsigned)__builtin_popcount(forms), now);
		if (forms)   /* none: they were for hosts that are gone */
			out[n++] = (struct announcement){.address = e->address, .forms = forms};
	}
	return n;
}

void announcer_failed(struct announcer *a, const struct announcement *what, int64_t now)
{
	struct entry *e = find(a, what->address);
	if (!e)
		return;
	if (e->step != e->given)
		e->pending = 0;
	e->step = e->given;
	e->pending |= what->forms;
	int64_t at = e->next.at;   /* the other half of what failed just now */
	if (now != e->failed_at) {
		e->retry = now - e->failed_at > 2 * a->times->retry_last ? a->times->retry_first : clock_min(2 * e->retry, a->times->retry_last);
		at = now + e->retry;
	}
	e->failed_at = now;
	queue(a, e, at);
}

int64_t announcer_deadline(const struct announcer *a)
{
	const struct due *urgent = due_queue_first(&a->urgent), *repeat = due_queue_first(&a->repeats);
	int64_t at = clock_min(urgent ? urgent->at : CLOCK_NEVER, repeat ? repeat->at : CLOCK_NEVER);
	return at == CLOCK_NEVER || at > rate_cap_opens(a->cap) ? at : rate_cap_opens(a->cap);
}
