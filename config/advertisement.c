#include "config/advertisement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static int decode_preference(const json_t *item, struct node_preference *p, struct error *err)
{
	const json_t *weight = json_object_get(item, "weight");
	p->weight = (int)json_integer_value(weight);
	if (!json_is_integer(weight) || json_integer_value(weight) < 1 || json_integer_value(weight) > 100)
		return error_set(err, -EINVAL, "weight must be a whole number from 1 to 100");
	int rc = selector_decode(json_object_get(item, "preference"), &p->selector, err);
	if (rc < 0)
		error_prefix(err, "preference");
	return rc;
}

static int decode_preferences(const json_t *list, const char *field, struct advertisement *ad, struct error *err)
{
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return error_set(err, -EINVAL, "%s must be a list of weights with preferences", field);
	ad->preferences = mem_zalloc(json_array_size(list) * sizeof(*ad->preferences));
	for (size_t i = 0; i < json_array_size(list); i++) {
		int rc = decode_preference(json_array_get(list, i), &ad->preferences[i], err);
		if (rc < 0) {
			error_prefix(err, "%s[%zu]", field, i);
			return rc;
		}
		ad->n_preferences++;
	}
	return 0;
}

static int decode_spec(const json_t *spec, struct advertisement *ad, struct error *err)
{
	if (!spec || json_is_null(spec))
		return 0;
	if (!json_is_object(spec))
		return error_set(err, -EINVAL, "spec must be an object");
	int rc = strings_decode_unique(json_object_get(spec, "ipAddressPools"), "spec.ipAddressPools", &ad->pools, &ad->n_pools, err);
	if (rc == 0)
		rc = selectors_decode(json_object_get(spec, "ipAddressPoolSelectors"), "spec.ipAddressPoolSelectors", &ad->pool_selectors, err);
	if (rc == 0)
		rc = selectors_decode(json_object_get(spec, "nodeSelectors"), "spec.nodeSelectors", &ad->node_selectors, err);
	if (rc == 0)
		rc = selectors_decode(json_object_get(spec, "serviceSelectors"), "spec.serviceSelectors", &ad->service_selectors, err);
	if (rc == 0)
		rc = strings_decode(json_object_get(spec, "interfaces"), "spec.interfaces", &ad->interfaces, &ad->n_interfaces, err);
	return rc < 0 ? rc : decode_preferences(json_object_get(spec, "preferredNodeSelectors"), "spec.preferredNodeSelectors", ad, err);
}

int advertisement_decode(const json_t *object, struct advertisement **adp, struct error *err)
{
	struct advertisement *ad = mem_zalloc(sizeof(*ad));
	int rc = object_meta_decode(object, &ad->meta, err);
	if (rc == 0)
		rc = decode_spec(json_object_get(object, "spec"), ad, err);
	if (rc < 0) {
		const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
		error_prefix(err, "L2Advertisement %s", name && *name ? name : "without a name");
		advertisement_free(ad);
		return rc;
	}
	*adp = ad;
	return 0;
}

struct advertisement *advertisement_for_all(void)
{
	struct advertisement *ad = mem_zalloc(sizeof(*ad));
	ad->meta.name_space = mem_strdup("");
	ad->meta.name = mem_strdup("--pool");
	ad->meta.key = mem_strdup("--pool");
	ad->meta.uid = mem_strdup("");
	ad->meta.resource_version = mem_strdup("");
	ad->meta.created = mem_strdup("");
	return ad;
}

void advertisement_free(struct advertisement *ad)
{
	if (!ad)
		return;
	object_meta_free(&ad->meta);
	strings_free(ad->pools, ad->n_pools);
	selectors_free(&ad->pool_selectors);
	selectors_free(&ad->node_selectors);
	selectors_free(&ad->service_selectors);
	strings_free(ad->interfaces, ad->n_interfaces);
	for (size_t i = 0; i < ad->n_preferences; i++)
		selector_free(&ad->preferences[i].selector);
	free(ad->preferences);
	free(ad);
}

bool advertisement_selects_pool(const struct advertisement *ad, const struct object_meta *pool)
{
	if (ad->n_pools == 0 && ad->pool_selectors.n == 0)
		return true;
	return strings_contain(ad->pools, ad->n_pools, pool->name) ||
	       selectors_match(&ad->pool_selectors, &pool->labels, false);
}

bool advertisement_selects_node(const struct advertisement *ad, const struct labels *node_labels)
{
	return selectors_match(&ad->node_selectors, node_labels, true);
}

bool advertisement_selects_service(const struct advertisement *ad, const struct labels *service_labels)
{
	return selectors_match(&ad->service_selectors, service_labels, true);
}

int advertisement_score(const struct advertisement *ad, const struct labels *node_labels)
{
	int score = 0;
	if (!advertisement_selects_node(ad, node_labels))
		return 0;
	for (size_t i = 0; i < ad->n_preferences; i++)
		if (selector_matches(&ad->preferences[i].selector, node_labels))
			score += ad->preferences[i].weight;
	return score;
}
