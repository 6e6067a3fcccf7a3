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
		if (!text || strings_contain(items, n, text)) {
			strings_free(items, n);
			return text ? error_set(err, -EINVAL, "duplicate definition of \"%.100s\" in %s; name it once", text, field)
				    : error_set(err, -EINVAL, "%s must be a list of strings", field);
		}
		items[n++] = mem_strdup(text);
	}
	*itemsp = items;
	*np = n;
	return 0;
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
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < l.n; i++) {
		struct requirement *r = add_requirement(s);
		r->op = REQUIRE_IN;
		r->key = mem_strdup(l.items[i].key);
		r->values = mem_zalloc(sizeof(char *));
		r->values[0] = mem_strdup(l.items[i].value);
		r->n_values = 1;
	}
	labels_free(&l);
	return 0;
}

static int decode_expression(const json_t *json, struct selector *s, struct error *err)
{
	static const char *const OPERATORS[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	const char *key = json_string_value(json_object_get(json, "key"));
	const char *op = json_string_value(json_object_get(json, "operator"));
	if (!key || !*key || !op)
		return error_set(err, -EINVAL, "a label selector's matchExpressions need key and operator");
	for (int i = REQUIRE_IN; i <= REQUIRE_NOT_EXISTS; i++) {
		if (strcmp(op, OPERATORS[i]) != 0)
			continue;
		struct requirement *r = add_requirement(s);
		r->op = (enum requirement_operator)i;
		r->key = mem_strdup(key);
		int rc = strings_decode(json_object_get(json, "values"), "values", &r->values, &r->n_values, err);
		if (rc == 0 && (i <= REQUIRE_NOT_IN) != (r->n_values > 0))
			rc = error_set(err, -EINVAL, "a label selector's operator %s %s values", op, i <= REQUIRE_NOT_IN ? "needs" : "takes no");
		return rc;
	}
	return error_set(err, -EINVAL, "\"%.50s\" is not a label selector operator (In, NotIn, Exists, DoesNotExist)", op);
}

int selector_decode(const json_t *json, struct selector *selectorp, struct error *err)
{
	struct selector s = {0};
	if (!json_is_object(json))
		return error_set(err, -EINVAL, "a label selector must be an object");
	int rc = decode_match_labels(json_object_get(json, "matchLabels"), &s, err);
	const json_t *expressions = json_object_get(json, "matchExpressions");
	for (size_t i = 0; rc == 0 && i < json_array_size(expressions); i++) {
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (json_equal(json_array_get(expressions, i), json_array_get(expressions, j)))
				rc = error_set(err, -EINVAL, "duplicate definition of a match expression");
		if (rc == 0)
			rc = decode_expression(json_array_get(expressions, i), &s, err);
	}
	if (rc < 0)
		selector_free(&s);
	else
		*selectorp = s;
	return rc;
}

int selectors_decode(const json_t *json, struct selectors *selectorsp, struct error *err)
{
	struct selectors list = {0};
	int rc = 0;
	*selectorsp = list;
	if (!json || json_is_null(json))
		return 0;
	if (!json_is_array(json))
		return error_set(err, -EINVAL, "label selectors must be a list");
	list.items = mem_zalloc(json_array_size(json) * sizeof(*list.items));
	for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (json_equal(json_array_get(json, i), json_array_get(json, j)))
				rc = error_set(err, -EINVAL, "duplicate definition of a label selector; name it once");
		if (rc == 0)
			rc = selector_decode(json_array_get(json, i), &list.items[list.n], err);
		list.n += rc == 0;
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
