/* The rows of reference/ownership.md section 3, what is drawn for each and what it may cost. The victim is node 0, which holds
 * the first address; names, and by them ring and order, are drawn anew for each seed. */
#include "tests/sim/rows.h"

#define add rows_add
#define phase rows_phase

static void draw_dead(struct schedule *s, struct chance *c)
{
	add(s, FAULT_DIE, phase(c), NEVER_BACK, 0);
}

static void draw_dead_two(struct schedule *s, struct chance *c)
{
	s->exact = true;
	s->nodes = 2;
	draw_dead(s, c);
}

static void draw_dead_fast(struct schedule *s, struct chance *c)
{
	s->interval = 20 * MS;
	draw_dead(s, c);
}

static void draw_dead_without_api(struct schedule *s, struct chance *c)
{
	add(s, FAULT_API, 0, 3 * S, 0)->value = chance_percent(c, 30);
	add(s, FAULT_DIE, 500 * MS + phase(c), NEVER_BACK, 0);
}

static void draw_returns(struct schedule *s, struct chance *c)
{
	add(s, FAULT_DIE, phase(c), chance_between(c, S, 5 * S), 0);
}

/* Back, its addresses are moved back to it, and it dies again before anybody has forgotten the first time. */
static void draw_dead_again(struct schedule *s, struct chance *c)
{
	int64_t lasts = chance_between(c, S, 3 * S), at = phase(c), back = at + lasts + chance_between(c, S, 2 * S);
	add(s, FAULT_DIE, at, lasts, 0);
	for (unsigned i = 0; i < s->addresses; i++)
		add(s, FAULT_MOVE, back, NEVER_BACK, HOSTS)->value = (int)i;   /* to n0 */
	add(s, FAULT_DIE, back + chance_between(c, S, 3 * S), NEVER_BACK, 0);
}

static void draw_killed(struct schedule *s, struct chance *c)
{
	add(s, FAULT_KILL, phase(c), NEVER_BACK, 0);
}

static void draw_killed_restarted(struct schedule *s, struct chance *c)
{
	add(s, FAULT_KILL, phase(c), chance_between(c, 50 * MS, 2 * S), 0);
}

static void draw_upgrade(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	s->nodes = (unsigned)chance_between(c, 2, 5);
	for (unsigned i = 0; i < s->nodes; i++) {
		int64_t away = chance_between(c, 50 * MS, 2 * S);
		add(s, FAULT_TERM, at, away, i);
		at += 2 * S + away + S;
	}
}

static void draw_upgrade_without_api(struct schedule *s, struct chance *c)
{
	add(s, FAULT_API, 0, 5 * S, 0);
	add(s, FAULT_TERM, 500 * MS + phase(c), chance_between(c, 50 * MS, S), 0);
}

/* The API server is away when it comes back: from its state file, what nobody answers for (after 5 s). */
static void draw_restart_without_api(struct schedule *s, struct chance *c)
{
	enum fault_kind kind = chance_percent(c, 50) ? FAULT_KILL : FAULT_TERM;
	bool all = chance_percent(c, 50);
	add(s, FAULT_API, 0, 14 * S, 0)->value = chance_percent(c, 30);
	for (unsigned i = 0; i < (all ? s->nodes : 1); i++)
		add(s, kind, 1500 * MS, chance_between(c, 50 * MS, S), i);
}

static void draw_cut(struct schedule *s, struct chance *c)
{
	add(s, FAULT_CUT, phase(c), chance_between(c, S, 6 * S), 0)->value = chance_percent(c, 60);
}

static void draw_cut_without_api(struct schedule *s, struct chance *c)
{
	int64_t lasts = chance_between(c, S, 4 * S);
	add(s, FAULT_API, 0, lasts + 4 * S, 0);
	add(s, FAULT_CUT, 300 * MS + phase(c), lasts, 0);
}

static void draw_split(struct schedule *s, struct chance *c)
{
	struct fault *f = add(s, FAULT_SPLIT, phase(c), chance_between(c, S, 8 * S), HOSTS);
	s->nodes = (unsigned)chance_between(c, 3, 8);
	f->mask = chance_next(c) & ((UINT64_C(1) << s->nodes) - 1);
	f->value = (int)chance_between(c, 0, 3);
}

static void draw_stopped(struct schedule *s, struct chance *c)
{
	bool long_ = chance_percent(c, 10);
	add(s, FAULT_STOP, phase(c), long_ ? chance_between(c, 5 * S, 35 * S) : chance_between(c, 100 * MS, 5 * S), 0);
}

static void draw_carrier(struct schedule *s, struct chance *c)
{
	add(s, FAULT_CARRIER, phase(c), chance_percent(c, 30) ? NEVER_BACK : chance_between(c, 50 * MS, 4 * S), 0)->value = chance_percent(c, 60);
}

static void draw_many(struct schedule *s, struct chance *c)
{
	s->exact = true;
	s->nodes = 6;
	s->addresses = 500;
	add(s, FAULT_DIE, phase(c), NEVER_BACK, 0);
}

static void draw_loss(struct schedule *s, struct chance *c)
{
	bool long_ = chance_percent(c, 10);   /* the issue asks for 10 minutes */
	struct fault *f = add(s, FAULT_LOSS, phase(c), long_ ? 600 * S : 12 * S, 0);
	s->exact = long_;
	f->value = 100;
	f->b = 20;
}

static void draw_chain(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	s->nodes = (unsigned)chance_between(c, 3, 8);
	add(s, FAULT_DIE, at, NEVER_BACK, 0);
	add(s, FAULT_DIE, at + chance_between(c, 700 * MS, 4 * S), NEVER_BACK, (unsigned)chance_between(c, 1, s->nodes - 1));
}

static void draw_chain_without_api(struct schedule *s, struct chance *c)
{
	add(s, FAULT_API, 0, 8 * S, 0);
	draw_chain(s, c);
	s->faults[1].at += 500 * MS;
	s->faults[2].at += 500 * MS;
}

/* Who took it from the one that was cut off dies, when nobody is there to see that; then those two come back, and the record
 * names the dead. */
static void draw_taker_dies(struct schedule *s, struct chance *c)
{
	s->exact = true;
	int64_t cut = chance_between(c, 3 * S, 5 * S);
	s->nodes = 3;
	add(s, FAULT_CUT, phase(c), cut, 0)->value = 1;
	add(s, FAULT_API_CUT, 0, cut + chance_between(c, 500 * MS, 3 * S), 0);
	add(s, FAULT_DIE, chance_between(c, 0, S), chance_between(c, 2 * S, 6 * S), 2);
	add(s, FAULT_DIE, chance_between(c, 1500 * MS, 2 * S), NEVER_BACK, 1);
}

static void draw_pair(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	s->nodes = (unsigned)chance_between(c, 3, 8);
	add(s, FAULT_DIE, at, NEVER_BACK, 0);
	add(s, FAULT_DIE, at, NEVER_BACK, (unsigned)chance_between(c, 1, s->nodes - 1));
}

static void draw_one_way(struct schedule *s, struct chance *c)
{
	s->nodes = (unsigned)chance_between(c, 3, 8);
	unsigned a = (unsigned)chance_between(c, 0, 1) ? 0 : (unsigned)chance_between(c, 1, s->nodes - 1), b = 0;
	b = a ? 0 : (unsigned)chance_between(c, 1, s->nodes - 1);
	bool away = chance_percent(c, 40);
	if (away)
		add(s, FAULT_API, 0, 14 * S, 0);
	add(s, FAULT_ONE_WAY, (away ? 500 * MS : 0) + phase(c), 10 * S, a)->b = b;
}

/* Whoever could vouch for them may be late, and the end of a vouching comes at any moment of a round. Who has the address is not. */
static void draw_one_way_busy(struct schedule *s, struct chance *c)
{
	draw_one_way(s, c);
	s->addresses = 1;
	struct fault *f = add(s, FAULT_BUSY, 0, 14 * S, HOSTS);
	f->mask = ~UINT64_C(1);
	f->value = (int)chance_between(c, 5, 40);
	f->b = (unsigned)chance_between(c, 20, 200);
}

static void draw_deaf(struct schedule *s, struct chance *c)
{
	add(s, chance_percent(c, 50) ? FAULT_DEAF : FAULT_MUTE, phase(c), 8 * S, chance_percent(c, 60) ? 0 : 1);
}

static void draw_removed(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	if (chance_percent(c, 50))
		add(s, FAULT_DIE, at, NEVER_BACK, 0);
	add(s, FAULT_REMOVE, at + chance_between(c, 0, 2 * S), NEVER_BACK, 0);
}

static void draw_power_up(struct schedule *s, struct chance *c)
{
	s->nodes = (unsigned)chance_between(c, 3, 8);
	if (chance_percent(c, 50))
		s->absent = 1;
}

static void draw_all_killed(struct schedule *s, struct chance *c)
{
	enum fault_kind kind = chance_percent(c, 50) ? FAULT_KILL : FAULT_TERM;
	bool missing = chance_percent(c, 50);
	for (unsigned i = 0; i < s->nodes; i++)
		add(s, kind, 100 * MS, missing && i == 0 ? NEVER_BACK : chance_between(c, 50 * MS, 3 * S), i);
}

static void draw_services(struct schedule *s, struct chance *c)
{
	s->controllers = true;
	s->addresses = 54;
	add(s, FAULT_SERVICES, phase(c), NEVER_BACK, HOSTS)->value = 50;
	if (chance_percent(c, 30))
		add(s, FAULT_KILL, chance_between(c, 0, S), chance_between(c, 50 * MS, 2 * S), (unsigned)chance_between(c, 0, 1));
}

static void draw_claims(struct schedule *s, struct chance *c)
{
	s->unheld = true;
	if (chance_percent(c, 50))
		add(s, FAULT_KILL, phase(c), chance_between(c, 50 * MS, 2 * S), (unsigned)chance_between(c, 0, s->nodes - 1));
}

static void draw_api(struct schedule *s, struct chance *c)
{
	add(s, FAULT_API, phase(c), chance_between(c, S, 20 * S), 0)->value = chance_percent(c, 60);
}

static void draw_pause(struct schedule *s, struct chance *c)
{
	add(s, FAULT_PAUSE, phase(c), chance_between(c, 50 * MS, 4 * S), 0);
}

/* Nobody tells it: it answers until it hears another (ownership.md section 4). */
static void draw_pause_of_clock(struct schedule *s, struct chance *c)
{
	draw_pause(s, c);
	s->faults[0].value = 1;
}

static void draw_drain(struct schedule *s, struct chance *c)
{
	add(s, FAULT_DRAIN, phase(c), chance_percent(c, 50) ? NEVER_BACK : chance_between(c, S, 3 * S), 0);
}

/* Who asks for it does so as soon as the API server is back, which does not serve custom resources yet. */
static void draw_drain_after_api(struct schedule *s, struct chance *c)
{
	int64_t lasts = chance_between(c, S, 4 * S);
	add(s, FAULT_API, phase(c), lasts, 0)->value = chance_percent(c, 30);
	draw_drain(s, c);
	s->faults[1].at = s->faults[0].at + lasts + chance_between(c, 0, 6 * S);
}

static void draw_move(struct schedule *s, struct chance *c)
{
	unsigned to = (unsigned)chance_between(c, 1, s->nodes - 1);
	int64_t at = phase(c);
	if (chance_percent(c, 30))   /* the successor does not hear of it */
		add(s, FAULT_API_CUT, at, 4 * S, to);
	add(s, FAULT_MOVE, at + 100 * MS, NEVER_BACK, 0)->b = to;
}

static void draw_move_after_api(struct schedule *s, struct chance *c)
{
	int64_t lasts = chance_between(c, S, 4 * S);
	add(s, FAULT_API, phase(c), lasts, 0)->value = chance_percent(c, 30);
	add(s, FAULT_MOVE, s->faults[0].at + lasts + chance_between(c, 0, 6 * S), NEVER_BACK, 0)->b = (unsigned)chance_between(c, 1, s->nodes - 1);
}

static void draw_chaos(struct schedule *s, struct chance *c)
{
	static const enum fault_kind KINDS[] = {FAULT_DIE, FAULT_DIE, FAULT_KILL, FAULT_KILL, FAULT_TERM, FAULT_STOP, FAULT_CUT, FAULT_CARRIER, FAULT_ONE_WAY,
						FAULT_DEAF, FAULT_MUTE, FAULT_SPLIT, FAULT_API, FAULT_API_CUT, FAULT_LOSS, FAULT_PAUSE, FAULT_BUSY};
	uint64_t used[FAULT_KINDS] = {0};   /* no fault twice on one node */
	unsigned n = (unsigned)chance_between(c, 2, 10), dead = 0;
	for (unsigned i = 0; i < n; i++) {
		enum fault_kind kind = KINDS[chance_next(c) % (sizeof(KINDS) / sizeof(*KINDS))];
		unsigned a = (unsigned)chance_between(c, 0, s->nodes - 1);
		int64_t lasts = chance_between(c, 50 * MS, 5 * S);
		bool whole = kind == FAULT_API || kind == FAULT_SPLIT || kind == FAULT_BUSY;
		if (used[kind] >> (whole ? 0 : a) & 1)
			continue;
		used[kind] |= UINT64_C(1) << (whole ? 0 : a);
		if (kind == FAULT_DIE && chance_percent(c, 40) && dead + 2 < s->nodes) {
			lasts = NEVER_BACK;
			dead++;
		}
		struct fault *f = add(s, kind, chance_between(c, 0, 4 * S), lasts, whole ? 0 : a);
		f->b = kind == FAULT_LOSS ? (unsigned)chance_between(c, 0, 10) : (a + 1 + (unsigned)chance_between(c, 0, s->nodes - 2)) % s->nodes;
		f->mask = chance_next(c) & ((UINT64_C(1) << s->nodes) - 1);
		f->value = kind == FAULT_LOSS || kind == FAULT_BUSY ? (int)chance_between(c, 5, 100) : kind == FAULT_SPLIT ? (int)chance_between(c, 0, 3) : chance_percent(c, 50);
		if (kind == FAULT_BUSY)
			f->b = (unsigned)chance_between(c, 20, 200);
	}
}

static void draw_chaos_large(struct schedule *s, struct chance *c)
{
	draw_chaos(s, c);
	s->nodes = (unsigned)chance_between(c, 12, 50);
	s->addresses = 20;
}

/* A process that is stopped while it ends, or while it waits for a successor that does not hear of it. */
static void draw_stopped_ending(struct schedule *s, struct chance *c)
{
	int64_t at = phase(c);
	if (chance_percent(c, 30)) {
		unsigned to = (unsigned)chance_between(c, 1, s->nodes - 1);
		add(s, FAULT_API_CUT, at, 4 * S, to);
		add(s, FAULT_MOVE, at + 50 * MS, NEVER_BACK, 0)->b = to;
		add(s, FAULT_STOP, at + chance_between(c, 100 * MS, 2 * S), chance_between(c, 1300 * MS, 3 * S), 0);
		return;
	}
	add(s, FAULT_TERM, at, chance_between(c, 50 * MS, S), 0);
	add(s, FAULT_STOP, at + chance_between(c, 5 * MS, 250 * MS), chance_between(c, 1300 * MS, 3 * S), 0);
}

/* Or while two that have met again settle who has it, or even before: as long as that takes the others do not know whom to
 * guard for, and a guard for the other one is heard until the first announcement. */
static void draw_stopped_meeting(struct schedule *s, struct chance *c)
{
	int64_t stopped = chance_between(c, 1300 * MS, 3 * S);
	int64_t lasts = chance_between(c, S, 3 * S), at = 300 * MS + phase(c);
	add(s, FAULT_API, 0, at + lasts + 3 * S, 0);
	add(s, FAULT_CUT, at, lasts, 0);
	add(s, FAULT_STOP, at + lasts + chance_between(c, 10 * MS, 200 * MS), stopped, chance_percent(c, 50) ? 0 : (unsigned)chance_between(c, 1, s->nodes - 1));
}

const struct row ROWS[] = {
	/* name            weight draw                      dark   two moves stale settle after rest least astray */
	{"dead",              90, draw_dead,                 350,  150,   3,  0,   1500, false,  800, 2,  0},
	{"dead-two-nodes",    30, draw_dead_two,             350,   50,   1,  0,   1500, false,  800, 2,  0},
	{"dead-20ms",         50, draw_dead_fast,            100,  150,   7,  0,   1500, false,  800, 2,  0},
	{"dead-no-api",       50, draw_dead_without_api,     350,  150,   3,  0,   6000, false,  800, 2,  0},
	{"dead-returns",      50, draw_returns,              350,  300,   3,  0,   2500, false,  800, 2,  0},
	{"dead-again",        30, draw_dead_again,           350,  150,   5,  0,   2500, false,  800, 2,  0},
	{"killed",            10, draw_killed,               300,    0,   1,  0,  35000, false,  800, 2,  0},
	{"killed-restarted",  60, draw_killed_restarted,     300,    0,   0,  0,   1500, false,  800, 2,  0},
	{"upgrade",           40, draw_upgrade,                0,    0,   0,  0,   1500, false,  800, 2,  0},
	{"upgrade-no-api",    30, draw_upgrade_without_api,    0,    0,   0,  0,   5000, false,  800, 2,  0},
	{"restart-no-api",    15, draw_restart_without_api, 7500,    0,   0,  0,   5000, false,  800, 2,  0},
	{"cut-returns",       60, draw_cut,                  350,  150,   3,  0,   2500, false,  800, 2,  0},
	{"cut-no-api",        50, draw_cut_without_api,      350,  300,   3,  0,   6000, false,  800, 2,  0},
	{"split",             60, draw_split,                  0,  750,   7,  0,   4000, true,   800, 3,  0},
	{"stopped",           60, draw_stopped,              350,    0,   1,  0,   2500, false,  800, 2,  0},
	{"carrier",           50, draw_carrier,              350,  100,   3,  0,   2500, false,  800, 2,  0},
	{"many",               1, draw_many,                 350,  100,   3,  0,   5000, false,  800, 2,  0},
	{"loss",              10, draw_loss,                   0,    0,   0,  0,   1500, false,  800, 2,  0},
	{"chain",             50, draw_chain,                450,  100,   6,  0,   2000, false,  800, 3,  0},
	{"chain-no-api",      40, draw_chain_without_api,    450,  100,   4,  0,   6000, false,  800, 3,  0},
	{"pair",              40, draw_pair,                 400,  100,   3,  0,   2000, false,  800, 3,  0},
	{"taker-dies",        20, draw_taker_dies,            -1,  500,   5,  0,   6000, false,  800, 3,  0},
	{"one-way",           20, draw_one_way,                0,    0,   0,  0,   5000, false,  800, 3,  0},
	{"one-way-busy",      20, draw_one_way_busy,           0,    0,   0,  0,   5000, false,  800, 3,  0},
	{"deaf-mute",         20, draw_deaf,                 350,  150,   1,  0,   3000, false,  800, 2,  0},
	{"node-removed",      40, draw_removed,              350,  100,   3,  0,   3000, false,  800, 2,  0},
	{"power-up",          40, draw_power_up,              -1,  150,   1,  0,   6000, true,   800, 3,  0},
	{"all-killed",        20, draw_all_killed,          6500,   20,   1,  0,  35000, false,  800, 2,  0},
	{"services",           3, draw_services,              -1,   50,   1,  0,   8000, false,  800, 2,  0},
	{"claims",            30, draw_claims,                -1,   50,   1,  0,   4000, false,  800, 2,  0},
	{"api-away",          20, draw_api,                    0,    0,   0,  0,   4000, false,  800, 2,  0},
	{"pause",             30, draw_pause,                350,  200,   3,  0,   2500, false,  800, 2,  0},
	{"pause-clock",       20, draw_pause_of_clock,       350,  150,   3, -1,   2500, false,  800, 2,  0},
	{"drain",             30, draw_drain,                  0,   50,   1,  0,   2500, false,  800, 2,  0},
	{"move",              30, draw_move,                   0,   50,   1,  0,   3000, false,  800, 2,  0},
	{"drain-after-api",   20, draw_drain_after_api,        0,   50,   1,  0,   4000, false,  800, 2,  0},
	{"move-after-api",    20, draw_move_after_api,         0,   50,   1,  0,   4000, false,  800, 2,  0},
	{"stranger",          20, draw_stranger,             300,   50,   1,  0,   4000, false,  800, 2,  0},
	{"stranger-first",    10, draw_stranger_first,        -1,   50,   1,  0,   8000, false,  800, 2,  0},
	{"stranger-move",     10, draw_stranger_move,         -1,   50,   2,  0,   8000, false,  800, 2,  0},
	{"other-balancer",     8, draw_other,                 -1,   50,   1,  0,  12000, false,  800, 3,  0},
	{"stranger-storm",    30, draw_stranger_storm,       -1,  300,   3,  0,  20000, false,  800, 3, -1},
	{"stranger-new",      40, draw_stranger_new,         -1,   50,   2,  0,   8000, false,  800, 3, -1},
	{"stranger-back",     40, draw_stranger_back,        -1,   50,   2,  0,   8000, false,  800, 3, -1},
	{"stranger-long",      4, draw_stranger_long,         0,    0,   0,  0,   3000, false,  800, 2,  0},
	{"stopped-ending",    20, draw_stopped_ending,      350,   50,   1,  0,   4000, false,  800, 2,  0},
	{"stopped-meeting",   20, draw_stopped_meeting,      -1, 1300,   3,  0,   6000, false,  800, 2,  0},
	{"endpoints",         30, draw_endpoints,             0,   50,   1,  0,   3000, false,  800, 2, 400},
	{"endpoints-cluster", 10, draw_endpoints_cluster,     0,    0,   0,  0,   3000, false,  800, 2,  0},
	{"endpoints-none",    20, draw_endpoints_none,      350,   50,   1,  0,   3000, false,  800, 2, 400},
	{"endpoints-flap",    20, draw_endpoints_flap,      350,   50,   1,  0,   3000, false,  800, 2, 400},
	{"not-ready",         10, draw_not_ready,             0,    0,   0,  0,   2500, false,  800, 2,  0},
	{"excluded",          20, draw_excluded,              0,   50,   1,  0,   2500, false,  800, 2, 400},
	{"preferred",          6, draw_preferred,             0,   50,   1,  0,  33000, false,  800, 2,  0},
	{"shared",            10, draw_shared,                0,    0,   0,  0,   4000, false,  800, 2,  0},
	{"deleted",           30, draw_deleted,              -1,   50,   1,  0,   6000, false,  800, 2, -1},
	{"chaos",            150, draw_chaos,                 -1,   -1,  -1, -1,  12000, false, 1500, 2, -1},
	{"chaos-large",        2, draw_chaos_large,           -1,   -1,  -1, -1,  12000, false, 1500, 2, -1},
};
const size_t N_ROWS = sizeof(ROWS) / sizeof(*ROWS);
