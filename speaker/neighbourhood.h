/* Who else is on our links: keeps each link's census supplied with what is worth asking for, finds out who strangers are, and
 * publishes those that use pool addresses. A shell around arp/census.h, acquaintances.h and foreign_writes.h.
 *
 * One node per link asks (the first live one in hash order); all listen. Strangers on addresses that nobody announces are
 * published by the node that asks, others by who announces the address. */
#ifndef SPEAKER_NEIGHBOURHOOD_H
#define SPEAKER_NEIGHBOURHOOD_H

#include "k8sclient/event.h"
#include "speaker/acquaintances.h"
#include "speaker/census_duty.h"
#include "speaker/cluster.h"
#include "speaker/kernel_suspects.h"
#include "speaker/segments.h"

struct neighbourhood;

/* Microseconds. */
struct neighbourhood_times {
	const struct acquaintance_times *acquaintances;
	const struct kernel_suspect_times *kernels;
	const struct census_duty_times *duty;
	int64_t follow;             /* what is worth asking for is looked up at most so often */
	int64_t sighting;           /* one that could not be published is forgotten */
	int64_t publish_again;      /* strangers' records are looked at again after that */
	int64_t nodes_again;        /* less than acquaintances->wait: the answers serve all who are in doubt */
	int64_t records_current;    /* after the API server answers again */
	int64_t node_remembered;    /* ownership.md section 2 */
};
extern const struct neighbourhood_times NEIGHBOURHOOD_TIMES;

struct neighbourhood_config {
	struct cluster *cluster;
	struct segments *segments;
	struct events *events;
	const char *node;
	const struct neighbourhood_times *times;   /* NULL: NEIGHBOURHOOD_TIMES; outlives it */
	/* Runs from the loop; neighbourhood_follow has something to do. */
	void (*on_news)(void *data);
	void *data;
};

void neighbourhood_init(struct neighbourhood **np, uv_loop_t *loop, const struct neighbourhood_config *config);
void neighbourhood_close(struct neighbourhood *n);   /* NULL is fine */

/* After changes of the model, the links or peers' verdicts. */
void neighbourhood_follow(struct neighbourhood *n, bool links_changed, int64_t now);

/* The segments' callback of the same name. */
enum conflict_who neighbourhood_on_sender(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac);

/* The node of ours (not this one) that shows this MAC, or did lately; NULL: none. Valid until the next follow. */
const char *neighbourhood_node_of(const struct neighbourhood *n, const struct mac *mac);

/* Somebody says that he has the address (segment's on_claim): one of our nodes (peer), or NULL. Nodes and kernels are recognised by
 * it; the claim itself is the ownership rules'. */
void neighbourhood_on_claim(struct neighbourhood *n, uint32_t address, const struct mac *mac, const char *peer, bool answer);

/* One of our addresses is used by this host too; refused: we give it up. */
void neighbourhood_on_conflict(struct neighbourhood *n, struct segment *s, uint32_t address, const struct mac *mac, enum conflict_who who, bool refused);

#endif
