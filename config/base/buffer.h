/* A growable run of bytes, always followed by a NUL so that text can be used as it is. */
#ifndef CONFIG_BASE_BUFFER_H
#define CONFIG_BASE_BUFFER_H

#include <stddef.h>

struct buffer {
	char *data;   /* NULL while nothing was ever appended */
	size_t len;
	size_t cap;
};

#define BUFFER_INIT ((struct buffer){0})

void buffer_append(struct buffer *b, const void *bytes, size_t n);
void buffer_text(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets the first n bytes (n <= len). */
void buffer_consume(struct buffer *b, size_t n);

/* Empties it; gives memory back when a rare huge message made it larger than keep bytes. */
void buffer_reset(struct buffer *b, size_t keep);
void buffer_free(struct buffer *b);

/* The text; "" while empty, never NULL. */
const char *buffer_string(const struct buffer *b);

/* Appends text as a JSON string, quotes included; bytes that are not UTF-8 are replaced by '?'. */
void buffer_json_string(struct buffer *b, const char *text);

#endif
