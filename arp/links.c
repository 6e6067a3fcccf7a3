#include "arp/links.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/fd.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define RECEIVE_BUFFER (1 << 20)
#define DATAGRAM_MAX 32768
#define DATAGRAMS_PER_WAKE 512   /* then the loop gets its turn */
#define DUMP_AGAIN (50 * CLOCK_MS)

static const unsigned short DUMPS[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE};
#define N_DUMPS (sizeof(DUMPS) / sizeof(DUMPS[0]))

struct links {
	uv_loop_t *loop;
	int socket;
	struct fd fd;
	struct link_table current;   /* what others see */
	struct link_table next;      /* filled by the running dump */
	bool complete;               /* `current` is a whole table */
	size_t dump;                 /* index into DUMPS; N_DUMPS: none runs */
	bool begun;                  /* its first part is here: what is queued from now on is newer */
	bool spoilt;                 /* the running dump misses something: it is not used, and made again */
	struct deadline again;       /* when to make it */
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

/* Not at once: while links come and go by the hundred each dump is spoilt, and the loop has other work too. */
static void dump_later(struct links *l)
{
	link_table_free(&l->next);
	l->dump = N_DUMPS;
	deadline_set(&l->again, clock_now() + DUMP_AGAIN);
}

static void request_part(struct links *l)
{
	int rc = request_dump(l);
	if (rc == 0)
		return;
	log_error("netlinkFailed", NO_KV, "rtnetlink: %s; trying again", strerror(-rc));
	dump_later(l);
}

static void start_dump(void *data)
{
	struct links *l = data;
	if (l->dump < N_DUMPS) {
		l->spoilt = true;   /* the kernel runs one at a time for a socket */
		return;
	}
	deadline_set(&l->again, CLOCK_NEVER);
	link_table_free(&l->next);
	l->dump = 0;
	l->begun = l->spoilt = false;
	request_part(l);
}

static void dump_part_done(struct links *l)
{
	if (l->spoilt) {
		dump_later(l);
		return;
	}
	if (++l->dump < N_DUMPS) {
		request_part(l);
		return;
	}
	link_table_free(&l->current);
	l->current = l->next;
	l->next = (struct link_table){0};
	l->complete = true;
	l->on_change(l->data);
}

static void take_dumped(struct links *l, const void *datagram, size_t len)
{
	int news = link_table_apply(&l->next, datagram, len);
	l->begun = true;
	if (news & (LINK_TABLE_INTERRUPTED | LINK_TABLE_REFUSED))
		l->spoilt = true;
	if (news & (LINK_TABLE_DONE | LINK_TABLE_REFUSED))
		dump_part_done(l);
}

/* True when the table that others see has changed by an event. */
static bool take(struct links *l, const struct nlmsghdr *first, size_t len)
{
	bool dumping = l->dump < N_DUMPS;
	if (len < sizeof(*first))
		return false;
	if (dumping && (first->nlmsg_flags & NLM_F_MULTI || first->nlmsg_type == NLMSG_ERROR)) {
		take_dumped(l, first, len);
		return false;
	}
	if (dumping && l->begun)   /* not older ones: a link that is gone since would stay in it for ever */
		link_table_apply(&l->next, first, len);
	return l->complete && (link_table_apply(&l->current, first, len) & LINK_TABLE_CHANGED);
}

/* Takes what is queued. Returns -ENOBUFS when the kernel dropped messages. */
static int drain(struct links *l)
{
	static union {
		struct nlmsghdr align;
		char bytes[DATAGRAM_MAX];
	} datagram;
	bool changed = false;
	int rc = 0;
	for (int i = 0; i < DATAGRAMS_PER_WAKE; i++) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(l->socket, &datagram, sizeof(datagram), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = errno == EAGAIN ? 0 : -errno;
			break;
		}
		if (from.nl_pid == 0)   /* else not from the kernel */
			changed |= take(l, &datagram.align, (size_t)n);
	}
	if (changed)
		l->on_change(l->data);
	return rc;
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
	deadline_init(&l->again, loop, start_dump, l);
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

static void on_timer_closed(void *data)
{
	struct links *l = data;
	close(l->socket);
	link_table_free(&l->current);
	link_table_free(&l->next);
	free(l);
}

static void on_closed(struct fd *fd)
{
	struct links *l = fd->data;
	deadline_close(&l->again, on_timer_closed);
}

void links_close(struct links *l)
{
	if (l)
		fd_close(&l->fd, on_closed);
}
