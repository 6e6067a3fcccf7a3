/* What the rows of rows.c are drawn by. The victim is node 0, which holds the first address; names, and by them ring and order,
 * are drawn anew for each seed. */
#ifndef TESTS_SIM_ROWS_H
#define TESTS_SIM_ROWS_H

#include "tests/sim/schedule.h"

#define MS CLOCK_MS
#define S CLOCK_S

static inline struct fault *rows_add(struct schedule *s, enum fault_kind kind, int64_t at, int64_t lasts, unsigned a)
{
	if (s->n_faults == FAULTS)
		s->n_faults--;
	struct fault *f = &s->faults[s->n_faults++];
	*f = (struct fault){.kind = kind, .at = at, .lasts = lasts, .a = a};
	return f;
}

/* Faults come in any phase of the liveness interval. */
static inline int64_t rows_phase(struct chance *c)
{
	return chance_between(c, 0, 300 * MS);
}

/* rows_strangers.c */
void draw_stranger(struct schedule *s, struct chance *c);
void draw_stranger_first(struct schedule *s, struct chance *c);
void draw_stranger_move(struct schedule *s, struct chance *c);
void draw_stranger_storm(struct schedule *s, struct chance *c);
void draw_stranger_new(struct schedule *s, struct chance *c);
void draw_stranger_back(struct schedule *s, struct chance *c);
void draw_stranger_long(struct schedule *s, struct chance *c);
void draw_other(struct schedule *s, struct chance *c);

/* rows_cluster.c */
void draw_endpoints(struct schedule *s, struct chance *c);
void draw_endpoints_cluster(struct schedule *s, struct chance *c);
void draw_endpoints_none(struct schedule *s, struct chance *c);
void draw_endpoints_flap(struct schedule *s, struct chance *c);
void draw_not_ready(struct schedule *s, struct chance *c);
void draw_excluded(struct schedule *s, struct chance *c);
void draw_preferred(struct schedule *s, struct chance *c);
void draw_shared(struct schedule *s, struct chance *c);
void draw_deleted(struct schedule *s, struct chance *c);

#endif
