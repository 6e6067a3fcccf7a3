/* Things in the order in which they are due: a binary heap of nodes that live in what they belong to. Among equals the one
 * that was put in first. Pure. */
#ifndef ARP_DUE_QUEUE_H
#define ARP_DUE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct due_queue;

/* All zero: in no queue. */
struct due {
	int64_t at;
	uint64_t turn;
	size_t place;             /* in the heap */
	struct due_queue *queue;  /* NULL: in none */
	void *owner;              /* the user's own */
};

struct due_queue {
	struct due **heap;
	size_t n, room;
	uint64_t turns;
};

/* Puts it in; takes it out first of where it is. O(log n). */
void due_queue_put(struct due_queue *q, struct due *d, int64_t at);
void due_queue_remove(struct due *d);   /* in none: nothing happens */
struct due *due_queue_first(const struct due_queue *q);   /* NULL: empty */
void due_queue_free(struct due_queue *q);   /* the nodes are the user's */

#endif
