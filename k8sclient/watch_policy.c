#include "k8sclient/watch_policy.h"

#define SHORT INT64_C(1000000)
#define OBEDIENCE 20 /* failures in a row after which the server's word is only the least */
#define PATIENCE 5   /* failures in a row before the resourceVersion itself is doubted */

enum watch_next watch_decide(const struct watch_end *end)
{
	int code = end->code ? end->code : end->status >= 300 ? end->status : 0;
	switch (code) {
	case 410:
		/* Both forms, HTTP 410 and in-stream ERROR. After an outage it is to be expected and no reason to wait longer, but
		 * a list that expires again and again must not spin. */
		return end->expired ? LIST_AFTER_BACKOFF : LIST_AGAIN;
	case 401:
	case 403:
		return WAIT_DENIED;
	case 404:
		return WAIT_MISSING;
	}
	if (end->too_large_version)
		return LIST_AFTER_BACKOFF;
	if (end->listing)
		return LIST_AFTER_BACKOFF;
	if (end->error == 0 && code == 0) {
		/* An end after less than a second without an event: a stale version answered without a 410 (k/k #137089). */
		return end->lasted < SHORT && end->events == 0 ? LIST_AFTER_BACKOFF : WATCH_AGAIN;
	}
	if (code && end->failures >= PATIENCE)
		return LIST_AFTER_BACKOFF;
	return WATCH_AFTER_BACKOFF;
}

int64_t watch_wait(const struct watch_end *end, int64_t planned, double random)
{
	if (!end->retry_after || (planned >= end->retry_after && end->failures >= OBEDIENCE))
		return planned;
	return end->retry_after + (int64_t)((double)end->retry_after * 0.25 * random);
}
