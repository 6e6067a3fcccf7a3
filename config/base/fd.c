#include "config/base/fd.h"

static void on_poll(uv_poll_t *poll, int status, int uv_events)
{
	struct fd *fd = poll->data;
	int events = (uv_events & UV_READABLE ? FD_READ : 0) | (uv_events & UV_WRITABLE ? FD_WRITE : 0);
	if (status < 0)
		events |= FD_ERROR;
	fd->on_event(fd, events);
	/* libuv has stopped the handle on an error; without this the socket would be silently deaf. */
	if (status < 0 && fd->events && !fd->closing)
		fd_start(fd, fd->events);
}

int fd_init(struct fd *fd, uv_loop_t *loop, int descriptor, fd_event_cb on_event, void *data)
{
	*fd = (struct fd){.on_event = on_event, .data = data};
	int rc = uv_poll_init(loop, &fd->poll, descriptor);
	fd->poll.data = fd;
	return rc;
}

int fd_start(struct fd *fd, int events)
{
	fd->events = events;
	int mask = (events & FD_READ ? UV_READABLE : 0) | (events & FD_WRITE ? UV_WRITABLE : 0);
	return uv_poll_start(&fd->poll, mask, on_poll);
}

void fd_stop(struct fd *fd)
{
	fd->events = 0;
	uv_poll_stop(&fd->poll);
}

static void on_closed(uv_handle_t *handle)
{
	struct fd *fd = handle->data;
	if (fd->on_close)
		fd->on_close(fd);
}

void fd_close(struct fd *fd, fd_close_cb on_close)
{
	if (fd->closing)
		return;
	fd->closing = true;
	fd->events = 0;
	fd->on_close = on_close;
	uv_close((uv_handle_t *)&fd->poll, on_closed);
}
