/* Lease foreign-<address>: a host that is none of ours uses an address of a pool (design.md section 5). Written by the node
 * that saw it, deleted when the host has gone; everybody else reads it. Pure: decoding and bodies.
 * `kubectl get leases -n metallb-system` shows them. */
#ifndef SPEAKER_FOREIGN_RECORD_H
#define SPEAKER_FOREIGN_RECORD_H

#include "speaker/records.h"

struct foreign_record {
	struct address address;
	struct object_meta meta;
	struct mac mac;
	char *node;       /* who saw it (holderIdentity), */
	char *link;       /* and on which of its links */
	char *refused;    /* uid of the address record whose holder gives the address up because of it; "": none */
};

/* "foreign-192.168.122.105"; to free(). And the way back. */
char *foreign_record_name(const struct address *a);
bool foreign_record_address(const char *lease_name, struct address *a);

/* -EINVAL with err: the MAC is not understood. */
int foreign_record_decode(const struct lease *lease, struct foreign_record **recordp, struct error *err);
void foreign_record_free(struct foreign_record *r);

/* Bodies; the caller owns the returned value. refused: as above; NULL: none. */
json_t *foreign_record_body(const struct address *a, const char *name_space, const char *lb_class, const char *node, const char *link,
			    const struct mac *mac, const char *refused);
json_t *foreign_record_patch(const struct foreign_record *r, const char *node, const char *link, const struct mac *mac, const char *refused);

#endif
