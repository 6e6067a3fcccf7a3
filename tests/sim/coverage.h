/* Which states and transitions of the cores a run has reached. The linker leads their functions here (-Wl,--wrap). */
#ifndef TESTS_SIM_COVERAGE_H
#define TESTS_SIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define COVERAGE_STATES 16
#define COVERAGE_LISTED 3          /* percent of the transitions may be missing, */
#define COVERAGE_SCHEDULES 10000   /* after so many schedules of all rows */

enum coverage_core { COVERAGE_OWNERSHIP, COVERAGE_LIVENESS, COVERAGE_CONFLICT, COVERAGE_CORES };

struct coverage {
	uint64_t count[COVERAGE_CORES][COVERAGE_STATES][COVERAGE_STATES];   /* from, to; the diagonal: steps in a state */
};

extern struct coverage coverage;

void coverage_begin(void);   /* of a run: what was remembered of the last one's objects */
void coverage_add(struct coverage *to, const struct coverage *from);
void coverage_print(const struct coverage *c, FILE *out);
bool coverage_enough(const struct coverage *c, FILE *out);

#endif
