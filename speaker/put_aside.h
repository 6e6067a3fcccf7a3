/* At most so many addresses a minute and pool are put aside because a stranger uses them: a host that answers for every address
 * must not empty a pool in a moment. Pure. */
#ifndef SPEAKER_PUT_ASIDE_H
#define SPEAKER_PUT_ASIDE_H

#include <stdbool.h>
#include <stdint.h>

#define PUT_ASIDE_MAX 8
#define PUT_ASIDE_WINDOW INT64_C(60000000)   /* microseconds */

struct put_aside;

struct put_aside *put_aside_new(void);
void put_aside_free(struct put_aside *p);   /* NULL is fine */

/* May one more address of the pool be put aside now? Then it is counted. Else *retry_at says when. */
bool put_aside_allow(struct put_aside *p, const char *pool, int64_t now, int64_t *retry_at);

#endif
