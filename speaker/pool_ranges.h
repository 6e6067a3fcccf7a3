/* Which IPv4 addresses a segment has to hear about: those of the pools in use, and what Services have of pools that are not in
 * use. Pure. */
#ifndef SPEAKER_POOL_RANGES_H
#define SPEAKER_POOL_RANGES_H

#include "arp/filter.h"
#include "speaker/model.h"

/* How many; *rangesp: to free(). Addresses of pools not in use become a few ranges, a little wider than they are: each is a part of
 * the kernel's filter. */
size_t pool_ranges(const struct model *m, struct ipv4_range **rangesp);

#endif
