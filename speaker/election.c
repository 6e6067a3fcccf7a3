#include "speaker/election.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "speaker/names.h"


const char *election_refusal_text(enum election_refusal refusal)
{
	static const char *const TEXTS[] = {"eligible", "serviceDeleted", "noEndpoints", "noMatchingAdvertisement", "nodeUnknown", "nodeExcluded", "noLink"};
	return TEXTS[refusal];
}

void election_hash(const char *node, const struct address *a, uint8_t hash[SHA256_SIZE])
{
	char text[ADDRESS_TEXT], input[256 + ADDRESS_TEXT]; /* a node's name has at most 253 bytes */
	int n = snprintf(input, sizeof(input), "%s#%s", node, address_format(a, text));
	sha256(input, (size_t)n < sizeof(input) ? (size_t)n : sizeof(input) - 1, hash);
}

/* A status that names another address, and not this one, means that the Service is moving away from it. Before there is a
 * status the record itself is enough: the speaker starts early. */
static bool uses(const struct model *m, const struct service *s, const struct record *r)
{
	return model_is_ours(m, s) && record_names(r, s->meta.key, s->meta.uid) &&
	       (s->n_ingress == 0 || service_has_ingress(s, &r->address));
}

const struct service *election_user(const struct model *m, const struct record *r)
{
	for (size_t i = 0; i < r->n_services; i++) {
		const struct service *s = model_service(m, r->services[i]);
		if (s && uses(m, s, r))
			return s;
	}
	return NULL;
}

const struct object_meta *election_pool(const struct model *m, const struct address *a, const struct service *s)
{
	const struct pool *pool = model_pool_of(m, a);
	return pool ? &pool->meta : pool_table_unused(&m->pools, labels_get(&s->meta.annotations, ANNOTATION_FROM_POOL));
}

/* Advertisements that cover pool, Service and node. */
static size_t covering(const struct model *m, const struct object_meta *pool, const struct service *s, const struct labels *node_labels,
		       const struct advertisement **out, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < m->n_advertisements && n < max; i++) {
		const struct advertisement *ad = m->advertisements[i];
		if (advertisement_selects_pool(ad, pool) && advertisement_selects_service(ad, &s->meta.labels) &&
		    advertisement_selects_node(ad, node_labels))
			out[n++] = ad;
	}
	return n;
}

#define ADS_MAX 64

/* makeshiftp may be NULL: whether these are links by default of which none has the subnet. */
static size_t links_of(const struct advertisement *const *ads, size_t n_ads, const struct address *a, const struct node_record *node,
		       const struct node_link **links, size_t max, bool *makeshiftp)
{
	bool any = false, any_named = false;
	size_t n = 0, in_subnet = 0;
	const struct node_link *all[ELECTION_LINKS];
	for (size_t i = 0; i < n_ads; i++)
		any |= ads[i]->n_interfaces == 0;
	for (size_t i = 0; i < node->n_links && n < ELECTION_LINKS; i++) {
		const struct node_link *l = &node->links[i];
		bool named = false;
		for (size_t j = 0; j < n_ads; j++)
			named |= strings_contain(ads[j]->interfaces, ads[j]->n_interfaces, l->name);
		any_named |= named;
		if (named || (any && l->by_default))
			all[n++] = l;
	}
	for (size_t i = 0; i < n && in_subnet < max; i++)
		for (size_t j = 0; j < all[i]->n_addresses; j++)
			if (all[i]->addresses[j].length < 32 && address_prefix_contains(&all[i]->addresses[j], a)) {
				links[in_subnet++] = all[i];
				break;
			}
	if (makeshiftp)
		*makeshiftp = !in_subnet && !any_named;
	if (in_subnet)
		return in_subnet;
	n = n < max ? n : max;
	memcpy(links, all, n * sizeof(*links));
	return n;
}

/* Both families of a Service go by the hash of the first address that it shows (MetalLB). */
static const struct address *hashed(const struct model *m, const struct record *r)
{
	const struct service *s = election_user(m, r);
	return s && s->n_ingress ? &s->ingress[0] : &r->address;
}

/* Everything about one node and address; fills the candidate when it is eligible. */
static enum election_refusal examine(const struct model *m, const struct record *r, const struct service *s, const struct node *node,
				     struct candidate *out)
{
	const struct object_meta *pool = election_pool(m, &r->address, s);
	const struct advertisement *ads[ADS_MAX];
	const struct node_record *record = model_links_of(m, node->meta.name);
	const struct node_link *link;
	bool makeshift;
	if (node->network_unavailable || (!m->ignore_exclude_label && labels_get(&node->meta.labels, LABEL_EXCLUDE)))
		return ELECTION_NODE_EXCLUDED;
	size_t n_ads = pool ? covering(m, pool, s, &node->meta.labels, ads, ADS_MAX) : 0;
	if (n_ads == 0)
		return ELECTION_NO_ADVERTISEMENT;
	if (!model_has_endpoint(m, s->meta.key, s->local ? node->meta.name : NULL))
		return ELECTION_NO_ENDPOINT;
	if (!record || links_of(ads, n_ads, &r->address, record, &link, 1, &makeshift) == 0)
		return ELECTION_NO_LINK;
	if (out) {
		*out = (struct candidate){.node = node->meta.name, .link = link, .makeshift = makeshift, .place = SPREAD_ROOM,
					  .draining = record->draining || node->cordoned,
					  .ending = s->local && !model_has_lasting_endpoint(m, s->meta.key, node->meta.name)};
		for (size_t i = 0; i < n_ads; i++)
			out->score += advertisement_score(ads[i], &node->meta.labels);
		election_hash(node->meta.name, hashed(m, r), out->hash);
	}
	return ELECTION_ELIGIBLE;
}

/* Services that share an address have the same policy and pool (the allocator sees to it), but endpoints of their own: a
 * node is as good as its best. */
static enum election_refusal examine_all(const struct model *m, const struct record *r, const struct node *node, struct candidate *out)
{
	enum election_refusal refusal = ELECTION_NO_SERVICE;
	bool eligible = false;
	if (r->address.family != ADDRESS_V4)   /* NDP comes later; the allocator says so to the user */
		return ELECTION_NO_LINK;
	for (size_t i = 0; i < r->n_services; i++) {
		const struct service *s = model_service(m, r->services[i]);
		if (!s || !uses(m, s, r))
			continue;
		struct candidate one;
		refusal = examine(m, r, s, node, out ? &one : NULL);
		if (refusal != ELECTION_ELIGIBLE)
			continue;
		if (!eligible && out)   /* the first decides about links (election_links) */
			*out = one;
		eligible = true;
		if (!out || !one.ending) {
			if (out)
				out->ending = false;
			break;
		}
	}
	return eligible ? ELECTION_ELIGIBLE : refusal;
}

enum election_refusal election_check(const struct model *m, const struct record *r, const char *node)
{
	const struct node *n = model_node(m, node);
	return n ? examine_all(m, r, n, NULL) : ELECTION_NO_NODE;
}

/* What goes before place and hash: two of whom this gives 0 are equally good homes for the address. */
static int by_fitness(const struct candidate *x, const struct candidate *y)
{
	if (x->makeshift != y->makeshift)
		return x->makeshift - y->makeshift;
	if (x->draining != y->draining)
		return x->draining - y->draining;
	if (x->ending != y->ending)
		return x->ending - y->ending;
	return (y->score > x->score) - (y->score < x->score);
}

static int preference(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int fitness = by_fitness(x, y);
	if (fitness != 0)
		return fitness;
	if (x->place != y->place)
		return (x->place > y->place) - (x->place < y->place);
	return memcmp(x->hash, y->hash, SHA256_SIZE);
}

/* ---- new addresses ---- */

/* Nobody ever had it, as far as anybody knows: it may go where there is room. Anything else keeps to the plain order. */
bool election_is_new(const struct record *r)
{
	return !*r->holder && r->epoch == 0 && !r->found;
}

/* All eligible nodes in plain order; room for as many as there are nodes. */
static size_t plain_candidates(const struct model *m, const struct record *r, struct candidate *list)
{
	struct node_entry *e, *tmp;
	size_t n = 0;
	HASH_ITER(hh, m->nodes, e, tmp)
		if (examine_all(m, r, e->node, &list[n]) == ELECTION_ELIGIBLE)
			list[n++].number = e->number;
	qsort(list, n, sizeof(*list), preference);
	return n;
}

/* Who has the other family of the record's Service; SPREAD_NOBODY, perhaps with *followsp: nobody yet. */
static uint32_t partner_of(const struct model *m, const struct record *r, const struct address **followsp)
{
	const struct service *s = election_user(m, r);
	const struct address *named;
	size_t n = s ? model_records_naming(m, s->meta.key, &named) : 0;
	*followsp = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct record *other = model_record(m, &named[i]);
		struct node_entry *e;
		if (!other || other->address.family == r->address.family || !uses(m, s, other))
			continue;
		HASH_FIND_STR(m->nodes, other->holder, e);
		if (e)
			return e->number;
		if (election_is_new(other) && address_compare(&other->address, &r->address) < 0)
			*followsp = &named[i];
	}
	return SPREAD_NOBODY;
}

static void offer(const struct model *m, const struct record *r, struct candidate *list, uint32_t *numbers)
{
	const struct address *follows;
	size_t n = plain_candidates(m, r, list), equal = 0;
	while (equal < n && by_fitness(&list[0], &list[equal]) == 0) {
		numbers[equal] = list[equal].number;
		equal++;
	}
	uint32_t partner = partner_of(m, r, &follows);
	spread_offer(m->spread, &r->address, numbers, equal, partner, follows);
}

static int by_address(const void *a, const void *b)
{
	return address_compare(&(*(const struct record *const *)a)->address, &(*(const struct record *const *)b)->address);
}

/* Worked out when the first new address is asked about, once for each revision of the model. */
static const struct spread *spread_of(const struct model *m)
{
	struct node_entry *e, *e_tmp;
	struct record_entry *r, *r_tmp;
	uint32_t n_nodes = 0;
	size_t n = 0;
	if (spread_is_of(m->spread, m->revision))
		return m->spread;
	HASH_ITER(hh, m->nodes, e, e_tmp)
		e->number = n_nodes++;
	spread_begin(m->spread, m->revision, n_nodes);
	const struct record **fresh = mem_zalloc(HASH_COUNT(m->records) * sizeof(*fresh));
	HASH_ITER(hh, m->records, r, r_tmp) {
		const char *holder = *r->record->holder || !r->claimed || !m->own ? r->record->holder : m->own->node;
		HASH_FIND_STR(m->nodes, holder, e);
		if (e)
			spread_hold(m->spread, e->number);
		else if (election_is_new(r->record))
			fresh[n++] = r->record;
	}
	qsort(fresh, n, sizeof(*fresh), by_address);
	struct candidate *list = mem_zalloc(n_nodes * sizeof(*list));
	uint32_t *numbers = mem_zalloc(n_nodes * sizeof(*numbers));
	for (size_t i = 0; i < n; i++)
		offer(m, fresh[i], list, numbers);
	free(numbers);
	free(list);
	free(fresh);
	spread_assign(m->spread);
	return m->spread;
}

/* ---- questions ---- */

bool election_awaits(const struct model *m, const struct record *r, const char *node)
{
	struct node_entry *e, *tmp;
	uint8_t ours[SHA256_SIZE], theirs[SHA256_SIZE];
	const struct node_record *record = model_links_of(m, node);
	HASH_FIND_STR(m->nodes, node, e);
	if (e && election_is_new(r) && spread_place(spread_of(m), &r->address, e->number) == SPREAD_PARTNER)
		return false;
	bool leaves = (e && e->node->cordoned) || (record && record->draining);
	election_hash(node, hashed(m, r), ours);
	HASH_ITER(hh, m->nodes, e, tmp) {
		const char *name = e->node->meta.name;
		if (strcmp(name, node) == 0 || (e->node->cordoned && !leaves) || model_node_record(m, name) || examine_all(m, r, e->node, NULL) != ELECTION_NO_LINK)
			continue;
		election_hash(name, hashed(m, r), theirs);
		if ((leaves && !e->node->cordoned) || memcmp(theirs, ours, sizeof(ours)) < 0)
			return true;
	}
	return false;
}

size_t election_candidates(const struct model *m, const struct record *r, struct candidate **listp)
{
	struct candidate *list = mem_zalloc(HASH_COUNT(m->nodes) * sizeof(*list));
	const struct spread *spread = election_is_new(r) ? spread_of(m) : NULL;   /* it numbers the nodes: first */
	size_t n = plain_candidates(m, r, list);
	for (size_t i = 0; spread && i < n; i++)
		list[i].place = spread_place(spread, &r->address, list[i].number);
	if (spread)
		qsort(list, n, sizeof(*list), preference);
	*listp = list;
	return n;
}

/* The links of the Service that makes the node eligible, as examine_all has it; else of the first that uses the address. */
size_t election_links(const struct model *m, const struct record *r, const struct node_record *node, const struct node_link **links, size_t max)
{
	const struct advertisement *ads[ADS_MAX];
	const struct node *n = model_node(m, node->node);
	const struct service *chosen = NULL;
	for (size_t i = 0; n && i < r->n_services; i++) {
		const struct service *s = model_service(m, r->services[i]);
		if (!s || !uses(m, s, r))
			continue;
		bool eligible = examine(m, r, s, n, NULL) == ELECTION_ELIGIBLE;
		if (eligible || !chosen)
			chosen = s;
		if (eligible)
			break;
	}
	const struct object_meta *pool = chosen ? election_pool(m, &r->address, chosen) : NULL;
	return pool ? links_of(ads, covering(m, pool, chosen, &n->meta.labels, ads, ADS_MAX), &r->address, node, links, max, NULL) : 0;
}
