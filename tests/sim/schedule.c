#include "tests/sim/schedule.h"

#include <string.h>

const struct row *row_find(const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (strcmp(ROWS[i].name, name) == 0)
			return &ROWS[i];
	return NULL;
}

#define LARGE 2   /* percent of the schedules; they cost as much as ten others each */
#define BUSY 20   /* percent: all machines have other work as well, timers are not exact */

static const struct row *by_weight(uint64_t seed)
{
	struct chance c = {seed * 0x9e3779b97f4a7c15u + 7};
	unsigned all = 0;
	for (size_t i = 0; i < N_ROWS; i++)
		all += ROWS[i].weight;
	unsigned at = (unsigned)(chance_next(&c) % all);
	size_t i = 0;
	for (; at >= ROWS[i].weight; i++)
		at -= ROWS[i].weight;
	return &ROWS[i];
}

void schedule_draw(struct schedule *s, uint64_t seed, const struct row *row)
{
	struct chance c = {seed};
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->row = row ? row : by_weight(seed);
	s->nodes = (unsigned)chance_between(&c, 2, 8);
	s->addresses = (unsigned)chance_between(&c, 1, 4);
	s->interval = 100 * CLOCK_MS;
	s->watch_max = chance_percent(&c, 10) ? 300 * CLOCK_MS : 30 * CLOCK_MS;
	s->row->draw(s, &c);
	struct chance places = {seed + 99};
	if (!s->exact && chance_percent(&places, LARGE))   /* what the row is about happens in a larger cluster */
		s->nodes = (unsigned)chance_between(&places, s->nodes, NODES);
	struct chance other_work = {seed + 7};
	if (s->n_faults < FAULTS && chance_percent(&other_work, BUSY))
		s->faults[s->n_faults++] = (struct fault){.kind = FAULT_BUSY, .lasts = NEVER_BACK, .a = HOSTS, .mask = UINT64_MAX, .b = 100,
							  .value = (int)chance_between(&other_work, 1, 4)};
	for (unsigned i = 0; i < ADDRESSES; i++)
		if (s->holders[i] == 0)   /* not drawn by the row, or by it to be the first */
			s->holders[i] = (unsigned char)(i == 0 ? 0 : chance_between(&places, 0, s->nodes - 1));
}

bool schedule_has(const struct schedule *s, unsigned fault)
{
	const struct fault *f = &s->faults[fault];
	if (s->dropped >> fault & 1)
		return false;
	bool about_node = f->kind != FAULT_API && f->kind != FAULT_SPLIT && f->kind != FAULT_SERVICES && f->kind != FAULT_STRANGER && f->kind != FAULT_DELETE &&
			  f->kind != FAULT_SHARE && f->kind != FAULT_BUSY && f->a < HOSTS;
	bool names_b = f->kind == FAULT_ONE_WAY || f->kind == FAULT_MOVE || f->kind == FAULT_RECORD;
	return !(about_node && f->a < 64 && (s->dropped_nodes >> f->a & 1)) && !(names_b && (s->dropped_nodes >> f->b & 1));
}

int64_t schedule_faults_end(const struct schedule *s)
{
	int64_t end = 0;
	for (unsigned i = 0; i < s->n_faults; i++) {
		const struct fault *f = &s->faults[i];
		if (f->kind == FAULT_BUSY)   /* it may go on */
			continue;
		int64_t over = f->at + (f->lasts == NEVER_BACK ? 0 : f->lasts) + (f->kind == FAULT_TERM ? 2 * CLOCK_S : 0);
		if (schedule_has(s, i) && over > end)
			end = over;
	}
	return end;
}
