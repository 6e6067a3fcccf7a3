/* Events (events.k8s.io/v1) on objects, for `kubectl describe`: one per object and reason until its text changes, at most
 * 25 at once per object; lossy by design, never waited for. */
#ifndef K8SCLIENT_EVENT_H
#define K8SCLIENT_EVENT_H

#include "config/object_meta.h"
#include "k8sclient/api.h"

struct events;

struct event {
	const char *kind, *api_version;      /* of the object: "Service", "v1" */
	const struct object_meta *object;
	bool warning;
	const char *reason;                  /* IPAllocated, AllocationFailed, ... */
	const char *action;                  /* what was being done: "Allocate" */
	const char *note;                    /* one line, at most 1024 bytes */
};

/* controller: "metallb-controller", "metallb-speaker" (MetalLB's source names); instance: the pod or node. Both copied. */
void events_init(struct events **eventsp, struct api *api, const char *controller, const char *instance);
void events_emit(struct events *e, const struct event *event);

/* The object is gone or its trouble is over: the same event may come again. reason NULL: all of the object's. */
void events_forget(struct events *e, const char *uid, const char *reason);
void events_close(struct events *e);

#endif
