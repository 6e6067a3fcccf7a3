/* Who we are in the leader election: the same after a restart of the same container, different for everybody else. */
#ifndef SPEAKER_IDENTITY_H
#define SPEAKER_IDENTITY_H

#include <stdbool.h>

/* "<pod>_<uid>" in a pod. Elsewhere "<host>_<boot>_<pid namespace>_<pid>_<start time>". To free(). */
char *identity_make(const char *pod_name, const char *pod_uid);

/* True when `identity` is of a process of this host, boot and pid namespace that does not exist any more: its Lease may be
 * taken without waiting. */
bool identity_is_dead(const char *identity);

#endif
