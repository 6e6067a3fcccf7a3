#include "speaker/records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/crypto.h"
#include "config/base/memory.h"
#include "speaker/names.h"

/* ---- names ---- */

static char *hash_name(const char *prefix, const char *text)
{
	uint8_t digest[SHA256_SIZE];
	sha256(text, strlen(text), digest);
	return mem_printf("%s%02x%02x%02x%02x%02x%02x%02x%02x", prefix, digest[0], digest[1], digest[2], digest[3], digest[4], digest[5],
			  digest[6], digest[7]);
}

char *record_name(const struct address *a)
{
	char text[ADDRESS_TEXT];
	const uint8_t *b = a->bytes;
	if (a->family == ADDRESS_V4)
		return mem_printf("ip-%s", address_format(a, text));
	return mem_printf("ip-%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
			  b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

char *node_record_name(const char *node)
{
	return strlen(node) > 248 ? hash_name("node-", node) : mem_printf("node-%s", node);
}

char *record_class(const char *lb_class)
{
	return *lb_class ? hash_name("", lb_class) : mem_strdup("default");
}

bool record_address(const char *name, struct address *a)
{
	char text[ADDRESS_TEXT];
	if (strncmp(name, "ip-", 3) != 0 || strlen(name + 3) >= sizeof(text))
		return false;
	strcpy(text, name + 3);
	if (!strchr(text, '.'))
		for (char *p = text; *p; p++)
			*p = *p == '-' ? ':' : *p;
	if (address_parse(text, a, NULL) < 0)
		return false;
	/* Only the name we give: two Leases must not mean one address. */
	char *ours = record_name(a);
	bool same = strcmp(ours, name) == 0;
	free(ours);
	return same;
}

/* ---- address records ---- */

static size_t count_items(const char *list)
{
	size_t n = *list ? 1 : 0;
	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* The i-th item of a comma list, or "". To free(). */
static char *item(const char *list, size_t i)
{
	for (; i && list; i--) {
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	return list ? mem_strndup(list, strcspn(list, ",")) : mem_strdup("");
}

static const char *annotation(const struct object_meta *meta, const char *key)
{
	const char *value = labels_get(&meta->annotations, key);
	return value ? value : "";
}

bool record_decode(const struct lease *lease, struct record **recordp)
{
	struct address a;
	if (!record_address(lease->meta.name, &a))
		return false;
	struct record *r = mem_zalloc(sizeof(*r));
	const char *services = annotation(&lease->meta, RECORD_SERVICES), *uids = annotation(&lease->meta, RECORD_SERVICE_UIDS);
	const char *previous = annotation(&lease->meta, RECORD_PREVIOUS);
	r->address = a;
	object_meta_copy(&r->meta, &lease->meta);
	r->holder = mem_strdup(lease->holder);
	r->epoch = lease->transitions;
	r->successor = mem_strdup(annotation(&lease->meta, RECORD_SUCCESSOR));
	r->found = *annotation(&lease->meta, RECORD_FOUND);
	r->n_services = count_items(services);
	r->services = mem_zalloc(r->n_services * sizeof(char *));
	r->service_uids = mem_zalloc(r->n_services * sizeof(char *));
	for (size_t i = 0; i < r->n_services; i++) {
		r->services[i] = item(services, i);
		r->service_uids[i] = item(uids, i);
	}
	for (size_t i = 0; i < PREVIOUS_HOLDERS && i < count_items(previous); i++)
		r->previous[i] = item(previous, i);
	*recordp = r;
	return true;
}

void record_free(struct record *r)
{
	if (!r)
		return;
	object_meta_free(&r->meta);
	free(r->holder);
	free(r->successor);
	strings_free(r->services, r->n_services);
	strings_free(r->service_uids, r->n_services);
	for (size_t i = 0; i < PREVIOUS_HOLDERS; i++)
		free(r->previous[i]);
	free(r);
}

bool record_names(const struct record *r, const char *service_key, const char *uid)
{
	for (size_t i = 0; i < r->n_services; i++)
		if (strcmp(r->services[i], service_key) == 0 && (!uid || strcmp(r->service_uids[i], uid) == 0))
			return true;
	return false;
}

bool record_held_before(const struct record *r, const char *node)
{
	for (size_t i = 0; i < PREVIOUS_HOLDERS; i++)
		if (r->previous[i] && strcmp(r->previous[i], node) == 0)
			return true;
	return false;
}

json_t *record_lease_body(const char *name, const char *name_space, const char *lb_class, const char *kind)
{
	char *class = record_class(lb_class);
	json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}, s:{}}, s:{}}", "apiVersion", "coordination.k8s.io/v1", "kind", "Lease",
		"metadata", "name", name, "namespace", name_space, "labels", LABEL_CLASS, class, LABEL_RECORD, kind, "annotations", "spec");
	free(class);
	return body;
}

static void set_annotation(json_t *body, const char *key, const char *value)
{
	json_object_set_new(json_object_get(json_object_get(body, "metadata"), "annotations"), key, json_string(value));
}

static void drop_annotation(json_t *patch, const char *key)
{
	json_object_set_new(json_object_get(json_object_get(patch, "metadata"), "annotations"), key, json_null());
}

json_t *record_create_body(const struct address *a, const char *name_space, const char *lb_class, const char *service_key, const char *uid, bool found)
{
	char *name = record_name(a);
	json_t *body = record_lease_body(name, name_space, lb_class, "address");
	set_annotation(body, RECORD_SERVICES, service_key);
	set_annotation(body, RECORD_SERVICE_UIDS, uid);
	if (found)
		set_annotation(body, RECORD_FOUND, "status");
	free(name);
	return body;
}

json_t *record_guarded_patch(const struct object_meta *meta)
{
	return json_pack("{s:{s:s, s:s, s:{}}}", "metadata", "uid", meta->uid, "resourceVersion", meta->resource_version, "annotations");
}

json_t *record_holder_patch(const struct record *r, const char *holder, const char *link, const char *now)
{
	json_t *patch = record_guarded_patch(&r->meta);
	json_object_set_new(patch, "spec", json_pack("{s:s, s:s, s:I}", "holderIdentity", holder, "acquireTime", now, "leaseTransitions",
						     (json_int_t)(r->epoch + 1)));
	if (*r->holder && strcmp(r->holder, holder) != 0) {
		char *previous = mem_strdup(r->holder);
		for (size_t i = 0; i + 1 < PREVIOUS_HOLDERS && r->previous[i]; i++) {
			char *longer = mem_printf("%s,%s", previous, r->previous[i]);
			free(previous);
			previous = longer;
		}
		set_annotation(patch, RECORD_PREVIOUS, previous);
		free(previous);
	}
	set_annotation(patch, RECORD_LINK, link);
	if (*r->successor)
		drop_annotation(patch, RECORD_SUCCESSOR);
	return patch;
}

json_t *record_successor_patch(const struct record *r, const char *successor)
{
	json_t *patch = record_guarded_patch(&r->meta);
	if (*successor)
		set_annotation(patch, RECORD_SUCCESSOR, successor);
	else
		drop_annotation(patch, RECORD_SUCCESSOR);
	return patch;
}

static char *join(const char *const *items, size_t n)
{
	char *text = mem_strdup("");
	for (size_t i = 0; i < n; i++) {
		char *longer = mem_printf("%s%s%s", text, i ? "," : "", items[i]);
		free(text);
		text = longer;
	}
	return text;
}

json_t *record_services_patch(const struct record *r, const char *const *keys, const char *const *uids, size_t n)
{
	json_t *patch = record_guarded_patch(&r->meta);
	char *services = join(keys, n), *ids = join(uids, n);
	set_annotation(patch, RECORD_SERVICES, services);
	set_annotation(patch, RECORD_SERVICE_UIDS, ids);
	free(services);
	free(ids);
	return patch;
}

json_t *record_join_patch(const struct record *r, const char *key, const char *uid)
{
	const char **keys = mem_zalloc((r->n_services + 1) * sizeof(*keys)), **uids = mem_zalloc((r->n_services + 1) * sizeof(*uids));
	size_t n = 0;
	for (size_t i = 0; i < r->n_services; i++) {
		if (strcmp(r->services[i], key) == 0)
			continue;
		keys[n] = r->services[i];
		uids[n++] = r->service_uids[i];
	}
	keys[n] = key;
	uids[n++] = uid;
	json_t *patch = record_services_patch(r, keys, uids, n);
	free(keys);
	free(uids);
	return patch;
}

json_t *delete_options(const struct object_meta *meta)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "DeleteOptions", "preconditions", "uid", meta->uid,
			 "resourceVersion", meta->resource_version);
}

/* ---- node records ---- */

static char *links_text(const struct node_link *links, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		char mac[MAC_TEXT], text[ADDRESS_TEXT];
		json_t *addresses = json_array();
		for (size_t j = 0; j < links[i].n_addresses; j++) {
			const struct address_prefix *p = &links[i].addresses[j];
			json_array_append_new(addresses, json_sprintf("%s/%u", address_format(&p->address, text), (unsigned)p->length));
		}
		json_t *link = json_pack("{s:s, s:s, s:o}", "name", links[i].name, "mac", mac_format(&links[i].mac, mac), "addresses", addresses);
		if (!links[i].by_default)
			json_object_set_new(link, "named", json_true());
		json_array_append_new(list, link);
	}
	char *text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	return text;
}

static int link_decode(const json_t *json, struct node_link *link, struct error *err)
{
	const char *name = json_string_value(json_object_get(json, "name")), *mac = json_string_value(json_object_get(json, "mac"));
	const json_t *addresses = json_object_get(json, "addresses");
	if (!name || strlen(name) >= sizeof(link->name) || !mac || !mac_parse(mac, &link->mac))
		return error_set(err, -EINVAL, "%s: a link needs name and mac", RECORD_LINKS);
	strcpy(link->name, name);
	link->by_default = !json_is_true(json_object_get(json, "named"));
	for (size_t i = 0; i < json_array_size(addresses) && link->n_addresses < LINK_ADDRESSES; i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		int rc = text ? address_prefix_parse(text, &link->addresses[link->n_addresses++], err) : -EINVAL;
		if (rc < 0)
			return error_set(err, rc, "%s: an address of %s is not address/length", RECORD_LINKS, name);
	}
	return 0;
}

int node_record_decode(const struct lease *lease, struct node_record **recordp, struct error *err)
{
	struct node_record *r = mem_zalloc(sizeof(*r));
	json_t *list = json_loads(annotation(&lease->meta, RECORD_LINKS), 0, NULL);
	int rc = json_is_array(list) ? 0 : error_set(err, -EINVAL, "%s is not a JSON list", RECORD_LINKS);
	object_meta_copy(&r->meta, &lease->meta);
	r->draining = strcmp(annotation(&lease->meta, RECORD_DRAIN), "true") == 0;
	r->node = mem_strdup(lease->holder);   /* the name itself: the Lease's name may be a hash */
	r->links = mem_zalloc((json_array_size(list) + 1) * sizeof(*r->links));
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = link_decode(json_array_get(list, i), &r->links[r->n_links++], err);
	json_decref(list);
	if (rc == 0 && !*r->node)
		rc = error_set(err, -EINVAL, "no holderIdentity");
	if (rc < 0) {
		error_prefix(err, "Lease %s", r->meta.key);
		node_record_free(r);
		return rc;
	}
	*recordp = r;
	return 0;
}

void node_record_free(struct node_record *r)
{
	if (!r)
		return;
	object_meta_free(&r->meta);
	free(r->node);
	free(r->links);
	free(r);
}

const struct node_link *node_record_link(const struct node_record *r, const char *name)
{
	for (size_t i = 0; i < r->n_links; i++)
		if (strcmp(r->links[i].name, name) == 0)
			return &r->links[i];
	return NULL;
}

json_t *node_record_body(const char *node, const char *node_uid, const char *name_space, const char *lb_class, const struct node_link *links, size_t n)
{
	char *name = node_record_name(node), *text = links_text(links, n);
	json_t *body = record_lease_body(name, name_space, lb_class, "node");
	set_annotation(body, RECORD_LINKS, text);
	json_object_set_new(json_object_get(body, "spec"), "holderIdentity", json_string(node));
	json_object_set_new(json_object_get(body, "metadata"), "ownerReferences",
			    json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Node", "name", node, "uid", node_uid));
	free(name);
	free(text);
	return body;
}

json_t *node_record_patch(const struct node_record *r, const struct node_link *links, size_t n)
{
	char *text = links_text(links, n);
	json_t *patch = record_guarded_patch(&r->meta);
	set_annotation(patch, RECORD_LINKS, text);
	free(text);
	return patch;
}

json_t *node_record_drain_patch(const struct node_record *r, bool draining)
{
	json_t *patch = record_guarded_patch(&r->meta);
	if (draining)
		set_annotation(patch, RECORD_DRAIN, "true");
	else
		drop_annotation(patch, RECORD_DRAIN);
	return patch;
}

static bool same_link(const struct node_link *a, const struct node_link *b)
{
	if (strcmp(a->name, b->name) != 0 || !mac_equal(&a->mac, &b->mac) || a->by_default != b->by_default || a->n_addresses != b->n_addresses)
		return false;
	for (size_t i = 0; i < a->n_addresses; i++)
		if (!address_equal(&a->addresses[i].address, &b->addresses[i].address) || a->addresses[i].length != b->addresses[i].length)
			return false;
	return true;
}

/* Asked ten times a second: not by way of the text. */
bool node_record_says(const struct node_record *r, const struct node_link *links, size_t n)
{
	if (r->n_links != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same_link(&r->links[i], &links[i]))
			return false;
	return true;
}
