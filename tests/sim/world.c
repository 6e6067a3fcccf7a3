#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"

struct world world;

static void init_host(unsigned i, const char *kind, uint64_t seed, uint32_t address)
{
	struct host *h = &world.hosts[i];
	*h = (struct host){.index = i, .is_node = i < world.n_nodes, .address = address, .powered = true, .carrier = true, .carrier_ups = 1};
	h->mac = (struct mac){{0x02, 0, 0, 0, 0, (uint8_t)(i + 1)}};
	if (h->is_node)
		snprintf(h->name, sizeof(h->name), "%s%u-%x", kind, i, (unsigned)(seed & 0xffff));
	else
		snprintf(h->name, sizeof(h->name), "%s", kind);
}

void world_begin(uint64_t seed, unsigned n_nodes, unsigned n_addresses)
{
	bool verbose = world.verbose;
	memset(&world, 0, sizeof(world));
	world.verbose = verbose;
	world.chance.state = seed * 0x2545f4914f6cdd1du + 1;
	world.n_nodes = n_nodes;
	world.n_hosts = n_nodes + 2 + STRANGERS;
	world.gateway = n_nodes;
	world.client = n_nodes + 1;
	world.strangers = n_nodes + 2;
	world.n_addresses = n_addresses;
	world.interval = 100 * CLOCK_MS;
	world.watch_min = 3 * CLOCK_MS;
	world.watch_max = 30 * CLOCK_MS;
	for (unsigned i = 0; i < n_nodes; i++)
		init_host(i, "n", seed, NODE_NET + 10 + i);
	init_host(world.gateway, "gateway", seed, NODE_NET + 1);
	init_host(world.client, "client", seed, NODE_NET + 2);
	for (unsigned i = world.strangers; i < world.n_hosts; i++) {
		init_host(i, "stranger", seed, 0);
		world.hosts[i].powered = false;
	}
	for (unsigned i = 0; i < n_nodes; i++) {
		world.hosts[i].offset = chance_between(&world.chance, 100 * CLOCK_S, 100000 * CLOCK_S);
		world.hosts[i].drift = chance_between(&world.chance, -100, 100);
	}
	for (unsigned i = 0; i < n_addresses; i++)
		world.addresses[i] = POOL_FIRST + i;
}

void world_end(void)
{
	agenda_free(&world.agenda);
	world.here = NULL;
}

void world_at(int64_t at, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg)
{
	agenda_add(&world.agenda, at > world.now ? at : world.now, run, data, arg);
}

void world_run(int64_t until)
{
	while (world.agenda.n && world.agenda.heap[0].at <= until && !world.wrong) {
		struct happening h = agenda_take(&world.agenda);
		world.now = h.at;
		h.run(h.data, h.arg);
	}
	if (!world.wrong)
		world.now = until;
}

struct host *world_host_of_mac(const struct mac *mac)
{
	unsigned i = mac->bytes[5] - 1u;
	return i < world.n_hosts && mac_equal(mac, &world.hosts[i].mac) ? &world.hosts[i] : NULL;
}

struct host *world_node(const char *name)
{
	for (unsigned i = 0; i < world.n_nodes; i++)
		if (strcmp(world.hosts[i].name, name) == 0)
			return &world.hosts[i];
	return NULL;
}

int64_t world_local(const struct host *h, int64_t at)
{
	return h->offset + at + at / 1000 * h->drift / 1000;
}

int64_t world_global(const struct host *h, int64_t at)
{
	int64_t local = at - h->offset, global = local - local / 1000 * h->drift / 1000;
	while (world_local(h, global) < at)
		global++;
	return global;
}

void world_wrong(const char *kind, const char *format, ...)
{
	va_list arguments;
	if (world.wrong)
		return;
	world.wrong = kind;
	va_start(arguments, format);
	vsnprintf(world.details, sizeof(world.details), format, arguments);
	va_end(arguments);
	world_say("WRONG %s: %s", kind, world.details);
}

void world_say(const char *format, ...)
{
	va_list arguments;
	if (!world.verbose)
		return;
	fprintf(stderr, "%10.3f  ", (double)world.now / 1e3);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* ---- config/base/clock.h ---- */

#define WALL_BEGAN INT64_C(1767225600)   /* 2026-01-01 */

int64_t clock_now(void)
{
	return world.here ? world_local(world.here, world.now) : world.now;
}

int64_t clock_wall_ns(void)
{
	return (WALL_BEGAN * CLOCK_S + world.now) * 1000;
}

const char *clock_wall_text(char text[CLOCK_TEXT])
{
	int64_t ms = world.now / CLOCK_MS;
	snprintf(text, CLOCK_TEXT, "2026-01-01T%02d:%02d:%02d.%06dZ", (int)(ms / 3600000 % 24), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60),
		 (int)(world.now % CLOCK_S));
	return text;
}

double clock_random(void)
{
	return chance_uniform(&world.chance);
}
