#include "tests/sim/agenda.h"

#include <stdbool.h>
#include <stdlib.h>

#include "config/base/memory.h"

static bool sooner(const struct happening *a, const struct happening *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void agenda_add(struct agenda *a, int64_t at, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg)
{
	struct happening h = {.at = at, .order = a->order++, .run = run, .data = data, .arg = arg};
	if (a->n == a->room) {
		a->room = a->room ? a->room * 2 : 1024;
		a->heap = mem_realloc(a->heap, a->room * sizeof(*a->heap));
	}
	size_t i = a->n++;
	for (; i && sooner(&h, &a->heap[(i - 1) / 2]); i = (i - 1) / 2)
		a->heap[i] = a->heap[(i - 1) / 2];
	a->heap[i] = h;
}

struct happening agenda_take(struct agenda *a)
{
	struct happening top = a->heap[0], last = a->heap[--a->n];
	size_t i = 0;
	for (size_t child = 1; child < a->n; child = 2 * i + 1) {
		if (child + 1 < a->n && sooner(&a->heap[child + 1], &a->heap[child]))
			child++;
		if (!sooner(&a->heap[child], &last))
			break;
		a->heap[i] = a->heap[child];
		i = child;
	}
	a->heap[i] = last;
	return top;
}

void agenda_free(struct agenda *a)
{
	free(a->heap);
	*a = (struct agenda){0};
}
