/* What must hold whatever comes in: says which rule was broken, and ends as a crash does. */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(rule) \
	do { \
		if (!(rule)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #rule); \
			abort(); \
		} \
	} while (0)

#endif
