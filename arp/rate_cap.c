#include "arp/rate_cap.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

struct rate_cap {
	unsigned rate;
	unsigned oldest;    /* of the last `rate` frames, in sent[], which is a ring */
	int64_t sent[];
};

struct rate_cap *rate_cap_new(unsigned rate)
{
	struct rate_cap *c = mem_zalloc(sizeof(*c) + rate * sizeof(c->sent[0]));
	c->rate = rate;
	for (unsigned i = 0; i < rate; i++)
		c->sent[i] = CLOCK_LONG_AGO;
	return c;
}

void rate_cap_free(struct rate_cap *c)
{
	free(c);
}

unsigned rate_cap_room(const struct rate_cap *c, unsigned wanted, int64_t now)
{
	unsigned n = 0;
	if (!c->rate)
		return wanted;
	while (n < wanted && n < c->rate && now - c->sent[(c->oldest + n) % c->rate] >= CLOCK_S)
		n++;
	return n;
}

void rate_cap_take(struct rate_cap *c, unsigned frames, int64_t now)
{
	for (unsigned i = 0; c->rate && i < frames; i++) {
		c->sent[c->oldest] = now;
		c->oldest = (c->oldest + 1) % c->rate;
	}
}

int64_t rate_cap_opens(const struct rate_cap *c)
{
	return c->rate ? c->sent[c->oldest] + CLOCK_S : INT64_MIN;
}
