#include "speaker/wakefulness.h"

#include "config/base/clock.h"

#define NAP CLOCK_S

void wakefulness_init(struct wakefulness *w, int64_t interval)
{
	*w = (struct wakefulness){.interval = interval, .due = CLOCK_NEVER};
}

enum wakefulness_verdict wakefulness_turn(struct wakefulness *w, int64_t now, int64_t *lastedp)
{
	int64_t due = w->due;
	if (due == CLOCK_NEVER)
		return WAKEFULNESS_AWAKE;
	w->due = now + w->interval;
	if (now - due <= w->interval * 7 / 10)
		return WAKEFULNESS_AWAKE;
	*lastedp = now - due + w->interval;
	return now - due < NAP ? WAKEFULNESS_NAPPED : WAKEFULNESS_SLEPT;
}

void wakefulness_rest(struct wakefulness *w, bool tick, int64_t now)
{
	w->due = tick ? now + w->interval : CLOCK_NEVER;
}
