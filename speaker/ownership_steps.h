/* What the states of an address (ownership.h) share. For ownership.c and its parts only: ownership_turn.c (IDLE: is it our
 * turn?) and ownership_rival.c (two owners). */
#ifndef SPEAKER_OWNERSHIP_STEPS_H
#define SPEAKER_OWNERSHIP_STEPS_H

#include "config/base/clock.h"
#include "speaker/ownership.h"

#define OWNERSHIP_DEFENCE_SPACING (200 * CLOCK_MS)
#define OWNERSHIP_RETRY CLOCK_S   /* of writes; also while the API is away: the write that succeeds ends the outage */

/* ---- states ---- */

/* Everything that belongs to the state left is forgotten; nothing when we are in it. */
void ownership_enter(struct ownership *o, enum ownership_state state, int64_t now);

/* The peer was the last to say on the wire that it has the address; record: as known then, or NULL. */
void ownership_believe(struct ownership *o, const char *peer, const struct record *record);

/* It was `owner`'s and is about to be ours, unrecorded. In a chain of deaths the record names somebody before `owner` still:
 * he may be overwritten, too (R9). */
void ownership_take_from(struct ownership *o, const char *owner, const struct record *record);
void ownership_forget_before(struct ownership *o);

/* R9: the record may be overwritten as long as it names one of those that had the address when we took it. */
bool ownership_held_before(const struct ownership *o, const char *node);

/* It is the rival's: silent. */
enum ownership_action ownership_to_rival(struct ownership *o, const struct record *record, int64_t now);

/* ---- calls: one at a time ---- */

bool ownership_can_write(const struct ownership *o, int64_t now, int64_t *wakep);
enum ownership_action ownership_write_as(struct ownership *o, enum ownership_action action, const char *target, int64_t now);
enum ownership_action ownership_look(struct ownership *o, int64_t now);

/* ---- the view ---- */

bool ownership_is_mine(const struct ownership_view *v);   /* by the record */

/* A node's place among the candidates; n_candidates when it is none. */
size_t ownership_rank(const struct ownership_view *v, const char *node);

/* The first candidate who is not us; NULL: there is no other. */
const char *ownership_next_successor(const struct ownership_view *v);

/* ---- time ---- */

/* Wakes at `at`; true when it has come. */
bool ownership_reached(int64_t at, int64_t now, int64_t *wakep);

/* A question `wait` after the beginning of the state, then every `spacing`: is one due? */
bool ownership_question_due(struct ownership *o, int64_t wait, int64_t spacing, int64_t now, int64_t *wakep);

/* ---- the parts ---- */

/* appointed: the record has just begun to name us. */
enum ownership_action ownership_idle(struct ownership *o, const struct ownership_view *v, bool appointed, int64_t now, int64_t *wakep);

/* OWNED, and a peer claims it (R8). */
enum ownership_action ownership_settle_rivalry(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep);

#endif
