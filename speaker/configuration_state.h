/* The ConfigurationState object of this process (metallb-l2.md section 1.4): whether it can use the pools and advertisements
 * it sees. Read once at start, written when what it says changes, and never else. A shell. */
#ifndef SPEAKER_CONFIGURATION_STATE_H
#define SPEAKER_CONFIGURATION_STATE_H

#include "speaker/cluster.h"

struct configuration_state;

struct configuration_state_config {
	struct cluster *cluster;
	const char *node;                  /* of a speaker; NULL: the controller's object */
	const char *pod_name, *pod_uid;    /* its owner, so that it goes with the pod; NULL: none */
};

void configuration_state_init(struct configuration_state **sp, uv_loop_t *loop, const struct configuration_state_config *config);
void configuration_state_step(struct configuration_state *s);   /* when the model may have changed, and all is listed */
void configuration_state_close(struct configuration_state *s);  /* NULL is fine */

#endif
