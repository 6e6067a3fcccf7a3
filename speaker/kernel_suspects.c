#include "speaker/kernel_suspects.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/map.h"

const struct kernel_suspect_times KERNEL_SUSPECT_TIMES = {.again = CLOCK_S, .forget = 300 * CLOCK_S};

struct suspect {
	char *key;        /* "address node" */
	uint32_t address;
	char *uid;        /* of the record: one that was made anew begins with the same epochs */
	int64_t epoch, first, last;
	int64_t ask_at;   /* CLOCK_NEVER: it has been asked for again */
	bool accused;
	bool sure, said;  /* not by its answers; and since the last kernel_suspects_accused */
	UT_hash_handle hh;
};

struct kernel_suspects {
	const struct kernel_suspect_times *times;
	struct suspect *all;
};

struct kernel_suspects *kernel_suspects_new(const struct kernel_suspect_times *times)
{
	struct kernel_suspects *k = mem_zalloc(sizeof(*k));
	k->times = times;
	return k;
}

static void drop(struct kernel_suspects *k, struct suspect *s)
{
	HASH_DEL(k->all, s);
	free(s->key);
	free(s->uid);
	free(s);
}

void kernel_suspects_free(struct kernel_suspects *k)
{
	struct suspect *s, *tmp;
	if (!k)
		return;
	HASH_ITER(hh, k->all, s, tmp)
		drop(k, s);
	free(k);
}

static struct suspect *find(const struct kernel_suspects *k, uint32_t address, const char *node)
{
	struct suspect *s;
	char *key = mem_printf("%08x %s", address, node);
	HASH_FIND_STR(k->all, key, s);
	free(key);
	return s;
}

/* In the place of what was known about both. */
static struct suspect *begin(struct kernel_suspects *k, uint32_t address, const char *node, const char *uid, int64_t epoch)
{
	struct suspect *s = find(k, address, node);
	if (s)
		drop(k, s);
	s = mem_zalloc(sizeof(*s));
	s->key = mem_printf("%08x %s", address, node);
	s->address = address;
	s->uid = mem_strdup(uid);
	s->epoch = epoch;
	s->ask_at = CLOCK_NEVER;
	HASH_ADD_KEYPTR(hh, k->all, s->key, strlen(s->key), s);
	return s;
}

static bool same_record(const struct suspect *s, const char *uid, int64_t epoch)
{
	return s && s->epoch == epoch && strcmp(s->uid, uid) == 0;
}

bool kernel_suspects_answered(struct kernel_suspects *k, uint32_t address, const char *node, const char *uid, int64_t epoch, int64_t now)
{
	struct suspect *s = find(k, address, node);
	if (!same_record(s, uid, epoch) || now - s->last > k->times->forget) {
		s = begin(k, address, node, uid, epoch);
		s->first = now;
		s->ask_at = now + k->times->again;
	}
	s->last = now;
	if (s->accused || now - s->first < k->times->again)
		return false;
	s->accused = true;
	return true;
}

void kernel_suspects_announced(struct kernel_suspects *k, uint32_t address, const char *node)
{
	struct suspect *s = find(k, address, node);
	if (s)
		drop(k, s);
}

bool kernel_suspects_accuse(struct kernel_suspects *k, uint32_t address, const char *node, const char *uid, int64_t epoch)
{
	struct suspect *s = find(k, address, node);
	bool news = !same_record(s, uid, epoch) || !s->accused;
	if (news)
		s = begin(k, address, node, uid, epoch);
	s->accused = s->sure = s->said = true;
	return news;
}

void kernel_suspects_accused(struct kernel_suspects *k)
{
	struct suspect *s, *tmp;
	HASH_ITER(hh, k->all, s, tmp) {
		if (s->sure && !s->said)
			drop(k, s);
		else
			s->said = false;
	}
}

size_t kernel_suspects_count(const struct kernel_suspects *k)
{
	return HASH_COUNT(k->all);
}

bool kernel_suspects_ask(struct kernel_suspects *k, int64_t now, uint32_t *addressp)
{
	struct suspect *old, *tmp;
	HASH_ITER(hh, k->all, old, tmp)
		if (!old->sure && now - old->last > k->times->forget)
			drop(k, old);
	for (struct suspect *s = k->all; s; s = s->hh.next)
		if (now >= s->ask_at) {
			s->ask_at = CLOCK_NEVER;
			*addressp = s->address;
			return true;
		}
	return false;
}

int64_t kernel_suspects_deadline(const struct kernel_suspects *k)
{
	int64_t at = CLOCK_NEVER;
	for (const struct suspect *s = k->all; s; s = s->hh.next)
		at = clock_min(at, s->ask_at);
	return at;
}
