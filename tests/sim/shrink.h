/* The smallest part of a schedule that still goes wrong in the same way. */
#ifndef TESTS_SIM_SHRINK_H
#define TESTS_SIM_SHRINK_H

#include "tests/sim/run.h"

/* *s becomes smaller; *o: how that ended. */
void shrink(struct schedule *s, struct outcome *o);

/* How to run it again: arguments. */
void shrink_print_arguments(const struct schedule *s, FILE *out);

#endif
