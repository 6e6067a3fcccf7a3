/* The one drain step per loop turn: callbacks of libraries only record, then the steps registered here run in order,
 * just before the loop may sleep. (libuv's own prepare handles run in an order that depends on who started last.) */
#ifndef CONFIG_BASE_TURN_H
#define CONFIG_BASE_TURN_H

#include <stddef.h>
#include <uv.h>

#define TURN_STEPS 12

struct turn {
	uv_prepare_t prepare;
	uv_idle_t idle;
	struct {
		void (*run)(void *data);
		void *data;
	} steps[TURN_STEPS];
	size_t n_steps;
};

int turn_init(struct turn *turn, uv_loop_t *loop);
void turn_add(struct turn *turn, void (*run)(void *data), void *data);   /* runs after those added before */

/* The loop must not sleep before the steps have run once more: for work recorded by a later step for an earlier one. */
void turn_again(struct turn *turn);
void turn_close(struct turn *turn);

#endif
