/* When ownership does what: to the microsecond, with the wake-up that it asks for; and what it forgets on the way. */
#include "tests/unit/ownership_scene.h"

/* ---- whose turn it is ---- */

static const char *const ORDERS[] = {"a b c d e f", "b a c d e f", "b c a d e f", "b c d a e f", "b c d e a f", "b c d e f a"};

/* 0.4 T for each that comes before, up to four of them, 0.06 T more for each, and 8 ms for what a busy machine adds. */
static void takes_in_order(void **state)
{
	static const int64_t DELAYS[] = {0, 54 * MS, 100 * MS, 146 * MS, 192 * MS, 198 * MS};
	(void)state;
	for (size_t k = 0; k < COUNT(ORDERS); k++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", ORDERS[k], .fate = HOLDER_DEAD};
		if (k) {
			assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
			acts_at(&o, s, NOW + DELAYS[k] - 20 * MS, OWNERSHIP_ASK);
			assert_true(wake == NOW + DELAYS[k]);
			enters_at(&o, s, NOW + DELAYS[k], OWNERSHIP_WRITE, OWNERSHIP_OWNED);
		} else {
			assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		}
		assert_string_equal(o.target, "a");
		assert_string_equal(o.from, "x");
		ownership_free(&o);
	}
}

static void claims_in_order(void **state)
{
	(void)state;
	for (size_t k = 1; k < COUNT(ORDERS); k++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"", ORDERS[k], .fate = HOLDER_NONE};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
		enters_at(&o, s, NOW + (int64_t)k * 300 * MS, OWNERSHIP_WRITE, OWNERSHIP_CLAIMING);
		ownership_free(&o);
	}
}

/* What nobody ever had is answered at once by the first in the order, and only that. */
static void claims_and_answers(void **state)
{
	static const struct { struct scene scene; enum ownership_state to; } CASES[] = {
		{{"", "a b", .fate = HOLDER_NONE, .epoch = -1}, OWNERSHIP_OWNED},
		{{"", "a b", .fate = HOLDER_NONE}, OWNERSHIP_CLAIMING},
		{{"", "a b", .fate = HOLDER_NONE, .epoch = -1, .found = true}, OWNERSHIP_CLAIMING},   /* another balancer may have it still */
		{{"", "a b", .fate = HOLDER_NONE, .epoch = -1, .no_api = true}, OWNERSHIP_CLAIMING},
		{{"x", "a b", .fate = HOLDER_GONE, .epoch = -1}, OWNERSHIP_CLAIMING}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		enum ownership_action action = OWNERSHIP_NOTHING;
		for (int64_t now = NOW; action != OWNERSHIP_WRITE && now < NOW + CLOCK_S; now += 10 * MS)
			action = step(&o, CASES[i].scene, now);
		assert_int_equal(action, OWNERSHIP_WRITE);
		assert_string_equal(ownership_state_name(o.state), ownership_state_name(CASES[i].to));
		assert_true(ownership_claims(&o) && o.fresh == (CASES[i].scene.epoch < 0 && !*CASES[i].scene.holder));
		ownership_free(&o);
	}
	/* Another was faster: his is the record, and ours is given up when he is heard. */
	struct ownership o = in_state(OWNERSHIP_IDLE);
	step(&o, CASES[0].scene, NOW);
	struct scene his = {"b", "a b", .fate = HOLDER_PRESENT, .epoch = 4};
	ownership_written(&o, 409, NOW + 5 * MS);
	assert_int_equal(step(&o, his, NOW + 5 * MS), OWNERSHIP_ASK);
	assert_true(o.state == OWNERSHIP_RELEASING && !ownership_claims(&o));
	ownership_claimed(&o, "b", NULL, NOW + 6 * MS);
	step(&o, his, NOW + 6 * MS);
	assert_string_equal(ownership_state_name(o.state), "idle");
	ownership_free(&o);
}

/* No node any more: asked 20 ms before, and 50 ms later than one whose record is empty. */
static void gone_in_order(void **state)
{
	(void)state;
	for (size_t k = 0; k < COUNT(ORDERS); k++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", ORDERS[k], .fate = HOLDER_GONE};
		int64_t at = NOW + 50 * MS + (int64_t)k * 300 * MS;
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
		acts_at(&o, s, at - 20 * MS, OWNERSHIP_ASK);
		enters_at(&o, s, at, OWNERSHIP_WRITE, OWNERSHIP_CLAIMING);
		ownership_free(&o);
	}
}

/* Whoever had it before may be overwritten, however far back; nobody else. */
static void whom_it_overwrites(void **state)
{
	static const struct { const char *holder; enum ownership_state to; } CASES[] = {
		{"x", OWNERSHIP_OWNED}, {"p", OWNERSHIP_OWNED}, {"q", OWNERSHIP_OWNED}, {"r", OWNERSHIP_OWNED}, {"z", OWNERSHIP_RELEASING}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", "a z", .fate = HOLDER_DEAD, .previous = "p,q,r"};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		ownership_written(&o, 409, NOW);
		s.holder = CASES[i].holder;
		s.previous = NULL;
		s.fate = HOLDER_PRESENT;
		assert_int_equal(step(&o, s, NOW), CASES[i].to == OWNERSHIP_OWNED ? OWNERSHIP_WRITE : OWNERSHIP_ASK);
		assert_int_equal(o.state, CASES[i].to);
		ownership_free(&o);
	}
}

/* The wire said another one; as soon as it is ours again that is over. */
static void belief_ends(void **state)
{
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = 3});
	struct scene s = {.holder = "a", .candidates = "a b"};
	(void)state;
	ownership_claimed(&o, "b", r, NOW);
	assert_string_equal(ownership_holder(&o, r), "b");
	s.epoch = 4;
	step(&o, s, NOW);   /* we have just been named */
	assert_int_equal(o.state, OWNERSHIP_OWNED);
	assert_string_equal(ownership_holder(&o, r), "a");
	ownership_free(&o);
	record_free(r);
}

/* A plan is for one fate: it begins anew when the dead one turns out to be no node any more, and with every pause. */
static void plans_begin_anew(void **state)
{
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct scene s = {"x", "b a", .fate = HOLDER_DEAD};
	(void)state;
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
	s.fate = HOLDER_PRESENT;
	assert_int_equal(step(&o, s, NOW + 10 * MS), OWNERSHIP_NOTHING);
	s.fate = HOLDER_DEAD;
	assert_int_equal(step(&o, s, NOW + 20 * MS), OWNERSHIP_NOTHING);
	acts_at(&o, s, NOW + 54 * MS, OWNERSHIP_ASK);
	ownership_woke(&o, NOW + 60 * MS);   /* nothing that was planned before a sleep is done after it */
	assert_int_equal(step(&o, s, NOW + 90 * MS), OWNERSHIP_NOTHING);
	acts_at(&o, s, NOW + 124 * MS, OWNERSHIP_ASK);
	s.fate = HOLDER_NONE;
	s.holder = "";
	assert_int_equal(step(&o, s, NOW + 130 * MS), OWNERSHIP_NOTHING);
	enters_at(&o, s, NOW + 430 * MS, OWNERSHIP_WRITE, OWNERSHIP_CLAIMING);
	ownership_free(&o);
}

/* The dead one has just been heard: two more questions decide. */
static void dead_but_heard(void **state)
{
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct scene s = {"x", "a b", .fate = HOLDER_DEAD};
	(void)state;
	ownership_claimed(&o, "x", NULL, NOW);
	assert_int_equal(step(&o, s, NOW + MS), OWNERSHIP_NOTHING);
	enters_at(&o, s, NOW + 2 * T, OWNERSHIP_WRITE, OWNERSHIP_OWNED);
	ownership_free(&o);
}

/* ---- guarding ---- */

static void guards_when_unheard(void **state)
{
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct scene s = {"b", "a b", .fate = HOLDER_SPEAKER_DOWN, .guard = true};
	(void)state;
	ownership_claimed(&o, "b", NULL, NOW);
	enters_at(&o, s, NOW + 2 * T, OWNERSHIP_NOTHING, OWNERSHIP_GUARDING);
	assert_string_equal(o.guarded, "b");
	ownership_claimed(&o, "b", NULL, NOW + 2 * T + 20 * MS - 1);   /* on its way when we began */
	assert_true(ownership_guards(&o));
	ownership_claimed(&o, "b", NULL, NOW + 2 * T + 20 * MS);
	assert_false(ownership_guards(&o));
	ownership_free(&o);
	o = in_state(OWNERSHIP_GUARDING);
	mem_replace(&o.guarded, "b");
	ownership_claimed(&o, "c", NULL, NOW + MS);   /* a third one was faster */
	assert_false(ownership_guards(&o));
	ownership_free(&o);
}

/* It stays until the next one guards; asking is for the frame that was lost. */
static void guard_leaves(void **state)
{
	struct ownership o = in_state(OWNERSHIP_GUARDING);
	struct scene s = {"b", "a b", .fate = HOLDER_SPEAKER_DOWN, .guard = true, .leaving = true};
	int64_t stop = NOW + 7 * CLOCK_S;
	(void)state;
	mem_replace(&o.guarded, "b");
	ownership_guard_heard(&o, NOW + 6 * CLOCK_S);   /* long before */
	assert_int_equal(step(&o, s, stop), OWNERSHIP_NOTHING);
	for (int i = 0; i < 4; i++)
		acts_at(&o, s, stop + 150 * MS + i * 60 * MS, OWNERSHIP_ASK);
	assert_true(ownership_guards(&o));
	ownership_guard_heard(&o, stop + 400 * MS);
	step(&o, s, stop + 400 * MS);
	assert_false(ownership_guards(&o));
	ownership_free(&o);
}

/* After 30 s it goes to the first in order, in vain for 2 s to the guard; without the API to the guard at once. */
static void guard_ends(void **state)
{
	struct ownership o = in_state(OWNERSHIP_GUARDING);
	struct scene s = {"b", "c a", .fate = HOLDER_SPEAKER_DOWN, .guard = true};
	(void)state;
	mem_replace(&o.guarded, "b");
	acts_at(&o, s, NOW + 30 * CLOCK_S, OWNERSHIP_WRITE);
	assert_string_equal(o.target, "c");
	ownership_written(&o, 500, NOW + 30 * CLOCK_S);
	acts_at(&o, s, NOW + 31 * CLOCK_S, OWNERSHIP_WRITE);
	ownership_written(&o, 200, NOW + 31 * CLOCK_S);
	s.holder = "c";
	s.fate = HOLDER_PRESENT;
	assert_int_equal(step(&o, s, NOW + 31 * CLOCK_S), OWNERSHIP_NOTHING);
	enters_at(&o, s, NOW + 33 * CLOCK_S, OWNERSHIP_WRITE, OWNERSHIP_OWNED);
	assert_string_equal(o.from, "b");
	ownership_free(&o);

	o = in_state(OWNERSHIP_GUARDING);
	mem_replace(&o.guarded, "b");
	s = (struct scene){"b", "c a", .fate = HOLDER_SPEAKER_DOWN, .guard = true, .no_api = true};
	enters_at(&o, s, NOW + 30 * CLOCK_S, OWNERSHIP_NOTHING, OWNERSHIP_OWNED);
	acts_at(&o, s, NOW + 31 * CLOCK_S, OWNERSHIP_WRITE);   /* recorded when the API server is back */
	ownership_free(&o);

	o = in_state(OWNERSHIP_GUARDING);   /* somebody else has got it: neither handed over by us nor in vain */
	mem_replace(&o.guarded, "b");
	s = (struct scene){"d", "c a", .fate = HOLDER_PRESENT, .guard = true};
	assert_int_equal(step(&o, s, NOW + 30 * CLOCK_S), OWNERSHIP_WRITE);
	ownership_written(&o, 409, NOW + 30 * CLOCK_S);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(step(&o, s, NOW + (31 + i) * CLOCK_S), OWNERSHIP_WRITE);
		assert_true(ownership_guards(&o));
		ownership_written(&o, 409, NOW + (31 + i) * CLOCK_S);
	}
	ownership_free(&o);
}

/* ---- releasing, stopping, checking ---- */

/* Ten questions, then ten times fewer; silent after a second, unless nobody at all is heard, or the very holder is, who does not
 * answer for it. */
static void releases(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		struct ownership o = in_state(OWNERSHIP_RELEASING);
		struct scene s = {"b", "b a", .fate = HOLDER_PRESENT, .alone = way == 1, .holder_alive = way == 2};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_ASK);
		for (int i = 1; i < 10; i++)
			acts_at(&o, s, NOW + i * 20 * MS, OWNERSHIP_ASK);
		for (int i = 0; i < 3; i++)
			acts_at(&o, s, NOW + 380 * MS + i * 200 * MS, OWNERSHIP_ASK);
		assert_int_equal(step(&o, s, NOW + 980 * MS), OWNERSHIP_ASK);
		if (way)
			acts_at(&o, s, NOW + 1180 * MS, OWNERSHIP_ASK);
		else
			enters_at(&o, s, NOW + CLOCK_S, OWNERSHIP_NOTHING, OWNERSHIP_IDLE);
		ownership_free(&o);
	}
}

/* The record came late, its writer is dead: nobody has it unless we keep it. */
static void releases_to_nobody(void **state)
{
	(void)state;
	for (int leaving = 0; leaving < 2; leaving++) {
		struct ownership o = in_state(OWNERSHIP_RELEASING);
		struct scene s = {"b", "a", .fate = HOLDER_DEAD, .misjudged = true, .leaving = leaving};
		for (int64_t now = NOW; now < NOW + CLOCK_S; now += 10 * MS)
			step(&o, s, now);
		assert_int_equal(o.state, OWNERSHIP_RELEASING);
		step(&o, s, NOW + CLOCK_S);
		assert_string_equal(ownership_state_name(o.state), leaving ? "idle" : "owned");
		assert_true(leaving || strcmp(o.from, "b") == 0);
		ownership_free(&o);
	}
}

/* Who only goes on until another is heard stops there and then, not at the next evaluation. */
static void stops_when_heard(void **state)
{
	static const struct { enum ownership_state in; const char *successor, *rival; enum ownership_state to; } CASES[] = {
		{OWNERSHIP_MOVING, "b", "b", OWNERSHIP_IDLE}, {OWNERSHIP_MOVING, "b", "c", OWNERSHIP_MOVING}, {OWNERSHIP_MOVING, NULL, "b", OWNERSHIP_MOVING},
		{OWNERSHIP_RELEASING, NULL, "b", OWNERSHIP_IDLE}, {OWNERSHIP_STOPPING, NULL, "b", OWNERSHIP_IDLE},
		{OWNERSHIP_OWNED, "b", "b", OWNERSHIP_OWNED}, {OWNERSHIP_YIELDING, "b", "b", OWNERSHIP_YIELDING}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(CASES[i].in);
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .successor = CASES[i].successor, .epoch = 3});
		ownership_claimed(&o, CASES[i].rival, r, NOW);
		assert_int_equal(o.state, CASES[i].to);
		if (o.state == OWNERSHIP_IDLE) {
			assert_true(o.claimed_at == NOW && !o.rival);
			assert_string_equal(ownership_holder(&o, r), CASES[i].rival);
		}
		ownership_free(&o);
		record_free(r);
	}
	struct ownership o = in_state(OWNERSHIP_MOVING);   /* its record has just gone */
	ownership_claimed(&o, "b", NULL, NOW);
	assert_int_equal(o.state, OWNERSHIP_MOVING);
	ownership_free(&o);
}

/* Who was heard before that counts only when the record names him. */
static void releases_to_whom(void **state)
{
	static const struct { const char *rival; int64_t at; enum ownership_state to; } CASES[] = {
		{"b", NOW - MS, OWNERSHIP_IDLE}, {"c", NOW - MS, OWNERSHIP_RELEASING}, {"c", NOW, OWNERSHIP_IDLE}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(CASES[i].at < NOW ? OWNERSHIP_OWNED : OWNERSHIP_RELEASING);
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "b", .epoch = 3});
		ownership_claimed(&o, CASES[i].rival, r, CASES[i].at);
		if (CASES[i].at < NOW)
			o.state = OWNERSHIP_RELEASING;
		step(&o, (struct scene){"b", "b a", .fate = HOLDER_PRESENT}, NOW + MS);
		assert_int_equal(o.state, CASES[i].to);
		if (o.state == OWNERSHIP_IDLE)
			assert_string_equal(ownership_holder(&o, r), CASES[i].rival);
		ownership_free(&o);
		record_free(r);
	}
}

/* Five questions of his without a break, then the record is read; when it says us still, we are heard. */
static void is_summoned(void **state)
{
	static const struct { const char *asks; int64_t pause; unsigned times; bool no_api; int status; bool mine; enum ownership_state to; } CASES[] = {
		{"b", 20 * MS, 5, false, 200, true, OWNERSHIP_OWNED},
		{"b", 499 * MS, 5, false, 200, true, OWNERSHIP_OWNED},
		{"b", 20 * MS, 4, false, 200, true, OWNERSHIP_IDLE},
		{"b", 500 * MS, 5, false, 200, true, OWNERSHIP_IDLE},
		{"c", 20 * MS, 5, false, 200, true, OWNERSHIP_IDLE},   /* a census, or a check */
		{"b", 20 * MS, 5, true, 200, true, OWNERSHIP_IDLE},
		{"b", 20 * MS, 5, false, 0, true, OWNERSHIP_IDLE},     /* the list that we have may be old */
		{"b", 20 * MS, 5, false, 200, false, OWNERSHIP_IDLE}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "a", .epoch = 3});
		struct scene s = {"a", "a b", .fate = HOLDER_PRESENT, .no_api = CASES[i].no_api};
		int64_t now = NOW;
		bool looks = strcmp(CASES[i].asks, "b") == 0 && CASES[i].times == 5 && CASES[i].pause < 500 * MS && !CASES[i].no_api;
		ownership_claimed(&o, "b", r, now);
		for (unsigned k = 0; k < CASES[i].times; k++) {
			now += CASES[i].pause;
			ownership_claimed(&o, "b", r, now);   /* and he answers others meanwhile */
			ownership_asked(&o, CASES[i].asks, now);
		}
		assert_int_equal(step(&o, s, now), looks ? OWNERSHIP_LOOK : OWNERSHIP_NOTHING);
		if (looks) {
			assert_int_equal(step(&o, s, now + MS), OWNERSHIP_NOTHING);
			ownership_looked(&o, CASES[i].status, now + 2 * MS);
		}
		s.holder = CASES[i].mine ? "a" : "b";
		assert_int_equal(step(&o, s, now + 2 * MS), OWNERSHIP_NOTHING);
		assert_string_equal(ownership_state_name(o.state), ownership_state_name(CASES[i].to));
		if (looks && CASES[i].status == 0) {   /* he goes on asking: the API server is asked again, too */
			for (unsigned k = 1; k <= 5; k++)
				ownership_asked(&o, "b", now + CLOCK_S + k * 20 * MS);
			assert_int_equal(step(&o, s, now + CLOCK_S + 100 * MS), OWNERSHIP_LOOK);
		}
		ownership_free(&o);
		record_free(r);
	}
}

/* Our write comes through while we ask whether the other one really has it; without the API that is an old claim. */
static void yields_not_to_the_record(void **state)
{
	(void)state;
	for (int no_api = 0; no_api < 2; no_api++) {
		struct ownership o = in_state(OWNERSHIP_YIELDING);
		struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "x", .epoch = 3});
		ownership_claimed(&o, "x", r, NOW);
		o.looked = o.unanswered = true;
		step(&o, (struct scene){"a", "x a", .epoch = 4, .no_api = no_api}, NOW + MS);
		assert_string_equal(ownership_state_name(o.state), no_api ? "yielding" : "owned");
		ownership_free(&o);
		record_free(r);
	}
}

static void stops(void **state)
{
	struct ownership o = in_state(OWNERSHIP_STOPPING);
	struct scene s = {"a", "a b", .leaving = true};
	(void)state;
	ownership_guard_heard(&o, NOW - 1);   /* for something else */
	for (int i = 0; i < 9; i++)
		acts_at(&o, s, NOW + 150 * MS + i * 60 * MS, OWNERSHIP_ASK);
	assert_int_equal(step(&o, s, NOW + 690 * MS), OWNERSHIP_ASK);
	enters_at(&o, s, NOW + 700 * MS, OWNERSHIP_NAME, OWNERSHIP_MOVING);
	assert_string_equal(o.target, "b");
	ownership_free(&o);
	o = in_state(OWNERSHIP_STOPPING);
	ownership_guard_heard(&o, NOW);
	step(&o, s, NOW);
	assert_int_equal(o.state, OWNERSHIP_IDLE);
	ownership_free(&o);
	o = in_state(OWNERSHIP_STOPPING);
	s.leaving = false;
	step(&o, s, NOW);
	assert_int_equal(o.state, OWNERSHIP_OWNED);
	ownership_free(&o);
}

/* A CHECK in the midst of a takeover that is not recorded: whom it was taken from is known still, and nobody else may be overwritten. */
static void checks_remember(void **state)
{
	static const struct { const char *holder; enum ownership_state to; } CASES[] = {{"x", OWNERSHIP_OWNED}, {"c", OWNERSHIP_RELEASING}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", "a c", .fate = HOLDER_DEAD};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		ownership_written(&o, 0, NOW);
		ownership_link_back(&o, NOW);
		s.holder = CASES[i].holder;
		s.fate = HOLDER_PRESENT;
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_ASK);
		acts_at(&o, s, NOW + 10 * MS, OWNERSHIP_ASK);
		acts_at(&o, s, NOW + 20 * MS, OWNERSHIP_ASK);
		enters_at(&o, s, NOW + 65 * MS, CASES[i].to == OWNERSHIP_OWNED ? OWNERSHIP_NOTHING : OWNERSHIP_ASK, CASES[i].to);
		ownership_free(&o);
	}
}

/* Who was named while it slept asks first as well: it may be an old claim by now. */
static void named_asleep(void **state)
{
	(void)state;
	for (int slept = 0; slept < 2; slept++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"a", "a b", .epoch = 4};
		if (slept)
			ownership_woke(&o, NOW);
		assert_int_equal(step(&o, s, NOW), slept ? OWNERSHIP_ASK : OWNERSHIP_NOTHING);
		assert_string_equal(ownership_state_name(o.state), ownership_state_name(slept ? OWNERSHIP_CHECK : OWNERSHIP_OWNED));
		ownership_free(&o);
	}
}

/* What was known of one time as the owner is no matter of the next. */
static void forgets(void **state)
{
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct scene s = {"x", "a b", .fate = HOLDER_DEAD};
	(void)state;
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
	ownership_written(&o, 409, NOW);
	o.fresh = o.doubted = true;
	s.not_served = true;
	step(&o, s, NOW);
	assert_int_equal(o.state, OWNERSHIP_IDLE);
	assert_false(o.fresh || o.doubted);
	assert_null(o.from);
	s = (struct scene){"a", "a x", .epoch = 4, .no_api = true};
	step(&o, s, NOW + MS);   /* named by the record: not taken from x */
	assert_int_equal(o.state, OWNERSHIP_OWNED);
	ownership_claimed(&o, "x", NULL, NOW + MS);
	step(&o, s, NOW + MS);
	assert_int_equal(o.state, OWNERSHIP_YIELDING);
	ownership_free(&o);
}

/* New, taken from a dead one, or from one that goes on until he hears us? */
static void handed(void **state)
{
	static const struct { enum ownership_state in; const char *from; bool fresh, is; } CASES[] = {
		{OWNERSHIP_OWNED, NULL, false, true}, {OWNERSHIP_OWNED, "x", false, false}, {OWNERSHIP_OWNED, NULL, true, false},
		{OWNERSHIP_OWNED, "", true, false}, {OWNERSHIP_IDLE, NULL, false, false}, {OWNERSHIP_GUARDING, NULL, false, false}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(CASES[i].in);
		mem_replace(&o.from, CASES[i].from);
		o.fresh = CASES[i].fresh;
		assert_true(ownership_is_handed(&o) == CASES[i].is);
		ownership_free(&o);
	}
}

/* ---- writing ---- */

/* Again after a second; at once after a conflict, for by then we have looked. */
static void writes_again(void **state)
{
	static const struct { int status; int64_t wait; } CASES[] = {{0, CLOCK_S}, {500, CLOCK_S}, {199, CLOCK_S}, {300, CLOCK_S}, {409, 0}, {200, 0}, {299, 0}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"x", "a b", .fate = HOLDER_DEAD};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);   /* one at a time */
		ownership_written(&o, CASES[i].status, NOW);
		if (CASES[i].wait)
			acts_at(&o, s, NOW + CASES[i].wait, OWNERSHIP_WRITE);
		else
			assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		ownership_free(&o);
	}
	/* taken without the API: tried after a second */
	struct ownership o = in_state(OWNERSHIP_IDLE);
	struct scene s = {"x", "a b", .fate = HOLDER_DEAD, .no_api = true};
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
	acts_at(&o, s, NOW + CLOCK_S, OWNERSHIP_WRITE);
	ownership_free(&o);
}

/* A claim that fails is none; the next one begins from the front. */
static void claim_fails(void **state)
{
	(void)state;
	for (int status = 0; status <= 409; status += 409) {
		struct ownership o = in_state(OWNERSHIP_IDLE);
		struct scene s = {"", "a b", .fate = HOLDER_NONE};
		assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		assert_int_equal(o.state, OWNERSHIP_CLAIMING);
		ownership_written(&o, status, NOW);
		assert_int_equal(o.state, OWNERSHIP_IDLE);
		if (status)
			assert_int_equal(step(&o, s, NOW), OWNERSHIP_WRITE);
		else
			acts_at(&o, s, NOW + CLOCK_S, OWNERSHIP_WRITE);
		ownership_free(&o);
	}
	struct ownership o = in_state(OWNERSHIP_IDLE);   /* done, and the record says so a moment later */
	struct scene s = {"", "a b", .fate = HOLDER_NONE};
	step(&o, s, NOW);
	assert_int_equal(step(&o, s, NOW), OWNERSHIP_NOTHING);
	assert_int_equal(o.state, OWNERSHIP_CLAIMING);
	ownership_written(&o, 200, NOW);
	s.holder = "a";
	step(&o, s, NOW);
	assert_int_equal(o.state, OWNERSHIP_OWNED);
	ownership_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_in_order), cmocka_unit_test(claims_in_order), cmocka_unit_test(claims_and_answers), cmocka_unit_test(plans_begin_anew), cmocka_unit_test(gone_in_order),
		cmocka_unit_test(whom_it_overwrites), cmocka_unit_test(belief_ends), cmocka_unit_test(dead_but_heard),
		cmocka_unit_test(guards_when_unheard), cmocka_unit_test(guard_leaves), cmocka_unit_test(guard_ends), cmocka_unit_test(releases),
		cmocka_unit_test(stops_when_heard), cmocka_unit_test(releases_to_whom), cmocka_unit_test(releases_to_nobody), cmocka_unit_test(is_summoned), cmocka_unit_test(yields_not_to_the_record), cmocka_unit_test(stops), cmocka_unit_test(checks_remember), cmocka_unit_test(named_asleep), cmocka_unit_test(forgets),
		cmocka_unit_test(handed), cmocka_unit_test(writes_again), cmocka_unit_test(claim_fails)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
