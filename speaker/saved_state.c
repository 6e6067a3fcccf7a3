#include "speaker/saved_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/election.h"
#include "speaker/intake.h"
#include "speaker/names.h"

#define FORMAT 1
#define SERVICE "l2lb/saved"   /* stands for all that use the addresses */

/* ---- writing ---- */

static json_t *ranges(const struct model *m)
{
	json_t *list = json_array();
	char first[ADDRESS_TEXT], last[ADDRESS_TEXT];
	for (size_t i = 0; i < m->pools.n; i++)
		for (size_t j = 0; m->pools.entries[i].pool && j < m->pools.entries[i].pool->n_ranges; j++) {
			const struct address_range *r = &m->pools.entries[i].pool->ranges[j];
			json_array_append_new(list, json_sprintf("%s-%s", address_format(&r->first, first), address_format(&r->last, last)));
		}
	return list;
}

static void add_once(json_t *list, const char *text)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
		if (strcmp(json_string_value(item), text) == 0)
			return;
	json_array_append_new(list, json_string(text));
}

static json_t *address_json(const struct model *m, const char *node, const struct record *r, json_t *interfaces)
{
	const struct node_link *links[ELECTION_LINKS];
	const struct node_record *own = model_links_of(m, node);
	char text[ADDRESS_TEXT];
	size_t n = own ? election_links(m, r, own, links, ELECTION_LINKS) : 0;
	for (size_t i = 0; i < n; i++)
		add_once(interfaces, links[i]->name);
	return json_pack("{s:s, s:I}", "address", address_format(&r->address, text), "epoch", (json_int_t)r->epoch);
}

static int by_name(const void *a, const void *b)
{
	const struct node_record *const *x = a, *const *y = b;
	return strcmp((*x)->node, (*y)->node);
}

/* In one order, so that the text changes with the content only. */
static json_t *nodes(const struct model *m)
{
	struct node_record_entry *e, *tmp;
	size_t n = 0;
	const struct node_record **sorted = mem_zalloc(HASH_COUNT(m->node_records) * sizeof(*sorted));
	json_t *list = json_array();
	HASH_ITER(hh, m->node_records, e, tmp)
		sorted[n++] = e->record;
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, node_record_body(sorted[i]->node, "", "", "", sorted[i]->links, sorted[i]->n_links));
	free(sorted);
	return list;
}

char *saved_state_encode(const struct model *m, const char *node, const struct address *addresses, size_t n)
{
	json_t *list = json_array(), *interfaces = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct record *r = model_record(m, &addresses[i]);
		if (r)
			json_array_append_new(list, address_json(m, node, r, interfaces));
	}
	json_t *state = json_pack("{s:i, s:s, s:o, s:o, s:o, s:o}", "format", FORMAT, "node", node, "addresses", list, "interfaces", interfaces,
				  "ranges", ranges(m), "nodes", nodes(m));
	char *text = json_dumps(state, JSON_INDENT(1));
	json_decref(state);
	return text;
}

/* ---- reading ---- */

/* Takes json over. */
static int put(struct model *m, enum intake_kind kind, json_t *json, struct error *err)
{
	int rc = intake_put(m, kind, json, true, err);
	json_decref(json);
	return rc;
}

static int put_record(struct model *m, const json_t *item, const char *node, json_t *ingress, struct error *err)
{
	const char *text = json_string_value(json_object_get(item, "address"));
	struct address a;
	int rc = text ? address_parse(text, &a, err) : error_set(err, -EINVAL, "an address is missing");
	if (rc < 0)
		return rc;
	char *name = record_name(&a);
	rc = put(m, INTAKE_LEASE, json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s, s:s}}, s:{s:s, s:I}}", "metadata", "name", name, "namespace", "saved", "uid", name,
					    "resourceVersion", "1", "annotations", RECORD_SERVICES, SERVICE, RECORD_SERVICE_UIDS, "saved", "spec", "holderIdentity",
					    node, "leaseTransitions", json_integer_value(json_object_get(item, "epoch"))), err);
	free(name);
	json_array_append_new(ingress, json_pack("{s:s}", "ip", text));
	return rc;
}

/* One Service with an endpoint that has all addresses, and our Node. */
static int put_service(struct model *m, json_t *ingress, const char *node, struct error *err)
{
	int rc = put(m, INTAKE_SERVICE, json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:s, s:[{s:i}]}, s:{s:{s:O}}}", "metadata", "name", "saved", "namespace", "l2lb",
						  "uid", "saved", "resourceVersion", "1", "spec", "type", "LoadBalancer", "ports", "port", 1, "status",
						  "loadBalancer", "ingress", ingress), err);
	if (rc == 0)
		rc = put(m, INTAKE_SLICE, json_pack("{s:{s:s, s:s, s:s, s:s, s:{s:s}}, s:[{s:[s], s:{s:b}}]}", "metadata", "name", "saved", "namespace", "l2lb", "uid",
						    "slice", "resourceVersion", "1", "labels", "kubernetes.io/service-name", "saved", "endpoints", "addresses",
						    "0.0.0.0", "conditions", "ready", 1), err);
	return rc < 0 ? rc : put(m, INTAKE_NODE, json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", node, "uid", "node", "resourceVersion", "1"), err);
}

static json_t *config_object(const char *uid, const char *field, json_t *value)
{
	return json_pack("{s:{s:s, s:s, s:s, s:s}, s:{s:O}}", "metadata", "name", "saved", "namespace", "saved", "uid", uid, "resourceVersion", "1", "spec", field, value);
}

static int fill(struct model *m, const json_t *state, const char *node, struct error *err)
{
	const json_t *addresses = json_object_get(state, "addresses");
	json_t *range_list = json_object_get(state, "ranges"), *interfaces = json_object_get(state, "interfaces"), *item;
	const char *whose = json_string_value(json_object_get(state, "node"));
	size_t i;
	if (json_integer_value(json_object_get(state, "format")) != FORMAT)
		return error_set(err, -EINVAL, "not a state file of this version");
	if (!whose || strcmp(whose, node) != 0)
		return error_set(err, -EINVAL, "written by node \"%.253s\"", whose ? whose : "");
	if (json_is_array(addresses) && json_array_size(addresses) == 0)
		return error_set(err, -ENOENT, "nothing was ours");
	if (json_array_size(addresses) == 0 || json_array_size(range_list) == 0 || json_array_size(interfaces) == 0)
		return error_set(err, -EINVAL, "nothing to resume");
	json_t *ingress = json_array();
	int rc = 0;
	json_array_foreach(json_object_get(state, "nodes"), i, item)
		if (rc == 0)
			rc = intake_put(m, INTAKE_LEASE, item, true, err);
	json_array_foreach(addresses, i, item)
		if (rc == 0)
			rc = put_record(m, item, node, ingress, err);
	rc = rc < 0 ? rc : put_service(m, ingress, node, err);
	rc = rc < 0 ? rc : put(m, INTAKE_POOL, config_object("pool", "addresses", range_list), err);
	rc = rc < 0 ? rc : put(m, INTAKE_ADVERTISEMENT, config_object("ad", "interfaces", interfaces), err);
	json_decref(ingress);
	if (rc < 0)
		return rc;
	m->own = model_node_record(m, node);
	return m->own ? 0 : error_set(err, -EINVAL, "our own links are missing");
}

int saved_state_decode(const char *text, const char *node, struct model **mp, struct error *err)
{
	json_error_t where;
	json_t *state = json_loads(text, 0, &where);
	if (!state)
		return error_set(err, -EINVAL, "not JSON (line %d)", where.line);
	struct model *m = mem_zalloc(sizeof(*m));
	model_init(m, "", true);
	m->services_synced = m->slices_synced = m->nodes_synced = m->records_synced = m->pools_synced = m->advertisements_synced = true;
	int rc = fill(m, state, node, err);
	json_decref(state);
	if (rc < 0) {
		model_free(m);
		free(m);
		return rc;
	}
	*mp = m;
	return 0;
}
