/* The controller that writes nothing: says what it would do, as long as it runs, without a Lease of its own. */
#ifndef SPEAKER_DRY_RUN_ROLE_H
#define SPEAKER_DRY_RUN_ROLE_H

#include "speaker/allocator.h"
#include "speaker/cluster.h"

struct dry_run_role;

void dry_run_role_init(struct dry_run_role **rolep, struct cluster *cluster);
void dry_run_role_step(void *role);   /* a step of the turn */

/* Everything was listed and decided once. */
bool dry_run_role_done(const struct dry_run_role *role);
const struct allocator *dry_run_role_allocator(const struct dry_run_role *role);
void dry_run_role_close(struct dry_run_role *role);   /* NULL is fine */

#endif
