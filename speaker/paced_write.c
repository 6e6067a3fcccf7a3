#include "speaker/paced_write.h"

#include "config/base/clock.h"

const struct paced_write_times PACED_WRITE_TIMES = {.settle = CLOCK_S, .retry = 5 * CLOCK_S, .retry_max = 300 * CLOCK_S, .remembered = 1200 * CLOCK_S};

static void hold(struct paced_write *w, int64_t until)
{
	if (until > w->not_before)
		w->not_before = until;
}

void paced_write_look(struct paced_write *w, const struct paced_write_times *times, bool wrong, int64_t now)
{
	if (wrong && !w->wrong)
		hold(w, now + times->settle);
	w->wrong = wrong;
}

bool paced_write_begin(struct paced_write *w, int64_t now)
{
	if (!w->wrong || w->busy || now < w->not_before)
		return false;
	w->busy = repair_allow(&w->repair, now);
	if (!w->busy)
		hold(w, w->repair.until);
	return w->busy;
}

void paced_write_ended(struct paced_write *w, const struct paced_write_times *times, enum paced_write_end end, int64_t now)
{
	w->busy = false;
	w->ended_at = now;
	if (end == PACED_WRITE_FAILED)
		w->pause = w->pause ? clock_min(2 * w->pause, times->retry_max) : times->retry;
	else
		w->pause = 0;
	hold(w, now + (end == PACED_WRITE_FAILED ? w->pause : times->settle));
}

int64_t paced_write_deadline(const struct paced_write *w)
{
	return w->wrong && !w->busy ? w->not_before : CLOCK_NEVER;
}

bool paced_write_is_over(const struct paced_write *w, const struct paced_write_times *times, int64_t now)
{
	return !w->wrong && !w->busy && (!w->ended_at || now - w->ended_at >= times->remembered);
}
