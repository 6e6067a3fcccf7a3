/* Time, in one place. Deadlines count in microseconds of CLOCK_BOOTTIME: it goes on while a machine sleeps, so a node that
 * slept finds its deadlines past (ownership.md R7), and nobody's wall clock decides anything. */
#ifndef CONFIG_BASE_CLOCK_H
#define CONFIG_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_MS INT64_C(1000)
#define CLOCK_S INT64_C(1000000)
#define CLOCK_NEVER INT64_MAX
#define CLOCK_LONG_AGO (INT64_MIN / 2)   /* before everything, and near enough that differences do not overflow */

int64_t clock_now(void);   /* microseconds since boot */

#define CLOCK_TEXT 32
/* Wall time for people and API objects: RFC 3339, UTC, exactly six fraction digits (metav1.MicroTime). */
const char *clock_wall_text(char text[CLOCK_TEXT]);
int64_t clock_wall_ns(void);   /* for unique names, and for expiry times that others set */

/* Uniform in [0, 1): for jitter, not for secrets. */
double clock_random(void);

static inline int64_t clock_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
