/* The objects of the simulated cluster, as an administrator makes them. */
#ifndef TESTS_SIM_OBJECTS_H
#define TESTS_SIM_OBJECTS_H

#include "tests/sim/world.h"

#define SHARING (ADDRESSES / 2)   /* Service i + SHARING is the second one on the address of Service i */
#define ALL_NODES UINT64_MAX

/* Namespace, pool, advertisement, a Node for each node. What is made later is so, too. */
struct cluster_shape {
	bool local;       /* externalTrafficPolicy */
	bool prefers;     /* the advertisement has preferredNodeSelectors: see objects_prefer */
	bool controlled;  /* a controller runs: it makes and deletes the records of addresses */
};
void objects_make_cluster(const struct cluster_shape *shape);
void objects_make_node(const struct host *h);
void objects_remove_node(const struct host *h);    /* and its record, as the garbage collector does */
void objects_set_ready(const struct host *h, bool ready);

/* Service i with an endpoint on every node. With an address of its own, shown in its status and recorded; holder: NULL for
 * nobody yet. Without: for the controller to allocate. */
void objects_make_service(unsigned i, const struct host *holder, bool allocated);

void objects_forget_links(const struct host *h);   /* its node record is deleted */

/* All of one Service: with its endpoints on these nodes; deleted; made again; the second one on an address. */
void objects_set_endpoints(unsigned i, uint64_t nodes);
void objects_delete_service(unsigned i);
void objects_make_service_again(unsigned i);
void objects_share_address(unsigned i);
bool objects_shares(unsigned i);            /* another Service may have the same address */

/* Which nodes may answer for the Service, by its endpoints and their labels. */
uint64_t objects_may(unsigned i);

void objects_exclude(const struct host *h, bool on);
void objects_prefer(const struct host *h, bool on);
void objects_write_holder(uint32_t address, const struct host *holder);   /* by hand */

/* As `l2lb drain`, `undrain` and `l2lb move` write it. */
void objects_drain(const struct host *h, bool drain);
void objects_move(uint32_t address, const struct host *successor);

/* The record of a node's link, as its speaker left it. */
void objects_make_node_record(const struct host *h);
char *objects_address_text(uint32_t address, char text[16]);

#endif
