#include "arp/link.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define SNAPLEN 128                 /* the ring needs room for libpcap's own header too */
#define RING_BYTES (2 * 1024 * 1024)
#define BATCH 64
#define BATCHES_PER_WAKE 16         /* then the loop gets its turn */

struct link {
	char *name;
	pcap_t *pcap;
	struct fd fd;
	struct link_frame frames[BATCH];
	size_t n;
	void (*on_frames)(void *data, const struct link_frame *frames, size_t n);
	void *data;
};

static void record(u_char *user, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct link *l = (struct link *)user;
	struct link_frame *f = &l->frames[l->n++];
	f->len = header->caplen < LINK_FRAME ? header->caplen : LINK_FRAME;
	memcpy(f->bytes, bytes, f->len);
}

static int read_batch(struct link *l)
{
	l->n = 0;
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
		if (l->n < BATCH)
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
 * 7.1); pcap expressions cannot say that, so three instructions are put in front: packet type above BROADCAST is dropped. */
static void guard_packet_type(struct bpf_program *guarded, const struct bpf_program *program)
{
	const struct bpf_insn guard[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (bpf_u_int32)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	guarded->bf_len = program->bf_len + 3;
	guarded->bf_insns = mem_zalloc(guarded->bf_len * sizeof(*guarded->bf_insns));
	memcpy(guarded->bf_insns, guard, sizeof(guard));
	memcpy(guarded->bf_insns + 3, program->bf_insns, program->bf_len * sizeof(*program->bf_insns));
}

static int install_filter(pcap_t *pcap, const char *name, const char *filter, struct error *err)
{
	struct bpf_program program, guarded;
	if (pcap_compile(pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0)
		return error_set(err, -EINVAL, "interface %s: filter: %s", name, pcap_geterr(pcap));
	guard_packet_type(&guarded, &program);
	/* Not pcap_setfilter: that runs the program in user space, too, for the next frame, where it knows no packet type and
	 * drops it; the frame is lost. The kernel replaces a filter in one step. */
	struct sock_fprog fprog = {.len = (unsigned short)guarded.bf_len, .filter = (struct sock_filter *)guarded.bf_insns};
	int rc = setsockopt(pcap_fileno(pcap), SOL_SOCKET, SO_ATTACH_FILTER, &fprog, sizeof(fprog)) < 0 ? -errno : 0;
	free(guarded.bf_insns);
	pcap_freecode(&program);
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

int link_open(struct link **linkp, uv_loop_t *loop, const char *name, const char *filter,
	      void (*on_frames)(void *data, const struct link_frame *frames, size_t n), void *data, struct error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(name, text);
	if (!pcap)
		return error_set(err, -EIO, "interface %s: %s", name, text);
	int rc = activate(pcap, name, err);
	if (rc == 0)
		rc = install_filter(pcap, name, filter, err);
	struct link *l = mem_zalloc(sizeof(*l));
	if (rc == 0)
		rc = fd_init(&l->fd, loop, pcap_get_selectable_fd(pcap), on_event, l);
	if (rc < 0) {
		pcap_close(pcap);
		free(l);
		return rc;
	}
	l->name = mem_strdup(name);
	l->pcap = pcap;
	link_discard(l);   /* what came before the filter was there */
	l->on_frames = on_frames;
	l->data = data;
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

int link_send(struct link *l, const uint8_t *bytes, size_t len)
{
	return pcap_inject(l->pcap, bytes, len) < 0 ? (errno ? -errno : -EIO) : 0;
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
	struct link *l = fd->data;
	pcap_close(l->pcap);
	free(l->name);
	free(l);
}

void link_close(struct link *l)
{
	if (l)
		fd_close(&l->fd, on_closed);
}
