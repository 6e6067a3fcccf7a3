/* What others may ask this process: /metrics by HTTPS (--port), /healthz and /readyz by HTTP (--health-probe-port).
 *
 *   /healthz  200 as long as the loop turns
 *   /readyz   200 once the roles do their work; before, and while it ends: 503 with one line that says what is missing
 *   /metrics  Prometheus text; with --metrics-auth only for those whom the API server allows it
 *
 * It is there before the API server was reached. A speaker is on the host's network, so its probes are for that node only. */
#ifndef SPEAKER_MONITORING_H
#define SPEAKER_MONITORING_H

#include "speaker/cluster.h"
#include "speaker/metrics.h"
#include "speaker/speaker_role.h"

struct monitoring;

/* options and api outlive it. */
void monitoring_init(struct monitoring **mp, uv_loop_t *loop, const struct options *options, struct api *api);
void monitoring_start(struct monitoring *m);

/* The registry: roles set their metrics in it, or add a function that does when somebody asks (metrics_on_collect). */
struct metrics *monitoring_metrics(struct monitoring *m);

/* The parts that readiness depends on exist now; speaker: NULL without that role. They may close after it only. */
void monitoring_follow(struct monitoring *m, struct cluster *cluster, const struct speaker_role *speaker);
void monitoring_step(void *m);             /* a step of the turn, behind the cluster's */
void monitoring_ending(struct monitoring *m);   /* not ready any more */
void monitoring_close(struct monitoring *m);    /* before the roles, the cluster and the api; NULL is fine */

#endif
