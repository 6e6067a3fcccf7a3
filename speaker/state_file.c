#include "speaker/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/file.h"
#include "config/base/memory.h"

#define LARGEST (8 << 20)

int state_file_read(const char *path, char **textp)
{
	struct buffer text = BUFFER_INIT;
	struct error err;
	int rc = file_read(path, LARGEST, &text, &err);
	if (rc == 0)
		*textp = mem_strdup(buffer_string(&text));
	buffer_free(&text);
	return rc;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);
		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int state_file_write(const char *path, const char *text)
{
	char *fresh = mem_printf("%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	if (fd >= 0 && close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && rename(fresh, path) < 0)
		rc = -errno;
	if (rc < 0 && fd >= 0)
		unlink(fresh);
	free(fresh);
	return rc;
}
