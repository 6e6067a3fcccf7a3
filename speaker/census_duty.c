#include "speaker/census_duty.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/map.h"
#include "speaker/election.h"

const struct census_duty_times CENSUS_DUTY_TIMES = {.silent = 180 * CLOCK_S};

struct rival {            /* or not: any node of the link but us */
	char *name;
	uint8_t hash[SHA256_SIZE];
	enum liveness_state state;
	int64_t asked_at;
	unsigned seen;        /* in this set */
	UT_hash_handle hh;
};

struct place {
	struct link_info info;
	struct address network;       /* family NONE: no address of its own to ask from */
	uint8_t ours[SHA256_SIZE];
	bool known;
	struct rival *nodes;
	struct rival **rivals;        /* those before us, best first */
	size_t n_rivals;
	unsigned set;
};

struct census_duty {
	const char *node;
	const struct census_duty_times *times;
	struct place *links;
	size_t n;
	uint64_t hashes;
};

struct census_duty *census_duty_new(const char *node, const struct census_duty_times *times)
{
	struct census_duty *d = mem_zalloc(sizeof(*d));
	d->node = node;
	d->times = times;
	return d;
}

static void rival_free(struct place *p, struct rival *r)
{
	HASH_DEL(p->nodes, r);
	free(r->name);
	free(r);
}

static void place_clear(struct place *p)
{
	struct rival *r, *tmp;
	HASH_ITER(hh, p->nodes, r, tmp)
		rival_free(p, r);
	free(p->rivals);
	*p = (struct place){0};
}

void census_duty_free(struct census_duty *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		place_clear(&d->links[i]);
	free(d->links);
	free(d);
}

static void hash(struct census_duty *d, const char *node, const struct place *p, uint8_t out[SHA256_SIZE])
{
	election_hash(node, &p->network, out);
	d->hashes++;
}

static struct address network_of(const struct link_info *link)
{
	uint32_t own = link_own_address(link);
	for (size_t i = 0; own && i < link->n_addresses; i++)
		if (link->addresses[i].address.family == ADDRESS_V4 && address_to_v4(&link->addresses[i].address) == own)
			return address_from_v4(own & ~(uint32_t)((UINT64_C(1) << (32 - link->addresses[i].length)) - 1));
	return (struct address){.family = ADDRESS_NONE};
}

/* What is known of the same network stays, wherever the link stood and whatever it was called. */
void census_duty_set_links(struct census_duty *d, const struct link_info *const *links, size_t n)
{
	struct place *all = mem_zalloc(n * sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		struct address network = network_of(links[i]);
		for (size_t j = 0; j < d->n; j++)
			if (d->links[j].info.index == links[i]->index && address_equal(&d->links[j].network, &network)) {
				all[i] = d->links[j];
				d->links[j] = (struct place){0};
				break;
			}
		all[i].info = *links[i];
		if (!address_equal(&all[i].network, &network)) {
			all[i].network = network;
			hash(d, d->node, &all[i], all[i].ours);
		}
	}
	for (size_t j = 0; j < d->n; j++)
		place_clear(&d->links[j]);
	free(d->links);
	d->links = all;
	d->n = n;
}

static int by_hash(const void *a, const void *b)
{
	const struct rival *x = *(struct rival *const *)a, *y = *(struct rival *const *)b;
	return memcmp(x->hash, y->hash, sizeof(x->hash));
}

void census_duty_set_nodes(struct census_duty *d, size_t link, bool known, const char *const *nodes, size_t n)
{
	struct place *p = &d->links[link];
	struct rival *r, *tmp;
	p->known = known;
	p->set++;
	for (size_t i = 0; p->network.family != ADDRESS_NONE && i < n; i++) {
		HASH_FIND_STR(p->nodes, nodes[i], r);
		if (strcmp(nodes[i], d->node) == 0)
			continue;
		if (!r) {
			r = mem_zalloc(sizeof(*r));
			r->name = mem_strdup(nodes[i]);
			r->asked_at = INT64_MIN;
			hash(d, r->name, p, r->hash);
			HASH_ADD_KEYPTR(hh, p->nodes, r->name, strlen(r->name), r);
		}
		r->seen = p->set;
	}
	free(p->rivals);
	p->rivals = mem_zalloc(HASH_COUNT(p->nodes) * sizeof(struct rival *));
	p->n_rivals = 0;
	HASH_ITER(hh, p->nodes, r, tmp) {
		if (r->seen != p->set)
			rival_free(p, r);
		else if (memcmp(r->hash, p->ours, sizeof(p->ours)) < 0)
			p->rivals[p->n_rivals++] = r;
	}
	if (p->n_rivals)
		qsort(p->rivals, p->n_rivals, sizeof(struct rival *), by_hash);
}

size_t census_duty_rivals(const struct census_duty *d, size_t link)
{
	return d->links[link].n_rivals;
}

const char *census_duty_rival(const struct census_duty *d, size_t link, size_t rival)
{
	return d->links[link].rivals[rival]->name;
}

void census_duty_heard(struct census_duty *d, size_t link, size_t rival, enum liveness_state state, int64_t asked_at)
{
	d->links[link].rivals[rival]->state = state;
	d->links[link].rivals[rival]->asked_at = asked_at;
}

bool census_duty_asks(const struct census_duty *d, size_t link, int64_t now)
{
	const struct place *p = &d->links[link];
	if (p->network.family == ADDRESS_NONE || !p->known)
		return false;
	for (size_t i = 0; i < p->n_rivals; i++) {
		const struct rival *r = p->rivals[i];
		/* Whom others watch has to be heard asking. */
		if (r->state == LIVENESS_ALIVE || (r->state == LIVENESS_UNKNOWN && r->asked_at >= now - d->times->silent))
			return false;
	}
	return true;
}

bool census_duty_looks_after(const struct census_duty *d, size_t link, const struct address *a, const char *seen_on)
{
	if (seen_on)
		return strcmp(seen_on, d->links[link].info.name) == 0;
	if (link_has_subnet_of(&d->links[link].info, a))
		return true;
	for (size_t i = 0; i < d->n; i++)
		if (link_has_subnet_of(&d->links[i].info, a))
			return false;
	return link == 0;
}

uint64_t census_duty_hashes(const struct census_duty *d)
{
	return d->hashes;
}
