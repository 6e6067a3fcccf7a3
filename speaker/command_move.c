/* l2lb move: names the successor in the address's record, and waits until it is the owner. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "speaker/command_line.h"
#include "speaker/commands.h"
#include "speaker/errand.h"
#include "speaker/relocation.h"

struct move {
	struct errand *errand;
	struct relocation relocation;
	bool asked, said;
};

static const struct address *address_of(const struct move *m)
{
	return &errand_options(m->errand)->addresses[0];
}

static const char *node_of(const struct move *m)
{
	return errand_options(m->errand)->node;
}

static void report(struct move *m, int exit_code)
{
	struct buffer text = BUFFER_INIT;
	if (errand_options(m->errand)->json) {
		command_line_json(&text, relocation_json(&m->relocation));
	} else {
		relocation_text(&m->relocation, command_line_colour(), &text);
	}
	errand_print(m->errand, &text, exit_code);
	buffer_free(&text);
}

/* The record, when it can be moved there. Else it has been said why not, and it is over. */
static const struct record *movable(struct move *m)
{
	const struct model *model = errand_model(m->errand);
	const struct record *r = model_record(model, address_of(m));
	char text[ADDRESS_TEXT];
	address_format(address_of(m), text);
	if (!r) {
		errand_fail(m->errand, EXIT_FAILED, "%s: no Lease ip-%s in namespace %s, so it is no address of l2lb's (--namespace chooses another; kubectl get svc -A shows all)",
			    text, text, errand_namespace(m->errand));
		return NULL;
	}
	if (!*r->holder) {
		errand_fail(m->errand, EXIT_FAILED, "%s: no node owns it, so none can hand it over; l2lb verify %s and kubectl get lease ip-%s -n %s say more", text, text,
			    text, errand_namespace(m->errand));
		return NULL;
	}
	if (strcmp(r->holder, node_of(m)) == 0)
		return r;
	char *obstacle = relocation_obstacle(model, r, node_of(m));
	if (obstacle) {
		errand_fail(m->errand, EXIT_FAILED, "%s: node %s %s", text, node_of(m), obstacle);
		free(obstacle);
		return NULL;
	}
	return r;
}

static void changed(void *data)
{
	struct move *m = data;
	if (!m->asked || !relocation_follow(&m->relocation, errand_model(m->errand), clock_now()))
		return;
	report(m, m->relocation.state == RELOCATION_MOVED ? EXIT_DONE : EXIT_FAILED);
}

static void written(void *data)
{
	struct move *m = data;
	m->asked = true;
	if (errand_options(m->errand)->timeout == 0)
		report(m, EXIT_DONE);
	else
		changed(m);   /* on a busy machine the watch has shown the move before our request was answered */
}

static void say_preferred(struct move *m, const struct record *r)
{
	const char *preferred = m->said ? NULL : relocation_preferred(errand_model(m->errand), r, node_of(m));
	m->said = true;
	if (preferred)
		fprintf(stderr, "l2lb: preferredNodeSelectors put %s before %s: the address will go there after 30 s\n", preferred, node_of(m));
}

static json_t *make(void *data)
{
	struct move *m = data;
	const struct record *r = movable(m);
	if (!r)
		return NULL;
	relocation_free(&m->relocation);
	relocation_init(&m->relocation, r, node_of(m), clock_now());
	if (strcmp(r->holder, node_of(m)) != 0) {
		say_preferred(m, r);
		return record_successor_patch(r, node_of(m));
	}
	relocation_follow(&m->relocation, errand_model(m->errand), clock_now());
	fprintf(stderr, "l2lb: %s has it already\n", node_of(m));
	report(m, EXIT_DONE);
	return NULL;
}

static void begin(void *data)
{
	struct move *m = data;
	char *lease = record_name(address_of(m));
	errand_write(m->errand, lease, make, written);
	free(lease);
}

static void late(void *data)
{
	struct move *m = data;
	char *why = mem_printf("asked for, and not done yet: are the speakers of %s and %s running? Their logs say more, and l2lb verify who answers",
			       m->relocation.from, m->relocation.to);
	free(m->relocation.why);
	m->relocation.why = why;
	report(m, EXIT_PENDING);
}

int command_move(int argc, char **argv)
{
	struct move *m = mem_zalloc(sizeof(*m));
	struct errand_config config = {.tool = TOOL_MOVE, .begin = begin, .changed = changed, .late = late, .data = m};
	int exit_code = errand_run(&m->errand, &config, argc, argv);
	relocation_free(&m->relocation);
	free(m);
	return exit_code;
}
