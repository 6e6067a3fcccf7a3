#include "arp/due_queue.h"

#include <stdbool.h>
#include <stdlib.h>

#include "config/base/memory.h"

static bool before(const struct due *a, const struct due *b)
{
	return a->at != b->at ? a->at < b->at : a->turn < b->turn;
}

static void set(struct due_queue *q, size_t place, struct due *d)
{
	q->heap[place] = d;
	d->place = place;
}

static void rise(struct due_queue *q, struct due *d)
{
	size_t place = d->place;
	for (; place > 0 && before(d, q->heap[(place - 1) / 2]); place = (place - 1) / 2)
		set(q, place, q->heap[(place - 1) / 2]);
	set(q, place, d);
}

static void sink(struct due_queue *q, struct due *d)
{
	size_t place = d->place;
	for (;;) {
		size_t child = 2 * place + 1;
		if (child + 1 < q->n && before(q->heap[child + 1], q->heap[child]))
			child++;
		if (child >= q->n || !before(q->heap[child], d))
			break;
		set(q, place, q->heap[child]);
		place = child;
	}
	set(q, place, d);
}

void due_queue_put(struct due_queue *q, struct due *d, int64_t at)
{
	due_queue_remove(d);
	if (q->n == q->room) {
		q->room = q->room ? 2 * q->room : 16;
		q->heap = mem_realloc(q->heap, q->room * sizeof(*q->heap));
	}
	d->at = at;
	d->turn = q->turns++;
	d->queue = q;
	set(q, q->n++, d);
	rise(q, d);
}

void due_queue_remove(struct due *d)
{
	struct due_queue *q = d->queue;
	if (!q)
		return;
	struct due *last = q->heap[--q->n];
	if (last != d) {
		set(q, d->place, last);
		rise(q, last);
		sink(q, last);
	}
	d->queue = NULL;
}

struct due *due_queue_first(const struct due_queue *q)
{
	return q->n ? q->heap[0] : NULL;
}

void due_queue_free(struct due_queue *q)
{
	free(q->heap);
	*q = (struct due_queue){0};
}
