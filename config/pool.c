#include "config/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

/* ---- decoding ---- */

static int add_range(struct pool *pool, const char *text, struct error *err)
{
	struct address_range r;
	int rc = address_range_parse(text, &r, err);
	if (rc < 0)
		return rc;
	pool->ranges = mem_realloc(pool->ranges, (pool->n_ranges + 1) * sizeof(r));
	pool->ranges[pool->n_ranges++] = r;
	return 0;
}

static int by_first(const void *a, const void *b)
{
	const struct address_range *x = *(const struct address_range *const *)a, *y = *(const struct address_range *const *)b;
	int order = address_compare(&x->first, &y->first);
	return order ? order : (x > y) - (x < y);
}

/* Sorted, as a pool may have thousands of entries: if any two overlap, then two neighbours do. */
static int refuse_overlap(const struct pool *pool, struct error *err)
{
	const struct address_range **sorted = mem_zalloc(pool->n_ranges * sizeof(*sorted));
	int rc = 0;
	for (size_t i = 0; i < pool->n_ranges; i++)
		sorted[i] = &pool->ranges[i];
	qsort(sorted, pool->n_ranges, sizeof(*sorted), by_first);
	for (size_t i = 1; rc == 0 && i < pool->n_ranges; i++) {
		const struct address_range *a = sorted[i - 1], *b = sorted[i];
		char later[ADDRESS_RANGE_TEXT], earlier[ADDRESS_RANGE_TEXT];
		if (address_range_overlaps(a, b))
			rc = error_set(err, -EINVAL, "CIDR \"%s\" overlaps with already defined CIDR \"%s\" of the same pool; remove one of them",
				       address_range_format(a < b ? b : a, later), address_range_format(a < b ? a : b, earlier));
	}
	free(sorted);
	return rc;
}

static int decode_bool(const json_t *spec, const char *field, bool fallback, bool *valuep, struct error *err)
{
	const json_t *value = json_object_get(spec, field);
	*valuep = fallback;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_boolean(value))
		return error_set(err, -EINVAL, "spec.%s must be true or false", field);
	*valuep = json_is_true(value);
	return 0;
}

static int decode_allocation(const json_t *allocation, struct pool *pool, struct error *err)
{
	if (!allocation || json_is_null(allocation))
		return 0;
	if (!json_is_object(allocation))
		return error_set(err, -EINVAL, "spec.serviceAllocation must be an object");
	const json_t *priority = json_object_get(allocation, "priority");
	if (priority && !json_is_integer(priority) && !json_is_null(priority))
		return error_set(err, -EINVAL, "spec.serviceAllocation.priority must be a whole number");
	pool->restricted = true;
	pool->priority = json_integer_value(priority);
	int rc = strings_decode_unique(json_object_get(allocation, "namespaces"), "spec.serviceAllocation.namespaces",
				       &pool->namespaces, &pool->n_namespaces, err);
	if (rc == 0)
		rc = selectors_decode(json_object_get(allocation, "namespaceSelectors"), "spec.serviceAllocation.namespaceSelectors",
				      &pool->namespace_selectors, err);
	if (rc == 0)
		rc = selectors_decode(json_object_get(allocation, "serviceSelectors"), "spec.serviceAllocation.serviceSelectors",
				      &pool->service_selectors, err);
	return rc;
}

static int decode_addresses(const json_t *addresses, struct pool *pool, struct error *err)
{
	if (addresses && !json_is_array(addresses) && !json_is_null(addresses))
		return error_set(err, -EINVAL, "spec.addresses must be a list of strings; put a dash in front of each entry");
	if (json_array_size(addresses) == 0)
		return error_set(err, -EINVAL, "pool has no prefixes defined; give spec.addresses a CIDR or a range");
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		if (!text)
			return error_set(err, -EINVAL, "spec.addresses must be a list of strings; put quotes around its entry number %zu", i + 1);
		int rc = add_range(pool, text, err);
		if (rc < 0)
			return rc;
	}
	return refuse_overlap(pool, err);
}

static int decode_spec(const json_t *spec, struct pool *pool, struct error *err)
{
	if (spec && !json_is_object(spec) && !json_is_null(spec))
		return error_set(err, -EINVAL, "spec must be an object");
	int rc = decode_addresses(json_object_get(spec, "addresses"), pool, err);
	if (rc == 0)
		rc = decode_bool(spec, "autoAssign", true, &pool->auto_assign, err);
	if (rc == 0)
		rc = decode_bool(spec, "avoidBuggyIPs", false, &pool->avoid_buggy_ips, err);
	return rc < 0 ? rc : decode_allocation(json_object_get(spec, "serviceAllocation"), pool, err);
}

int pool_decode(const json_t *object, struct pool **poolp, struct error *err)
{
	struct pool *pool = mem_zalloc(sizeof(*pool));
	int rc = object_meta_decode(object, &pool->meta, err);
	if (rc == 0)
		rc = decode_spec(json_object_get(object, "spec"), pool, err);
	if (rc < 0) {
		const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
		error_prefix(err, "IPAddressPool %s", name && *name ? name : "without a name");
		pool_free(pool);
		return rc;
	}
	*poolp = pool;
	return 0;
}

/* ---- --pool flags ---- */

static int flag_bool(const char *name, const char *value, bool *valuep, struct error *err)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_set(err, -EINVAL, "%s must be true or false, not \"%.50s\"", name, value);
	*valuep = value[0] == 't';
	return 0;
}

static int flag_option(struct pool *pool, char *option, struct error *err)
{
	char *value = strchr(option, '=');
	*value++ = '\0';
	if (strcmp(option, "name") == 0 && *value) {
		mem_replace(&pool->meta.name, value);
		return 0;
	}
	if (strcmp(option, "autoAssign") == 0)
		return flag_bool(option, value, &pool->auto_assign, err);
	if (strcmp(option, "avoidBuggyIPs") == 0)
		return flag_bool(option, value, &pool->avoid_buggy_ips, err);
	return error_set(err, -EINVAL, "unknown pool option \"%.50s\" (name=NAME, autoAssign=true|false, avoidBuggyIPs=true|false)", option);
}

int pool_from_flag(const char *text, unsigned nth, struct pool **poolp, struct error *err)
{
	struct pool *pool = mem_zalloc(sizeof(*pool));
	char *copy = mem_strdup(text), *rest = copy, *part;
	int rc = 0;
	pool->auto_assign = true;
	pool->meta.name = nth == 1 ? mem_strdup("default-pool") : mem_printf("pool-%u", nth);
	while (rc == 0 && (part = strsep(&rest, ",")))
		rc = strchr(part, '=') ? flag_option(pool, part, err) : add_range(pool, part, err);
	if (rc == 0 && pool->n_ranges == 0)
		rc = error_set(err, -EINVAL, "no address range; write it as 192.168.1.100-192.168.1.150");
	free(copy);
	if (rc == 0)
		rc = refuse_overlap(pool, err);
	if (rc < 0) {
		pool_free(pool);
		return rc;
	}
	pool->meta.name_space = mem_strdup("");
	pool->meta.key = mem_strdup(pool->meta.name);
	pool->meta.uid = mem_strdup("");
	pool->meta.resource_version = mem_strdup("");
	pool->meta.created = mem_strdup("");
	*poolp = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	object_meta_free(&pool->meta);
	free(pool->ranges);
	strings_free(pool->namespaces, pool->n_namespaces);
	selectors_free(&pool->namespace_selectors);
	selectors_free(&pool->service_selectors);
	free(pool);
}

/* ---- questions ---- */

static bool is_buggy(const struct address *a)
{
	return a->family == ADDRESS_V4 && (a->bytes[3] == 0 || a->bytes[3] == 255);
}

bool pool_contains(const struct pool *pool, const struct address *a)
{
	if (pool->avoid_buggy_ips && is_buggy(a))
		return false;
	for (size_t i = 0; i < pool->n_ranges; i++)
		if (address_range_contains(&pool->ranges[i], a))
			return true;
	return false;
}

bool pool_overlaps(const struct pool *a, const struct pool *b)
{
	for (size_t i = 0; i < a->n_ranges; i++)
		for (size_t j = 0; j < b->n_ranges; j++)
			if (address_range_overlaps(&a->ranges[i], &b->ranges[j]))
				return true;
	return false;
}

/* How many of the range's IPv4 addresses end in .0 or .255. */
static int64_t buggy_in(const struct address_range *r)
{
	if (r->first.family != ADDRESS_V4)
		return 0;
	int64_t first = address_to_v4(&r->first), last = address_to_v4(&r->last);
	int64_t zeros = last / 256 - (first + 255) / 256 + 1;
	int64_t full = (last + 1) / 256 - (first + 256) / 256 + 1;
	return zeros + full;
}

int64_t pool_size(const struct pool *pool, enum address_family family)
{
	int64_t total = 0;
	for (size_t i = 0; i < pool->n_ranges; i++) {
		const struct address_range *r = &pool->ranges[i];
		if (family != ADDRESS_NONE && r->first.family != family)
			continue;
		int64_t n = address_range_size(r) - (pool->avoid_buggy_ips ? buggy_in(r) : 0);
		total = n > INT64_MAX - total ? INT64_MAX : total + n;
	}
	return total;
}

bool pool_admits(const struct pool *pool, const char *name_space, const struct labels *namespace_labels, const struct labels *service_labels)
{
	if (!pool->restricted)
		return true;
	if (pool->n_namespaces || pool->namespace_selectors.n) {
		bool named = strings_contain(pool->namespaces, pool->n_namespaces, name_space);
		bool selected = namespace_labels && selectors_match(&pool->namespace_selectors, namespace_labels, false);
		if (!named && !selected)
			return false;
	}
	return selectors_match(&pool->service_selectors, service_labels, true);
}

int pool_compare(const struct pool *a, const struct pool *b)
{
	if (a->restricted != b->restricted)
		return a->restricted ? -1 : 1;
	/* 0 means "no priority" and comes after all others, negative ones included. */
	if ((a->priority == 0) != (b->priority == 0))
		return a->priority == 0 ? 1 : -1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return strcmp(a->meta.name, b->meta.name);
}
