/* A timer that is set to a moment (clock.h), because pure cores answer with "wake me at". Setting it again moves it. */
#ifndef CONFIG_BASE_DEADLINE_H
#define CONFIG_BASE_DEADLINE_H

#include <stdint.h>
#include <stdbool.h>
#include <uv.h>

struct deadline {
	uv_timer_t timer;
	int64_t at;                    /* CLOCK_NEVER: not set */
	bool firing;                   /* on_due is running */
	void (*on_due)(void *data);
	void *data;
	void (*on_close)(void *data);
};

int deadline_init(struct deadline *d, uv_loop_t *loop, void (*on_due)(void *data), void *data);
void deadline_set(struct deadline *d, int64_t at);   /* CLOCK_NEVER stops it; the past means the next loop turn */
void deadline_close(struct deadline *d, void (*on_close)(void *data));   /* on_close may be NULL */

#endif
