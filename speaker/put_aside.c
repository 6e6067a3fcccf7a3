#include "speaker/put_aside.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/map.h"

const struct put_aside_times PUT_ASIDE_TIMES = {.max = 8, .window = 60 * CLOCK_S};

struct window {
	char *pool;
	int64_t *times;   /* of the last ones, in a ring of `max` */
	unsigned n;
	UT_hash_handle hh;
};

struct put_aside {
	const struct put_aside_times *times;
	struct window *windows;
};

struct put_aside *put_aside_new(const struct put_aside_times *times)
{
	struct put_aside *p = mem_zalloc(sizeof(*p));
	p->times = times;
	return p;
}

void put_aside_free(struct put_aside *p)
{
	struct window *w, *tmp;
	if (!p)
		return;
	HASH_ITER(hh, p->windows, w, tmp) {
		HASH_DEL(p->windows, w);
		free(w->pool);
		free(w->times);
		free(w);
	}
	free(p);
}

bool put_aside_allow(struct put_aside *p, const char *pool, int64_t now, int64_t *retry_at)
{
	struct window *w;
	HASH_FIND_STR(p->windows, pool, w);
	if (!w) {
		w = mem_zalloc(sizeof(*w));
		w->pool = mem_strdup(pool);
		w->times = mem_zalloc(p->times->max * sizeof(*w->times));
		HASH_ADD_KEYPTR(hh, p->windows, w->pool, strlen(w->pool), w);
	}
	int64_t *oldest = &w->times[w->n % p->times->max];
	if (w->n >= p->times->max && now - *oldest < p->times->window) {
		*retry_at = *oldest + p->times->window;
		return false;
	}
	*oldest = now;
	w->n++;
	return true;
}
