/* What the cluster says at this moment: our Leases and the LoadBalancer Services, read once, page by page, into a model. For
 * commands that ask once and end. A shell, with a connection of its own. */
#ifndef SPEAKER_SNAPSHOT_H
#define SPEAKER_SNAPSHOT_H

#include <uv.h>

#include "config/base/turn.h"
#include "config/options.h"
#include "speaker/model.h"

struct snapshot;

struct snapshot_config {
	const struct options *options;   /* kubeconfig, context, api_server, name_space, lb_class; borrowed */
	bool services_optional;          /* no right to list Services is no failure */
	/* Runs from the loop, once. why: one line, with the remedy, when it failed (rc < 0). */
	void (*on_done)(void *data, int rc, const char *why);
	void *data;
};

/* -ENOENT: no kubeconfig anywhere; other -errno: one that is broken or cannot be read. err is one line. */
int snapshot_start(struct snapshot **sp, uv_loop_t *loop, struct turn *turn, const struct snapshot_config *config, struct error *err);
const struct model *snapshot_model(const struct snapshot *s);
const char *snapshot_namespace(const struct snapshot *s);
void snapshot_close(struct snapshot *s);   /* NULL is fine; not from on_done */

#endif
