#include "speaker/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/memory.h"

#define LARGEST (8 << 20)

static int read_all(int fd, char *text, size_t size)
{
	size_t got = 0;
	while (got < size) {
		ssize_t n = read(fd, text + got, size - got);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	text[got] = '\0';
	return 0;
}

int state_file_read(const char *path, char **textp)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int rc = fstat(fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : st.st_size > LARGEST ? -EFBIG : 0;
	char *text = rc == 0 ? mem_zalloc((size_t)st.st_size + 1) : NULL;
	if (rc == 0)
		rc = read_all(fd, text, (size_t)st.st_size);
	close(fd);
	if (rc < 0)
		free(text);
	else
		*textp = text;
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
