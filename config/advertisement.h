/* L2Advertisement (metallb.io/v1beta1): which pools are announced, from which nodes, on which links. Pure.
 * Rules: metallb-l2.md section 1.2. An empty spec means all pools, all nodes, all links. */
#ifndef CONFIG_ADVERTISEMENT_H
#define CONFIG_ADVERTISEMENT_H

#include "config/pool.h"

struct node_preference {
	int weight;   /* 1..100 */
	struct selector selector;
};

struct advertisement {
	struct object_meta meta;
	char **pools;
	size_t n_pools;
	struct selectors pool_selectors;
	struct selectors node_selectors;
	struct selectors service_selectors;
	char **interfaces;   /* exact names; none: the default links */
	size_t n_interfaces;
	struct node_preference *preferences;
	size_t n_preferences;
};

/* Accepts what MetalLB accepts and refuses what it refuses: pools, nodes and links need not exist, a link may be named twice.
 * *adp: to advertisement_free. -EINVAL: err names the object, the fault and the remedy. */
int advertisement_decode(const json_t *object, struct advertisement **adp, struct error *err);

/* The one that --pool implies: everything, from everywhere. */
struct advertisement *advertisement_for_all(void);
void advertisement_free(struct advertisement *ad);

bool advertisement_selects_pool(const struct advertisement *ad, const struct object_meta *pool);
bool advertisement_selects_node(const struct advertisement *ad, const struct labels *node_labels);
bool advertisement_selects_service(const struct advertisement *ad, const struct labels *service_labels);

/* Sum of the weights of the preferences that match; 0 for a node the advertisement does not select. */
int advertisement_score(const struct advertisement *ad, const struct labels *node_labels);

#endif
