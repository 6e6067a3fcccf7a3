/* A process's one interface: link.h, links.h and kernel_arp.h of the program, on the simulated segment. */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include "arp/link.h"
#include "tests/sim/process.h"

void link_deliver(struct process *p, const uint8_t *bytes, size_t len);   /* through the filter, to on_frames */
void link_mute(struct process *p);            /* it is dying: nothing leaves any more */
void link_carrier_changed(struct host *h);    /* rtnetlink tells it */

/* Asks the process for the address as the client would, right now: the MAC addresses it answers with, at most `most`. */
size_t link_probe(struct process *p, uint32_t address, struct mac *answers, size_t most);
size_t link_ask(struct process *p, uint32_t address, struct mac *answers, size_t most);   /* the same within the delivery of a frame */
struct segment *link_segment(const struct process *p);   /* NULL: none open */

#endif
