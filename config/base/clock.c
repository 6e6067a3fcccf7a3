#include "config/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t clock_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * CLOCK_S + t.tv_nsec / 1000;
}

const char *clock_wall_text(char text[CLOCK_TEXT])
{
	struct timespec t;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	size_t n = strftime(text, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, CLOCK_TEXT - n, ".%06dZ", (int)(t.tv_nsec / 1000));
	return text;
}

int64_t clock_wall_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double clock_random(void)
{
	static unsigned short state[3];
	if (!state[0] && !state[1] && !state[2]) {
		int64_t seed = clock_wall_ns();
		state[0] = (unsigned short)seed;
		state[1] = (unsigned short)(seed >> 16);
		state[2] = (unsigned short)((seed >> 32) | 1);
	}
	return erand48(state);
}
