/* One packet socket on one link; the only file that knows libpcap. Immediate mode (buffered modes delay every answer),
 * bound to ARP, not promiscuous, with the kernel filter of filter.h. Links that go down and come back keep their handle. */
#ifndef ARP_LINK_H
#define ARP_LINK_H

#include <uv.h>

#include "arp/frame.h"
#include "config/base/error.h"

struct link;

#define LINK_FRAME 64   /* bytes kept of a frame: more than ARP needs */

struct link_frame {
	size_t len;              /* bytes that came, at most LINK_FRAME of them kept */
	int64_t at;              /* when it came, by clock_now(): it may have waited for us since */
	uint8_t bytes[LINK_FRAME];
};

/* on_frames runs from the loop, in batches, after libpcap's callback has returned. -EPERM: CAP_NET_RAW is missing. */
int link_open(struct link **linkp, uv_loop_t *loop, const char *name, const char *filter,
	      void (*on_frames)(void *data, const struct link_frame *frames, size_t n), void *data, struct error *err);

/* In one step: no frame is lost to the change. */
int link_set_filter(struct link *l, const char *filter, struct error *err);

/* Frames (of at most LINK_FRAME bytes) are sent together, many in one system call: link_send puts one in the queue,
 * link_flush sends what is there and returns how many could not be sent since the last flush (-ENOBUFS, -ENETDOWN, ...).
 * Flush before the loop goes on. */
void link_send(struct link *l, const uint8_t *bytes, size_t len);
size_t link_flush(struct link *l);

/* The ifindex it is bound to; -1 when that link is gone, even if another one has its index or name now. */
int link_index(const struct link *l);

/* Throws away what has come and is unread (ownership.md R7). */
void link_discard(struct link *l);

/* The link is up again: capture resumes. */
void link_wake(struct link *l);
void link_close(struct link *l);   /* NULL is fine */

/* What the kernel gets for a filter, the guard of packet types included: for the tests. free(programp->filter). */
struct sock_fprog;
int link_compile(const char *filter, struct sock_fprog *programp, struct error *err);

#endif
