/* What l2lb thinks of IPAddressPools and L2Advertisements, for the tests of the CRDs: reads JSON objects, one a line, and
 * prints for each "ok" or the error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/advertisement.h"
#include "config/pool.h"

static int decode(const json_t *object, struct error *err)
{
	const char *kind = json_string_value(json_object_get(object, "kind"));
	if (kind && strcmp(kind, "IPAddressPool") == 0) {
		struct pool *pool = NULL;
		int rc = pool_decode(object, &pool, err);
		pool_free(pool);
		return rc;
	}
	struct advertisement *ad = NULL;
	int rc = advertisement_decode(object, &ad, err);
	advertisement_free(ad);
	return rc;
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	while (getline(&line, &size, stdin) > 0) {
		struct error err = {""};
		json_error_t at;
		json_t *object = json_loads(line, 0, &at);
		if (!object) {
			fprintf(stderr, "configcheck: %s\n", at.text);
			return 2;
		}
		puts(decode(object, &err) == 0 ? "ok" : err.text);
		json_decref(object);
	}
	free(line);
	return 0;
}
