/* The objects of one resource, in the order of their keys, and the history that watches, pages and stale reads live on.
 * Objects are shared by all that hold them and never modified once stored. */
#ifndef TESTS_SIM_APISERVER_STORE_H
#define TESTS_SIM_APISERVER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct simstore_item {
	char *key;        /* "namespace/name", or "name" */
	json_t *object;
};

struct simstore_event {
	uint64_t version;
	char *key;
	json_t *now;      /* what is shown: after a deletion the last state under the deletion's version */
	json_t *before;   /* NULL: it was created */
	bool deleted;
};

struct simstore_table {
	struct simstore_item *items;
	size_t n, room;
	struct simstore_event *history;
	size_t n_history, history_room;
	uint64_t floor;   /* watches may be opened, and objects read as of, this version or a later one */
	uint64_t lost;    /* events up to here are forgotten */
};

/* Items of a table as they were at some version; borrowed, in order. */
struct simstore_view {
	struct simstore_item *items;
	size_t n;
	bool copied;
};

void simstore_free(struct simstore_table *t);

/* The position of a key, or where it would be. */
size_t simstore_find(const struct simstore_item *items, size_t n, const char *key, bool *foundp);
json_t *simstore_get(const struct simstore_table *t, const char *key);   /* borrowed; NULL: none */

/* Stores an object (takes the reference) and records the event. */
void simstore_put(struct simstore_table *t, const char *key, json_t *object, uint64_t version);

/* Removes one; last: what DELETED shows (takes the reference). */
void simstore_remove(struct simstore_table *t, const char *key, json_t *last, uint64_t version);

/* Index of the first event after a version. */
size_t simstore_after(const struct simstore_table *t, uint64_t version);

/* version must not be below the floor. End it with simstore_view_free. */
struct simstore_view simstore_at(const struct simstore_table *t, uint64_t version);
void simstore_view_free(struct simstore_view *v);

/* Forgets the events up to `lost`; from now on nothing older than `floor` can be read. */
void simstore_forget(struct simstore_table *t, uint64_t lost, uint64_t floor);

#endif
