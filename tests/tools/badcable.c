/* A bad cable between a machine and its bridge: frames are lost and late in both directions, as `tc netem loss delay` has it,
 * for kernels without netem. PORT has been the machine's bridge port; TAP is made and takes its place.
 *
 *   badcable PORT TAP LOSS-PER-CENT DELAY-MS JITTER-MS SEED      each frame is DELAY +- JITTER late, so they may overtake
 *
 * Says "ready" when TAP is there. Ends on SIGTERM, and says then by how many ms a frame was later than that at worst: a cable
 * that stands still is another fault than a bad one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX  (66 * 1024)   /* a segment that the card was to cut up, and its header */
#define QUEUED_MAX 4096

struct queued {
	int64_t due;   /* ns */
	int to;
	size_t length;
	uint8_t *bytes;
};

/* Frames under way, the next one due at the end. */
static struct queued queue[QUEUED_MAX];
static size_t n_queued;
static uint64_t random_state;
static double loss, delay_ms, jitter_ms;
static int64_t latest;           /* ns after a frame was due */
static volatile sig_atomic_t ending;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "badcable: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* xorshift64*, 0 to 1: the same SEED loses the same frames. */
static double chance(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (double)(random_state * 2685821657736338717ULL >> 11) / (double)(1ULL << 53);
}

static int open_port(const char *name)
{
	int on = 1, port = socket(AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
	struct packet_mreq all = {.mr_ifindex = to.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	/* With its header a frame's checksum may still be to be made, as between a veth's ends it usually is. */
	if (port < 0 || setsockopt(port, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(port, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) || bind(port, (struct sockaddr *)&to, sizeof(to)))
		fail(name);
	return port;
}

static int open_tap(const char *name)
{
	int tap = open("/dev/net/tun", O_RDWR);
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &request))
		fail(name);
	return tap;
}

static void enqueue(int to, const uint8_t *bytes, size_t length)
{
	if (chance() * 100 < loss || n_queued == QUEUED_MAX)
		return;
	double late = delay_ms + jitter_ms * (2 * chance() - 1);
	struct queued frame = {.due = now_ns() + (int64_t)(late * 1e6), .to = to, .length = length, .bytes = malloc(length)};
	if (!frame.bytes)
		fail("frame");
	memcpy(frame.bytes, bytes, length);
	size_t place = n_queued++;
	for (; place > 0 && queue[place - 1].due <= frame.due; place--)
		queue[place] = queue[place - 1];
	queue[place] = frame;
}

/* The next frame of a port into buffer; its length, 0 when there is none. What we sent ourselves is not one. */
static size_t take(int from, bool port, uint8_t *buffer)
{
	for (;;) {
		struct sockaddr_ll sender = {0};
		socklen_t size = sizeof(sender);
		ssize_t n = port ? recvfrom(from, buffer, FRAME_MAX, MSG_DONTWAIT, (struct sockaddr *)&sender, &size) : read(from, buffer, FRAME_MAX);
		if (n <= (ssize_t)sizeof(struct virtio_net_hdr))
			return 0;
		if (sender.sll_pkttype != PACKET_OUTGOING)
			return (size_t)n;
	}
}

static void deliver(void)
{
	while (n_queued && queue[n_queued - 1].due <= now_ns()) {
		struct queued *frame = &queue[--n_queued];
		int64_t late = now_ns() - frame->due;
		latest = late > latest ? late : latest;
		/* A port that is down, or a full one, loses it. */
		if (write(frame->to, frame->bytes, frame->length) < 0) {}
		free(frame->bytes);
	}
}

static void on_term(int number)
{
	ending = number;
}

int main(int argc, char **argv)
{
	static uint8_t buffer[FRAME_MAX];
	if (argc != 7) {
		fprintf(stderr, "usage: badcable PORT TAP LOSS-PER-CENT DELAY-MS JITTER-MS SEED\n");
		return 2;
	}
	loss = atof(argv[3]), delay_ms = atof(argv[4]), jitter_ms = atof(argv[5]);
	random_state = strtoull(argv[6], NULL, 10) * 2 + 1;
	struct pollfd ends[2] = {{.fd = open_port(argv[1]), .events = POLLIN}, {.fd = open_tap(argv[2]), .events = POLLIN}};
	signal(SIGTERM, on_term);
	/* A cable does not wait for a processor. Who may not have this gets a cable that stands still now and then, and is told. */
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1})) {}
	printf("ready\n");
	fflush(stdout);
	while (!ending) {
		int64_t left = n_queued ? queue[n_queued - 1].due - now_ns() : 1000000000;
		struct timespec patience = {.tv_sec = 0, .tv_nsec = left < 0 ? 0 : left > 999999999 ? 999999999 : left};
		if (ppoll(ends, 2, &patience, NULL) < 0 && errno != EINTR)
			fail("poll");
		for (int i = 0; i < 2; i++)
			for (size_t n; ends[i].revents & POLLIN && (n = take(ends[i].fd, i == 0, buffer));) {
				enqueue(ends[1 - i].fd, buffer, n);
				if (i == 1)
					break;   /* a read of the tap would wait for the next */
			}
		deliver();
	}
	printf("%lld\n", (long long)(latest / 1000000));
	return 0;
}
