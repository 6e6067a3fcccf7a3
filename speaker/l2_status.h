/* Writes the ServiceL2Status objects of this node (l2_status_plan.h), one request at a time and behind everything that matters.
 * They inform; nothing of ours reads them. A shell. */
#ifndef SPEAKER_L2_STATUS_H
#define SPEAKER_L2_STATUS_H

#include "speaker/cluster.h"

struct l2_status;

struct l2_status_config {
	struct cluster *cluster;
	const char *node;
	const char *pod_name, *pod_uid;   /* NULL: none */
	void (*on_due)(void *data);       /* l2_status_is_due says yes */
	void *data;
};

void l2_status_init(struct l2_status **sp, uv_loop_t *loop, const struct l2_status_config *config);

/* Is it time to say what is announced? At most once a second, so that what lasts a moment is not written; else on_due follows. */
bool l2_status_is_due(struct l2_status *s, int64_t now);

/* All of it, between begin and end; previous: who had it before, NULL: nobody. */
void l2_status_begin(struct l2_status *s);
void l2_status_want(struct l2_status *s, const char *service, const char *link, const char *previous);
void l2_status_end(struct l2_status *s);
void l2_status_close(struct l2_status *s);   /* NULL is fine */

#endif
