#include "arp/link.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define SNAPLEN 128                 /* the ring needs room for libpcap's own header too */
/* 10,000 frames: what one CPU answers in 40 ms. A storm that lasts, of our own requests, would fill any ring, and a larger one
 * only makes answers later; this one bridges the moments without the CPU. (Foreign requests do not get into it.) */
#define RING_BYTES (2 * 1024 * 1024)
#define BATCH 64                    /* frames read, and sent, in one go */
#define BATCHES_PER_WAKE 16         /* then the loop gets its turn */

struct link {
	char *name;
	pcap_t *pcap;
	struct fd fd;
	struct link_frame frames[BATCH];
	int64_t wall_offset;                /* from the wall clock, by which the kernel stamps frames, to clock_now() */
	size_t n;
	int out;                            /* the socket that sends */
	struct mmsghdr messages[BATCH];     /* each of one part, in outgoing[] */
	struct iovec parts[BATCH];
	uint8_t outgoing[BATCH][LINK_FRAME];
	unsigned queued;
	size_t unsent;                      /* since the last link_flush */
	void (*on_frames)(void *data, const struct link_frame *frames, size_t n);
	void *data;
};

static void record(u_char *user, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct link *l = (struct link *)user;
	struct link_frame *f = &l->frames[l->n++];
	f->len = header->caplen < LINK_FRAME ? header->caplen : LINK_FRAME;
	memcpy(f->bytes, bytes, f->len);
	f->at = header->ts.tv_sec * CLOCK_S + header->ts.tv_usec + l->wall_offset;
}

static int read_batch(struct link *l)
{
	l->n = 0;
	l->wall_offset = clock_now() - clock_wall_ns() / 1000;
	return pcap_dispatch(l->pcap, BATCH, record, (u_char *)l);
}

static void on_event(struct fd *fd, int events)
{
	struct link *l = fd->data;
	(void)events;   /* an error (link down) is consumed by reading */
	for (int i = 0; i < BATCHES_PER_WAKE; i++) {
		int rc = read_batch(l);
		if (rc < 0) {
			/* The device is gone; rtnetlink will say so and the owner closes us. */
			log_debug("linkReadFailed", KV("interface", l->name), "%s: %s", l->name, pcap_geterr(l->pcap));
			fd_stop(&l->fd);
			return;
		}
		if (l->n)
			l->on_frames(l->data, l->frames, l->n);
		/* Where frames come in numbers more have come meanwhile: looking costs less than a turn of the loop. */
		if (l->n < 2)
			return;
	}
}

static int refuse(struct error *err, const char *name, int code, pcap_t *pcap)
{
	const char *why = pcap_geterr(pcap);
	switch (code) {
	case PCAP_ERROR_PERM_DENIED:
		return error_set(err, -EPERM, "interface %s: no permission to open a packet socket; run as root or with CAP_NET_RAW", name);
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return error_set(err, -ENODEV, "interface %s: does not exist", name);
	default:
		return error_set(err, -EIO, "interface %s: %s", name, why && *why ? why : pcap_statustostr(code));
	}
}

/* A socket bound to ARP on a parent link also gets other VLANs' ARP, with the tag removed, as PACKET_OTHERHOST (wire.md
 * 7.1); pcap expressions cannot say that, so this is put in front: a packet type above BROADCAST is dropped. */
static const struct sock_filter GUARD[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, PACKET_BROADCAST, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, 0),
	BPF_STMT(BPF_RET | BPF_K, SNAPLEN),   /* the rest of the program takes its place */
};
#define GUARD_STEPS 3

_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "libpcap's instructions are the kernel's");

int link_compile(const char *filter, struct sock_fprog *programp, struct error *err)
{
	struct bpf_program program;
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, SNAPLEN);
	if (!dead)
		mem_exhausted();
	if (pcap_compile(dead, &program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		error_set(err, -EINVAL, "filter: %s", pcap_geterr(dead));
		pcap_close(dead);
		return -EINVAL;
	}
	pcap_close(dead);
	struct sock_filter *steps = mem_zalloc((GUARD_STEPS + program.bf_len) * sizeof(*steps));
	memcpy(steps, GUARD, GUARD_STEPS * sizeof(*steps));
	memcpy(steps + GUARD_STEPS, program.bf_insns, program.bf_len * sizeof(*steps));
	/* Too many for the kernel are too many for its 16 bits, too. */
	size_t n = GUARD_STEPS + program.bf_len;
	*programp = (struct sock_fprog){.len = (unsigned short)(n > USHRT_MAX ? USHRT_MAX : n), .filter = steps};
	pcap_freecode(&program);
	return 0;
}

static int attach(pcap_t *pcap, const struct sock_fprog *program)
{
	return setsockopt(pcap_fileno(pcap), SOL_SOCKET, SO_ATTACH_FILTER, program, sizeof(*program)) < 0 ? -errno : 0;
}

/* Not pcap_setfilter: it lets nothing pass and empties the ring while it changes filters, and loses requests each time
 * (wire.md 8.5). The kernel replaces a filter in one step. */
static int install_filter(pcap_t *pcap, const char *name, const char *filter, struct error *err)
{
	const struct sock_fprog guard = {.len = GUARD_STEPS + 1, .filter = (struct sock_filter *)GUARD};
	struct sock_fprog program;
	int rc = link_compile(filter, &program, err);
	if (rc < 0) {
		error_prefix(err, "interface %s", name);
		return rc;
	}
	rc = attach(pcap, &program);
	if (rc < 0) {
		/* Old and new together may be more than net.core.optmem_max allows: the guard makes room. Where the new one alone is
		 * too much it stays, and everything is sorted out by us, as it is checked here anyway. */
		int guarded = attach(pcap, &guard);
		rc = attach(pcap, &program);
		if (rc < 0 && guarded == 0) {
			log_warn("filterTooLarge", KV("interface", name), "%s: the kernel does not take the filter of %u instructions (%s): all ARP is read",
				 name, program.len, strerror(-rc));
			rc = 0;
		}
	}
	free(program.filter);
	return rc < 0 ? error_set(err, -EIO, "interface %s: filter: %s", name, strerror(-rc)) : 0;
}

static int activate(pcap_t *pcap, const char *name, struct error *err)
{
	char text[PCAP_ERRBUF_SIZE];
	pcap_set_snaplen(pcap, SNAPLEN);
	pcap_set_promisc(pcap, 0);
	pcap_set_immediate_mode(pcap, 1);
	pcap_set_buffer_size(pcap, RING_BYTES);
	pcap_set_protocol_linux(pcap, ETH_P_ARP);
	int rc = pcap_activate(pcap);
	if (rc < 0)
		return refuse(err, name, rc, pcap);
	if (pcap_datalink(pcap) != DLT_EN10MB)
		return error_set(err, -EPROTONOSUPPORT, "interface %s: not Ethernet", name);
	if (pcap_setnonblock(pcap, 1, text) < 0)
		return error_set(err, -EIO, "interface %s: %s", name, text);
	return 0;
}

/* Frames leave by a socket of their own that hears nothing and that nobody polls: on a polled one the kernel calls epoll for
 * each frame that has left, which costs a tenth of the answers per second. */
static int open_sender(struct link *l, const char *name, struct error *err)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
	l->out = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (!to.sll_ifindex || l->out < 0 || bind(l->out, (struct sockaddr *)&to, sizeof(to)) < 0)
		return error_set(err, -errno, "interface %s: cannot send: %s", name, strerror(errno));
	for (size_t i = 0; i < BATCH; i++) {
		l->parts[i].iov_base = l->outgoing[i];
		l->messages[i].msg_hdr = (struct msghdr){.msg_iov = &l->parts[i], .msg_iovlen = 1};
	}
	return 0;
}

static void link_free(struct link *l)
{
	if (l->out >= 0)
		close(l->out);
	pcap_close(l->pcap);
	free(l->name);
	free(l);
}

int link_open(struct link **linkp, uv_loop_t *loop, const char *name, const char *filter,
	      void (*on_frames)(void *data, const struct link_frame *frames, size_t n), void *data, struct error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(name, text);
	if (!pcap)
		return error_set(err, -EIO, "interface %s: %s", name, text);
	struct link *l = mem_zalloc(sizeof(*l));
	*l = (struct link){.name = mem_strdup(name), .pcap = pcap, .out = -1, .on_frames = on_frames, .data = data};
	int rc = activate(pcap, name, err);
	if (rc == 0)
		rc = install_filter(pcap, name, filter, err);
	if (rc == 0)
		rc = open_sender(l, name, err);
	if (rc == 0) {
		link_discard(l);   /* what came before the filter was there */
		rc = fd_init(&l->fd, loop, pcap_get_selectable_fd(pcap), on_event, l);
	}
	if (rc < 0) {
		link_free(l);
		return rc;
	}
	fd_start(&l->fd, FD_READ);
	*linkp = l;
	return 0;
}

int link_set_filter(struct link *l, const char *filter, struct error *err)
{
	return install_filter(l->pcap, l->name, filter, err);
}

int link_index(const struct link *l)
{
	struct sockaddr_ll bound = {0};
	socklen_t len = sizeof(bound);
	return getsockname(pcap_fileno(l->pcap), (struct sockaddr *)&bound, &len) < 0 ? -1 : bound.sll_ifindex;
}

static void send_queued(struct link *l)
{
	for (unsigned done = 0; done < l->queued;) {
		int n = sendmmsg(l->out, l->messages + done, l->queued - done, MSG_DONTWAIT);
		if (n > 0) {
			done += (unsigned)n;
		} else if (errno != EINTR) {
			l->unsent++;   /* the first of them; the next may go */
			done++;
		}
	}
	l->queued = 0;
}

void link_send(struct link *l, const uint8_t *bytes, size_t len)
{
	if (l->queued == BATCH)
		send_queued(l);
	l->parts[l->queued].iov_len = len;
	memcpy(l->outgoing[l->queued++], bytes, len);
}

size_t link_flush(struct link *l)
{
	if (l->queued)
		send_queued(l);
	size_t unsent = l->unsent;
	l->unsent = 0;
	return unsent;
}

void link_discard(struct link *l)
{
	do
		if (read_batch(l) < 0)
			return;
	while (l->n == BATCH);
}

void link_wake(struct link *l)
{
	read_batch(l);   /* consumes the "network is down" and makes libpcap look at the device again */
	fd_start(&l->fd, FD_READ);
}

static void on_closed(struct fd *fd)
{
	link_free(fd->data);
}

void link_close(struct link *l)
{
	if (l)
		fd_close(&l->fd, on_closed);
}
