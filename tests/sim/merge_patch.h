/* RFC 7386, as an API server applies it; for the servers that tests imitate. */
#ifndef TESTS_SIM_MERGE_PATCH_H
#define TESTS_SIM_MERGE_PATCH_H

#include <jansson.h>

/* What is taken over from `change` is copied. */
static inline void merge_patch(json_t *target, const json_t *change)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)change, key, value) {
		json_t *old = json_object_get(target, key);
		if (json_is_null(value)) {
			json_object_del(target, key);
		} else if (json_is_object(value)) {
			if (!json_is_object(old))
				json_object_set_new(target, key, old = json_object());
			merge_patch(old, value);
		} else {
			json_object_set_new(target, key, json_deep_copy(value));
		}
	}
}

#endif
