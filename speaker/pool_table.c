#include "speaker/pool_table.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static struct pool_entry *find(struct pool_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->entries[i].meta.name, name) == 0)
			return &t->entries[i];
	return NULL;
}

static void entry_free(struct pool_entry *e)
{
	object_meta_free(&e->meta);
	pool_free(e->pool);
	pool_free(e->wanted);
	free(e->problem);
	free(e->malformed);
}

static int by_age(const void *a, const void *b)
{
	return object_meta_compare_age(&((const struct pool_entry *)a)->meta, &((const struct pool_entry *)b)->meta);
}

static int by_try(const void *a, const void *b)
{
	const struct pool_entry *x = a, *y = b;
	if (!x->pool || !y->pool)
		return x->pool ? -1 : y->pool ? 1 : strcmp(x->meta.name, y->meta.name);
	return pool_compare(x->pool, y->pool);
}

/* Among the first n entries, which are older: one in use that overlaps. */
static const struct pool_entry *overlapping(const struct pool_table *t, size_t n, const struct pool *p)
{
	for (size_t i = 0; i < n; i++)
		if (t->entries[i].pool && pool_overlaps(t->entries[i].pool, p))
			return &t->entries[i];
	return NULL;
}

static void settle(const struct pool_table *t, size_t at)
{
	struct pool_entry *e = &t->entries[at];
	const struct pool_entry *older = e->wanted ? overlapping(t, at, e->wanted) : NULL;
	if (e->wanted && !older) {
		pool_free(e->pool);
		e->pool = e->wanted;
		e->wanted = NULL;
		return;
	}
	const char *state = "its last good state stays in use";
	const struct pool_entry *now_older = e->pool ? overlapping(t, at, e->pool) : NULL;
	if (now_older) {   /* the older one has grown into it */
		if (!e->wanted && !e->malformed)
			e->wanted = e->pool;
		else
			pool_free(e->pool);
		e->pool = NULL;
		older = older ? older : now_older;
	}
	if (!e->pool)
		state = "it is not used; Services keep what they have of it";
	if (older)
		e->problem = mem_printf("IPAddressPool %s: overlaps with the older pool %s (overlaps with already defined CIDR); %s; remove the common addresses from one of them",
					e->meta.name, older->meta.name, state);
	else if (e->malformed)
		e->problem = mem_printf("%s; %s", e->malformed, state);
}

/* Decided from the oldest to the youngest, so that the order of events does not matter. */
static void settle_all(struct pool_table *t)
{
	if (t->n)
		qsort(t->entries, t->n, sizeof(*t->entries), by_age);
	for (size_t i = 0; i < t->n; i++) {
		mem_replace(&t->entries[i].problem, NULL);
		settle(t, i);
	}
	if (t->n)
		qsort(t->entries, t->n, sizeof(*t->entries), by_try);
}

/* The entry of that object; what another of the same name left behind is gone. */
static struct pool_entry *entry_for(struct pool_table *t, const struct object_meta *meta)
{
	struct pool_entry *e = find(t, meta->name);
	if (e && strcmp(e->meta.uid, meta->uid) != 0) {
		pool_free(e->pool);
		e->pool = NULL;
	}
	if (!e) {
		t->entries = mem_realloc(t->entries, (t->n + 1) * sizeof(*t->entries));
		e = &t->entries[t->n++];
		*e = (struct pool_entry){0};
	}
	object_meta_free(&e->meta);
	object_meta_copy(&e->meta, meta);
	pool_free(e->wanted);
	e->wanted = NULL;
	mem_replace(&e->malformed, NULL);
	return e;
}

void pool_table_put(struct pool_table *t, struct pool *p)
{
	entry_for(t, &p->meta)->wanted = p;
	settle_all(t);
}

void pool_table_put_counters(struct pool_table *t, const char *name, const struct pool_counters *c)
{
	struct pool_entry *e = find(t, name);
	if (e)
		e->counters = *c;
}

bool pool_table_unchanged(struct pool_table *t, const struct pool *p)
{
	struct pool_entry *e = find(t, p->meta.name);
	if (!e || e->malformed || !p->meta.generation || e->meta.generation != p->meta.generation || strcmp(e->meta.uid, p->meta.uid) != 0 ||
	    !labels_equal(&e->meta.labels, &p->meta.labels))
		return false;
	mem_replace(&e->meta.resource_version, p->meta.resource_version);
	return true;
}

void pool_table_put_malformed(struct pool_table *t, const struct object_meta *meta, const char *why)
{
	mem_replace(&entry_for(t, meta)->malformed, why);
	settle_all(t);
}

void pool_table_drop(struct pool_table *t, const char *name)
{
	struct pool_entry *e = find(t, name);
	if (!e)
		return;
	entry_free(e);
	*e = t->entries[--t->n];
	settle_all(t);
}

void pool_table_free(struct pool_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		entry_free(&t->entries[i]);
	free(t->entries);
	*t = (struct pool_table){0};
}

const struct pool_entry *pool_table_find(const struct pool_table *t, const char *name)
{
	return find((struct pool_table *)t, name);
}

const struct pool *pool_table_of(const struct pool_table *t, const struct address *a)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].pool && pool_contains(t->entries[i].pool, a))
			return t->entries[i].pool;
	return NULL;
}

const struct pool *pool_table_named(const struct pool_table *t, const char *name)
{
	const struct pool_entry *e = pool_table_find(t, name);
	return e ? e->pool : NULL;
}

const struct object_meta *pool_table_unused(const struct pool_table *t, const char *name)
{
	const struct pool_entry *e = name ? pool_table_find(t, name) : NULL;
	return e && !e->pool ? &e->meta : NULL;
}
