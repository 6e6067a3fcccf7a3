#include "tests/sim/apiserver_query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "tests/sim/apiserver_kinds.h"

/* ---- failure ---- */

int simfail(struct simerror *e, int code, const char *reason, const char *format, ...)
{
	va_list arguments;
	e->code = code;
	e->reason = reason;
	va_start(arguments, format);
	vsnprintf(e->text, sizeof(e->text), format, arguments);
	va_end(arguments);
	return code;
}

json_t *simerror_status(struct simerror *e, const struct simkind *kind, const char *name)
{
	json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata", "status", "Failure",
				   "message", e->text, "code", e->code);
	if (*e->reason)
		json_object_set_new(status, "reason", json_string(e->reason));
	if (kind && name) {
		json_t *details = json_pack("{s:s, s:s}", "name", name, "kind", strcmp(e->reason, "Invalid") == 0 ? kind->kind : kind->plural);
		if (*kind->group)
			json_object_set_new(details, "group", json_string(kind->group));
		json_object_set_new(status, "details", details);
	}
	if (e->token)
		json_object_set_new(json_object_get(status, "metadata"), "continue", json_string(e->token));
	free(e->token);
	e->token = NULL;
	return status;
}

/* ---- paths ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX undone, and + where it means a blank. */
static char *decoded(const char *text, size_t n, bool plus)
{
	char *out = mem_zalloc(n + 1), *end = out;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '%' && i + 2 < n && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
			*end++ = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		} else {
			*end++ = plus && text[i] == '+' ? ' ' : text[i];
		}
	}
	return out;
}

#define MAX_PARTS 8

/* The parts between slashes; at most MAX_PARTS, one more means too many. */
static size_t split_path(const char *path, size_t length, char *parts[MAX_PARTS])
{
	size_t n = 0;
	for (const char *at = path, *end = path + length; at < end;) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;
		if (stop > at) {
			if (n == MAX_PARTS)
				return n + 1;
			parts[n++] = decoded(at, (size_t)(stop - at), false);
		}
		at = stop + 1;
	}
	return n;
}

static int parse_parts(char *parts[], size_t n, struct simquery *q, struct simerror *e)
{
	const char *group = "", *version;
	size_t at;
	if (n >= 3 && strcmp(parts[0], "api") == 0) {
		version = parts[1];
		at = 2;
	} else if (n >= 4 && strcmp(parts[0], "apis") == 0) {
		group = parts[1];
		version = parts[2];
		at = 3;
	} else {
		return simfail(e, 404, "NotFound", "the server could not find the requested resource");
	}
	/* namespaces/NS/PLURAL is a place, namespaces/NS[/status] the namespace itself */
	bool place = strcmp(parts[at], "namespaces") == 0 && n > at + 2 && strcmp(parts[at + 2], "status") != 0;
	if (place) {
		q->name_space = mem_strdup(parts[at + 1]);
		at += 2;
	}
	q->kind = simkind_find(group, version, parts[at]);
	q->name = n > at + 1 ? mem_strdup(parts[at + 1]) : NULL;
	q->sub = n > at + 2 ? mem_strdup(parts[at + 2]) : NULL;
	const struct simkind *k = q->kind;
	bool wrong_scope = k && (k->namespaced ? q->name && !place : place);
	if (!k || wrong_scope || n > at + 3 || (q->sub && !(k->status && strcmp(q->sub, "status") == 0)))
		return simfail(e, 404, "NotFound", "the server could not find the requested resource");
	return 0;
}

static int parse_path(const char *path, size_t length, struct simquery *q, struct simerror *e)
{
	char *parts[MAX_PARTS] = {NULL};
	size_t n = split_path(path, length, parts);
	int code = n > MAX_PARTS ? simfail(e, 404, "NotFound", "the server could not find the requested resource") : parse_parts(parts, n, q, e);
	for (size_t i = 0; i < MAX_PARTS; i++)
		free(parts[i]);
	return code;
}

/* ---- selectors ---- */

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " ");
}

static char *word(const char **pp, const char *stop)
{
	const char *p = skip_blanks(*pp);
	size_t n = strcspn(p, stop);
	*pp = skip_blanks(p + n);
	return mem_strndup(p, n);
}

static void add_value(struct simlabel *l, char *value)
{
	l->values = mem_realloc(l->values, (l->n + 1) * sizeof(*l->values));
	l->values[l->n++] = value;
}

/* The list of in (a,b); true when it is well formed. */
static bool parse_values(const char **pp, struct simlabel *l)
{
	char next = **pp;
	if (next != '(')
		return false;
	do {
		++*pp;
		add_value(l, word(pp, " ,()"));
		next = **pp;
	} while (next == ',');
	if (next != ')')
		return false;
	*pp = skip_blanks(*pp + 1);
	return true;
}

static bool parse_operator(const char **pp, struct simlabel *l)
{
	const char *p = *pp;
	if (*p == '\0' || *p == ',') {
		l->op = LABEL_EXISTS;
		return true;
	}
	if (*p == '=' || (*p == '!' && p[1] == '=')) {
		l->op = *p == '=' ? LABEL_IS : LABEL_IS_NOT;
		*pp = p + (p[1] == '=' ? 2 : 1);
		add_value(l, word(pp, " ,()=!"));
		return true;
	}
	bool in = strncmp(p, "in", 2) == 0 && strchr(" (", p[2]) && p[2], notin = strncmp(p, "notin", 5) == 0;
	if (!in && !notin)
		return false;
	l->op = in ? LABEL_IS : LABEL_IS_NOT;
	*pp = skip_blanks(p + (in ? 2 : 5));
	return parse_values(pp, l);
}

static int parse_labels(const char *text, struct simquery *q, struct simerror *e)
{
	const char *p = skip_blanks(text);
	while (*p) {
		q->labels = mem_realloc(q->labels, (q->n_labels + 1) * sizeof(*q->labels));
		struct simlabel *l = &q->labels[q->n_labels++];
		*l = (struct simlabel){0};
		bool absent = *p == '!', good;
		p += absent;
		l->key = word(&p, " ,()=!");
		if (absent) {
			l->op = LABEL_MISSING;
			good = *l->key;
		} else {
			good = *l->key && parse_operator(&p, l);
		}
		if (!good || (*p && *p != ','))
			return simfail(e, 400, "BadRequest", "unable to parse requirement: found '%.100s'", p);
		p = skip_blanks(p + (*p == ','));
	}
	return 0;
}

static int parse_fields(const char *text, struct simquery *q, struct simerror *e)
{
	const char *p = skip_blanks(text);
	while (*p) {
		q->fields = mem_realloc(q->fields, (q->n_fields + 1) * sizeof(*q->fields));
		struct simfield *f = &q->fields[q->n_fields++];
		*f = (struct simfield){.path = word(&p, " ,=!")};
		f->not = *p == '!';
		size_t operator = strspn(p, "!=");
		if (operator == 0 || operator > 2)
			return simfail(e, 400, "BadRequest", "invalid selector: '%.100s'", text);
		p += operator;
		f->value = word(&p, " ,");
		if (!simkind_selectable(q->kind, f->path))
			return simfail(e, 400, "BadRequest", "field label not supported: %.100s", f->path);
		p += *p == ',';
	}
	return 0;
}

static bool label_fits(const struct simlabel *l, const json_t *labels)
{
	const char *have = json_string_value(json_object_get(labels, l->key));
	if (l->op == LABEL_EXISTS || l->op == LABEL_MISSING)
		return (have != NULL) == (l->op == LABEL_EXISTS);
	bool found = false;
	for (size_t i = 0; have && i < l->n; i++)
		found |= strcmp(have, l->values[i]) == 0;
	return found == (l->op == LABEL_IS);   /* a missing label is also "not that value" */
}

static const char *field_text(const json_t *object, const char *path)
{
	const json_t *at = object;
	char part[64];
	for (const char *p = path; at && *p;) {
		size_t n = strcspn(p, ".");
		snprintf(part, sizeof(part), "%.*s", (int)n, p);
		at = json_object_get(at, part);
		p += n + (p[n] == '.');
	}
	if (json_is_string(at))
		return json_string_value(at);
	if (strcmp(path, "spec.unschedulable") == 0)   /* absent means false */
		return json_is_true(at) ? "true" : "false";
	return "";
}

bool simquery_selects(const struct simquery *q, const json_t *object)
{
	const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
	for (size_t i = 0; i < q->n_labels; i++)
		if (!label_fits(&q->labels[i], labels))
			return false;
	for (size_t i = 0; i < q->n_fields; i++)
		if ((strcmp(field_text(object, q->fields[i].path), q->fields[i].value) == 0) == q->fields[i].not)
			return false;
	return true;
}

/* ---- parameters ---- */

int simquery_number(const char *text, uint64_t *versionp, struct simerror *e)
{
	char *end;
	*versionp = strtoull(text, &end, 10);
	if (*end || !*text || strspn(text, "0123456789") != strlen(text))
		return simfail(e, 400, "BadRequest", "invalid resource version: resourceVersion: Invalid value: \"%.100s\"", text);
	return 0;
}

static bool truth(const char *value)
{
	return strcmp(value, "1") == 0 || strcmp(value, "t") == 0 || strcmp(value, "true") == 0 || strcmp(value, "True") == 0;
}

static int parse_parameter(const char *name, const char *value, struct simquery *q, struct simerror *e)
{
	if (strcmp(name, "labelSelector") == 0)
		return parse_labels(value, q, e);
	if (strcmp(name, "fieldSelector") == 0)
		return parse_fields(value, q, e);
	if (strcmp(name, "limit") == 0)
		q->limit = strtoul(value, NULL, 10);
	else if (strcmp(name, "continue") == 0 && *value)
		mem_replace(&q->token, value);
	else if (strcmp(name, "resourceVersion") == 0 && *value)
		mem_replace(&q->version, value);
	else if (strcmp(name, "resourceVersionMatch") == 0 && *value)
		mem_replace(&q->match, value);
	else if (strcmp(name, "watch") == 0)
		q->watch = truth(value);
	else if (strcmp(name, "sendInitialEvents") == 0)
		q->initial = truth(value);
	else if (strcmp(name, "dryRun") == 0)
		q->dry = strcmp(value, "All") == 0;
	return 0;
}

int simquery_parse(const char *path_and_query, struct simquery *q, struct simerror *e)
{
	*q = (struct simquery){0};
	size_t length = strcspn(path_and_query, "?");
	const char *p = path_and_query + length;
	int code = parse_path(path_and_query, length, q, e);
	while (code == 0 && *p) {
		p++;
		size_t n = strcspn(p, "&"), key = strcspn(p, "=&");
		char *name = decoded(p, key, true), *value = key < n ? decoded(p + key + 1, n - key - 1, true) : mem_strdup("");
		code = parse_parameter(name, value, q, e);
		free(name);
		free(value);
		p += n;
	}
	return code;
}

void simquery_free(struct simquery *q)
{
	for (size_t i = 0; i < q->n_labels; i++) {
		for (size_t j = 0; j < q->labels[i].n; j++)
			free(q->labels[i].values[j]);
		free(q->labels[i].values);
		free(q->labels[i].key);
	}
	for (size_t i = 0; i < q->n_fields; i++) {
		free(q->fields[i].path);
		free(q->fields[i].value);
	}
	free(q->labels);
	free(q->fields);
	free(q->name_space);
	free(q->name);
	free(q->sub);
	free(q->token);
	free(q->version);
	free(q->match);
	*q = (struct simquery){0};
}
