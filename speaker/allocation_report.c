#include "speaker/allocation_report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

const char *allocation_verb(const struct allocation *a, const struct service *s)
{
	bool shows_all = s->n_ingress == a->n;
	for (size_t i = 0; i < a->n; i++)
		shows_all &= service_has_ingress(s, &a->addresses[i]);
	if (a->n == 0)
		return s->n_ingress ? "loses" : "waits";
	if (shows_all)
		return "has";
	return s->n_ingress ? "moves to" : "gets";
}

char *allocation_addresses(const struct allocation *a)
{
	char one[ADDRESS_TEXT], two[ADDRESS_TEXT];
	if (a->n == 0)
		return mem_strdup("-");
	if (a->n == 1)
		return mem_strdup(address_format(&a->addresses[0], one));
	return mem_printf("%s, %s", address_format(&a->addresses[0], one), address_format(&a->addresses[1], two));
}

/* ---- rows ---- */

struct row {
	const struct allocation *allocation;
	const struct service *service;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->service->meta.key, ((const struct row *)b)->service->meta.key);
}

/* To free(). */
static struct row *rows_of(const struct allocator *a, const struct model *m, size_t *np)
{
	struct service_entry *e, *tmp;
	struct row *rows = mem_zalloc((HASH_COUNT(m->services) + 1) * sizeof(*rows));
	size_t n = 0;
	HASH_ITER(hh, m->services, e, tmp) {
		const struct allocation *one = model_is_ours(m, e->service) ? allocator_find(a, e->service->meta.key) : NULL;
		if (one)
			rows[n++] = (struct row){one, e->service};
	}
	qsort(rows, n, sizeof(*rows), by_name);
	*np = n;
	return rows;
}

/* What is to be said of it, without the Service's name in front. */
static const char *remark_of(const struct row *r)
{
	size_t skip = strlen("Service ") + strlen(r->service->meta.key) + strlen(": ");
	for (size_t i = 0; i < r->allocation->n_notices; i++)
		if (strlen(r->allocation->notices[i].text) > skip)
			return r->allocation->notices[i].text + skip;
	return "";
}

static size_t longer(size_t width, const char *text)
{
	return strlen(text) > width ? strlen(text) : width;
}

static void table(struct buffer *out, const struct row *rows, size_t n)
{
	size_t name = strlen("SERVICE"), addresses = strlen("ADDRESS"), pool = strlen("POOL");
	for (size_t i = 0; i < n; i++) {
		char *text = allocation_addresses(rows[i].allocation);
		name = longer(name, rows[i].service->meta.key);
		addresses = longer(addresses, text);
		pool = longer(pool, rows[i].allocation->pool ? rows[i].allocation->pool : "-");
		free(text);
	}
	buffer_printf(out, "%-*s  %-8s  %-*s  %-*s  %s\n", (int)name, "SERVICE", "STATE", (int)addresses, "ADDRESS", (int)pool, "POOL", "REMARK");
	for (size_t i = 0; i < n; i++) {
		char *text = allocation_addresses(rows[i].allocation);
		const char *remark = remark_of(&rows[i]);
		buffer_printf(out, "%-*s  %-8s  %-*s  %-*s%s%s\n", (int)name, rows[i].service->meta.key, allocation_verb(rows[i].allocation, rows[i].service),
			      (int)addresses, text, *remark ? (int)pool : 0, rows[i].allocation->pool ? rows[i].allocation->pool : "-",
			      *remark ? "  " : "", remark);
		free(text);
	}
}

static json_t *row_json(const struct row *r)
{
	const struct allocation *a = r->allocation;
	json_t *addresses = json_array(), *notices = json_array();
	char text[ADDRESS_TEXT];
	for (size_t i = 0; i < a->n; i++)
		json_array_append_new(addresses, json_string(address_format(&a->addresses[i], text)));
	for (size_t i = 0; i < a->n_notices; i++)
		json_array_append_new(notices, json_pack("{s:s, s:b, s:s}", "reason", a->notices[i].reason, "warning", a->notices[i].warning, "message", a->notices[i].text));
	return json_pack("{s:s, s:s, s:s, s:o, s:s?, s:b, s:o}", "namespace", r->service->meta.name_space, "name", r->service->meta.name, "state",
			 allocation_verb(a, r->service), "addresses", addresses, "pool", a->pool, "waiting", a->waiting, "notices", notices);
}

size_t allocation_report(struct buffer *out, const struct allocator *a, const struct model *m, bool json)
{
	size_t n, without = 0;
	struct row *rows = rows_of(a, m, &n);
	for (size_t i = 0; i < n; i++)
		without += rows[i].allocation->n == 0;
	if (json) {
		json_t *services = json_array(), *root;
		for (size_t i = 0; i < n; i++)
			json_array_append_new(services, row_json(&rows[i]));
		root = json_pack("{s:o}", "services", services);
		char *text = json_dumps(root, JSON_INDENT(2));
		buffer_printf(out, "%s\n", text);
		free(text);
		json_decref(root);
	} else {
		table(out, rows, n);
	}
	free(rows);
	return without;
}
