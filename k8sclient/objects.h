/* The core types we read, decoded straight from JSON into plain structs. Unknown fields are ignored; a malformed object
 * gives -EINVAL with one line that names it. Everything is owned by the struct and freed by its _free. Pure. */
#ifndef K8SCLIENT_OBJECTS_H
#define K8SCLIENT_OBJECTS_H

#include <stdint.h>

#include "config/address.h"
#include "config/object_meta.h"

/* The field manager of our own writes (query parameter fieldManager). */
#define OBJECTS_MANAGER "l2lb"

/* ---- v1 Service ---- */

/* Annotations whose key begins so are kept in a decoded Service; others are dropped. */
#define OBJECTS_ANNOTATIONS "metallb."

enum ip_family_policy { SINGLE_STACK, PREFER_DUAL_STACK, REQUIRE_DUAL_STACK };

struct service_port {
	char protocol[8];   /* TCP, UDP, SCTP */
	uint16_t port;
};

#define SERVICE_ADDRESSES 2   /* at most one per family */

struct service {
	struct object_meta meta;
	bool load_balancer;             /* spec.type */
	char *lb_class;                 /* NULL: none */
	char *lb_ip;                    /* spec.loadBalancerIP; NULL: none */
	enum address_family families[SERVICE_ADDRESSES];   /* of the cluster addresses, in order */
	size_t n_families;              /* 0: headless or not set yet */
	enum ip_family_policy policy;
	bool local;                     /* externalTrafficPolicy: Local */
	char *selector;                 /* spec.selector as "k=v,k=v", sorted by key; NULL: none */
	struct service_port *ports;
	size_t n_ports;
	struct address *ingress;        /* status.loadBalancer.ingress[].ip, those that are addresses */
	size_t n_ingress;
	bool foreign_ingress;           /* an entry there is not an address (a hostname) */
	bool bad_ingress;               /* an entry there has an "ip" that is none */
	int64_t generation;             /* metadata.generation; 0: not counted */
	json_t *conditions;             /* status.conditions as they are; NULL: none */
	char *status_manager;           /* who wrote status.loadBalancer last, by managedFields, us not counted; NULL: unknown */
};

int service_decode(const json_t *object, struct service **servicep, struct error *err);
void service_free(struct service *s);
bool service_has_ingress(const struct service *s, const struct address *a);

/* ---- discovery.k8s.io/v1 EndpointSlice ---- */

struct endpoint {
	char *node;       /* NULL: not on a node */
	bool can_serve;   /* ready (or unset), or serving while terminating */
	bool ending;      /* the latter: its days are numbered */
};

struct endpoint_slice {
	struct object_meta meta;
	char *service;    /* "namespace/name" */
	struct endpoint *endpoints;
	size_t n;
};

int endpoint_slice_decode(const json_t *object, struct endpoint_slice **slicep, struct error *err);
void endpoint_slice_free(struct endpoint_slice *s);

/* ---- v1 Node ---- */

struct node {
	struct object_meta meta;
	bool ready;                 /* condition Ready is True */
	bool network_unavailable;   /* condition NetworkUnavailable is True */
	bool cordoned;              /* spec.unschedulable */
	struct address *internal;   /* status.addresses of type InternalIP */
	size_t n_internal;
};

int node_decode(const json_t *object, struct node **nodep, struct error *err);
void node_free(struct node *n);

/* ---- coordination.k8s.io/v1 Lease ---- */

struct lease {
	struct object_meta meta;
	char *holder;             /* "" : nobody */
	int duration_s;           /* 0: not set */
	int64_t transitions;
	char *acquired, *renewed; /* MicroTime texts; "" : not set */
};

int lease_decode(const json_t *object, struct lease **leasep, struct error *err);
void lease_free(struct lease *l);

#endif
