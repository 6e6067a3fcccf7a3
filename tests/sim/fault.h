/* Faults: how they begin and end. */
#ifndef TESTS_SIM_FAULT_H
#define TESTS_SIM_FAULT_H

#include "tests/sim/schedule.h"

/* Puts all of them on the agenda. The schedule outlives the run. */
void fault_plan(const struct schedule *s, int64_t from);

/* The process of a node as the schedule has it. */
void fault_start_process(struct host *h);

#endif
