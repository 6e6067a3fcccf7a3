#include "speaker/allocator.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "config/base/clock.h"
#include "speaker/address_book.h"
#include "speaker/allocation_choice.h"
#include "speaker/names.h"
#include "speaker/repair.h"

#define ROUNDS 10000

struct entry {
	struct claimant c;
	struct allocation out;
	struct repair repair;
	char *repaired_version;   /* the last foreign write that was counted */
	bool confirmed;           /* the status has shown what is granted now */
	bool dirty, open, news, gone;
	int64_t wake_at;          /* a repair that has to wait */
	struct entry *prev, *next;              /* in open */
	struct entry *news_prev, *news_next;
	UT_hash_handle hh;        /* by c.key */
};

struct release {
	struct address address;
	UT_hash_handle hh;
};

struct allocator {
	struct model *m;
	struct address_book book;
	struct entry *entries;
	struct entry *open, *news;
	struct entry **queue;     /* to be decided */
	size_t n_queue, queue_cap;
	struct release *releases;
	struct put_aside *put_aside;
	bool planned;             /* once */
	int64_t wake;
	size_t waiting, n_gone;
};

/* ---- entries ---- */

static struct entry *find(const struct allocator *a, const char *key)
{
	struct entry *e;
	HASH_FIND_STR(a->entries, key, e);
	return e;
}

static struct entry *entry_of(const struct claimant *c)
{
	return (struct entry *)(void *)((char *)(uintptr_t)c - offsetof(struct entry, c));
}

static void mark(struct allocator *a, struct entry *e)
{
	if (e->dirty)
		return;
	e->dirty = true;
	if (a->n_queue == a->queue_cap) {
		a->queue_cap = a->queue_cap ? 2 * a->queue_cap : 64;
		a->queue = mem_realloc(a->queue, a->queue_cap * sizeof(struct entry *));
	}
	a->queue[a->n_queue++] = e;
}

static void mark_service(struct allocator *a, const char *key)
{
	struct entry *e = find(a, key);
	const struct service *s = model_service(a->m, key);
	if (!e && (!s || !model_is_ours(a->m, s)))
		return;
	if (!e) {
		e = mem_zalloc(sizeof(*e));
		e->c.key = mem_strdup(key);
		e->out.service = e->c.key;
		e->wake_at = CLOCK_NEVER;
		HASH_ADD_KEYPTR(hh, a->entries, e->c.key, strlen(e->c.key), e);
	}
	mark(a, e);
}

static void mark_users(struct allocator *a, const struct address *ip)
{
	struct claimant *const *users;
	size_t n = address_book_users(&a->book, ip, &users);
	for (size_t i = 0; i < n; i++)
		mark(a, entry_of(users[i]));
}

static void set_open(struct allocator *a, struct entry *e, bool open)
{
	if (e->open == open)
		return;
	e->open = open;
	if (open)
		DL_APPEND(a->open, e);
	else
		DL_DELETE(a->open, e);
}

static void clear_notices(struct allocation *out)
{
	for (size_t i = 0; i < out->n_notices; i++)
		free(out->notices[i].text);
	out->n_notices = 0;
}

static void entry_free(struct allocator *a, struct entry *e)
{
	set_open(a, e, false);
	if (e->news)
		DL_DELETE2(a->news, e, news_prev, news_next);
	HASH_DEL(a->entries, e);
	clear_notices(&e->out);
	sharing_free(&e->c.sharing);
	free(e->c.key);
	free(e->out.uid);
	free(e->out.pool);
	free(e->repaired_version);
	free(e);
}

struct allocator *allocator_new(struct model *m, const struct put_aside_times *aside)
{
	struct allocator *a = mem_zalloc(sizeof(*a));
	a->m = m;
	a->wake = CLOCK_NEVER;
	a->put_aside = put_aside_new(aside ? aside : &PUT_ASIDE_TIMES);
	address_book_init(&a->book, m);
	model_follow_changes(m);
	return a;
}

static void clear_releases(struct allocator *a)
{
	struct release *r, *tmp;
	HASH_ITER(hh, a->releases, r, tmp) {
		HASH_DEL(a->releases, r);
		free(r);
	}
}

void allocator_free(struct allocator *a)
{
	struct entry *e, *tmp;
	if (!a)
		return;
	HASH_ITER(hh, a->entries, e, tmp)
		entry_free(a, e);
	address_book_free(&a->book);
	put_aside_free(a->put_aside);
	clear_releases(a);
	free(a->queue);
	free(a);
}

/* ---- records that are not needed ---- */

bool allocator_needs(const struct allocator *a, const struct record *r, size_t nth)
{
	const struct entry *e = find(a, r->services[nth]);
	const struct service *s = model_service(a->m, r->services[nth]);
	if (e && (claimant_has(&e->c, &r->address) || claimant_writes(&e->c, &r->address)))
		return true;
	/* A status that is about to change still protects it. */
	return s && model_is_ours(a->m, s) && service_has_ingress(s, &r->address);
}

static void review_record(struct allocator *a, const struct address *ip)
{
	const struct record *r = model_record(a->m, ip);
	struct release *known;
	bool surplus = false;
	if (r) {
		char *class = record_class(a->m->lb_class);
		const char *label = labels_get(&r->meta.labels, LABEL_CLASS);
		bool ours = label && strcmp(label, class) == 0;
		free(class);
		surplus = ours && r->n_services == 0;
		for (size_t i = 0; ours && i < r->n_services; i++)
			surplus |= !allocator_needs(a, r, i);
	}
	HASH_FIND(hh, a->releases, ip, sizeof(*ip), known);
	if (known && !surplus) {
		HASH_DEL(a->releases, known);
		free(known);
	} else if (!known && surplus) {
		known = mem_zalloc(sizeof(*known));
		known->address = *ip;
		HASH_ADD(hh, a->releases, address, sizeof(known->address), known);
	}
}

const struct record *allocator_next_release(const struct allocator *a, const struct address *after)
{
	struct release *r = a->releases;
	if (after) {
		HASH_FIND(hh, a->releases, after, sizeof(*after), r);
		r = r ? r->hh.next : NULL;
	}
	return r ? model_record(a->m, &r->address) : NULL;
}

/* ---- the next write of one Service ---- */

/* Another one is about to create the same (shared) record: joining it comes after. */
static bool another_creates(const struct allocator *a, const struct entry *e, const struct address *ip)
{
	struct claimant *const *users;
	size_t n = address_book_users(&a->book, ip, &users);
	for (size_t i = 0; i < n; i++) {
		const struct entry *other = entry_of(users[i]);
		if (other != e && other->out.step == ALLOCATION_CREATE && address_equal(&other->out.address, ip))
			return true;
	}
	return false;
}

/* Promise 1: a status waits until nobody shows the address who has no right to. */
static bool others_show_it(const struct allocator *a, const struct service *s, const struct address *ip)
{
	const struct service *const *shown;
	size_t n = model_ingress_users(a->m, ip, &shown);
	for (size_t i = 0; i < n; i++) {
		const struct entry *other = find(a, shown[i]->meta.key);
		if (shown[i] != s && !(other && claimant_has(&other->c, ip)))
			return true;
	}
	return false;
}

static bool shows_just(const struct service *s, const struct allocation *out)
{
	if (s->foreign_ingress || s->n_ingress != out->n)
		return false;
	for (size_t i = 0; i < out->n; i++)
		if (!service_has_ingress(s, &out->addresses[i]))
			return false;
	return true;
}

static enum allocation_step step_of(const struct allocator *a, struct entry *e, const struct service *s)
{
	struct allocation *out = &e->out;
	const char *named = labels_get(&s->meta.annotations, ANNOTATION_FROM_POOL);
	for (size_t i = 0; i < out->n; i++) {
		const struct record *r = model_record(a->m, &out->addresses[i]);
		if (r && record_names(r, s->meta.key, s->meta.uid))
			continue;
		out->address = out->addresses[i];
		if (r)
			return ALLOCATION_JOIN;
		return another_creates(a, e, &out->address) ? ALLOCATION_SETTLED : ALLOCATION_CREATE;
	}
	bool pool_shown = out->pool ? named && strcmp(named, out->pool) == 0 : !named;
	if (shows_just(s, out) && pool_shown) {
		e->confirmed = true;
		return ALLOCATION_SETTLED;
	}
	for (size_t i = 0; i < out->n; i++)
		if (!service_has_ingress(s, &out->addresses[i]) && others_show_it(a, s, &out->addresses[i]))
			return ALLOCATION_SETTLED;
	return ALLOCATION_STATUS;
}

/* ---- foreign writes ---- */

static void hold_back(struct allocator *a, struct entry *e, const struct service *s, int64_t now)
{
	struct allocation *out = &e->out;
	bool counted = e->repaired_version && strcmp(e->repaired_version, s->meta.resource_version) == 0;
	out->repair = true;
	if (counted && now >= e->repair.until)
		return;   /* allowed before; the write has not come to its end */
	if (!counted && repair_allow(&e->repair, now)) {
		mem_replace(&e->repaired_version, s->meta.resource_version);
		return;
	}
	out->step = ALLOCATION_SETTLED;
	e->wake_at = e->repair.until;
	a->wake = clock_min(a->wake, e->wake_at);
	if (out->n_notices < ALLOCATION_NOTICES)
		out->notices[out->n_notices++] = (struct notice){"ForeignWrite", true,
			mem_printf("Service %s: %s changes its load balancer status again and again; it is put right in %d s; stop that writer, or give the Service a loadBalancerClass of its own",
				   s->meta.key, s->status_manager ? s->status_manager : "another client", (int)(e->repair.wait / CLOCK_S))};
}

/* ---- the decision for one Service ---- */

static bool same_addresses(const struct entry *e, const struct allocation_choice *c)
{
	if (e->out.n != c->n)
		return false;
	for (size_t i = 0; i < c->n; i++)
		if (!claimant_has(&e->c, &c->addresses[i]))
			return false;
	return true;
}

static void count_waiting(struct allocator *a, struct entry *e, bool waiting)
{
	a->waiting += waiting && !e->out.waiting;
	a->waiting -= !waiting && e->out.waiting;
	e->out.waiting = waiting;
}

static void touch(struct allocator *a, struct entry *e, const struct address *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct claimant *const *users;
		size_t n_users = address_book_users(&a->book, &list[i], &users);
		for (size_t j = 0; j < n_users; j++)
			if (users[j] != &e->c)
				mark(a, entry_of(users[j]));
		review_record(a, &list[i]);
	}
}

/* Takes over what was chosen: claims, and whoever is concerned by the change is decided anew too. */
static void grant(struct allocator *a, struct entry *e, struct allocation_choice *c, struct sharing *sharing)
{
	struct address old[SERVICE_ADDRESSES];
	size_t n_old = e->c.n;
	bool same = same_addresses(e, c) && n_old == c->n;
	const char *pool = c->n ? c->pool : NULL;
	memcpy(old, e->c.addresses, sizeof(old));
	if (!same || !pool || !e->out.pool || strcmp(pool, e->out.pool) != 0)
		e->confirmed = false;
	address_book_grant(&a->book, &e->c, c->addresses, c->n, sharing);
	e->out.n = c->n;
	memcpy(e->out.addresses, c->addresses, sizeof(c->addresses));
	mem_replace(&e->out.pool, pool);
	clear_notices(&e->out);
	memcpy(e->out.notices, c->notices, sizeof(c->notices));
	e->out.n_notices = c->n_notices;
	count_waiting(a, e, c->waiting);
	if (!same) {
		touch(a, e, old, n_old);
		touch(a, e, e->c.addresses, e->c.n);
	}
}

static void tell(struct allocator *a, struct entry *e)
{
	if (e->news)
		return;
	e->news = true;
	DL_APPEND2(a->news, e, news_prev, news_next);
}

static void set_gone(struct allocator *a, struct entry *e, bool gone)
{
	a->n_gone += gone && !e->gone;
	a->n_gone -= !gone && e->gone;
	e->gone = gone;
}

static void let_go(struct allocator *a, struct entry *e)
{
	struct allocation_choice none = {0};
	struct sharing no_sharing = {0};
	grant(a, e, &none, &no_sharing);
	e->out.step = ALLOCATION_SETTLED;
	set_gone(a, e, e->c.n_flight == 0);
	e->wake_at = CLOCK_NEVER;
}

static void decide(struct allocator *a, struct entry *e, int64_t now)
{
	const struct service *s = model_service(a->m, e->c.key);
	enum allocation_step before = e->out.step;
	struct address before_at = e->out.address;
	e->dirty = false;
	tell(a, e);
	if (!s || !model_is_ours(a->m, s)) {
		let_go(a, e);
	} else {
		struct sharing sharing = sharing_of(s);
		struct allocation_choice choice;
		const struct seeker seeker = {.claimant = &e->c, .service = s, .sharing = &sharing};
		allocation_choose(&choice, a->m, &a->book, &seeker);
		mem_replace(&e->out.uid, s->meta.uid);
		grant(a, e, &choice, &sharing);
		set_gone(a, e, false);
		e->out.repair = false;
		e->wake_at = CLOCK_NEVER;
		bool was_confirmed = e->confirmed;
		e->out.step = step_of(a, e, s);
		if (e->out.step == ALLOCATION_STATUS && was_confirmed && e->out.n)
			hold_back(a, e, s, now);
		allocation_remark(&e->out, s);
	}
	if (before == ALLOCATION_CREATE && (e->out.step != ALLOCATION_CREATE || !address_equal(&before_at, &e->out.address)))
		touch(a, e, &before_at, 1);   /* who waited for the record */
	set_open(a, e, e->out.step != ALLOCATION_SETTLED);
}

/* ---- the plan ---- */

static bool is_shared(const struct allocator *a, const struct address *ip)
{
	struct claimant *const *users;
	size_t n = address_book_users(&a->book, ip, &users);
	for (size_t i = 0; i < n; i++)
		if (users[i]->sharing.key)
			return true;
	return false;
}

static void take_changes(struct allocator *a)
{
	struct model *m = a->m;
	struct changed_service *s, *s_next;
	struct changed_address *c, *c_next;
	HASH_ITER(hh, m->changes.services, s, s_next)
		mark_service(a, s->key);
	HASH_ITER(hh, m->changes.addresses, c, c_next) {
		address_book_refresh(&a->book, &c->address);
		mark_users(a, &c->address);
		review_record(a, &c->address);
		if (is_shared(a, &c->address))   /* its record may name one less, whose port somebody waits for */
			a->book.freed = true;
	}
}

static void take_all(struct allocator *a)
{
	struct model *m = a->m;
	struct service_entry *s, *s_next;
	struct entry *e, *e_next;
	struct record_entry *r, *r_next;
	struct ingress_entry *i, *i_next;
	HASH_ITER(hh, m->records, r, r_next) {
		address_book_refresh(&a->book, &r->record->address);
		review_record(a, &r->record->address);
	}
	HASH_ITER(hh, m->ingress, i, i_next)
		address_book_refresh(&a->book, &i->address);
	HASH_ITER(hh, m->services, s, s_next)
		mark_service(a, s->service->meta.key);
	HASH_ITER(hh, a->entries, e, e_next)
		mark(a, e);
	address_book_recount(&a->book);
}

/* Who has all he needs re-asserts it before anybody may take something, then who has a part; then first come, first served. */
struct queued {
	struct entry *entry;
	const struct service *service;
	int rank;
};

static int by_right(const void *x, const void *y)
{
	const struct queued *a = x, *b = y;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->service && b->service ? object_meta_compare_age(&a->service->meta, &b->service->meta) : strcmp(a->entry->c.key, b->entry->c.key);
}

static void decide_queue(struct allocator *a, int64_t now)
{
	size_t n = a->n_queue;
	struct queued *order = mem_zalloc(n * sizeof(*order) + 1);
	const struct address *named;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = a->queue[i];
		const struct service *s = model_service(a->m, e->c.key);
		bool ours = s && model_is_ours(a->m, s);
		bool some = ours && (s->n_ingress || e->c.n || model_records_naming(a->m, e->c.key, &named));
		order[i] = (struct queued){e, s, !ours ? 0 : s->n_ingress && s->n_ingress >= s->n_families ? 1 : some ? 2 : 3};
	}
	a->n_queue = 0;
	qsort(order, n, sizeof(*order), by_right);
	for (size_t i = 0; i < n; i++)
		decide(a, order[i].entry, now);
	free(order);
}

/* Something became free: whoever lacks something looks again. */
static void wake_waiting(struct allocator *a)
{
	struct entry *e, *tmp;
	a->book.freed = false;
	if (a->waiting == 0)
		return;
	HASH_ITER(hh, a->entries, e, tmp)
		if (e->out.waiting)
			mark(a, e);
}

static void drop_gone(struct allocator *a)
{
	struct entry *e, *tmp;
	if (a->n_gone == 0)
		return;
	HASH_ITER(hh, a->entries, e, tmp)
		if (e->gone && !e->news && !e->dirty) {
			a->n_gone--;
			entry_free(a, e);
		}
}

static void wake_due(struct allocator *a, int64_t now)
{
	struct entry *e, *tmp;
	if (now < a->wake)
		return;
	a->wake = CLOCK_NEVER;
	HASH_ITER(hh, a->entries, e, tmp) {
		if (e->wake_at <= now)
			mark(a, e);
		else
			a->wake = clock_min(a->wake, e->wake_at);
	}
}

/* Strangers' addresses are not handed out any more; those known before we began are not counted. */
static int64_t put_aside(struct allocator *a, int64_t now)
{
	int64_t retry_at, wake = CLOCK_NEVER;
	for (struct foreign_entry *e = a->m->foreign; e; e = e->hh.next) {
		const struct pool *pool = e->put_aside ? NULL : model_pool_of(a->m, &e->record->address);
		if (!pool)
			continue;
		if (!a->planned || put_aside_allow(a->put_aside, pool->meta.name, now, &retry_at))
			model_put_aside(a->m, &e->record->address);
		else
			wake = clock_min(wake, retry_at);
	}
	a->planned = true;
	return wake;
}

void allocator_plan(struct allocator *a, int64_t now, int64_t *wakep)
{
	drop_gone(a);
	int64_t put_aside_at = put_aside(a, now);
	if (a->m->changes.all)
		take_all(a);
	take_changes(a);
	model_forget_changes(a->m);
	wake_due(a, now);
	unsigned rounds = 0;   /* each frees something that another one takes: few; the bound is for what nobody thought of */
	for (; (a->n_queue || a->book.freed) && rounds < ROUNDS; rounds++) {
		decide_queue(a, now);
		if (a->book.freed)
			wake_waiting(a);
	}
	a->wake = clock_min(a->wake, put_aside_at);
	*wakep = rounds == ROUNDS ? clock_min(a->wake, now + CLOCK_S) : a->wake;
}

void allocator_resume(struct allocator *a)
{
	struct entry *e, *tmp;
	HASH_ITER(hh, a->entries, e, tmp) {
		e->confirmed = false;
		mark(a, e);
	}
}

/* ---- questions ---- */

static struct entry *entry_of_allocation(const struct allocation *out)
{
	return (struct entry *)(void *)((char *)(uintptr_t)out - offsetof(struct entry, out));
}

const struct allocation *allocator_next_news(struct allocator *a)
{
	struct entry *e = a->news;
	if (!e)
		return NULL;
	DL_DELETE2(a->news, e, news_prev, news_next);
	e->news = false;
	return &e->out;
}

const struct allocation *allocator_next_open(const struct allocator *a, const struct allocation *after)
{
	const struct entry *e = after ? entry_of_allocation(after)->next : a->open;
	return e ? &e->out : NULL;
}

const struct allocation *allocator_find(const struct allocator *a, const char *service)
{
	const struct entry *e = find(a, service);
	return e ? &e->out : NULL;
}

void allocator_writing(struct allocator *a, const char *service, const struct address *addresses, size_t n)
{
	struct entry *e = find(a, service);
	struct address old[SERVICE_ADDRESSES];
	if (!e)
		return;
	size_t n_old = e->c.n_flight;
	memcpy(old, e->c.flight, sizeof(old));
	address_book_fly(&a->book, &e->c, addresses, n);
	if (n == 0) {
		touch(a, e, old, n_old);
		mark(a, e);
	}
}

int64_t allocator_in_use(const struct allocator *a, const char *pool, enum address_family family)
{
	return address_book_in_use(&a->book, pool, family);
}

size_t allocator_waiting(const struct allocator *a)
{
	return a->waiting;
}

int64_t allocator_services(const struct allocator *a, const char *pool)
{
	int64_t n = 0;
	for (const struct entry *e = a->entries; e; e = e->hh.next)
		n += e->out.pool && strcmp(e->out.pool, pool) == 0;
	return n;
}
