/* The cluster as the watches tell it, indexed for the decisions. Pure: objects go in, questions are answered; it never
 * acts. Objects that were put belong to the model. An older version of an object than the one it has is ignored, so the
 * answers to our own writes can be put in before the watch repeats them. */
#ifndef SPEAKER_MODEL_H
#define SPEAKER_MODEL_H

#include "config/advertisement.h"
#include "config/base/map.h"
#include "k8sclient/objects.h"
#include "speaker/foreign_record.h"
#include "speaker/model_changes.h"
#include "speaker/pool_table.h"
#include "speaker/records.h"
#include "speaker/spread.h"

struct service_entry {
	struct service *service;
	UT_hash_handle hh;      /* by key "namespace/name" */
};

struct slice_entry {
	struct endpoint_slice *slice;
	struct slice_entry *next;   /* of the same Service */
	UT_hash_handle hh;
};

struct service_slices {     /* the slices of one Service, which may not be known (yet) */
	char *service;
	struct slice_entry *first;
	UT_hash_handle hh;
};

struct node_entry {
	struct node *node;
	uint32_t number;        /* in `spread`, of the same revision; the election's */
	UT_hash_handle hh;      /* by name */
};

struct namespace_entry {
	struct object_meta meta;
	UT_hash_handle hh;
};

struct record_entry {
	struct record *record;
	bool confirmed;         /* a watch has shown it; else only the answer to a write has */
	bool claimed;           /* `own` is about to be its holder: the write is under way */
	UT_hash_handle hh;      /* by address */
};

struct node_record_entry {
	struct node_record *record;
	bool confirmed;
	UT_hash_handle hh;      /* by Lease name */
};

struct foreign_entry {      /* a stranger on an address */
	struct foreign_record *record;
	bool put_aside;         /* the allocator may not hand it out: set by model_put_aside */
	UT_hash_handle hh;      /* by address */
};

struct ingress_entry {      /* in whose status an address stands */
	struct address address;
	const struct service **users;
	size_t n;
	UT_hash_handle hh;
};

struct named_entry {        /* the records that name a Service */
	char *service;
	struct address *addresses;
	size_t n;
	UT_hash_handle hh;
};

struct refused_object {     /* an L2Advertisement as it is now, which is not understood */
	struct object_meta meta;
	char *why;
};

struct model {
	char *lb_class;         /* "": Services without a class are ours */
	bool ignore_exclude_label;
	struct service_entry *services;
	struct slice_entry *slices;
	struct service_slices *service_slices;
	struct node_entry *nodes;
	struct namespace_entry *namespaces;
	struct record_entry *records;
	char *records_version;  /* newest of a record that a watch has shown */
	struct node_record_entry *node_records;
	const struct node_record *own;   /* this node's links as they are, newer than its record; the speaker's. NULL: go by the record */
	struct foreign_entry *foreign;
	struct pool_table pools;
	struct advertisement **advertisements;   /* in use: as they are, or as they last were good */
	size_t n_advertisements;
	struct refused_object *refused_ads;
	size_t n_refused_ads;
	struct ingress_entry *ingress;
	struct named_entry *named;
	struct model_changes changes;
	bool services_synced, slices_synced, nodes_synced, records_synced, pools_synced, advertisements_synced, namespaces_synced;
	unsigned revision;      /* grows with every change */
	unsigned record_changes;   /* ... of which so many were of address records */
	struct spread *spread;  /* worked out by the election when it is asked for, once per revision */
};

/* Grows with every change of anything but address records: hundreds of them change when a node dies, each on its own. */
static inline unsigned model_scenery(const struct model *m)
{
	return m->revision - m->record_changes;
}

void model_init(struct model *m, const char *lb_class, bool ignore_exclude_label);
void model_free(struct model *m);

void model_put_service(struct model *m, struct service *s);
void model_drop_service(struct model *m, const char *key);
void model_put_slice(struct model *m, struct endpoint_slice *s);
void model_drop_slice(struct model *m, const char *key);
void model_put_node(struct model *m, struct node *n);
void model_drop_node(struct model *m, const char *name);
void model_put_namespace(struct model *m, struct object_meta *meta);   /* moves the content */
void model_drop_namespace(struct model *m, const char *name);
void model_put_record(struct model *m, struct record *r, bool confirmed);
void model_drop_record(struct model *m, const struct address *a);
void model_drop_record_object(struct model *m, const struct address *a, const char *uid);   /* not one made since */
void model_put_node_record(struct model *m, struct node_record *r, bool confirmed);
void model_drop_node_record(struct model *m, const char *lease_name);

void model_put_foreign(struct model *m, struct foreign_record *r);   /* only from the watch */
void model_drop_foreign(struct model *m, const struct address *a);
void model_put_aside(struct model *m, const struct address *a);
const struct foreign_record *model_foreign(const struct model *m, const struct address *a);
bool model_is_put_aside(const struct model *m, const struct address *a);

/* The record's holder gives the address up to a stranger. */
bool model_is_refused(const struct model *m, const struct record *r);

/* After a whole list of Leases: what only our own writes had shown, and the list did not, is gone. */
void model_drop_unconfirmed(struct model *m);

/* Pools and advertisements are few: a change replaces one by name, then the set is validated as a whole (pool_table.h).
 * _malformed: the object is there but not understood; its last good state stays in use. */
void model_put_pool(struct model *m, struct pool *p);
void model_put_malformed_pool(struct model *m, const struct object_meta *meta, const char *why);
void model_drop_pool(struct model *m, const char *name);
void model_put_advertisement(struct model *m, struct advertisement *ad);
void model_put_malformed_advertisement(struct model *m, const struct object_meta *meta, const char *why);
void model_drop_advertisement(struct model *m, const char *name);

/* For the spread of new addresses: what our own node has asked for counts as its own already, in our eyes. */
void model_note_claim(struct model *m, const struct address *a, bool claimed);

struct service *model_service(const struct model *m, const char *key);
struct node *model_node(const struct model *m, const char *name);
struct record *model_record(const struct model *m, const struct address *a);
struct node_record *model_node_record(const struct model *m, const char *node);   /* by the node's name */

/* Of this node: our own links as they are, else what its record shows. NULL: neither is known. */
const struct node_record *model_links_of(const struct model *m, const char *node);
const struct labels *model_namespace_labels(const struct model *m, const char *name);   /* NULL: unknown */

/* The pool in use that may hand out this address, or NULL. */
const struct pool *model_pool_of(const struct model *m, const struct address *a);
const struct pool *model_pool_named(const struct model *m, const char *name);   /* in use */

/* A LoadBalancer Service of our class (the truth table of metallb-l2.md section 2.2). One that is being deleted, but held by
 * a finalizer, keeps what its status shows until it is gone, as with MetalLB; it gets nothing new. */
bool model_is_ours(const struct model *m, const struct service *s);

/* Some endpoint of the Service can serve; node != NULL: one on that node. */
bool model_has_endpoint(const struct model *m, const char *service_key, const char *node);
bool model_has_lasting_endpoint(const struct model *m, const char *service_key, const char *node);   /* one that is not terminating */

/* Objects that are not in use as they are, at < model_problems(): what they are and one line that says why, with the remedy. */
struct model_problem {
	const char *kind;                  /* IPAddressPool, L2Advertisement */
	const struct object_meta *meta;
	const char *text;
};
size_t model_problems(const struct model *m);
struct model_problem model_problem(const struct model *m, size_t at);

/* The records that name the Service; *addressesp is the model's. */
size_t model_records_naming(const struct model *m, const char *service_key, const struct address **addressesp);

/* From now on changes are noted in m->changes; at first: all. model_forget_changes empties it. */
void model_follow_changes(struct model *m);
void model_forget_changes(struct model *m);

/* Services (ours or not) in whose status the address stands; *usersp is the model's. The other: one that is not `except`. */
size_t model_ingress_users(const struct model *m, const struct address *a, const struct service *const **usersp);
const struct service *model_ingress_user(const struct model *m, const struct address *a, const struct service *except);

#endif
