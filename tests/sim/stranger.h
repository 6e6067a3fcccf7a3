/* Hosts that are no nodes and use an address of ours. */
#ifndef TESTS_SIM_STRANGER_H
#define TESTS_SIM_STRANGER_H

#include "tests/sim/schedule.h"

void stranger_reset(void);   /* before a run */
void stranger_begin(const struct fault *f);
void stranger_end(const struct fault *f);

/* One of them has this address, or had it in this run. */
void stranger_note(uint32_t address);   /* what cannot be told from one has it */
bool stranger_had(uint32_t address);

#endif
