#include "arp/census.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/map.h"

#define OPEN_MAX 4u
#define ENTRIES_MAX 8192   /* what strangers make us remember has an end */

const struct census_times CENSUS_TIMES = {
	.spacing = 500 * CLOCK_MS,
	.answer_wait = CLOCK_S,
	.peer_wait = 3 * CLOCK_S,
	.questions = 2,
	.fresh = 300 * CLOCK_S,
	.renew = 60 * CLOCK_S,
	.silence = 60 * CLOCK_S,
};

struct entry {
	uint32_t address;
	size_t place;             /* in the list of wanted ones */
	bool wanted;
	bool stranger;            /* heard last */
	unsigned asks;            /* of ours, since it is wanted */
	int64_t known_since;
	int64_t heard_at, stranger_at;
	struct {
		int64_t asked_at, counts_at;   /* counts as unanswered from then on */
		bool ours;                     /* one of ours has answered, no stranger */
	} open[OPEN_MAX];         /* questions that may be answered yet, in order */
	size_t n_open;
	int64_t asked_at;         /* the last one */
	int64_t own_asked_at;
	unsigned unanswered;      /* in a row, */
	int64_t unanswered_at;    /* and the last of these was asked then */
	unsigned quiet;           /* the same, by strangers */
	int64_t quiet_at;
	UT_hash_handle hh;
};

struct census {
	const struct census_times *times;
	struct entry *entries;
	bool asking;
	int64_t last;             /* question */
	int64_t deadline;
};

struct census *census_new(const struct census_times *times)
{
	struct census *c = mem_zalloc(sizeof(*c));
	c->times = times;
	c->last = CLOCK_LONG_AGO;
	c->deadline = CLOCK_NEVER;
	return c;
}

static void entry_free(struct census *c, struct entry *e)
{
	HASH_DEL(c->entries, e);
	free(e);
}

void census_free(struct census *c)
{
	struct entry *e, *tmp;
	if (!c)
		return;
	HASH_ITER(hh, c->entries, e, tmp)
		entry_free(c, e);
	free(c);
}

static struct entry *find(const struct census *c, uint32_t address)
{
	struct entry *e;
	HASH_FIND(hh, c->entries, &address, sizeof(address), e);
	return e;
}

static struct entry *find_or_add(struct census *c, uint32_t address, int64_t now)
{
	struct entry *e = find(c, address);
	if (e || HASH_COUNT(c->entries) >= ENTRIES_MAX)
		return e;
	e = mem_zalloc(sizeof(*e));
	e->address = address;
	e->place = SIZE_MAX;
	e->known_since = now;
	e->heard_at = e->stranger_at = e->quiet_at = e->asked_at = e->own_asked_at = e->unanswered_at = CLOCK_LONG_AGO;
	HASH_ADD(hh, c->entries, address, sizeof(e->address), e);
	return e;
}

/* A question that stayed unanswered counts from now on. */
static void settle(struct entry *e, int64_t now)
{
	while (e->n_open && now >= e->open[0].counts_at) {
		if (!e->open[0].ours) {
			e->unanswered++;
			e->unanswered_at = e->open[0].asked_at;
		}
		e->quiet++;
		e->quiet_at = e->open[0].asked_at;
		memmove(&e->open[0], &e->open[1], --e->n_open * sizeof(e->open[0]));
	}
}

static void forget_evidence(struct entry *e)
{
	e->unanswered = e->quiet = 0;
	e->n_open = 0;
}

void census_set_asking(struct census *c, bool asking)
{
	if (c->asking == asking)
		return;
	c->asking = asking;
	c->deadline = asking ? 0 : CLOCK_NEVER;
}

bool census_asking(const struct census *c)
{
	return c->asking;
}

static bool worth_keeping(const struct census *c, const struct entry *e, int64_t now)
{
	return e->wanted || now - e->heard_at < c->times->fresh || now - e->unanswered_at < c->times->fresh;
}

void census_want(struct census *c, const uint32_t *addresses, size_t n, int64_t now)
{
	struct entry *e, *tmp;
	HASH_ITER(hh, c->entries, e, tmp)
		e->place = SIZE_MAX;
	for (size_t i = 0; i < n; i++) {
		e = find_or_add(c, addresses[i], now);
		if (!e || e->place != SIZE_MAX)
			continue;
		e->place = i;
		if (!e->wanted)
			e->asks = 0;
	}
	HASH_ITER(hh, c->entries, e, tmp) {
		settle(e, now);
		e->wanted = e->place != SIZE_MAX;
		if (!worth_keeping(c, e, now))
			entry_free(c, e);
	}
	c->deadline = c->asking ? 0 : CLOCK_NEVER;
}

void census_heard(struct census *c, uint32_t address, bool stranger, int64_t now)
{
	struct entry *e = find_or_add(c, address, now);
	if (!e)
		return;
	settle(e, now);
	e->heard_at = now;
	e->stranger = stranger || now - e->stranger_at < c->times->silence;
	if (stranger) {
		e->stranger_at = now;
		forget_evidence(e);
		return;
	}
	e->unanswered = 0;
	for (size_t i = 0; i < e->n_open; i++)
		e->open[i].ours = true;
}

static void ask(const struct census *c, struct entry *e, int64_t wait, int64_t now)
{
	settle(e, now);
	if (now - e->asked_at < c->times->answer_wait || e->n_open == OPEN_MAX)
		return;   /* several in a short time count once */
	e->asked_at = now;
	e->open[e->n_open].asked_at = now;
	e->open[e->n_open].ours = false;
	e->open[e->n_open++].counts_at = now + wait;
}

void census_asked(struct census *c, uint32_t address, int64_t now)
{
	struct entry *e = find_or_add(c, address, now);
	if (e)
		ask(c, e, c->times->peer_wait, now);
}

void census_void(struct census *c, uint32_t address)
{
	struct entry *e = find(c, address);
	if (e)
		forget_evidence(e);
}

/* When to ask for it. Two questions must not share a loss burst, nor an answer. */
static int64_t due_at(const struct census *c, const struct entry *e)
{
	if (e->asks == 0)
		return CLOCK_LONG_AGO;
	if (e->asks < c->times->questions)
		return e->own_asked_at + c->times->answer_wait;
	return e->own_asked_at + (e->stranger ? c->times->silence / 6 : c->times->renew);
}

/* Of those that are due: the new ones in the order in which they will be needed, then who was not asked for the longest. Of
 * the others: who is due next. */
static bool goes_before(const struct census *c, const struct entry *a, const struct entry *b, int64_t now)
{
	int64_t a_due = due_at(c, a), b_due = due_at(c, b);
	bool a_new = a->asks < c->times->questions, b_new = b->asks < c->times->questions;
	if ((a_due <= now) != (b_due <= now))
		return a_due <= now;
	if (a_due <= now && a_new != b_new)
		return a_new;
	if (a_due <= now && a_new)
		return a->place < b->place;
	return a_due < b_due;
}

static struct entry *choose(const struct census *c, int64_t now)
{
	struct entry *best = NULL, *e, *tmp;
	HASH_ITER(hh, c->entries, e, tmp)
		if (e->wanted && (!best || goes_before(c, e, best, now)))
			best = e;
	return best;
}

bool census_next(struct census *c, int64_t now, uint32_t *addressp)
{
	if (!c->asking || now < c->deadline)
		return false;
	struct entry *e = choose(c, now);
	if (!e) {
		c->deadline = CLOCK_NEVER;
		return false;
	}
	int64_t due = due_at(c, e);
	due = due > c->last + c->times->spacing ? due : c->last + c->times->spacing;
	if (now < due) {
		c->deadline = due;
		return false;
	}
	ask(c, e, c->times->answer_wait, now);
	e->asks++;
	e->own_asked_at = c->last = now;
	c->deadline = now + c->times->spacing;
	*addressp = e->address;
	return true;
}

int64_t census_deadline(const struct census *c)
{
	return c->asking ? c->deadline : CLOCK_NEVER;
}

bool census_is_free(struct census *c, uint32_t address, int64_t now)
{
	struct entry *e = find(c, address);
	if (!e)
		return false;
	settle(e, now);
	return e->unanswered >= c->times->questions && now - e->unanswered_at < c->times->fresh;
}

bool census_is_unheard(struct census *c, uint32_t address, int64_t now)
{
	struct entry *e = find(c, address);
	if (!e)
		return false;
	int64_t since = e->stranger_at > e->known_since ? e->stranger_at : e->known_since;
	return now - since >= c->times->silence;
}

bool census_is_silent(struct census *c, uint32_t address, int64_t now)
{
	struct entry *e = find(c, address);
	if (!e)
		return false;
	settle(e, now);
	return census_is_unheard(c, address, now) && e->quiet >= c->times->questions && now - e->quiet_at < c->times->fresh;
}
