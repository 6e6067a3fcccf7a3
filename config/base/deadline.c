#include "config/base/deadline.h"

#include "config/base/clock.h"

static void on_timer(uv_timer_t *timer)
{
	struct deadline *d = timer->data;
	d->at = CLOCK_NEVER;
	d->firing = true;
	d->on_due(d->data);
	d->firing = false;
}

int deadline_init(struct deadline *d, uv_loop_t *loop, void (*on_due)(void *data), void *data)
{
	*d = (struct deadline){.at = CLOCK_NEVER, .on_due = on_due, .data = data};
	int rc = uv_timer_init(loop, &d->timer);
	d->timer.data = d;
	return rc;
}

void deadline_set(struct deadline *d, int64_t at)
{
	if (at == d->at)
		return;
	d->at = at;
	if (at == CLOCK_NEVER) {
		uv_timer_stop(&d->timer);
		return;
	}
	int64_t wait = at - clock_now();
	/* libuv counts from the loop's cached time, which lags behind while a turn runs. */
	uv_update_time(d->timer.loop);
	/* From its own callback 0 would mean this very turn again: libuv 1.44 runs timers until none is due, for ever. */
	uint64_t least = d->firing ? 1 : 0, ms = wait <= 0 ? 0 : (uint64_t)((wait + CLOCK_MS - 1) / CLOCK_MS);
	uv_timer_start(&d->timer, on_timer, ms < least ? least : ms, 0);
}

static void on_closed(uv_handle_t *handle)
{
	struct deadline *d = handle->data;
	if (d->on_close)
		d->on_close(d->data);
}

void deadline_close(struct deadline *d, void (*on_close)(void *data))
{
	d->on_close = on_close;
	if (!uv_is_closing((uv_handle_t *)&d->timer))
		uv_close((uv_handle_t *)&d->timer, on_closed);
}
