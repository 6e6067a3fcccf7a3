#include "tests/sim/apiserver_store.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static void event_free(struct simstore_event *e)
{
	free(e->key);
	json_decref(e->now);
	json_decref(e->before);
}

void simstore_free(struct simstore_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->items[i].key);
		json_decref(t->items[i].object);
	}
	for (size_t i = 0; i < t->n_history; i++)
		event_free(&t->history[i]);
	free(t->items);
	free(t->history);
	*t = (struct simstore_table){0};
}

size_t simstore_find(const struct simstore_item *items, size_t n, const char *key, bool *foundp)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(items[middle].key, key);
		if (order == 0) {
			*foundp = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*foundp = false;
	return low;
}

json_t *simstore_get(const struct simstore_table *t, const char *key)
{
	bool found;
	size_t at = simstore_find(t->items, t->n, key, &found);
	return found ? t->items[at].object : NULL;
}

static void insert(struct simstore_item *items, size_t *n, size_t at, struct simstore_item item)
{
	memmove(&items[at + 1], &items[at], (*n - at) * sizeof(*items));
	items[at] = item;
	++*n;
}

static void drop(struct simstore_item *items, size_t *n, size_t at)
{
	--*n;
	memmove(&items[at], &items[at + 1], (*n - at) * sizeof(*items));
}

static void record(struct simstore_table *t, const char *key, json_t *now, json_t *before, bool deleted, uint64_t version)
{
	if (t->n_history == t->history_room) {
		t->history_room = t->history_room ? 2 * t->history_room : 64;
		t->history = mem_realloc(t->history, t->history_room * sizeof(*t->history));
	}
	t->history[t->n_history++] = (struct simstore_event){.version = version, .key = mem_strdup(key), .now = now, .before = before, .deleted = deleted};
}

void simstore_put(struct simstore_table *t, const char *key, json_t *object, uint64_t version)
{
	bool found;
	size_t at = simstore_find(t->items, t->n, key, &found);
	json_t *before = found ? t->items[at].object : NULL;
	if (found) {
		t->items[at].object = object;
	} else {
		if (t->n == t->room) {
			t->room = t->room ? 2 * t->room : 64;
			t->items = mem_realloc(t->items, t->room * sizeof(*t->items));
		}
		insert(t->items, &t->n, at, (struct simstore_item){mem_strdup(key), object});
	}
	record(t, key, json_incref(object), before, false, version);
}

void simstore_remove(struct simstore_table *t, const char *key, json_t *last, uint64_t version)
{
	bool found;
	size_t at = simstore_find(t->items, t->n, key, &found);
	if (!found) {
		json_decref(last);
		return;
	}
	struct simstore_item gone = t->items[at];
	drop(t->items, &t->n, at);
	record(t, key, last, gone.object, true, version);
	free(gone.key);
}

size_t simstore_after(const struct simstore_table *t, uint64_t version)
{
	size_t low = 0, high = t->n_history;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->history[middle].version <= version)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct simstore_view simstore_at(const struct simstore_table *t, uint64_t version)
{
	size_t first = simstore_after(t, version);
	if (first == t->n_history)
		return (struct simstore_view){t->items, t->n, false};
	struct simstore_view v = {mem_zalloc((t->n + t->n_history - first) * sizeof(*v.items)), t->n, true};
	if (t->n)
		memcpy(v.items, t->items, t->n * sizeof(*v.items));
	for (size_t i = t->n_history; i > first; i--) {   /* undone, the youngest first */
		const struct simstore_event *e = &t->history[i - 1];
		bool found;
		size_t at = simstore_find(v.items, v.n, e->key, &found);
		if (found && !e->before)
			drop(v.items, &v.n, at);
		else if (found)
			v.items[at].object = e->before;
		else
			insert(v.items, &v.n, at, (struct simstore_item){e->key, e->before});
	}
	return v;
}

void simstore_view_free(struct simstore_view *v)
{
	if (v->copied)
		free(v->items);
}

void simstore_forget(struct simstore_table *t, uint64_t lost, uint64_t floor)
{
	size_t first = simstore_after(t, lost);
	for (size_t i = 0; i < first; i++)
		event_free(&t->history[i]);
	t->n_history -= first;
	if (t->n_history)
		memmove(t->history, &t->history[first], t->n_history * sizeof(*t->history));
	if (lost > t->lost)
		t->lost = lost;
	if (floor > t->floor)
		t->floor = floor;
}
