/* Names that others see: annotations, labels, Lease names, event reasons. MetalLB's where it has one. */
#ifndef SPEAKER_NAMES_H
#define SPEAKER_NAMES_H

/* on Services (metallb-l2.md section 2.1) */
#define ANNOTATION_IPS "metallb.io/loadBalancerIPs"
#define ANNOTATION_POOL "metallb.io/address-pool"
#define ANNOTATION_SHARE "metallb.io/allow-shared-ip"
#define ANNOTATION_FROM_POOL "metallb.io/ip-allocated-from-pool"
#define ANNOTATION_OLD_PREFIX "metallb.universe.tf/"
#define ANNOTATION_OLD_IPS "metallb.universe.tf/loadBalancerIPs"
#define ANNOTATION_OLD_POOL "metallb.universe.tf/address-pool"
#define ANNOTATION_OLD_SHARE "metallb.universe.tf/allow-shared-ip"

/* on Nodes */
#define LABEL_EXCLUDE "node.kubernetes.io/exclude-from-external-load-balancers"

/* on our Leases (design.md section 5) */
#define LABEL_CLASS "l2lb.io/class"       /* "default", or a hash of --lb-class */
#define LABEL_RECORD "l2lb.io/record"     /* "address", "node", "foreign", "leader" */
#define RECORD_SERVICES "l2lb.io/services"          /* "ns/name,ns/name" */
#define RECORD_SERVICE_UIDS "l2lb.io/service-uids"  /* in the same order */
#define RECORD_PREVIOUS "l2lb.io/previous"          /* the last three holders, newest first */
#define RECORD_LINK "l2lb.io/link"                  /* the holder's link */
#define RECORD_FOUND "l2lb.io/found"                /* "status": it stood in a status before there was a record */
#define RECORD_SUCCESSOR "l2lb.io/successor"        /* a planned move: who is to take the address over */
#define RECORD_DRAIN "l2lb.io/drain"                /* "true": of a node record */
#define RECORD_MAC "l2lb.io/mac"                    /* of a stranger (foreign-<address>) */
#define RECORD_REFUSED "l2lb.io/refused"            /* uid of the address record that gives way to the stranger */
#define RECORD_LINKS "l2lb.io/links"                /* of a node, JSON */

#define DEFAULT_NAMESPACE "metallb-system"
#define LEADER_LEASE "l2lb-controller"

#endif
