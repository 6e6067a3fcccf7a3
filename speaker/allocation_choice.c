#include "speaker/allocation_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "speaker/names.h"
#include "speaker/service_request.h"

/* What one question needs on its way. */
struct choosing {
	struct allocation_choice *out;
	const struct model *m;
	const struct address_book *b;
	const struct seeker *k;
	const struct service *s;
	struct service_request q;
	struct error lost;       /* why what it had cannot be kept; "" : nothing was lost */
};

/* A set of addresses with the pool they are from. */
struct holding {
	struct address ips[SERVICE_ADDRESSES];
	size_t n;
	const struct pool *pool;   /* NULL with n > 0: of a pool that is not in use at the moment (broken) */
	const char *pool_name;
};

static void say(struct choosing *c, const char *reason, bool warning, const char *text)
{
	if (c->out->n_notices < ALLOCATION_NOTICES)
		c->out->notices[c->out->n_notices++] = (struct notice){reason, warning, mem_printf("Service %s: %s", c->s->meta.key, text)};
}

/* ---- families ---- */

static bool wants_family(const struct service *s, enum address_family family)
{
	for (size_t i = 0; i < s->n_families; i++)
		if (s->families[i] == family)
			return true;
	return false;
}

static bool has_family(const struct address *ips, size_t n, enum address_family family)
{
	for (size_t i = 0; i < n; i++)
		if (ips[i].family == family)
			return true;
	return false;
}

/* One address is enough for a dual-stack Service that only prefers two. */
static bool one_is_enough(const struct service *s)
{
	return s->n_families == 1 || s->policy == PREFER_DUAL_STACK;
}

static void swap(struct holding *h)
{
	struct address t = h->ips[0];
	h->ips[0] = h->ips[1];
	h->ips[1] = t;
}

/* "[v4, v6]" whatever the order of families (MetalLB). */
static void v4_first(struct holding *h)
{
	if (h->n == 2 && h->ips[0].family == ADDRESS_V6)
		swap(h);
}

static bool same_set(const struct address *a, size_t n, const struct address *b, size_t k)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;
		for (size_t j = 0; j < k; j++)
			found |= address_equal(&a[i], &b[j]);
		if (!found)
			return false;
	}
	return n == k;
}

/* ---- pools ---- */

static bool admits(const struct choosing *c, const struct pool *pool)
{
	const char *ns = c->s->meta.name_space;
	return pool_admits(pool, ns, model_namespace_labels(c->m, ns), &c->s->meta.labels);
}

/* Sets h->pool to the one pool that has all of h for this Service. */
static bool find_pool(const struct choosing *c, struct holding *h, struct error *why)
{
	char text[ADDRESS_TEXT];
	h->pool = NULL;
	for (size_t i = 0; i < h->n; i++) {
		const struct pool *p = model_pool_of(c->m, &h->ips[i]);
		if (!p) {
			error_say(why, "%s is in no pool (not allowed in config); choose an address of a pool or add one that has it",
				  address_format(&h->ips[i], text));
			return false;
		}
		if (h->pool && p != h->pool) {
			error_say(why, "its addresses are in different pools (%s, %s); both must come from one", h->pool->meta.name, p->meta.name);
			return false;
		}
		h->pool = p;
	}
	if (c->q.pool && strcmp(h->pool->meta.name, c->q.pool) != 0) {
		error_say(why, "%s is not in pool %.100s, which is asked for", address_format(&h->ips[0], text), c->q.pool);
		return false;
	}
	if (!admits(c, h->pool)) {
		error_say(why, "pool %s is not compatible with this Service: its serviceAllocation does not admit it", h->pool->meta.name);
		return false;
	}
	h->pool_name = h->pool->meta.name;
	return true;
}

/* The pool that the addresses were given from exists but is not in use as it is: nobody shall lose anything by that. */
static bool pool_is_broken(const struct choosing *c, struct holding *h)
{
	const char *name = labels_get(&c->s->meta.annotations, ANNOTATION_FROM_POOL);
	const struct object_meta *unused = pool_table_unused(&c->m->pools, name);
	for (size_t i = 0; i < h->n; i++)
		if (model_pool_of(c->m, &h->ips[i]))
			return false;
	if (!unused || (c->q.pool && strcmp(c->q.pool, name) != 0))
		return false;
	h->pool_name = unused->name;
	return true;
}

/* ---- keeping ---- */

/* h as it may be kept: addresses of families that the Service has no more are dropped. False: it may not. */
static bool may_hold(struct choosing *c, struct holding *h, struct error *why)
{
	struct holding kept = {0};
	char text[ADDRESS_TEXT];
	struct error who;
	for (size_t i = 0; i < h->n; i++)
		if (wants_family(c->s, h->ips[i].family) && !has_family(kept.ips, kept.n, h->ips[i].family))
			kept.ips[kept.n++] = h->ips[i];
	if (kept.n == 0) {
		error_say(why, "the address families of its status and its cluster IPs differ");
		return false;
	}
	if (!pool_is_broken(c, &kept) && !find_pool(c, &kept, why))
		return false;
	for (size_t i = 0; i < kept.n; i++)
		if (!address_book_may_keep(c->b, c->k, &kept.ips[i], &who)) {
			error_say(why, "it cannot keep %s, which is %.400s", address_format(&kept.ips[i], text), who.text);
			return false;
		}
	*h = kept;
	return true;
}

/* What its records say, one address a family: what was asked for or is shown before others, then the lowest. */
static struct holding recorded(struct choosing *c)
{
	const struct address *named;
	size_t n = model_records_naming(c->m, c->s->meta.key, &named);
	struct holding h = {0};
	for (size_t f = 0; f < c->s->n_families; f++) {
		int best_right = -1;
		for (size_t i = 0; i < n; i++) {
			struct holding one = {.ips = {named[i]}, .n = 1};
			if (named[i].family != c->s->families[f] || !may_hold(c, &one, NULL))
				continue;
			int right = (same_set(&named[i], 1, c->q.ips, c->q.n_ips) ? 2 : 0) + service_has_ingress(c->s, &named[i]);
			bool lower = best_right >= 0 && right == best_right && address_compare(&named[i], &h.ips[h.n]) < 0;
			if (right > best_right || lower) {
				h.ips[h.n] = named[i];
				best_right = right;
			}
		}
		h.n += best_right >= 0;
	}
	if (same_set(h.ips, h.n, c->q.ips, c->q.n_ips))
		memcpy(h.ips, c->q.ips, sizeof(h.ips));   /* in the order asked for */
	else
		v4_first(&h);
	if (h.n == 2 && c->s->n_ingress == 1 && address_equal(&c->s->ingress[0], &h.ips[1]))
		swap(&h);   /* what it shows stays first, the new one is added */
	return h;
}

static bool all_recorded(const struct choosing *c, const struct holding *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct record *r = model_record(c->m, &h->ips[i]);
		if (!r || !record_names(r, c->s->meta.key, NULL))
			return false;
	}
	return true;
}

/* What it has: the records are the truth, and where there are none the status. */
static struct holding held(struct choosing *c)
{
	struct holding shown = {.n = c->s->n_ingress < SERVICE_ADDRESSES ? c->s->n_ingress : SERVICE_ADDRESSES}, rec = recorded(c), asserted = shown;
	struct error why = {""};
	bool odd = c->s->bad_ingress || c->s->n_ingress > SERVICE_ADDRESSES || (shown.n == 2 && c->s->ingress[0].family == c->s->ingress[1].family);
	if (shown.n)
		memcpy(shown.ips, c->s->ingress, shown.n * sizeof(struct address));
	if (odd)
		say(c, "nolbIPsIPFamily", true, "the addresses in its status are not one or two of different families; they are put right");
	asserted = shown;
	bool shown_ok = shown.n && !odd && may_hold(c, &shown, &why);
	if (shown_ok && (rec.n == 0 || (all_recorded(c, &shown) && shown.n >= rec.n)))
		return shown;
	/* Granted a moment ago, and its records are on their way: go on with that instead of taking another. */
	struct holding granted = {.n = c->k->claimant->n};
	memcpy(granted.ips, c->k->claimant->addresses, sizeof(granted.ips));
	if (granted.n > rec.n && may_hold(c, &granted, NULL)) {
		c->lost = why;   /* decided twice before anybody was told: it has to be said all the same */
		return granted;
	}
	if (rec.n && may_hold(c, &rec, NULL))
		return rec;
	if (shown_ok)
		return shown;
	if (asserted.n || rec.n)
		c->lost = *why.text ? why : (struct error){"the addresses in its status are not valid"};
	return (struct holding){0};
}

/* ---- choosing ---- */

static bool choose_family(struct choosing *c, const struct pool *pool, enum address_family family, struct holding *h)
{
	if (!address_book_first(c->b, c->k, pool, family, &h->ips[h->n]))
		return false;
	h->n++;
	h->pool = pool;
	h->pool_name = pool->meta.name;
	return true;
}

/* All families of the Service from this pool, or nothing. */
static bool choose_all(struct choosing *c, const struct pool *pool, struct holding *h)
{
	*h = (struct holding){0};
	for (size_t i = 0; i < c->s->n_families; i++)
		if (!choose_family(c, pool, c->s->families[i], h)) {
			*h = (struct holding){0};
			return false;
		}
	return true;
}

typedef bool (*pool_filter)(const struct choosing *c, const struct pool *pool);

static bool is_pinned(const struct choosing *c, const struct pool *pool)
{
	return pool->restricted && pool->auto_assign && admits(c, pool);
}

static bool is_common(const struct choosing *c, const struct pool *pool)
{
	(void)c;
	return !pool->restricted && pool->auto_assign;
}

static bool is_named(const struct choosing *c, const struct pool *pool)
{
	return strcmp(pool->meta.name, c->q.pool) == 0;
}

/* The first pool of the list that satisfies wins: both families, else (if one is enough) the primary one, else the other. */
static bool choose_from(struct choosing *c, pool_filter filter, struct holding *h)
{
	const struct pool_table *t = &c->m->pools;
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].pool && filter(c, t->entries[i].pool) && choose_all(c, t->entries[i].pool, h))
			return true;
	for (size_t f = 0; f < c->s->n_families && c->s->n_families == 2 && one_is_enough(c->s); f++)
		for (size_t i = 0; i < t->n; i++)
			if (t->entries[i].pool && filter(c, t->entries[i].pool) && choose_family(c, t->entries[i].pool, c->s->families[f], h))
				return true;
	return false;
}

/* The pools of the list that would do, for the message: how many, how full, the last one's name. */
struct fill {
	size_t pools;
	const char *name;
	int64_t used, size, strangers;
};

static void add_fill(const struct choosing *c, pool_filter filter, struct fill *f)
{
	const struct pool_table *t = &c->m->pools;
	for (size_t i = 0; i < t->n; i++) {
		const struct pool *p = t->entries[i].pool;
		if (!p || !filter(c, p))
			continue;
		f->pools++;
		f->name = p->meta.name;
		for (size_t j = 0; j < c->s->n_families; j++) {
			int64_t size = pool_size(p, c->s->families[j]);
			f->size = size > INT64_MAX - f->size ? INT64_MAX : f->size + size;
			f->used += address_book_in_use(c->b, p->meta.name, c->s->families[j]);
			f->strangers += address_book_put_aside(c->b, p->meta.name, c->s->families[j]);
		}
	}
}

static void explain_full(const struct fill *f, struct error *why)
{
	char strangers[80] = "";
	if (f->strangers)
		snprintf(strangers, sizeof(strangers), ", %lld used by strangers on the network", (long long)f->strangers);
	if (f->size == 0)
		error_say(why, "no available IPs: pool %s has no address of the Service's family", f->name);
	else if (f->pools == 1)
		error_say(why, "no free address in pool %s (%lld of %lld in use%s); enlarge the pool or delete a Service", f->name, (long long)f->used,
			  (long long)f->size, strangers);
	else
		error_say(why, "no free address in %zu pools (%lld of %lld in use%s); enlarge one or delete a Service", f->pools, (long long)f->used,
			  (long long)f->size, strangers);
}

static bool choose_automatically(struct choosing *c, struct holding *h, struct error *why)
{
	struct fill f = {0};
	if (choose_from(c, is_pinned, h) || choose_from(c, is_common, h))
		return true;
	add_fill(c, is_pinned, &f);
	add_fill(c, is_common, &f);
	if (c->m->pools.n == 0)
		error_say(why, "there is no IPAddressPool; create one, or use --pool");
	else if (f.pools == 0)
		error_say(why, "no pool may be used for it automatically (autoAssign, serviceAllocation); annotate it with %s", ANNOTATION_POOL);
	else
		explain_full(&f, why);
	return false;
}

static bool choose_from_named(struct choosing *c, struct holding *h, struct error *why)
{
	const struct pool *p = model_pool_named(c->m, c->q.pool);
	struct fill f = {0};
	if (!p) {
		error_say(why, "unknown pool \"%.100s\": it does not exist or is not usable; see kubectl get ipaddresspools", c->q.pool);
		return false;
	}
	if (!admits(c, p)) {
		error_say(why, "pool %s is not compatible with this Service: its serviceAllocation does not admit it", p->meta.name);
		return false;
	}
	if (choose_from(c, is_named, h))
		return true;
	add_fill(c, is_named, &f);
	explain_full(&f, why);
	return false;
}

static bool choose_requested(struct choosing *c, struct holding *h, struct error *why)
{
	char text[ADDRESS_TEXT];
	struct error who;
	*h = (struct holding){.n = c->q.n_ips};
	memcpy(h->ips, c->q.ips, sizeof(h->ips));
	bool families = h->n == c->s->n_families;
	for (size_t i = 0; i < h->n; i++)
		families &= wants_family(c->s, h->ips[i].family);
	if (!families) {
		error_say(why, "requested address(es) %s%s do not match the ipFamily of the service; ask for one of each of its families",
			  address_format(&h->ips[0], text), h->n == 2 ? ", ..." : "");
		return false;
	}
	if (!find_pool(c, h, why))
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (!address_book_may_take(c->b, c->k, &h->ips[i], &who)) {
			error_say(why, "%s is %.500s; choose another or free it there", address_format(&h->ips[i], text), who.text);
			return false;
		}
	return true;
}

static bool choose(struct choosing *c, struct holding *h, struct error *why)
{
	bool chosen = c->q.n_ips ? choose_requested(c, h, why) : c->q.pool ? choose_from_named(c, h, why) : choose_automatically(c, h, why);
	if (!chosen)
		*h = (struct holding){0};
	else if (!c->q.n_ips)
		v4_first(h);
	return chosen;
}

/* ---- the decision ---- */

static bool shows_anything(const struct service *s)
{
	return s->n_ingress > 0;
}

static void take(struct choosing *c, const struct holding *h)
{
	memcpy(c->out->addresses, h->ips, sizeof(h->ips));
	c->out->n = h->n;
	c->out->pool = h->pool_name;
}

/* It has one of two: the other one from the same pool. False: it cannot be, and one is not enough. */
static bool extend(struct choosing *c, struct holding *h)
{
	enum address_family other = c->s->families[c->s->families[0] == h->ips[0].family];
	if (h->pool && choose_family(c, h->pool, other, h))
		return true;
	if (!one_is_enough(c->s)) {
		error_say(&c->lost, "pool %s has no free IPv%d address for its second family", h->pool_name, other);
		return false;
	}
	if (!pool_size(h->pool ? h->pool : &(struct pool){0}, other))
		return true;   /* a pool of one family: nothing was to be expected, and nothing failed */
	c->out->waiting = true;
	say(c, "AdditionalAssignFailed", false, "no free address of its second family in its pool; it gets one when there is");
	return true;
}

/* It has no cluster IP of a known family, or too few: nothing can be allocated. */
static bool is_servable(struct choosing *c)
{
	if (c->s->policy == REQUIRE_DUAL_STACK && c->s->n_families < 2) {
		say(c, "not enough clusterips", true, "ipFamilyPolicy is RequireDualStack but it does not have two cluster IPs");
		return false;
	}
	if (c->s->n_families == 0)
		say(c, "noclusterIPsIPFamily", true, "it has no cluster IP of a known family, so that no address can be chosen for it");
	return c->s->n_families > 0;
}

void allocation_choose(struct allocation_choice *out, const struct model *m, const struct address_book *b, const struct seeker *k)
{
	struct choosing c = {.out = out, .m = m, .b = b, .k = k, .s = k->service};
	struct error why = {""};
	struct holding next = {0};
	*out = (struct allocation_choice){0};
	int broken = service_request_read(c.s, &c.q, &why);
	if (broken < 0)
		c.q.n_ips = 0;
	if (!is_servable(&c))
		return;
	struct holding now = held(&c);
	bool wants_other = now.n && c.q.n_ips && !same_set(now.ips, now.n, c.q.ips, c.q.n_ips);
	if (broken < 0) {
		say(&c, now.n ? "LoadBalancerFailed" : "AllocationFailed", true, why.text);
		if (now.n)
			take(&c, &now);
		return;
	}
	if (now.n && !wants_other && now.n < c.s->n_families && !extend(&c, &now))
		now.n = 0;
	if (now.n && !wants_other) {
		if (*c.lost.text)
			say(&c, "ClearAssignment", false, c.lost.text);
		take(&c, &now);
		return;
	}
	if (choose(&c, &next, &why)) {
		if (shows_anything(c.s) && !now.n && *c.lost.text)
			say(&c, "ClearAssignment", false, c.lost.text);
		take(&c, &next);
		return;
	}
	out->waiting = true;
	if (wants_other && now.n < c.s->n_families && !extend(&c, &now))
		now.n = 0;   /* half of what it needs is nothing */
	if (now.n) {   /* it keeps what it has until the wanted one is free */
		say(&c, "LoadBalancerFailed", true, why.text);
		take(&c, &now);
		return;
	}
	if (shows_anything(c.s) && *c.lost.text)
		say(&c, "ClearAssignment", false, c.lost.text);
	say(&c, "AllocationFailed", true, why.text);
}

static void remark(struct allocation *out, const char *reason, char *text)
{
	if (out->n_notices < ALLOCATION_NOTICES)
		out->notices[out->n_notices++] = (struct notice){reason, true, text};
	else
		free(text);
}

void allocation_remark(struct allocation *out, const struct service *s)
{
	if (out->step != ALLOCATION_STATUS)
		return;
	if (service_request_deprecated(s))
		remark(out, "deprecatedAnnotation", mem_printf("Service %s: annotations that begin with %s are deprecated; write metallb.io/ instead", s->meta.key, ANNOTATION_OLD_PREFIX));
	for (size_t i = 0; i < out->n; i++)
		if (out->addresses[i].family == ADDRESS_V6)
			remark(out, "ipv6NotAnnounced", mem_printf("Service %s: its IPv6 address is allocated, but this version does not answer for IPv6 yet; use the IPv4 address", s->meta.key));
}
