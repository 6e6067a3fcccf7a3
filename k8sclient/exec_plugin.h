/* Runs a kubeconfig's exec plugin (exec_credential.h) on the loop and puts what it answers into the credentials: at the start,
 * ahead of each expiry, and once more when the server refused what it gave. One run at a time; a failed one is repeated with
 * growing pauses and said in one line. http.h owns one; `credentials->state` tells what requests may do meanwhile.
 *
 * The plugin gets /dev/null as its input and our stderr as its own. It is a session of its own, killed as a whole when it
 * takes too long, writes too much, or we end. */
#ifndef K8SCLIENT_EXEC_PLUGIN_H
#define K8SCLIENT_EXEC_PLUGIN_H

#include <uv.h>

#include "k8sclient/credentials.h"

struct exec_plugin;

struct exec_times {   /* microseconds; EXEC_TIMES are the defaults, tests make them small */
	int64_t timeout;                 /* a run that lasts longer is killed */
	int64_t linger;                  /* its output may stay open for so long after its end (something it left behind has it) */
	int64_t retry_first, retry_max;  /* pauses after failures, and between runs because of refusals */
	int64_t least;                   /* between two runs, however short a credential lives */
};
#define EXEC_TIMES ((struct exec_times){.timeout = 60000000, .linger = 1000000, .retry_first = 2000000, .retry_max = 60000000, .least = 1000000})

/* on_change: credentials->state or ->generation may have changed. It only records. */
void exec_plugin_init(struct exec_plugin **pluginp, uv_loop_t *loop, struct credentials *credentials, const struct exec_times *times,
		      void (*on_change)(void *data), void *data);
void exec_plugin_start(struct exec_plugin *p);

/* The server answered 401 to the credentials as they are now. NULL is fine. */
void exec_plugin_refused(struct exec_plugin *p);

/* on_close (may be NULL) runs when it is freed. NULL is fine: nothing runs then. */
void exec_plugin_close(struct exec_plugin *p, void (*on_close)(void *data), void *data);

#endif
