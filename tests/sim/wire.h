/* The segment: every machine hears a broadcast, one hears a unicast frame. Loss, delay, duplicates, one-way links. The
 * kernels answer ARP for the machines' own addresses, whatever runs there. */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "tests/sim/world.h"

struct process;

void wire_begin(void);
void wire_end(void);
void wire_send(struct host *from, const uint8_t *bytes, size_t len);
void wire_queue(struct process *p, const uint8_t *bytes, size_t len);   /* what has reached its node; only so */
bool wire_reaches(const struct host *from, const struct host *to);   /* frames, but for bad luck */
void wire_cut(unsigned from, unsigned to, int by);   /* one way; +1 and -1 */
uint64_t wire_sent(void);

#endif
