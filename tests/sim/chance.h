/* The seeded generator: the same seed gives the same history on every machine (splitmix64). */
#ifndef TESTS_SIM_CHANCE_H
#define TESTS_SIM_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
	uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
	uint64_t z = (c->state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Uniform in [0, 1). */
static inline double chance_uniform(struct chance *c)
{
	return (double)(chance_next(c) >> 11) * 0x1p-53;
}

/* Both bounds included. */
static inline int64_t chance_between(struct chance *c, int64_t low, int64_t high)
{
	return low >= high ? low : low + (int64_t)(chance_next(c) % (uint64_t)(high - low + 1));
}

static inline bool chance_percent(struct chance *c, unsigned percent)
{
	return chance_next(c) % 100 < percent;
}

#endif
