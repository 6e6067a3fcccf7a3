/* When liveness says what: to the microsecond, on a segment without delay and with timers that are never late. ownership.md R3. */
#include "tests/unit/liveness_lab.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Two nodes and a host that answers; all is well. */
static struct segment *exact(unsigned seed, size_t n)
{
	struct segment *s = segment(seed, n, 1, T);
	s->exact = true;
	s->delay_min = s->delay_max = 0;
	for (size_t i = 0; i < n; i++)
		start_speaker(s, i);
	run(s, CLOCK_S);
	s->n_said = 0;
	return s;
}

/* Until `by` has sent a request more: when that was. */
static int64_t next_request(struct segment *s, size_t by)
{
	unsigned before = s->nodes[by].requests;
	while (s->nodes[by].requests == before)
		run(s, s->nodes[by].wake > s->now ? s->nodes[by].wake - s->now : 0);
	return s->now;
}

/* F after the first request that is not answered, nine more, S apart, and W: T/4 + 8 x 0.12 T + T/2. */
#define VERDICT (25 * MS + 8 * 12 * MS + 50 * MS)

static void verdicts(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		for (int kernel = 0; kernel < 2; kernel++) {
			struct segment *s = exact(seed, 2);
			enum liveness_state wanted = kernel ? LIVENESS_SPEAKER_DOWN : LIVENESS_DEAD;
			s->nodes[1].speaker = false;
			s->nodes[1].kernel = kernel;
			int64_t asked = next_request(s, 0);
			run(s, VERDICT - 1);
			assert_int_equal(view(s, 0, 1), LIVENESS_ALIVE);
			run(s, 1);
			assert_int_equal(view(s, 0, 1), wanted);
			assert_true(when(s, 0, 1, wanted) == asked + VERDICT);
			segment_free(s);
		}
	}
}

struct sent {
	int64_t at;   /* ms after the first request that was not answered */
	struct arp_frame frame;
};

/* Node 0 for `length` from now on, event by event; what it sends. Its core has nothing more to do once it has done it. */
static size_t watch_node(struct segment *s, int64_t began, int64_t length, struct sent *sent, size_t most)
{
	size_t n = 0;
	struct liveness_action a;
	for (int64_t at = s->now; at <= began + length; at += 500) {
		s->now = at;
		while (s->flying) {
			struct flight f = heap_pop(s);
			deliver(s, &f);
		}
		if (liveness_deadline(s->nodes[0].core) > at)
			continue;
		liveness_step(s->nodes[0].core, at);
		while (liveness_take(s->nodes[0].core, &a)) {
			if (a.kind != LIVENESS_SEND)
				continue;
			assert_true(n < most);
			sent[n++] = (struct sent){(at - began) / MS, a.frame};
			send_frame(s, 0, &a.frame);
		}
		assert_true(liveness_deadline(s->nodes[0].core) > at);
	}
	return n;
}

static bool is_alarm(const struct arp_frame *f)
{
	return f->op == ARP_REQUEST && mac_equal(&f->eth_dst, &MAC_BROADCAST) && mac_equal(&f->tha, &ALARM_MARK);
}

static void are_times(const char *what, const struct sent *sent, size_t n, uint32_t target, bool alarms, const int64_t *times, size_t n_times)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		if (sent[i].frame.tpa != target || is_alarm(&sent[i].frame) != alarms)
			continue;
		if (found == n_times || sent[i].at != times[found])
			fail_msg("%s: number %zu after %lld ms", what, found + 1, (long long)sent[i].at);
		found++;
	}
	if (found != n_times)
		fail_msg("%s: %zu", what, found);
}

/* What is sent and when, after a death: F later the round, alarms from its fourth request on, and one with the verdict; a round
 * trip with somebody else at every second request, until this half of the silence has one. */
static void course_of_a_round(void **state)
{
	static const int64_t REQUESTS[] = {25, 37, 49, 61, 73, 85, 97, 109, 121}, ALARMS[] = {49, 61, 73, 171}, PROOF[] = {25, 97}, NO_PROOF[] = {25, 49, 73, 97, 121};
	(void)state;
	for (int alone = 0; alone < 2; alone++) {
		struct segment *s = exact(1, 2);
		struct sent sent[64];
		s->nodes[1].kernel = s->nodes[1].speaker = false;
		cut(s, 2, 0, alone);
		int64_t asked = next_request(s, 0);
		size_t n = watch_node(s, asked, VERDICT, sent, COUNT(sent));
		are_times("requests", sent, n, s->nodes[1].is.address, false, REQUESTS, COUNT(REQUESTS));
		if (alone) {
			are_times("round trips without an answer", sent, n, s->nodes[2].is.address, false, NO_PROOF, COUNT(NO_PROOF));
			assert_int_equal(view(s, 0, 1), LIVENESS_SILENT);
		} else {
			are_times("round trips", sent, n, s->nodes[2].is.address, false, PROOF, COUNT(PROOF));
			are_times("alarms", sent, n, s->nodes[1].is.address, true, ALARMS, COUNT(ALARMS));
			assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);
		}
		segment_free(s);
	}
}

/* Two that were heard lately, one by turns, and the hosts. */
static void whom_it_asks_for_proof(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 8; seed++) {
		struct segment *s = exact(seed, 12);
		struct sent sent[256];
		bool by_turns[12] = {false};
		unsigned turns = 0;
		size_t target = 1;
		while (view(s, 0, target) == LIVENESS_UNKNOWN)
			target++;
		s->nodes[target].kernel = s->nodes[target].speaker = false;
		for (size_t k = 1; k < 13; k++)
			cut(s, k, 0, true);
		run(s, 2 * T);   /* the round is under way, and nobody else has been heard lately */
		int64_t began = s->now;
		size_t n = watch_node(s, began, 5 * T, sent, COUNT(sent));
		for (size_t i = 0; i < n; i++) {
			size_t asked = sent[i].frame.tpa - s->nodes[0].is.address, at_once = 0;
			if (asked == 0 || asked > 11 || is_alarm(&sent[i].frame) || view(s, 0, asked) != LIVENESS_UNKNOWN)
				continue;
			for (size_t k = 0; k < n; k++)
				at_once += sent[k].at == sent[i].at && !is_alarm(&sent[k].frame) && sent[k].frame.tpa - s->nodes[0].is.address <= 11 &&
					   view(s, 0, sent[k].frame.tpa - s->nodes[0].is.address) == LIVENESS_UNKNOWN;
			assert_in_range(at_once, 1, 3);
			turns += !by_turns[asked];
			by_turns[asked] = true;
		}
		assert_true(turns >= 5);
		segment_free(s);
	}
}

/* One round trip in each half: what comes at the very middle belongs to the first. */
static void halves(void **state)
{
	static const int64_t MIDDLE = VERDICT / 2;
	static const struct { int64_t first, second; enum liveness_state state; } CASES[] = {
		{10 * MS, MIDDLE, LIVENESS_SILENT}, {10 * MS, MIDDLE + 1, LIVENESS_DEAD}, {MIDDLE, MIDDLE + 1, LIVENESS_DEAD}, {1, VERDICT - 1, LIVENESS_DEAD},
		{MIDDLE + 1, VERDICT - 1, LIVENESS_SILENT}, {1, 2, LIVENESS_SILENT}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct segment *s = exact(4, 2);
		struct arp_frame f = {.eth_dst = s->nodes[0].is.mac, .eth_src = s->nodes[2].is.mac, .op = ARP_REPLY, .sha = s->nodes[2].is.mac,
				      .spa = s->nodes[2].is.address, .tha = s->nodes[0].is.mac, .tpa = s->nodes[0].is.address};
		s->nodes[1].kernel = s->nodes[1].speaker = false;
		cut(s, 2, 0, true);
		int64_t asked = next_request(s, 0);
		run(s, CASES[i].first);
		assert_false(liveness_receive(s->nodes[0].core, &f, s->now));   /* others may want it, too */
		tend(s, 0);
		run(s, asked + CASES[i].second - s->now);
		liveness_receive(s->nodes[0].core, &f, s->now);
		tend(s, 0);
		run(s, asked + VERDICT - s->now);
		assert_int_equal(view(s, 0, 1), CASES[i].state);
		segment_free(s);
	}
}

/* Four that answer are kept; who has not been heard for a minute makes room, the oldest first. */
static void hosts(void **state)
{
	(void)state;
	static const struct { int64_t after; uint32_t kept; } CASES[] = {{59 * CLOCK_S, 0x0f}, {60 * CLOCK_S, 0x1e}, {70 * CLOCK_S, 0x1e}};
	for (size_t k = 0; k < COUNT(CASES); k++) {
		struct segment *s = exact(6, 2);
		struct sent sent[256];
		uint32_t asked = 0;
		cut_off(s, 2, true, true, true);
		for (unsigned i = 0; i < 4; i++)   /* the first takes the place of the host that is there already */
			liveness_add_host(s->nodes[0].core, i ? 0x0a630100 + i : s->nodes[2].is.address, &(struct mac){{2, 9, 9, 9, 9, (uint8_t)i}}, s->now + i * MS);
		liveness_add_host(s->nodes[0].core, s->nodes[0].is.address, &(struct mac){{2, 9, 9, 9, 9, 9}}, s->now);   /* ourselves, a peer: no hosts */
		liveness_add_host(s->nodes[0].core, 0x0a6301ff, &s->nodes[1].is.mac, s->now);
		run(s, CASES[k].after);
		liveness_add_host(s->nodes[0].core, 0x0a630104, &(struct mac){{2, 9, 9, 9, 9, 4}}, s->now);
		s->nodes[1].kernel = s->nodes[1].speaker = false;
		int64_t began = next_request(s, 0);
		size_t n = watch_node(s, began, VERDICT, sent, COUNT(sent));
		for (size_t i = 0; i < n; i++) {
			assert_true(sent[i].frame.tpa != 0x0a6301ff && sent[i].frame.tpa != s->nodes[0].is.address);
			if (sent[i].frame.tpa == s->nodes[2].is.address) {
				assert_int_equal(sent[i].frame.eth_dst.bytes[1], 9);   /* another card than before */
				asked |= 1;
			} else if (sent[i].frame.tpa > 0x0a630100) {
				asked |= UINT32_C(1) << (sent[i].frame.tpa - 0x0a630100);
			}
		}
		if (asked != CASES[k].kept)
			fail_msg("after %lld s: %x", (long long)(CASES[k].after / CLOCK_S), asked);
		segment_free(s);
	}
}

/* A step that comes more than T/2 late says that we did not run: the round begins anew; and nothing that was missed is made up for. */
static void too_late(void **state)
{
	static const struct { int64_t late; int64_t verdict; } CASES[] = {{0, VERDICT - 25 * MS}, {T / 2, VERDICT - 25 * MS}, {T / 2 + 1, VERDICT}, {3 * CLOCK_S, VERDICT}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct segment *s = exact(8, 2);
		s->nodes[1].kernel = s->nodes[1].speaker = false;
		next_request(s, 0);
		s->nodes[0].stopped = true;
		run(s, 25 * MS + CASES[i].late);
		s->nodes[0].stopped = false;
		int64_t stepped = s->now;
		run(s, CASES[i].verdict - 1);
		assert_int_equal(view(s, 0, 1), LIVENESS_ALIVE);
		run(s, 1);
		assert_true(when(s, 0, 1, LIVENESS_DEAD) == stepped + CASES[i].verdict);
		run(s, CLOCK_S);
		s->nodes[0].stopped = true;
		run(s, 3 * CLOCK_S);
		s->nodes[0].stopped = false;
		unsigned before = s->nodes[0].requests;
		run(s, T - 1);
		assert_in_range(s->nodes[0].requests - before, 1, 2);
		segment_free(s);
	}
}

/* Names in what is still to be done are of the table: it goes with it. */
static void new_table(void **state)
{
	(void)state;
	struct segment *s = exact(2, 2);
	struct liveness_action a;
	liveness_reset(s->nodes[0].core, s->now);   /* says that nothing is known */
	liveness_set_peers(s->nodes[0].core, &s->nodes[1].is, 1, s->now);
	assert_false(liveness_take(s->nodes[0].core, &a));
	segment_free(s);
}

/* Not known yet, or not answering while nobody else does; who is not watched is not waited for, who is no peer always. */
static void undecided(void **state)
{
	(void)state;
	struct segment *s = segment(3, 6, 0, T);
	start_speaker(s, 0);
	s->nodes[0].kernel = true;
	unsigned waited = 0;
	for (size_t i = 1; i < 6; i++)
		waited += liveness_undecided(s->nodes[0].core, s->nodes[i].is.name);
	assert_int_equal(waited, 2);
	for (size_t i = 1; i < 6; i++)
		start_speaker(s, i);
	run(s, CLOCK_S);
	for (size_t i = 1; i < 6; i++)
		assert_false(liveness_undecided(s->nodes[0].core, s->nodes[i].is.name));
	assert_true(liveness_undecided(s->nodes[0].core, "nobody"));
	cut_off(s, 0, true, true, true);
	run(s, CLOCK_S);
	waited = 0;
	for (size_t i = 1; i < 6; i++)
		waited += liveness_undecided(s->nodes[0].core, s->nodes[i].is.name);
	assert_int_equal(waited, 2);   /* silent, and so are we */
	segment_free(s);
}

static void connected(void **state)
{
	(void)state;
	struct segment *s = exact(2, 3);
	assert_true(liveness_connected(s->nodes[0].core));
	for (size_t i = 1; i < 3; i++) {
		assert_true(liveness_connected(s->nodes[0].core));
		s->nodes[i].kernel = s->nodes[i].speaker = false;
		run(s, CLOCK_S);
	}
	assert_false(liveness_connected(s->nodes[0].core));
	for (size_t i = 1; i < 3; i++) {   /* either is enough */
		s->nodes[i].kernel = s->nodes[i].speaker = true;
		run(s, CLOCK_S);
		assert_true(liveness_connected(s->nodes[0].core));
		s->nodes[i].kernel = s->nodes[i].speaker = false;
		run(s, CLOCK_S);
		assert_false(liveness_connected(s->nodes[0].core));
	}
	segment_free(s);
}

/* Any answer that is expected ends a round, however late; and the next question comes when it would have come. */
static void late_answer(void **state)
{
	(void)state;
	for (int64_t back = 1; back <= VERDICT / MS; back += 7) {
		struct segment *s = exact((unsigned)back, 2);
		s->nodes[1].kernel = s->nodes[1].speaker = false;
		int64_t asked = next_request(s, 0);
		run(s, back * MS - 1);
		s->nodes[1].kernel = s->nodes[1].speaker = true;
		struct arp_frame f = {.eth_dst = s->nodes[0].is.mac, .eth_src = s->nodes[1].is.mac, .op = ARP_REPLY, .sha = s->nodes[1].is.mac,
				      .spa = s->nodes[1].is.address, .tha = s->nodes[0].is.mac, .tpa = s->nodes[1].is.address};
		assert_true(liveness_receive(s->nodes[0].core, &f, s->now));
		tend(s, 0);
		unsigned before = s->nodes[0].requests;
		int64_t due = asked + T > s->now ? asked + T : s->now + T;
		run(s, due - s->now - 1);
		assert_int_equal(s->nodes[0].requests, before);
		run(s, 1);
		assert_int_equal(s->nodes[0].requests, before + 1);
		run(s, CLOCK_S);
		assert_int_equal(view(s, 0, 1), LIVENESS_ALIVE);
		assert_int_equal(convictions(s, 0, ANYBODY), 0);
		segment_free(s);
	}
}

/* Every T one question, whatever else happens. */
static void interval(void **state)
{
	(void)state;
	struct segment *s = exact(3, 2);
	int64_t asked = next_request(s, 0);
	for (int i = 1; i < 20; i++)
		assert_true(next_request(s, 0) == asked + i * T);
	s->nodes[1].kernel = s->nodes[1].speaker = false;
	run(s, CLOCK_S);
	assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);
	asked = next_request(s, 0);
	for (int i = 1; i < 20; i++)
		assert_true(next_request(s, 0) == asked + i * T);   /* the dead are asked on, once each */
	segment_free(s);
}

/* Never heard: 3 s after the start, and the first question after that, and its round. */
static void cold(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 5; seed++) {
		struct segment *s = segment(seed, 2, 1, T);
		s->exact = true;
		s->delay_min = s->delay_max = 0;
		s->nodes[1].kernel = false;
		int64_t began = s->now;
		start_speaker(s, 0);
		run(s, 3 * CLOCK_S - 1);
		assert_int_equal(s->n_said, 0);
		int64_t asked = next_request(s, 0);
		assert_true(asked - began < 3 * CLOCK_S + T);
		run(s, VERDICT - 1);
		assert_int_equal(view(s, 0, 1), LIVENESS_UNKNOWN);
		run(s, 1);
		assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);
		segment_free(s);
	}
}

/* Who is vouched for is held for 5 s; then a round finds it dead. */
static void vouched_for(void **state)
{
	(void)state;
	struct segment *s = exact(5, 3);
	size_t by = view(s, 0, 1) != LIVENESS_UNKNOWN ? 0 : 2;
	cut(s, 1, by, true);
	cut(s, by, 1, true);
	int64_t began = s->now;
	run(s, 20 * CLOCK_S);
	assert_int_equal(convictions(s, by, ANYBODY), 0);   /* the third one hears both */
	assert_true(s->vouches >= 3 && s->vouches <= 20);
	s->nodes[1].kernel = s->nodes[1].speaker = false;
	began = s->now;
	run(s, 6 * CLOCK_S);
	int64_t at = when(s, by, 1, LIVENESS_DEAD);
	assert_true(at != CLOCK_NEVER && at - began <= 5 * CLOCK_S + 2 * worst(T));
	segment_free(s);
}

/* Nodes 0 and 1 do not hear each other; after `later` node 2 vouches once more, to node 0 for node 1. */
static struct segment *vouched_once_more(int64_t later)
{
	struct segment *s = exact(5, 3);
	cut(s, 0, 1, true);
	cut(s, 1, 0, true);
	run(s, later);
	assert_true(s->vouches > 0);
	struct arp_frame word = {.eth_dst = s->nodes[0].is.mac, .eth_src = s->nodes[2].is.mac, .op = ARP_REPLY, .sha = s->nodes[1].is.mac,
				 .spa = s->nodes[1].is.address, .tha = s->nodes[0].is.mac, .tpa = s->nodes[0].is.address};
	liveness_receive(s->nodes[0].core, &word, s->now);
	tend(s, 0);
	return s;
}

/* Whenever these 5 s end, also within a round: only a round that has asked the others may convict. */
static void held_ends(void **state)
{
	(void)state;
	for (int64_t offset = 0; offset < VERDICT + T; offset += 4 * MS) {
		struct segment *s = vouched_once_more(CLOCK_S + offset);
		run(s, 4 * CLOCK_S);
		s->waits = true;
		for (int64_t i = offset / MS; i < 300 + offset / MS; i++) {   /* it runs for 10 of 150 ms only */
			s->nodes[2].stopped = i % 15;
			run(s, 10 * MS);
		}
		if (when(s, 0, 1, LIVENESS_DEAD) != CLOCK_NEVER || when(s, 1, 0, LIVENESS_DEAD) != CLOCK_NEVER)
			fail_msg("vouched for again %lld ms after a second: dead", (long long)(offset / MS));
		segment_free(s);
	}
}

/* And then nobody does: convicted after these 5 s, in the first or the second round. */
static void held_for(void **state)
{
	(void)state;
	for (int64_t offset = 0; offset < VERDICT + T; offset += 20 * MS) {
		struct segment *s = vouched_once_more(CLOCK_S + offset);
		int64_t vouched = s->now;
		s->nodes[2].speaker = false;
		run(s, 8 * CLOCK_S);
		assert_in_range(when(s, 0, 1, LIVENESS_DEAD) - vouched, 5 * CLOCK_S, 5 * CLOCK_S + 2 * (T + VERDICT));
		segment_free(s);
	}
}

/* One hears both, but its process does not run for a while, whenever that is: its word is waited for. Not for ever: nodes 0 and 1
 * cannot hear each other, or node 1 is dead. */
static void stop_the_third(size_t n, size_t of_the_watchers, bool dead, int64_t stopped, int64_t offset)
{
	struct segment *s = exact(5, n);
	size_t x = n - 1, watching[2] = {0}, found = 0;
	bool by[MAX_NODES];
	watchers(s, x, by);
	for (size_t i = 0; i < n && found < 2; i++)
		if (by[i])
			watching[found++] = i;
	size_t a = watching[of_the_watchers], third = watching[1 - of_the_watchers];
	int64_t began = s->now;
	s->waits = true;
	cut(s, a, x, !dead);
	cut(s, x, a, !dead);
	s->nodes[x].kernel = s->nodes[x].speaker = !dead;
	run(s, offset);
	s->nodes[third].stopped = true;
	run(s, stopped);
	s->nodes[third].stopped = false;
	run(s, CLOCK_S);
	int64_t at = when(s, a, x, LIVENESS_DEAD);
	if (dead ? at - began > T + VERDICT + T / 2 : at != CLOCK_NEVER)
		fail_msg("%zu nodes, stopped for %lld ms after %lld ms: %lld ms", n, (long long)(stopped / MS), (long long)(offset / MS), (long long)((at - began) / MS));
	segment_free(s);
}

static void word_of_the_third(void **state)
{
	(void)state;
	for (size_t n = 3; n <= 6; n++)
		for (size_t who = 0; who < 2; who++)
			for (int64_t stopped = 150 * MS; stopped <= 600 * MS; stopped *= 2)
				for (int64_t offset = 0; offset <= 200 * MS; offset += 10 * MS)
					stop_the_third(n, who, stopped > 150 * MS, stopped, offset);
}

/* A node and one of the two that watch it die together: the other one waits for a word that never comes, and those that
 * look because of its alarms still find out what it finds. */
static void told_in_time(void **state)
{
	(void)state;
	for (int64_t offset = 0; offset <= T; offset += 5 * MS) {
		struct segment *s = exact(5, 8);
		size_t x = 7, a = 0, b = 0;
		bool by[MAX_NODES];
		watchers(s, x, by);
		while (!by[a])
			a++;
		for (b = a + 1; !by[b];)
			b++;
		if (view(s, a, b) != LIVENESS_UNKNOWN) {   /* a is the nearer one, which does not watch b */
			size_t nearer = b;
			b = a;
			a = nearer;
		}
		run(s, offset);
		s->nodes[x].kernel = s->nodes[b].kernel = false;
		int64_t died = s->now;
		run(s, CLOCK_S);
		assert_in_range(when(s, a, x, LIVENESS_DEAD) - died, VERDICT, T + VERDICT + T / 2);
		unsigned others = 0;
		for (size_t i = 0; i < 7; i++)
			others += i != a && when(s, i, x, LIVENESS_DEAD) - died <= T + VERDICT + T / 2 + 10 * MS;
		assert_true(others >= 3);
		segment_free(s);
	}
}

/* Who does not watch a node looks once, because of an alarm, and knows nothing of it a second later; sooner when it is heard. */
static void verdict_of_a_passer_by(void **state)
{
	(void)state;
	for (int heard = 0; heard < 3; heard++) {
		struct segment *s = exact(3, 8);
		size_t a = 0, x = 1;
		while (view(s, a, x) != LIVENESS_UNKNOWN)
			x++;
		s->nodes[x].kernel = s->nodes[x].speaker = false;
		while (when(s, a, x, LIVENESS_DEAD) == CLOCK_NEVER)
			run(s, 100);
		int64_t at = when(s, a, x, LIVENESS_DEAD);
		if (heard) {
			struct arp_frame late = {.eth_dst = s->nodes[a].is.mac, .eth_src = s->nodes[x].is.mac, .op = ARP_REPLY, .sha = s->nodes[x].is.mac,
						 .spa = s->nodes[x].is.address, .tha = s->nodes[a].is.mac, .tpa = s->nodes[x].is.address};
			if (heard == 1)
				liveness_receive(s->nodes[a].core, &late, s->now);
			else
				liveness_reset(s->nodes[a].core, s->now);
			tend(s, a);
			assert_int_equal(view(s, a, x), LIVENESS_UNKNOWN);
			s->n_said = 0;
			run(s, 2 * CLOCK_S);
			assert_true(when(s, a, x, LIVENESS_UNKNOWN) == CLOCK_NEVER);   /* it is not said once more */
		} else {
			run(s, at + CLOCK_S - 1 - s->now);
			assert_int_equal(view(s, a, x), LIVENESS_DEAD);
			run(s, 1);
			assert_int_equal(view(s, a, x), LIVENESS_UNKNOWN);
		}
		segment_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(course_of_a_round), cmocka_unit_test(late_answer), cmocka_unit_test(whom_it_asks_for_proof),
					   cmocka_unit_test(halves), cmocka_unit_test(hosts), cmocka_unit_test(new_table), cmocka_unit_test(too_late), cmocka_unit_test(connected), cmocka_unit_test(undecided),
					   cmocka_unit_test(interval), cmocka_unit_test(cold), cmocka_unit_test(vouched_for), cmocka_unit_test(held_ends), cmocka_unit_test(held_for), cmocka_unit_test(verdict_of_a_passer_by), cmocka_unit_test(word_of_the_third), cmocka_unit_test(told_in_time)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
