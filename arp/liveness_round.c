/* A peer that owes an answer: what it is asked, when it is given up, and what proves that it is not us (R3, R4). */
#include "arp/liveness_parts.h"

#define ROUND_REQUESTS 10         /* the one that was not answered in time included */
#define ALARM_FROM 4              /* from this request on three are doubled as alarms, one more goes out with the verdict */
#define ALARMS 3
#define COLD (3 * CLOCK_S)        /* UNKNOWN for so long is judged by the same evidence */

/* ---- evidence: a round trip of our own with somebody else (finding 9) ---- */

static int64_t spacing(const struct liveness *l)
{
	return l->interval * 12 / 100;
}

/* The first request sent within it or not yet: how long until the verdict. */
void liveness_open_window(const struct liveness *l, struct peer *p, int sent, int64_t now)
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

void liveness_round_trip(struct liveness *l, const struct peer *with, int64_t now)
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
	return p->phase != ROUND && !liveness_down(p);
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
		liveness_ask(l, p->is.address, &p->is.mac);
		asked++;
	}
	for (size_t i = 0; i < l->n && asked < 3; i++) {
		const struct peer *p = &l->peers[l->evidence_next++ % l->n];
		if (!may_prove(p) || now - p->last_heard <= 2 * l->interval)
			continue;
		liveness_ask(l, p->is.address, &p->is.mac);
		asked++;
	}
	for (size_t i = 0; i < HOSTS; i++)
		if (l->hosts[i].address)
			liveness_ask(l, l->hosts[i].address, &l->hosts[i].mac);
}

/* ---- one peer ---- */

void liveness_begin_round(struct peer *p, int64_t now)
{
	p->phase = ROUND;
	p->next_send = now;
	p->verdict_at = CLOCK_NEVER;
}

static void round_request(struct liveness *l, struct peer *p, int64_t now)
{
	p->sent++;
	liveness_ask(l, p->is.address, &p->is.mac);
	if (!p->kernel_heard) {
		if (p->sent >= ALARM_FROM && p->alarms < ALARMS && !p->alarm_round && now >= p->held_until) {
			liveness_alarm(l, p);
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
	liveness_end_round(p, now + l->interval);
	p->alarm_round = false;
	if (because_of_alarm && !p->watched)
		p->verdict_until = now + CLOCK_S;   /* then we know nothing again */
	if (p->kernel_heard) {
		liveness_enter(l, p, LIVENESS_SPEAKER_DOWN, now);
	} else if (because_of_alarm) {
		/* Nobody vouches to us, for we raised no alarm: only together with a watcher, or one bad path convicts. */
		if (proven && p->confirmed)
			liveness_enter(l, p, LIVENESS_DEAD, now);
	} else if (!proven) {
		liveness_enter(l, p, LIVENESS_SILENT, now);
	} else if (p->alarm_at) {   /* it was not held throughout: all were asked, and nobody vouched */
		liveness_alarm(l, p);
		liveness_enter(l, p, LIVENESS_DEAD, now);
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
	liveness_ask(l, p->is.address, &p->is.mac);
	p->next_ask += pause;
	if (p->next_ask <= now)
		p->next_ask = now + pause;
	if (owes_answer(l, p, now)) {
		p->phase = EXPECTING;
		liveness_open_window(l, p, 1, now);
		p->expect_by = now + l->interval / 4;
	} else if (p->state == LIVENESS_SILENT) {
		ask_for_evidence(l, now);
	}
}

void liveness_step_peer(struct liveness *l, struct peer *p, int64_t now)
{
	if (p->verdict_until && now >= p->verdict_until) {
		p->verdict_until = 0;
		if (!p->watched)
			liveness_changed(l, p, LIVENESS_UNKNOWN);
	}
	if (p->phase == IDLE && p->watched)
		step_idle(l, p, now);
	else if (p->phase == EXPECTING && now >= p->expect_by)
		liveness_begin_round(p, now);
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
		liveness_alarm(l, p);   /* whoever looks because of our alarms is told in time that we still miss it */
	p->verdict_at = clock_min(now + spacing(l), p->patience);
}

int64_t liveness_peer_deadline(const struct peer *p)
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
