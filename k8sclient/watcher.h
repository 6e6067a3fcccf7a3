/* One resource, listed and then watched for as long as the process lives: paged list, watch from its resourceVersion with
 * bookmarks, and after each end what watch_policy.h says. The owner sees objects, never connections:
 *
 *   on_object   an object is there or changed (raw JSON, borrowed)
 *   on_gone     an object is gone: deleted, no longer selected, or missing in a new list
 *   on_synced   a whole list was delivered (the first time: all that exists; again after each new list)
 *   on_trouble  the connection's state changed: NULL when it works, else one line that says why not
 *
 * All run from the turn (turn.h), in the order the server sent. */
#ifndef K8SCLIENT_WATCHER_H
#define K8SCLIENT_WATCHER_H

#include "k8sclient/api.h"

struct watcher;

struct watcher_times {   /* microseconds; WATCHER_TIMES are the defaults, tests make them small */
	int64_t stall;           /* a watch without a byte for so long is opened anew */
	int64_t watch_least;     /* timeoutSeconds is drawn from [least, 2 * least] */
	int64_t list_timeout;
	int64_t retry_first, retry_max, healthy_after;
	int64_t denied;          /* between tries after 401 and 403, once it has been so for a while */
	int64_t missing;         /* between tries after 404, once it has been so for a while */
	int64_t reselect;        /* a change of the selector makes a new list at most so often */
};
#define WATCHER_TIMES ((struct watcher_times){.stall = 150000000, .watch_least = 300000000, .list_timeout = 60000000, \
	.retry_first = 400000, .retry_max = 10000000, .healthy_after = 120000000, .denied = 30000000, .missing = 300000000, .reselect = 1000000})

struct watcher_config {
	const char *name;        /* plural, for the log: "services" */
	const char *path;        /* "/api/v1/services" */
	const char *selector;    /* more query parameters, already escaped ("fieldSelector=..."), or NULL */
	unsigned page;           /* items a page; 0: 500 */
	bool cached;             /* lists come from the server's cache, at once (a consistent one may wait 100 ms there); they may be
	                          * a little old, and the watch tells what is newer */
	struct watcher_times times;
	void (*on_object)(void *data, json_t *object);
	void (*on_gone)(void *data, const char *key, json_t *last);   /* last: the final object, NULL when not known */
	void (*on_synced)(void *data);
	void (*on_trouble)(void *data, const char *why);              /* may be NULL */
	void *data;
};

void watcher_init(struct watcher **watcherp, uv_loop_t *loop, struct turn *turn, struct api *api, const struct watcher_config *config);
void watcher_start(struct watcher *w);

/* Another selector: a new list is made, at most once per times.reselect; what it no longer names is delivered as gone. */
void watcher_select(struct watcher *w, const char *selector);

/* The API server was seen to answer: a wait because it could not be reached ends now. */
void watcher_hurry(struct watcher *w);
bool watcher_knows(const struct watcher *w, const char *key);   /* delivered, and not gone since */
void watcher_stop(struct watcher *w);    /* the set is kept; start goes on */
void watcher_close(struct watcher *w);   /* frees it once its timer is closed; NULL is fine */

struct watcher_stats {
	unsigned lists, watches, events, bookmarks, failures;
};
const struct watcher_stats *watcher_stats(const struct watcher *w);

#endif
