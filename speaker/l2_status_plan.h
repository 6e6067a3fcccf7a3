/* The ServiceL2Status objects of this node (metallb-l2.md sections 1.3 and 3.8): one for each Service that it announces, with the
 * links it does so on. What is announced and how requests ended goes in, the next request comes out: two when an address comes
 * (the object, then its status), one when it goes, none else. Names are made of node and Service, so that whoever takes an
 * address over can remove the object of a node that has died; consumers look them up by their labels. Pure. */
#ifndef SPEAKER_L2_STATUS_PLAN_H
#define SPEAKER_L2_STATUS_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#define L2_STATUS_LABEL_NODE "metallb.io/node"

struct l2_status_plan;

/* pod_name, pod_uid: whose going takes the objects along; NULL: nobody's. All are borrowed. */
struct l2_status_plan *l2_status_plan_new(const char *node, const char *pod_name, const char *pod_uid);
void l2_status_plan_free(struct l2_status_plan *p);   /* NULL is fine */

/* All that is announced now. previous: the node that had the address before; NULL: none. A Service may come more than once. */
void l2_status_plan_begin(struct l2_status_plan *p);
void l2_status_plan_want(struct l2_status_plan *p, const char *service, const char *link, const char *previous);
void l2_status_plan_end(struct l2_status_plan *p);

/* Look once more, though nothing may happen: what was not announced for a moment is not removed, but twice in a row. */
bool l2_status_plan_waits(const struct l2_status_plan *p);

/* The server's list of those with our node's label. Nothing is planned before. */
void l2_status_plan_list(struct l2_status_plan *p, const json_t *items);
bool l2_status_plan_needs_list(const struct l2_status_plan *p);

struct l2_status_request {
	const char *method;
	const char *name;      /* of the object; NULL: the collection */
	bool status;           /* its status */
	json_t *body;          /* the caller's; NULL: none */
};

/* What is to be done next; the same again until l2_status_plan_ended says how it ended. False: all is as it ought to be. */
bool l2_status_plan_next(struct l2_status_plan *p, struct l2_status_request *request);

/* HTTP status of the answer. False: it failed, and is to be tried again later. */
bool l2_status_plan_ended(struct l2_status_plan *p, int status);

/* The name of the object for this Service on this node; to free(). */
char *l2_status_name(const char *node, const char *service);

#endif
