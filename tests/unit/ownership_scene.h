/* One address as node "a" sees it, to the microsecond: for test_ownership_times.c and test_ownership_rival.c. */
#ifndef TESTS_UNIT_OWNERSHIP_SCENE_H
#define TESTS_UNIT_OWNERSHIP_SCENE_H

#include "config/base/clock.h"
#include "speaker/ownership.h"
#include "tests/unit/support.h"

#define T (100 * CLOCK_MS)
#define MS CLOCK_MS
#define NOW (1000 * CLOCK_S)
#define NODES 8

struct scene {
	const char *holder, *candidates;
	enum holder_fate fate;           /* of another than "a", who is me */
	const char *successor, *previous, *move_to;
	bool no_api, leaving, guard, alone, not_served, mute, refused, clear, holder_alive, misjudged;
	int64_t not_before;
	long long epoch;                 /* 0: 3; -1: 0, nobody ever had it */
	bool found;
};

static int64_t wake;

static inline enum ownership_action step(struct ownership *o, struct scene s, int64_t now)
{
	const char *names[NODES];
	char *text = mem_strdup(s.candidates), *rest = text, *one;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = s.holder, .successor = s.successor,
								      .previous = s.previous, .found = s.found,
								      .epoch = s.epoch < 0 ? 0 : s.epoch ? (int)s.epoch : 3});
	struct ownership_view v = {.me = "a", .record = r, .candidates = names, .served = !s.not_served, .connected = !s.alone, .api = !s.no_api, .interval = T,
				   .move_to = s.move_to, .leaving = s.leaving, .guard = s.guard, .mute = s.mute, .refused = s.refused, .not_before = s.not_before,
				   .clear_successor = s.clear, .holder_alive = s.holder_alive, .misjudged = s.misjudged, .fate = strcmp(s.holder, "a") == 0 ? HOLDER_ME : s.fate};
	while ((one = strsep(&rest, " ")) && *one) {
		v.eligible |= strcmp(one, "a") == 0;
		names[v.n_candidates++] = one;
	}
	enum ownership_action action = ownership_step(o, &v, now, &wake);
	record_free(r);
	free(text);
	return action;
}

static inline struct ownership in_state(enum ownership_state state)
{
	struct ownership o;
	struct address a = support_address("192.168.122.100");
	ownership_init(&o, &a, NOW);
	o.state = state;
	o.epoch = 3;
	return o;
}

/* Nothing a microsecond earlier, but the wish to be woken in time. */
static inline void acts_at(struct ownership *o, struct scene s, int64_t at, enum ownership_action action)
{
	enum ownership_state before = o->state;
	enum ownership_action early = step(o, s, at - 1);
	if (early != OWNERSHIP_NOTHING || o->state != before)
		fail_msg("%lld us: too early: action %d, state %s", (long long)(at - NOW - 1), early, ownership_state_name(o->state));
	if (wake != at)
		fail_msg("%lld us: to be woken at %lld", (long long)(at - NOW - 1), (long long)(wake - NOW));
	enum ownership_action now = step(o, s, at);
	if (now != action)
		fail_msg("%lld us: action %d, not %d, state %s", (long long)(at - NOW), now, action, ownership_state_name(o->state));
}

static inline void enters_at(struct ownership *o, struct scene s, int64_t at, enum ownership_action action, enum ownership_state state)
{
	acts_at(o, s, at, action);
	assert_string_equal(ownership_state_name(o->state), ownership_state_name(state));
}

#endif
