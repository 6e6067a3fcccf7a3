#include "tests/sim/report.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static void note_times(struct row_results *row, const struct measured *m)
{
	if (row->n == row->room) {
		row->room = row->room ? row->room * 2 : 64;
		row->each = mem_realloc(row->each, row->room * sizeof(*row->each));
	}
	row->each[row->n++] = *m;
}

void report_add(struct report *r, const struct outcome *o)
{
	struct row_results *row = &r->rows[o->row];
	if (o->measures)   /* one that crashed has no times */
		note_times(row, &o->measured);
	r->schedules++;
	r->frames += o->frames;
	r->simulated += o->simulated;
	if (!*o->kind)
		return;
	row->failed++;
	if (r->n_failures < REPORT_FAILURES)
		r->failures[r->n_failures] = *o;
	r->n_failures++;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double dark_of(const struct measured *m)
{
	return (double)m->dark / 1e3;
}

static double two_of(const struct measured *m)
{
	return (double)m->two / 1e3;
}

static double moves_of(const struct measured *m)
{
	return m->moves;
}

static double same_of(const struct measured *m)
{
	return m->same;
}

static double stale_of(const struct measured *m)
{
	return m->stale;
}

/* "p50 p90 max" */
static void print_spread(const struct row_results *row, double (*of)(const struct measured *), FILE *out)
{
	double *values = mem_zalloc(row->n * sizeof(*values));
	for (size_t i = 0; i < row->n; i++)
		values[i] = of(&row->each[i]);
	qsort(values, row->n, sizeof(*values), by_size);
	fprintf(out, "  %6.0f %6.0f %6.0f", values[row->n / 2], values[row->n * 9 / 10], values[row->n - 1]);
	free(values);
}

static double most(const struct row_results *row, double (*of)(const struct measured *))
{
	double max = 0;
	for (size_t i = 0; i < row->n; i++)
		max = of(&row->each[i]) > max ? of(&row->each[i]) : max;
	return max;
}

static void print_failures(const struct report *r, FILE *out)
{
	for (size_t i = 0; i < N_ROWS; i++)
		for (size_t k = 0; k < r->n_failures && k < REPORT_FAILURES; k++) {
			const struct outcome *o = &r->failures[k];
			unsigned same = 0;
			bool first = o->row == i;
			for (size_t j = 0; first && j < r->n_failures && j < REPORT_FAILURES; j++)
				if (r->failures[j].row == i && strcmp(r->failures[j].kind, o->kind) == 0) {
					first &= j >= k;
					same++;
				}
			if (first)
				fprintf(out, "  %-17s %-12s %4u times, first with seed %llu: %s\n", ROWS[i].name, o->kind, same, (unsigned long long)o->seed, o->details);
		}
}

void report_print(const struct report *r, FILE *out)
{
	fprintf(out, "%-17s %6s %6s  %20s  %20s  %5s %6s %5s\n", "ms: p50 p90 max", "runs", "failed", "without an answer", "two MACs", "moves", "same", "stale");
	for (size_t i = 0; i < N_ROWS; i++) {
		const struct row_results *row = &r->rows[i];
		if (!row->n)
			continue;
		fprintf(out, "%-17s %6zu %6u", ROWS[i].name, row->n, row->failed);
		print_spread(row, dark_of, out);
		print_spread(row, two_of, out);
		fprintf(out, "  %5.0f %6.0f %5.0f\n", most(row, moves_of), most(row, same_of), most(row, stale_of));
	}
	fprintf(out, "%llu schedules, %.1f hours simulated, %.1f million frames; %zu went wrong\n", (unsigned long long)r->schedules, (double)r->simulated / 3.6e9,
		(double)r->frames / 1e6, r->n_failures);
	print_failures(r, out);
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < REPORT_ROWS; i++)
		free(r->rows[i].each);
}
