/* The one wrapper of uv_poll. libuv stops a poll handle and reports UV_EBADF when epoll says POLLERR, which for packet,
 * netlink and TCP sockets is an ordinary event (link down, buffer overrun, connection refused). Here such an error
 * arrives as FD_ERROR; the owner must *consume* it (read the socket, ask libcurl), then polling goes on by itself.
 *
 * init start stop close; after close the memory may be freed only in the close callback. */
#ifndef CONFIG_BASE_FD_H
#define CONFIG_BASE_FD_H

#include <stdbool.h>
#include <uv.h>

enum { FD_READ = 1, FD_WRITE = 2, FD_ERROR = 4 };

struct fd;
typedef void (*fd_event_cb)(struct fd *fd, int events);
typedef void (*fd_close_cb)(struct fd *fd);

struct fd {
	uv_poll_t poll;
	int events;          /* the mask asked for; 0: stopped */
	bool closing;
	fd_event_cb on_event;
	fd_close_cb on_close;
	void *data;          /* the owner's */
};

int fd_init(struct fd *fd, uv_loop_t *loop, int descriptor, fd_event_cb on_event, void *data);
int fd_start(struct fd *fd, int events);
void fd_stop(struct fd *fd);
void fd_close(struct fd *fd, fd_close_cb on_close);   /* does not close the descriptor */

#endif
