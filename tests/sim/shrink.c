#include "tests/sim/shrink.h"

#include <string.h>

#define TWISTS 4      /* with so many kinds of luck each */
#define TRIES_MAX 400

static unsigned tries;

/* Fails in the same way with some luck: then *s and *o are it. */
static bool still_wrong(struct schedule *s, struct outcome *o, const struct schedule *smaller)
{
	for (unsigned i = 0; i < TWISTS && tries < TRIES_MAX; i++) {
		struct schedule candidate = *smaller;
		struct outcome result;
		candidate.twist = smaller->twist + i;
		tries++;
		run_schedule(&candidate, false, &result);
		if (strcmp(result.kind, o->kind) == 0) {
			*s = candidate;
			*o = result;
			return true;
		}
	}
	return false;
}

static bool drop_faults(struct schedule *s, struct outcome *o)
{
	bool any = false;
	for (unsigned i = 0; i < s->n_faults; i++) {
		struct schedule smaller = *s;
		smaller.dropped |= UINT64_C(1) << i;
		any |= schedule_has(s, i) && still_wrong(s, o, &smaller);
	}
	return any;
}

static bool drop_nodes(struct schedule *s, struct outcome *o)
{
	bool any = false;
	unsigned left = s->nodes - (unsigned)__builtin_popcountll(s->dropped_nodes), least = s->row->least;
	for (unsigned i = s->nodes; i-- > 1 && left > least;) {
		struct schedule smaller = *s;
		smaller.dropped_nodes |= UINT64_C(1) << i;
		if ((s->dropped_nodes >> i & 1) || !still_wrong(s, o, &smaller))
			continue;
		any = true;
		left--;
	}
	return any;
}

static bool drop_addresses(struct schedule *s, struct outcome *o)
{
	bool any = false;
	for (unsigned n = s->addresses / 2; n > 0; n = s->addresses / 2) {
		struct schedule smaller = *s;
		smaller.addresses = n;
		if (s->controllers || !still_wrong(s, o, &smaller))
			return any;
		any = true;
	}
	return any;
}

void shrink(struct schedule *s, struct outcome *o)
{
	bool any = true;
	tries = 0;
	while (any && tries < TRIES_MAX) {
		any = drop_faults(s, o);
		any |= drop_addresses(s, o);
		any |= drop_nodes(s, o);
	}
}

void shrink_print_arguments(const struct schedule *s, FILE *out)
{
	struct schedule whole;
	schedule_draw(&whole, s->seed, s->row);
	fprintf(out, "--seed %llu --row %s", (unsigned long long)s->seed, s->row->name);
	if (s->dropped)
		fprintf(out, " --without-faults 0x%llx", (unsigned long long)s->dropped);
	if (s->dropped_nodes)
		fprintf(out, " --without-nodes 0x%llx", (unsigned long long)s->dropped_nodes);
	if (s->addresses != whole.addresses)
		fprintf(out, " --addresses %u", s->addresses);
	if (s->twist)
		fprintf(out, " --twist %u", s->twist);
}
