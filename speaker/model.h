/* The cluster as the watches tell it, indexed for the decisions. Pure: objects go in, questions are answered; it never
 * acts. Objects that were put belong to the model. An older version of an object than the one it has is ignored, so the
 * answers to our own writes can be put in before the watch repeats them. */
#ifndef SPEAKER_MODEL_H
#define SPEAKER_MODEL_H

#include "config/advertisement.h"
#include "config/base/map.h"
#include "k8sclient/objects.h"
#include "speaker/records.h"

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
	UT_hash_handle hh;      /* by name */
};

struct namespace_entry {
	struct object_meta meta;
	UT_hash_handle hh;
};

struct record_entry {
	struct record *record;
	bool confirmed;         /* a watch has shown it; else only the answer to a write has */
	UT_hash_handle hh;      /* by address */
};

struct node_record_entry {
	struct node_record *record;
	bool confirmed;
	UT_hash_handle hh;      /* by Lease name */
};

struct pool_entry {
	struct pool *pool;
	char *refused;          /* why it is not in use: overlaps with an older one; NULL: in use */
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
	struct pool_entry *pools;            /* in the order they are tried (pool_compare) */
	size_t n_pools;
	struct advertisement **advertisements;
	size_t n_advertisements;
	bool services_synced, slices_synced, nodes_synced, records_synced, pools_synced, advertisements_synced, namespaces_synced;
	unsigned revision;      /* grows with every change */
};

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

/* After a whole list of Leases: what only our own writes had shown, and the list did not, is gone. */
void model_drop_unconfirmed(struct model *m);

/* Pools and advertisements are few: a change replaces one by name, then the set is validated as a whole. Of two pools that
 * overlap the older one stays. */
void model_put_pool(struct model *m, struct pool *p);
void model_drop_pool(struct model *m, const char *name);
void model_put_advertisement(struct model *m, struct advertisement *ad);
void model_drop_advertisement(struct model *m, const char *name);

struct service *model_service(const struct model *m, const char *key);
struct node *model_node(const struct model *m, const char *name);
struct record *model_record(const struct model *m, const struct address *a);
struct node_record *model_node_record(const struct model *m, const char *node);   /* by the node's name */
const struct labels *model_namespace_labels(const struct model *m, const char *name);   /* NULL: unknown */

/* The pool in use that may hand out this address, or NULL. */
const struct pool *model_pool_of(const struct model *m, const struct address *a);
const struct pool *model_pool_named(const struct model *m, const char *name);   /* in use */

/* A LoadBalancer Service of our class (the truth table of metallb-l2.md section 2.2) that is not being deleted. */
bool model_is_ours(const struct model *m, const struct service *s);

/* Some endpoint of the Service can serve; node != NULL: one on that node. */
bool model_has_endpoint(const struct model *m, const char *service_key, const char *node);

/* True when the address stands in the status of a Service (ours or not) other than `except`. */
const struct service *model_ingress_user(const struct model *m, const struct address *a, const struct service *except);

#endif
