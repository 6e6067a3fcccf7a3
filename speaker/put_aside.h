/* At most so many addresses a minute and pool are put aside because a stranger uses them: a host that answers for every address
 * must not empty a pool in a moment. Pure. */
#ifndef SPEAKER_PUT_ASIDE_H
#define SPEAKER_PUT_ASIDE_H

#include <stdbool.h>
#include <stdint.h>

struct put_aside_times {
	unsigned max;       /* addresses of one pool */
	int64_t window;     /* ... in so many microseconds */
};
extern const struct put_aside_times PUT_ASIDE_TIMES;

struct put_aside;

struct put_aside *put_aside_new(const struct put_aside_times *times);   /* borrowed */
void put_aside_free(struct put_aside *p);   /* NULL is fine */

/* May one more address of the pool be put aside now? Then it is counted. Else *retry_at says when. */
bool put_aside_allow(struct put_aside *p, const char *pool, int64_t now, int64_t *retry_at);

#endif
