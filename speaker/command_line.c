#include "speaker/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "speaker/commands.h"

static const char *environment(const char *name)
{
	return getenv(name);
}

bool command_line_parse(struct tool_options *options, enum tool tool, int argc, char **argv, int *exit_codep)
{
	struct error err = {""};
	struct buffer text = BUFFER_INIT;
	*exit_codep = EXIT_DONE;
	if (tool_options_parse(options, tool, argc, argv, environment, &err) < 0) {
		fprintf(stderr, "l2lb: %s\n", err.text);
		*exit_codep = EXIT_USAGE;
		return false;
	}
	if (!options->help)
		return true;
	tool_options_usage(tool, &text);
	fputs(buffer_string(&text), stdout);
	buffer_free(&text);
	return false;
}

bool command_line_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void command_line_json(struct buffer *out, json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	buffer_printf(out, "%s\n", text);
	free(text);
	json_decref(json);
}
