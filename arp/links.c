#include "arp/links.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define RECEIVE_BUFFER (1 << 20)
#define DATAGRAM_MAX 32768

static const unsigned short DUMPS[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE};
#define N_DUMPS (sizeof(DUMPS) / sizeof(DUMPS[0]))

struct links {
	uv_loop_t *loop;
	int socket;
	struct fd fd;
	struct link_table current;   /* what others see */
	struct link_table next;      /* filled by the running dump */
	size_t dump;                 /* index into DUMPS; N_DUMPS: none runs */
	bool interrupted;
	void (*on_change)(void *data);
	void *data;
};

static int request_dump(struct links *l)
{
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} request = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_type = DUMPS[l->dump],
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = (unsigned)l->dump + 1},
		     .g = {.rtgen_family = AF_UNSPEC}};
	return send(l->socket, &request, request.h.nlmsg_len, 0) < 0 ? -errno : 0;
}

static void start_dump(struct links *l)
{
	link_table_free(&l->next);
	l->dump = 0;
	l->interrupted = false;
	int rc = request_dump(l);
	if (rc < 0)
		log_error("netlinkFailed", NO_KV, "rtnetlink: %s; links are not watched", strerror(-rc));
}

static void dump_part_done(struct links *l)
{
	if (l->interrupted) {
		start_dump(l);
		return;
	}
	if (++l->dump < N_DUMPS) {
		request_dump(l);
		return;
	}
	link_table_free(&l->current);
	l->current = l->next;
	l->next = (struct link_table){0};
	l->on_change(l->data);
}

/* Takes all that is queued. Returns -ENOBUFS when the kernel dropped messages. */
static int drain(struct links *l)
{
	static union {
		struct nlmsghdr align;
		char bytes[DATAGRAM_MAX];
	} datagram;
	bool changed = false;
	for (;;) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(l->socket, &datagram, sizeof(datagram), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (changed && l->dump == N_DUMPS)
				l->on_change(l->data);
			return errno == EAGAIN ? 0 : -errno;
		}
		if (from.nl_pid != 0)   /* not from the kernel */
			continue;
		bool dumping = l->dump < N_DUMPS;
		int news = link_table_apply(dumping ? &l->next : &l->current, &datagram, (size_t)n);
		changed |= (news & LINK_TABLE_CHANGED) && !dumping;
		l->interrupted |= (news & LINK_TABLE_INTERRUPTED) != 0;
		if ((news & LINK_TABLE_DONE) && dumping)
			dump_part_done(l);
	}
}

static void on_event(struct fd *fd, int events)
{
	struct links *l = fd->data;
	(void)events;
	int rc = drain(l);
	if (rc == -ENOBUFS) {
		log_warn("netlinkOverrun", NO_KV, "rtnetlink: messages were lost; reading all links anew");
		start_dump(l);
	} else if (rc < 0) {
		log_error("netlinkFailed", NO_KV, "rtnetlink: %s", strerror(-rc));
	}
}

int links_init(struct links **linksp, uv_loop_t *loop, void (*on_change)(void *data), void *data)
{
	struct links *l = mem_zalloc(sizeof(*l));
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE};
	int size = RECEIVE_BUFFER, rc;
	l->loop = loop;
	l->on_change = on_change;
	l->data = data;
	l->dump = N_DUMPS;
	l->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (l->socket < 0) {
		rc = -errno;
		free(l);
		return rc;
	}
	setsockopt(l->socket, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	rc = bind(l->socket, (struct sockaddr *)&local, sizeof(local)) < 0 ? -errno : fd_init(&l->fd, loop, l->socket, on_event, l);
	if (rc < 0) {
		close(l->socket);
		free(l);
		return rc;
	}
	*linksp = l;
	return 0;
}

int links_start(struct links *l)
{
	int rc = fd_start(&l->fd, FD_READ);
	if (rc == 0)
		start_dump(l);   /* subscribed first, so nothing is missed in between */
	return rc;
}

const struct link_table *links_table(const struct links *l)
{
	return &l->current;
}

static void on_closed(struct fd *fd)
{
	struct links *l = fd->data;
	close(l->socket);
	link_table_free(&l->current);
	link_table_free(&l->next);
	free(l);
}

void links_close(struct links *l)
{
	if (l)
		fd_close(&l->fd, on_closed);
}
