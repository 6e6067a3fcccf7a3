/* The set of watches that keeps the model: which resources, how they are decoded, and whether the API server answers.
 * One of them per process, whatever the roles. A shell: it decides nothing. */
#ifndef SPEAKER_CLUSTER_H
#define SPEAKER_CLUSTER_H

#include "config/options.h"
#include "k8sclient/watcher.h"
#include "speaker/leadership.h"
#include "speaker/model.h"

struct cluster;

struct cluster_config {
	const struct options *options;
	const char *name_space;
	struct leadership *leadership;   /* NULL without the controller role */
};

void cluster_init(struct cluster **clusterp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct cluster_config *config);
void cluster_start(struct cluster *c);
void cluster_close(struct cluster *c);

struct model *cluster_model(struct cluster *c);
struct api *cluster_api(struct cluster *c);
const char *cluster_namespace(const struct cluster *c);

/* Of a Lease in our namespace, or (NULL) of all: for writes and reads. To free(). */
char *cluster_lease_path(const struct cluster *c, const char *name);

/* A step of the turn, before the roles': renews the EndpointSlice selector when the set of Services changed. */
void cluster_step(void *cluster);

/* Every resource that the roles need has been listed once. */
bool cluster_synced(const struct cluster *c);

/* The API server answers the watch of the Leases: the records are current and can be written. The other watches do not count:
 * a restarted API server refuses those of custom resources for seconds ("storage is (re)initializing", 429) while it serves
 * Leases, and a right to see pools that was taken away is no outage either. */
bool cluster_api_answers(const struct cluster *c);

/* When it did so again, for rules that must not trust what an outage left behind (clock.h); CLOCK_NEVER: it does not.
 * nodes: the same of records and Nodes, for what a Node object or its absence says. */
int64_t cluster_answers_since(const struct cluster *c);
int64_t cluster_nodes_since(const struct cluster *c);

/* It may be back: watches that wait because it could not be reached try again now. */
void cluster_hurry(struct cluster *c);

const char *cluster_trouble(const struct cluster *c);   /* of any watch, one line; NULL: there is none, or none was asked yet */

/* An object of ours that a write or a GET returned: into the model before the watch repeats it. */
void cluster_take_lease(struct cluster *c, const json_t *lease);
void cluster_take_service(struct cluster *c, const json_t *service);
void cluster_take_pool(struct cluster *c, const json_t *pool);

#endif
