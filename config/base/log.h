/* Log lines for people who grep: one JSON object a line on stderr, with MetalLB's keys (ts, level, caller, event, msg, then
 * service, ip, pool, node, ...); on a terminal a human form of the same.
 *
 *   log_info("ipAllocated", KV("service", key, "ip", ip), "assigned %s", ip);
 */
#ifndef CONFIG_BASE_LOG_H
#define CONFIG_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_NONE };

/* "all", "debug", "info", "warn", "error", "none" (MetalLB's set). False: not one of them. */
bool log_level_parse(const char *text, enum log_level *levelp);

void log_set_level(enum log_level level);
void log_set_human(bool human);           /* coloured text instead of JSON */
void log_set_node(const char *name);      /* added as "node" to each line; NULL: none. The string is kept, not copied. */

/* pairs: key, value, ..., NULL; or NULL. A NULL value ends the list early, so optional pairs go last. */
void log_write(enum log_level level, const char *caller, const char *event, const char *const *pairs, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

#define LOG_TEXT_(x) #x
#define LOG_TEXT(x) LOG_TEXT_(x)
#define LOG_CALLER __FILE__ ":" LOG_TEXT(__LINE__)
#define KV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_KV ((const char *const *)0)

#define log_debug(event, pairs, ...) log_write(LOG_LEVEL_DEBUG, LOG_CALLER, event, pairs, __VA_ARGS__)
#define log_info(event, pairs, ...) log_write(LOG_LEVEL_INFO, LOG_CALLER, event, pairs, __VA_ARGS__)
#define log_warn(event, pairs, ...) log_write(LOG_LEVEL_WARN, LOG_CALLER, event, pairs, __VA_ARGS__)
#define log_error(event, pairs, ...) log_write(LOG_LEVEL_ERROR, LOG_CALLER, event, pairs, __VA_ARGS__)

#endif
