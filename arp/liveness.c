#include "arp/liveness.h"

#include <stdlib.h>
#include <string.h>

#include "arp/filter.h"
#include "arp/liveness_parts.h"
#include "config/base/memory.h"

#define WATCHED_ALIVE 2
#define DOWN_FAST 8               /* of the nodes that are down so many are asked every T, of the rest one a second */
#define HOST_FRESH (60 * CLOCK_S)

const char *liveness_state_name(enum liveness_state state)
{
	static const char *const NAMES[] = {"unknown", "alive", "silent", "speaker down", "dead"};
	return NAMES[state];
}

struct liveness *liveness_new(const char *name, int64_t interval)
{
	struct liveness *l = mem_zalloc(sizeof(*l));
	strncpy(l->name, name, sizeof(l->name) - 1);
	sha256(l->name, strlen(l->name), l->hash);
	l->interval = interval;
	l->expected_step = CLOCK_NEVER;
	l->last_answer = l->evidence_asked = l->asked_at = l->missed_at = CLOCK_LONG_AGO;
	return l;
}

void liveness_free(struct liveness *l)
{
	if (!l)
		return;
	free(l->peers);
	free(l->queue);
	free(l);
}

void liveness_set_self(struct liveness *l, uint32_t address, const struct mac *mac)
{
	if (l->address == address && mac_equal(&l->mac, mac))
		return;
	l->address = address;
	l->mac = *mac;
	l->moved = true;
}

void liveness_set_ready(struct liveness *l, bool ready)
{
	l->ready = ready;
}

/* ---- actions ---- */

struct liveness_action *liveness_push(struct liveness *l, enum liveness_action_kind kind)
{
	if (l->taken == l->queued)
		l->taken = l->queued = 0;
	if (l->queued == l->queue_cap) {
		l->queue_cap = l->queue_cap ? l->queue_cap * 2 : 32;
		l->queue = mem_realloc(l->queue, l->queue_cap * sizeof(*l->queue));
	}
	struct liveness_action *a = &l->queue[l->queued++];
	*a = (struct liveness_action){.kind = kind};
	return a;
}

bool liveness_take(struct liveness *l, struct liveness_action *actionp)
{
	if (l->taken == l->queued)
		return false;
	*actionp = l->queue[l->taken++];
	return true;
}

void liveness_ask(struct liveness *l, uint32_t address, const struct mac *mac)
{
	liveness_push(l, LIVENESS_SEND)->frame = arp_question(l->address, &l->mac, address, mac);
}

void liveness_alarm(struct liveness *l, const struct peer *p)
{
	struct arp_frame f = arp_question(l->address, &l->mac, p->is.address, NULL);
	f.tha = ALARM_MARK;
	liveness_push(l, LIVENESS_SEND)->frame = f;
}

/* ---- the ring ---- */

static int ring_order(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;
	return memcmp(x->hash, y->hash, SHA256_SIZE);
}

void liveness_changed(struct liveness *l, struct peer *p, enum liveness_state state)
{
	if (p->state == state)
		return;
	p->state = state;
	struct liveness_action *a = liveness_push(l, LIVENESS_CHANGED);
	a->peer = p->is.name;
	a->state = state;
}

/* Peers are not all asked in one moment. */
static int64_t first_ask(const struct liveness *l, const struct peer *p, int64_t now)
{
	return now + (int64_t)(p->hash[0] ^ l->hash[0]) * l->interval / 256;
}

static void watch(struct liveness *l, struct peer *p, bool watched, int64_t now)
{
	if (p->watched == watched)
		return;
	p->watched = watched;
	if (!watched) {
		liveness_end_round(p, now);
		liveness_changed(l, p, LIVENESS_UNKNOWN);
		return;
	}
	p->verdict_until = 0;
	/* Known for long (unknown_since), only not asked: it owes an answer at once, or many that die together would take 3 s
	 * each. A round because of an alarm goes on. */
	if (p->phase == IDLE)
		p->next_ask = first_ask(l, p, now);
}

/* The i-th one behind us in the ring, from 0. peers are sorted by hash. */
static struct peer *behind_us(const struct liveness *l, size_t i)
{
	return &l->peers[(l->before + l->n - 1 - i) % l->n];
}

/* Backwards from ourselves until two were passed that are not down. */
static void recompute_ring(struct liveness *l, int64_t now)
{
	size_t passed_alive = 0, passed_down = 0;
	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = behind_us(l, i);
		bool wanted = passed_alive < WATCHED_ALIVE;
		watch(l, p, wanted, now);
		if (wanted && !liveness_down(p))
			passed_alive++;
		bool slow = wanted && liveness_down(p) && ++passed_down > DOWN_FAST;
		if (slow != p->slow)
			p->next_ask = slow ? now + (int64_t)(passed_down - DOWN_FAST) * CLOCK_S : now;
		p->slow = slow;
	}
	l->slow = passed_down > DOWN_FAST ? passed_down - DOWN_FAST : 0;
}

void liveness_enter(struct liveness *l, struct peer *p, enum liveness_state state, int64_t now)
{
	if (p->state == state)
		return;
	liveness_changed(l, p, state);
	if (state == LIVENESS_UNKNOWN)
		p->unknown_since = now;
	recompute_ring(l, now);
}

void liveness_discard_rounds(struct liveness *l, int64_t now)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->peers[i].phase != IDLE)
			liveness_end_round(&l->peers[i], now);
}

/* We were not running: answers may sit unread, and silence proves nothing (R3 c). */
void liveness_notice_late(struct liveness *l, int64_t now)
{
	if (l->expected_step != CLOCK_NEVER && now - l->expected_step > l->interval / 2)
		liveness_discard_rounds(l, now);
}

static bool same_place(const struct liveness_peer *a, const struct liveness_peer *b)
{
	return strcmp(a->name, b->name) == 0 && a->address == b->address && mac_equal(&a->mac, &b->mac);
}

void liveness_set_peers(struct liveness *l, const struct liveness_peer *peers, size_t n, int64_t now)
{
	struct peer *next = mem_zalloc(n * sizeof(*next));
	liveness_notice_late(l, now);
	for (size_t i = 0; i < n; i++) {
		struct peer *p = &next[i];
		for (size_t j = 0; j < l->n; j++)
			if (same_place(&l->peers[j].is, &peers[i]))
				*p = l->peers[j];
		if (!*p->is.name)
			*p = (struct peer){.unknown_since = now, .last_heard = CLOCK_LONG_AGO, .alarm_heard = CLOCK_LONG_AGO};
		p->is = peers[i];
		sha256(p->is.name, strlen(p->is.name), p->hash);
	}
	qsort(next, n, sizeof(*next), ring_order);
	/* Queued actions point at names of the old table. */
	l->taken = l->queued = 0;
	free(l->peers);
	l->peers = next;
	l->n = n;
	for (l->before = 0; l->before < n && memcmp(next[l->before].hash, l->hash, SHA256_SIZE) < 0;)
		l->before++;
	recompute_ring(l, now);
	l->expected_step = liveness_deadline(l);
}

void liveness_add_host(struct liveness *l, uint32_t address, const struct mac *mac, int64_t now)
{
	struct host *oldest = &l->hosts[0];
	for (size_t i = 0; i < HOSTS; i++) {
		struct host *h = &l->hosts[i];
		if (h->address == address) {
			h->mac = *mac;
			h->heard = now;
			return;
		}
		if (!h->address || h->heard < oldest->heard)
			oldest = h;
	}
	if (address == l->address || liveness_peer_of_mac(l, mac))
		return;
	if (oldest->address && now - oldest->heard < HOST_FRESH)
		return;   /* four that answer are enough: they are not exchanged all the time */
	*oldest = (struct host){.address = address, .mac = *mac, .heard = now};
}

int64_t liveness_deadline(const struct liveness *l)
{
	int64_t at = CLOCK_NEVER;
	if (l->moved)
		return CLOCK_LONG_AGO;   /* step at once */
	if (!l->address)
		return at;
	for (size_t i = 0; i < l->n; i++)
		at = clock_min(at, liveness_peer_deadline(&l->peers[i]));
	return at;
}

void liveness_step(struct liveness *l, int64_t now)
{
	if (l->moved)
		liveness_reset(l, now);
	liveness_notice_late(l, now);
	/* set_state re-computes the ring but never re-orders the table. */
	for (size_t i = 0; i < l->n && l->address; i++)
		liveness_step_peer(l, &l->peers[i], now);
	l->expected_step = liveness_deadline(l);
}

void liveness_reset(struct liveness *l, int64_t now)
{
	l->moved = false;
	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = &l->peers[i];
		liveness_end_round(p, first_ask(l, p, now));
		p->alarm_round = false;
		p->verdict_until = p->held_until = p->vouch_until = 0;
		liveness_enter(l, p, LIVENESS_UNKNOWN, now);
		p->unknown_since = now;
	}
	l->expected_step = CLOCK_NEVER;
}

/* ---- what is known ---- */

const char *liveness_peer_of_mac(const struct liveness *l, const struct mac *mac)
{
	for (size_t i = 0; i < l->n; i++)
		if (mac_equal(&l->peers[i].is.mac, mac))
			return l->peers[i].is.name;
	return NULL;
}

bool liveness_guards(const struct liveness *l, const char *name)
{
	for (size_t i = 0; i < l->n && liveness_down(behind_us(l, i)); i++)
		if (strcmp(behind_us(l, i)->is.name, name) == 0)
			return behind_us(l, i)->state == LIVENESS_SPEAKER_DOWN;
	return false;
}

int64_t liveness_asked_at(const struct liveness *l)
{
	return l->asked_at;
}

static const struct peer *find_peer(const struct liveness *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->peers[i].is.name, name) == 0)
			return &l->peers[i];
	return NULL;
}

const struct liveness_peer *liveness_peer(const struct liveness *l, const char *name)
{
	const struct peer *p = find_peer(l, name);
	return p ? &p->is : NULL;
}

enum liveness_state liveness_get(const struct liveness *l, const char *name)
{
	const struct peer *p = find_peer(l, name);
	return p ? p->state : LIVENESS_UNKNOWN;
}

bool liveness_undecided(const struct liveness *l, const char *name)
{
	const struct peer *p = find_peer(l, name);
	return !p || (p->watched && (p->state == LIVENESS_UNKNOWN || p->state == LIVENESS_SILENT));
}

bool liveness_connected(const struct liveness *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->peers[i].state == LIVENESS_ALIVE)
			return true;
	return false;
}
