/* Nodes with the real liveness core on a simulated segment: a discrete-event simulation with a clock in microseconds. The
 * shell around each core does what the real one does: it steps at the deadline (a little late) and takes the actions.
 * For test_liveness*.c only. */
#ifndef TESTS_UNIT_LIVENESS_LAB_H
#define TESTS_UNIT_LIVENESS_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arp/filter.h"
#include "arp/liveness.h"
#include "config/base/clock.h"
#include "config/base/memory.h"

#define MS CLOCK_MS
#define T (100 * MS)
#ifndef MAX_NODES
#define MAX_NODES 52
#endif
#define MARGIN (2 * MS)   /* late timers and the way there */

/* T + F + 8 S + W (ownership.md, constants): from a fault to the verdict of those who watch. */
static int64_t worst(int64_t t)
{
	return t + t / 4 + 8 * (t * 12 / 100) + t / 2 + MARGIN;
}

struct node {
	struct liveness_peer is;
	bool kernel, speaker, host, stopped;   /* stopped: the process only; its frames wait */
	bool double_;             /* without a core: it answers as if it had one, and does nothing else */
	struct liveness *core;
	int64_t wake;
	unsigned requests, sent, answered;   /* answered: by its kernel */
	enum liveness_state told[MAX_NODES];   /* by LIVENESS_CHANGED */
};

struct flight {
	int64_t at;
	uint64_t order;
	size_t to;
	struct arp_frame frame;
	bool waited;   /* for a process that stood still: the kernel has had it */
};

struct said {
	int64_t at;
	size_t by, about;
	bool again;   /* HEARD_AGAIN */
	enum liveness_state state;
};

struct segment {
	struct node nodes[MAX_NODES];
	size_t n;
	int64_t interval, now, delay_min, delay_max;
	double loss;
	bool cut[MAX_NODES][MAX_NODES];   /* from, to */
	struct flight *heap;
	size_t flying, heap_cap;
	uint64_t order;
	struct said *said;
	size_t n_said, said_cap;
	unsigned short random[3];
	unsigned vouches;
	bool exact;                       /* timers are never late */
	bool waits;                       /* frames wait for a process that stands still; else they are lost */
	unsigned still;                   /* events since the clock went on */
};

/* ---- the segment ---- */

static double uniform(struct segment *s)
{
	return erand48(s->random);
}

static int64_t between(struct segment *s, int64_t low, int64_t high)
{
	return low + (int64_t)(uniform(s) * (double)(high - low + 1));
}

static bool sooner(const struct flight *a, const struct flight *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(struct segment *s, struct flight f)
{
	if (s->flying == s->heap_cap) {
		s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 256;
		s->heap = mem_realloc(s->heap, s->heap_cap * sizeof(*s->heap));
	}
	size_t i = s->flying++;
	for (; i && sooner(&f, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = f;
}

static struct flight heap_pop(struct segment *s)
{
	struct flight top = s->heap[0], last = s->heap[--s->flying];
	size_t i = 0;
	for (size_t child = 1; child < s->flying; child = 2 * i + 1) {
		if (child + 1 < s->flying && sooner(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!sooner(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

static void send_frame(struct segment *s, size_t from, const struct arp_frame *f)
{
	bool all = mac_equal(&f->eth_dst, &MAC_BROADCAST);
	for (size_t to = 0; to < s->n; to++) {
		if (to == from || (!all && !mac_equal(&f->eth_dst, &s->nodes[to].is.mac)) || s->cut[from][to])
			continue;
		if (s->loss > 0 && uniform(s) < s->loss)
			continue;
		heap_push(s, (struct flight){s->now + between(s, s->delay_min, s->delay_max), s->order++, to, *f, false});
	}
}

static size_t index_of(const struct segment *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->nodes[i].is.name, name) == 0)
			return i;
	fail_msg("no node %s", name);
	return 0;
}

static void check_sent(struct segment *s, const struct node *node, const struct arp_frame *f)
{
	assert_true(mac_equal(&f->eth_src, &node->is.mac));   /* or bridges would move a MAC (finding 15) */
	assert_true(f->spa != 0);                             /* or a rebooting node gives up its address (finding 16) */
	if (f->op == ARP_REPLY && !mac_equal(&f->sha, &node->is.mac)) {
		s->vouches++;
		bool of_a_node = false;
		for (size_t i = 0; i < s->n; i++)
			of_a_node |= mac_equal(&f->sha, &s->nodes[i].is.mac) && f->spa == s->nodes[i].is.address;
		assert_true(of_a_node);
	}
}

/* Takes the actions and sets the timer. */
static void tend(struct segment *s, size_t i)
{
	struct node *node = &s->nodes[i];
	struct liveness_action a;
	while (liveness_take(node->core, &a)) {
		if (a.kind == LIVENESS_SEND) {
			check_sent(s, node, &a.frame);
			node->sent++;
			node->requests += a.frame.op == ARP_REQUEST;
			send_frame(s, i, &a.frame);
			continue;
		}
		if (s->n_said == s->said_cap) {
			s->said_cap = s->said_cap ? s->said_cap * 2 : 64;
			s->said = mem_realloc(s->said, s->said_cap * sizeof(*s->said));
		}
		s->said[s->n_said++] = (struct said){s->now, i, index_of(s, a.peer), a.kind == LIVENESS_HEARD_AGAIN, a.state};
		if (a.kind == LIVENESS_CHANGED)
			node->told[index_of(s, a.peer)] = a.state;
	}
	int64_t deadline = liveness_deadline(node->core);
	node->wake = deadline == CLOCK_NEVER ? CLOCK_NEVER : (deadline > s->now ? deadline : s->now) + (s->exact ? 0 : between(s, 0, 100));
}

static void deliver(struct segment *s, const struct flight *f)
{
	struct node *node = &s->nodes[f->to];
	if (!node->kernel)
		return;
	if (f->frame.op == ARP_REQUEST && f->frame.tpa == node->is.address && !f->waited) {
		struct arp_frame answer = arp_answer(&f->frame, &node->is.mac);
		node->answered++;
		send_frame(s, f->to, &answer);
	}
	if (node->double_ && f->frame.op == ARP_REQUEST && f->frame.tpa == node->is.address) {
		struct arp_frame alive = arp_answer(&f->frame, &node->is.mac);
		alive.tpa = alive.spa;   /* a form no kernel sends (R1) */
		send_frame(s, f->to, &alive);
	}
	if (node->speaker && node->stopped && s->waits)
		heap_push(s, (struct flight){s->now + MS, f->order, f->to, f->frame, true});
	if (!node->speaker || node->stopped)
		return;
	liveness_receive(node->core, &f->frame, s->now);
	tend(s, f->to);
}

/* Whoever listens to the changes knows all states. */
static void check_told(const struct segment *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < s->n; k++)
			if (s->nodes[i].core && s->nodes[i].speaker && k != i)
				assert_int_equal(s->nodes[i].told[k], liveness_get(s->nodes[i].core, s->nodes[k].is.name));
}

static void run(struct segment *s, int64_t duration)
{
	int64_t until = s->now + duration;
	for (;;) {
		size_t next = s->n;
		int64_t at = s->flying ? s->heap[0].at : CLOCK_NEVER;
		for (size_t i = 0; i < s->n; i++) {
			const struct node *node = &s->nodes[i];
			if (node->kernel && node->speaker && !node->stopped && node->wake < at) {
				at = node->wake;
				next = i;
			}
		}
		if (at > until)
			break;
		s->still = at > s->now ? 0 : s->still + 1;
		if (s->still > 100000)
			fail_msg("a core never comes to rest");
		if (at > s->now)
			s->now = at;
		if (next < s->n) {
			liveness_step(s->nodes[next].core, s->now);
			tend(s, next);
		} else {
			struct flight f = heap_pop(s);
			deliver(s, &f);
		}
	}
	s->now = until;
	check_told(s);
}

/* ---- setting up ---- */

static void tell_peers(struct segment *s, size_t i)
{
	static struct liveness_peer peers[MAX_NODES];
	size_t n = 0;
	for (size_t k = 0; k < s->n; k++)
		if (k != i && !s->nodes[k].host)
			peers[n++] = s->nodes[k].is;
	liveness_set_peers(s->nodes[i].core, peers, n, s->now);
	for (size_t k = 0; k < s->n; k++)
		if (s->nodes[k].host)
			liveness_add_host(s->nodes[i].core, s->nodes[k].is.address, &s->nodes[k].is.mac, s->now);
	s->nodes[i].wake = s->now;
}

static void start_speaker(struct segment *s, size_t i)
{
	struct node *node = &s->nodes[i];
	liveness_free(node->core);
	memset(node->told, 0, sizeof(node->told));
	node->core = liveness_new(node->is.name, s->interval);
	liveness_set_self(node->core, node->is.address, &node->is.mac);
	liveness_set_ready(node->core, true);
	tell_peers(s, i);
	node->kernel = node->speaker = true;
	tend(s, i);
}

/* Nodes 0..n-1, then hosts; named by the seed, so that every seed has another ring. */
static struct segment *segment(unsigned seed, size_t n, size_t hosts, int64_t interval)
{
	struct segment *s = mem_zalloc(sizeof(*s));
	*s = (struct segment){.n = n + hosts, .interval = interval, .now = 1000 * CLOCK_S, .delay_min = 150, .delay_max = 250,
			      .random = {(unsigned short)seed, (unsigned short)n, 0x330e}};
	for (size_t i = 0; i < s->n; i++) {
		struct node *node = &s->nodes[i];
		node->host = i >= n;
		node->kernel = true;
		node->is.address = 0x0a630001 + (uint32_t)i;
		node->is.mac = (struct mac){{0x02, 0, 0, 0, (uint8_t)((i + 1) >> 8), (uint8_t)(i + 1)}};
		snprintf(node->is.name, sizeof(node->is.name), "%s-%u-%zu", node->host ? "host" : "node", seed, i);
	}
	return s;
}

static inline struct segment *settled(unsigned seed, size_t n, size_t hosts, int64_t interval)
{
	struct segment *s = segment(seed, n, hosts, interval);
	for (size_t i = 0; i < n; i++)
		start_speaker(s, i);
	run(s, CLOCK_S + between(s, 0, interval));
	s->n_said = 0;
	return s;
}

static void segment_free(struct segment *s)
{
	for (size_t i = 0; i < s->n; i++)
		liveness_free(s->nodes[i].core);
	free(s->heap);
	free(s->said);
	free(s);
}

static void cut(struct segment *s, size_t from, size_t to, bool broken)
{
	s->cut[from][to] = broken;
}

static inline void cut_off(struct segment *s, size_t i, bool out, bool in, bool broken)
{
	for (size_t k = 0; k < s->n; k++) {
		if (out)
			cut(s, i, k, broken);
		if (in)
			cut(s, k, i, broken);
	}
}

/* ---- asking ---- */

static bool runs(const struct segment *s, size_t i)
{
	return s->nodes[i].kernel && s->nodes[i].speaker && s->nodes[i].core;
}

static enum liveness_state view(const struct segment *s, size_t by, size_t about)
{
	return liveness_get(s->nodes[by].core, s->nodes[about].is.name);
}

static size_t count_view(const struct segment *s, size_t about, enum liveness_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		n += i != about && runs(s, i) && view(s, i, about) == state;
	return n;
}

/* When `by` said so of `about` first; CLOCK_NEVER: it did not. */
static int64_t when(const struct segment *s, size_t by, size_t about, enum liveness_state state)
{
	for (size_t i = 0; i < s->n_said; i++)
		if (!s->said[i].again && s->said[i].by == by && s->said[i].about == about && s->said[i].state == state)
			return s->said[i].at;
	return CLOCK_NEVER;
}

static inline bool heard_again(const struct segment *s, size_t by, size_t about)
{
	for (size_t i = 0; i < s->n_said; i++)
		if (s->said[i].again && s->said[i].by == by && s->said[i].about == about)
			return true;
	return false;
}

#define ANYBODY MAX_NODES
/* Convictions by and about these; except: not counted when about it. */
static unsigned convictions(const struct segment *s, size_t by, size_t except)
{
	unsigned n = 0;
	for (size_t i = 0; i < s->n_said; i++) {
		const struct said *said = &s->said[i];
		if (!said->again && (said->state == LIVENESS_DEAD || said->state == LIVENESS_SPEAKER_DOWN) &&
		    (by == ANYBODY || said->by == by) && said->about != except)
			n++;
	}
	return n;
}

static inline void assert_all_watched(const struct segment *s, size_t alive)
{
	for (size_t i = 0; i < s->n; i++)
		if (runs(s, i))
			assert_int_equal(count_view(s, i, LIVENESS_ALIVE), alive - 1 < 2 ? alive - 1 : 2);
}

/* Everybody who watched `about` said `state` in time; nobody said anything bad of others. */
static inline void assert_found(const struct segment *s, size_t about, const bool *watched_by, enum liveness_state state, int64_t since, int64_t in)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!watched_by[i] || i == about || !runs(s, i))
			continue;
		int64_t at = when(s, i, about, state);
		if (at == CLOCK_NEVER || at - since > in)
			fail_msg("%s: %s is %s, after %.1f ms (limit %.1f)", s->nodes[i].is.name, s->nodes[about].is.name,
				 liveness_state_name(view(s, i, about)), at == CLOCK_NEVER ? -1. : (double)(at - since) / 1e3, (double)in / 1e3);
	}
	assert_int_equal(convictions(s, ANYBODY, about), 0);
}

static inline void watchers(const struct segment *s, size_t about, bool *by)
{
	for (size_t i = 0; i < s->n; i++)
		by[i] = i != about && runs(s, i) && view(s, i, about) != LIVENESS_UNKNOWN;
}

#endif
