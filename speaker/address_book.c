#include "speaker/address_book.h"

#include <stdlib.h>
#include <string.h>

#include "speaker/names.h"

struct address_use {
	struct address address;
	struct claimant **users;
	size_t n;
	struct pool_count *counted;   /* where it counts as in use; NULL: nowhere */
	UT_hash_handle hh;
};

struct shared_address {
	struct address address;
	unsigned users;
};

struct shared_key {
	char *key;
	struct shared_address *addresses;
	size_t n;
	UT_hash_handle hh;
};

struct pool_count {
	char *pool;
	int64_t v4, v6;
	UT_hash_handle hh;
};

void address_book_init(struct address_book *b, const struct model *m)
{
	*b = (struct address_book){.model = m};
}

static struct address_use *use_find(const struct address_book *b, const struct address *a)
{
	struct address_use *u;
	HASH_FIND(hh, b->uses, a, sizeof(*a), u);
	return u;
}

/* ---- counts ---- */

static struct pool_count *count_of(struct address_book *b, const char *pool)
{
	struct pool_count *c;
	HASH_FIND_STR(b->counts, pool, c);
	if (!c) {
		c = mem_zalloc(sizeof(*c));
		c->pool = mem_strdup(pool);
		HASH_ADD_KEYPTR(hh, b->counts, c->pool, strlen(c->pool), c);
	}
	return c;
}

static bool is_granted(const struct address_use *u)
{
	for (size_t i = 0; i < u->n; i++)
		if (claimant_has(u->users[i], &u->address))
			return true;
	return false;
}

static void count(struct address_book *b, struct address_use *u)
{
	const struct pool *pool = is_granted(u) || model_record(b->model, &u->address) ? model_pool_of(b->model, &u->address) : NULL;
	struct pool_count *now = pool ? count_of(b, pool->meta.name) : NULL;
	if (now == u->counted)
		return;
	bool v4 = u->address.family == ADDRESS_V4;
	if (u->counted)
		*(v4 ? &u->counted->v4 : &u->counted->v6) -= 1;
	if (now)
		*(v4 ? &now->v4 : &now->v6) += 1;
	u->counted = now;
}

void address_book_recount(struct address_book *b)
{
	struct address_use *u, *tmp;
	HASH_ITER(hh, b->uses, u, tmp)
		count(b, u);
}

int64_t address_book_in_use(const struct address_book *b, const char *pool, enum address_family family)
{
	struct pool_count *c;
	HASH_FIND_STR(b->counts, pool, c);
	return !c ? 0 : family == ADDRESS_V4 ? c->v4 : family == ADDRESS_V6 ? c->v6 : c->v4 + c->v6;
}

/* ---- uses ---- */

static struct address_use *use_get(struct address_book *b, const struct address *a)
{
	struct address_use *u = use_find(b, a);
	if (u)
		return u;
	u = mem_zalloc(sizeof(*u));
	u->address = *a;
	HASH_ADD(hh, b->uses, address, sizeof(u->address), u);
	address_set_add(&b->taken, a);
	return u;
}

static void use_free(struct address_book *b, struct address_use *u)
{
	HASH_DEL(b->uses, u);
	free(u->users);
	free(u);
}

void address_book_refresh(struct address_book *b, const struct address *a)
{
	struct address_use *u = use_find(b, a);
	bool used = (u && u->n) || model_record(b->model, a) || model_ingress_user(b->model, a, NULL) || model_is_put_aside(b->model, a);
	if (!used && !u)
		return;
	if (!u)
		u = use_get(b, a);
	count(b, u);
	b->freed = b->freed || u->n == 0;   /* fewer may stand in the way than before */
	if (used)
		return;
	address_set_remove(&b->taken, a);
	use_free(b, u);
}

static bool contains(const struct address *list, size_t n, const struct address *a)
{
	for (size_t i = 0; i < n; i++)
		if (address_equal(&list[i], a))
			return true;
	return false;
}

bool claimant_has(const struct claimant *c, const struct address *a)
{
	return contains(c->addresses, c->n, a);
}

bool claimant_writes(const struct claimant *c, const struct address *a)
{
	return contains(c->flight, c->n_flight, a);
}

static void join(struct address_book *b, struct claimant *c, const struct address *a)
{
	struct address_use *u = use_get(b, a);
	for (size_t i = 0; i < u->n; i++)
		if (u->users[i] == c)
			return;
	u->users = mem_realloc(u->users, (u->n + 1) * sizeof(*u->users));
	u->users[u->n++] = c;
}

static void part(struct address_book *b, struct claimant *c, const struct address *a)
{
	struct address_use *u = use_find(b, a);
	if (claimant_has(c, a) || claimant_writes(c, a))
		return;
	for (size_t i = 0; u && i < u->n; i++)
		if (u->users[i] == c) {
			u->users[i] = u->users[--u->n];
			b->freed = true;
			break;
		}
}

size_t address_book_users(const struct address_book *b, const struct address *a, struct claimant *const **usersp)
{
	struct address_use *u = use_find(b, a);
	*usersp = u ? u->users : NULL;
	return u ? u->n : 0;
}

/* ---- sharing keys ---- */

static void key_add(struct address_book *b, const char *key, const struct address *a)
{
	struct shared_key *k;
	HASH_FIND_STR(b->keys, key, k);
	if (!k) {
		k = mem_zalloc(sizeof(*k));
		k->key = mem_strdup(key);
		HASH_ADD_KEYPTR(hh, b->keys, k->key, strlen(k->key), k);
	}
	for (size_t i = 0; i < k->n; i++)
		if (address_equal(&k->addresses[i].address, a)) {
			k->addresses[i].users++;
			return;
		}
	k->addresses = mem_realloc(k->addresses, (k->n + 1) * sizeof(*k->addresses));
	k->addresses[k->n++] = (struct shared_address){*a, 1};
}

static void key_free(struct address_book *b, struct shared_key *k)
{
	HASH_DEL(b->keys, k);
	free(k->key);
	free(k->addresses);
	free(k);
}

static void key_remove(struct address_book *b, const char *key, const struct address *a)
{
	struct shared_key *k;
	HASH_FIND_STR(b->keys, key, k);
	for (size_t i = 0; k && i < k->n; i++) {
		if (!address_equal(&k->addresses[i].address, a))
			continue;
		if (--k->addresses[i].users == 0)
			k->addresses[i] = k->addresses[--k->n];
		break;
	}
	if (k && k->n == 0)
		key_free(b, k);
}

/* ---- changes ---- */

void address_book_grant(struct address_book *b, struct claimant *c, const struct address *addresses, size_t n, struct sharing *sharing)
{
	struct address old[SERVICE_ADDRESSES];
	size_t n_old = c->n;
	memcpy(old, c->addresses, sizeof(old));
	for (size_t i = 0; i < n_old && c->sharing.key; i++)
		key_remove(b, c->sharing.key, &old[i]);
	if (n_old && !sharing_equal(&c->sharing, sharing))
		b->freed = true;
	sharing_free(&c->sharing);
	c->sharing = *sharing;
	*sharing = (struct sharing){0};
	c->n = n;
	for (size_t i = 0; i < n; i++)
		c->addresses[i] = addresses[i];
	for (size_t i = 0; i < n_old; i++)
		part(b, c, &old[i]);
	for (size_t i = 0; i < n; i++) {
		join(b, c, &c->addresses[i]);
		address_book_refresh(b, &c->addresses[i]);
		if (c->sharing.key)
			key_add(b, c->sharing.key, &c->addresses[i]);
	}
	for (size_t i = 0; i < n_old; i++)
		address_book_refresh(b, &old[i]);
}

void address_book_fly(struct address_book *b, struct claimant *c, const struct address *addresses, size_t n)
{
	struct address old[SERVICE_ADDRESSES];
	size_t n_old = c->n_flight;
	memcpy(old, c->flight, sizeof(old));
	c->n_flight = n;
	for (size_t i = 0; i < n; i++)
		c->flight[i] = addresses[i];
	for (size_t i = 0; i < n_old; i++)
		part(b, c, &old[i]);
	for (size_t i = 0; i < n; i++) {
		join(b, c, &c->flight[i]);
		address_book_refresh(b, &c->flight[i]);
	}
	for (size_t i = 0; i < n_old; i++)
		address_book_refresh(b, &old[i]);
}

int64_t address_book_put_aside(const struct address_book *b, const char *pool, enum address_family family)
{
	int64_t n = 0;
	for (const struct foreign_entry *e = b->model->foreign; e; e = e->hh.next) {
		const struct pool *p = e->put_aside && e->record->address.family == family ? model_pool_of(b->model, &e->record->address) : NULL;
		n += p && strcmp(p->meta.name, pool) == 0;
	}
	return n;
}

/* ---- questions ---- */

/* A host on the network has it. Who has announced the address keeps it all the same; who was refused gives way. */
static bool stranger_has(const struct address_book *b, const struct address *a, struct error *err)
{
	char mac[MAC_TEXT];
	const struct foreign_record *f = model_is_put_aside(b->model, a) ? model_foreign(b->model, a) : NULL;
	if (f)
		error_say(err, "in use by a host on the network with the MAC address %s, seen by node %.100s", mac_format(&f->mac, mac), f->node);
	return f != NULL;
}

static bool taken(struct error *err, const char *by)
{
	error_say(err, "in use by %s", by);
	return false;
}

/* Everybody who was granted the address must be ready to share it. */
static bool grantees_agree(const struct address_book *b, const struct seeker *k, const struct address *a, bool taking, struct error *err)
{
	struct claimant *const *users;
	size_t n = address_book_users(b, a, &users);
	for (size_t i = 0; i < n; i++) {
		const struct claimant *u = users[i];
		if (u == k->claimant)
			continue;
		if (!claimant_has(u, a)) {   /* a write under way: it may still show the address */
			if (taking)
				return taken(err, u->key);
		} else if (!sharing_allows(k->sharing, &u->sharing, err)) {
			error_prefix(err, "in use by %s", u->key);
			return false;
		}
	}
	return true;
}

static bool granted_to(const struct address_book *b, const struct address *a, const char *key)
{
	struct claimant *const *users;
	size_t n = address_book_users(b, a, &users);
	for (size_t i = 0; i < n; i++)
		if (strcmp(users[i]->key, key) == 0 && claimant_has(users[i], a))
			return true;
	return false;
}

/* A record of ours that names others may be joined if all of them are known to have the address (and agree). */
static bool record_agrees(const struct address_book *b, const struct seeker *k, const struct address *a, const struct record *r, struct error *err)
{
	char *class = record_class(b->model->lb_class);
	const char *label = labels_get(&r->meta.labels, LABEL_CLASS);
	bool ours = label && strcmp(label, class) == 0;
	free(class);
	if (!ours)
		return taken(err, "another installation (its Lease is of another loadBalancerClass)");
	if (record_names(r, k->service->meta.key, NULL))
		return true;
	for (size_t i = 0; i < r->n_services; i++)
		if (!granted_to(b, a, r->services[i]))
			return taken(err, r->services[i]);
	return r->n_services ? true : taken(err, "a record without a Service");
}

bool address_book_may_keep(const struct address_book *b, const struct seeker *k, const struct address *a, struct error *err)
{
	const struct record *r = model_record(b->model, a);
	const struct service *const *shown;
	size_t n = service_has_ingress(k->service, a) ? 0 : model_ingress_users(b->model, a, &shown);
	if (r && model_is_refused(b->model, r) && stranger_has(b, a, err))
		return false;
	for (size_t i = 0; i < n; i++)   /* who is not ours will not give way */
		if (!model_is_ours(b->model, shown[i]))
			return taken(err, shown[i]->meta.key);
	return grantees_agree(b, k, a, false, err) && (!r || record_agrees(b, k, a, r, err));
}

bool address_book_may_take(const struct address_book *b, const struct seeker *k, const struct address *a, struct error *err)
{
	const struct record *r = model_record(b->model, a);
	const struct service *const *shown;
	if (!grantees_agree(b, k, a, true, err) || (r && !record_agrees(b, k, a, r, err)))
		return false;
	bool recorded = r && record_names(r, k->service->meta.key, NULL);
	bool has = (recorded || service_has_ingress(k->service, a)) && !(r && model_is_refused(b->model, r));
	if (!has && stranger_has(b, a, err))
		return false;
	size_t n = model_ingress_users(b->model, a, &shown);
	for (size_t i = 0; i < n; i++) {
		if (shown[i] == k->service || granted_to(b, a, shown[i]->meta.key))
			continue;
		/* A record for the seeker is the older right; who shows the address without one and is ours has to move. */
		if (!recorded || !model_is_ours(b->model, shown[i]))
			return taken(err, shown[i]->meta.key);
	}
	return true;
}

/* Takes a as the best so far when it lies in the range, is lower, and may be had. */
static void consider(const struct address_book *b, const struct seeker *k, const struct pool *pool, const struct address_range *r,
		     const struct address *a, struct address *best)
{
	if (!address_range_contains(r, a) || (best->family != ADDRESS_NONE && address_compare(a, best) >= 0))
		return;
	if (pool_contains(pool, a) && address_book_may_take(b, k, a, NULL))
		*best = *a;
}

static void consider_own(const struct address_book *b, const struct seeker *k, const struct pool *pool, const struct address_range *r, struct address *best)
{
	const struct address *named;
	size_t n = model_records_naming(b->model, k->service->meta.key, &named);
	for (size_t i = 0; i < n; i++)
		consider(b, k, pool, r, &named[i], best);
	for (size_t i = 0; i < k->claimant->n; i++)
		consider(b, k, pool, r, &k->claimant->addresses[i], best);
	for (size_t i = 0; i < k->claimant->n_flight; i++)
		consider(b, k, pool, r, &k->claimant->flight[i], best);
	for (size_t i = 0; i < k->service->n_ingress; i++)
		consider(b, k, pool, r, &k->service->ingress[i], best);
}

static void consider_shared(const struct address_book *b, const struct seeker *k, const struct pool *pool, const struct address_range *r, struct address *best)
{
	struct shared_key *key;
	if (!k->sharing->key)
		return;
	HASH_FIND_STR(b->keys, k->sharing->key, key);
	for (size_t i = 0; key && i < key->n; i++)
		consider(b, k, pool, r, &key->addresses[i].address, best);
}

bool address_book_first(const struct address_book *b, const struct seeker *k, const struct pool *pool, enum address_family family, struct address *out)
{
	for (size_t i = 0; i < pool->n_ranges; i++) {
		const struct address_range *r = &pool->ranges[i];
		struct address best = {0}, free_one, from = r->first;
		if (from.family != family)
			continue;
		consider_own(b, k, pool, r, &best);
		consider_shared(b, k, pool, r, &best);
		/* A "buggy" one that is free is passed over; the next one is not buggy or the one after it is not. */
		while (address_set_first_free(&b->taken, &from, &r->last, &free_one) && (best.family == ADDRESS_NONE || address_compare(&free_one, &best) < 0)) {
			if (pool_contains(pool, &free_one)) {
				best = free_one;
				break;
			}
			if (!address_next(&free_one, &from))
				break;
		}
		if (best.family != ADDRESS_NONE) {
			*out = best;
			return true;
		}
	}
	return false;
}

void address_book_free(struct address_book *b)
{
	struct address_use *u, *u_next;
	struct shared_key *k, *k_next;
	struct pool_count *c, *c_next;
	HASH_ITER(hh, b->uses, u, u_next)
		use_free(b, u);
	HASH_ITER(hh, b->keys, k, k_next)
		key_free(b, k);
	HASH_ITER(hh, b->counts, c, c_next) {
		HASH_DEL(b->counts, c);
		free(c->pool);
		free(c);
	}
	address_set_clear(&b->taken);
	*b = (struct address_book){0};
}
