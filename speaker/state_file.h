/* The file with a speaker's saved state. Blocking, but small and on a local disk. */
#ifndef SPEAKER_STATE_FILE_H
#define SPEAKER_STATE_FILE_H

/* The whole file, to free(). -ENOENT, -EFBIG (over 8 MiB), ... */
int state_file_read(const char *path, char **textp);

/* Replaces it in one step: whoever reads sees the old text or the new one. -errno. */
int state_file_write(const char *path, const char *text);

#endif
