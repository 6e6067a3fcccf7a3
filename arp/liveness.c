#include "arp/liveness.h"

#include <stdlib.h>
#include <string.h>

#include "arp/filter.h"
#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "config/base/memory.h"

#define ROUND_REQUESTS 10         /* the one that was not answered in time included */
#define ALARM_FROM 4              /* from this request on three are doubled as alarms, one more goes out with the verdict */
#define ALARMS 3
#define COLD (3 * CLOCK_S)        /* UNKNOWN for so long is judged by the same evidence */
#define HELD (5 * CLOCK_S)        /* after a vouching */
#define WATCHED_ALIVE 2
#define DOWN_FAST 8               /* of the nodes that are down so many are asked every T, of the rest one a second */
#define HOSTS 4
#define HOST_FRESH (60 * CLOCK_S)

enum phase { IDLE, EXPECTING, ROUND };

struct peer {
	struct liveness_peer is;
	uint8_t hash[SHA256_SIZE];
	enum liveness_state state;
	bool watched;
	bool slow;                   /* one of too many that are down */
	bool alarm_round;            /* not watched: one round because of an alarm */
	enum phase phase;
	int64_t next_ask, expect_by, next_send, verdict_at;
	int64_t alarm_at, patience;  /* the first alarm of this round; until when its verdict may wait for the others' word */
	int64_t spoke_at;            /* its speaker, last: by an answer, a request or an alarm */
	int sent, alarms;
	int64_t middle;              /* of this window: from the first request in it to the verdict */
	bool kernel_heard;           /* in this window */
	bool proof[2];               /* somebody else answered us in its first, second half */
	bool confirmed;              /* alarm_round: a watcher still misses it in the second half */
	int64_t unknown_since, last_heard, held_until, alarm_heard, verdict_until;
	struct arp_frame vouch_to;   /* an alarm we may vouch against */
	int64_t vouch_until;
};

struct host {
	uint32_t address;
	struct mac mac;
	int64_t heard;
};

struct liveness {
	char name[NODE_NAME_SIZE];
	uint8_t hash[SHA256_SIZE];
	int64_t interval;
	uint32_t address;
	struct mac mac;
	bool ready;
	bool moved;                  /* our address or MAC changed since the last step */
	struct peer *peers;
	size_t n, slow;
	size_t before;               /* that many come before us in the ring's order */
	struct host hosts[HOSTS];
	int64_t last_answer;         /* a round trip of our own, with anybody */
	int64_t evidence_asked;
	int64_t asked_at;            /* by a peer */
	int64_t missed_at;           /* by one, as its alarm said */
	size_t evidence_next;        /* index of the peer whose turn it is */
	struct liveness_action *queue;
	size_t queued, taken, queue_cap;
	int64_t expected_step;       /* the deadline given out last; a step much later than it was late */
};

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

static struct liveness_action *push(struct liveness *l, enum liveness_action_kind kind)
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

static void ask(struct liveness *l, uint32_t address, const struct mac *mac)
{
	push(l, LIVENESS_SEND)->frame = arp_question(l->address, &l->mac, address, mac);
}

static void alarm_for(struct liveness *l, const struct peer *p)
{
	struct arp_frame f = arp_question(l->address, &l->mac, p->is.address, NULL);
	f.tha = ALARM_MARK;
	push(l, LIVENESS_SEND)->frame = f;
}

/* ---- the ring ---- */

static int ring_order(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;
	return memcmp(x->hash, y->hash, SHA256_SIZE);
}

static void changed(struct liveness *l, struct peer *p, enum liveness_state state)
{
	if (p->state == state)
		return;
	p->state = state;
	struct liveness_action *a = push(l, LIVENESS_CHANGED);
	a->peer = p->is.name;
	a->state = state;
}

static void end_round(struct peer *p, int64_t next_ask)
{
	p->phase = IDLE;
	p->next_ask = next_ask;
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
		end_round(p, now);
		changed(l, p, LIVENESS_UNKNOWN);
		return;
	}
	p->verdict_until = 0;
	/* Known for long (unknown_since), only not asked: it owes an answer at once, or many that die together would take 3 s
	 * each. A round because of an alarm goes on. */
	if (p->phase == IDLE)
		p->next_ask = first_ask(l, p, now);
}

static bool down(const struct peer *p)
{
	return p->state == LIVENESS_DEAD || p->state == LIVENESS_SPEAKER_DOWN;
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
		if (wanted && !down(p))
			passed_alive++;
		bool slow = wanted && down(p) && ++passed_down > DOWN_FAST;
		if (slow != p->slow)
			p->next_ask = slow ? now + (int64_t)(passed_down - DOWN_FAST) * CLOCK_S : now;
		p->slow = slow;
	}
	l->slow = passed_down > DOWN_FAST ? passed_down - DOWN_FAST : 0;
}

static void set_state(struct liveness *l, struct peer *p, enum liveness_state state, int64_t now)
{
	if (p->state == state)
		return;
	changed(l, p, state);
	if (state == LIVENESS_UNKNOWN)
		p->unknown_since = now;
	recompute_ring(l, now);
}

static void discard_rounds(struct liveness *l, int64_t now)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->peers[i].phase != IDLE)
			end_round(&l->peers[i], now);
}

/* We were not running: answers may sit unread, and silence proves nothing (R3 c). */
static void notice_late(struct liveness *l, int64_t now)
{
	if (l->expected_step != CLOCK_NEVER && now - l->expected_step > l->interval / 2)
		discard_rounds(l, now);
}

static bool same_place(const struct liveness_peer *a, const struct liveness_peer *b)
{
	return strcmp(a->name, b->name) == 0 && a->address == b->address && mac_equal(&a->mac, &b->mac);
}

void liveness_set_peers(struct liveness *l, const struct liveness_peer *peers, size_t n, int64_t now)
{
	struct peer *next = mem_zalloc(n * sizeof(*next));
	notice_late(l, now);
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

/* ---- evidence: a round trip of our own with somebody else (finding 9) ---- */

static int64_t spacing(const struct liveness *l)
{
	return l->interval * 12 / 100;
}

/* The first request sent within it or not yet: how long until the verdict. */
static void open_window(const struct liveness *l, struct peer *p, int sent, int64_t now)
{
	int64_t length = (ROUND_REQUESTS - 1) * spacing(l) + l->interval / 2;
	if (sent)
		length += l->interval / 4 - spacing(l);
	p->sent = sent;
	p->alarms = 0;
	p->alarm_at = 0;
	p->middle = now + length / 2;
	p->kernel_heard = p->proof[0] = p->proof[1] = p->confirmed = false;
}

static void round_trip(struct liveness *l, const struct peer *with, int64_t now)
{
	l->last_answer = now;
	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = &l->peers[i];
		if (p != with && p->phase != IDLE)
			p->proof[now > p->middle] = true;
	}
}

static bool may_prove(const struct peer *p)
{
	return p->phase != ROUND && !down(p);
}

/* Two that were heard lately; then by turns, for those may all have died together; and the hosts. */
static void ask_for_evidence(struct liveness *l, int64_t now)
{
	int asked = 0;
	if (now - l->evidence_asked < spacing(l))
		return;
	l->evidence_asked = now;
	for (size_t i = 0; i < l->n && asked < 2; i++) {
		const struct peer *p = &l->peers[i];
		if (!may_prove(p) || now - p->last_heard > 2 * l->interval)
			continue;
		ask(l, p->is.address, &p->is.mac);
		asked++;
	}
	for (size_t i = 0; i < l->n && asked < 3; i++) {
		const struct peer *p = &l->peers[l->evidence_next++ % l->n];
		if (!may_prove(p) || now - p->last_heard <= 2 * l->interval)
			continue;
		ask(l, p->is.address, &p->is.mac);
		asked++;
	}
	for (size_t i = 0; i < HOSTS; i++)
		if (l->hosts[i].address)
			ask(l, l->hosts[i].address, &l->hosts[i].mac);
}

/* ---- one peer ---- */

static void begin_round(struct peer *p, int64_t now)
{
	p->phase = ROUND;
	p->next_send = now;
	p->verdict_at = CLOCK_NEVER;
}

static void round_request(struct liveness *l, struct peer *p, int64_t now)
{
	p->sent++;
	ask(l, p->is.address, &p->is.mac);
	if (!p->kernel_heard) {
		if (p->sent >= ALARM_FROM && p->alarms < ALARMS && !p->alarm_round && now >= p->held_until) {
			alarm_for(l, p);
			p->alarm_at = p->alarm_at ? p->alarm_at : now;
			/* Those that went into a cut do not count: whoever can vouch must have been able to hear one. */
			p->alarms += p->proof[0] || p->proof[1];
		}
		/* at every second request, until this half of the silence has its proof */
		if (p->sent % 2 == 0 && !p->proof[now > p->middle])
			ask_for_evidence(l, now);
	}
	p->next_send += spacing(l);
	if (p->next_send < now)
		p->next_send = now;
	if (p->sent == ROUND_REQUESTS) {
		int64_t late = p->alarm_at ? p->alarm_at + (ROUND_REQUESTS - ALARM_FROM) * spacing(l) : now;   /* an alarm may be */
		p->verdict_at = (late > now ? late : now) + l->interval / 2;
		p->patience = p->verdict_at + l->interval / 2;
	}
}

/* Could it vouch? Its node answers us; or it follows us in the ring, so that it watches who is behind us as well, and asked us
 * lately. */
static bool may_vouch(const struct liveness *l, const struct peer *other, const struct peer *p)
{
	if (other == p)
		return false;
	if (other->watched)
		return other->state == LIVENESS_ALIVE && (other->phase != ROUND || other->kernel_heard);
	return other == &l->peers[l->before % l->n] && p->alarm_at - other->last_heard <= 2 * l->interval;
}

/* Has somebody who could vouch said nothing since our alarm? On a busy machine its process may not have run since. It is waited
 * for, but not for long: it may be down as well. */
static bool awaits_word(const struct liveness *l, const struct peer *p, int64_t now)
{
	if (p->kernel_heard || p->alarm_round || !p->alarm_at || now >= p->patience)
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (may_vouch(l, &l->peers[i], p) && l->peers[i].spoke_at <= p->alarm_at)
			return true;
	return false;
}

static void verdict(struct liveness *l, struct peer *p, int64_t now)
{
	bool because_of_alarm = p->alarm_round;
	bool proven = p->proof[0] && p->proof[1];
	end_round(p, now + l->interval);
	p->alarm_round = false;
	if (because_of_alarm && !p->watched)
		p->verdict_until = now + CLOCK_S;   /* then we know nothing again */
	if (p->kernel_heard) {
		set_state(l, p, LIVENESS_SPEAKER_DOWN, now);
	} else if (because_of_alarm) {
		/* Nobody vouches to us, for we raised no alarm: only together with a watcher, or one bad path convicts. */
		if (proven && p->confirmed)
			set_state(l, p, LIVENESS_DEAD, now);
	} else if (!proven) {
		set_state(l, p, LIVENESS_SILENT, now);
	} else if (p->alarm_at) {   /* it was not held throughout: all were asked, and nobody vouched */
		alarm_for(l, p);
		set_state(l, p, LIVENESS_DEAD, now);
	}
}

/* Is an answer due to a request sent now? */
static bool owes_answer(const struct liveness *l, const struct peer *p, int64_t now)
{
	switch (p->state) {
	case LIVENESS_ALIVE:
	case LIVENESS_SPEAKER_DOWN:
		return true;
	case LIVENESS_SILENT:   /* another round makes sense once anybody answers us */
		return now - l->last_answer <= 2 * l->interval;
	case LIVENESS_UNKNOWN:
		return now - p->unknown_since >= COLD;
	case LIVENESS_DEAD:
		break;
	}
	return false;
}

static void step_idle(struct liveness *l, struct peer *p, int64_t now)
{
	int64_t pause = p->slow ? (int64_t)l->slow * CLOCK_S : l->interval;
	if (now < p->next_ask)
		return;
	ask(l, p->is.address, &p->is.mac);
	p->next_ask += pause;
	if (p->next_ask <= now)
		p->next_ask = now + pause;
	if (owes_answer(l, p, now)) {
		p->phase = EXPECTING;
		open_window(l, p, 1, now);
		p->expect_by = now + l->interval / 4;
	} else if (p->state == LIVENESS_SILENT) {
		ask_for_evidence(l, now);
	}
}

static void step_peer(struct liveness *l, struct peer *p, int64_t now)
{
	if (p->verdict_until && now >= p->verdict_until) {
		p->verdict_until = 0;
		if (!p->watched)
			changed(l, p, LIVENESS_UNKNOWN);
	}
	if (p->phase == IDLE && p->watched)
		step_idle(l, p, now);
	else if (p->phase == EXPECTING && now >= p->expect_by)
		begin_round(p, now);
	if (p->phase != ROUND)
		return;
	if (p->sent < ROUND_REQUESTS && now >= p->next_send)
		round_request(l, p, now);
	if (now < p->verdict_at)
		return;
	if (!awaits_word(l, p, now)) {
		verdict(l, p, now);
		return;
	}
	if (p->verdict_at == p->patience - l->interval / 2)
		alarm_for(l, p);   /* whoever looks because of our alarms is told in time that we still miss it */
	p->verdict_at = clock_min(now + spacing(l), p->patience);
}

static int64_t peer_deadline(const struct peer *p)
{
	int64_t at = p->verdict_until ? p->verdict_until : CLOCK_NEVER;
	switch (p->phase) {
	case IDLE:
		return p->watched ? clock_min(at, p->next_ask) : at;
	case EXPECTING:
		return clock_min(at, p->expect_by);
	case ROUND:
		return clock_min(at, p->sent < ROUND_REQUESTS ? p->next_send : p->verdict_at);
	}
	return at;
}

int64_t liveness_deadline(const struct liveness *l)
{
	int64_t at = CLOCK_NEVER;
	if (l->moved)
		return CLOCK_LONG_AGO;   /* step at once */
	if (!l->address)
		return at;
	for (size_t i = 0; i < l->n; i++)
		at = clock_min(at, peer_deadline(&l->peers[i]));
	return at;
}

void liveness_step(struct liveness *l, int64_t now)
{
	if (l->moved)
		liveness_reset(l, now);
	notice_late(l, now);
	/* set_state re-computes the ring but never re-orders the table. */
	for (size_t i = 0; i < l->n && l->address; i++)
		step_peer(l, &l->peers[i], now);
	l->expected_step = liveness_deadline(l);
}

void liveness_reset(struct liveness *l, int64_t now)
{
	l->moved = false;
	for (size_t i = 0; i < l->n; i++) {
		struct peer *p = &l->peers[i];
		end_round(p, first_ask(l, p, now));
		p->alarm_round = false;
		p->verdict_until = p->held_until = p->vouch_until = 0;
		set_state(l, p, LIVENESS_UNKNOWN, now);
		p->unknown_since = now;
	}
	l->expected_step = CLOCK_NEVER;
}

/* ---- receiving ---- */

static struct peer *peer_of_address(struct liveness *l, uint32_t address)
{
	for (size_t i = 0; address && i < l->n; i++)
		if (l->peers[i].is.address == address)
			return &l->peers[i];
	return NULL;
}

const char *liveness_peer_of_mac(const struct liveness *l, const struct mac *mac)
{
	for (size_t i = 0; i < l->n; i++)
		if (mac_equal(&l->peers[i].is.mac, mac))
			return l->peers[i].is.name;
	return NULL;
}

bool liveness_guards(const struct liveness *l, const char *name)
{
	for (size_t i = 0; i < l->n && down(behind_us(l, i)); i++)
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

/* An answer of a node that we do not watch ends no silence: it was not asked before. */
static void heard(struct liveness *l, struct peer *p, bool answer, int64_t now)
{
	if (answer && !p->watched)
		return;
	if (now - p->last_heard > 4 * l->interval) {
		push(l, LIVENESS_HEARD_AGAIN)->peer = p->is.name;
		if (p->state == LIVENESS_SILENT || p->state == LIVENESS_DEAD)
			discard_rounds(l, now);   /* a cut ends: what was silent during it gets another chance (R8) */
	}
	p->last_heard = now;
}

static void vouch(struct liveness *l, struct peer *p, int64_t now)
{
	if (now >= p->vouch_until)
		return;
	p->vouch_until = 0;
	push(l, LIVENESS_SEND)->frame = (struct arp_frame){
		.eth_dst = p->vouch_to.sha, .eth_src = l->mac, .op = ARP_REPLY, .sha = p->is.mac, .spa = p->is.address,
		.tha = p->vouch_to.sha, .tpa = p->vouch_to.spa};
}

static void answered(struct liveness *l, struct peer *p, bool speaker, int64_t now)
{
	int64_t next_ask = p->next_ask > now ? p->next_ask : now + l->interval;
	if (speaker)
		p->spoke_at = now;
	heard(l, p, true, now);
	round_trip(l, p, now);
	vouch(l, p, now);
	p->held_until = 0;
	if (p->state == LIVENESS_DEAD)   /* it is to know: its clock may have stood still with it, and to itself it was never away */
		alarm_for(l, p);
	if (speaker) {
		if (p->phase != IDLE)
			end_round(p, next_ask);
		p->alarm_round = false;
		p->verdict_until = 0;
		set_state(l, p, p->watched ? LIVENESS_ALIVE : LIVENESS_UNKNOWN, now);
		return;
	}
	p->kernel_heard = true;
	if (p->state == LIVENESS_DEAD)
		set_state(l, p, LIVENESS_UNKNOWN, now);
	if (p->state == LIVENESS_SPEAKER_DOWN && p->phase != IDLE)
		end_round(p, next_ask);
}

static bool receive_reply(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	struct peer *p = peer_of_address(l, f->spa);
	if (p && mac_equal(&f->sha, &p->is.mac)) {
		if (mac_equal(&f->eth_src, &p->is.mac)) {
			answered(l, p, f->spa == f->tpa, now);
		} else if (f->tpa == l->address) {   /* a third one vouches: our own path to it is the trouble */
			p->held_until = now + HELD;
			if (p->phase == ROUND)
				end_round(p, now + l->interval);
		}
		return true;
	}
	for (size_t i = 0; i < HOSTS; i++) {
		struct host *h = &l->hosts[i];
		if (h->address && h->address == f->spa && f->tpa == l->address && mac_equal(&h->mac, &f->sha)) {
			h->heard = now;
			round_trip(l, NULL, now);
			return false;   /* who asked for it as well may want to know whose MAC it is */
		}
	}
	return false;
}

static void receive_alarm(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	struct peer *p = peer_of_address(l, f->tpa), *by = peer_of_address(l, f->spa);
	if (!p || !by)
		return;
	by->spoke_at = now;
	if (p->watched) {
		if (p->state == LIVENESS_DEAD)
			return;
		p->held_until = 0;   /* we are not the only one that misses it */
		p->vouch_to = *f;
		p->vouch_until = now + l->interval;
		ask(l, p->is.address, &p->is.mac);
	} else if (p->phase != IDLE) {
		p->confirmed |= now > p->middle;
	} else if (now - p->alarm_heard > 2 * l->interval) {
		p->alarm_heard = now;
		p->alarm_round = true;
		open_window(l, p, 0, now);
		begin_round(p, now);
	}
}

static bool receive_request(struct liveness *l, const struct arp_frame *f, int64_t now)
{
	bool alarm = mac_equal(&f->tha, &ALARM_MARK) && mac_equal(&f->eth_dst, &MAC_BROADCAST);
	if (f->tpa != l->address) {
		if (alarm)
			receive_alarm(l, f, now);
		return alarm;
	}
	struct peer *asker = peer_of_address(l, f->spa);
	if (!asker || (!alarm && !mac_equal(&f->eth_dst, &l->mac)))
		return false;   /* the kernel answers for the node's own address */
	heard(l, asker, false, now);
	l->asked_at = asker->spoke_at = now;
	if (alarm && now - l->missed_at > CLOCK_S) {
		l->missed_at = now;
		push(l, LIVENESS_HEARD_AGAIN)->peer = asker->is.name;
	}
	if (asker->slow && asker->phase == IDLE)
		asker->next_ask = clock_min(asker->next_ask, now);
	if (l->ready)
		push(l, LIVENESS_SEND)->frame = (struct arp_frame){
			.eth_dst = f->sha, .eth_src = l->mac, .op = ARP_REPLY, .sha = l->mac, .spa = l->address, .tha = f->sha, .tpa = l->address};
	return true;
}

bool liveness_receive(struct liveness *l, const struct arp_frame *frame, int64_t now)
{
	bool consumed;
	if (!l->address || mac_equal(&frame->eth_src, &l->mac))
		return false;
	notice_late(l, now);
	if (frame->op == ARP_REPLY)
		consumed = mac_equal(&frame->eth_dst, &l->mac) && receive_reply(l, frame, now);
	else
		consumed = receive_request(l, frame, now);
	l->expected_step = liveness_deadline(l);
	return consumed;
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
