/* What the reference responders of `make bench-arp` share: which frames they answer and how. Each is the shortest program
 * that does the job well in its way; they are the scale that l2lb is measured by, in the same run. */
#ifndef BENCH_ARP_REF_H
#define BENCH_ARP_REF_H

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REF_FRAME 42
#define REF_BATCH 64

struct ref {
	const char *interface;
	int index;
	uint8_t mac[6];
	uint32_t first, last;   /* host byte order */
	bool unfiltered;        /* no filter by target: what a tap costs that looks at every ARP frame itself */
};

static inline void ref_fail(const char *what)
{
	perror(what);
	exit(1);
}

/* INTERFACE FIRST LAST [unfiltered] */
static inline struct ref ref_arguments(int argc, char **argv)
{
	struct in_addr first, last;
	struct ifreq request = {0};
	int any = socket(AF_INET, SOCK_DGRAM, 0);
	if (argc < 4 || !inet_aton(argv[2], &first) || !inet_aton(argv[3], &last)) {
		fprintf(stderr, "usage: %s INTERFACE FIRST LAST [unfiltered]\n", argv[0]);
		exit(2);
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", argv[1]);
	if (ioctl(any, SIOCGIFHWADDR, &request) < 0)
		ref_fail(argv[1]);
	close(any);
	struct ref r = {.interface = argv[1], .index = (int)if_nametoindex(argv[1]), .first = ntohl(first.s_addr), .last = ntohl(last.s_addr), .unfiltered = argc > 4};
	memcpy(r.mac, request.ifr_hwaddr.sa_data, sizeof(r.mac));
	return r;
}

static inline void ref_ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* The reply to a request for one of our addresses; false: none is due. */
static inline bool ref_answer(const struct ref *r, const uint8_t *in, size_t len, uint8_t out[REF_FRAME])
{
	static const uint8_t request[10] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
	uint32_t target;
	if (len < REF_FRAME || memcmp(in + 12, request, sizeof(request)) != 0)
		return false;
	memcpy(&target, in + 38, 4);
	if (ntohl(target) < r->first || ntohl(target) > r->last)
		return false;
	memcpy(out, in + 22, 6);
	memcpy(out + 6, r->mac, 6);
	memcpy(out + 12, request, sizeof(request));
	out[21] = 2;
	memcpy(out + 22, r->mac, 6);
	memcpy(out + 28, &target, 4);
	memcpy(out + 32, in + 22, 10);
	return true;
}

/* Requests for our addresses that are to us or to all. */
static inline void ref_attach(const struct ref *r, int fd)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_BROADCAST, 5, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 38),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, r->first, 0, 3),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, r->last, 2, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 128),
	};
	struct sock_fprog program = {.len = sizeof(steps) / sizeof(steps[0]), .filter = steps};
	if (!r->unfiltered && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		ref_fail("SO_ATTACH_FILTER");
}

/* A packet socket that hears nothing yet. */
static inline int ref_socket(const struct ref *r)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		ref_fail("packet socket");
	ref_attach(r, fd);
	return fd;
}

static inline void ref_bind(const struct ref *r, int fd)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = r->index};
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		ref_fail("bind");
}

/* Replies on their way out, one sendmmsg per batch. */
struct ref_out {
	int fd;
	unsigned n;
	uint8_t frames[REF_BATCH][REF_FRAME];
	struct iovec parts[REF_BATCH];
	struct mmsghdr messages[REF_BATCH];
};

static inline void ref_out_init(struct ref_out *o, int fd)
{
	memset(o, 0, sizeof(*o));
	o->fd = fd;
	for (size_t i = 0; i < REF_BATCH; i++) {
		o->parts[i] = (struct iovec){o->frames[i], REF_FRAME};
		o->messages[i].msg_hdr = (struct msghdr){.msg_iov = &o->parts[i], .msg_iovlen = 1};
	}
}

static inline void ref_out_flush(struct ref_out *o)
{
	for (unsigned done = 0; done < o->n;) {
		int n = sendmmsg(o->fd, o->messages + done, o->n - done, 0);
		done += n > 0 ? (unsigned)n : 1;
	}
	o->n = 0;
}

#endif
