/* What this process may do, asked of the API server (SelfSubjectAccessReview) before a one-time run, so that missing
 * permissions are named one by one instead of failing one after the other. A shell around a table. */
#ifndef SPEAKER_PERMISSIONS_H
#define SPEAKER_PERMISSIONS_H

#include "config/options.h"
#include "k8sclient/api.h"

struct permissions;

/* on_missing: once for each, with one line: "patch services/status in all namespaces". on_done: at the end; missing: how
 * many. A server that does not answer such questions counts as one that allows. Both borrowed: api, options. */
void permissions_check(struct permissions **pp, struct api *api, const struct options *options, const char *name_space,
		       void (*on_missing)(void *data, const char *what), void (*on_done)(void *data, size_t missing), void *data);
void permissions_close(struct permissions *p);   /* NULL is fine */

#endif
