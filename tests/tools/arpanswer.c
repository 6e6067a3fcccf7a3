/* l2lb's receive path alone: one segment that owns the addresses FIRST to LAST on INTERFACE, no API server. For the
 * measurements of `make bench-arp`. Says "ready" when it answers; ends on SIGTERM. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arp/segment.h"

static void on_state(void *data, struct segment *s, const char *peer, enum liveness_state state)
{
	(void)data, (void)s, (void)peer, (void)state;
}

static void on_heard_again(void *data, struct segment *s, const char *peer)
{
	(void)data, (void)s, (void)peer;
}

static void on_claim(void *data, struct segment *s, uint32_t address, const struct mac *sha, const struct mac *eth_src, bool answer)
{
	(void)data, (void)s, (void)address, (void)sha, (void)eth_src, (void)answer;
}

static enum conflict_who on_sender(void *data, struct segment *s, uint32_t address, const struct mac *mac)
{
	(void)data, (void)s, (void)address, (void)mac;
	return CONFLICT_STRANGER;
}

static void on_conflict(void *data, struct segment *s, uint32_t address, const struct mac *mac, enum conflict_who who, bool refused)
{
	(void)data, (void)s, (void)address, (void)mac, (void)who, (void)refused;
}

static void on_return(void *data, struct segment *s)
{
	(void)data, (void)s;
}

/* What rtnetlink would say of it; its address makes liveness work as on a node. */
static bool look_up(const char *name, struct link_info *info)
{
	struct ifreq request = {0};
	int any = socket(AF_INET, SOCK_DGRAM, 0);
	*info = (struct link_info){.index = (int)if_nametoindex(name), .flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST, .type = 1};
	snprintf(info->name, sizeof(info->name), "%s", name);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	bool found = info->index && ioctl(any, SIOCGIFHWADDR, &request) == 0;
	memcpy(info->mac.bytes, request.ifr_hwaddr.sa_data, MAC_SIZE);
	if (found && ioctl(any, SIOCGIFADDR, &request) == 0) {
		const struct sockaddr_in *own = (const struct sockaddr_in *)(const void *)&request.ifr_addr;
		info->addresses[info->n_addresses++] = (struct address_prefix){.address = address_from_v4(ntohl(own->sin_addr.s_addr)), .length = 24};
	}
	close(any);
	return found;
}

static uint32_t parse(const char *text)
{
	struct address a;
	struct error err;
	if (address_parse(text, &a, &err) < 0 || a.family != ADDRESS_V4) {
		fprintf(stderr, "arpanswer: %s is no IPv4 address\n", text);
		exit(2);
	}
	return address_to_v4(&a);
}

static void on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	const struct segment_counters *c = segment_counters(handle->data);
	fprintf(stderr, "arpanswer: received %llu, malformed %llu, answers %llu, not sent %llu\n", (unsigned long long)c->received,
		(unsigned long long)c->malformed, (unsigned long long)c->answers, (unsigned long long)c->send_failed);
	uv_stop(handle->loop);
}

int main(int argc, char **argv)
{
	struct link_info info;
	struct segment *segment;
	struct error err;
	uv_signal_t term;
	if (argc != 4) {
		fprintf(stderr, "usage: arpanswer INTERFACE FIRST LAST\n");
		return 2;
	}
	const struct ipv4_range range = {parse(argv[2]), parse(argv[3])};
	struct segment_config config = {.node = "bench", .liveness_interval = 100000, .tally = tally_new(), .on_state = on_state,
					.on_heard_again = on_heard_again, .on_claim = on_claim, .on_return = on_return,
					.on_sender = on_sender, .on_conflict = on_conflict};
	uv_loop_t *loop = uv_default_loop();
	if (!look_up(argv[1], &info)) {
		fprintf(stderr, "arpanswer: no interface %s\n", argv[1]);
		return 1;
	}
	if (segment_open(&segment, loop, &info, &config, &range, 1, &err) < 0) {
		fprintf(stderr, "arpanswer: %s\n", err.text);
		return 1;
	}
	segment_set_ready(segment, true);
	for (uint32_t address = range.first; address <= range.last; address++)
		segment_own(segment, address, CONFLICT_CLAIM_KNOWN, false);
	uv_signal_init(loop, &term);
	term.data = segment;
	uv_signal_start(&term, on_signal, SIGTERM);
	puts("ready");
	fflush(stdout);
	uv_run(loop, UV_RUN_DEFAULT);
	segment_close(segment);
	uv_close((uv_handle_t *)&term, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	tally_free(config.tally);
	return uv_loop_close(loop) == 0 ? 0 : 1;
}
