#include "config/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int file_read(const char *path, size_t max, struct buffer *out, struct error *err)
{
	char chunk[4096];
	size_t before = out->len;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a FIFO by mistake must not hang us */
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	while (out->len - before <= max && (n = read(fd, chunk, sizeof(chunk))) > 0)
		buffer_append(out, chunk, (size_t)n);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", path, strerror(-rc));
	if (out->len - before > max)
		return error_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
	return out->len > before ? 0 : error_set(err, -EINVAL, "%s: empty", path);
}
