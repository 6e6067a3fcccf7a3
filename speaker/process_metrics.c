#include "speaker/process_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/file.h"

enum { UTIME = 14, STIME = 15, STARTTIME = 22, RSS = 24 };   /* proc(5) */

/* Fields 1 and 2 have no number, and the name in field 2 may have blanks. */
static void read_fields(const char *text, double fields[RSS + 1])
{
	const char *p = strrchr(text, ')');
	for (int i = 3; p && i <= RSS; i++) {
		p = strchr(p + 1, ' ');
		fields[i] = p ? strtod(p + 1, NULL) : 0;
	}
}

void process_metrics_collect(void *data, struct metrics *metrics)
{
	static double started;   /* kept: computed anew it would waver with the wall clock */
	double fields[RSS + 1] = {0}, ticks = (double)sysconf(_SC_CLK_TCK);
	struct buffer text = BUFFER_INIT;
	(void)data;
	if (file_read("/proc/self/stat", 8192, &text, NULL) == 0) {
		read_fields(buffer_string(&text), fields);
		if (started <= 0)
			started = (double)clock_wall_ns() / 1e9 - ((double)clock_now() / 1e6 - fields[STARTTIME] / ticks);
		metrics_set(metrics, METRIC_MEMORY, NO_KV, fields[RSS] * (double)sysconf(_SC_PAGESIZE));
		metrics_set(metrics, METRIC_CPU, NO_KV, (fields[UTIME] + fields[STIME]) / ticks);
		metrics_set(metrics, METRIC_START_TIME, NO_KV, started);
	}
	buffer_free(&text);
}
