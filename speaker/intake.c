#include "speaker/intake.h"

#include <errno.h>
#include <string.h>

const char *intake_kind_name(enum intake_kind kind)
{
	static const char *const NAMES[INTAKE_KINDS] = {"Service", "EndpointSlice", "Node", "Namespace", "Lease", "IPAddressPool", "L2Advertisement"};
	return NAMES[kind];
}

static int put_service(struct model *m, const json_t *object, struct error *err)
{
	struct service *s;
	int rc = service_decode(object, &s, err);
	if (rc == 0)
		model_put_service(m, s);
	return rc;
}

static int put_slice(struct model *m, const json_t *object, struct error *err)
{
	struct endpoint_slice *s;
	int rc = endpoint_slice_decode(object, &s, err);
	if (rc == 0)
		model_put_slice(m, s);
	return rc;
}

static int put_node(struct model *m, const json_t *object, struct error *err)
{
	struct node *n;
	int rc = node_decode(object, &n, err);
	if (rc == 0)
		model_put_node(m, n);
	return rc;
}

static int put_namespace(struct model *m, const json_t *object, struct error *err)
{
	struct object_meta meta;
	int rc = object_meta_decode(object, &meta, err);
	if (rc == 0)
		model_put_namespace(m, &meta);
	return rc;
}

static int put_lease_of(struct model *m, const struct lease *lease, bool confirmed, struct error *err)
{
	struct record *record;
	struct node_record *node_record;
	struct foreign_record *foreign;
	struct address a;
	int rc = 0;
	if (record_decode(lease, &record)) {
		model_put_record(m, record, confirmed);
	} else if (foreign_record_address(lease->meta.name, &a)) {
		rc = confirmed ? foreign_record_decode(lease, &foreign, err) : 0;
		if (confirmed && rc == 0)
			model_put_foreign(m, foreign);
	} else if (strncmp(lease->meta.name, "node-", 5) == 0) {
		rc = node_record_decode(lease, &node_record, err);
		if (rc == 0)
			model_put_node_record(m, node_record, confirmed);
	}
	return rc;
}

static int put_lease(struct model *m, const json_t *object, bool confirmed, struct error *err)
{
	struct lease *lease;
	int rc = lease_decode(object, &lease, err);
	if (rc < 0)
		return rc;
	rc = put_lease_of(m, lease, confirmed, err);
	lease_free(lease);
	return rc;
}

/* The object stays as it last was good; that it is not as it should be is in the model. */
static void put_malformed(struct model *m, enum intake_kind kind, const json_t *object, const char *why)
{
	struct object_meta meta;
	if (object_meta_decode(object, &meta, NULL) < 0)
		return;
	if (kind == INTAKE_POOL)
		model_put_malformed_pool(m, &meta, why);
	else
		model_put_malformed_advertisement(m, &meta, why);
	object_meta_free(&meta);
}

static int64_t counter(const json_t *status, const char *field)
{
	return json_integer_value(json_object_get(status, field));
}

static int put_pool(struct model *m, const json_t *object, struct error *err)
{
	struct pool *pool;
	const json_t *status = json_object_get(object, "status");
	struct pool_counters shown = {.known = json_object_get(status, "assignedIPv4") != NULL, .assigned_v4 = counter(status, "assignedIPv4"),
				      .assigned_v6 = counter(status, "assignedIPv6"), .available_v4 = counter(status, "availableIPv4"),
				      .available_v6 = counter(status, "availableIPv6")};
	const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
	int rc = pool_decode(object, &pool, err);
	if (rc == 0)
		model_put_pool(m, pool);
	else
		put_malformed(m, INTAKE_POOL, object, err->text);
	if (name)
		pool_table_put_counters(&m->pools, name, &shown);
	m->revision++;
	return rc;
}

static int put_advertisement(struct model *m, const json_t *object, struct error *err)
{
	struct advertisement *ad;
	int rc = advertisement_decode(object, &ad, err);
	if (rc == 0)
		model_put_advertisement(m, ad);
	else
		put_malformed(m, INTAKE_ADVERTISEMENT, object, err->text);
	return rc;
}

int intake_put(struct model *m, enum intake_kind kind, const json_t *object, bool confirmed, struct error *err)
{
	switch (kind) {
	case INTAKE_SERVICE:
		return put_service(m, object, err);
	case INTAKE_SLICE:
		return put_slice(m, object, err);
	case INTAKE_NODE:
		return put_node(m, object, err);
	case INTAKE_NAMESPACE:
		return put_namespace(m, object, err);
	case INTAKE_LEASE:
		return put_lease(m, object, confirmed, err);
	case INTAKE_POOL:
		return put_pool(m, object, err);
	case INTAKE_ADVERTISEMENT:
		return put_advertisement(m, object, err);
	case INTAKE_KINDS:
		break;
	}
	return -EINVAL;
}

static void drop_lease(struct model *m, const char *name)
{
	struct address a;
	if (record_address(name, &a))
		model_drop_record(m, &a);
	else if (foreign_record_address(name, &a))
		model_drop_foreign(m, &a);
	else
		model_drop_node_record(m, name);
}

void intake_drop(struct model *m, enum intake_kind kind, const char *key)
{
	const char *slash = strchr(key, '/'), *name = slash ? slash + 1 : key;
	switch (kind) {
	case INTAKE_SERVICE:
		model_drop_service(m, key);
		break;
	case INTAKE_SLICE:
		model_drop_slice(m, key);
		break;
	case INTAKE_NODE:
		model_drop_node(m, name);
		break;
	case INTAKE_NAMESPACE:
		model_drop_namespace(m, name);
		break;
	case INTAKE_LEASE:
		drop_lease(m, name);
		break;
	case INTAKE_POOL:
		model_drop_pool(m, name);
		break;
	case INTAKE_ADVERTISEMENT:
		model_drop_advertisement(m, name);
		break;
	case INTAKE_KINDS:
		break;
	}
}
