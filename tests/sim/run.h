/* One schedule from beginning to end. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "tests/sim/observer.h"
#include "tests/sim/schedule.h"

struct outcome {
	uint64_t seed;
	unsigned row;
	struct measured measured;
	char kind[20];        /* of what went wrong; "": nothing */
	char details[200];
	int64_t simulated;    /* microseconds */
	uint64_t frames;
	bool measures;        /* its times count for the table */
};

void run_schedule(const struct schedule *s, bool verbose, struct outcome *o);

#endif
