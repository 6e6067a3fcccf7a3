#include "arp/directory.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

const struct directory_times DIRECTORY_TIMES = {.ask_first = 200 * CLOCK_MS, .ask_last = 60 * CLOCK_S};

struct host {
	uint32_t address;   /* 0: an empty place */
	struct mac mac;
	bool known;
	int64_t ask_at, pause;
};

struct directory {
	const struct directory_times *times;
	struct host hosts[DIRECTORY_HOSTS];
};

struct directory *directory_new(const struct directory_times *times)
{
	struct directory *d = mem_zalloc(sizeof(*d));
	d->times = times ? times : &DIRECTORY_TIMES;
	return d;
}

void directory_free(struct directory *d)
{
	free(d);
}

void directory_set(struct directory *d, const uint32_t addresses[DIRECTORY_HOSTS], int64_t now)
{
	for (size_t i = 0; i < DIRECTORY_HOSTS; i++) {
		struct host *h = &d->hosts[i];
		if (h->address != addresses[i])
			*h = (struct host){.address = addresses[i]};
		h->ask_at = now;
		h->pause = d->times->ask_first;
	}
}

bool directory_heard(struct directory *d, uint32_t address, const struct mac *mac, int64_t now)
{
	bool news = false;
	for (size_t i = 0; address && i < DIRECTORY_HOSTS; i++) {
		struct host *h = &d->hosts[i];
		if (h->address != address)
			continue;
		news |= !h->known || !mac_equal(&h->mac, mac);
		h->known = true;
		h->mac = *mac;
		h->pause = d->times->ask_last;
		h->ask_at = now + d->times->ask_last;
	}
	return news;
}

uint32_t directory_ask(struct directory *d, int64_t now)
{
	for (size_t i = 0; i < DIRECTORY_HOSTS; i++) {
		struct host *h = &d->hosts[i];
		if (!h->address || now < h->ask_at)
			continue;
		h->ask_at = now + h->pause;
		h->pause = clock_min(2 * h->pause, d->times->ask_last);
		return h->address;
	}
	return 0;
}

int64_t directory_deadline(const struct directory *d)
{
	int64_t least = CLOCK_NEVER;
	for (size_t i = 0; i < DIRECTORY_HOSTS; i++)
		if (d->hosts[i].address)
			least = clock_min(least, d->hosts[i].ask_at);
	return least;
}

const struct mac *directory_mac(const struct directory *d, unsigned place)
{
	return d->hosts[place].known ? &d->hosts[place].mac : NULL;
}

uint32_t directory_address(const struct directory *d, unsigned place)
{
	return d->hosts[place].address;
}
