#include "speaker/planned_move.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

#define STABLE (30 * CLOCK_S)        /* so long a preferred node must have been there without a break */
#define HOLD_DOWN CLOCK_S            /* a new endpoint on this node may be about to be ready; the old ones still serve */
#define TAKES CLOCK_S                /* then the next successor is named (R10) */
#define SILENT (60 * CLOCK_S)        /* so long whoever did not take it comes last */
#define TAKES_ORDERED (5 * CLOCK_S)  /* one whom a person has chosen: there is no next */

const char *planned_reason_text(enum planned_reason reason)
{
	static const char *const TEXTS[] = {"", "move", "unfit", "drain", "endpointsTerminating", "preferredNode"};
	return TEXTS[reason];
}

const char *planned_refusal_text(enum planned_refusal refusal)
{
	static const char *const TEXTS[] = {
		"can have it",
		"has it already",
		"may not have it: an endpoint of the Service, an L2Advertisement that selects the node, and a link there must fit it",
		"has no link in the subnet of the address, and another node has one: name the interface in the L2Advertisement",
		"is drained or cordoned: `l2lb undrain` or `kubectl uncordon` it first",
		"does not answer on the wire: see whether its speaker runs and its link works",
		"was asked and did not take it: see the log of its speaker",
	};
	return TEXTS[refusal];
}

void planned_move_init(struct planned_move *p)
{
	*p = (struct planned_move){.ending_since = CLOCK_NEVER};
}

void planned_move_free(struct planned_move *p)
{
	free(p->better);
	free(p->chosen);
	free(p->before);
	free(p->named);
	free(p->refused);
	free(p->silent);
	planned_move_init(p);
}

static const struct candidate *find(const struct planned_view *v, const char *node)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->candidates[i].node, node) == 0)
			return &v->candidates[i];
	return NULL;
}

static bool is_up(const struct planned_view *v, const struct candidate *c)
{
	return v->up[c - v->candidates];
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* The first of those that `wanted` likes, are up and are not us; who did not take it in time comes when there is no other. */
static const struct candidate *first(const struct planned_move *p, const struct planned_view *v,
				     bool (*wanted)(const struct candidate *c, const struct candidate *me), const struct candidate *me, int64_t now)
{
	const struct candidate *last = NULL;
	for (size_t i = 0; i < v->n; i++) {
		const struct candidate *c = &v->candidates[i];
		if (!v->up[i] || strcmp(c->node, v->me) == 0 || !wanted(c, me))
			continue;
		if (!same(c->node, p->silent) || now >= p->silent_until)
			return c;
		last = c;
	}
	return last;
}

/* ---- reasons of our own ---- */

static bool anybody(const struct candidate *c, const struct candidate *me)
{
	(void)me;
	(void)c;
	return true;
}

static bool has_right_link(const struct candidate *c, const struct candidate *me)
{
	(void)me;
	return !c->makeshift;
}

/* None of these takes a worse link into the bargain. */
static bool stays(const struct candidate *c, const struct candidate *me)
{
	return c->makeshift <= me->makeshift && !c->draining;
}

const struct candidate *planned_move_refuge(const struct planned_view *v)
{
	static const struct planned_move NOTHING_YET;
	const struct candidate *me = find(v, v->me);
	return first(&NOTHING_YET, v, me ? stays : anybody, me, 0);
}

static bool lasts(const struct candidate *c, const struct candidate *me)
{
	return stays(c, me) && !c->ending;
}

static bool scores_higher(const struct candidate *c, const struct candidate *me)
{
	return lasts(c, me) && c->score > me->score;
}

const struct candidate *planned_move_preferred(const struct planned_view *v)
{
	static const struct planned_move NOTHING_YET;
	const struct candidate *me = find(v, v->me);
	return me ? first(&NOTHING_YET, v, scores_higher, me, 0) : NULL;
}

/* Held down: the owner still can serve, and it costs clients something to be moved for a pod that is replaced in place. */
static const struct candidate *for_endpoints(struct planned_move *p, const struct planned_view *v, const struct candidate *me, int64_t now, int64_t *wakep)
{
	const struct candidate *c = me->ending ? first(p, v, lasts, me, now) : NULL;
	if (!c) {
		p->ending_since = CLOCK_NEVER;
		return NULL;
	}
	if (p->ending_since == CLOCK_NEVER)
		p->ending_since = now;
	if (now >= p->ending_since + HOLD_DOWN)
		return c;
	*wakep = clock_min(*wakep, p->ending_since + HOLD_DOWN);
	return NULL;
}

static const struct candidate *for_preference(struct planned_move *p, const struct planned_view *v, const struct candidate *me, int64_t now, int64_t *wakep)
{
	const struct candidate *c = first(p, v, scores_higher, me, now);
	if (!same(c ? c->node : NULL, p->better)) {
		mem_replace(&p->better, c ? c->node : NULL);
		p->better_since = now;
	}
	if (!c || now >= p->better_since + STABLE)
		return c;
	*wakep = clock_min(*wakep, p->better_since + STABLE);
	return NULL;
}

static const struct candidate *own_choice(struct planned_move *p, const struct planned_view *v, int64_t now, struct planned_step *step)
{
	const struct candidate *me = find(v, v->me), *c = NULL;
	if (me) {   /* both see every step: they measure time without a break */
		const struct candidate *lasting = for_endpoints(p, v, me, now, &step->wake);
		const struct candidate *better = for_preference(p, v, me, now, &step->wake);
		step->reason = lasting ? PLANNED_ENDING : PLANNED_PREFERENCE;
		c = lasting ? lasting : better;
	}
	if (!me || me->makeshift) {
		const struct candidate *fit = first(p, v, me ? has_right_link : anybody, me, now);
		step->reason = fit ? PLANNED_UNFIT : step->reason;
		c = fit ? fit : c;
	}
	if (me && me->draining && step->reason != PLANNED_UNFIT) {
		const struct candidate *staying = first(p, v, stays, me, now);
		step->reason = staying ? PLANNED_DRAIN : step->reason;
		c = staying ? staying : c;
	}
	return c;
}

/* ---- whom the record names ---- */

enum planned_refusal planned_move_judge(const struct planned_view *v, const char *node)
{
	const struct candidate *c = find(v, node);
	if (strcmp(node, v->me) == 0)
		return PLANNED_ALREADY;
	if (!c)
		return PLANNED_NOT_ELIGIBLE;
	if (!is_up(v, c))
		return PLANNED_DOWN;
	for (size_t i = 0; i < v->n; i++) {
		const struct candidate *other = &v->candidates[i];
		if (!v->up[i] && strcmp(other->node, v->me) != 0)
			continue;
		if (c->makeshift && !other->makeshift)
			return PLANNED_WRONG_LINK;
		if (c->draining && !other->draining)
			return PLANNED_LEAVES;
	}
	return PLANNED_ACCEPTED;
}

/* True while the named one is to have it. Who named it decides only how long it may take, and whether anybody is told. */
static bool follow_record(struct planned_move *p, const struct planned_view *v, int64_t now, struct planned_step *step)
{
	const char *successor = v->record->successor, *version = v->record->meta.resource_version;
	bool ours = same(successor, p->chosen) || same(successor, p->before);
	if (!same(successor, p->named)) {
		mem_replace(&p->named, *successor ? successor : NULL);
		p->named_at = now;
	}
	if (!*successor)
		return false;
	enum planned_refusal refusal = planned_move_judge(v, successor);
	int64_t until = p->named_at + (ours ? TAKES : TAKES_ORDERED);
	if (refusal == PLANNED_ACCEPTED && now < until) {
		step->wake = until;
		step->target = find(v, successor)->node;
		step->reason = PLANNED_SUCCESSOR;
		return true;
	}
	if (refusal == PLANNED_ACCEPTED && !same(successor, p->silent)) {
		mem_replace(&p->silent, successor);
		p->silent_until = now + SILENT;
	}
	if (ours || same(version, p->refused))
		return false;
	mem_replace(&p->refused, version);
	step->refusal = refusal == PLANNED_ACCEPTED ? PLANNED_SILENT : refusal;
	return false;
}

static void choose(struct planned_move *p, const char *node)
{
	if (same(node, p->chosen))
		return;
	if (p->chosen)
		mem_replace(&p->before, p->chosen);
	mem_replace(&p->chosen, node);
}

struct planned_step planned_move_step(struct planned_move *p, const struct planned_view *v, int64_t now)
{
	struct planned_step step = {.wake = CLOCK_NEVER}, own = {.wake = CLOCK_NEVER};
	bool named = follow_record(p, v, now, &step);
	const struct candidate *c = own_choice(p, v, now, &own);   /* in any case: it measures time */
	choose(p, c ? c->node : NULL);
	step.wake = clock_min(step.wake, own.wake);
	if (named) {
		if (c && same(c->node, step.target))
			step.reason = own.reason;
		return step;
	}
	step.target = c ? c->node : NULL;
	step.reason = c ? own.reason : PLANNED_NOTHING;
	step.clear = !c && *v->record->successor;
	return step;
}
