#include "config/base/turn.h"

#include <assert.h>

static void on_prepare(uv_prepare_t *prepare)
{
	struct turn *turn = prepare->data;
	uv_idle_stop(&turn->idle);
	for (size_t i = 0; i < turn->n_steps; i++)
		turn->steps[i].run(turn->steps[i].data);
}

/* An active idle handle makes the loop poll without sleeping; nothing else is asked of it. */
static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

int turn_init(struct turn *turn, uv_loop_t *loop)
{
	*turn = (struct turn){0};
	uv_prepare_init(loop, &turn->prepare);
	uv_idle_init(loop, &turn->idle);
	turn->prepare.data = turn;
	return uv_prepare_start(&turn->prepare, on_prepare);
}

void turn_add(struct turn *turn, void (*run)(void *data), void *data)
{
	assert(turn->n_steps < TURN_STEPS);
	turn->steps[turn->n_steps].run = run;
	turn->steps[turn->n_steps].data = data;
	turn->n_steps++;
}

void turn_again(struct turn *turn)
{
	if (!uv_is_closing((uv_handle_t *)&turn->idle))
		uv_idle_start(&turn->idle, on_idle);
}

void turn_close(struct turn *turn)
{
	uv_close((uv_handle_t *)&turn->prepare, NULL);
	uv_close((uv_handle_t *)&turn->idle, NULL);
}
