#include "speaker/allocator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "speaker/names.h"

struct reservation {
	struct address address;
	char *service;
	UT_hash_handle hh;
};

struct allocator {
	struct reservation *reserved;   /* creations and status writes under way */
	struct reservation *wanted;     /* of the last plan */
	struct allocation *plan;
	size_t plan_cap;
	const struct record **surplus;
};

/* ---- sets of addresses ---- */

static const char *set_get(const struct reservation *set, const struct address *a)
{
	struct reservation *r;
	HASH_FIND(hh, set, a, sizeof(*a), r);
	return r ? r->service : NULL;
}

static void set_put(struct reservation **set, const struct address *a, const char *service)
{
	if (set_get(*set, a))
		return;
	struct reservation *r = mem_zalloc(sizeof(*r));
	r->address = *a;
	r->service = mem_strdup(service);
	HASH_ADD(hh, *set, address, sizeof(r->address), r);
}

static void set_remove(struct reservation **set, const struct address *a)
{
	struct reservation *r;
	HASH_FIND(hh, *set, a, sizeof(*a), r);
	if (!r)
		return;
	HASH_DEL(*set, r);
	free(r->service);
	free(r);
}

static void set_clear(struct reservation **set)
{
	struct reservation *r, *tmp;
	HASH_ITER(hh, *set, r, tmp) {
		HASH_DEL(*set, r);
		free(r->service);
		free(r);
	}
}

struct allocator *allocator_new(void)
{
	return mem_zalloc(sizeof(struct allocator));
}

void allocator_free(struct allocator *a)
{
	if (!a)
		return;
	set_clear(&a->reserved);
	set_clear(&a->wanted);
	free(a->plan);
	free(a->surplus);
	free(a);
}

void allocator_created(struct allocator *a, const struct address *address)
{
	set_remove(&a->reserved, address);
}

/* ---- what a Service asks for ---- */

struct request {
	struct address ips[SERVICE_ADDRESSES];
	size_t n_ips;
	const char *pool;   /* NULL: any */
};

static const char *input(const struct service *s, const char *key, const char *old_key)
{
	const char *value = labels_get(&s->meta.annotations, key);
	return value ? value : labels_get(&s->meta.annotations, old_key);
}

static int add_requested(struct request *q, const char *text, struct error *err)
{
	char copy[ADDRESS_TEXT];
	text += strspn(text, " \t");
	size_t n = strcspn(text, ",");
	while (n && strchr(" \t", text[n - 1]))
		n--;
	if (q->n_ips == SERVICE_ADDRESSES)
		return error_set(err, -EINVAL, "at most one address per family can be requested");
	if (n >= sizeof(copy))
		return error_set(err, -EINVAL, "\"%.64s\" is not an IP address", text);
	memcpy(copy, text, n);
	copy[n] = '\0';
	struct address *a = &q->ips[q->n_ips];
	int rc = address_parse(copy, a, err);
	if (rc < 0)
		return rc;
	if (q->n_ips == 1 && a->family == q->ips[0].family)
		return error_set(err, -EINVAL, "two addresses of one family are requested");
	q->n_ips++;
	return 0;
}

static int read_request(const struct service *s, struct request *q, struct error *err)
{
	const char *ips = input(s, ANNOTATION_IPS, ANNOTATION_OLD_IPS);
	*q = (struct request){.pool = input(s, ANNOTATION_POOL, ANNOTATION_OLD_POOL)};
	if (q->pool && !*q->pool)
		q->pool = NULL;
	if (ips && *ips && s->lb_ip)
		return error_set(err, -EINVAL, "both spec.loadBalancerIP and annotation %s are set; keep one", ANNOTATION_IPS);
	if (!ips || !*ips)
		ips = s->lb_ip;
	int rc = 0;
	for (const char *p = ips; rc == 0 && p && *p; p = p + strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
		rc = add_requested(q, p, err);
	return rc;
}

/* ---- may this Service have this address? ---- */

static bool admits(const struct model *m, const struct pool *pool, const struct service *s)
{
	return pool_admits(pool, s->meta.name_space, model_namespace_labels(m, s->meta.name_space), &s->meta.labels);
}

/* A Service in whose status the address stands and that will not give way: of another class, or on its way out. */
static const struct service *stranger_with(const struct model *m, const struct address *ip, const struct service *s)
{
	const struct service *other = model_ingress_user(m, ip, s);
	return other && !model_is_ours(m, other) ? other : NULL;
}

/* NULL: free for s; else who has it. */
static const char *taken_by(const struct allocator *a, const struct model *m, const struct address *ip, const struct service *s)
{
	const struct record *r = model_record(m, ip);
	const char *reserved = set_get(a->reserved, ip), *wanted = set_get(a->wanted, ip);
	if (r && !record_names(r, s->meta.key, NULL))
		return r->n_services ? r->services[0] : "another installation";
	if (reserved && strcmp(reserved, s->meta.key) != 0)
		return reserved;
	if (wanted && strcmp(wanted, s->meta.key) != 0)
		return wanted;
	/* A record for s is the older right; who shows the address without one and is ours has to move. */
	const struct service *other = r ? stranger_with(m, ip, s) : model_ingress_user(m, ip, s);
	return other ? other->meta.key : NULL;
}

static bool families_match(const struct service *s, const struct address *ips, size_t n)
{
	bool has[7] = {false}, needs[7] = {false};
	for (size_t i = 0; i < n; i++) {
		if (has[ips[i].family])
			return false;
		has[ips[i].family] = true;
	}
	for (size_t i = 0; i < s->n_families; i++)
		needs[s->families[i]] = true;
	if (s->policy == PREFER_DUAL_STACK && s->n_families == 2 && n == 1)
		return true;
	return has[ADDRESS_V4] == needs[ADDRESS_V4] && has[ADDRESS_V6] == needs[ADDRESS_V6];
}

/* The one pool that has all these addresses for this Service, or NULL with why. */
static const struct pool *common_pool(const struct model *m, const struct service *s, const struct request *q, const struct address *ips,
				      size_t n, struct error *why)
{
	char text[ADDRESS_TEXT];
	const struct pool *pool = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct pool *p = model_pool_of(m, &ips[i]);
		if (!p) {
			error_set(why, 0, "%s is in no pool; choose an address of a pool or add one that has it", address_format(&ips[i], text));
			return NULL;
		}
		if (pool && p != pool) {
			error_set(why, 0, "the addresses are in different pools; both must come from one");
			return NULL;
		}
		pool = p;
	}
	if (pool && q->pool && strcmp(pool->meta.name, q->pool) != 0) {
		error_set(why, 0, "%s is not in pool %s, which is asked for too", address_format(&ips[0], text), q->pool);
		return NULL;
	}
	if (pool && !admits(m, pool, s)) {
		error_set(why, 0, "pool %s does not admit this Service (serviceAllocation)", pool->meta.name);
		return NULL;
	}
	return pool;
}

/* ---- keeping ---- */

static bool same_set(const struct address *a, size_t n, const struct address *b, size_t k)
{
	if (n != k)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool found = false;
		for (size_t j = 0; j < k; j++)
			found |= address_equal(&a[i], &b[j]);
		if (!found)
			return false;
	}
	return true;
}

/* May it keep what its status says? */
static const struct pool *keepable(const struct allocator *a, const struct model *m, const struct service *s, const struct request *q, struct error *why)
{
	const struct request none = {.pool = q->pool};
	if (!families_match(s, s->ingress, s->n_ingress)) {
		error_set(why, 0, "the address families of its status and its cluster IPs differ");
		return NULL;
	}
	const struct pool *pool = common_pool(m, s, &none, s->ingress, s->n_ingress, why);
	for (size_t i = 0; pool && i < s->n_ingress; i++) {
		char text[ADDRESS_TEXT];
		const struct record *r = model_record(m, &s->ingress[i]);
		const char *wanted = set_get(a->wanted, &s->ingress[i]);
		bool others = (r && !record_names(r, s->meta.key, NULL)) || (wanted && strcmp(wanted, s->meta.key) != 0);
		if (others) {
			error_set(why, 0, "%s belongs to %s", address_format(&s->ingress[i], text),
				  wanted ? wanted : r->n_services ? r->services[0] : "another installation");
			return NULL;
		}
	}
	return pool;
}

/* ---- choosing ---- */

static bool lowest_free(const struct allocator *a, const struct model *m, const struct pool *pool, enum address_family family,
			const struct service *s, struct address *out)
{
	for (size_t i = 0; i < pool->n_ranges; i++) {
		struct address ip = pool->ranges[i].first;
		if (ip.family != family)
			continue;
		do {
			if (pool_contains(pool, &ip) && !taken_by(a, m, &ip, s)) {
				*out = ip;
				return true;
			}
		} while (address_compare(&ip, &pool->ranges[i].last) < 0 && address_next(&ip, &ip));
	}
	return false;
}

/* Addresses of the pool, one per family; n = 0 when it has them for less than `least` families. */
static size_t choose_in(const struct allocator *a, const struct model *m, const struct pool *pool, const struct service *s, size_t least, struct address *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_families; i++)
		n += lowest_free(a, m, pool, s->families[i], s, &out[n]);
	return n >= least ? n : 0;
}

/* With how many addresses the Service can live. */
static size_t least_of(const struct service *s)
{
	return s->policy == PREFER_DUAL_STACK ? 1 : s->n_families;
}

/* The first pool that may be used unasked and has addresses for so many families. */
static const struct pool *first_pool(const struct allocator *a, const struct model *m, const struct service *s, size_t least, struct allocation *out)
{
	for (size_t i = 0; i < m->n_pools; i++) {
		const struct pool *p = m->pools[i].pool;
		if (m->pools[i].refused || !p->auto_assign || !admits(m, p, s))
			continue;
		out->n = choose_in(a, m, p, s, least, out->addresses);
		if (out->n)
			return p;
	}
	return NULL;
}

/* "[v4, v6]" whatever the order of families (MetalLB). */
static void v4_first(struct address *ips, size_t n)
{
	if (n == 2 && address_compare(&ips[0], &ips[1]) > 0) {
		struct address t = ips[0];
		ips[0] = ips[1];
		ips[1] = t;
	}
}

static const struct pool *choose_automatically(const struct allocator *a, const struct model *m, const struct service *s, struct allocation *out, struct error *why)
{
	const struct pool *seen = NULL;
	size_t usable = 0;
	int64_t size = 0, used = 0;
	for (size_t least = s->n_families; least >= least_of(s); least--) {
		const struct pool *p = first_pool(a, m, s, least, out);
		if (p)
			return p;
	}
	for (size_t i = 0; i < m->n_pools; i++) {
		const struct pool *p = m->pools[i].pool;
		if (m->pools[i].refused || !p->auto_assign || !admits(m, p, s))
			continue;
		seen = p;
		usable++;
		size += pool_size(p, s->families[0]);
		used += allocator_in_use(m, p, s->families[0]);
	}
	if (m->n_pools == 0)
		error_set(why, 0, "there is no IPAddressPool; create one, or use --pool");
	else if (!seen)
		error_set(why, 0, "no pool may be used for it automatically (autoAssign, serviceAllocation); annotate it with %s", ANNOTATION_POOL);
	else if (usable == 1)
		error_set(why, 0, "no free address in pool %s (%lld of %lld in use); enlarge the pool or delete a Service", seen->meta.name,
			  (long long)used, (long long)size);
	else
		error_set(why, 0, "no free address in %zu pools (%lld of %lld in use); enlarge one or delete a Service", usable, (long long)used,
			  (long long)size);
	return NULL;
}

static const struct pool *choose_requested(const struct allocator *a, const struct model *m, const struct service *s, const struct request *q,
					   struct allocation *out, struct error *why)
{
	char text[ADDRESS_TEXT];
	if (!families_match(s, q->ips, q->n_ips)) {
		error_set(why, 0, "the families of the requested addresses and of the cluster IPs differ");
		return NULL;
	}
	const struct pool *pool = common_pool(m, s, q, q->ips, q->n_ips, why);
	for (size_t i = 0; pool && i < q->n_ips; i++) {
		const char *who = taken_by(a, m, &q->ips[i], s);
		if (who) {
			error_set(why, 0, "%s is in use by %s; choose another or free it there", address_format(&q->ips[i], text), who);
			return NULL;
		}
	}
	if (pool) {
		memcpy(out->addresses, q->ips, sizeof(q->ips));
		out->n = q->n_ips;
	}
	return pool;
}

static const struct pool *choose_from_named(const struct allocator *a, const struct model *m, const struct service *s, const struct request *q,
					    struct allocation *out, struct error *why)
{
	const struct pool *p = model_pool_named(m, q->pool);
	if (!p) {
		error_set(why, 0, "pool %.100s does not exist or is not usable; see kubectl get ipaddresspools", q->pool);
	} else if (!admits(m, p, s)) {
		error_set(why, 0, "pool %s does not admit this Service (serviceAllocation)", p->meta.name);
	} else {
		out->n = choose_in(a, m, p, s, least_of(s), out->addresses);
		if (out->n)
			return p;
		error_set(why, 0, "no free address in pool %s (%lld of %lld in use); enlarge the pool or delete a Service", p->meta.name,
			  (long long)allocator_in_use(m, p, s->families[0]), (long long)pool_size(p, s->families[0]));
	}
	return NULL;
}

/* A creation under way, or done just before a crash: go on with that address instead of taking another. */
static const struct pool *choose_begun(const struct allocator *a, const struct model *m, const struct service *s, const struct request *q, struct allocation *out)
{
	struct record_entry *e, *tmp;
	struct reservation *r, *next;
	out->n = 0;
	HASH_ITER(hh, m->records, e, tmp)
		if (out->n < SERVICE_ADDRESSES && record_names(e->record, s->meta.key, NULL) && !service_has_ingress(s, &e->record->address) &&
		    !stranger_with(m, &e->record->address, s))
			out->addresses[out->n++] = e->record->address;
	HASH_ITER(hh, a->reserved, r, next)
		if (out->n < SERVICE_ADDRESSES && strcmp(r->service, s->meta.key) == 0 && !model_record(m, &r->address))
			out->addresses[out->n++] = r->address;
	if (out->n < s->n_families || !families_match(s, out->addresses, out->n) || (q->n_ips && !same_set(out->addresses, out->n, q->ips, q->n_ips)))
		return NULL;
	return common_pool(m, s, q, out->addresses, out->n, NULL);
}

static const struct pool *choose(const struct allocator *a, const struct model *m, const struct service *s, const struct request *q,
				 struct allocation *out, struct error *why)
{
	const struct pool *pool = choose_begun(a, m, s, q, out);
	if (!pool)
		pool = q->n_ips ? choose_requested(a, m, s, q, out, why)
		     : q->pool ? choose_from_named(a, m, s, q, out, why)
		     : choose_automatically(a, m, s, out, why);
	if (!pool)
		out->n = 0;
	else if (!q->n_ips)
		v4_first(out->addresses, out->n);
	return pool;
}

/* ---- the decision for one Service ---- */

static void complain(struct allocation *out, const char *reason, const char *text)
{
	out->reason = reason;
	snprintf(out->text, sizeof(out->text), "Service %s: %s", out->service->meta.key, text);
}

/* Addresses and pool are settled: which write is missing? Records first, then the status. */
static void next_write(struct allocator *a, const struct model *m, struct allocation *out)
{
	const struct service *s = out->service;
	const char *named = labels_get(&s->meta.annotations, ANNOTATION_FROM_POOL);
	for (size_t i = 0; i < out->n; i++)
		set_put(&a->wanted, &out->addresses[i], s->meta.key);
	for (size_t i = 0; i < out->n; i++) {
		const struct record *r = model_record(m, &out->addresses[i]);
		if (r && record_names(r, s->meta.key, s->meta.uid))
			continue;
		out->address = out->addresses[i];
		out->step = r ? ALLOCATION_ADOPT : ALLOCATION_CREATE;
		if (!r)
			set_put(&a->reserved, &out->address, s->meta.key);
		return;
	}
	bool shown = !s->foreign_ingress && same_set(s->ingress, s->n_ingress, out->addresses, out->n);
	bool pool_shown = out->pool ? named && strcmp(named, out->pool->meta.name) == 0 : !named;
	out->step = shown && pool_shown ? ALLOCATION_SETTLED : ALLOCATION_STATUS;
	for (size_t i = 0; i < out->n; i++)   /* promise 1: not before the other one has moved away */
		if (!service_has_ingress(s, &out->addresses[i]) && model_ingress_user(m, &out->addresses[i], s))
			out->step = ALLOCATION_SETTLED;
	/* Until its answer is in the model a status under way protects its addresses, whatever becomes of the records. */
	for (size_t i = 0; out->step == ALLOCATION_STATUS && i < out->n; i++)
		set_put(&a->reserved, &out->addresses[i], s->meta.key);
}

static void keep(struct allocation *out, const struct pool *pool)
{
	out->pool = pool;
	out->n = out->service->n_ingress < SERVICE_ADDRESSES ? out->service->n_ingress : SERVICE_ADDRESSES;
	memcpy(out->addresses, out->service->ingress, out->n * sizeof(struct address));
}

static void decide(struct allocator *a, const struct model *m, const struct service *s, struct allocation *out)
{
	struct request q;
	struct error why = {""}, lost = {""};
	*out = (struct allocation){.service = s};
	bool holds = s->n_ingress > 0, servable = s->n_families > 0 && (s->policy != REQUIRE_DUAL_STACK || s->n_families == 2);
	const struct pool *held = NULL;
	int broken = read_request(s, &q, &why);
	if (holds && servable)
		held = keepable(a, m, s, &q, &lost);
	if (broken < 0) {
		complain(out, held ? "LoadBalancerFailed" : "AllocationFailed", why.text);
		q = (struct request){0};
	} else if (!servable) {
		complain(out, "AllocationFailed", s->n_families ? "ipFamilyPolicy is RequireDualStack but it has one cluster IP" : "it has no cluster IP");
	}
	bool wants_other = held && q.n_ips && !same_set(s->ingress, s->n_ingress, q.ips, q.n_ips);
	if (held && !wants_other) {
		keep(out, held);
	} else if (broken == 0 && servable) {
		out->pool = choose(a, m, s, &q, out, &why);
		if (!out->pool && held) {   /* it keeps what it has until the wanted one is free */
			complain(out, "LoadBalancerFailed", why.text);
			keep(out, held);
		} else if (!out->pool) {
			complain(out, "AllocationFailed", why.text);
		} else if (holds && !held) {
			complain(out, "ClearAssignment", lost.text);
		}
	}
	next_write(a, m, out);
}

/* ---- the plan ---- */

/* Who has an address re-asserts it before anybody may take one; then first come, first served. */
static int plan_order(const void *x, const void *y)
{
	const struct service *a = ((const struct allocation *)x)->service, *b = ((const struct allocation *)y)->service;
	if ((a->n_ingress > 0) != (b->n_ingress > 0))
		return a->n_ingress > 0 ? -1 : 1;
	return object_meta_compare_age(&a->meta, &b->meta);
}

/* A creation that its Service does not want any more, or that was never sent, must not hold an address for good. (Should it
 * be under way, another one for the same address meets 409.) */
static void drop_unwanted(struct allocator *a)
{
	struct reservation *r, *tmp;
	HASH_ITER(hh, a->reserved, r, tmp)
		if (!set_get(a->wanted, &r->address))
			set_remove(&a->reserved, &r->address);
}

size_t allocator_plan(struct allocator *a, const struct model *m, const struct allocation **allocationsp)
{
	struct service_entry *e, *tmp;
	size_t n = 0;
	set_clear(&a->wanted);
	if (a->plan_cap < HASH_COUNT(m->services)) {
		a->plan_cap = HASH_COUNT(m->services) + 64;
		a->plan = mem_realloc(a->plan, a->plan_cap * sizeof(*a->plan));
	}
	HASH_ITER(hh, m->services, e, tmp)
		if (model_is_ours(m, e->service))
			a->plan[n++].service = e->service;
	if (n)
		qsort(a->plan, n, sizeof(*a->plan), plan_order);
	for (size_t i = 0; i < n; i++)
		decide(a, m, a->plan[i].service, &a->plan[i]);
	drop_unwanted(a);
	*allocationsp = a->plan;
	return n;
}

size_t allocator_surplus(struct allocator *a, const struct model *m, const struct record ***recordsp)
{
	struct record_entry *e, *tmp;
	size_t n = 0;
	char *class = record_class(m->lb_class);
	a->surplus = mem_realloc(a->surplus, (HASH_COUNT(m->records) + 1) * sizeof(*a->surplus));
	HASH_ITER(hh, m->records, e, tmp) {
		const struct record *r = e->record;
		const char *label = labels_get(&r->meta.labels, LABEL_CLASS);
		if (!label || strcmp(label, class) != 0 || set_get(a->wanted, &r->address) || set_get(a->reserved, &r->address))
			continue;
		bool shown = false;   /* a status that is about to change still protects it */
		for (size_t i = 0; i < r->n_services && !shown; i++) {
			const struct service *s = model_service(m, r->services[i]);
			shown = s && model_is_ours(m, s) && service_has_ingress(s, &r->address);
		}
		if (!shown)
			a->surplus[n++] = r;
	}
	free(class);
	*recordsp = a->surplus;
	return n;
}

int64_t allocator_in_use(const struct model *m, const struct pool *pool, enum address_family family)
{
	struct record_entry *e, *tmp;
	int64_t n = 0;
	HASH_ITER(hh, m->records, e, tmp)
		if ((family == ADDRESS_NONE || e->record->address.family == family) && pool_contains(pool, &e->record->address))
			n++;
	return n;
}
