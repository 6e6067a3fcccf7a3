/* When liveness says what: to the microsecond, on a segment without delay and with timers that are never late. ownership.md R3. */
#include "tests/unit/liveness_lab.h"

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

/* What is sent and when, after a death: F later the round, alarms from its third request on, and one with the verdict. */
static void course_of_a_round(void **state)
{
	static const int64_t REQUESTS[] = {0, 25, 37, 49, 61, 73, 85, 97, 109, 121};
	(void)state;
	struct segment *s = exact(1, 2);
	s->nodes[1].kernel = s->nodes[1].speaker = false;
	int64_t asked = next_request(s, 0);
	size_t sent = 1, alarms = 0;
	int64_t alarm_at[8] = {0};
	struct liveness_action a;
	for (int64_t at = asked; at <= asked + VERDICT; at = at + 500) {   /* taken from the core itself */
		s->now = at;
		for (size_t i = 0; i < s->flying; i++)
			if (s->heap[i].at < at)
				s->heap[i].at = at;
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
			if (a.frame.op == ARP_REQUEST && a.frame.tpa == s->nodes[1].is.address) {
				if (mac_equal(&a.frame.eth_dst, &MAC_BROADCAST)) {
					assert_true(mac_equal(&a.frame.tha, &ALARM_MARK));
					assert_in_range(alarms, 0, 7);
					alarm_at[alarms++] = (at - asked) / MS;
				} else {
					assert_true(sent < 10 && at == asked + REQUESTS[sent] * MS);
					sent++;
				}
			}
			send_frame(s, 0, &a.frame);
		}
		assert_true(liveness_deadline(s->nodes[0].core) > at);
	}
	assert_int_equal(sent, 10);
	assert_int_equal(alarms, 4);
	assert_int_equal(alarm_at[0], 49);
	assert_int_equal(alarm_at[1], 61);
	assert_int_equal(alarm_at[2], 73);
	assert_int_equal(alarm_at[3], VERDICT / MS);
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(course_of_a_round), cmocka_unit_test(late_answer),
					   cmocka_unit_test(interval), cmocka_unit_test(cold), cmocka_unit_test(vouched_for)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
