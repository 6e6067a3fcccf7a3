#include "speaker/ownership_steps.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

void ownership_forget_before(struct ownership *o)
{
	for (size_t i = 0; i < OWNERSHIP_BEFORE; i++)
		mem_replace(&o->before[i], NULL);
}

void ownership_believe(struct ownership *o, const char *peer, const struct record *record)
{
	mem_replace(&o->believed, peer);
	o->believed_epoch = record ? record->epoch : 0;
}

void ownership_enter(struct ownership *o, enum ownership_state state, int64_t now)
{
	bool was_answering = ownership_answers(o);
	if (o->state == state)
		return;
	o->state = state;
	o->since = now;
	o->plan_at = CLOCK_NEVER;
	o->handed_at = o->stopping_at = 0;
	o->asked = o->insisted = 0;
	o->summoned = false;
	mem_replace(&o->guarded, NULL);
	if (ownership_answers(o)) {
		mem_replace(&o->believed, NULL);
		if (!was_answering)
			mem_replace(&o->rival, NULL);
		return;
	}
	mem_replace(&o->rival, NULL);
	mem_replace(&o->insists, NULL);
	if (state != OWNERSHIP_CHECK && state != OWNERSHIP_CLAIMING) {
		mem_replace(&o->from, NULL);
		ownership_forget_before(o);
	}
	if (was_answering && state == OWNERSHIP_IDLE)
		o->fresh = o->doubted = false;
}

enum ownership_action ownership_to_rival(struct ownership *o, const struct record *record, int64_t now)
{
	char *peer = mem_strdup(o->rival);
	ownership_enter(o, OWNERSHIP_IDLE, now);
	ownership_believe(o, peer, record);
	o->claimed_at = now;
	free(peer);
	return OWNERSHIP_NOTHING;
}

bool ownership_can_write(const struct ownership *o, int64_t now, int64_t *wakep)
{
	if (o->in_flight)
		return false;
	if (now < o->retry_at) {
		*wakep = clock_min(*wakep, o->retry_at);
		return false;
	}
	return true;
}

enum ownership_action ownership_write_as(struct ownership *o, enum ownership_action action, const char *target, int64_t now)
{
	mem_replace(&o->target, target);
	o->in_flight = true;
	o->looking = false;
	o->called_at = now;
	return action;
}

enum ownership_action ownership_look(struct ownership *o, int64_t now)
{
	if (o->in_flight)
		return OWNERSHIP_NOTHING;
	o->in_flight = o->looking = true;
	o->called_at = now;
	return OWNERSHIP_LOOK;
}

bool ownership_is_mine(const struct ownership_view *v)
{
	return strcmp(v->record->holder, v->me) == 0;
}

size_t ownership_rank(const struct ownership_view *v, const char *node)
{
	size_t i = 0;
	while (i < v->n_candidates && strcmp(v->candidates[i], node) != 0)
		i++;
	return i;
}

const char *ownership_next_successor(const struct ownership_view *v)
{
	for (size_t i = 0; i < v->n_candidates; i++)
		if (strcmp(v->candidates[i], v->me) != 0)
			return v->candidates[i];
	return NULL;
}

bool ownership_held_before(const struct ownership *o, const char *node)
{
	for (size_t i = 0; i < OWNERSHIP_BEFORE; i++)
		if (o->before[i] && strcmp(o->before[i], node) == 0)
			return true;
	return false;
}

void ownership_take_from(struct ownership *o, const char *owner, const struct record *record)
{
	mem_replace(&o->from, owner);
	mem_replace(&o->before[0], owner);
	mem_replace(&o->before[1], record->holder);
	for (size_t i = 0; i < PREVIOUS_HOLDERS; i++)
		mem_replace(&o->before[2 + i], record->previous[i]);
}

bool ownership_reached(int64_t at, int64_t now, int64_t *wakep)
{
	if (now < at)
		*wakep = clock_min(*wakep, at);
	return now >= at;
}

bool ownership_question_due(struct ownership *o, int64_t wait, int64_t spacing, int64_t now, int64_t *wakep)
{
	if (!ownership_reached(o->asked ? o->asked_at + spacing : o->since + wait, now, wakep))
		return false;
	o->asked++;
	o->asked_at = now;
	*wakep = clock_min(*wakep, now + spacing);
	return true;
}
