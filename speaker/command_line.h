/* What the commands for people have in common: arguments, help, colour, JSON. */
#ifndef SPEAKER_COMMAND_LINE_H
#define SPEAKER_COMMAND_LINE_H

#include <jansson.h>

#include "config/base/buffer.h"
#include "config/tool_options.h"

/* False: it is over, what there was to say (help, or one line about a mistake) has been said, and *exit_codep is the status.
 * tool_options_free in any case. */
bool command_line_parse(struct tool_options *options, enum tool tool, int argc, char **argv, int *exit_codep);

bool command_line_colour(void);   /* standard output is a terminal that shows it, and nobody objects (NO_COLOR) */

/* Appends it as `-o json` shows it; takes json over. */
void command_line_json(struct buffer *out, json_t *json);

#endif
