/* l2lb verify: who answers for an address, and is it the right node? Reads the records, asks on the wire, compares, ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "arp/inquiry.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "config/tool_options.h"
#include "speaker/command_line.h"
#include "speaker/commands.h"
#include "speaker/snapshot.h"
#include "speaker/verification_report.h"

#define QUESTIONS 3
#define INTERVAL (200 * CLOCK_MS)

struct verify {
	struct tool_options options;
	uv_loop_t loop;
	struct turn turn;
	struct snapshot *snapshot;   /* NULL with --no-api */
	struct inquiry *inquiry;
	struct address *addresses;   /* to be asked for, each once */
	size_t n;
	uv_signal_t interrupt;
	struct deadline finish;      /* close everything, outside of any callback */
	int exit_code;
};

/* ---- end ---- */

static void close_all(void *data)
{
	struct verify *v = data;
	inquiry_close(v->inquiry);
	snapshot_close(v->snapshot);
	uv_close((uv_handle_t *)&v->interrupt, NULL);
	deadline_close(&v->finish, NULL);
	turn_close(&v->turn);
}

static void end(struct verify *v, int exit_code)
{
	v->exit_code = exit_code;
	deadline_set(&v->finish, 0);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
	(void)number;
	fprintf(stderr, "l2lb: interrupted; nothing was found out\n");
	end(handle->data, EXIT_API);
}

/* ---- the report ---- */

static int by_address(const void *a, const void *b)
{
	const struct inquiry_answer *x = *(const struct inquiry_answer *const *)a, *y = *(const struct inquiry_answer *const *)b;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x < y ? -1 : x > y;   /* they stand in the order in which they came */
}

/* All answers, those for one address side by side; to free(). */
static struct inquiry_answer *sorted_answers(const struct verify *v, size_t *np)
{
	const struct inquiry_answer *answers = NULL;
	size_t n = v->inquiry ? inquiry_answers(v->inquiry, &answers) : 0;
	const struct inquiry_answer **pointers = mem_zalloc((n + 1) * sizeof(*pointers));
	struct inquiry_answer *sorted = mem_zalloc((n + 1) * sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		pointers[i] = &answers[i];
	qsort(pointers, n, sizeof(*pointers), by_address);
	for (size_t i = 0; i < n; i++)
		sorted[i] = *pointers[i];
	free(pointers);
	*np = n;
	return sorted;
}

/* The answers for one address: *fromp and how many. */
static size_t answers_for(const struct inquiry_answer *sorted, size_t n, uint32_t address, const struct inquiry_answer **fromp)
{
	size_t low = 0, high = n, count = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (sorted[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + count < n && sorted[low + count].address == address)
		count++;
	*fromp = &sorted[low];
	return count;
}

static void report(struct verify *v)
{
	size_t n_sorted;
	struct inquiry_answer *sorted = sorted_answers(v, &n_sorted);
	struct verification *all = mem_zalloc((v->n + 1) * sizeof(*all));
	struct arping_forecast *forecasts = mem_zalloc((v->n + 1) * sizeof(*forecasts));
	const struct model *model = v->snapshot ? snapshot_model(v->snapshot) : NULL;
	for (size_t i = 0; i < v->n; i++) {
		uint32_t address = address_to_v4(&v->addresses[i]);
		struct verification_input in = {.address = v->addresses[i], .model = model, .links = inquiry_table(v->inquiry),
						.link = inquiry_link(v->inquiry, address), .questions = QUESTIONS};
		in.n_answers = answers_for(sorted, n_sorted, address, &in.answers);
		if (in.n_answers)   /* where several links were asked: where somebody answered */
			in.link = in.answers[0].link;
		verification_make(&all[i], &in);
		arping_forecast_make(&forecasts[i], address, in.link, QUESTIONS, in.answers, in.n_answers);
	}
	struct verification_report r = {.verifications = all, .forecasts = forecasts, .n = v->n, .name_space = v->snapshot ? snapshot_namespace(v->snapshot) : NULL,
					.colour = command_line_colour()};
	struct buffer text = BUFFER_INIT;
	size_t wrong = v->options.json ? verification_json(&r, &text) : verification_table(&r, &text);
	bool printed = fputs(buffer_string(&text), stdout) != EOF && fflush(stdout) == 0;
	if (!printed)
		fprintf(stderr, "l2lb: standard output: %s\n", strerror(errno));
	buffer_free(&text);
	for (size_t i = 0; i < v->n; i++) {
		verification_free(&all[i]);
		arping_forecast_free(&forecasts[i]);
	}
	free(all);
	free(forecasts);
	free(sorted);
	end(v, !printed ? EXIT_API : wrong ? EXIT_FAILED : EXIT_DONE);
}

/* ---- asking ---- */

static void on_answers(void *data, int rc, const char *why)
{
	struct verify *v = data;
	if (rc < 0) {
		fprintf(stderr, "l2lb: %s\n", why);
		end(v, EXIT_API);
		return;
	}
	report(v);
}

/* Three questions, and time for the last answer: all of it within --timeout. */
static void start_inquiry(struct verify *v)
{
	int64_t timeout = v->options.timeout, interval = timeout * 2 / 9 < INTERVAL ? timeout * 2 / 9 : INTERVAL;
	uint32_t *addresses = mem_zalloc((v->n + 1) * sizeof(*addresses));
	for (size_t i = 0; i < v->n; i++)
		addresses[i] = address_to_v4(&v->addresses[i]);
	struct inquiry_config config = {.addresses = addresses, .n = v->n, .interface = v->options.interface, .questions = QUESTIONS, .interval = interval,
					.patience = timeout - (QUESTIONS - 1) * interval, .on_done = on_answers, .data = v};
	inquiry_init(&v->inquiry, &v->loop, &config);
	free(addresses);
	int rc = inquiry_start(v->inquiry);
	if (rc < 0) {
		fprintf(stderr, "l2lb: rtnetlink: %s\n", strerror(-rc));
		end(v, EXIT_API);
	}
}

/* ---- what the cluster says ---- */

static int by_value(const void *a, const void *b)
{
	return address_compare(a, b);
}

/* Every address in a record or in the status of a Service of ours, IPv4, each once, ascending. Says how many are IPv6. */
static void collect_all(struct verify *v, const struct model *m)
{
	struct record_entry *r, *r_tmp;
	struct ingress_entry *e, *e_tmp;
	size_t v6 = 0, kept = 0;
	v->addresses = mem_zalloc((HASH_COUNT(m->records) + HASH_COUNT(m->ingress) + 1) * sizeof(*v->addresses));
	HASH_ITER(hh, m->records, r, r_tmp)
		v->addresses[v->n++] = r->record->address;
	HASH_ITER(hh, m->ingress, e, e_tmp) {
		bool ours = false;
		for (size_t i = 0; i < e->n; i++)
			ours |= model_is_ours(m, e->users[i]);
		if (ours && !model_record(m, &e->address))
			v->addresses[v->n++] = e->address;
	}
	qsort(v->addresses, v->n, sizeof(*v->addresses), by_value);
	for (size_t i = 0; i < v->n; i++) {
		if (v->addresses[i].family == ADDRESS_V4)
			v->addresses[kept++] = v->addresses[i];
		else
			v6++;
	}
	v->n = kept;
	if (v6)
		fprintf(stderr, "l2lb: %zu IPv6 address%s left out: neighbour discovery (NDP) is not built yet\n", v6, v6 == 1 ? "" : "es");
}

static void on_snapshot(void *data, int rc, const char *why)
{
	struct verify *v = data;
	if (rc < 0) {
		fprintf(stderr, "l2lb: %s (or --no-api, to ask only who answers)\n", why);
		end(v, EXIT_API);
		return;
	}
	const struct model *m = snapshot_model(v->snapshot);
	if (!m->records && !m->node_records)
		fprintf(stderr, "l2lb: namespace %s has no records of l2lb; --namespace chooses another\n", snapshot_namespace(v->snapshot));
	if (v->options.all)
		collect_all(v, m);
	if (v->n) {
		start_inquiry(v);
		return;
	}
	fprintf(stderr, "l2lb: no Service has an address: there is nothing to verify\n");
	report(v);
}

static void start(struct verify *v)
{
	struct error err = {""};
	struct snapshot_config config = {.options = &v->options.cluster, .services_optional = !v->options.all, .on_done = on_snapshot, .data = v};
	if (!v->options.all) {
		v->n = v->options.n_addresses;
		v->addresses = mem_zalloc((v->n + 1) * sizeof(*v->addresses));
		memcpy(v->addresses, v->options.addresses, v->n * sizeof(*v->addresses));
	}
	if (v->options.no_api) {
		start_inquiry(v);
		return;
	}
	int rc = snapshot_start(&v->snapshot, &v->loop, &v->turn, &config, &err);
	if (rc < 0) {
		bool nowhere = rc == -ENOENT && !v->options.cluster.kubeconfig;
		fprintf(stderr, "l2lb: %s%s%s\n", v->options.cluster.kubeconfig ? "--kubeconfig: " : "", err.text, nowhere ? "; or --no-api, to ask only who answers" : "");
		end(v, nowhere ? EXIT_API : EXIT_USAGE);
	}
}

static void run(struct verify *v)
{
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_WARN);
	log_set_human(true);
	uv_loop_init(&v->loop);
	turn_init(&v->turn, &v->loop);
	deadline_init(&v->finish, &v->loop, close_all, v);
	uv_signal_init(&v->loop, &v->interrupt);
	v->interrupt.data = v;
	uv_signal_start(&v->interrupt, on_interrupt, SIGINT);
	start(v);
	uv_run(&v->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&v->loop) != 0)
		log_error("handlesOpen", NO_KV, "a handle was left open");
}

int command_verify(int argc, char **argv)
{
	struct verify *v = mem_zalloc(sizeof(*v));
	if (command_line_parse(&v->options, TOOL_VERIFY, argc, argv, &v->exit_code))
		run(v);
	int exit_code = v->exit_code;
	tool_options_free(&v->options);
	free(v->addresses);
	free(v);
	return exit_code;
}
