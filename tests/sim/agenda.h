/* What is to happen when: a binary heap ordered by time, then by the order of asking. Nothing is ever taken out of it before
 * its time: who does not want a call any more finds that out when it comes. */
#ifndef TESTS_SIM_AGENDA_H
#define TESTS_SIM_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct happening {
	int64_t at;
	uint64_t order;
	void (*run)(void *data, uint64_t arg);
	void *data;
	uint64_t arg;
};

struct agenda {
	struct happening *heap;
	size_t n, room;
	uint64_t order;
};

void agenda_add(struct agenda *a, int64_t at, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg);
struct happening agenda_take(struct agenda *a);   /* not when it is empty */
void agenda_free(struct agenda *a);

#endif
