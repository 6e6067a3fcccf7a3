/* What `l2lb verify`, `listen`, `move`, `drain` and `undrain` were asked to do. Pure: the environment is a function. */
#ifndef CONFIG_TOOL_OPTIONS_H
#define CONFIG_TOOL_OPTIONS_H

#include "config/options.h"

enum tool { TOOL_VERIFY = 1, TOOL_LISTEN = 2, TOOL_MOVE = 4, TOOL_DRAIN = 8, TOOL_UNDRAIN = 16 };

struct tool_options {
	struct options cluster;          /* how to reach it: options_cluster_flag */
	bool no_api, json, help;
	char *interface;                 /* NULL: chosen */
	/* verify, move (just one) */
	struct address *addresses;       /* IPv4, each once, in the order given */
	size_t n_addresses;
	/* verify */
	bool all;
	int64_t timeout;                 /* microseconds: asking and waiting together; move, drain: 0 does not wait */
	/* move, drain, undrain */
	char *node;
	/* listen */
	struct address_range *ranges;    /* IPv4; none: everything */
	size_t n_ranges;
	uint64_t count;                  /* 0: no end */
	int64_t duration;                /* 0: no end */
};

/* arguments: what follows the command. -EINVAL: err is one line that starts with the flag or argument. Call tool_options_free
 * in any case. */
int tool_options_parse(struct tool_options *o, enum tool tool, int argc, char *const *argv, options_env env, struct error *err);
void tool_options_free(struct tool_options *o);

/* The text of `l2lb verify --help` and so on. */
void tool_options_usage(enum tool tool, struct buffer *out);

#endif
