/* A speaker's memory over restarts: keeps its state file current, and makes a model of it when the API server does not answer
 * within 5 s of our start. A shell around saved_state.h. */
#ifndef SPEAKER_RESUMPTION_H
#define SPEAKER_RESUMPTION_H

#include "speaker/model.h"

struct resumption;

/* path: NULL: no file, nothing is ever resumed. */
void resumption_init(struct resumption **rp, const char *path, const char *node, int64_t now);
void resumption_close(struct resumption *r);   /* NULL is fine */

/* Not synced: the model to go by until then, NULL: none (yet). The same one until resumption_end. */
struct model *resumption_model(struct resumption *r, int64_t now);
void resumption_end(struct resumption *r);   /* synced: the model goes */

/* Synced: what is to be remembered; written when it is another than before, at most once a second. */
void resumption_remember(struct resumption *r, const struct model *m, const struct address *addresses, size_t n, int64_t now);

/* When one of the two has something to do. */
int64_t resumption_deadline(const struct resumption *r, bool synced);

/* There is a file by which this node could resume. */
bool resumption_possible(const char *path, const char *node);

#endif
