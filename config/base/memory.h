/* Allocation that does not fail: a process this small that cannot get memory has nothing better to do than to say so and
 * end; the DaemonSet restarts it. Every function here therefore returns a usable pointer. */
#ifndef CONFIG_BASE_MEMORY_H
#define CONFIG_BASE_MEMORY_H

#include <stddef.h>

void *mem_zalloc(size_t size);               /* zero-filled; free() it */
void *mem_realloc(void *old, size_t size);   /* like realloc */
char *mem_strdup(const char *text);          /* NULL gives NULL */
char *mem_strndup(const char *text, size_t n);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replaces the string that *place owns by a copy of text (which may be NULL). */
void mem_replace(char **place, const char *text);

_Noreturn void mem_exhausted(void);

#endif
