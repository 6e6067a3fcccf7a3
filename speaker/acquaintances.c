#include "speaker/acquaintances.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/map.h"

#define MAX 1024   /* a host with ever new MACs does not fill our memory: beyond it everybody is a stranger */

const struct acquaintance_times ACQUAINTANCE_TIMES = {.wait = 150 * CLOCK_MS, .node = 300 * CLOCK_S, .stranger = 30 * CLOCK_S};

struct acquaintance {
	struct mac mac;
	enum conflict_who who;
	char *node;
	bool pending;      /* not told yet */
	int64_t until;     /* UNKNOWN: then a stranger; else forgotten */
	UT_hash_handle hh;
};

struct acquaintances {
	const struct acquaintance_times *times;
	struct acquaintance *all;
};

struct acquaintances *acquaintances_new(const struct acquaintance_times *times)
{
	struct acquaintances *a = mem_zalloc(sizeof(*a));
	a->times = times;
	return a;
}

static void drop(struct acquaintances *a, struct acquaintance *x)
{
	HASH_DEL(a->all, x);
	free(x->node);
	free(x);
}

void acquaintances_free(struct acquaintances *a)
{
	struct acquaintance *x, *tmp;
	if (!a)
		return;
	HASH_ITER(hh, a->all, x, tmp)
		drop(a, x);
	free(a);
}

static struct acquaintance *find(const struct acquaintances *a, const struct mac *mac)
{
	struct acquaintance *x;
	HASH_FIND(hh, a->all, mac, sizeof(*mac), x);
	return x;
}

static struct acquaintance *add(struct acquaintances *a, const struct mac *mac)
{
	struct acquaintance *x = mem_zalloc(sizeof(*x));
	x->mac = *mac;
	HASH_ADD(hh, a->all, mac, sizeof(x->mac), x);
	return x;
}

static void forget_old(struct acquaintances *a, int64_t now)
{
	struct acquaintance *x, *tmp;
	HASH_ITER(hh, a->all, x, tmp)
		if (!x->pending && now >= x->until)
			drop(a, x);
}

enum conflict_who acquaintances_who(struct acquaintances *a, const struct mac *mac, int64_t now, bool *begin)
{
	struct acquaintance *x = find(a, mac);
	*begin = false;
	if (x && x->who != CONFLICT_UNKNOWN && now >= x->until && !x->pending) {
		drop(a, x);
		x = NULL;
	}
	if (x)
		return x->who;
	forget_old(a, now);
	if (HASH_COUNT(a->all) >= MAX)
		return CONFLICT_STRANGER;
	x = add(a, mac);
	x->pending = *begin = true;
	x->until = now + a->times->wait;
	return CONFLICT_UNKNOWN;
}

void acquaintances_answered(struct acquaintances *a, const struct mac *mac, const char *node, int64_t now)
{
	struct acquaintance *x = find(a, mac);
	if (!x && HASH_COUNT(a->all) >= MAX)
		return;
	if (!x)
		x = add(a, mac);
	if (x->who == CONFLICT_STRANGER)   /* his answer was lost the first time */
		x->pending = true;
	x->who = CONFLICT_NODE;
	x->until = now + a->times->node;
	mem_replace(&x->node, node);
}

bool acquaintances_settled(struct acquaintances *a, int64_t now, struct mac *mac, enum conflict_who *who)
{
	struct acquaintance *x, *tmp;
	HASH_ITER(hh, a->all, x, tmp) {
		if (!x->pending || (x->who == CONFLICT_UNKNOWN && now < x->until))
			continue;
		if (x->who == CONFLICT_UNKNOWN) {
			x->who = CONFLICT_STRANGER;
			x->until = now + a->times->stranger;
		}
		x->pending = false;
		*mac = x->mac;
		*who = x->who;
		return true;
	}
	return false;
}

int64_t acquaintances_deadline(const struct acquaintances *a)
{
	int64_t at = CLOCK_NEVER;
	for (const struct acquaintance *x = a->all; x; x = x->hh.next)
		if (x->pending)
			at = clock_min(at, x->who == CONFLICT_UNKNOWN ? x->until : 0);
	return at;
}

const char *acquaintances_node(const struct acquaintances *a, const struct mac *mac)
{
	const struct acquaintance *x = find(a, mac);
	return x ? x->node : NULL;
}

const struct mac *acquaintances_next_node(const struct acquaintances *a, const struct mac *mac)
{
	const struct acquaintance *x = a->all;
	if (mac) {
		x = find(a, mac);
		x = x ? x->hh.next : NULL;
	}
	while (x && x->who != CONFLICT_NODE)
		x = x->hh.next;
	return x ? &x->mac : NULL;
}

void acquaintances_forget(struct acquaintances *a, const struct mac *mac)
{
	struct acquaintance *x = find(a, mac);
	if (x)
		drop(a, x);
}
