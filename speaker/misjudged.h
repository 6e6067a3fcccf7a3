/* Peers that were taken for dead and were not (ownership.md R5, findings 2 and 10): whoever goes on announcing an address within
 * 30 s after we took it from him by silence was alive. Then nothing is taken from him by silence for 30 s, twice as long each time, up
 * to 16 min; others may. A back-off for the pair, never for an address: that one must move again at once if its new owner
 * dies as well. Pure. */
#ifndef SPEAKER_MISJUDGED_H
#define SPEAKER_MISJUDGED_H

#include <stdbool.h>
#include <stdint.h>

#include "speaker/records.h"

struct misjudged;

struct misjudged *misjudged_new(void);
void misjudged_free(struct misjudged *m);   /* NULL is fine */

/* An address was taken from this node because it was silent. */
void misjudged_took(struct misjudged *m, const char *node, int64_t now);

/* It goes on announcing one that we answer for (ownership_refuted); record: of that one, or NULL. By a handover it may. True: so it
 * was alive, and that is news. */
bool misjudged_announces(struct misjudged *m, const char *node, const struct record *record, int64_t now);

/* Silent as it is for us, it has recorded over us what we took from it. */
bool misjudged_records(struct misjudged *m, const char *node, int64_t now);

/* Nothing is to be taken from it; *untilp (may be NULL): until when. */
bool misjudged_is(const struct misjudged *m, const char *node, int64_t now, int64_t *untilp);

#endif
