/* OWNED, and another one says that it has the address, too (R8). */
#include "speaker/ownership_steps.h"

#include <string.h>

#include "config/base/memory.h"

#define HANGING (100 * CLOCK_MS)        /* a write that is not answered by then when a rival appears */
#define LOOKING (200 * CLOCK_MS)        /* a look; two answer meanwhile */
#define RACE (2 * CLOCK_S)              /* after a takeover */
#define WAR (10 * CLOCK_S)              /* defences within it count together (R8) */
#define WAR_RANK 3u                     /* from this defence on the worse static rank yields, */
#define WAR_END 6u                      /* and at this one everybody: the other one has the record */

/* Another one says that the address is his (R8). With the API the record decides (it has just been read); without it the
 * younger takeover, then the static order: of two that meet at most one defends, and whoever gives way asks first. */
static bool defends(const struct ownership *o, const struct ownership_view *v, bool api)
{
	bool worse = ownership_rank(v, v->me) > ownership_rank(v, o->rival);
	bool took_it = ownership_held_before(o, o->rival) || record_held_before(v->record, o->rival);
	if (api)
		return ownership_is_mine(v) || (o->from && ownership_held_before(o, v->record->holder));
	if (o->defences >= WAR_END || (o->defences >= WAR_RANK && worse))
		return false;
	return took_it || (!ownership_is_mine(v) && !worse);
}

enum ownership_action ownership_settle_rivalry(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	/* A write may hang on a connection from before; who is heard again may have brought the API server back. A look must not
	 * wait behind those for hundreds of other addresses: no answer in time is one, too. */
	int64_t since = o->called_at > o->rival_since ? o->called_at : o->rival_since;
	if (o->in_flight && ownership_reached(since + (o->looking ? LOOKING : HANGING), now, wakep)) {
		if (o->looking)
			ownership_looked(o, 0, now);
		else
			o->retry_at = o->called_at > o->rival_since ? now + OWNERSHIP_RETRY : now;
		o->in_flight = false;
		*wakep = now + CLOCK_MS;
		return OWNERSHIP_ABANDON;
	}
	/* Two took it from the same dead one in the same moment: their order decides, without waiting for the API server, which may
	 * have hundreds of takeovers to record first. */
	bool racing = o->from && strcmp(v->record->holder, o->from) == 0 && now < o->since + RACE;
	if (racing && ownership_rank(v, v->me) > ownership_rank(v, o->rival)) {
		ownership_enter(o, OWNERSHIP_YIELDING, now);
		return OWNERSHIP_NOTHING;
	}
	bool api = v->api && !o->unanswered;
	if (v->api && !o->looked && !racing)
		return ownership_look(o, now);
	if (!defends(o, v, api)) {
		if (api && strcmp(v->record->holder, o->rival) == 0)
			return ownership_to_rival(o, v->record, now);
		ownership_enter(o, api ? OWNERSHIP_RELEASING : OWNERSHIP_YIELDING, now);
		return OWNERSHIP_NOTHING;
	}
	/* What settles it for good comes before the next defence: each of ours calls forth one of his. */
	if (o->from && !o->unanswered && ownership_can_write(o, now, wakep))
		return ownership_write_as(o, OWNERSHIP_WRITE, v->me, now);
	if (!ownership_reached(o->defended_at + OWNERSHIP_DEFENCE_SPACING, now, wakep))
		return OWNERSHIP_NOTHING;
	if (now > o->war_began + WAR) {
		o->war_began = now;
		o->defences = 0;
	}
	o->defences++;
	mem_replace(&o->rival, NULL);
	mem_replace(&o->refuted, o->insists);
	mem_replace(&o->insists, NULL);
	o->defended_at = now;
	*wakep = clock_min(*wakep, now + CLOCK_MS);   /* what is not recorded yet waits for its time, not for the next event */
	return OWNERSHIP_DEFEND;
}
