#include "speaker/verification_report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/memory.h"
#include "speaker/names.h"
#include "speaker/command_line.h"

#define GREEN "\033[32m"
#define RED "\033[31m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

static size_t count_wrong(const struct verification_report *r)
{
	size_t wrong = 0;
	for (size_t i = 0; i < r->n; i++)
		wrong += !verdict_is_right(r->verifications[i].verdict);
	return wrong;
}

/* ---- for people ---- */

enum column { ADDRESS, OWNER, MAC, NODE, LINK, ANSWERS, RTT, VERDICT, COLUMNS };

struct row {
	char *cells[COLUMNS];
};

struct rows {
	struct row *rows;
	size_t n;
	size_t width[COLUMNS];
};

static char **add_row(struct rows *t)
{
	t->rows = mem_realloc(t->rows, (t->n + 1) * sizeof(*t->rows));
	t->rows[t->n] = (struct row){{NULL}};
	return t->rows[t->n++].cells;
}

static void measure(struct rows *t)
{
	for (size_t i = 0; i < t->n; i++)
		for (int c = 0; c < COLUMNS; c++) {
			size_t width = strlen(t->rows[i].cells[c]);
			t->width[c] = width > t->width[c] ? width : t->width[c];
		}
}

static char *node_cell(const struct answerer *w, bool compared)
{
	bool changed = !mac_equal(&w->sha, &w->eth_src);
	char from[MAC_TEXT];
	if (!compared)
		return changed ? mem_printf("(sent by %s)", mac_format(&w->eth_src, from)) : mem_strdup("-");
	if (!w->node)
		return mem_strdup("(no node)");
	if (!changed)
		return mem_strdup(w->node);
	return mem_printf("%s (said by %s)", w->node, w->said_by ? w->said_by : mac_format(&w->eth_src, from));
}

static double ms(int64_t microseconds)
{
	return (double)microseconds / 1000;
}

/* One row for each who answers; address, owner and verdict stand in the first. */
static void add_rows(struct rows *t, const struct verification *v, bool compared)
{
	char text[ADDRESS_TEXT], mac[MAC_TEXT];
	for (size_t i = 0; i < v->n_answerers || i == 0; i++) {
		const struct answerer *w = v->n_answerers ? &v->answerers[i] : NULL;
		char **c = add_row(t);
		c[ADDRESS] = mem_strdup(i ? "" : address_format(&v->address, text));
		c[OWNER] = mem_strdup(i ? "" : v->owner ? v->owner : "-");
		c[MAC] = mem_strdup(w ? mac_format(&w->sha, mac) : "-");
		c[NODE] = w ? node_cell(w, compared) : mem_strdup("-");
		c[LINK] = mem_strdup(w ? w->link : v->link);
		c[ANSWERS] = w && w->answers > w->answered ? mem_printf("%u/%u (%u)", w->answered, v->questions, w->answers)
			   : mem_printf("%u/%u", w ? w->answered : 0, v->questions);
		c[RTT] = w ? mem_printf("%.2f ms", ms(w->rtt_sum / w->answers)) : mem_strdup("-");
		c[VERDICT] = mem_strdup(i ? "" : verdict_name(v->verdict));
	}
}

static void print_row(struct buffer *out, const struct rows *t, char *const *cells, const char *colour)
{
	for (int c = 0; c < VERDICT; c++)
		buffer_printf(out, "%-*s  ", (int)t->width[c], cells[c]);
	if (*cells[VERDICT])
		buffer_printf(out, "%s%s%s", colour, cells[VERDICT], *colour ? PLAIN : "");
	while (out->len && out->data[out->len - 1] == ' ')   /* no blanks at the end of a line */
		out->data[--out->len] = '\0';
	buffer_text(out, "\n");
}

static void print_remarks(struct buffer *out, const struct verification_report *r, size_t i)
{
	const struct verification *v = &r->verifications[i];
	for (size_t k = 0; k < v->n_findings; k++)
		buffer_printf(out, "    %s\n", v->findings[k].text);
	if (!*v->link || v->verdict == VERDICT_THIS_NODE)
		return;
	buffer_printf(out, "    %s", r->colour ? DIM : "");
	arping_forecast_text(&r->forecasts[i], address_to_v4(&v->address), v->link, out);
	buffer_printf(out, "%s\n", r->colour ? PLAIN : "");
}

size_t verification_table(const struct verification_report *r, struct buffer *out)
{
	static const char *const HEAD[COLUMNS] = {"ADDRESS", "OWNER", "ANSWERED BY", "NODE", "LINK", "ANSWERS", "RTT", "VERDICT"};
	struct rows t = {0};
	size_t wrong = count_wrong(r), at = 0;
	char **head = add_row(&t);
	for (int c = 0; c < COLUMNS; c++)
		head[c] = mem_strdup(HEAD[c]);
	for (size_t i = 0; i < r->n; i++)
		add_rows(&t, &r->verifications[i], r->name_space != NULL);
	measure(&t);
	print_row(out, &t, t.rows[at++].cells, "");
	for (size_t i = 0; i < r->n; i++) {
		const struct verification *v = &r->verifications[i];
		for (size_t k = 0; k < v->n_answerers || k == 0; k++)
			print_row(out, &t, t.rows[at++].cells, !r->colour ? "" : verdict_is_right(v->verdict) ? GREEN : RED);
		print_remarks(out, r, i);
	}
	buffer_printf(out, "%zu address%s: %zu right, %zu wrong\n", r->n, r->n == 1 ? "" : "es", r->n - wrong, wrong);
	for (size_t i = 0; i < t.n; i++)
		for (int c = 0; c < COLUMNS; c++)
			free(t.rows[i].cells[c]);
	free(t.rows);
	return wrong;
}

/* ---- for programs ---- */

static json_t *answerer_json(const struct answerer *w)
{
	char mac[MAC_TEXT], from[MAC_TEXT];
	return json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s, s:i, s:i, s:i, s:{s:f, s:f, s:f}}", "mac", mac_format(&w->sha, mac), "ethernetSource",
			 mac_format(&w->eth_src, from), "node", w->node, "nodeLink", w->node_link, "saidBy", w->said_by, "link", w->link, "answers", (int)w->answers,
			 "answered", (int)w->answered, "first", (int)w->first, "rttMs", "min", ms(w->rtt_min), "avg", ms(w->rtt_sum / w->answers), "max",
			 ms(w->rtt_max));
}

static json_t *forecast_json(const struct arping_forecast *f)
{
	static const char *const NAMES[ARPINGS] = {"iputils", "iputilsBroadcast", "habets"};
	json_t *all = json_object();
	char mac[MAC_TEXT];
	for (int i = 0; i < ARPINGS; i++) {
		json_t *list = json_array();
		for (size_t k = 0; k < f->n[i]; k++)
			json_array_append_new(list, json_pack("{s:s, s:i}", "mac", mac_format(&f->replies[i][k].mac, mac), "replies", (int)f->replies[i][k].count));
		json_object_set_new(all, NAMES[i], list);
	}
	return all;
}

static json_t *one_json(const struct verification *v, const struct arping_forecast *f)
{
	char text[ADDRESS_TEXT];
	const struct record *r = v->record;
	json_t *services = json_array(), *answers = json_array(), *findings = json_array();
	struct buffer line = BUFFER_INIT;
	for (size_t i = 0; r && i < r->n_services; i++)
		json_array_append_new(services, json_string(r->services[i]));
	for (size_t i = 0; i < v->n_answerers; i++)
		json_array_append_new(answers, answerer_json(&v->answerers[i]));
	for (size_t i = 0; i < v->n_findings; i++)
		json_array_append_new(findings, json_pack("{s:s, s:s}", "verdict", verdict_name(v->findings[i].verdict), "message", v->findings[i].text));
	json_t *arping = forecast_json(f);
	arping_forecast_text(f, address_to_v4(&v->address), v->link, &line);
	json_object_set_new(arping, "text", json_string(buffer_string(&line)));
	buffer_free(&line);
	return json_pack("{s:s, s:s, s:b, s:s?, s:s?, s:b, s:o, s:s, s:i, s:o, s:o, s:o}", "address", address_format(&v->address, text), "verdict",
			 verdict_name(v->verdict), "right", verdict_is_right(v->verdict), "owner", v->owner, "ownerLink",
			 r ? labels_get(&r->meta.annotations, RECORD_LINK) : NULL, "record", r != NULL, "services", services, "link", v->link, "questions",
			 (int)v->questions, "answers", answers, "findings", findings, "arping", arping);
}

size_t verification_json(const struct verification_report *r, struct buffer *out)
{
	json_t *list = json_array();
	size_t wrong = count_wrong(r);
	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(list, one_json(&r->verifications[i], &r->forecasts[i]));
	command_line_json(out, json_pack("{s:b, s:s?, s:o}", "right", wrong == 0, "namespace", r->name_space, "addresses", list));
	return wrong;
}
