/* Reference: libpcap in immediate mode, pcap_inject for each reply. "unfiltered": every ARP frame comes up here. */
#include <pcap/pcap.h>

#include "tests/bench/arp_ref.h"

struct context {
	struct ref r;
	pcap_t *pcap;
};

static void on_frame(u_char *user, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct context *c = (struct context *)(void *)user;
	uint8_t out[REF_FRAME];
	if (ref_answer(&c->r, bytes, header->caplen, out))
		pcap_inject(c->pcap, out, sizeof(out));
}

int main(int argc, char **argv)
{
	struct context c = {.r = ref_arguments(argc, argv)};
	char text[PCAP_ERRBUF_SIZE], filter[128] = "arp";
	struct bpf_program program;
	c.pcap = pcap_create(c.r.interface, text);
	pcap_set_snaplen(c.pcap, 128);
	pcap_set_immediate_mode(c.pcap, 1);
	pcap_set_buffer_size(c.pcap, 2 << 20);
	pcap_set_protocol_linux(c.pcap, ETH_P_ARP);
	if (!c.r.unfiltered)
		snprintf(filter, sizeof(filter), "arp and arp[6:2] = 1 and arp[24:4] >= 0x%08x and arp[24:4] <= 0x%08x", c.r.first, c.r.last);
	if (pcap_activate(c.pcap) < 0 || pcap_compile(c.pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0 || pcap_setfilter(c.pcap, &program) < 0) {
		fprintf(stderr, "%s: %s\n", c.r.interface, pcap_geterr(c.pcap));
		return 1;
	}
	ref_ready();
	return pcap_loop(c.pcap, -1, on_frame, (u_char *)&c) < 0;
}
