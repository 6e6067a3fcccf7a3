/* Who answers for one address: states x events, and courses of events. ownership.md R5 to R10. */
#include "config/base/clock.h"
#include "speaker/ownership.h"
#include "tests/unit/support.h"

#define T (100 * CLOCK_MS)
#define NOW (1000 * CLOCK_S)

static const enum ownership_state IDLE = OWNERSHIP_IDLE, CLAIMING = OWNERSHIP_CLAIMING, CHECK = OWNERSHIP_CHECK, OWNED = OWNERSHIP_OWNED,
	MOVING = OWNERSHIP_MOVING, RELEASING = OWNERSHIP_RELEASING, YIELDING = OWNERSHIP_YIELDING, STOPPING = OWNERSHIP_STOPPING,
	GUARDING = OWNERSHIP_GUARDING, REFUSED = OWNERSHIP_REFUSED;

/* ---- states x events ---- */

struct row {
	const char *what;
	enum ownership_state from;       /* with the record naming "b" for IDLE, "a" (me) else */
	const char *holder;              /* now; NULL: as above, "-": no record */
	enum holder_fate fate;           /* of the holder when it is another; HOLDER_ME follows from the name */
	const char *candidates;          /* "a b"; NULL: "a b" */
	bool clear, unwatched, not_served, leaving, no_api, alone, refused, guard, misjudged, mute, appointed, took;
	const char *rival, *previous, *successor, *move_to, *guarded;
	int64_t after;                   /* in the state for so long */
	enum ownership_state to;
	enum ownership_action action;
	const char *target;
};

static const struct row ROWS[] = {
	{"another has it", IDLE, "b", HOLDER_PRESENT, .to = IDLE},
	{"no record", IDLE, "-", .to = IDLE},
	{"it is dead, I am first", IDLE, "b", HOLDER_DEAD, "a c", .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"it is dead, and the API as well", IDLE, "b", HOLDER_DEAD, "a c", .no_api = true, .to = OWNED},
	{"it is dead, I am second", IDLE, "b", HOLDER_DEAD, "c a", .to = IDLE},
	{"it is dead, I may not", IDLE, "b", HOLDER_DEAD, "c", .to = IDLE},
	{"it is dead, I leave", IDLE, "b", HOLDER_DEAD, "a", .leaving = true, .to = IDLE},
	{"it is dead, I was wrong about it before", IDLE, "b", HOLDER_DEAD, "a c", .misjudged = true, .to = IDLE},
	{"its speaker is down, mine to guard", IDLE, "b", HOLDER_SPEAKER_DOWN, .guard = true, .to = GUARDING},
	{"its speaker is down, mine to guard though I may not own it", IDLE, "b", HOLDER_SPEAKER_DOWN, "c", .guard = true, .to = GUARDING},
	{"its speaker is down, another guards", IDLE, "b", HOLDER_SPEAKER_DOWN, .to = IDLE},
	{"its speaker is down, I leave", IDLE, "b", HOLDER_SPEAKER_DOWN, .guard = true, .leaving = true, .to = IDLE},
	{"nobody's, I am first", IDLE, "", HOLDER_NONE, "a c", .to = CLAIMING, .action = OWNERSHIP_WRITE, .target = "a"},
	{"nobody's, I am second", IDLE, "", HOLDER_NONE, "c a", .to = IDLE},
	{"no node any more: does it answer still?", IDLE, "b", HOLDER_GONE, "a", .to = IDLE},
	{"I am the successor", IDLE, "b", HOLDER_PRESENT, .successor = "a", .to = CLAIMING, .action = OWNERSHIP_WRITE, .target = "a"},
	{"another is the successor", IDLE, "b", HOLDER_PRESENT, .successor = "c", .to = IDLE},
	{"I am the successor, but may not", IDLE, "b", HOLDER_PRESENT, "b c", .successor = "a", .to = IDLE},
	{"I am the successor, without the API", IDLE, "b", HOLDER_PRESENT, .successor = "a", .no_api = true, .to = IDLE},
	{"mine by the record: ask first", IDLE, "a", .to = CHECK, .action = OWNERSHIP_ASK},
	{"mine by the record since a moment ago", IDLE, "a", .appointed = true, .to = OWNED},
	{"mine by the record, I leave", IDLE, "a", .leaving = true, .to = IDLE},
	{"mine by the record, but only another may", IDLE, "a", .candidates = "c b", .to = IDLE, .action = OWNERSHIP_WRITE, .target = "c"},
	{"... without the API", IDLE, "a", .candidates = "c b", .no_api = true, .to = IDLE},
	{"mine by the record, nobody may", IDLE, "a", .candidates = "", .not_served = true, .to = IDLE},
	{"mine by the record, another was heard just now", IDLE, "a", HOLDER_PRESENT, .rival = "b", .to = IDLE},
	{"checked: nobody else has it", CHECK, .after = 65 * CLOCK_MS, .to = OWNED},
	{"checked: nobody has it, whatever the record says", CHECK, "b", HOLDER_PRESENT, .after = 65 * CLOCK_MS, .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"checked, but I may not any more", CHECK, .candidates = "b", .after = 65 * CLOCK_MS, .to = IDLE},
	{"checking, and another answers", CHECK, .rival = "b", .to = IDLE},
	{"mine, all is well", OWNED, .to = OWNED},
	{"mine, without the API", OWNED, .no_api = true, .to = OWNED},
	{"the record is gone", OWNED, "-", .to = IDLE},
	{"the record names another", OWNED, "b", HOLDER_PRESENT, .to = RELEASING, .action = OWNERSHIP_ASK},
	{"the record was made anew", OWNED, "", HOLDER_NONE, .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"taken, not recorded yet", OWNED, "b", HOLDER_DEAD, .took = true, .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"taken, another was faster to record", OWNED, "c", HOLDER_PRESENT, "a c", .took = true, .to = RELEASING, .action = OWNERSHIP_ASK},
	{"no endpoint at all", OWNED, .candidates = "", .not_served = true, .to = IDLE},
	{"a move is wanted", OWNED, .move_to = "b", .to = MOVING, .action = OWNERSHIP_NAME, .target = "b"},
	{"a move is wanted, without the API: go on", OWNED, .move_to = "b", .no_api = true, .to = MOVING},
	{"a successor who cannot have it", OWNED, .successor = "x", .clear = true, .to = OWNED, .action = OWNERSHIP_NAME, .target = ""},
	{"I may not, nobody may", OWNED, .candidates = "", .to = IDLE},
	{"no link works: the next one gets it at once", OWNED, .candidates = "c b", .mute = true, .to = IDLE},
	{"I leave", OWNED, .leaving = true, .to = STOPPING},
	{"I leave, and nobody would guard", OWNED, .leaving = true, .unwatched = true, .to = MOVING, .action = OWNERSHIP_NAME, .target = "b"},
	{"I leave, nobody would guard, and nobody else may have it", OWNED, .candidates = "a", .leaving = true, .unwatched = true, .to = STOPPING},
	{"I leave, and drain: to whom it is planned for", OWNED, .leaving = true, .move_to = "b", .to = MOVING, .action = OWNERSHIP_NAME, .target = "b"},
	{"a rival: look first", OWNED, .rival = "b", .to = OWNED, .action = OWNERSHIP_LOOK},
	{"a rival, no API, I took it from him", OWNED, .rival = "b", .previous = "b", .no_api = true, .to = OWNED, .action = OWNERSHIP_DEFEND},
	{"a rival, no API, mine is the older claim", OWNED, .rival = "b", .previous = "c", .no_api = true, .to = YIELDING},
	{"two took it from the same one, mine is the worse place: ask him", OWNED, "b", HOLDER_DEAD, "c a", .took = true, .rival = "c", .to = YIELDING},
	{"two took it from the same one, mine is the better place", OWNED, "b", HOLDER_DEAD, "a c", .took = true, .rival = "c", .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"two took it from the same one, long ago: look", OWNED, "b", HOLDER_DEAD, "c a", .took = true, .rival = "c", .after = 2 * CLOCK_S, .to = OWNED, .action = OWNERSHIP_LOOK},
	{"moving, he has written it", MOVING, "b", HOLDER_PRESENT, .move_to = "b", .to = RELEASING, .action = OWNERSHIP_ASK},
	{"moving, and he is heard", MOVING, .move_to = "b", .successor = "b", .rival = "b", .to = IDLE},
	{"moving, not wanted any more", MOVING, .successor = "b", .clear = true, .to = OWNED, .action = OWNERSHIP_NAME, .target = ""},
	{"moving, to another", MOVING, .successor = "b", .move_to = "c", .to = MOVING, .action = OWNERSHIP_NAME, .target = "c"},
	{"moving, nobody can be served", MOVING, .candidates = "b", .not_served = true, .move_to = "b", .to = IDLE},
	{"moving, a third one is here", MOVING, .move_to = "b", .successor = "b", .rival = "c", .to = OWNED, .action = OWNERSHIP_LOOK},
	{"releasing: he is heard", RELEASING, "b", HOLDER_PRESENT, .rival = "b", .to = IDLE},
	{"releasing: mine again", RELEASING, "a", .to = OWNED},
	{"releasing: he died before he began", RELEASING, "b", HOLDER_DEAD, .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"releasing: he should have been heard", RELEASING, "b", HOLDER_PRESENT, .after = CLOCK_S, .to = IDLE},
	{"releasing: nobody can be heard", RELEASING, "b", HOLDER_PRESENT, .alone = true, .after = 30 * CLOCK_S, .to = RELEASING, .action = OWNERSHIP_ASK},
	{"stopping: a guard is heard", STOPPING, .leaving = true, .guarded = "me", .to = IDLE},
	{"stopping: another one is heard", STOPPING, .leaving = true, .rival = "b", .to = IDLE},
	{"stopping: nobody yet", STOPPING, .leaving = true, .to = STOPPING},
	{"stopping: asks", STOPPING, .leaving = true, .after = 150 * CLOCK_MS, .to = STOPPING, .action = OWNERSHIP_ASK},
	{"stopping: nobody guards, so it is moved", STOPPING, .leaving = true, .after = 700 * CLOCK_MS, .to = MOVING, .action = OWNERSHIP_NAME, .target = "b"},
	{"stopping: nobody guards, without the API", STOPPING, .leaving = true, .no_api = true, .after = 700 * CLOCK_MS, .to = STOPPING, .action = OWNERSHIP_ASK},
	{"guarding", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .after = 29 * CLOCK_S, .to = GUARDING},
	{"guarding: it is back", GUARDING, "b", HOLDER_PRESENT, .to = IDLE},
	{"guarding: it is heard", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .rival = "b", .after = CLOCK_S, .to = IDLE},
	{"guarding: its answer from before we began", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .rival = "b", .to = GUARDING},
	{"guarding: another has it", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .rival = "c", .to = IDLE},
	{"guarded long enough, I am first", GUARDING, "b", HOLDER_SPEAKER_DOWN, "a c", .guard = true, .after = 30 * CLOCK_S, .to = OWNED, .action = OWNERSHIP_WRITE, .target = "a"},
	{"guarded long enough, another is first", GUARDING, "b", HOLDER_SPEAKER_DOWN, "c a", .guard = true, .after = 30 * CLOCK_S, .to = GUARDING, .action = OWNERSHIP_WRITE, .target = "c"},
	{"guarded long enough, without the API", GUARDING, "b", HOLDER_SPEAKER_DOWN, "c a", .guard = true, .no_api = true, .after = 30 * CLOCK_S, .to = OWNED},
	{"guarded long enough, nobody may have it", GUARDING, "b", HOLDER_SPEAKER_DOWN, "", .guard = true, .after = 30 * CLOCK_S, .to = GUARDING},
	{"guarding, I leave: until another guards", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .leaving = true, .to = GUARDING},
	{"guarding, I leave, another guards", GUARDING, "b", HOLDER_SPEAKER_DOWN, .guard = true, .leaving = true, .guarded = "b", .to = IDLE},
	{"a stranger has it: nobody's stays nobody's", IDLE, "", HOLDER_NONE, "a c", .refused = true, .to = IDLE},
	{"a stranger has it: mine stays silent", IDLE, "a", .refused = true, .to = IDLE},
	{"a stranger has it: not taken from the dead", IDLE, "b", HOLDER_DEAD, "a c", .refused = true, .to = IDLE},
	{"a stranger has it: not passed on", IDLE, "a", .candidates = "c b", .refused = true, .to = IDLE},
	{"what is announced is kept", OWNED, .refused = true, .to = OWNED},
	{"refused", REFUSED, .refused = true, .to = REFUSED},
	{"refused, and the stranger has gone: looked at anew", REFUSED, .after = 5 * CLOCK_S, .to = IDLE},
	{"refused, and the record is gone", REFUSED, "-", .to = IDLE},
};

static size_t split(char *text, const char **names)
{
	size_t n = 0;
	char *rest = text, *one;
	while ((one = strsep(&rest, " ")) && *one)
		names[n++] = one;
	return n;
}

static struct ownership in_state(enum ownership_state state)
{
	struct ownership o;
	struct address a = support_address("192.168.122.100");
	ownership_init(&o, &a, NOW - CLOCK_MS);
	o.state = state;
	return o;
}

/* The state of a row, as it would have come about. */
static struct ownership row_begin(const struct row *row, const struct record *r)
{
	struct ownership o = in_state(row->from);
	o.since = NOW - (row->after ? row->after : CLOCK_MS);
	o.asked = row->from == CHECK ? 3 : 0;
	o.asked_at = NOW - CLOCK_MS;
	o.epoch = row->appointed ? 2 : 3;
	if (row->from == GUARDING)
		mem_replace(&o.guarded, "b");
	if (row->took) {
		mem_replace(&o.from, "b");
		mem_replace(&o.before[0], "b");
	}
	if (row->rival)
		ownership_claimed(&o, row->rival, r, NOW);
	if (row->guarded)
		ownership_guard_heard(&o, NOW);
	return o;
}

static void transitions(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		const struct row *row = &ROWS[i];
		const char *names[4], *holder = row->holder ? row->holder : "a";
		char *text = mem_strdup(row->candidates ? row->candidates : "a b");
		struct record *r = *holder == '-' ? NULL : support_record_new((struct support_record){.address = "192.168.122.100", .holder = holder, .previous = row->previous,
							   .successor = row->successor, .epoch = 3});
		struct ownership o = row_begin(row, r);
		int64_t wake;
		struct ownership_view v = {.me = "a", .record = r, .fate = strcmp(holder, "a") == 0 ? HOLDER_ME : row->fate, .leaving = row->leaving, .served = !row->not_served, .refused = row->refused,
					   .candidates = names, .connected = !row->alone, .api = !row->no_api, .interval = T, .guard = row->guard, .misjudged = row->misjudged,
					   .mute = row->mute, .move_to = row->move_to, .clear_successor = row->clear, .watched_at = row->unwatched ? NOW - CLOCK_S - 1 : NOW - CLOCK_S};
		v.n_candidates = split(text, names);
		for (size_t j = 0; j < v.n_candidates; j++)
			v.eligible |= strcmp(names[j], "a") == 0;
		enum ownership_action action = ownership_step(&o, &v, NOW, &wake);
		if (o.state != row->to || action != row->action)
			fail_msg("%s: state %s, action %d", row->what, ownership_state_name(o.state), action);
		if (wake <= NOW)
			fail_msg("%s: never rests", row->what);
		if (row->target)
			assert_string_equal(o.target, row->target);
		ownership_free(&o);
		record_free(r);
		free(text);
	}
}

/* Never announced before: `fresh`, so that it is probed; and once more when it comes back after a refusal. */
static void new_addresses_are_fresh(void **state)
{
	static const struct { const char *holder; int epoch; enum holder_fate fate; bool fresh; } CASES[] = {
		{"", 0, HOLDER_NONE, true}, {"", 2, HOLDER_NONE, false}, {"b", 1, HOLDER_GONE, false}, {"b", 1, HOLDER_DEAD, false}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(IDLE);
		const char *names[] = {"a"};
		int64_t wake;
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = CASES[i].holder, .epoch = CASES[i].epoch});
		struct ownership_view v = {.me = "a", .record = r, .fate = CASES[i].fate, .eligible = true, .served = true, .connected = true, .api = true, .interval = T,
					   .candidates = names, .n_candidates = 1};
		if (CASES[i].fate == HOLDER_GONE) {
			assert_int_equal(ownership_step(&o, &v, NOW - 50 * CLOCK_MS, &wake), OWNERSHIP_NOTHING);
			assert_int_equal(ownership_step(&o, &v, NOW - 20 * CLOCK_MS, &wake), OWNERSHIP_ASK);
		}
		assert_int_equal(ownership_step(&o, &v, NOW, &wake), OWNERSHIP_WRITE);
		ownership_written(&o, 200, NOW);
		record_free(r);
		v.record = r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = CASES[i].epoch + 1});
		v.fate = HOLDER_ME;
		ownership_step(&o, &v, NOW, &wake);
		assert_int_equal(o.state, OWNED);
		assert_int_equal(o.fresh, CASES[i].fresh);
		ownership_refused(&o, NOW);
		assert_int_equal(o.state, OWNERSHIP_REFUSED);
		assert_false(ownership_answers(&o));
		ownership_step(&o, &v, NOW + CLOCK_S, &wake);   /* the note about the stranger may not be here yet */
		assert_int_equal(o.state, OWNERSHIP_REFUSED);
		assert_true(wake == NOW + 5 * CLOCK_S);
		v.refused = true;
		ownership_step(&o, &v, NOW + 6 * CLOCK_S, &wake);
		assert_int_equal(o.state, OWNERSHIP_REFUSED);
		v.refused = false;
		ownership_step(&o, &v, NOW + 7 * CLOCK_S, &wake);
		for (int ms = 0; ms <= 70; ms += 10)
			ownership_step(&o, &v, NOW + 7 * CLOCK_S + ms * CLOCK_MS, &wake);
		assert_int_equal(o.state, OWNED);
		assert_true(o.fresh);
		ownership_refused(&o, NOW);
		ownership_refused(&o, NOW);   /* nothing to refuse */
		ownership_free(&o);
		record_free(r);
	}
}

/* ---- step by step ---- */

struct situation {
	const char *holder, *candidates, *successor, *move_to;
	enum holder_fate fate;
	bool leaving, guard, record_dead;
	int64_t not_before;
};

static enum ownership_action step_with(struct ownership *o, struct situation s, int64_t now)
{
	const char *names[4];
	char *text = mem_strdup(s.candidates);
	int64_t wake;
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = s.holder, .successor = s.successor, .epoch = 3});
	struct ownership_view v = {.me = "a", .record = r, .candidates = names, .served = true, .connected = true, .api = true, .interval = T, .move_to = s.move_to,
				   .leaving = s.leaving, .guard = s.guard, .record_dead = s.record_dead, .not_before = s.not_before,
				   .watched_at = now, .fate = strcmp(ownership_holder(o, r), "a") == 0 ? HOLDER_ME : s.fate};
	v.n_candidates = split(text, names);
	for (size_t i = 0; i < v.n_candidates; i++)
		v.eligible |= strcmp(names[i], "a") == 0;
	enum ownership_action action = ownership_step(o, &v, now, &wake);
	record_free(r);
	free(text);
	return action;
}

/* It never stops by time, but on hearing the successor: the one that the record names. */
static void handover(void **state)
{
	struct ownership o = in_state(OWNED);
	struct situation leave = {"a", "a b c", .move_to = "b"};
	(void)state;
	assert_int_equal(step_with(&o, leave, NOW), OWNERSHIP_NAME);
	assert_string_equal(o.target, "b");
	ownership_written(&o, 200, NOW);
	leave.successor = "b";
	for (int i = 0; i < 50; i++)
		assert_int_equal(step_with(&o, leave, NOW + i * CLOCK_S), OWNERSHIP_NOTHING);
	leave.move_to = "c";
	assert_int_equal(step_with(&o, leave, NOW + 50 * CLOCK_S), OWNERSHIP_NAME);
	assert_string_equal(o.target, "c");
	ownership_written(&o, 409, NOW + 50 * CLOCK_S);
	assert_int_equal(step_with(&o, leave, NOW + 50 * CLOCK_S), OWNERSHIP_NAME);
	ownership_written(&o, 200, NOW + 50 * CLOCK_S);
	leave.successor = "c";
	assert_true(ownership_answers(&o));
	ownership_claimed(&o, "c", NULL, NOW + 50 * CLOCK_S);
	assert_int_equal(step_with(&o, leave, NOW + 50 * CLOCK_S), OWNERSHIP_NOTHING);
	assert_int_equal(o.state, IDLE);
	ownership_free(&o);
}

/* After 30 s the guard gives it to the first; when that one is not heard, it takes it itself. */
static void guard_hands_over(void **state)
{
	struct situation s = {"b", "c a", .fate = HOLDER_SPEAKER_DOWN, .guard = true};
	struct ownership o = in_state(IDLE);
	(void)state;
	step_with(&o, s, NOW);
	assert_true(ownership_guards(&o) && !ownership_answers(&o));
	assert_int_equal(step_with(&o, s, NOW + 30 * CLOCK_S - 1), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, s, NOW + 30 * CLOCK_S), OWNERSHIP_WRITE);
	assert_string_equal(o.target, "c");
	ownership_written(&o, 200, NOW + 30 * CLOCK_S);
	s.holder = "c";
	s.fate = HOLDER_PRESENT;
	assert_int_equal(step_with(&o, s, NOW + 30 * CLOCK_S), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, s, NOW + 32 * CLOCK_S - 1), OWNERSHIP_NOTHING);
	assert_true(ownership_guards(&o));
	assert_int_equal(step_with(&o, s, NOW + 32 * CLOCK_S), OWNERSHIP_WRITE);
	assert_string_equal(o.target, "a");
	assert_int_equal(o.state, OWNED);
	ownership_free(&o);
}

/* Without the API: it asks before it gives way, the worse rank first, and stays if nobody answers. */
static void yields(void **state)
{
	static const struct { const char *candidates; int64_t wait; } CASES[] = {{"b a", 10 * CLOCK_MS}, {"a b", 120 * CLOCK_MS}};
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct situation s = {.holder = "a", .candidates = CASES[i % 2].candidates};
		int64_t wait = CASES[i % 2].wait;
		struct ownership o = in_state(YIELDING);
		o.since = NOW;
		mem_replace(&o.rival, "b");
		o.rival_at = NOW;
		assert_int_equal(step_with(&o, s, NOW + wait - 1), OWNERSHIP_NOTHING);
		assert_int_equal(step_with(&o, s, NOW + wait), OWNERSHIP_ASK);
		assert_int_equal(step_with(&o, s, NOW + wait + 10 * CLOCK_MS), OWNERSHIP_ASK);
		if (i < 2)
			ownership_claimed(&o, "b", NULL, NOW + wait + 11 * CLOCK_MS);
		assert_int_equal(step_with(&o, s, NOW + wait + 59 * CLOCK_MS), OWNERSHIP_NOTHING);
		assert_int_equal(o.state, i < 2 ? IDLE : YIELDING);
		/* The others may believe the other one: who stays says so to all. */
		assert_int_equal(step_with(&o, s, NOW + wait + 60 * CLOCK_MS), i < 2 ? OWNERSHIP_NOTHING : OWNERSHIP_DEFEND);
		assert_int_equal(o.state, i < 2 ? IDLE : OWNED);
		ownership_free(&o);
	}
}

/* Its link was away: silent while it asks, then it goes on, or gives way to who answers. */
static void link_back(void **state)
{
	struct situation v = {.holder = "a", .candidates = "a b"};
	(void)state;
	for (int claimed = 0; claimed < 2; claimed++) {
		struct ownership o = in_state(OWNED);
		if (claimed)
			ownership_woke(&o, NOW);
		else
			ownership_link_back(&o, NOW);
		assert_false(ownership_answers(&o));
		assert_true(ownership_undecided(&o));
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(step_with(&o, v, NOW + i * 10 * CLOCK_MS), OWNERSHIP_ASK);
			assert_int_equal(step_with(&o, v, NOW + i * 10 * CLOCK_MS + 9 * CLOCK_MS), OWNERSHIP_NOTHING);
		}
		if (claimed)
			ownership_claimed(&o, "b", NULL, NOW + 30 * CLOCK_MS);
		v.holder = claimed ? "b" : "a";   /* by the newest of wire and record */
		v.fate = HOLDER_PRESENT;
		assert_int_equal(step_with(&o, v, NOW + 64 * CLOCK_MS), OWNERSHIP_NOTHING);
		assert_false(ownership_answers(&o));
		step_with(&o, v, NOW + 65 * CLOCK_MS);
		assert_int_equal(o.state, claimed ? IDLE : OWNED);
		ownership_free(&o);
	}
	/* one who is none of ours answered meanwhile: not announced before it is known who he is */
	struct ownership doubted = in_state(OWNED);
	ownership_stranger_heard(&doubted);   /* the conflict core's, while we answer */
	assert_false(doubted.doubted);
	ownership_link_back(&doubted, NOW);
	ownership_stranger_heard(&doubted);
	for (int ms = 0; ms <= 70; ms += 10)
		step_with(&doubted, (struct situation){.holder = "a", .candidates = "a b"}, NOW + ms * CLOCK_MS);
	assert_int_equal(doubted.state, OWNED);
	assert_true(doubted.doubted);
	ownership_free(&doubted);
	/* who is not answering has nothing to ask for */
	struct ownership o = in_state(IDLE);
	ownership_link_back(&o, NOW);
	assert_int_equal(o.state, IDLE);
	ownership_free(&o);
}

/* Nobody's, and one that would come before us may be starting: not before its time is over, unless it comes or takes it. */
static void waits_for_better(void **state)
{
	struct ownership o = in_state(IDLE);
	struct situation v = {"", "a b", .fate = HOLDER_NONE, .not_before = NOW + 5 * CLOCK_S};
	(void)state;
	assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 5 * CLOCK_S - 1), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 5 * CLOCK_S), OWNERSHIP_WRITE);
	assert_string_equal(o.target, "a");
	ownership_free(&o);
	o = in_state(IDLE);
	v.not_before = 0;   /* it is there, and is not before us after all */
	assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_WRITE);
	ownership_free(&o);
}

/* The second in order asks before it takes over, and an answer cancels that. */
static void second_asks_first(void **state)
{
	struct situation v = {"x", "b a", .fate = HOLDER_DEAD};
	(void)state;
	for (int answered = 0; answered < 2; answered++) {
		struct ownership o = in_state(IDLE);
		assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_NOTHING);
		assert_int_equal(step_with(&o, v, NOW + 34 * CLOCK_MS - 1), OWNERSHIP_NOTHING);
		assert_int_equal(step_with(&o, v, NOW + 34 * CLOCK_MS), OWNERSHIP_ASK);
		assert_int_equal(step_with(&o, v, NOW + 54 * CLOCK_MS - 1), OWNERSHIP_NOTHING);
		if (answered) {
			ownership_claimed(&o, "b", NULL, NOW + 30 * CLOCK_MS);
			v.fate = HOLDER_PRESENT;   /* b's */
		}
		step_with(&o, v, NOW + 54 * CLOCK_MS);
		assert_int_equal(o.state, answered ? IDLE : OWNED);
		ownership_free(&o);
	}
}

/* The record names one who is dead, another was heard after him: asked after 2 s, and believed no longer when he is silent. */
static void belief_in_vain(void **state)
{
	struct ownership o = in_state(IDLE);
	struct situation v = {"x", "a c", .fate = HOLDER_PRESENT, .record_dead = true};
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "x", .epoch = 3});
	(void)state;
	ownership_claimed(&o, "b", r, NOW);
	assert_int_equal(step_with(&o, v, NOW + 2 * CLOCK_S - 1), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 2 * CLOCK_S), OWNERSHIP_ASK);
	assert_int_equal(step_with(&o, v, NOW + 2050 * CLOCK_MS), OWNERSHIP_NOTHING);
	ownership_claimed(&o, "b", r, NOW + 2060 * CLOCK_MS);   /* he does answer */
	assert_int_equal(step_with(&o, v, NOW + 2200 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_string_equal(ownership_holder(&o, r), "b");
	assert_int_equal(step_with(&o, v, NOW + 4060 * CLOCK_MS), OWNERSHIP_ASK);
	ownership_claimed(&o, "b", r, NOW + 4060 * CLOCK_MS);   /* in the same moment */
	assert_int_equal(step_with(&o, v, NOW + 4160 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 6060 * CLOCK_MS), OWNERSHIP_ASK);
	assert_int_equal(step_with(&o, v, NOW + 6160 * CLOCK_MS - 1), OWNERSHIP_NOTHING);
	assert_string_equal(ownership_holder(&o, r), "b");
	assert_int_equal(step_with(&o, v, NOW + 6160 * CLOCK_MS), OWNERSHIP_LOOK);
	assert_string_equal(ownership_holder(&o, r), "x");
	ownership_free(&o);
	record_free(r);
}

/* No node any more, but its speaker answers: it hands over by itself, and is asked again a second later. */
static void gone_is_asked(void **state)
{
	struct ownership o = in_state(IDLE);
	struct situation v = {"b", "a c", .fate = HOLDER_GONE};
	(void)state;
	assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 30 * CLOCK_MS - 1), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 30 * CLOCK_MS), OWNERSHIP_ASK);
	ownership_claimed(&o, "b", NULL, NOW + 31 * CLOCK_MS);
	assert_int_equal(step_with(&o, v, NOW + 50 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 1060 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 1061 * CLOCK_MS), OWNERSHIP_ASK);
	assert_int_equal(step_with(&o, v, NOW + 1080 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 1081 * CLOCK_MS), OWNERSHIP_WRITE);
	ownership_free(&o);
}

/* The wire is newer than the record, until the record has moved on or nothing confirms it. */
static void beliefs(void **state)
{
	struct ownership o = in_state(IDLE);
	struct situation v = {"x", "a b", .fate = HOLDER_PRESENT};
	struct record *old = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "x", .epoch = 3});
	struct record *newer = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "c", .epoch = 4});
	(void)state;
	assert_string_equal(ownership_holder(&o, old), "x");
	ownership_claimed(&o, "b", old, NOW);
	assert_string_equal(ownership_holder(&o, old), "b");
	assert_string_equal(ownership_holder(&o, newer), "c");
	assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 149 * CLOCK_S), OWNERSHIP_NOTHING);
	ownership_claimed(&o, "b", old, NOW + 149 * CLOCK_S);   /* heard again */
	assert_int_equal(step_with(&o, v, NOW + 299 * CLOCK_S - 1), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, v, NOW + 299 * CLOCK_S), OWNERSHIP_ASK);
	assert_string_equal(ownership_holder(&o, old), "b");
	assert_int_equal(step_with(&o, v, NOW + 299 * CLOCK_S + 100 * CLOCK_MS), OWNERSHIP_LOOK);
	assert_string_equal(ownership_holder(&o, old), "x");
	ownership_free(&o);
	record_free(old);
	record_free(newer);
}

/* Nobody's, and the order changes while we wait, as others take what comes with it: our turn is by the order as it is now. */
static void turn_changes(void **state)
{
	struct situation second = {"", "b a c", .fate = HOLDER_NONE}, first = {"", "a b c", .fate = HOLDER_NONE}, third = {"", "b c a", .fate = HOLDER_NONE};
	struct ownership o = in_state(IDLE);
	(void)state;
	assert_int_equal(step_with(&o, second, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, first, NOW + 10 * CLOCK_MS), OWNERSHIP_WRITE);
	ownership_free(&o);
	o = in_state(IDLE);
	assert_int_equal(step_with(&o, second, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, third, NOW + 10 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, third, NOW + 599 * CLOCK_MS), OWNERSHIP_NOTHING);
	assert_int_equal(step_with(&o, third, NOW + 600 * CLOCK_MS), OWNERSHIP_WRITE);
	ownership_free(&o);
}

/* The record says us, another was heard: asked for again after 1, 2, 4 ... s, and ours when he is silent. */
static void audits(void **state)
{
	struct ownership o = in_state(IDLE);
	struct situation v = {.holder = "a", .candidates = "a b", .fate = HOLDER_PRESENT};
	int64_t now = NOW;
	(void)state;
	for (int64_t pause = CLOCK_S; pause <= 32 * CLOCK_S; pause *= 2) {
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = 3});
		ownership_claimed(&o, "b", r, now);
		record_free(r);
		int64_t wanted = now + (pause > 16 * CLOCK_S ? 16 * CLOCK_S : pause);
		assert_int_equal(step_with(&o, v, wanted - 1), OWNERSHIP_NOTHING);
		assert_int_equal(step_with(&o, v, wanted), OWNERSHIP_ASK);
		assert_int_equal(o.state, CHECK);
		assert_false(ownership_undecided(&o));   /* we stay alive to our peers */
		now = wanted;
	}
	for (int ms = 0; ms <= 70; ms += 10)
		step_with(&o, v, now + ms * CLOCK_MS);
	assert_int_equal(o.state, OWNED);
	ownership_free(&o);
}

/* The record says us, the wire another, and that one is silent: missed as anybody else who is believed to have it. */
static void believed_is_missed(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct ownership o = in_state(IDLE);
		struct situation v = {.holder = "a", .candidates = i == 1 ? "c a" : "a c", .guard = i == 3,
				      .fate = i == 3 ? HOLDER_SPEAKER_DOWN : HOLDER_DEAD};
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = 3});
		ownership_claimed(&o, "b", r, NOW - 300 * CLOCK_MS);
		record_free(r);
		assert_int_equal(step_with(&o, v, NOW), OWNERSHIP_NOTHING);   /* nothing is to be written: the record names us */
		assert_int_equal(o.state, i == 1 ? IDLE : i == 3 ? GUARDING : OWNED);
		if (i == 3)
			assert_string_equal(o.guarded, "b");
		if (i == 1) {
			assert_int_equal(step_with(&o, v, NOW + 34 * CLOCK_MS), OWNERSHIP_ASK);
			assert_int_equal(step_with(&o, v, NOW + 54 * CLOCK_MS), OWNERSHIP_NOTHING);
			assert_int_equal(o.state, OWNED);
		}
		ownership_free(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(transitions), cmocka_unit_test(new_addresses_are_fresh), cmocka_unit_test(handover),
		cmocka_unit_test(guard_hands_over), cmocka_unit_test(yields), cmocka_unit_test(second_asks_first), cmocka_unit_test(gone_is_asked), cmocka_unit_test(belief_in_vain), cmocka_unit_test(audits), cmocka_unit_test(believed_is_missed), cmocka_unit_test(link_back),
		cmocka_unit_test(waits_for_better), cmocka_unit_test(beliefs), cmocka_unit_test(turn_changes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
