/* Our Leases: who owns which address, and which node has which links. Decoding, and the bodies of the writes. Pure.
 * A Lease keeps no field it does not know, so what we add are annotations. design.md section 5. */
#ifndef SPEAKER_RECORDS_H
#define SPEAKER_RECORDS_H

#include "arp/link_table.h"
#include "k8sclient/objects.h"

#define PREVIOUS_HOLDERS 3

/* Lease ip-<address>: made and deleted by the controller; holder, epoch, previous and link written by owner or taker. */
struct record {
	struct address address;
	struct object_meta meta;
	char *holder;               /* a node's name; "" : nobody yet */
	bool found;                 /* its address stood in a status before: somebody may have announced it */
	int64_t epoch;              /* leaseTransitions: +1 with each change of holder */
	char **services;            /* "namespace/name" */
	char **service_uids;        /* same order and number; "" when unknown */
	size_t n_services;
	char *previous[PREVIOUS_HOLDERS];   /* newest first; NULL-padded */
	char *successor;            /* who is to take it over by a planned move; "": nobody */
	unsigned revision;          /* of the model that has it, when it came */
};

/* Lease node-<name>: written by its speaker when its links change. */
struct node_link {
	char name[IF_NAMESIZE];
	struct mac mac;
	bool by_default;            /* may be used without being named in an L2Advertisement */
	struct address_prefix addresses[LINK_ADDRESSES];
	size_t n_addresses;
};

struct node_record {
	struct object_meta meta;
	char *node;
	struct node_link *links;
	size_t n_links;
	bool draining;              /* `l2lb drain`: its addresses are to go to others */
};

/* "ip-192.168.122.100"; IPv6 expanded with dashes: "ip-fd00-0000-...". To free(). */
char *record_name(const struct address *a);
bool record_address(const char *lease_name, struct address *a);   /* the way back; false: no such name */
char *node_record_name(const char *node);   /* "node-<name>", or a hash of names longer than 248. To free(). */
char *record_class(const char *lb_class);   /* the value of LABEL_CLASS. To free(). */

/* False when the Lease is no address record (by name). */
bool record_decode(const struct lease *lease, struct record **recordp);
void record_free(struct record *r);
bool record_names(const struct record *r, const char *service_key, const char *uid);   /* uid NULL: any */
bool record_held_before(const struct record *r, const char *node);   /* in previous */

/* -EINVAL with err when the links are not understood. */
int node_record_decode(const struct lease *lease, struct node_record **recordp, struct error *err);
void node_record_free(struct node_record *r);
const struct node_link *node_record_link(const struct node_record *r, const char *name);

/* Bodies; the caller owns the returned value. now: clock_wall_text. found: the Service's status shows the address already. */
json_t *record_create_body(const struct address *a, const char *name_space, const char *lb_class, const char *service_key, const char *uid, bool found);

/* What all our Leases have in common; kind: value of LABEL_RECORD. And every patch: only this object, only this version. */
json_t *record_lease_body(const char *name, const char *name_space, const char *lb_class, const char *kind);
json_t *record_guarded_patch(const struct object_meta *meta);

/* Merge-patch under uid and resourceVersion: the holder is now `holder` on `link`, a planned move is done. */
json_t *record_holder_patch(const struct record *r, const char *holder, const char *link, const char *now);

/* Merge-patch: the owner is to hand over to this node ("": to nobody any more). Written by the owner or `l2lb move`. */
json_t *record_successor_patch(const struct record *r, const char *successor);

/* Merge-patch: the record now serves these Services. */
json_t *record_services_patch(const struct record *r, const char *const *keys, const char *const *uids, size_t n);

/* Merge-patch: it serves this Service too; one of the same key and another uid, which was deleted and made again, gives way. */
json_t *record_join_patch(const struct record *r, const char *key, const char *uid);

/* For DELETE: only this very version of this very object. */
json_t *delete_options(const struct object_meta *meta);

json_t *node_record_body(const char *node, const char *node_uid, const char *name_space, const char *lb_class, const struct node_link *links, size_t n);
json_t *node_record_patch(const struct node_record *r, const struct node_link *links, size_t n);

/* Written by `l2lb drain` and `undrain`. */
json_t *node_record_drain_patch(const struct node_record *r, bool draining);

/* True when the record says just this. */
bool node_record_says(const struct node_record *r, const struct node_link *links, size_t n);

#endif
