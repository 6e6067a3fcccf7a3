/* l2lb drain: marks the node's record, and waits until the node has handed over whatever another may have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "speaker/command_line.h"
#include "speaker/commands.h"
#include "speaker/errand.h"
#include "speaker/relocation.h"

struct drain {
	struct errand *errand;
	struct relocation *list;   /* ascending by address, those that came later behind */
	size_t n;
	bool asked;
};

static const char *node_of(const struct drain *d)
{
	return errand_options(d->errand)->node;
}

static size_t count(const struct drain *d, enum relocation_state state)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		n += d->list[i].state == state;
	return n;
}

static void report_json(struct drain *d, struct buffer *text)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n; i++)
		json_array_append_new(list, relocation_json(&d->list[i]));
	json_t *json = json_pack("{s:s, s:b, s:b, s:o}", "node", node_of(d), "drained", true, "done", count(d, RELOCATION_WAITING) + count(d, RELOCATION_STAYS) == 0,
				 "addresses", list);
	command_line_json(text, json);
}

static void report(struct drain *d)
{
	struct buffer text = BUFFER_INIT;
	size_t stay = count(d, RELOCATION_STAYS), wait = count(d, RELOCATION_WAITING);
	if (errand_options(d->errand)->json) {
		report_json(d, &text);
	} else {
		for (size_t i = 0; i < d->n; i++)   /* the others have been told */
			if (d->list[i].state == RELOCATION_STAYS || d->list[i].state == RELOCATION_WAITING)
				relocation_text(&d->list[i], command_line_colour(), &text);
		buffer_printf(&text, "%s is drained: %zu of %zu addresses moved", node_of(d), count(d, RELOCATION_MOVED), d->n);
		if (stay)
			buffer_printf(&text, ", %zu stay%s", stay, stay == 1 ? "s" : "");
		if (wait)
			buffer_printf(&text, ", %zu not yet", wait);
		buffer_printf(&text, "; l2lb undrain %s lets it have addresses again\n", node_of(d));
	}
	int pending = errand_options(d->errand)->timeout ? EXIT_PENDING : EXIT_DONE;
	errand_print(d->errand, &text, wait ? pending : stay ? EXIT_FAILED : EXIT_DONE);
	buffer_free(&text);
}

static int by_address(const void *a, const void *b)
{
	return address_compare(&((const struct relocation *)a)->address, &((const struct relocation *)b)->address);
}

/* What the node has and is not in the list yet: at first, and whatever it takes over meanwhile. */
static void collect(struct drain *d)
{
	struct record_entry *e, *tmp;
	size_t before = d->n;
	HASH_ITER(hh, errand_model(d->errand)->records, e, tmp) {
		bool known = false;
		for (size_t i = 0; i < before && !known; i++)
			known = address_equal(&d->list[i].address, &e->record->address);
		if (known || strcmp(e->record->holder, node_of(d)) != 0)
			continue;
		d->list = mem_realloc(d->list, (d->n + 1) * sizeof(*d->list));
		relocation_init(&d->list[d->n++], e->record, NULL, clock_now());
	}
	if (d->n > before)
		qsort(d->list + before, d->n - before, sizeof(*d->list), by_address);
}

static void changed(void *data)
{
	struct drain *d = data;
	struct buffer text = BUFFER_INIT;
	if (!d->asked)
		return;
	collect(d);
	for (size_t i = 0; i < d->n; i++)
		if (relocation_follow(&d->list[i], errand_model(d->errand), clock_now()) && d->list[i].state != RELOCATION_STAYS &&
		    d->list[i].state != RELOCATION_WAITING)
			relocation_text(&d->list[i], command_line_colour(), &text);
	if (text.len && !errand_options(d->errand)->json)
		errand_print(d->errand, &text, ERRAND_GOES_ON);
	buffer_free(&text);
	if (count(d, RELOCATION_WAITING) == 0 || errand_options(d->errand)->timeout == 0)
		report(d);
}

/* ---- asking ---- */

static const struct node_record *record_of(struct drain *d)
{
	const struct model *m = errand_model(d->errand);
	const struct node_record *r = model_node_record(m, node_of(d));
	if (r)
		return r;
	if (!model_node(m, node_of(d)))
		errand_fail(d->errand, EXIT_FAILED, "node %s is not in the cluster; see kubectl get nodes", node_of(d));
	else
		errand_fail(d->errand, EXIT_FAILED, "node %s has no Lease in namespace %s, so no speaker of l2lb runs on it (--namespace chooses another)", node_of(d),
			    errand_namespace(d->errand));
	return NULL;
}

static void written(void *data)
{
	struct drain *d = data;
	d->asked = true;
	changed(d);
}

static json_t *make_drain(void *data)
{
	const struct node_record *r = record_of(data);
	return r ? node_record_drain_patch(r, true) : NULL;
}

static void begin_drain(void *data)
{
	struct drain *d = data;
	const struct node_record *r = record_of(d);
	if (r)
		errand_write(d->errand, r->meta.name, make_drain, written);
}

static void late(void *data)
{
	report(data);
}

int command_drain(int argc, char **argv)
{
	struct drain *d = mem_zalloc(sizeof(*d));
	struct errand_config config = {.tool = TOOL_DRAIN, .begin = begin_drain, .changed = changed, .late = late, .data = d};
	int exit_code = errand_run(&d->errand, &config, argc, argv);
	for (size_t i = 0; i < d->n; i++)
		relocation_free(&d->list[i]);
	free(d->list);
	free(d);
	return exit_code;
}

/* ---- undrain ---- */

static void tell_undrained(struct drain *d, bool was)
{
	const struct node *n = model_node(errand_model(d->errand), node_of(d));
	bool cordoned = n && n->cordoned;
	struct buffer text = BUFFER_INIT;
	if (errand_options(d->errand)->json)
		command_line_json(&text, json_pack("{s:s, s:b, s:b}", "node", node_of(d), "drained", false, "cordoned", cordoned));
	else
		buffer_printf(&text, "%s %s%s\n", node_of(d), was ? "may have addresses again; nothing moves back by itself" : "was not drained",
			      cordoned ? "; but it is cordoned, which counts the same: kubectl uncordon ends that" : "");
	errand_print(d->errand, &text, EXIT_DONE);
	buffer_free(&text);
}

static void undrained(void *data)
{
	tell_undrained(data, true);
}

static json_t *make_undrain(void *data)
{
	struct drain *d = data;
	const struct node_record *r = record_of(d);
	if (r && r->draining)
		return node_record_drain_patch(r, false);
	if (r)
		tell_undrained(d, false);
	return NULL;
}

static void begin_undrain(void *data)
{
	struct drain *d = data;
	const struct node_record *r = record_of(d);
	if (r)
		errand_write(d->errand, r->meta.name, make_undrain, undrained);
}

int command_undrain(int argc, char **argv)
{
	struct drain *d = mem_zalloc(sizeof(*d));
	struct errand_config config = {.tool = TOOL_UNDRAIN, .begin = begin_undrain, .data = d};
	int exit_code = errand_run(&d->errand, &config, argc, argv);
	free(d);
	return exit_code;
}
