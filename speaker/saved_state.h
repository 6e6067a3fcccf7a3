/* What a speaker writes down for its next life, and the small model that is made of it: while the API server is away a restarted
 * speaker treats it as a hint, asks on the wire, and resumes what nobody answers for (design.md section 5: an API server may
 * itself be behind an address of ours). Pure.
 *
 * The model holds the same things as the cluster's, as far as they are needed to answer: our addresses under one Service, the
 * pools' ranges, our links by name, and the node records, by which peers are known. */
#ifndef SPEAKER_SAVED_STATE_H
#define SPEAKER_SAVED_STATE_H

#include "speaker/model.h"

/* JSON text, to free(). addresses: those that the node answers for. */
char *saved_state_encode(const struct model *m, const char *node, const struct address *addresses, size_t n);

/* -ENOENT: nothing was ours; -EINVAL with one line for anything but a text of saved_state_encode by this node. *mp: to model_free() and free(). */
int saved_state_decode(const char *text, const char *node, struct model **mp, struct error *err);

#endif
