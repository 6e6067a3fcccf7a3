/* Reference: recvmmsg and sendmmsg on a packet socket with a classic BPF filter and a large buffer. */
#include "tests/bench/arp_ref.h"

int main(int argc, char **argv)
{
	struct ref r = ref_arguments(argc, argv);
	static struct ref_out out;
	static uint8_t frames[REF_BATCH][128];
	struct iovec parts[REF_BATCH];
	struct mmsghdr messages[REF_BATCH];
	int fd = ref_socket(&r), bytes = 4 << 20;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		ref_fail("SO_RCVBUFFORCE");
	ref_bind(&r, fd);
	ref_out_init(&out, fd);
	for (size_t i = 0; i < REF_BATCH; i++) {
		parts[i] = (struct iovec){frames[i], sizeof(frames[i])};
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
	}
	ref_ready();
	for (;;) {
		int n = recvmmsg(fd, messages, REF_BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			out.n += ref_answer(&r, frames[i], messages[i].msg_len, out.frames[out.n]);
		ref_out_flush(&out);
	}
}
