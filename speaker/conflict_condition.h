/* The condition l2lb.io/AddressConflict in a Service's status: there, and True, while a host that is none of ours uses an
 * address of the Service, which is kept all the same. It says who (the MAC) and what to do. When that is over it is removed, so
 * that a Service which never had a conflict needs none and nobody has to keep a False one up to date. Other people's
 * conditions stay as they are. Pure. */
#ifndef SPEAKER_CONFLICT_CONDITION_H
#define SPEAKER_CONFLICT_CONDITION_H

#include "speaker/model.h"

#define CONFLICT_CONDITION "l2lb.io/AddressConflict"

/* The message it ought to have; NULL: it ought not to be there. To free(). */
char *conflict_condition_message(const struct model *m, const struct service *s);

/* Merge-patch for the Service's status, under uid and resourceVersion; NULL: it is as it ought to be. now: clock_wall_text. */
json_t *conflict_condition_patch(const struct model *m, const struct service *s, const char *now);

#endif
