/* May two Services have one address (metallb-l2.md section 2.4, sharing test)? Pure. */
#ifndef SPEAKER_SHARING_H
#define SPEAKER_SHARING_H

#include "k8sclient/objects.h"

/* What counts of a Service, as it was when the address was granted: an edit is judged against the others' granted state, so
 * that it is the edited Service that has to move. */
struct sharing {
	char *key;        /* of metallb.io/allow-shared-ip; NULL: does not share */
	char *backend;    /* with externalTrafficPolicy Local: its selector, "k=v,k=v" sorted; else "" */
	struct service_port *ports;
	size_t n_ports;
};

struct sharing sharing_of(const struct service *s);   /* to sharing_free */
void sharing_free(struct sharing *s);
bool sharing_equal(const struct sharing *a, const struct sharing *b);

/* True when both may have one address; else err says why, a being the new one. */
bool sharing_allows(const struct sharing *a, const struct sharing *b, struct error *err);

#endif
