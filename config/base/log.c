#include "config/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/base/buffer.h"
#include "config/base/clock.h"

static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error", "none"};
static const char *const LEVEL_COLOURS[] = {"\033[2m", "", "\033[33m", "\033[31m", ""};

static enum log_level threshold = LOG_LEVEL_INFO;
static bool human_form;
static const char *node_name;

bool log_level_parse(const char *text, enum log_level *levelp)
{
	if (strcmp(text, "all") == 0) {
		*levelp = LOG_LEVEL_DEBUG;
		return true;
	}
	for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_NONE; i++)
		if (strcmp(text, LEVEL_NAMES[i]) == 0) {
			*levelp = (enum log_level)i;
			return true;
		}
	return false;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_set_human(bool human)
{
	human_form = human;
}

void log_set_node(const char *name)
{
	node_name = name;
}

static void json_pair(struct buffer *line, const char *key, const char *value)
{
	buffer_text(line, line->len > 1 ? "," : "");
	buffer_json_string(line, key);
	buffer_text(line, ":");
	buffer_json_string(line, value);
}

static void json_line(struct buffer *line, enum log_level level, const char *caller, const char *event,
		      const char *const *pairs, const char *msg)
{
	char ts[CLOCK_TEXT];
	buffer_text(line, "{");
	json_pair(line, "ts", clock_wall_text(ts));
	json_pair(line, "level", LEVEL_NAMES[level]);
	json_pair(line, "caller", caller);
	json_pair(line, "event", event);
	json_pair(line, "msg", msg);
	for (; pairs && pairs[0] && pairs[1]; pairs += 2)
		json_pair(line, pairs[0], pairs[1]);
	if (node_name)
		json_pair(line, "node", node_name);
	buffer_text(line, "}\n");
}

static void human_line(struct buffer *line, enum log_level level, const char *event, const char *const *pairs, const char *msg)
{
	char ts[CLOCK_TEXT];
	clock_wall_text(ts);
	buffer_printf(line, "%.12s %s%-5s\033[0m %s: %s", ts + 11, LEVEL_COLOURS[level], LEVEL_NAMES[level], event, msg);
	for (; pairs && pairs[0] && pairs[1]; pairs += 2)
		buffer_printf(line, " \033[2m%s=%s\033[0m", pairs[0], pairs[1]);
	buffer_text(line, "\n");
}

/* One write(2) per line keeps lines of several processes whole; a reader that went away must not stop the data plane. */
static void put(const struct buffer *line)
{
	size_t done = 0;
	while (done < line->len) {
		ssize_t n = write(STDERR_FILENO, line->data + done, line->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void log_write(enum log_level level, const char *caller, const char *event, const char *const *pairs, const char *format, ...)
{
	if (level < threshold)
		return;
	struct buffer line = BUFFER_INIT;
	va_list args;
	va_start(args, format);
	char text[2048];
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (human_form)
		human_line(&line, level, event, pairs, text);
	else
		json_line(&line, level, caller, event, pairs, text);
	put(&line);
	buffer_free(&line);
}
