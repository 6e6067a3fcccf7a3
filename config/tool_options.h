/* What `l2lb verify` and `l2lb listen` were asked to do. Pure: the environment is a function. */
#ifndef CONFIG_TOOL_OPTIONS_H
#define CONFIG_TOOL_OPTIONS_H

#include "config/options.h"

enum tool { TOOL_VERIFY = 1, TOOL_LISTEN = 2 };

struct tool_options {
	struct options cluster;          /* how to reach it: options_cluster_flag */
	bool no_api, json, help;
	char *interface;                 /* NULL: chosen */
	/* verify */
	struct address *addresses;       /* IPv4, each once, in the order given */
	size_t n_addresses;
	bool all;
	int64_t timeout;                 /* microseconds: asking and waiting together */
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

/* The text of `l2lb verify --help`, `l2lb listen --help`. */
void tool_options_usage(enum tool tool, struct buffer *out);

#endif
