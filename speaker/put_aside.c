#include "speaker/put_aside.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/map.h"

struct window {
	char *pool;
	int64_t times[PUT_ASIDE_MAX];   /* of the last ones, in a ring */
	unsigned n;
	UT_hash_handle hh;
};

struct put_aside {
	struct window *windows;
};

struct put_aside *put_aside_new(void)
{
	return mem_zalloc(sizeof(struct put_aside));
}

void put_aside_free(struct put_aside *p)
{
	struct window *w, *tmp;
	if (!p)
		return;
	HASH_ITER(hh, p->windows, w, tmp) {
		HASH_DEL(p->windows, w);
		free(w->pool);
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
		HASH_ADD_KEYPTR(hh, p->windows, w->pool, strlen(w->pool), w);
	}
	int64_t *oldest = &w->times[w->n % PUT_ASIDE_MAX];
	if (w->n >= PUT_ASIDE_MAX && now - *oldest < PUT_ASIDE_WINDOW) {
		*retry_at = *oldest + PUT_ASIDE_WINDOW;
		return false;
	}
	*oldest = now;
	w->n++;
	return true;
}
