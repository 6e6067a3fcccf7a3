/* The simulation: nodes of the program's own objects, faults drawn from seeds, the promises checked. See --help. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/jobs.h"
#include "tests/sim/shrink.h"

#define SHOWN 6   /* failures that are shrunk and shown */

struct arguments {
	struct jobs_config config;
	bool one, verbose, shrinks;
	uint64_t seed, without_faults, without_nodes;
	unsigned addresses, twist, shown;
};

static void help(void)
{
	puts("build/sim [--seeds N] [--start S] [--jobs J] [--row NAME] [--seconds T]   N schedules from seed S on, those that fail made small\n"
	     "build/sim --seed X [--row NAME] [--verbose]     one of them; what --without-faults, --without-nodes, --addresses and --twist\n"
	     "                                                leave of it; --shrink makes it small\n"
	     "rows:");
	for (size_t i = 0; i < N_ROWS; i++)
		printf("  %s\n", ROWS[i].name);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);
	if (!*text || *end) {
		fprintf(stderr, "sim: %s is not a number\n", text);
		exit(2);
	}
	return n;
}

static void take(struct arguments *a, int option)
{
	switch (option) {
	case 'n':
		a->config.seeds = number(optarg);
		break;
	case 's':
		a->config.start = number(optarg);
		break;
	case 'j':
		a->config.jobs = (unsigned)number(optarg);
		break;
	case 't':
		a->config.seconds = (int64_t)number(optarg);
		break;
	case 'r':
		a->config.row = row_find(optarg);
		if (!a->config.row) {
			fprintf(stderr, "sim: --row %s: no such row (--help lists them)\n", optarg);
			exit(2);
		}
		break;
	case 'x':
		a->one = true;
		a->seed = number(optarg);
		break;
	case 'f':
		a->without_faults = number(optarg);
		break;
	case 'o':
		a->without_nodes = number(optarg);
		break;
	case 'a':
		a->addresses = (unsigned)number(optarg);
		break;
	case 'w':
		a->twist = (unsigned)number(optarg);
		break;
	case 'm':
		a->shown = (unsigned)number(optarg);
		break;
	case 'v':
		a->verbose = true;
		break;
	case 'k':
		a->shrinks = true;
		break;
	case 'h':
		help();
		exit(0);
	default:
		exit(2);
	}
}

static void parse(struct arguments *a, int argc, char **argv)
{
	static const struct option OPTIONS[] = {
		{"seeds", 1, NULL, 'n'}, {"start", 1, NULL, 's'}, {"jobs", 1, NULL, 'j'}, {"row", 1, NULL, 'r'}, {"seconds", 1, NULL, 't'},
		{"seed", 1, NULL, 'x'}, {"without-faults", 1, NULL, 'f'}, {"without-nodes", 1, NULL, 'o'}, {"addresses", 1, NULL, 'a'},
		{"twist", 1, NULL, 'w'}, {"show", 1, NULL, 'm'}, {"verbose", 0, NULL, 'v'}, {"shrink", 0, NULL, 'k'}, {"help", 0, NULL, 'h'}, {0}};
	int option;
	*a = (struct arguments){.config = {.start = 1, .seeds = 1000, .jobs = 2}, .shown = SHOWN};
	while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) >= 0)
		take(a, option);
	if (a->config.jobs < 1 || a->config.jobs > 64) {
		fputs("sim: --jobs: 1 to 64\n", stderr);
		exit(2);
	}
}

static void print_outcome(const struct schedule *s, const struct outcome *o)
{
	const struct measured *m = &o->measured;
	printf("seed %llu, row %s: %s%s%s\n", (unsigned long long)o->seed, s->row->name, *o->kind ? o->kind : "all is well", *o->kind ? ": " : "", o->details);
	printf("  %.1f ms without an answer, %.1f ms with two MACs, %u moves, %u doubles of the same MAC, %u stale answers\n", (double)m->dark / 1e3,
	       (double)m->two / 1e3, m->moves, m->same, m->stale);
	schedule_print(s, stdout);
	fputs("  build/sim ", stdout);
	shrink_print_arguments(s, stdout);
	puts(" --verbose");
}

static int run_one(const struct arguments *a)
{
	struct schedule s;
	struct outcome o;
	schedule_draw(&s, a->seed, a->config.row);
	s.dropped = a->without_faults;
	s.dropped_nodes = a->without_nodes;
	s.twist = a->twist;
	s.addresses = a->addresses ? a->addresses : s.addresses;
	run_schedule(&s, a->verbose, &o);
	if (a->shrinks && *o.kind)
		shrink(&s, &o);
	print_outcome(&s, &o);
	return *o.kind ? 1 : 0;
}

/* In a process of its own: it may die of it. */
static void show_small(const struct arguments *a, const struct outcome *failed)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct arguments one = *a;
		one.seed = failed->seed;
		one.config.row = &ROWS[failed->row];
		one.shrinks = true;
		run_one(&one);
		fflush(NULL);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* One of each kind and row. */
static void show_failures(const struct arguments *a, const struct report *r)
{
	unsigned shown = 0;
	for (size_t i = 0; i < r->n_failures && i < REPORT_FAILURES && shown < a->shown; i++) {
		bool first = true;
		for (size_t k = 0; k < i; k++)
			first &= r->failures[k].row != r->failures[i].row || strcmp(r->failures[k].kind, r->failures[i].kind) != 0;
		if (!first)
			continue;
		putchar('\n');
		show_small(a, &r->failures[i]);
		shown++;
	}
}

int main(int argc, char **argv)
{
	static struct report report;
	static struct coverage covered;
	struct arguments a;
	parse(&a, argc, argv);
	if (a.one)
		return run_one(&a);
	jobs_run(&a.config, &report, &covered);
	report_print(&report, stdout);
	coverage_print(&covered, stdout);
	bool covers = coverage_enough(&covered, stdout) || a.config.row || report.schedules < COVERAGE_SCHEDULES;
	show_failures(&a, &report);
	int code = report.n_failures || !covers ? 1 : 0;
	report_free(&report);
	return code;
}
