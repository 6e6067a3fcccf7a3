/* The journal of what changed in a model since it was last read: which Services, which addresses (their record, who shows them,
 * a stranger), or everything. Kept only while somebody follows it. Pure. */
#ifndef SPEAKER_MODEL_CHANGES_H
#define SPEAKER_MODEL_CHANGES_H

#include "config/address.h"
#include "config/base/map.h"

struct changed_service {
	char *key;             /* "namespace/name" */
	UT_hash_handle hh;
};

struct changed_address {
	struct address address;
	UT_hash_handle hh;
};

struct model_changes {
	bool followed;
	struct changed_service *services;
	struct changed_address *addresses;
	bool all;              /* pools, namespaces: everything may have */
};

void model_changes_note_service(struct model_changes *c, const char *key);
void model_changes_note_address(struct model_changes *c, const struct address *a);
void model_changes_forget(struct model_changes *c);

#endif
