/* Many seeds on several processes: one that dies (a failed assertion, a sanitizer's report) is one that went wrong. */
#ifndef TESTS_SIM_JOBS_H
#define TESTS_SIM_JOBS_H

#include "tests/sim/coverage.h"
#include "tests/sim/report.h"

struct jobs_config {
	uint64_t start, seeds;
	unsigned jobs;
	const struct row *row;   /* NULL: by weight */
	int64_t seconds;         /* then no new one begins; 0: no limit */
};

void jobs_run(const struct jobs_config *config, struct report *r, struct coverage *c);

#endif
