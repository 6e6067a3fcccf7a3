/* The simulated API server (tests/sim/apiserver.h) by itself, for the comparison with the real one: one operation per line on
 * stdin as JSON, one answer per line on stdout.
 *
 *   simapi [FAULT]        FAULT: one of those in FAULTS below, planted
 *   {"method": "PATCH", "path": "/apis/...", "type": "application/merge-patch+json", "body": OBJECT}   ->  {"code": 200, "body": OBJECT}
 *   {"watch": "/apis/...", "version": "123", "on": false}   ->  {"code": 200, "events": [{"type", "object"}], "next": "130"}
 *   {"compact": true}   ->  {"code": 200, "version": "131"}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/apiserver.h"

static const char *const FAULTS[] = {
	[SIMAPI_IGNORES_VERSION] = "ignores-version",
	[SIMAPI_IDLE_PATCH_RAISES] = "idle-patch-raises",
	[SIMAPI_IGNORES_UID] = "ignores-uid",
	[SIMAPI_NEVER_FORGETS] = "never-forgets",
	[SIMAPI_LEAVES_SILENTLY] = "leaves-silently",
};

static json_t *number_text(uint64_t number)
{
	return json_sprintf("%llu", (unsigned long long)number);
}

static json_t *do_watch(struct simapi *api, const char *path, const json_t *operation)
{
	const char *text = json_string_value(json_object_get(operation, "version"));
	uint64_t version = strtoull(text ? text : "0", NULL, 10), next;
	json_t *events;
	bool on = json_is_true(json_object_get(operation, "on"));
	int code = (on ? simapi_watch_on : simapi_watch)(api, path, version, 0, &events, &next);
	return json_pack("{s:i, s:o, s:o}", "code", code, code == 200 ? "events" : "body", events, "next", number_text(next));
}

static json_t *perform(struct simapi *api, const json_t *operation)
{
	const char *path = json_string_value(json_object_get(operation, "watch")), *method = json_string_value(json_object_get(operation, "method"));
	json_t *reply;
	if (path)
		return do_watch(api, path, operation);
	if (json_is_true(json_object_get(operation, "compact"))) {
		simapi_compact(api);
		return json_pack("{s:i, s:o}", "code", 200, "version", number_text(simapi_version(api)));
	}
	path = json_string_value(json_object_get(operation, "path"));
	if (!method || !path)
		return NULL;
	int code = simapi_request(api, method, path, json_string_value(json_object_get(operation, "type")), json_object_get(operation, "body"), &reply);
	return json_pack("{s:i, s:o}", "code", code, "body", reply);
}

static int run(struct simapi *api)
{
	char *line = NULL;
	size_t size = 0;
	int failed = 0;
	while (!failed && getline(&line, &size, stdin) > 0) {
		json_t *operation = json_loads(line, 0, NULL), *answer = operation ? perform(api, operation) : NULL;
		if (answer) {
			json_dumpf(answer, stdout, JSON_COMPACT);
			putchar('\n');
			fflush(stdout);
		} else {
			fprintf(stderr, "simapi: not an operation: %s", line);
			failed = 2;
		}
		json_decref(answer);
		json_decref(operation);
	}
	free(line);
	return failed;
}

int main(int argc, char **argv)
{
	struct simapi *api = simapi_new();
	int fault = SIMAPI_NO_FAULT;
	for (size_t i = 1; argc > 1 && i < sizeof(FAULTS) / sizeof(FAULTS[0]); i++)
		if (strcmp(argv[1], FAULTS[i]) == 0)
			fault = (int)i;
	if (argc > 1 && !fault) {
		fprintf(stderr, "simapi: unknown fault %s\n", argv[1]);
		return 2;
	}
	simapi_plant(api, (enum simapi_fault)fault);
	int failed = run(api);
	simapi_free(api);
	return failed;
}
