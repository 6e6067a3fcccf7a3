/* The simulation. See `build/sim --help`. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/run.h"

int main(int argc, char **argv)
{
	uint64_t start = 1, n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	const struct row *row = argc > 2 && *argv[2] ? row_find(argv[2]) : NULL;
	if (argc > 3) start = strtoull(argv[3], NULL, 10);
	for (uint64_t seed = start; seed < start + n; seed++) {
		struct schedule s;
		struct outcome o;
		schedule_draw(&s, seed, row);
		run_schedule(&s, argc > 4, &o);
		printf("%llu %s: %s %s dark %lld two %lld moves %u same %u stale %u sim %.1fs frames %llu\n", (unsigned long long)seed, ROWS[o.row].name, o.kind, o.details,
			(long long)o.measured.dark / 1000, (long long)o.measured.two / 1000, o.measured.moves, o.measured.same, o.measured.stale, (double)o.simulated / 1e6,
			(unsigned long long)o.frames);
	}
	return 0;
}
