#include "config/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

int labels_decode(const json_t *json, struct labels *labelsp, struct error *err)
{
	struct labels l = {0};
	const char *key;
	json_t *value;
	*labelsp = l;
	if (!json || json_is_null(json))
		return 0;
	if (!json_is_object(json))
		return error_set(err, -EINVAL, "labels and annotations must be maps of strings");
	l.items = mem_zalloc(json_object_size(json) * sizeof(*l.items));
	json_object_foreach((json_t *)json, key, value) {
		if (!json_is_string(value)) {
			labels_free(&l);
			return error_set(err, -EINVAL, "\"%.100s\" must be a string", key);
		}
		l.items[l.n++] = (struct label){mem_strdup(key), mem_strdup(json_string_value(value))};
	}
	*labelsp = l;
	return 0;
}

static struct label *find(const struct labels *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].key, key) == 0)
			return &l->items[i];
	return NULL;
}

void labels_set(struct labels *l, const char *key, const char *value)
{
	struct label *item = find(l, key);
	if (item) {
		mem_replace(&item->value, value);
		return;
	}
	l->items = mem_realloc(l->items, (l->n + 1) * sizeof(*l->items));
	l->items[l->n++] = (struct label){mem_strdup(key), mem_strdup(value)};
}

const char *labels_get(const struct labels *l, const char *key)
{
	const struct label *item = find(l, key);
	return item ? item->value : NULL;
}

bool labels_equal(const struct labels *a, const struct labels *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const char *other = labels_get(b, a->items[i].key);
		if (!other || strcmp(other, a->items[i].value) != 0)
			return false;
	}
	return true;
}

void labels_free(struct labels *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].key);
		free(l->items[i].value);
	}
	free(l->items);
	*l = (struct labels){0};
}

/* ---- lists of strings ---- */

void strings_free(char **items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(items[i]);
	free(items);
}

bool strings_contain(char *const *items, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(items[i], text) == 0)
			return true;
	return false;
}

int strings_decode(const json_t *json, const char *field, char ***itemsp, size_t *np, struct error *err)
{
	*itemsp = NULL;
	*np = 0;
	if (!json || json_is_null(json))
		return 0;
	if (!json_is_array(json))
		return error_set(err, -EINVAL, "%s must be a list of strings", field);
	char **items = mem_zalloc(json_array_size(json) * sizeof(*items));
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(json); i++) {
		const char *text = json_string_value(json_array_get(json, i));
		if (!text) {
			strings_free(items, n);
			return error_set(err, -EINVAL, "%s must be a list of strings; put quotes around its entry number %zu", field, i + 1);
		}
		items[n++] = mem_strdup(text);
	}
	*itemsp = items;
	*np = n;
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One that is there twice, or NULL. By sorting: a list from outside may be long. */
static const char *find_duplicate(char *const *items, size_t n)
{
	if (n < 2)
		return NULL;
	const char **sorted = mem_zalloc(n * sizeof(*sorted));
	const char *found = NULL;
	memcpy(sorted, items, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_texts);
	for (size_t i = 1; !found && i < n; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			found = sorted[i];
	free(sorted);
	return found;
}

int strings_decode_unique(const json_t *json, const char *field, char ***itemsp, size_t *np, struct error *err)
{
	int rc = strings_decode(json, field, itemsp, np, err);
	const char *twice = rc == 0 ? find_duplicate(*itemsp, *np) : NULL;
	if (!twice)
		return rc;
	rc = error_set(err, -EINVAL, "duplicate definition of \"%.100s\" in %s; name it once", twice, field);
	strings_free(*itemsp, *np);
	*itemsp = NULL;
	*np = 0;
	return rc;
}

/* ---- syntax ---- */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At most 63 letters, digits and -_. with a letter or digit at both ends. */
static bool is_label_name(const char *text)
{
	size_t n = strlen(text);
	if (n < 1 || n > 63 || !is_alnum(text[0]) || !is_alnum(text[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

/* A DNS subdomain, in front of a key's slash. */
static bool is_label_prefix(const char *from, const char *to)
{
	char before = '.';
	if (from == to || to - from > 253)
		return false;
	for (const char *p = from; p < to; before = *p++) {
		bool edge = before == '.' || p + 1 == to || p[1] == '.';
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');
		if (!plain && (*p == '.' ? before == '.' || p + 1 == to : *p != '-' || edge))
			return false;
	}
	return true;
}

static int check_key(const char *key, struct error *err)
{
	const char *slash = strchr(key, '/');
	if ((!slash || is_label_prefix(key, slash)) && is_label_name(slash ? slash + 1 : key))
		return 0;
	return error_set(err, -EINVAL, "\"%.100s\" is not a label key; write it as name or example.com/name, of letters, digits and -_.", key);
}

static int check_value(const char *value, struct error *err)
{
	if (!*value || is_label_name(value))
		return 0;
	return error_set(err, -EINVAL, "\"%.100s\" is not a label value; write up to 63 letters, digits and -_. with a letter or digit at both ends", value);
}

/* ---- selectors ---- */

static void requirement_free(struct requirement *r)
{
	free(r->key);
	strings_free(r->values, r->n_values);
}

void selector_free(struct selector *s)
{
	for (size_t i = 0; i < s->n; i++)
		requirement_free(&s->requirements[i]);
	free(s->requirements);
	*s = (struct selector){0};
}

static struct requirement *add_requirement(struct selector *s)
{
	s->requirements = mem_realloc(s->requirements, (s->n + 1) * sizeof(*s->requirements));
	struct requirement *r = &s->requirements[s->n++];
	*r = (struct requirement){0};
	return r;
}

static int decode_match_labels(const json_t *json, struct selector *s, struct error *err)
{
	struct labels l;
	int rc = labels_decode(json, &l, err);
	if (rc < 0) {
		error_prefix(err, "matchLabels");
		return rc;
	}
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		struct requirement *r = add_requirement(s);
		r->op = REQUIRE_IN;
		r->key = mem_strdup(l.items[i].key);
		r->values = mem_zalloc(sizeof(char *));
		r->values[0] = mem_strdup(l.items[i].value);
		r->n_values = 1;
		rc = check_key(r->key, err);
		if (rc == 0)
			rc = check_value(r->values[0], err);
	}
	labels_free(&l);
	return rc;
}

static int decode_operator(const char *op, enum requirement_operator *opp, struct error *err)
{
	static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	for (int i = REQUIRE_IN; i <= REQUIRE_NOT_EXISTS; i++)
		if (strcmp(op, OPERATORS[i]) == 0) {
			*opp = (enum requirement_operator)i;
			return 0;
		}
	return error_set(err, -EINVAL, "\"%.50s\" is not a valid label selector operator; write In, NotIn, Exists or DoesNotExist", op);
}

static int decode_expression(const json_t *json, struct selector *s, struct error *err)
{
	const char *key = json_string_value(json_object_get(json, "key"));
	const char *op = json_string_value(json_object_get(json, "operator"));
	if (!key || !*key || !op)
		return error_set(err, -EINVAL, "a label selector's matchExpressions need key and operator");
	struct requirement *r = add_requirement(s);
	r->key = mem_strdup(key);
	int rc = decode_operator(op, &r->op, err);
	if (rc == 0)
		rc = check_key(key, err);
	if (rc == 0)
		rc = strings_decode(json_object_get(json, "values"), "values", &r->values, &r->n_values, err);
	if (rc < 0)
		return rc;
	bool takes_values = r->op == REQUIRE_IN || r->op == REQUIRE_NOT_IN;
	if (takes_values && r->n_values == 0)
		return error_set(err, -EINVAL, "a label selector's operator %s needs values; give at least one, or use Exists or DoesNotExist", op);
	if (!takes_values && r->n_values > 0)
		return error_set(err, -EINVAL, "a label selector's operator %s takes no values; remove \"%.100s\", or use In or NotIn", op, r->values[0]);
	for (size_t i = 0; rc == 0 && i < r->n_values; i++)
		rc = check_value(r->values[i], err);
	return rc;
}

int selector_decode(const json_t *json, struct selector *selectorp, struct error *err)
{
	struct selector s = {0};
	*selectorp = s;
	if (!json_is_object(json))
		return error_set(err, -EINVAL, "a label selector must be an object with matchLabels or matchExpressions");
	const json_t *expressions = json_object_get(json, "matchExpressions");
	if (expressions && !json_is_array(expressions) && !json_is_null(expressions))
		return error_set(err, -EINVAL, "a label selector's matchExpressions must be a list");
	int rc = decode_match_labels(json_object_get(json, "matchLabels"), &s, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(expressions); i++)
		rc = decode_expression(json_array_get(expressions, i), &s, err);
	if (rc < 0)
		selector_free(&s);
	else
		*selectorp = s;
	return rc;
}

/* ---- lists of selectors ---- */

/* Both without duplicates, so equal as sets when each of a's is in b. */
static bool same_values(const struct requirement *a, const struct requirement *b)
{
	if (a->n_values != b->n_values)
		return false;
	for (size_t i = 0; i < a->n_values; i++)
		if (!strings_contain(b->values, b->n_values, a->values[i]))
			return false;
	return true;
}

static bool same_requirement(const struct requirement *a, const struct requirement *b)
{
	return a->op == b->op && strcmp(a->key, b->key) == 0 && same_values(a, b);
}

/* matchLabels come first: the first n_labels requirements, in any order; expressions count in theirs, as in MetalLB. */
static bool same_selector(const struct selector *a, size_t a_labels, const struct selector *b, size_t b_labels)
{
	if (a->n != b->n || a_labels != b_labels)
		return false;
	for (size_t i = 0; i < a_labels; i++) {
		bool found = false;
		for (size_t j = 0; !found && j < b_labels; j++)
			found = same_requirement(&a->requirements[i], &b->requirements[j]);
		if (!found)
			return false;
	}
	for (size_t i = a_labels; i < a->n; i++)
		if (!same_requirement(&a->requirements[i], &b->requirements[i]))
			return false;
	return true;
}

static int refuse_duplicates_within(const struct selector *s, size_t n_labels, struct error *err)
{
	for (size_t i = n_labels; i < s->n; i++) {
		const struct requirement *r = &s->requirements[i];
		const char *twice = find_duplicate(r->values, r->n_values);
		if (twice)
			return error_set(err, -EINVAL, "duplicate definition of match expression value \"%.100s\" for the key %.100s; name it once",
					 twice, r->key);
		for (size_t j = n_labels; j < i; j++)
			if (same_requirement(r, &s->requirements[j]))
				return error_set(err, -EINVAL, "duplicate definition of a match expression for the key %.100s; name it once", r->key);
	}
	return 0;
}

static size_t count_labels(const json_t *list, size_t i)
{
	return json_object_size(json_object_get(json_array_get(list, i), "matchLabels"));
}

int selectors_decode(const json_t *json, const char *field, struct selectors *selectorsp, struct error *err)
{
	struct selectors list = {0};
	int rc = 0;
	*selectorsp = list;
	if (!json || json_is_null(json))
		return 0;
	if (!json_is_array(json))
		return error_set(err, -EINVAL, "%s must be a list of label selectors", field);
	list.items = mem_zalloc(json_array_size(json) * sizeof(*list.items));
	for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
		struct selector *s = &list.items[i];
		rc = selector_decode(json_array_get(json, i), s, err);
		list.n += rc == 0;
		if (rc == 0)
			rc = refuse_duplicates_within(s, count_labels(json, i), err);
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (same_selector(s, count_labels(json, i), &list.items[j], count_labels(json, j)))
				rc = error_set(err, -EINVAL, "duplicate definition of a label selector; it is the same as number %zu, remove one", j + 1);
		if (rc < 0)
			error_prefix(err, "%s[%zu]", field, i);
	}
	if (rc < 0)
		selectors_free(&list);
	else
		*selectorsp = list;
	return rc;
}

static bool requirement_holds(const struct requirement *r, const struct labels *labels)
{
	const char *value = labels_get(labels, r->key);
	switch (r->op) {
	case REQUIRE_IN:
		return value && strings_contain(r->values, r->n_values, value);
	case REQUIRE_NOT_IN:
		return !value || !strings_contain(r->values, r->n_values, value);
	case REQUIRE_EXISTS:
		return value != NULL;
	case REQUIRE_NOT_EXISTS:
		return value == NULL;
	}
	return false;
}

bool selector_matches(const struct selector *s, const struct labels *labels)
{
	for (size_t i = 0; i < s->n; i++)
		if (!requirement_holds(&s->requirements[i], labels))
			return false;
	return true;
}

bool selectors_match(const struct selectors *s, const struct labels *labels, bool empty_matches)
{
	for (size_t i = 0; i < s->n; i++)
		if (selector_matches(&s->items[i], labels))
			return true;
	return s->n == 0 && empty_matches;
}

void selectors_free(struct selectors *s)
{
	for (size_t i = 0; i < s->n; i++)
		selector_free(&s->items[i]);
	free(s->items);
	*s = (struct selectors){0};
}
