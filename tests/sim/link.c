#include "tests/sim/link.h"

#include <errno.h>
#include <net/if_arp.h>
#include <pcap/pcap.h>
#include <stdlib.h>

#include "arp/kernel_arp.h"
#include "arp/links.h"
#include "arp/segment.h"
#include "config/base/clock.h"
#include "config/base/memory.h"
#include "tests/sim/observer.h"
#include "tests/sim/wire.h"

#define INDEX 2
#define FILTERS 256

struct link {
	struct host *host;
	const struct bpf_program *filter;
	void (*on_frames)(void *data, const struct link_frame *frames, size_t n);
	void *data;
	bool mute;
	struct link_frame incoming;   /* so that frames need no memory of their own */
};

struct links {
	struct host *host;
	struct link_info info;
	struct link_table table;
	bool known;
	void (*on_change)(void *data);
	void *data;
};

/* What the client is told while it asks: see link_probe. */
static struct {
	bool on;
	uint32_t address;
	struct mac *answers;
	size_t n, most;
} probe;

/* ---- filters: compiled once each, by the real libpcap ---- */

static struct {
	char *text;
	struct bpf_program program;
} filters[FILTERS];
static size_t n_filters;

static const struct bpf_program *filter_for(const char *text)
{
	for (size_t i = 0; i < n_filters; i++)
		if (strcmp(filters[i].text, text) == 0)
			return &filters[i].program;
	if (n_filters == FILTERS)
		return NULL;   /* all is read, as where the kernel does not take it */
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, LINK_FRAME);
	if (!dead || pcap_compile(dead, &filters[n_filters].program, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		fprintf(stderr, "sim: filter: %s\n", dead ? pcap_geterr(dead) : "no libpcap");
		abort();
	}
	pcap_close(dead);
	filters[n_filters].text = mem_strdup(text);
	return &filters[n_filters++].program;
}

/* ---- arp/link.h ---- */

int link_open(struct link **linkp, uv_loop_t *loop, const char *name, const char *filter,
	      void (*on_frames)(void *data, const struct link_frame *frames, size_t n), void *data, struct error *err)
{
	struct host *h = world.here;
	(void)loop;
	if (h->process->link)
		return error_set(err, -EBUSY, "interface %s: opened twice", name);
	struct link *l = mem_zalloc(sizeof(*l));
	*l = (struct link){.host = h, .filter = filter_for(filter), .on_frames = on_frames, .data = data};
	h->process->link = *linkp = l;
	return 0;
}

int link_set_filter(struct link *l, const char *filter, struct error *err)
{
	(void)err;
	l->filter = filter_for(filter);
	return 0;
}

void link_send(struct link *l, const uint8_t *bytes, size_t len)
{
	struct arp_frame f;
	if (l->mute)
		return;
	if (world.verbose && bytes[30] == 0 && bytes[40] == ((POOL_FIRST >> 8) & 0xff))
		world_say("  %s asks for 10.99.10.%u", l->host->name, bytes[41]);
	/* Most are about liveness, between nodes' addresses: the pool is 10.99.10.0 and up. */
	if (bytes[30] == ((POOL_FIRST >> 8) & 0xff) || bytes[30] == ((POOL_FIRST >> 8) & 0xff) + 1) {
		if (!arp_frame_parse(bytes, len, &f))
			world_wrong("malformed", "%s sends a frame that is no ARP", l->host->name);
		else if (probe.on && f.op == ARP_REPLY && f.spa == probe.address && mac_equal(&f.eth_dst, &world.hosts[world.client].mac)) {
			observer_frame(l->host, &f);
			if (probe.n < probe.most)
				probe.answers[probe.n++] = f.sha;
			return;
		} else {
			observer_frame(l->host, &f);
		}
	}
	wire_send(l->host, bytes, len);
}

size_t link_flush(struct link *l)
{
	(void)l;
	return 0;
}

int link_index(const struct link *l)
{
	(void)l;
	return INDEX;
}

/* What waits for a stopped process. */
void link_discard(struct link *l)
{
	l->host->process->discards = true;
}

void link_wake(struct link *l)
{
	(void)l;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	l->host->process->link = NULL;
	free(l);
}

int link_compile(const char *filter, struct sock_fprog *programp, struct error *err)
{
	(void)filter;
	(void)programp;
	return error_set(err, -ENOTSUP, "not in the simulation");
}

/* ---- for the simulation ---- */

void link_deliver(struct process *p, const uint8_t *bytes, size_t len)
{
	struct link *l = p->link;
	if (!l || (l->filter && !bpf_filter(l->filter->bf_insns, bytes, (u_int)len, (u_int)len)))
		return;
	l->incoming.len = len;
	l->incoming.at = clock_now();
	memcpy(l->incoming.bytes, bytes, len);
	l->on_frames(l->data, &l->incoming, 1);
	observer_delivered(p);
}

void link_mute(struct process *p)
{
	if (p->link)
		p->link->mute = true;
}

struct segment *link_segment(const struct process *p)
{
	return p->link ? p->link->data : NULL;
}

size_t link_ask(struct process *p, uint32_t address, struct mac *answers, size_t most)
{
	const struct host *client = &world.hosts[world.client];
	struct arp_frame f = arp_question(client->address, &client->mac, address, NULL);
	uint8_t bytes[ARP_FRAME_SIZE];
	struct host *before = world.here;
	bool busy = p->busy;
	if (!p->link)
		return 0;
	arp_frame_build(&f, bytes);
	probe.on = true;
	probe.address = address;
	probe.answers = answers;
	probe.n = 0;
	probe.most = most;
	world.here = p->host;
	p->busy = true;
	link_deliver(p, bytes, sizeof(bytes));
	p->busy = busy;
	world.here = before;
	probe.on = false;
	return probe.n;
}

size_t link_probe(struct process *p, uint32_t address, struct mac *answers, size_t most)
{
	if (!p->link || p->busy)
		return 0;
	size_t n = link_ask(p, address, answers, most);
	process_settle(p);
	return n;
}

/* ---- arp/links.h ---- */

int links_init(struct links **linksp, uv_loop_t *loop, void (*on_change)(void *data), void *data)
{
	struct host *h = world.here;
	struct links *l = mem_zalloc(sizeof(*l));
	(void)loop;
	*l = (struct links){.host = h, .on_change = on_change, .data = data};
	l->info = (struct link_info){.index = INDEX, .name = "eth0", .mac = h->mac, .type = ARPHRD_ETHER, .carrier_ups = h->carrier_ups,
				     .flags = IFF_UP | IFF_BROADCAST | IFF_MULTICAST | (h->carrier ? IFF_RUNNING : 0), .n_addresses = 1,
				     .gateway = world.hosts[world.gateway].address};
	l->info.addresses[0] = (struct address_prefix){.address = address_from_v4(h->address), .length = 16};
	l->table = (struct link_table){.links = &l->info};
	h->process->links = *linksp = l;
	return 0;
}

static void on_netlink(void *data, uint64_t arg)
{
	struct process *p = data;
	(void)arg;
	if (!p || !p->links)
		return;
	struct links *l = p->links;
	l->known = true;
	l->table.n = 1;
	l->info.flags = (l->info.flags & ~(unsigned)IFF_RUNNING) | (l->host->carrier ? IFF_RUNNING : 0);
	l->info.carrier_ups = l->host->carrier_ups;
	l->on_change(l->data);
}

static void netlink_arrives(void *data, uint64_t incarnation)
{
	struct host *h = data;
	if (h->process && h->incarnation == incarnation)
		process_give(h->process, on_netlink, h->process, 0);
}

int links_start(struct links *l)
{
	world_at(world.now + 300, netlink_arrives, l->host, l->host->incarnation);
	return 0;
}

const struct link_table *links_table(const struct links *l)
{
	return &l->table;
}

void links_close(struct links *l)
{
	if (!l)
		return;
	l->host->process->links = NULL;
	free(l);
}

void link_carrier_changed(struct host *h)
{
	if (h->process)
		world_at(world.now + 200, netlink_arrives, h, h->incarnation);
}

/* ---- arp/kernel_arp.h ---- */

bool kernel_answers_for_all(const char *link)
{
	(void)link;
	return false;
}
