/* What the API server says, put into the model: one place for watches, answers to our own writes, and whole lists. Pure.
 *
 * An object that is not understood gives -EINVAL with one line that names it; what the model had of it stays, and a pool or an
 * L2Advertisement is marked as malformed there, for whoever shows problems. */
#ifndef SPEAKER_INTAKE_H
#define SPEAKER_INTAKE_H

#include "speaker/model.h"

enum intake_kind {
	INTAKE_SERVICE,
	INTAKE_SLICE,
	INTAKE_NODE,
	INTAKE_NAMESPACE,
	INTAKE_LEASE,           /* those of ours; others are ignored */
	INTAKE_POOL,
	INTAKE_ADVERTISEMENT,
	INTAKE_KINDS
};
const char *intake_kind_name(enum intake_kind kind);   /* "Service", "IPAddressPool", ... */

/* confirmed: a watch or a list shows it; else the answer to a write or a GET does (of a stranger only the watch is believed, in
 * the order in which things happened). */
int intake_put(struct model *m, enum intake_kind kind, const json_t *object, bool confirmed, struct error *err);

/* key: "namespace/name" or "name". */
void intake_drop(struct model *m, enum intake_kind kind, const char *key);

#endif
