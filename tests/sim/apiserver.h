/* A Kubernetes API server in memory, for the simulation: the resources l2lb reads and writes, with the conflicts, versions,
 * watches and 410s of the real one (tests/e2e/test_sim_server.py compares them over random sequences of requests). It has no
 * sockets, threads or clock; the same requests give the same answers. What a network or a cache in between would do (delay,
 * loss, stale reads, an outage) is the simulation's part: it decides when a request is done here and when its answer arrives.
 *
 *   Resources: leases, services (also /status), nodes (also /status), endpointslices, configmaps, namespaces,
 *   ipaddresspools, l2advertisements, servicel2statuses, configurationstates (metallb.io/v1beta1); events are taken and counted.
 *   Namespaces "default" and "kube-system" exist; an object in any other is 404 until the namespace was created. Namespaces
 *   and whole collections cannot be deleted (405).
 *
 * Objects that come out are shared with the store and never change afterwards: do not modify them, json_decref() what is
 * handed over. Message texts are close to the real server's but not compared; codes, reasons and objects are. */
#ifndef TESTS_SIM_APISERVER_H
#define TESTS_SIM_APISERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct simapi;

struct simapi *simapi_new(void);
void simapi_free(struct simapi *s);   /* NULL is fine */

/* Wall clock for creationTimestamp and deletionTimestamp: seconds since 1970. It starts at 2026-01-01. */
void simapi_set_time(struct simapi *s, int64_t seconds);

/* One request, done at once. Returns the HTTP status; *replyp: a new reference to the object, list or Status.
 * method: GET (object or list), POST, PUT, PATCH (merge patch only, else 415), DELETE (body: DeleteOptions or NULL).
 * Of guards that fail: a resourceVersion is 409 everywhere, a uid in PUT and DELETE too, but 422 in PATCH (all as measured).
 * content_type may be NULL for JSON. The body is not modified. fieldManager and other parameters that change nothing
 * here are ignored; a GET with watch=1 is 405: see simapi_watch. */
int simapi_request(struct simapi *s, const char *method, const char *path_and_query, const char *content_type, const json_t *body,
		   json_t **replyp);

/* Reads, object or list, as of an older version, as a cache that lags behind would answer them. 410 when the history does not reach back. */
int simapi_read_at(struct simapi *s, const char *path_and_query, uint64_t version, json_t **replyp);

/* Opens a watch on a collection: its events after `version`, oldest first, at most max (0: all), each {"type": ADDED|MODIFIED|DELETED,
 * "object"}. Selectors as in a list; objects that enter or leave the selection are ADDED and DELETED. *nextp: where to read
 * on (also the version of a bookmark). 200, or 410 and others with the Status in *eventsp (also as real watches on existing
 * resources may say it within a stream). A version from the future gives no events, as with the real server, until it is
 * reached; from 0: what is there now as ADDED, then its events. */
int simapi_watch(struct simapi *s, const char *path_and_query, uint64_t version, size_t max, json_t **eventsp, uint64_t *nextp);

/* Reads on in a watch that is open: the same, but a compaction does not end it unless it destroyed events that this watch
 * has not read (as the real server ends a watch that reads too slowly): then 410. Quick when there is nothing new. */
int simapi_watch_on(struct simapi *s, const char *path_and_query, uint64_t version, size_t max, json_t **eventsp, uint64_t *nextp);

/* Forgets all history, as a compaction and a restart of the API server do: the version goes up by one, and every watch opened
 * from a version before this one, every continue token and every read as of then gives 410. */
void simapi_compact(struct simapi *s);

uint64_t simapi_version(const struct simapi *s);

struct simapi_counts {
	uint64_t requests, writes;   /* all that were asked for; those that raised the version */
	uint64_t conflicts;          /* answered 409 */
	uint64_t events;             /* POSTs of Events taken */
};
void simapi_counts(const struct simapi *s, struct simapi_counts *counts);

/* Planted faults: what a server that is kinder than the real one would do. The comparison must notice each. */
enum simapi_fault {
	SIMAPI_NO_FAULT,
	SIMAPI_IGNORES_VERSION,      /* a stale resourceVersion is no conflict */
	SIMAPI_IDLE_PATCH_RAISES,    /* a patch that changes nothing raises the version and makes an event */
	SIMAPI_IGNORES_UID,          /* preconditions on the uid are not looked at */
	SIMAPI_NEVER_FORGETS,        /* no 410 after a compaction */
	SIMAPI_LEAVES_SILENTLY,      /* an object that leaves a selection gives no event */
};
void simapi_plant(struct simapi *s, enum simapi_fault fault);

#endif
