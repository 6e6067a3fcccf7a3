/* The wire first, then the API server. */
#include "config/base/clock.h"
#include "speaker/holder_fate.h"
#include "tests/unit/unit.h"

static const struct { const char *what; struct holder_evidence e; enum holder_fate fate; } ROWS[] = {
	{"alive", {.wire = LIVENESS_ALIVE}, HOLDER_PRESENT},
	{"alive, whatever the API says", {.wire = LIVENESS_ALIVE, .api = true, .api_for = 99 * CLOCK_S, .linkless = true}, HOLDER_PRESENT},
	{"dead", {.wire = LIVENESS_DEAD, .api = true, .node = true, .ready = true}, HOLDER_DEAD},
	{"its speaker is down", {.wire = LIVENESS_SPEAKER_DOWN, .guard = true}, HOLDER_SPEAKER_DOWN},
	{"its speaker is down, and nobody guards", {.wire = LIVENESS_SPEAKER_DOWN}, HOLDER_DEAD},
	{"others watch it", {.wire_judges = true, .api = true, .api_for = 99 * CLOCK_S}, HOLDER_PRESENT},
	{"nobody can tell", {.api = false}, HOLDER_PRESENT},
	{"no Node", {.api = true, .ready = false}, HOLDER_GONE},
	{"Ready", {.api = true, .api_for = 99 * CLOCK_S, .node = true, .ready = true}, HOLDER_PRESENT},
	{"NotReady since an outage, maybe", {.api = true, .api_for = 60 * CLOCK_S, .node = true}, HOLDER_PRESENT},
	{"NotReady", {.api = true, .api_for = 60 * CLOCK_S + 1, .node = true}, HOLDER_GONE},
	{"without a link", {.api = true, .node = true, .ready = true, .linkless = true}, HOLDER_GONE},
	{"silent, nothing proven: as if unknown", {.wire = LIVENESS_SILENT, .api = true, .node = true, .ready = true}, HOLDER_PRESENT},
	{"silent, and no Node", {.wire = LIVENESS_SILENT, .api = true}, HOLDER_GONE},
};

static void fates(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++)
		if (holder_fate_of(&ROWS[i].e) != ROWS[i].fate)
			fail_msg("%s: %d", ROWS[i].what, holder_fate_of(&ROWS[i].e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fates)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
