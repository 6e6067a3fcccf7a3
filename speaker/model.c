#include "speaker/model.h"

#include <stdlib.h>
#include <string.h>

#include "speaker/names.h"

void model_init(struct model *m, const char *lb_class, bool ignore_exclude_label)
{
	*m = (struct model){.lb_class = mem_strdup(lb_class), .ignore_exclude_label = ignore_exclude_label};
	spread_init(&m->spread);
}

/* An answer to a write may arrive before watch events that are older, or after those of a re-made object: versions of one
 * resource are comparable whatever the uid. */
static bool is_stale(const struct object_meta *have, const struct object_meta *got)
{
	return resource_version_compare(got->resource_version, have->resource_version) < 0;
}

/* ---- what changed ---- */

static void note_service(struct model *m, const char *key)
{
	model_changes_note_service(&m->changes, key);
}

static void note_address(struct model *m, const struct address *a)
{
	model_changes_note_address(&m->changes, a);
}

static void note_all(struct model *m)
{
	m->revision++;
	m->changes.all = true;
}

void model_follow_changes(struct model *m)
{
	m->changes.followed = m->changes.all = true;
}

void model_forget_changes(struct model *m)
{
	model_changes_forget(&m->changes);
}

/* ---- Services ---- */

static void add_ingress(struct model *m, const struct service *s)
{
	for (size_t i = 0; i < s->n_ingress; i++) {
		struct ingress_entry *e;
		const struct address *a = &s->ingress[i];
		HASH_FIND(hh, m->ingress, a, sizeof(*a), e);
		if (!e) {
			e = mem_zalloc(sizeof(*e));
			e->address = *a;
			HASH_ADD(hh, m->ingress, address, sizeof(e->address), e);
		}
		e->users = mem_realloc(e->users, (e->n + 1) * sizeof(*e->users));
		e->users[e->n++] = s;
		note_address(m, a);
	}
}

static void remove_ingress(struct model *m, const struct service *s)
{
	for (size_t i = 0; i < s->n_ingress; i++) {
		struct ingress_entry *e;
		const struct address *a = &s->ingress[i];
		HASH_FIND(hh, m->ingress, a, sizeof(*a), e);
		size_t at = 0;
		while (e->users[at] != s)
			at++;
		e->users[at] = e->users[--e->n];
		note_address(m, a);
		if (e->n)
			continue;
		HASH_DEL(m->ingress, e);
		free(e->users);
		free(e);
	}
}

static struct service_entry *service_entry(const struct model *m, const char *key)
{
	struct service_entry *e;
	HASH_FIND_STR(m->services, key, e);
	return e;
}

struct service *model_service(const struct model *m, const char *key)
{
	struct service_entry *e = service_entry(m, key);
	return e ? e->service : NULL;
}

void model_put_service(struct model *m, struct service *s)
{
	struct service_entry *e = service_entry(m, s->meta.key);
	if (e && is_stale(&e->service->meta, &s->meta)) {
		service_free(s);
		return;
	}
	m->revision++;
	note_service(m, s->meta.key);
	add_ingress(m, s);
	if (e) {   /* the key lives in the object */
		HASH_DEL(m->services, e);
		remove_ingress(m, e->service);
		service_free(e->service);
	} else {
		e = mem_zalloc(sizeof(*e));
	}
	e->service = s;
	HASH_ADD_KEYPTR(hh, m->services, s->meta.key, strlen(s->meta.key), e);
}

void model_drop_service(struct model *m, const char *key)
{
	struct service_entry *e = service_entry(m, key);
	if (!e)
		return;
	m->revision++;
	note_service(m, e->service->meta.key);
	HASH_DEL(m->services, e);
	remove_ingress(m, e->service);
	service_free(e->service);
	free(e);
}

bool model_is_ours(const struct model *m, const struct service *s)
{
	const char *class = s->lb_class ? s->lb_class : "";
	return s->load_balancer && (!s->meta.deleting || s->n_ingress) && strcmp(class, m->lb_class) == 0;
}

size_t model_ingress_users(const struct model *m, const struct address *a, const struct service *const **usersp)
{
	struct ingress_entry *e;
	HASH_FIND(hh, m->ingress, a, sizeof(*a), e);
	*usersp = e ? e->users : NULL;
	return e ? e->n : 0;
}

const struct service *model_ingress_user(const struct model *m, const struct address *a, const struct service *except)
{
	const struct service *const *users;
	size_t n = model_ingress_users(m, a, &users);
	for (size_t i = 0; i < n; i++)
		if (users[i] != except)
			return users[i];
	return NULL;
}

/* ---- EndpointSlices ---- */

static void unlink_slice(struct model *m, struct slice_entry *e)
{
	struct service_slices *group;
	HASH_FIND_STR(m->service_slices, e->slice->service, group);
	struct slice_entry **place = &group->first;
	while (*place != e)
		place = &(*place)->next;
	*place = e->next;
	if (group->first)
		return;
	HASH_DEL(m->service_slices, group);
	free(group->service);
	free(group);
}

static void link_slice(struct model *m, struct slice_entry *e)
{
	struct service_slices *group;
	HASH_FIND_STR(m->service_slices, e->slice->service, group);
	if (!group) {
		group = mem_zalloc(sizeof(*group));
		group->service = mem_strdup(e->slice->service);
		HASH_ADD_KEYPTR(hh, m->service_slices, group->service, strlen(group->service), group);
	}
	e->next = group->first;
	group->first = e;
}

void model_drop_slice(struct model *m, const char *key)
{
	struct slice_entry *e;
	HASH_FIND_STR(m->slices, key, e);
	if (!e)
		return;
	m->revision++;
	unlink_slice(m, e);
	HASH_DEL(m->slices, e);
	endpoint_slice_free(e->slice);
	free(e);
}

void model_put_slice(struct model *m, struct endpoint_slice *s)
{
	struct slice_entry *have;
	HASH_FIND_STR(m->slices, s->meta.key, have);
	if (have && is_stale(&have->slice->meta, &s->meta)) {   /* two watches show it */
		endpoint_slice_free(s);
		return;
	}
	model_drop_slice(m, s->meta.key);
	struct slice_entry *e = mem_zalloc(sizeof(*e));
	e->slice = s;
	HASH_ADD_KEYPTR(hh, m->slices, s->meta.key, strlen(s->meta.key), e);
	link_slice(m, e);
	m->revision++;
}

static bool any_endpoint(const struct model *m, const char *service_key, const char *node, bool lasting)
{
	struct service_slices *group;
	HASH_FIND_STR(m->service_slices, service_key, group);
	for (struct slice_entry *e = group ? group->first : NULL; e; e = e->next)
		for (size_t i = 0; i < e->slice->n; i++) {
			const struct endpoint *p = &e->slice->endpoints[i];
			if (p->can_serve && !(lasting && p->ending) && (!node || (p->node && strcmp(p->node, node) == 0)))
				return true;
		}
	return false;
}

bool model_has_endpoint(const struct model *m, const char *service_key, const char *node)
{
	return any_endpoint(m, service_key, node, false);
}

bool model_has_lasting_endpoint(const struct model *m, const char *service_key, const char *node)
{
	return any_endpoint(m, service_key, node, true);
}

/* ---- Nodes and Namespaces ---- */

static struct node_entry *node_entry(const struct model *m, const char *name)
{
	struct node_entry *e;
	HASH_FIND_STR(m->nodes, name, e);
	return e;
}

struct node *model_node(const struct model *m, const char *name)
{
	struct node_entry *e = node_entry(m, name);
	return e ? e->node : NULL;
}

/* kubelets touch their Node every few minutes; only what decides something counts as a change. */
static bool node_differs(const struct node *a, const struct node *b)
{
	if (a->n_internal != b->n_internal || (a->n_internal && memcmp(a->internal, b->internal, a->n_internal * sizeof(*a->internal)) != 0))
		return true;
	return a->ready != b->ready || a->network_unavailable != b->network_unavailable || a->cordoned != b->cordoned ||
	       a->meta.deleting != b->meta.deleting || strcmp(a->meta.uid, b->meta.uid) != 0 || !labels_equal(&a->meta.labels, &b->meta.labels);
}

void model_put_node(struct model *m, struct node *n)
{
	struct node_entry *e = node_entry(m, n->meta.name);
	if (e && !node_differs(e->node, n)) {   /* no new revision: what was read from the one we have stays valid */
		node_free(n);
		return;
	}
	m->revision++;
	if (e) {
		HASH_DEL(m->nodes, e);
		node_free(e->node);
	} else {
		e = mem_zalloc(sizeof(*e));
	}
	e->node = n;
	HASH_ADD_KEYPTR(hh, m->nodes, n->meta.name, strlen(n->meta.name), e);
}

void model_drop_node(struct model *m, const char *name)
{
	struct node_entry *e = node_entry(m, name);
	if (!e)
		return;
	m->revision++;
	HASH_DEL(m->nodes, e);
	node_free(e->node);
	free(e);
}

const struct node_record *model_links_of(const struct model *m, const char *node)
{
	return m->own && strcmp(m->own->node, node) == 0 ? m->own : model_node_record(m, node);
}

const struct labels *model_namespace_labels(const struct model *m, const char *name)
{
	struct namespace_entry *e;
	HASH_FIND_STR(m->namespaces, name, e);
	return e ? &e->meta.labels : NULL;
}

void model_drop_namespace(struct model *m, const char *name)
{
	struct namespace_entry *e;
	HASH_FIND_STR(m->namespaces, name, e);
	if (!e)
		return;
	note_all(m);
	HASH_DEL(m->namespaces, e);
	object_meta_free(&e->meta);
	free(e);
}

void model_put_namespace(struct model *m, struct object_meta *meta)
{
	const struct labels *before = model_namespace_labels(m, meta->name);
	if (before && labels_equal(before, &meta->labels)) {   /* nothing else of it decides anything */
		object_meta_free(meta);
		return;
	}
	model_drop_namespace(m, meta->name);
	struct namespace_entry *e = mem_zalloc(sizeof(*e));
	e->meta = *meta;
	*meta = (struct object_meta){0};
	HASH_ADD_KEYPTR(hh, m->namespaces, e->meta.name, strlen(e->meta.name), e);
	note_all(m);
}

/* ---- our Leases ---- */

static void add_named(struct model *m, const struct record *r)
{
	note_address(m, &r->address);
	for (size_t i = 0; i < r->n_services; i++) {
		struct named_entry *e;
		HASH_FIND_STR(m->named, r->services[i], e);
		if (!e) {
			e = mem_zalloc(sizeof(*e));
			e->service = mem_strdup(r->services[i]);
			HASH_ADD_KEYPTR(hh, m->named, e->service, strlen(e->service), e);
		}
		e->addresses = mem_realloc(e->addresses, (e->n + 1) * sizeof(*e->addresses));
		e->addresses[e->n++] = r->address;
		note_service(m, e->service);
	}
}

static void remove_named(struct model *m, const struct record *r)
{
	note_address(m, &r->address);
	for (size_t i = 0; i < r->n_services; i++) {
		struct named_entry *e;
		HASH_FIND_STR(m->named, r->services[i], e);
		size_t at = 0;
		while (!address_equal(&e->addresses[at], &r->address))
			at++;
		e->addresses[at] = e->addresses[--e->n];
		note_service(m, e->service);
		if (e->n)
			continue;
		HASH_DEL(m->named, e);
		free(e->service);
		free(e->addresses);
		free(e);
	}
}

size_t model_records_naming(const struct model *m, const char *service_key, const struct address **addressesp)
{
	struct named_entry *e;
	HASH_FIND_STR(m->named, service_key, e);
	*addressesp = e ? e->addresses : NULL;
	return e ? e->n : 0;
}

static struct record_entry *record_entry(const struct model *m, const struct address *a)
{
	struct record_entry *e;
	HASH_FIND(hh, m->records, a, sizeof(*a), e);
	return e;
}

struct record *model_record(const struct model *m, const struct address *a)
{
	struct record_entry *e = record_entry(m, a);
	return e ? e->record : NULL;
}

void model_put_record(struct model *m, struct record *r, bool confirmed)
{
	struct record_entry *e = record_entry(m, &r->address);
	bool passed = resource_version_compare(r->meta.resource_version, m->records_version) <= 0;
	if (confirmed && !passed)
		mem_replace(&m->records_version, r->meta.resource_version);
	if (e && is_stale(&e->record->meta, &r->meta)) {
		e->confirmed |= confirmed;
		record_free(r);
		return;
	}
	/* The watch has shown it, and its end. One without our label it never shows: that one was read because it is in the way. */
	if (!e && !confirmed && passed && labels_get(&r->meta.labels, LABEL_CLASS)) {
		record_free(r);
		return;
	}
	m->revision++;
	m->record_changes++;
	r->revision = m->revision;
	add_named(m, r);
	if (e) {
		HASH_DEL(m->records, e);
		remove_named(m, e->record);
		record_free(e->record);
	} else {
		e = mem_zalloc(sizeof(*e));
	}
	e->record = r;
	e->confirmed |= confirmed;
	HASH_ADD_KEYPTR(hh, m->records, &r->address, sizeof(r->address), e);
}

void model_note_claim(struct model *m, const struct address *a, bool claimed)
{
	struct record_entry *e = record_entry(m, a);
	if (e)
		e->claimed = claimed;
}

void model_drop_record(struct model *m, const struct address *a)
{
	struct record_entry *e = record_entry(m, a);
	if (!e)
		return;
	m->revision++;
	m->record_changes++;
	HASH_DEL(m->records, e);
	remove_named(m, e->record);
	record_free(e->record);
	free(e);
}

void model_drop_record_object(struct model *m, const struct address *a, const char *uid)
{
	const struct record *r = model_record(m, a);
	if (r && strcmp(r->meta.uid, uid) == 0)
		model_drop_record(m, a);
}

struct node_record *model_node_record(const struct model *m, const char *node)
{
	struct node_record_entry *e;
	char *name = node_record_name(node);
	HASH_FIND_STR(m->node_records, name, e);
	free(name);
	return e ? e->record : NULL;
}

void model_drop_node_record(struct model *m, const char *lease_name)
{
	struct node_record_entry *e;
	HASH_FIND_STR(m->node_records, lease_name, e);
	if (!e)
		return;
	m->revision++;
	HASH_DEL(m->node_records, e);
	node_record_free(e->record);
	free(e);
}

void model_put_node_record(struct model *m, struct node_record *r, bool confirmed)
{
	struct node_record_entry *e;
	HASH_FIND_STR(m->node_records, r->meta.name, e);
	if (e && is_stale(&e->record->meta, &r->meta)) {
		e->confirmed |= confirmed;
		node_record_free(r);
		return;
	}
	model_drop_node_record(m, r->meta.name);
	e = mem_zalloc(sizeof(*e));
	e->record = r;
	e->confirmed = confirmed;
	HASH_ADD_KEYPTR(hh, m->node_records, r->meta.name, strlen(r->meta.name), e);
	m->revision++;
}

/* ---- strangers ---- */

static struct foreign_entry *foreign_entry(const struct model *m, const struct address *a)
{
	struct foreign_entry *e;
	HASH_FIND(hh, m->foreign, a, sizeof(*a), e);
	return e;
}

void model_put_foreign(struct model *m, struct foreign_record *r)
{
	struct foreign_entry *e = foreign_entry(m, &r->address);
	m->revision++;
	note_address(m, &r->address);
	if (e) {
		HASH_DEL(m->foreign, e);
		foreign_record_free(e->record);
	} else {
		e = mem_zalloc(sizeof(*e));
	}
	e->record = r;
	HASH_ADD_KEYPTR(hh, m->foreign, &r->address, sizeof(r->address), e);
}

void model_drop_foreign(struct model *m, const struct address *a)
{
	struct foreign_entry *e = foreign_entry(m, a);
	if (!e)
		return;
	m->revision++;
	note_address(m, a);
	HASH_DEL(m->foreign, e);
	foreign_record_free(e->record);
	free(e);
}

void model_put_aside(struct model *m, const struct address *a)
{
	struct foreign_entry *e = foreign_entry(m, a);
	if (!e || e->put_aside)
		return;
	e->put_aside = true;
	note_address(m, a);
}

const struct foreign_record *model_foreign(const struct model *m, const struct address *a)
{
	const struct foreign_entry *e = foreign_entry(m, a);
	return e ? e->record : NULL;
}

bool model_is_put_aside(const struct model *m, const struct address *a)
{
	const struct foreign_entry *e = foreign_entry(m, a);
	return e && e->put_aside;
}

bool model_is_refused(const struct model *m, const struct record *r)
{
	const struct foreign_record *f = model_foreign(m, &r->address);
	return f && *f->refused && strcmp(f->refused, r->meta.uid) == 0;
}

void model_drop_unconfirmed(struct model *m)
{
	struct record_entry *r, *next_r;
	struct node_record_entry *n, *next_n;
	HASH_ITER(hh, m->records, r, next_r)
		if (!r->confirmed)
			model_drop_record(m, &r->record->address);
	HASH_ITER(hh, m->node_records, n, next_n)
		if (!n->confirmed)
			model_drop_node_record(m, n->record->meta.name);
}

/* ---- pools and advertisements ---- */

void model_put_pool(struct model *m, struct pool *p)
{
	if (pool_table_unchanged(&m->pools, p)) {
		pool_free(p);
		return;
	}
	pool_table_put(&m->pools, p);
	note_all(m);
}

void model_put_malformed_pool(struct model *m, const struct object_meta *meta, const char *why)
{
	pool_table_put_malformed(&m->pools, meta, why);
	note_all(m);
}

void model_drop_pool(struct model *m, const char *name)
{
	pool_table_drop(&m->pools, name);
	note_all(m);
}

static bool remove_advertisement(struct model *m, const char *name)
{
	for (size_t i = 0; i < m->n_advertisements; i++)
		if (strcmp(m->advertisements[i]->meta.name, name) == 0) {
			advertisement_free(m->advertisements[i]);
			m->advertisements[i] = m->advertisements[--m->n_advertisements];
			return true;
		}
	return false;
}

static bool remove_refused_ad(struct model *m, const char *name)
{
	for (size_t i = 0; i < m->n_refused_ads; i++)
		if (strcmp(m->refused_ads[i].meta.name, name) == 0) {
			object_meta_free(&m->refused_ads[i].meta);
			free(m->refused_ads[i].why);
			m->refused_ads[i] = m->refused_ads[--m->n_refused_ads];
			return true;
		}
	return false;
}

void model_drop_advertisement(struct model *m, const char *name)
{
	bool refused = remove_refused_ad(m, name);
	if (remove_advertisement(m, name) || refused)
		note_all(m);
}

void model_put_advertisement(struct model *m, struct advertisement *ad)
{
	model_drop_advertisement(m, ad->meta.name);
	m->advertisements = mem_realloc(m->advertisements, (m->n_advertisements + 1) * sizeof(*m->advertisements));
	m->advertisements[m->n_advertisements++] = ad;
	note_all(m);
}

void model_put_malformed_advertisement(struct model *m, const struct object_meta *meta, const char *why)
{
	remove_refused_ad(m, meta->name);
	m->refused_ads = mem_realloc(m->refused_ads, (m->n_refused_ads + 1) * sizeof(*m->refused_ads));
	struct refused_object *r = &m->refused_ads[m->n_refused_ads++];
	object_meta_copy(&r->meta, meta);
	r->why = mem_strdup(why);
	note_all(m);
}

const struct pool *model_pool_of(const struct model *m, const struct address *a)
{
	return pool_table_of(&m->pools, a);
}

const struct pool *model_pool_named(const struct model *m, const char *name)
{
	return pool_table_named(&m->pools, name);
}

size_t model_problems(const struct model *m)
{
	size_t n = m->n_refused_ads;
	for (size_t i = 0; i < m->pools.n; i++)
		n += m->pools.entries[i].problem != NULL;
	return n;
}

struct model_problem model_problem(const struct model *m, size_t at)
{
	if (at < m->n_refused_ads)
		return (struct model_problem){"L2Advertisement", &m->refused_ads[at].meta, m->refused_ads[at].why};
	at -= m->n_refused_ads;
	for (size_t i = 0;; i++)
		if (m->pools.entries[i].problem && at-- == 0)
			return (struct model_problem){"IPAddressPool", &m->pools.entries[i].meta, m->pools.entries[i].problem};
}

/* ---- end ---- */

void model_free(struct model *m)
{
	struct service_entry *s, *s_next;
	struct slice_entry *e, *e_next;
	struct node_entry *n, *n_next;
	struct namespace_entry *ns, *ns_next;
	struct record_entry *r, *r_next;
	struct node_record_entry *nr, *nr_next;
	struct foreign_entry *f, *f_next;
	HASH_ITER(hh, m->services, s, s_next)
		model_drop_service(m, s->service->meta.key);
	HASH_ITER(hh, m->slices, e, e_next)
		model_drop_slice(m, e->slice->meta.key);
	HASH_ITER(hh, m->nodes, n, n_next)
		model_drop_node(m, n->node->meta.name);
	HASH_ITER(hh, m->namespaces, ns, ns_next)
		model_drop_namespace(m, ns->meta.name);
	HASH_ITER(hh, m->records, r, r_next)
		model_drop_record(m, &r->record->address);
	HASH_ITER(hh, m->node_records, nr, nr_next)
		model_drop_node_record(m, nr->record->meta.name);
	HASH_ITER(hh, m->foreign, f, f_next)
		model_drop_foreign(m, &f->record->address);
	pool_table_free(&m->pools);
	while (m->n_advertisements)
		model_drop_advertisement(m, m->advertisements[0]->meta.name);
	while (m->n_refused_ads)
		remove_refused_ad(m, m->refused_ads[0].meta.name);
	free(m->advertisements);
	free(m->refused_ads);
	model_forget_changes(m);
	spread_free(m->spread);
	free(m->lb_class);
	free(m->records_version);
	*m = (struct model){0};
}
