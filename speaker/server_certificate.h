/* The certificate of our HTTPS: tls.crt and tls.key of a directory (a mounted Secret, say), looked at again every few
 * seconds, or one of our own making that lives in memory. */
#ifndef SPEAKER_SERVER_CERTIFICATE_H
#define SPEAKER_SERVER_CERTIFICATE_H

#include <uv.h>

#include "config/base/error.h"

struct server_certificate;

/* folder NULL: one of our own, for the host `name`. use gets each good pair (PEM) that differs from the last; when it
 * returns < 0 the pair counts as bad. What is bad is logged once and the former pair stays in use. */
void server_certificate_init(struct server_certificate **cp, uv_loop_t *loop, const char *folder, const char *name,
			     int (*use)(void *data, const char *certificate, const char *key, struct error *err), void *data);
void server_certificate_start(struct server_certificate *c);
void server_certificate_close(struct server_certificate *c);   /* NULL is fine */

#endif
