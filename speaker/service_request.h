/* What a Service asks for: addresses, a pool (metallb-l2.md sections 2.1 and 2.4). Pure. */
#ifndef SPEAKER_SERVICE_REQUEST_H
#define SPEAKER_SERVICE_REQUEST_H

#include "k8sclient/objects.h"

struct service_request {
	struct address ips[SERVICE_ADDRESSES];   /* in the order of the annotation */
	size_t n_ips;                            /* 0: any */
	const char *pool;                        /* NULL: any; borrowed from the Service */
};

/* -EINVAL with err: what cannot be meant (no address, three of them, two of one family, two sources at once). */
int service_request_read(const struct service *s, struct service_request *q, struct error *err);

/* An annotation under MetalLB's old prefix is in use. */
bool service_request_deprecated(const struct service *s);

#endif
