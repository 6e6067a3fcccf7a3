/* At most so many frames in any second, wherever that second begins: a bucket would let twice as many pass around its edge,
 * and a switch that counts (ARP inspection) would shut the port. Up to the whole second's share may go at once. Pure. */
#ifndef ARP_RATE_CAP_H
#define ARP_RATE_CAP_H

#include <stdint.h>

struct rate_cap;

struct rate_cap *rate_cap_new(unsigned rate);   /* frames per second; 0: no cap */
void rate_cap_free(struct rate_cap *c);

/* How many of `wanted` frames may go now. */
unsigned rate_cap_room(const struct rate_cap *c, unsigned wanted, int64_t now);
void rate_cap_take(struct rate_cap *c, unsigned frames, int64_t now);   /* so many have gone: no more than there was room for */

/* From when on one may go; may be past. */
int64_t rate_cap_opens(const struct rate_cap *c);

#endif
