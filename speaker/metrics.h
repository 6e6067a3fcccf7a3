/* Counters and gauges with labels, and their Prometheus text (format 0.0.4). Pure: no clock, socket or log.
 *
 * Push, where something happens:
 *     metrics_add(metrics, METRIC_UPDATE_ERRORS, NO_KV, 1);
 * Pull, for what is known anyway and only counted when somebody asks (once a scrape, so it may be a little work):
 *     static void collect(void *data, struct metrics *metrics)
 *     {
 *             metrics_clear(metrics, METRIC_ADDRESSES);          (pools that are gone have no series)
 *             for each pool:
 *                     metrics_set(metrics, METRIC_ADDRESSES, KV("pool", pool->meta.name), size);
 *     }
 *     metrics_on_collect(metrics, collect, role);
 * A name that is not in the table of metrics.c gets no HELP and no type: add it there.
 *
 * Labels are KV lists (log.h), in any order; the values are any text. A series is a hash lookup and needs no set-up. Who
 * counts often keeps the handle: metrics_series, metric_add. */
#ifndef SPEAKER_METRICS_H
#define SPEAKER_METRICS_H

#include "config/base/buffer.h"
#include "config/base/log.h"

/* MetalLB's names, types and labels (metallb-l2.md section 4.1). Label pool: */
#define METRIC_ADDRESSES "metallb_allocator_addresses_total"
#define METRIC_IPV4_ADDRESSES "metallb_allocator_ipv4_addresses_total"
#define METRIC_IPV6_ADDRESSES "metallb_allocator_ipv6_addresses_total"
#define METRIC_IN_USE "metallb_allocator_addresses_in_use_total"
#define METRIC_IPV4_IN_USE "metallb_allocator_ipv4_addresses_in_use_total"
#define METRIC_IPV6_IN_USE "metallb_allocator_ipv6_addresses_in_use_total"
#define METRIC_SERVICES_ALLOCATED "metallb_allocator_services_allocated_total"
/* No labels: */
#define METRIC_UPDATES "metallb_k8s_client_updates_total"
#define METRIC_UPDATE_ERRORS "metallb_k8s_client_update_errors_total"
#define METRIC_CONFIG_LOADED "metallb_k8s_client_config_loaded_bool"
#define METRIC_CONFIG_STALE "metallb_k8s_client_config_stale_bool"
/* Labels service, protocol, node, ip: */
#define METRIC_ANNOUNCED "metallb_speaker_announced"
/* Label ip: */
#define METRIC_REQUESTS "metallb_layer2_requests_received"
#define METRIC_RESPONSES "metallb_layer2_responses_sent"
#define METRIC_GRATUITOUS "metallb_layer2_gratuitous_sent"
/* Ours. Label ip: */
#define METRIC_CONFLICTS "l2lb_address_conflicts_total"
/* Ours, no labels: */
#define METRIC_BUILD_INFO "l2lb_build_info"
#define METRIC_MEMORY "process_resident_memory_bytes"
#define METRIC_CPU "process_cpu_seconds_total"
#define METRIC_START_TIME "process_start_time_seconds"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics;
struct metric;   /* one series: a name with its labels */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);   /* NULL is fine */

/* labels: key, value, ..., NULL; or NO_KV. */
void metrics_set(struct metrics *m, const char *name, const char *const *labels, double value);
void metrics_add(struct metrics *m, const char *name, const char *const *labels, double more);
void metrics_remove(struct metrics *m, const char *name, const char *const *labels);   /* one series, if it exists */
void metrics_clear(struct metrics *m, const char *name);                               /* all series of a name */

/* The series, made with value 0 if need be. Valid until it is removed or its name is cleared. */
struct metric *metrics_series(struct metrics *m, const char *name, const char *const *labels);
void metric_set(struct metric *series, double value);
void metric_add(struct metric *series, double more);
double metric_value(const struct metric *series);

/* Runs at the start of each metrics_render, in the order they were added. */
void metrics_on_collect(struct metrics *m, void (*collect)(void *data, struct metrics *m), void *data);

/* Appends all series, sorted by name, then by labels. */
void metrics_render(struct metrics *m, struct buffer *out);

#endif
