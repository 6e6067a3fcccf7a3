#include "tests/sim/stranger.h"

#include <string.h>

#include "tests/sim/wire.h"

#define AGAIN (2 * CLOCK_S)   /* RFC 5227: announced twice */

static struct {
	unsigned use;      /* counts its faults: an announcement of an earlier one is not sent */
	int64_t period;    /* 0: twice */
} strangers[STRANGERS];

static bool had[ADDRESSES];

void stranger_reset(void)
{
	memset(strangers, 0, sizeof(strangers));
	memset(had, 0, sizeof(had));
}


static unsigned number_of(const struct fault *f)
{
	return f->a == 1 ? 1 : 0;
}

static void on_announce(void *data, uint64_t use)
{
	struct host *h = data;
	unsigned i = h->index - world.strangers;
	uint8_t bytes[ARP_FRAME_SIZE];
	if (!h->powered || strangers[i].use != (unsigned)use)
		return;
	struct arp_frame frame = arp_announcement(h->address, &h->mac);
	arp_frame_build(&frame, bytes);
	wire_send(h, bytes, sizeof(bytes));
	if (strangers[i].period)
		world_at(world.now + strangers[i].period, on_announce, h, use);
}

/* It probes, hears that the address is in use or not, and uses it all the same. */
void stranger_begin(const struct fault *f)
{
	unsigned i = number_of(f);
	struct host *h = &world.hosts[world.strangers + i];
	uint8_t bytes[ARP_FRAME_SIZE];
	h->powered = true;
	h->address = world.addresses[f->value];
	stranger_note(h->address);
	strangers[i].use++;
	strangers[i].period = f->b * CLOCK_MS;
	struct arp_frame frame = arp_question(0, &h->mac, h->address, NULL);
	arp_frame_build(&frame, bytes);
	wire_send(h, bytes, sizeof(bytes));
	if (!f->b)
		world_at(world.now + AGAIN, on_announce, h, strangers[i].use);
	on_announce(h, strangers[i].use);
}

void stranger_end(const struct fault *f)
{
	struct host *h = &world.hosts[world.strangers + number_of(f)];
	if (h->address != world.addresses[f->value])
		return;   /* it has another one by now */
	h->powered = false;
	h->address = 0;
}

void stranger_note(uint32_t address)
{
	if (address - POOL_FIRST < ADDRESSES)
		had[address - POOL_FIRST] = true;
}

bool stranger_had(uint32_t address)
{
	return address - POOL_FIRST < ADDRESSES && had[address - POOL_FIRST];
}
