/* What many runs came to: a table by rows, what went wrong, how often. */
#ifndef TESTS_SIM_REPORT_H
#define TESTS_SIM_REPORT_H

#include "tests/sim/run.h"

#define REPORT_ROWS 64
#define REPORT_FAILURES 1000

struct report {
	struct row_results {
		struct measured *each;
		size_t n, room;
		unsigned failed;
	} rows[REPORT_ROWS];
	struct outcome failures[REPORT_FAILURES];   /* the first ones */
	size_t n_failures;                          /* of all */
	uint64_t schedules, frames;
	int64_t simulated;
};

void report_add(struct report *r, const struct outcome *o);
void report_print(const struct report *r, FILE *out);
void report_free(struct report *r);

#endif
