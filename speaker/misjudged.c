#include "speaker/misjudged.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/map.h"

#define PROOF (30 * CLOCK_S)
#define FIRST (30 * CLOCK_S)
#define LONGEST (16 * 60 * CLOCK_S)

struct suspect {
	char *node;
	int64_t took_at;        /* INT64_MIN: judged already */
	int64_t until, pause;
	UT_hash_handle hh;
};

struct misjudged {
	struct suspect *suspects;
};

struct misjudged *misjudged_new(void)
{
	return mem_zalloc(sizeof(struct misjudged));
}

void misjudged_free(struct misjudged *m)
{
	struct suspect *s, *tmp;
	if (!m)
		return;
	HASH_ITER(hh, m->suspects, s, tmp) {
		HASH_DEL(m->suspects, s);
		free(s->node);
		free(s);
	}
	free(m);
}

static struct suspect *find(const struct misjudged *m, const char *node)
{
	struct suspect *s;
	HASH_FIND_STR(m->suspects, node, s);
	return s;
}

void misjudged_took(struct misjudged *m, const char *node, int64_t now)
{
	struct suspect *s = find(m, node);
	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->node = mem_strdup(node);
		HASH_ADD_KEYPTR(hh, m->suspects, s->node, strlen(s->node), s);
	}
	s->took_at = now;
}

bool misjudged_records(struct misjudged *m, const char *node, int64_t now)
{
	struct suspect *s = find(m, node);
	if (!s || s->took_at == INT64_MIN || now - s->took_at > PROOF)
		return false;
	/* Long without another mistake: it begins anew. */
	s->pause = !s->pause || now - s->until > LONGEST ? FIRST : clock_min(2 * s->pause, LONGEST);
	s->until = now + s->pause;
	s->took_at = INT64_MIN;
	return true;
}

bool misjudged_announces(struct misjudged *m, const char *node, const struct record *record, int64_t now)
{
	bool handed = record && (strcmp(record->holder, node) == 0 || strcmp(record->successor, node) == 0);
	return !handed && misjudged_records(m, node, now);
}

bool misjudged_is(const struct misjudged *m, const char *node, int64_t now, int64_t *untilp)
{
	const struct suspect *s = find(m, node);
	bool is = s && now < s->until;
	if (is && untilp)
		*untilp = s->until;
	return is;
}
