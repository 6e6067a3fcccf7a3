/* The load generator of `make bench-arp` and of the storm test: ARP requests at a fixed rate, each answer told to its
 * request, and a flood of foreign requests beside them. Busy-polls one CPU. Prints one JSON object.
 *
 *   arp_load -i INTERFACE -a FIRST -n ADDRESSES -r WANTED/s -F FOREIGN/s -t SECONDS
 *
 * A request carries its number in its sender hardware address, which the answer brings back. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 42
#define BATCH 32
#define CLIENTS 256
#define CLIENT 0x0a4d0100     /* 10.77.1.0: who asks */
#define FOREIGN 0x0a4d8000    /* 10.77.128.0/18: other hosts of the subnet; their askers are behind it */
#define FOREIGN_ASKER (FOREIGN + 0x4000)
#define SLOT_BYTES 128
#define RING_BYTES (8 << 20)
#define N_SLOTS (RING_BYTES / SLOT_BYTES)
#define MS UINT64_C(1000000)
#define S (1000 * MS)

struct load {
	const char *interface;
	uint32_t first, n_addresses;
	double wanted_rate, foreign_rate, seconds;
	int out, in;
	uint8_t *ring;
	unsigned at;
	uint8_t frames[BATCH][FRAME];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	uint32_t wanted, foreign, most;   /* sent so far; room in the tables below */
	uint64_t *sent_at;
	uint32_t *latency;                /* nanoseconds; 0: not answered */
	uint32_t answered, doubles, wrong;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return ntohl(v);
}

static void open_sockets(struct load *l)
{
	int version = TPACKET_V2;
	struct tpacket_req ring = {.tp_block_size = 4096, .tp_frame_size = SLOT_BYTES, .tp_block_nr = RING_BYTES / 4096, .tp_frame_nr = N_SLOTS};
	struct sock_filter replies[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = 4, .filter = replies};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(l->interface)};
	l->out = socket(AF_PACKET, SOCK_RAW, 0);
	l->in = socket(AF_PACKET, SOCK_RAW, 0);
	if (l->out < 0 || l->in < 0 || bind(l->out, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail(l->interface);
	if (setsockopt(l->in, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    setsockopt(l->in, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(l->in, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0)
		fail("ring");
	l->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, l->in, 0);
	to.sll_protocol = htons(ETH_P_ARP);
	if (l->ring == MAP_FAILED || bind(l->in, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("ring");
}

static void prepare(struct load *l)
{
	static const uint8_t head[22] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x5e, 0, 0, 0, 0, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
	for (size_t i = 0; i < BATCH; i++) {
		memcpy(l->frames[i], head, sizeof(head));
		memcpy(l->frames[i] + 22, head + 6, 6);
		l->parts[i] = (struct iovec){l->frames[i], FRAME};
		l->messages[i].msg_hdr = (struct msghdr){.msg_iov = &l->parts[i], .msg_iovlen = 1};
	}
	l->most = (uint32_t)(l->wanted_rate * l->seconds) + BATCH;
	l->sent_at = calloc(l->most, sizeof(*l->sent_at));
	l->latency = calloc(l->most, sizeof(*l->latency));
	if (!l->sent_at || !l->latency)
		fail("memory");
	memset(l->sent_at, 1, l->most * sizeof(*l->sent_at));   /* page faults now, not while it runs */
	memset(l->latency, 0, l->most * sizeof(*l->latency));
}

static void wanted_frame(struct load *l, uint8_t *f, uint64_t time)
{
	put32(f + 8, l->wanted);
	put32(f + 24, l->wanted);
	put32(f + 28, CLIENT + l->wanted % CLIENTS);
	put32(f + 38, l->first + l->wanted % l->n_addresses);
	l->sent_at[l->wanted++] = time;
}

static void foreign_frame(struct load *l, uint8_t *f)
{
	put32(f + 8, 0xff000000 | (l->foreign & 0xff));
	put32(f + 24, 0xff000000 | (l->foreign & 0xff));
	put32(f + 28, FOREIGN_ASKER + l->foreign % CLIENTS);
	put32(f + 38, FOREIGN + l->foreign * 2654435761u % 0x4000);
	l->foreign++;
}

/* What is due at this moment, wanted ones first. */
static void send_due(struct load *l, uint64_t time, double elapsed)
{
	unsigned n = 0;
	while (n < BATCH && l->wanted < l->most && l->wanted < elapsed * l->wanted_rate)
		wanted_frame(l, l->frames[n++], time);
	while (n < BATCH && l->foreign < elapsed * l->foreign_rate)
		foreign_frame(l, l->frames[n++]);
	for (unsigned done = 0; done < n;) {
		int sent = sendmmsg(l->out, l->messages + done, n - done, 0);
		if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			fail("sendmmsg");
		done += sent > 0 ? (unsigned)sent : 0;
	}
}

static void take_reply(struct load *l, const uint8_t *f, uint64_t time)
{
	uint32_t number = get32(f + 34);
	if (f[32] != 0x02 || f[33] != 0x5e || number >= l->wanted || get32(f + 28) != l->first + number % l->n_addresses) {
		l->wrong++;
	} else if (l->latency[number]) {
		l->doubles++;
	} else {
		uint64_t took = time - l->sent_at[number];
		l->latency[number] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)(took ? took : 1);
		l->answered++;
	}
}

static bool take_replies(struct load *l)
{
	bool any = false;
	for (;;) {
		struct tpacket2_hdr *h = (struct tpacket2_hdr *)(void *)(l->ring + (size_t)l->at * SLOT_BYTES);
		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return any;
		const uint8_t *f = (const uint8_t *)h + h->tp_mac;
		/* A gratuitous reply answers nobody. */
		if (h->tp_snaplen >= FRAME && memcmp(f + 28, f + 38, 4) != 0)
			take_reply(l, f, now());
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		l->at = (l->at + 1) % N_SLOTS;
		any = true;
	}
}

/* Sends for that long; after a time without the CPU there is no burst to catch up (a burst would measure queues, and not
 * whoever answers). Then waits for the last answers. Returns the seconds it sent. */
static double run(struct load *l)
{
	uint64_t start = now(), end = start + (uint64_t)(l->seconds * (double)S), skipped = 0, time;
	while ((time = now()) < end) {
		double elapsed = (double)(time - start - skipped) / (double)S;
		double rate = l->wanted_rate + l->foreign_rate, behind = elapsed - (double)(l->wanted + l->foreign) / rate;
		if (behind > 0.001 && behind * rate > BATCH) {
			skipped += (uint64_t)((behind - 0.001) * (double)S);
			elapsed -= behind - 0.001;
		}
		send_due(l, time, elapsed);
		take_replies(l);
	}
	uint64_t last = now(), stopped = last;
	while (l->answered < l->wanted && now() - last < 1000 * MS && now() - stopped < 5000 * MS)   /* a busy machine answers late */
		if (take_replies(l))
			last = now();
	return (double)(stopped - start) / (double)S;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void report(struct load *l, double seconds)
{
	uint32_t n = l->answered;
	qsort(l->latency, l->wanted, sizeof(*l->latency), by_value);
	const uint32_t *sorted = l->latency + (l->wanted - n);   /* those without an answer are first */
	double p50 = n ? sorted[n / 2] / 1e3 : 0, p99 = n ? sorted[n - 1 - n / 100] / 1e3 : 0;
	printf("{\"sent\": %u, \"answered\": %u, \"doubles\": %u, \"wrong\": %u, \"foreign\": %u, \"seconds\": %.4f, \"p50\": %.2f, \"p99\": %.2f}\n",
	       l->wanted, n, l->doubles, l->wrong, l->foreign, seconds, p50, p99);
}

int main(int argc, char **argv)
{
	static struct load l = {.n_addresses = 1, .seconds = 1};
	struct in_addr first = {0};
	int option;
	while ((option = getopt(argc, argv, "i:a:n:r:F:t:")) != -1) {
		switch (option) {
		case 'i': l.interface = optarg; break;
		case 'a': inet_aton(optarg, &first); break;
		case 'n': l.n_addresses = (uint32_t)atoi(optarg); break;
		case 'r': l.wanted_rate = atof(optarg); break;
		case 'F': l.foreign_rate = atof(optarg); break;
		case 't': l.seconds = atof(optarg); break;
		default: return 2;
		}
	}
	l.first = ntohl(first.s_addr);
	if (!l.interface || !l.first || !l.n_addresses || l.wanted_rate + l.foreign_rate <= 0) {
		fprintf(stderr, "usage: arp_load -i INTERFACE -a FIRST -n ADDRESSES -r WANTED/s -F FOREIGN/s -t SECONDS\n");
		return 2;
	}
	open_sockets(&l);
	prepare(&l);
	report(&l, run(&l));
	return 0;
}
