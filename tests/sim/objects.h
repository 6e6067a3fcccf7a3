/* The objects of the simulated cluster, as an administrator makes them. */
#ifndef TESTS_SIM_OBJECTS_H
#define TESTS_SIM_OBJECTS_H

#include "tests/sim/world.h"

/* Namespace, pool, advertisement, a Node for each node. */
void objects_make_cluster(void);
void objects_make_node(const struct host *h);
void objects_remove_node(const struct host *h);    /* and its record, as the garbage collector does */
void objects_set_ready(const struct host *h, bool ready);

/* Service i with an endpoint on every node. With an address of its own, shown in its status and recorded; holder: NULL for
 * nobody yet. Without: for the controller to allocate. */
void objects_make_service(unsigned i, const struct host *holder, bool allocated);

void objects_forget_links(const struct host *h);   /* its node record is deleted */

/* As `l2lb drain`, `undrain` and `l2lb move` write it. */
void objects_drain(const struct host *h, bool drain);
void objects_move(uint32_t address, const struct host *successor);

/* The record of a node's link, as its speaker left it. */
void objects_make_node_record(const struct host *h);
char *objects_address_text(uint32_t address, char text[16]);

#endif
