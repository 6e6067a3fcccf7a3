/* Small files that somebody else writes: configuration, tokens, certificates. */
#ifndef CONFIG_BASE_FILE_H
#define CONFIG_BASE_FILE_H

#include <stddef.h>

#include "config/base/buffer.h"
#include "config/base/error.h"

/* Appends the file's content. -ENOENT, -EACCES, ...; -EINVAL: empty; -EFBIG: more than max bytes; err starts with the path. */
int file_read(const char *path, size_t max, struct buffer *out, struct error *err);

#endif
