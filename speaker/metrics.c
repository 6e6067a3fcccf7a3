#include "speaker/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/map.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LABELS_MAX 8

static const struct {
	const char *name, *type, *help;
} KNOWN[] = {
	{METRIC_ADDRESSES, "gauge", "Number of usable IP addresses, per pool"},
	{METRIC_IPV4_ADDRESSES, "gauge", "Number of usable IPv4 addresses, per pool"},
	{METRIC_IPV6_ADDRESSES, "gauge", "Number of usable IPv6 addresses, per pool"},
	{METRIC_IN_USE, "gauge", "Number of IP addresses in use, per pool"},
	{METRIC_IPV4_IN_USE, "gauge", "Number of IPv4 addresses in use, per pool"},
	{METRIC_IPV6_IN_USE, "gauge", "Number of IPv6 addresses in use, per pool"},
	{METRIC_SERVICES_ALLOCATED, "gauge", "Number of Services with an address, per pool"},
	{METRIC_UPDATES, "counter", "Number of times that changed Kubernetes objects were processed"},
	{METRIC_UPDATE_ERRORS, "counter", "Number of requests to the API server that failed"},
	{METRIC_CONFIG_LOADED, "gauge", "1 once a configuration was loaded"},
	{METRIC_CONFIG_STALE, "gauge", "1 while an older configuration is in use because the newest is invalid"},
	{METRIC_ANNOUNCED, "gauge", "Services that this node announces, and the address"},
	{METRIC_REQUESTS, "counter", "Number of ARP requests received for an address that this node answers for"},
	{METRIC_RESPONSES, "counter", "Number of ARP replies sent"},
	{METRIC_CONFLICTS, "counter", "Number of times another host was found to use an address that this node claims or announces"},
	{METRIC_GRATUITOUS, "counter", "Number of gratuitous ARP frames sent"},
	{METRIC_BUILD_INFO, "gauge", "Always 1; the label is the version"},
	{METRIC_MEMORY, "gauge", "Resident memory size in bytes"},
	{METRIC_CPU, "counter", "Total user and system CPU time spent in seconds"},
	{METRIC_START_TIME, "gauge", "Start time of the process since the epoch in seconds"},
};

struct metric {
	char *labels;         /* as rendered: {a="x",b="y"}, or "" */
	double value;
	UT_hash_handle hh;
};

struct family {
	char *name;
	const char *type, *help;   /* NULL: unknown */
	struct metric *series;
	UT_hash_handle hh;
};

struct collector {
	void (*collect)(void *data, struct metrics *m);
	void *data;
};

struct metrics {
	struct family *families;
	struct collector *collectors;
	size_t n_collectors;
};

struct metrics *metrics_new(void)
{
	return mem_zalloc(sizeof(struct metrics));
}

static struct family *family_find(const struct metrics *m, const char *name)
{
	struct family *f;
	HASH_FIND_STR(m->families, name, f);
	return f;
}

static struct family *family_get(struct metrics *m, const char *name)
{
	struct family *f = family_find(m, name);
	if (f)
		return f;
	f = mem_zalloc(sizeof(*f));
	f->name = mem_strdup(name);
	for (size_t i = 0; i < COUNT(KNOWN); i++)
		if (strcmp(KNOWN[i].name, name) == 0) {
			f->type = KNOWN[i].type;
			f->help = KNOWN[i].help;
		}
	HASH_ADD_KEYPTR(hh, m->families, f->name, strlen(f->name), f);
	return f;
}

static void series_free(struct family *f, struct metric *s)
{
	HASH_DEL(f->series, s);
	free(s->labels);
	free(s);
}

static void family_clear(struct family *f)
{
	struct metric *s, *tmp;
	HASH_ITER(hh, f->series, s, tmp)
		series_free(f, s);
}

void metrics_free(struct metrics *m)
{
	struct family *f, *tmp;
	if (!m)
		return;
	HASH_ITER(hh, m->families, f, tmp) {
		HASH_DEL(m->families, f);
		family_clear(f);
		free(f->name);
		free(f);
	}
	free(m->collectors);
	free(m);
}

/* ---- labels ---- */

/* Backslash and newline; in label values the quote too. A reader takes UTF-8 only: buffer_json_string knows how, but its
 * \u escapes are not those of this format, so other control characters become '?' here. */
static void append_escaped(struct buffer *out, const char *text, bool quoted)
{
	struct buffer clean = BUFFER_INIT;
	buffer_json_string(&clean, text);
	for (const char *p = clean.data + 1; p < clean.data + clean.len - 1; p++) {
		size_t n = *p != '\\' ? 1 : p[1] == 'u' ? 6 : 2;
		if (n == 1)
			buffer_append(out, p, 1);
		else if (n == 6)
			buffer_text(out, strncmp(p, "\\u000a", 6) == 0 ? "\\n" : "?");
		else if (p[1] == '"' && !quoted)
			buffer_text(out, "\"");
		else
			buffer_append(out, p, 2);
		p += n - 1;
	}
	buffer_free(&clean);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(**(const char *const *const *)a, **(const char *const *const *)b);
}

static void append_labels(struct buffer *out, const char *const *labels)
{
	const char *const *pairs[LABELS_MAX];
	size_t n = 0;
	for (; labels && labels[0] && labels[1] && n < LABELS_MAX; labels += 2)
		pairs[n++] = labels;
	qsort(pairs, n, sizeof(pairs[0]), by_key);
	for (size_t i = 0; i < n; i++) {
		buffer_printf(out, "%s%s=\"", i ? "," : "{", pairs[i][0]);
		append_escaped(out, pairs[i][1], true);
		buffer_text(out, "\"");
	}
	if (n)
		buffer_text(out, "}");
}

/* ---- series ---- */

struct metric *metrics_series(struct metrics *m, const char *name, const char *const *labels)
{
	struct family *f = family_get(m, name);
	struct buffer text = BUFFER_INIT;
	struct metric *s;
	append_labels(&text, labels);
	HASH_FIND(hh, f->series, buffer_string(&text), text.len, s);
	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->labels = mem_strdup(buffer_string(&text));
		HASH_ADD_KEYPTR(hh, f->series, s->labels, text.len, s);
	}
	buffer_free(&text);
	return s;
}

void metric_set(struct metric *series, double value)
{
	series->value = value;
}

void metric_add(struct metric *series, double more)
{
	series->value += more;
}

double metric_value(const struct metric *series)
{
	return series->value;
}

void metrics_set(struct metrics *m, const char *name, const char *const *labels, double value)
{
	metric_set(metrics_series(m, name, labels), value);
}

void metrics_add(struct metrics *m, const char *name, const char *const *labels, double more)
{
	metric_add(metrics_series(m, name, labels), more);
}

void metrics_remove(struct metrics *m, const char *name, const char *const *labels)
{
	struct family *f = family_find(m, name);
	if (f)
		series_free(f, metrics_series(m, name, labels));
}

void metrics_clear(struct metrics *m, const char *name)
{
	struct family *f = family_find(m, name);
	if (f)
		family_clear(f);
}

/* ---- rendering ---- */

void metrics_on_collect(struct metrics *m, void (*collect)(void *data, struct metrics *m), void *data)
{
	m->collectors = mem_realloc(m->collectors, (m->n_collectors + 1) * sizeof(*m->collectors));
	m->collectors[m->n_collectors++] = (struct collector){collect, data};
}

static int by_name(const struct family *a, const struct family *b)
{
	return strcmp(a->name, b->name);
}

static int by_labels(const struct metric *a, const struct metric *b)
{
	return strcmp(a->labels, b->labels);
}

/* Whole numbers as such; others with as many digits as it takes to read the same number back. */
static void append_value(struct buffer *out, double value)
{
	char text[32];
	if (isnan(value)) {
		buffer_text(out, "NaN");
	} else if (isinf(value)) {
		buffer_text(out, value > 0 ? "+Inf" : "-Inf");
	} else {
		snprintf(text, sizeof(text), "%.15g", value);
		if (strtod(text, NULL) != value)
			snprintf(text, sizeof(text), "%.17g", value);
		buffer_text(out, text);
	}
}

void metrics_render(struct metrics *m, struct buffer *out)
{
	struct family *f, *f_next;
	struct metric *s, *s_next;
	for (size_t i = 0; i < m->n_collectors; i++)
		m->collectors[i].collect(m->collectors[i].data, m);
	HASH_SORT(m->families, by_name);
	HASH_ITER(hh, m->families, f, f_next) {
		if (!f->series)
			continue;
		if (f->type) {
			buffer_printf(out, "# HELP %s ", f->name);
			append_escaped(out, f->help, false);
			buffer_printf(out, "\n# TYPE %s %s\n", f->name, f->type);
		}
		HASH_SORT(f->series, by_labels);
		HASH_ITER(hh, f->series, s, s_next) {
			buffer_printf(out, "%s%s ", f->name, s->labels);
			append_value(out, s->value);
			buffer_text(out, "\n");
		}
	}
}
