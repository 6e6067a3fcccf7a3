/* Reference: a TPACKET_V2 ring read in place, poll, sendmmsg, a classic BPF filter. */
#include <poll.h>
#include <sys/mman.h>

#include "tests/bench/arp_ref.h"

#define FRAME_BYTES 256
#define BLOCK_BYTES 4096
#define N_FRAMES 10240
#define RING_BYTES (N_FRAMES * FRAME_BYTES)

static uint8_t *make_ring(int fd)
{
	int version = TPACKET_V2;
	struct tpacket_req request = {.tp_block_size = BLOCK_BYTES, .tp_frame_size = FRAME_BYTES, .tp_block_nr = RING_BYTES / BLOCK_BYTES, .tp_frame_nr = N_FRAMES};
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) < 0)
		ref_fail("PACKET_RX_RING");
	uint8_t *ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ring == MAP_FAILED)
		ref_fail("mmap");
	return ring;
}

static struct tpacket2_hdr *frame_at(uint8_t *ring, unsigned at)
{
	return (struct tpacket2_hdr *)(void *)(ring + (size_t)at * FRAME_BYTES);
}

int main(int argc, char **argv)
{
	struct ref r = ref_arguments(argc, argv);
	static struct ref_out out;
	int fd = ref_socket(&r);
	uint8_t *ring = make_ring(fd);
	unsigned at = 0;
	ref_bind(&r, fd);
	ref_out_init(&out, fd);
	ref_ready();
	for (;;) {
		struct tpacket2_hdr *h = frame_at(ring, at);
		if (out.n < REF_BATCH && (__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
			out.n += ref_answer(&r, (uint8_t *)h + h->tp_mac, h->tp_snaplen, out.frames[out.n]);
			__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
			at = (at + 1) % N_FRAMES;
			continue;
		}
		if (out.n) {
			ref_out_flush(&out);
			continue;
		}
		struct pollfd waiting = {.fd = fd, .events = POLLIN};
		poll(&waiting, 1, -1);
	}
}
