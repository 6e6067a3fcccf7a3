/* Who may read /metrics (--metrics-auth): the bearer of a token that the API server knows (TokenReview) and allows to get
 * the path /metrics (SubjectAccessReview). Verdicts are kept for a minute; strangers who try token after token cost the API
 * server at most five reviews a second. */
#ifndef SPEAKER_METRICS_AUTH_H
#define SPEAKER_METRICS_AUTH_H

#include "k8sclient/api.h"

struct metrics_auth;

/* status: 200; 401 no or no valid token; 403 not allowed; 429 too many different tokens; 503 the API server did not say.
 * why: one line, "" with 200. */
typedef void (*metrics_auth_verdict)(void *data, int status, const char *why);

void metrics_auth_init(struct metrics_auth **authp, uv_loop_t *loop, struct api *api);

/* authorization: the request's header, or NULL. The verdict comes once: at once or within five seconds, or (503) when the
 * object is closed. */
void metrics_auth_ask(struct metrics_auth *auth, const char *authorization, metrics_auth_verdict on_verdict, void *data);
void metrics_auth_close(struct metrics_auth *auth);   /* before api_close; NULL is fine */

#endif
