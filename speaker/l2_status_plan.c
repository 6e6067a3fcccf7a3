#include "speaker/l2_status_plan.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/crypto.h"
#include "config/base/map.h"

#define LINKS 16
#define ABSENT 2
#define LABEL_MAX 63   /* a label's value; nodes with longer names have no objects, as with MetalLB */

struct links {
	char names[LINKS][IF_NAMESIZE];   /* sorted */
	size_t n;
};

struct entry {
	char *service, *name;     /* "namespace/name"; of the object */
	struct links wanted;      /* none: it is not announced */
	char *previous;           /* its object is to go; NULL: nobody's */
	unsigned absent;          /* looks in a row that did not find it announced */
	bool made, owned;         /* the object is there; it goes with our pod */
	bool shown_at_all;        /* ... and has a status: */
	struct links shown;
	UT_hash_handle hh;
};

struct stale {
	char *name;
	struct stale *next;
};

enum step { NOTHING, DELETE_STALE, CREATE, OWN, SHOW, REMOVE, REMOVE_PREVIOUS };

struct l2_status_plan {
	const char *node, *pod_name, *pod_uid;
	struct entry *entries;
	struct stale *stale;
	bool listed;
	enum step step;           /* under way */
	struct entry *at;
	struct links sent;        /* by a SHOW */
	char *previous_name;
};

char *l2_status_name(const char *node, const char *service)
{
	uint8_t hash[SHA256_SIZE];
	char *text = mem_printf("%s %s", node, service);
	sha256(text, strlen(text), hash);
	free(text);
	return mem_printf("l2-%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7], hash[8], hash[9]);
}

struct l2_status_plan *l2_status_plan_new(const char *node, const char *pod_name, const char *pod_uid)
{
	struct l2_status_plan *p = mem_zalloc(sizeof(*p));
	p->node = node;
	p->pod_name = pod_name;
	p->pod_uid = pod_name ? pod_uid : NULL;
	return p;
}

static void entry_free(struct l2_status_plan *p, struct entry *e)
{
	HASH_DEL(p->entries, e);
	free(e->service);
	free(e->name);
	free(e->previous);
	free(e);
}

static void drop_stale(struct l2_status_plan *p)
{
	struct stale *s = p->stale;
	p->stale = s->next;
	free(s->name);
	free(s);
}

void l2_status_plan_free(struct l2_status_plan *p)
{
	struct entry *e, *tmp;
	if (!p)
		return;
	HASH_ITER(hh, p->entries, e, tmp)
		entry_free(p, e);
	while (p->stale)
		drop_stale(p);
	free(p->previous_name);
	free(p);
}

static void add_link(struct links *l, const char *name)
{
	size_t at = 0;
	while (at < l->n && strcmp(l->names[at], name) < 0)
		at++;
	if (l->n == LINKS || (at < l->n && strcmp(l->names[at], name) == 0))
		return;
	memmove(l->names[at + 1], l->names[at], (l->n++ - at) * sizeof(l->names[0]));
	snprintf(l->names[at], sizeof(l->names[at]), "%s", name);
}

static bool same_links(const struct links *a, const struct links *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	return true;
}

static struct entry *entry_of(struct l2_status_plan *p, const char *service)
{
	struct entry *e;
	HASH_FIND_STR(p->entries, service, e);
	if (!e) {
		e = mem_zalloc(sizeof(*e));
		e->service = mem_strdup(service);
		e->name = l2_status_name(p->node, service);
		HASH_ADD_KEYPTR(hh, p->entries, e->service, strlen(e->service), e);
	}
	return e;
}

/* ---- what is announced ---- */

void l2_status_plan_begin(struct l2_status_plan *p)
{
	for (struct entry *e = p->entries; e; e = e->hh.next)
		e->wanted.n = 0;
}

void l2_status_plan_want(struct l2_status_plan *p, const char *service, const char *link, const char *previous)
{
	if (strlen(p->node) > LABEL_MAX || !strchr(service, '/'))
		return;
	struct entry *e = entry_of(p, service);
	add_link(&e->wanted, link);
	if (!e->made && previous && strcmp(previous, p->node) != 0)
		mem_replace(&e->previous, previous);
}

void l2_status_plan_end(struct l2_status_plan *p)
{
	struct entry *e, *tmp;
	HASH_ITER(hh, p->entries, e, tmp) {
		e->absent = e->wanted.n ? 0 : e->absent + 1;
		if (!e->wanted.n && !e->made && e != p->at)
			entry_free(p, e);
	}
}

bool l2_status_plan_waits(const struct l2_status_plan *p)
{
	for (const struct entry *e = p->entries; e; e = e->hh.next)
		if (e->made && !e->wanted.n && e->absent < ABSENT)
			return true;
	return false;
}

/* ---- what is there ---- */

static const char *text_at(const json_t *object, const char *part, const char *field)
{
	const char *text = json_string_value(json_object_get(json_object_get(object, part), field));
	return text ? text : "";
}

static void learn(struct l2_status_plan *p, const json_t *object)
{
	const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels"), *status = json_object_get(object, "status"), *one;
	const char *name = text_at(object, "metadata", "name"), *service = json_string_value(json_object_get(labels, "metallb.io/service-name"));
	const char *space = json_string_value(json_object_get(labels, "metallb.io/service-namespace"));
	char *key = mem_printf("%s/%s", space ? space : "", service ? service : ""), *right = l2_status_name(p->node, key);
	/* One that MetalLB made goes with MetalLB's pod, whenever that is: ours comes in its place. */
	if (strcmp(name, right) != 0) {
		struct stale *s = mem_zalloc(sizeof(*s));
		s->name = mem_strdup(name);
		s->next = p->stale;
		p->stale = s;
	} else {
		struct entry *e = entry_of(p, key);
		const json_t *owners = json_object_get(json_object_get(object, "metadata"), "ownerReferences");
		const char *owner = json_string_value(json_object_get(json_array_get(owners, 0), "uid"));
		size_t i;
		e->made = true;
		e->owned = !p->pod_uid || (owner && strcmp(owner, p->pod_uid) == 0);
		e->shown_at_all = strcmp(text_at(object, "status", "node"), p->node) == 0;
		e->shown.n = 0;
		json_array_foreach(json_object_get(status, "interfaces"), i, one)
			if (json_is_string(json_object_get(one, "name")))
				add_link(&e->shown, json_string_value(json_object_get(one, "name")));
	}
	free(right);
	free(key);
}

void l2_status_plan_list(struct l2_status_plan *p, const json_t *items)
{
	const json_t *item;
	size_t i;
	while (p->stale)
		drop_stale(p);
	for (struct entry *e = p->entries; e; e = e->hh.next)
		e->made = false;
	json_array_foreach(items, i, item)
		learn(p, item);
	p->listed = true;
}

bool l2_status_plan_needs_list(const struct l2_status_plan *p)
{
	return !p->listed;
}

/* ---- what is to be done ---- */

static enum step step_for(const struct entry *e)
{
	if (!e->wanted.n)
		return e->made && e->absent >= ABSENT ? REMOVE : NOTHING;
	if (!e->made)
		return CREATE;
	if (!e->owned)
		return OWN;
	if (!e->shown_at_all || !same_links(&e->shown, &e->wanted))
		return SHOW;
	return e->previous ? REMOVE_PREVIOUS : NOTHING;
}

static json_t *owner_of(const struct l2_status_plan *p)
{
	return json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Pod", "name", p->pod_name, "uid", p->pod_uid);
}

static json_t *object_for(const struct l2_status_plan *p, const struct entry *e)
{
	const char *slash = strchr(e->service, '/');
	json_t *meta = json_pack("{s:s, s:{s:s, s:s%, s:s}}", "name", e->name, "labels", L2_STATUS_LABEL_NODE, p->node, "metallb.io/service-namespace", e->service,
				 (size_t)(slash - e->service), "metallb.io/service-name", slash + 1);
	if (p->pod_uid)
		json_object_set_new(meta, "ownerReferences", owner_of(p));
	return json_pack("{s:s, s:s, s:o}", "apiVersion", "metallb.io/v1beta1", "kind", "ServiceL2Status", "metadata", meta);
}

static json_t *status_for(const struct l2_status_plan *p, const struct entry *e)
{
	const char *slash = strchr(e->service, '/');
	json_t *links = json_array();
	for (size_t i = 0; i < e->wanted.n; i++)
		json_array_append_new(links, json_pack("{s:s}", "name", e->wanted.names[i]));
	return json_pack("{s:{s:s, s:s%, s:s, s:o}}", "status", "node", p->node, "serviceNamespace", e->service, (size_t)(slash - e->service), "serviceName", slash + 1,
			 "interfaces", links);
}

static void fill(struct l2_status_plan *p, struct l2_status_request *request)
{
	struct entry *e = p->at;
	*request = (struct l2_status_request){.method = "DELETE", .name = e ? e->name : p->stale->name};
	switch (p->step) {
	case CREATE:
		*request = (struct l2_status_request){.method = "POST", .body = object_for(p, e)};
		break;
	case OWN:
		request->method = "PATCH";
		request->body = json_pack("{s:{s:o}}", "metadata", "ownerReferences", owner_of(p));
		break;
	case SHOW:
		p->sent = e->wanted;
		*request = (struct l2_status_request){.method = "PATCH", .name = e->name, .status = true, .body = status_for(p, e)};
		break;
	case REMOVE_PREVIOUS:
		free(p->previous_name);
		p->previous_name = l2_status_name(e->previous, e->service);
		request->name = p->previous_name;
		break;
	case NOTHING:
	case DELETE_STALE:
	case REMOVE:
		break;
	}
}

bool l2_status_plan_next(struct l2_status_plan *p, struct l2_status_request *request)
{
	p->at = NULL;
	p->step = !p->listed ? NOTHING : p->stale ? DELETE_STALE : NOTHING;
	for (struct entry *e = p->entries; e && p->listed && p->step == NOTHING; e = e->hh.next) {
		p->step = step_for(e);
		p->at = e;
	}
	if (p->step == NOTHING)
		p->at = NULL;
	else
		fill(p, request);
	return p->step != NOTHING;
}

bool l2_status_plan_ended(struct l2_status_plan *p, int status)
{
	struct entry *e = p->at;
	enum step step = p->step;
	bool done = status >= 200 && status < 300, gone = status == 404;
	p->step = NOTHING;
	p->at = NULL;
	if (step == CREATE && status == 409) {   /* somebody was quicker, or the answer to our own was lost */
		p->listed = false;
		return true;
	}
	switch (step) {
	case DELETE_STALE:
		if (done || gone)
			drop_stale(p);
		return done || gone;
	case CREATE:
		e->made = e->owned = done;
		e->shown_at_all = false;
		return done;
	case OWN:
		e->owned = done;
		break;
	case SHOW:
		e->shown_at_all = done;
		e->shown = p->sent;
		break;
	case REMOVE:
		e->made = !(done || gone);
		if (!e->made && !e->wanted.n)
			entry_free(p, e);
		return done || gone;
	case REMOVE_PREVIOUS:
		if (done || gone) {
			free(e->previous);
			e->previous = NULL;
		}
		return done || gone;
	case NOTHING:
		return true;
	}
	e->made = !gone;   /* somebody removed it: made anew */
	return done || gone;
}
