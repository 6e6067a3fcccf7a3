/* What every unit test needs: cmocka, and JSON written with single quotes. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* To json_decref. */
static inline json_t *unit_json(const char *single_quoted)
{
	json_error_t at;
	char *text = mem_strdup(single_quoted);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	json_t *value = json_loads(text, JSON_DECODE_ANY, &at);
	if (!value)
		fail_msg("bad JSON in the test: %s in %s", at.text, text);
	free(text);
	return value;
}

/* Fails with both texts. part "": only that there is one. */
static inline void unit_contains(const char *text, const char *part)
{
	if (!*text || !strstr(text, part))
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

#endif
