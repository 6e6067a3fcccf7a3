/* Liveness against the figures and promises of ownership.md (R1 to R4, sections 1 and 3), many seeds each. */
#include "tests/unit/liveness_lab.h"

static void node_dead(void **state)
{
	(void)state;
	static const int64_t intervals[] = {100 * MS, 20 * MS};
	for (unsigned seed = 0; seed < 20; seed++) {
		for (size_t n = 2; n <= 8; n++) {
			for (size_t k = 0; k < 2; k++) {
				bool by[MAX_NODES];
				int64_t t = intervals[k];
				struct segment *s = settled(seed, n, n == 2, t);
				size_t x = seed % n;
				assert_all_watched(s, n);
				watchers(s, x, by);
				int64_t died = s->now;
				s->nodes[x].kernel = false;
				run(s, 4 * t);
				assert_found(s, x, by, LIVENESS_DEAD, died, worst(t));
				/* The alarm of the first to miss it brings all others there: F + 2 S to it, 9 S + W of their own. */
				bool all[MAX_NODES] = {false};
				memset(all, 1, n);
				assert_found(s, x, all, LIVENESS_DEAD, died, worst(t) - t / 4 - 8 * (t * 12 / 100) + t / 4 + 11 * (t * 12 / 100));
				segment_free(s);
			}
		}
	}
}

enum way { KILLED, NOT_READY };

static void speaker_down(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		for (size_t n = 2; n <= 8; n++) {
			for (enum way way = KILLED; way <= NOT_READY; way++) {
				bool by[MAX_NODES];
				struct segment *s = settled(seed, n, 0, T);   /* no host: the kernel's answer is proof enough */
				size_t x = seed % n;
				watchers(s, x, by);
				int64_t since = s->now;
				if (way == KILLED)
					s->nodes[x].speaker = false;
				else
					liveness_set_ready(s->nodes[x].core, false);
				run(s, 2 * CLOCK_S);
				assert_found(s, x, by, LIVENESS_SPEAKER_DOWN, since, worst(T));
				for (size_t i = 0; i < n; i++)
					assert_int_equal(when(s, i, x, LIVENESS_DEAD), CLOCK_NEVER);
				if (way == KILLED)
					start_speaker(s, x);
				liveness_set_ready(s->nodes[x].core, true);
				s->n_said = 0;
				since = s->now;
				run(s, CLOCK_S);
				assert_found(s, x, by, LIVENESS_ALIVE, since, T + MARGIN);
				assert_all_watched(s, n);
				segment_free(s);
			}
		}
	}
}

/* How many guard what x has; the last of them is *whop. */
static size_t guards_of(const struct segment *s, size_t x, size_t *whop)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++)
		if (i != x && runs(s, i) && liveness_guards(s->nodes[i].core, s->nodes[x].is.name)) {
			n++;
			*whop = i;
		}
	return n;
}

/* R6: one guards, and when that one dies, another one does for both (finding 12). Who runs knows that he is watched. */
static void one_guards(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		size_t n = 3 + seed % 6, first = n, second = n;
		struct segment *s = settled(seed, n, 0, T);
		for (size_t i = 0; i < n; i++)
			assert_true(s->now - liveness_asked_at(s->nodes[i].core) < 2 * T);
		assert_int_equal(guards_of(s, 0, &first), 0);
		s->nodes[0].speaker = false;
		run(s, CLOCK_S);
		assert_int_equal(guards_of(s, 0, &first), 1);
		s->nodes[first].speaker = false;
		run(s, CLOCK_S);
		assert_int_equal(guards_of(s, first, &second), 1);
		size_t both = n;
		assert_int_equal(guards_of(s, 0, &both), 1);
		assert_int_equal(both, second);
		s->nodes[0].kernel = false;   /* dead is not guarded */
		run(s, CLOCK_S);
		assert_int_equal(guards_of(s, 0, &both), 0);
		assert_int_equal(guards_of(s, first, &second), 1);
		assert_null(liveness_peer(s->nodes[second].core, "nobody"));
		assert_false(liveness_guards(s->nodes[second].core, "nobody"));
		assert_true(mac_equal(&liveness_peer(s->nodes[second].core, s->nodes[first].is.name)->mac, &s->nodes[first].is.mac));
		segment_free(s);
	}
}

/* First the speaker, then the whole node: from guard to takeover. */
static void speaker_then_node(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		bool by[MAX_NODES];
		struct segment *s = settled(seed, 4, 0, T);
		watchers(s, 0, by);
		s->nodes[0].speaker = false;
		run(s, CLOCK_S + between(s, 0, T));
		int64_t died = s->now;
		s->nodes[0].kernel = false;
		run(s, CLOCK_S);
		assert_found(s, 0, by, LIVENESS_DEAD, died, worst(T));
		segment_free(s);
	}
}

/* A node that hears nobody, that nobody hears, or both: it convicts nobody, neither then nor when it is back. */
static void cut_off_node(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 60; seed++) {
		for (size_t n = 3; n <= 8; n++) {
			struct segment *s = settled(seed, n, seed % 2, T);
			size_t x = seed % n;
			bool by[MAX_NODES], out = seed % 3 != 1, in = seed % 3 != 2, long_cut = seed % 4 == 0;
			watchers(s, x, by);
			cut_off(s, x, out, in, true);
			run(s, long_cut ? 3 * CLOCK_S : between(s, 10 * MS, 600 * MS));
			assert_int_equal(convictions(s, x, ANYBODY), 0);
			if (long_cut)
				for (size_t i = 0; i < n; i++)
					assert_true(i == x || !by[i] || view(s, i, x) == LIVENESS_DEAD);
			cut_off(s, x, out, in, false);
			size_t before = s->n_said;
			run(s, CLOCK_S);
			assert_int_equal(convictions(s, x, ANYBODY), 0);
			assert_int_equal(convictions(s, ANYBODY, x), 0);
			assert_all_watched(s, n);
			for (size_t i = before; i < s->n_said; i++)   /* at the moment of the return nobody is convicted, nor later */
				assert_true(s->said[i].again || s->said[i].state != LIVENESS_DEAD || s->said[i].at < s->now - CLOCK_S + worst(T));
			segment_free(s);
		}
	}
}

/* Back at any moment of the first round, above all between its last request and its verdict. */
static void back_within_the_round(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		for (int64_t lasts = 100 * MS; lasts < 300 * MS; lasts += 2 * MS) {
			struct segment *s = settled(seed, 4, 1, T);
			cut_off(s, 0, true, true, true);
			run(s, lasts);
			cut_off(s, 0, true, true, false);
			run(s, 300 * MS);
			assert_int_equal(convictions(s, 0, ANYBODY), 0);
			segment_free(s);
		}
	}
}

/* The same in two steps: first or last only one path is broken, which alone looks like a death. The proof of the one half of
 * the silence must not stand for the other (finding 9). */
static void cut_off_in_steps(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 400; seed++) {
		struct segment *s = settled(seed, 3, 0, T);
		bool going = seed % 2;
		cut_off(s, 0, !going, !going, true);
		cut(s, 0, 1, true);
		cut(s, 1, 0, true);
		run(s, between(s, 0, 3 * T));
		cut_off(s, 0, true, true, going);
		cut(s, 0, 1, true);
		cut(s, 1, 0, true);
		run(s, CLOCK_S);
		assert_int_equal(convictions(s, 0, ANYBODY), 0);
		segment_free(s);
	}
}

static void heard_again_on_both_sides(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		for (size_t n = 2; n <= 8; n++) {
			struct segment *s = settled(seed, n, 0, T);
			bool by[MAX_NODES];
			size_t x = seed % n;
			watchers(s, x, by);
			run(s, 5 * CLOCK_S);
			assert_int_equal(s->n_said, 0);   /* nothing at all happens in peace */
			cut_off(s, x, true, true, true);
			run(s, 3 * CLOCK_S);
			s->n_said = 0;
			cut_off(s, x, true, true, false);
			run(s, 3 * T);
			for (size_t i = 0; i < n; i++)
				if (by[i])
					assert_true(heard_again(s, i, x) && heard_again(s, x, i));
			segment_free(s);
		}
	}
}

/* Two nodes: only a host that answers proves that the silence is not our own. */
static void two_nodes(void **state)
{
	(void)state;
	static const struct {
		size_t hosts;
		bool answers;
		enum liveness_state wanted;
	} cases[] = {{0, false, LIVENESS_SILENT}, {1, false, LIVENESS_SILENT}, {1, true, LIVENESS_DEAD}, {4, true, LIVENESS_DEAD}};
	for (unsigned seed = 0; seed < 20; seed++) {
		for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
			struct segment *s = settled(seed, 2, cases[c].hosts, T);
			for (size_t h = 2; h < s->n; h++)
				s->nodes[h].kernel = cases[c].answers;
			s->nodes[1].kernel = false;
			run(s, 5 * CLOCK_S);
			assert_int_equal(view(s, 0, 1), cases[c].wanted);
			if (cases[c].wanted == LIVENESS_SILENT) {
				assert_int_equal(convictions(s, ANYBODY, ANYBODY), 0);
				/* One round, then quietly on: it must not shout for ever. */
				assert_true(s->nodes[0].requests < 250);
				if (cases[c].hosts) {   /* somebody answers at last */
					int64_t since = s->now;
					s->nodes[2].kernel = true;
					run(s, CLOCK_S);
					assert_true(when(s, 0, 1, LIVENESS_DEAD) - since < 2 * T + worst(T));
				}
			}
			segment_free(s);
		}
	}
}

/* 10 % loss each way, 10 +- 10 ms delay, ten minutes: no verdict against anybody. */
static void loss_and_jitter(void **state)
{
	(void)state;
	static const size_t sizes[] = {2, 3, 5, 8};
	for (unsigned seed = 0; seed < 3; seed++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct segment *s = settled(seed, sizes[k], 1, T);
			s->loss = 0.1;
			s->delay_min = 0;
			s->delay_max = 20 * MS;
			run(s, 600 * CLOCK_S);
			assert_int_equal(convictions(s, ANYBODY, ANYBODY), 0);
			for (size_t i = 0; i < sizes[k]; i++)
				assert_in_range(s->nodes[i].sent, 600 * 20, 600 * 130);
			segment_free(s);
		}
	}
}

/* And a death is still found. Once in hundreds a watcher heard only the kernel, just before: then it takes two rounds. */
static void death_under_loss(void **state)
{
	(void)state;
	unsigned late = 0;
	for (unsigned seed = 0; seed < 100; seed++) {
		size_t n = 3 + seed % 6, x = seed % n;
		struct segment *s = settled(seed, n, 0, T);
		s->loss = 0.1;
		s->delay_min = 0;
		s->delay_max = 20 * MS;
		run(s, CLOCK_S);
		s->n_said = 0;
		int64_t died = s->now, first = CLOCK_NEVER;
		s->nodes[x].kernel = false;
		run(s, 2 * CLOCK_S);
		for (size_t i = 0; i < n; i++)
			first = clock_min(first, when(s, i, x, LIVENESS_DEAD));
		assert_true(first != CLOCK_NEVER && first - died < 2 * worst(T));
		late += first - died > worst(T) + 40 * MS;
		assert_true(count_view(s, x, LIVENESS_DEAD) >= 2);
		segment_free(s);
	}
	assert_in_range(late, 0, 5);
}

static void one_way_pair(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 4; seed++) {
		for (size_t n = 3; n <= 8; n++) {
			for (size_t b = 1; b < n; b++) {
				struct segment *s = settled(seed, n, 1, T);
				bool by[MAX_NODES];
				watchers(s, b, by);
				cut(s, 0, b, true);
				if (seed % 2)
					cut(s, b, 0, true);
				run(s, 20 * CLOCK_S);
				assert_int_equal(convictions(s, ANYBODY, ANYBODY), 0);
				assert_true(s->vouches > 0 || !by[0]);
				assert_true(n > 3 || s->vouches <= 2 * 5 * 3);   /* both sides, every 5 s, at three alarms */
				/* A node that really dies then is found by the others all the same. */
				s->nodes[b].kernel = false;
				run(s, 10 * CLOCK_S);
				assert_true(count_view(s, b, LIVENESS_DEAD) >= (n > 3 ? 2u : 1u));
				segment_free(s);
			}
		}
	}
}

/* Under loss watchers raise alarms now and then; one that does not watch and has a bad path must not convict alone. */
static void bad_path_of_a_non_watcher(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		struct segment *s = settled(seed, 8, 1, T);
		size_t a = 0, x = 1;
		while (x < 7 && (view(s, a, x) != LIVENESS_UNKNOWN || view(s, x, a) != LIVENESS_UNKNOWN))
			x++;
		cut(s, a, x, true);
		cut(s, x, a, true);
		s->loss = 0.1;
		run(s, 120 * CLOCK_S);
		assert_int_equal(when(s, a, x, LIVENESS_DEAD), CLOCK_NEVER);
		assert_int_equal(when(s, x, a, LIVENESS_DEAD), CLOCK_NEVER);
		segment_free(s);
	}
}

static void chain_of_deaths(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		size_t n = 3 + seed % 6;
		struct segment *s = settled(seed, n, 1, T);
		for (size_t alive = n; alive > 1; alive--) {
			bool by[MAX_NODES];
			size_t x;
			do
				x = (size_t)between(s, 0, (int64_t)n - 1);
			while (!runs(s, x));
			assert_all_watched(s, alive);
			watchers(s, x, by);
			s->n_said = 0;
			int64_t died = s->now;
			s->nodes[x].kernel = false;
			run(s, between(s, 1500 * MS, 3 * CLOCK_S));   /* the ring heals past those that died before, some 200 ms each */
			for (size_t i = 0; i < s->n_said; i++)   /* nothing bad of the living */
				assert_true(s->said[i].again || !runs(s, s->said[i].about) || s->said[i].state <= LIVENESS_ALIVE);
			for (size_t i = 0; i < n; i++)
				assert_true(!by[i] || !runs(s, i) || when(s, i, x, LIVENESS_DEAD) - died <= worst(T));
		}
		for (size_t x = 0; x < n; x++) {   /* and all come back */
			if (!s->nodes[x].kernel)
				start_speaker(s, x);
			run(s, 100 * MS);
		}
		run(s, CLOCK_S);
		assert_all_watched(s, n);
		segment_free(s);
	}
}

/* More than half at once, also whole runs of the ring whose watchers are all dead. */
static void many_deaths_at_once(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		size_t n = 8 + seed % 12;
		struct segment *s = settled(seed, n, 0, T);
		run(s, 3 * CLOCK_S);
		for (size_t x = 3; x < n; x++)
			s->nodes[x].kernel = false;
		run(s, (int64_t)(n - 3) * worst(T));
		for (size_t x = 3; x < n; x++)
			assert_true(count_view(s, x, LIVENESS_DEAD) >= 1);
		run(s, CLOCK_S);
		for (size_t i = 0; i < s->n_said; i++)
			assert_true(s->said[i].again || s->said[i].about >= 3 || s->said[i].state <= LIVENESS_SILENT);
		assert_all_watched(s, 3);
		segment_free(s);
	}
}

static void cost_in_peace(void **state)
{
	(void)state;
	static const size_t sizes[] = {2, 3, 5, 8, 20, 50};
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		size_t n = sizes[k];
		struct segment *s = settled(1, n, 1, T);
		for (size_t i = 0; i < n; i++)
			s->nodes[i].requests = s->nodes[i].sent = 0;
		run(s, 10 * CLOCK_S);
		for (size_t i = 0; i < n; i++) {
			unsigned per_second = n == 2 ? 10 : 20;
			assert_in_range(s->nodes[i].requests, 10 * per_second - 5, 10 * per_second + 2);
			assert_in_range(s->nodes[i].sent, 20 * per_second - 10, 20 * per_second + 4);
		}
		assert_int_equal(s->n_said, 0);
		segment_free(s);
	}
}

/* Half of 50 nodes switched off at night: eight are asked all the time, the others seldom, and found when they are back. */
static void cost_with_many_dead(void **state)
{
	(void)state;
	struct segment *s = settled(1, 50, 1, T);
	for (size_t i = 5; i < 50; i++)
		s->nodes[i].kernel = false;
	run(s, 30 * CLOCK_S);
	for (size_t i = 0; i < 5; i++)
		s->nodes[i].requests = 0;
	run(s, 10 * CLOCK_S);
	for (size_t i = 0; i < 5; i++)
		assert_in_range(s->nodes[i].requests, 100, (8 + 2) * 100 + 25);
	for (size_t x = 5; x < 50; x++)
		assert_true(count_view(s, x, LIVENESS_DEAD) >= 1);
	start_speaker(s, 40);
	run(s, 3 * T);
	for (size_t i = 0; i < 5; i++)   /* whom it asks looks at it again, also if its turn is far away */
		assert_true(view(s, 40, i) == LIVENESS_UNKNOWN || view(s, i, 40) != LIVENESS_DEAD);
	for (size_t x = 5; x < 50; x++)
		start_speaker(s, x);
	run(s, 2 * CLOCK_S);
	assert_all_watched(s, 50);
	segment_free(s);
}

static void cold_start(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		for (size_t n = 2; n <= 8; n++) {
			for (int kernel = 0; kernel < 2; kernel++) {
				struct segment *s = segment(seed, n, n == 2, T);
				size_t x = seed % n, found = 0;
				enum liveness_state wanted = kernel ? LIVENESS_SPEAKER_DOWN : LIVENESS_DEAD;
				int64_t begin = s->now;
				for (size_t i = 0; i < n; i++)
					if (i != x)
						start_speaker(s, i);
				s->nodes[x].kernel = kernel;
				run(s, 4 * CLOCK_S);
				for (size_t i = 0; i < n; i++) {
					int64_t at = when(s, i, x, wanted);
					if (at == CLOCK_NEVER)
						continue;
					assert_in_range(at - begin, 3 * CLOCK_S, 3 * CLOCK_S + T + worst(T));
					found++;
				}
				assert_true(found >= (n > 2 ? 2u : 1u));
				assert_int_equal(convictions(s, ANYBODY, x), 0);
				segment_free(s);
			}
		}
	}
}

/* A dead node boots: its kernel answers long before its speaker does, and it may take 3 s for that. */
static void reboot(void **state)
{
	(void)state;
	for (int comes = 0; comes < 2; comes++) {
		struct segment *s = settled(1, 3, 0, T);
		s->nodes[0].kernel = s->nodes[0].speaker = false;
		run(s, 5 * CLOCK_S);
		assert_int_equal(count_view(s, 0, LIVENESS_DEAD), 2);
		s->nodes[0].kernel = true;
		run(s, 2 * T);
		assert_int_equal(count_view(s, 0, LIVENESS_UNKNOWN), 2);
		run(s, 2500 * MS);
		assert_int_equal(count_view(s, 0, LIVENESS_UNKNOWN), 2);
		if (comes)
			start_speaker(s, 0);
		run(s, CLOCK_S);
		assert_int_equal(count_view(s, 0, comes ? LIVENESS_ALIVE : LIVENESS_SPEAKER_DOWN), 2);
		segment_free(s);
	}
}

/* Also between two of our own questions, when we slept long: ten questions, and no verdict without a watcher's. */
static void alarm_starts_a_round(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 100; seed++) {
		struct segment *s = settled(seed, 4, 0, T);
		size_t a = 0, x = 1;
		while (x < 3 && view(s, a, x) != LIVENESS_UNKNOWN)
			x++;
		cut(s, a, x, true);
		const struct liveness_peer *raises = &s->nodes[x == 3 ? 2 : 3].is;
		struct arp_frame alarm = arp_question(raises->address, &raises->mac, s->nodes[x].is.address, NULL);
		alarm.tha = ALARM_MARK;
		unsigned before = s->nodes[a].requests;
		assert_true(liveness_receive(s->nodes[a].core, &alarm, s->now));
		tend(s, a);
		run(s, 2 * T);
		assert_true(s->nodes[a].requests - before >= 10 + 3);
		assert_int_equal(convictions(s, a, ANYBODY), 0);
		segment_free(s);
	}
}

/* A process that stood still convicts nobody by what it missed: it begins its round again. */
static void late_steps(void **state)
{
	(void)state;
	static const int64_t stops[] = {40 * MS, 60 * MS, 200 * MS, 2 * CLOCK_S};
	for (unsigned seed = 0; seed < 20; seed++) {
		for (size_t k = 0; k < sizeof(stops) / sizeof(stops[0]); k++) {
			struct segment *s = settled(seed, 3, 0, T);
			/* Long after the death request, before the verdict; and node 0 hears nothing while it stands still. */
			int64_t died = s->now;
			s->nodes[1].kernel = false;
			while (when(s, 2, 1, LIVENESS_DEAD) == CLOCK_NEVER && s->now < died + 120 * MS)
				run(s, MS);
			s->nodes[0].stopped = true;
			run(s, stops[k]);
			int64_t resumed = s->now;
			s->nodes[0].stopped = false;
			run(s, CLOCK_S);
			int64_t at = when(s, 0, 1, LIVENESS_DEAD);
			/* Standing still may have cost the proof of one half: then SILENT first, and another round. */
			assert_true(at != CLOCK_NEVER && at - resumed <= (when(s, 0, 1, LIVENESS_SILENT) == CLOCK_NEVER ? 1 : 2) * worst(T));
			if (stops[k] > T / 2 + 25 * MS)
				assert_true(at - resumed >= T / 4 + 8 * (T * 12 / 100) + T / 2);
			assert_int_equal(when(s, 0, 2, LIVENESS_DEAD), CLOCK_NEVER);
			segment_free(s);
		}
	}
}

static void reset_peers_and_self(void **state)
{
	(void)state;
	struct segment *s = settled(1, 3, 1, T);   /* everybody watches everybody */
	struct liveness *core = s->nodes[0].core;
	s->nodes[1].kernel = false;
	run(s, CLOCK_S);
	assert_int_equal(count_view(s, 1, LIVENESS_DEAD), 2);

	tell_peers(s, 0);   /* the same ones: verdicts stay */
	assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);
	struct liveness_peer moved = s->nodes[1].is;
	moved.mac.bytes[5] = 0x99;
	liveness_set_peers(core, &moved, 1, s->now);   /* another card: nothing is known */
	assert_int_equal(view(s, 0, 1), LIVENESS_UNKNOWN);
	assert_int_equal(view(s, 0, 2), LIVENESS_UNKNOWN);   /* no peer any more */
	assert_string_equal(liveness_peer_of_mac(core, &moved.mac), s->nodes[1].is.name);
	assert_null(liveness_peer_of_mac(core, &s->nodes[1].is.mac));
	tell_peers(s, 0);
	memset(s->nodes[0].told, 0, sizeof(s->nodes[0].told));   /* all are new again, and that is not said */
	run(s, 4 * CLOCK_S);
	assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);

	s->n_said = 0;
	liveness_reset(core, s->now);
	tend(s, 0);
	assert_true(when(s, 0, 1, LIVENESS_UNKNOWN) != CLOCK_NEVER);
	assert_int_equal(view(s, 0, 2), LIVENESS_UNKNOWN);
	run(s, T + MARGIN);
	assert_int_equal(view(s, 0, 1), LIVENESS_UNKNOWN);   /* the cold time again */
	run(s, 4 * CLOCK_S);
	assert_int_equal(view(s, 0, 1), LIVENESS_DEAD);

	liveness_set_self(core, 0, &s->nodes[0].is.mac);   /* no address: nobody is asked, nothing is answered */
	liveness_step(core, s->now);
	tend(s, 0);
	assert_int_equal(liveness_deadline(core), CLOCK_NEVER);
	assert_int_equal(view(s, 0, 1), LIVENESS_UNKNOWN);
	struct arp_frame f = arp_question(s->nodes[2].is.address, &s->nodes[2].is.mac, s->nodes[0].is.address, &s->nodes[0].is.mac);
	assert_false(liveness_receive(core, &f, s->now));
	liveness_set_self(core, s->nodes[0].is.address, &s->nodes[0].is.mac);   /* and back, without new peers */
	tend(s, 0);
	run(s, CLOCK_S);
	assert_int_equal(view(s, 0, 2), LIVENESS_ALIVE);
	segment_free(s);
}

/* Which frames the core keeps to itself, and what it answers. */
static void consumed_frames(void **state)
{
	(void)state;
	struct segment *s = settled(1, 3, 1, T);
	const struct liveness_peer *own = &s->nodes[0].is, *peer = &s->nodes[1].is, *host = &s->nodes[3].is;
	struct arp_frame by_peer = arp_question(peer->address, &peer->mac, own->address, &own->mac);
	struct arp_frame by_stranger = arp_question(0x0a6300fa, &host->mac, own->address, &own->mac);
	struct arp_frame alarm = arp_question(peer->address, &peer->mac, s->nodes[2].is.address, NULL);
	struct arp_frame other = arp_question(peer->address, &peer->mac, 0x0a630064, NULL);
	struct arp_frame from_host = arp_gratuitous_reply(host->address, &host->mac), broadcast = from_host, by_kernel = by_peer, echo = by_peer;
	alarm.tha = ALARM_MARK;
	from_host.eth_dst = own->mac;
	from_host.tpa = own->address;
	by_kernel.eth_dst = MAC_BROADCAST;
	echo.eth_src = own->mac;
	const struct {
		const char *what;
		const struct arp_frame *frame;
		bool consumed, sends;
	} cases[] = {
		{"a peer's question", &by_peer, true, true},         {"a stranger's question", &by_stranger, false, false},
		{"an alarm", &alarm, true, true},                    {"a question for something else", &other, false, false},
		{"a host's answer", &from_host, false, false},        {"a host's announcement", &broadcast, false, false},
		{"a kernel's question to all", &by_kernel, false, false}, {"an echo", &echo, false, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct liveness_action a;
		if (liveness_receive(s->nodes[0].core, cases[i].frame, s->now) != cases[i].consumed)
			fail_msg("%s: wanted %d", cases[i].what, cases[i].consumed);
		bool sends = liveness_take(s->nodes[0].core, &a);
		if (sends != cases[i].sends)
			fail_msg("%s: sends %d", cases[i].what, sends);
		if (cases[i].frame == &by_peer) {   /* the form no kernel sends */
			assert_int_equal(a.frame.op, ARP_REPLY);
			assert_true(a.frame.spa == own->address && a.frame.tpa == own->address);
			assert_true(mac_equal(&a.frame.eth_dst, &peer->mac) && mac_equal(&a.frame.tha, &peer->mac) && mac_equal(&a.frame.sha, &own->mac));
		}
	}
	segment_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node_dead), cmocka_unit_test(speaker_down), cmocka_unit_test(one_guards), cmocka_unit_test(speaker_then_node), cmocka_unit_test(cut_off_node),
		cmocka_unit_test(heard_again_on_both_sides), cmocka_unit_test(two_nodes), cmocka_unit_test(loss_and_jitter),
		cmocka_unit_test(death_under_loss), cmocka_unit_test(one_way_pair), cmocka_unit_test(bad_path_of_a_non_watcher),
		cmocka_unit_test(chain_of_deaths), cmocka_unit_test(many_deaths_at_once), cmocka_unit_test(cost_in_peace),
		cmocka_unit_test(cost_with_many_dead), cmocka_unit_test(cold_start), cmocka_unit_test(cut_off_in_steps),
		cmocka_unit_test(back_within_the_round),
		cmocka_unit_test(reboot), cmocka_unit_test(alarm_starts_a_round), cmocka_unit_test(late_steps),
		cmocka_unit_test(reset_peers_and_self), cmocka_unit_test(consumed_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
