/* The leader election's shell: carries out what k8sclient/leader.h says. Candidates see the Lease through the watch. */
#ifndef SPEAKER_LEADERSHIP_H
#define SPEAKER_LEADERSHIP_H

#include "k8sclient/leader.h"
#include "k8sclient/api.h"

struct leadership;

/* identity is copied. on_change: we lead now, or do so no longer. */
void leadership_init(struct leadership **lp, uv_loop_t *loop, struct api *api, const char *name_space, const char *lb_class,
		     const char *identity, void (*on_change)(void *data), void *data);
const char *leadership_lease(const struct leadership *l);   /* the Lease's name */

/* From the watch: the Lease (raw JSON), or NULL: it is gone, or a whole list did not have it. */
void leadership_observe(struct leadership *l, const json_t *lease);
bool leadership_leading(struct leadership *l);   /* asked directly before each write */

/* Gives the Lease back, if we have it; on_done runs when that is written or in vain. */
void leadership_release(struct leadership *l, void (*on_done)(void *data));
void leadership_close(struct leadership *l);     /* NULL is fine */

#endif
