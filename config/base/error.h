/* One clear line about what went wrong, for a person. Functions that can fail return a negative errno and, where the
 * caller can show text, fill a struct error: "<object>: <what>; <remedy>". */
#ifndef CONFIG_BASE_ERROR_H
#define CONFIG_BASE_ERROR_H

struct error {
	char text[768];
};

/* Formats into err (which may be NULL) and returns code, so that `return error_set(err, -EINVAL, ...)` reads well.
 * Control characters from foreign input are replaced by '?': the text stays one line. */
int error_set(struct error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The words alone, where the outcome is said otherwise. */
#define error_say(err, ...) ((void)error_set((err), 0, __VA_ARGS__))

/* Puts "<prefix>: " before the text. */
void error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
