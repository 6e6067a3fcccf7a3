/* Writes and removes the Leases about strangers (foreign_record.h). A shell: one call per address at a time, each guarded by
 * the version that is known; what was written shows in the model when the watch tells it. */
#ifndef SPEAKER_FOREIGN_WRITES_H
#define SPEAKER_FOREIGN_WRITES_H

#include "speaker/cluster.h"

struct foreign_writes;

/* on_done: a call has ended; look again. node is borrowed. */
void foreign_writes_init(struct foreign_writes **wp, struct cluster *cluster, const char *node, void (*on_done)(void *data), void *data);

/* The record of the address shall say this (refused NULL: whatever it says). Nothing is written when it does. */
void foreign_writes_put(struct foreign_writes *w, const struct address *a, const char *link, const struct mac *mac, const char *refused);
void foreign_writes_delete(struct foreign_writes *w, const struct foreign_record *r);
void foreign_writes_close(struct foreign_writes *w);   /* NULL is fine */

#endif
