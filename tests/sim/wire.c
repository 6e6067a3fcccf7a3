#include "tests/sim/wire.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "tests/sim/link.h"
#include "tests/sim/observer.h"
#include "tests/sim/process.h"

#define DELAY_MIN 150
#define DELAY_MAX 250

struct flying {
	uint8_t bytes[LINK_FRAME];
	uint8_t len;
	uint32_t next_free;
};

static struct {
	struct flying *frames;
	uint32_t n, room, free;   /* free: the first unused place + 1 */
	uint64_t sent;
} wire;

void wire_end(void)
{
	free(wire.frames);
	memset(&wire, 0, sizeof(wire));
}

static uint32_t take_place(void)
{
	if (wire.free) {
		uint32_t at = wire.free - 1;
		wire.free = wire.frames[at].next_free;
		return at;
	}
	if (wire.n == wire.room) {
		wire.room = wire.room ? wire.room * 2 : 256;
		wire.frames = mem_realloc(wire.frames, wire.room * sizeof(*wire.frames));
	}
	return wire.n++;
}

static void give_place(uint32_t at)
{
	wire.frames[at].next_free = wire.free;
	wire.free = at + 1;
}

bool wire_reaches(const struct host *from, const struct host *to)
{
	return from->powered && to->powered && from->carrier && to->carrier && !world.cut[from->index][to->index];
}

void wire_cut(unsigned from, unsigned to, int by)
{
	world.cut[from][to] = (unsigned char)(world.cut[from][to] + by);
}

/* To the process, which may have waited in front of it; data NULL: it is gone. */
static void to_process(void *data, uint64_t at)
{
	struct process *p = data;
	if (p && !(p->draining && p->discards)) {
		uint8_t bytes[LINK_FRAME];
		size_t len = wire.frames[at].len;
		memcpy(bytes, wire.frames[at].bytes, len);
		give_place((uint32_t)at);
		link_deliver(p, bytes, len);
	} else {
		give_place((uint32_t)at);
	}
}

void wire_begin(void)
{
	wire.n = wire.free = 0;
	wire.sent = 0;
	process_frame = to_process;
}

void wire_queue(struct process *p, const uint8_t *bytes, size_t len)
{
	uint32_t at = take_place();
	memcpy(wire.frames[at].bytes, bytes, len);
	wire.frames[at].len = (uint8_t)len;
	process_give(p, to_process, p, at);
}

static void kernel_hears(struct host *h, const uint8_t *bytes, size_t len)
{
	struct arp_frame f;
	uint8_t answer[ARP_FRAME_SIZE];
	/* The cheap test first: most frames are answers. */
	if (len < ARP_FRAME_SIZE || bytes[21] != ARP_REQUEST || !h->address)
		return;
	if (!arp_frame_parse(bytes, len, &f) || (f.tpa != h->address && f.tpa != h->extra) || f.spa == f.tpa)
		return;
	struct arp_frame reply = arp_answer(&f, &h->mac);
	arp_frame_build(&reply, answer);
	wire_send(h, answer, sizeof(answer));
}

static void on_arrival(void *data, uint64_t at)
{
	struct host *h = data;
	struct flying f = wire.frames[at];
	if (!h->powered || !h->carrier) {
		give_place((uint32_t)at);
		return;
	}
	kernel_hears(h, f.bytes, f.len);
	if (h->process)
		process_give(h->process, to_process, h->process, at);
	else
		give_place((uint32_t)at);
}

static void fly(const struct host *from, struct host *to, const uint8_t *bytes, size_t len)
{
	struct chance *c = &world.chance;
	if (!wire_reaches(from, to))
		return;
	double loss = from->loss + to->loss;
	if (loss > 0 && chance_uniform(c) < loss)
		return;
	int64_t jitter = from->jitter + to->jitter;
	int64_t delay = chance_between(c, DELAY_MIN, DELAY_MAX) + (jitter ? chance_between(c, 0, jitter) : 0);
	uint32_t at = take_place();
	memcpy(wire.frames[at].bytes, bytes, len);
	wire.frames[at].len = (uint8_t)len;
	world_at(world.now + delay, on_arrival, to, at);
}

void wire_send(struct host *from, const uint8_t *bytes, size_t len)
{
	wire.sent++;
	if (!from->powered || !from->carrier || len > LINK_FRAME)
		return;
	if (memcmp(bytes, MAC_BROADCAST.bytes, MAC_SIZE) != 0) {
		struct mac to;
		memcpy(to.bytes, bytes, MAC_SIZE);
		struct host *h = world_host_of_mac(&to);
		if (h && h != from)
			fly(from, h, bytes, len);
		return;
	}
	for (unsigned i = 0; i < world.n_hosts; i++) {
		struct host *h = &world.hosts[i];
		if (h == from)
			continue;
		fly(from, h, bytes, len);
		if (from->duplicates > 0 && chance_uniform(&world.chance) < from->duplicates)
			fly(from, h, bytes, len);
	}
}

uint64_t wire_sent(void)
{
	return wire.sent;
}
