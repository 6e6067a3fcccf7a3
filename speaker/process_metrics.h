/* process_*: memory, CPU time and start of this process, as Prometheus' own clients give them. */
#ifndef SPEAKER_PROCESS_METRICS_H
#define SPEAKER_PROCESS_METRICS_H

#include "speaker/metrics.h"

/* For metrics_on_collect; data is not used. */
void process_metrics_collect(void *data, struct metrics *metrics);

#endif
