#include "k8sclient/backoff.h"

int64_t backoff_next(struct backoff *b, int64_t now, double random)
{
	if (b->next == 0 || now - b->failed_at > b->forget_after)
		b->next = b->first;
	b->failed_at = now;
	int64_t wait = b->next;
	b->next = wait >= b->cap / 2 ? b->cap : wait * 2;
	if (wait > b->cap)
		wait = b->cap;
	return wait / 2 + (int64_t)((double)(wait - wait / 2) * random);
}

void backoff_reset(struct backoff *b)
{
	b->next = 0;
}
