/* When an owner hands an address over without any fault: each row of a story is one step at a time of its own. */
#include "speaker/planned_move.h"
#include "config/base/clock.h"
#include "tests/unit/support.h"

#define NODES 4
#define STEPS 10

struct step {
	int64_t at;               /* ms */
	const char *candidates;   /* best first: name, score and letters: d draining, m makeshift, e ending, x down */
	const char *successor;    /* of the record; NULL: "" */
	const char *target;       /* expected; NULL: keep it */
	enum planned_reason reason;
	enum planned_refusal refusal;
	bool clear;
	int64_t wake;             /* ms; 0: never */
	unsigned version;         /* of the record; 0: 1 */
};

struct story {
	const char *what;
	struct step steps[STEPS];
};

static size_t read_candidates(const char *text, char names[NODES][8], struct candidate *list, bool *up)
{
	size_t n = 0;
	for (const char *p = text; *p; n++) {
		size_t length = strcspn(p, " "), name = strcspn(p, "0123456789 ");
		assert_true(n < NODES);
		snprintf(names[n], sizeof(names[n]), "%.*s", (int)name, p);
		list[n] = (struct candidate){.node = names[n], .score = atoi(p + name)};
		up[n] = true;
		for (size_t i = name; i < length; i++) {
			list[n].draining |= p[i] == 'd';
			list[n].makeshift |= p[i] == 'm';
			list[n].ending |= p[i] == 'e';
			up[n] &= p[i] != 'x';
		}
		p += length + (p[length] == ' ');
	}
	return n;
}

static void take_step(struct planned_move *p, const char *what, const struct step *s)
{
	char names[NODES][8];
	struct candidate list[NODES];
	bool up[NODES];
	struct record *r = support_record_new((struct support_record){.address = "192.168.122.100", .holder = "A", .epoch = 1, .successor = s->successor,
								      .version = s->version});
	struct planned_view v = {.me = "A", .record = r, .candidates = list, .up = up};
	v.n = read_candidates(s->candidates, names, list, up);
	struct planned_step got = planned_move_step(p, &v, s->at * CLOCK_MS);
	if (strcmp(support_or(got.target, "-"), support_or(s->target, "-")) != 0 || got.reason != s->reason)
		fail_msg("%s, at %lld: %s (%s)", what, (long long)s->at, support_or(got.target, "-"), planned_reason_text(got.reason));
	if (got.refusal != s->refusal || got.clear != s->clear)
		fail_msg("%s, at %lld: refusal %d (%s), clear %d", what, (long long)s->at, got.refusal, planned_refusal_text(got.refusal), got.clear);
	if (got.wake != (s->wake ? s->wake * CLOCK_MS : CLOCK_NEVER))
		fail_msg("%s, at %lld: wake %lld", what, (long long)s->at, (long long)(got.wake / CLOCK_MS));
	record_free(r);
}

static const struct story STORIES[] = {
	{"nothing to do", {{0, .candidates = "A0 B0 C0"}, {60000, .candidates = "C0 B0 A0"}}},   /* another one being first in the order is no reason */
	{"nobody may have it", {{0, .candidates = ""}}},

	/* l2lb move */
	{"named and fit", {
		{0, "A0 B0 C0", "C", "C", PLANNED_SUCCESSOR, .wake = 5000},
		{100, "A0 B0 C0", "C", "C", PLANNED_SUCCESSOR, .wake = 5000},
		{200, .candidates = "A0 B0 C0"}}},
	{"named and not eligible: said once, asked to clear until it is", {
		{0, "A0 B0", "C", .refusal = PLANNED_NOT_ELIGIBLE, .clear = true},
		{10, "A0 B0", "C", .clear = true},
		{20, .candidates = "A0 B0"},
		{30, "A0 B0", "C", .refusal = PLANNED_NOT_ELIGIBLE, .clear = true, .version = 3}}},
	{"named and down", {{0, "A0 B0x C0", "B", .refusal = PLANNED_DOWN, .clear = true}}},
	{"named and drained", {{0, "A0 C0 B0d", "B", .refusal = PLANNED_LEAVES, .clear = true}}},
	{"named and drained, and so are we; a third one stays", {{0, "A0d B0d C0", "B", .refusal = PLANNED_LEAVES, .target = "C", .reason = PLANNED_DRAIN}}},
	{"all are drained: then it may", {{0, "A0d B0d", "B", "B", PLANNED_SUCCESSOR, .wake = 5000}}},
	{"one that stays is down: then it may", {{0, "C0x A0d B0d", "B", "B", PLANNED_SUCCESSOR, .wake = 5000}}},
	{"named without the right link", {{0, "A0 C0 B0m", "B", .refusal = PLANNED_WRONG_LINK, .clear = true}}},
	{"nobody has the right link", {{0, "A0m B0m", "B", "B", PLANNED_SUCCESSOR, .wake = 5000}}},
	{"ourselves", {{0, "A0 B0", "A", .refusal = PLANNED_ALREADY, .clear = true}}},
	{"named and silent", {
		{0, "A0 B0", "B", "B", PLANNED_SUCCESSOR, .wake = 5000},
		{4999, "A0 B0", "B", "B", PLANNED_SUCCESSOR, .wake = 5000},
		{5000, "A0 B0", "B", .refusal = PLANNED_SILENT, .clear = true},
		{5001, "A0 B0", "B", .clear = true}}},
	{"a lower score: whoever orders it knows why", {
		{0, "A9 B0", "B", "B", PLANNED_SUCCESSOR, .wake = 5000}}},

	/* drain */
	{"we are drained", {
		{0, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0 C0 A0d", "B", "B", PLANNED_DRAIN, .wake = 1010}}},
	{"the first is down", {{0, "B0x C0 A0d", .target = "C", .reason = PLANNED_DRAIN}}},
	{"all others are, or are drained too", {{0, .candidates = "B0x C0d A0d"}}},
	{"an ending endpoint is better than a drained node", {{0, "B0e A0d", .target = "B", .reason = PLANNED_DRAIN}}},
	{"no worse link for a drain", {{0, .candidates = "A0d B0m"}}},
	{"the named one does not take it: the next, then it again", {
		{0, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0 C0 A0d", "B", "B", PLANNED_DRAIN, .wake = 1010},
		{1010, "B0 C0 A0d", "B", "C", .reason = PLANNED_DRAIN},
		{1020, "B0 C0 A0d", "C", "C", PLANNED_DRAIN, .wake = 2020},
		{2020, "B0 C0 A0d", "C", "B", .reason = PLANNED_DRAIN},
		{2030, "B0 C0 A0d", "B", "B", PLANNED_DRAIN, .wake = 3030}}},
	{"whoever did not take it comes last for a minute", {
		{0, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0 C0 A0d", "B", "B", PLANNED_DRAIN, .wake = 1010},
		{1010, "B0 C0 A0d", "B", "C", .reason = PLANNED_DRAIN},
		{61009, "B0 C0 A0d", .target = "C", .reason = PLANNED_DRAIN},
		{61010, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN}}},
	{"the only one does not take it: it stays named, without hurry", {
		{0, "B0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0 A0d", "B", "B", PLANNED_DRAIN, .wake = 1010},
		{1010, "B0 A0d", "B", "B", .reason = PLANNED_DRAIN}}},
	{"it dies after it was named: nobody is told, the next", {
		{0, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0x C0 A0d", "B", "C", .reason = PLANNED_DRAIN},
		{20, "B0x C0 A0d", "C", "C", PLANNED_DRAIN, .wake = 1020}}},
	{"it dies before the record names it, and the write comes late", {
		{0, "B0 C0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "B0x C0 A0d", .target = "C", .reason = PLANNED_DRAIN},
		{20, "B0x C0 A0d", "B", "C", .reason = PLANNED_DRAIN}}},
	{"undrained after the naming: it goes on, and is over when it was not taken", {
		{0, "B0 A0d", .target = "B", .reason = PLANNED_DRAIN},
		{10, "A0 B0", "B", "B", PLANNED_SUCCESSOR, .wake = 1010},
		{1010, "A0 B0", "B", .clear = true}}},

	/* not eligible any more */
	{"we may not have it, others may", {{0, "B0x C0", .target = "C", .reason = PLANNED_UNFIT}}},
	{"another has the right link, we have not", {{0, "B0 A0m", .target = "B", .reason = PLANNED_UNFIT}}},
	{"and it is down", {{0, .candidates = "B0x A0m"}}},
	{"unfit and drained", {{0, "B0 A0md", .target = "B", .reason = PLANNED_UNFIT}}},

	/* endpoints that are terminating */
	{"a second later", {
		{0, "B0 A0e", .wake = 1000},
		{999, "B0 A0e", .wake = 1000},
		{1000, "B0 A0e", .target = "B", .reason = PLANNED_ENDING}}},
	{"a new pod in place", {
		{0, "B0 A0e", .wake = 1000},
		{900, .candidates = "A0 B0"},
		{1000, "B0 A0e", .wake = 2000}}},
	{"the others' are, too", {{0, .candidates = "A0e B0e"}, {5000, .candidates = "A0e B0e"}, {6000, "B0 A0e", .wake = 7000}}},
	{"it has gone before the second is over", {{0, "B0 A0e", .wake = 1000}, {300, "B0", .target = "B", .reason = PLANNED_UNFIT}}},

	/* preferredNodeSelectors */
	{"a better one, after 30 s", {
		{0, "B5 A0 C0", .wake = 30000},
		{29999, "B5 A0 C0", .wake = 30000},
		{30000, "B5 A0 C0", .target = "B", .reason = PLANNED_PREFERENCE},
		{30010, "B5 A0 C0", "B", "B", PLANNED_PREFERENCE, .wake = 31010}}},
	{"30 s without a break", {
		{0, "B5 A0", .wake = 30000},
		{20000, .candidates = "B5x A0"},
		{21000, "B5 A0", .wake = 51000},
		{50999, "B5 A0", .wake = 51000},
		{51000, "B5 A0", .target = "B", .reason = PLANNED_PREFERENCE}}},
	{"30 s of the same one", {
		{0, "B5 A0 C0", .wake = 30000},
		{10000, "C9 B5 A0", .wake = 40000},
		{30000, "C9 B5 A0", .wake = 40000},
		{40000, "C9 B5 A0", .target = "C", .reason = PLANNED_PREFERENCE}}},
	{"a tie is nothing", {{0, .candidates = "B5 A5"}, {60000, .candidates = "B5 A5"}}},
	{"nor is a drained one, one without the right link, or one whose endpoints end", {{0, .candidates = "A0 C7e B9d D8m"}, {60000, .candidates = "A0 C7e B9d D8m"}}},
};

static void stories(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(STORIES); i++) {
		struct planned_move p;
		planned_move_init(&p);
		for (size_t j = 0; j < STEPS && STORIES[i].steps[j].candidates; j++)
			take_step(&p, STORIES[i].what, &STORIES[i].steps[j]);
		planned_move_free(&p);
	}
}

/* Somebody else had it meanwhile: what was measured then is forgotten. */
static void again(void **state)
{
	struct planned_move p;
	(void)state;
	planned_move_init(&p);
	take_step(&p, "first", &(struct step){0, "B5 A0", .wake = 30000});
	planned_move_free(&p);
	take_step(&p, "again", &(struct step){40000, "B5 A0", .wake = 70000});
	planned_move_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(stories), cmocka_unit_test(again)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
