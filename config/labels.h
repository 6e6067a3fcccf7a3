/* String maps as Kubernetes objects carry them (labels, annotations), and label selectors. Pure. */
#ifndef CONFIG_LABELS_H
#define CONFIG_LABELS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/base/error.h"

struct label {
	char *key, *value;
};

struct labels {
	struct label *items;   /* in the object's order; keys are unique */
	size_t n;
};

/* Decodes a JSON object of strings; NULL or JSON null gives none. -EINVAL when a value is not a string. */
int labels_decode(const json_t *json, struct labels *labelsp, struct error *err);
void labels_set(struct labels *l, const char *key, const char *value);
const char *labels_get(const struct labels *l, const char *key);   /* NULL: absent */
bool labels_equal(const struct labels *a, const struct labels *b);
void labels_free(struct labels *l);

/* metav1.LabelSelector; matchLabels are kept as In-requirements of one value. All requirements must hold. */
enum requirement_operator { REQUIRE_IN, REQUIRE_NOT_IN, REQUIRE_EXISTS, REQUIRE_NOT_EXISTS };

struct requirement {
	enum requirement_operator op;
	char *key;
	char **values;
	size_t n_values;
};

struct selector {
	struct requirement *requirements;
	size_t n;   /* 0: matches everything */
};

struct selectors {   /* a list: any of them must match */
	struct selector *items;
	size_t n;
};

/* One LabelSelector, checked as Kubernetes does: syntax of keys and values, operators, values where they belong. A value or
 * requirement that is there twice is accepted, as MetalLB does in preferredNodeSelectors. -EINVAL; call selector_free else. */
int selector_decode(const json_t *json, struct selector *selectorp, struct error *err);
bool selector_matches(const struct selector *s, const struct labels *labels);
void selector_free(struct selector *s);

/* A JSON array of LabelSelectors in which nothing is there twice (order of values does not count); absent gives an empty
 * list. -EINVAL: err begins with field and index and names the fault ("duplicate definition of ...", ...). */
int selectors_decode(const json_t *json, const char *field, struct selectors *selectorsp, struct error *err);

/* True when any matches; for an empty list: empty_matches. */
bool selectors_match(const struct selectors *s, const struct labels *labels, bool empty_matches);
void selectors_free(struct selectors *s);

/* A JSON array of strings; absent gives an empty list. strings_decode_unique refuses duplicates. field is its name in err.
 * *itemsp: to strings_free. */
int strings_decode(const json_t *json, const char *field, char ***itemsp, size_t *np, struct error *err);
int strings_decode_unique(const json_t *json, const char *field, char ***itemsp, size_t *np, struct error *err);
bool strings_contain(char *const *items, size_t n, const char *text);
void strings_free(char **items, size_t n);

#endif
