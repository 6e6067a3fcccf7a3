/* The hosts of a link that are told of our addresses by a frame of their own: the gateway, and those that the user named.
 * Where each is (its MAC), and when to ask for it: at once, then after 0.2, 0.4, 0.8 ... 60 s until it answers, then every
 * 60 s, for it may be another machine by then. Pure. */
#ifndef ARP_DIRECTORY_H
#define ARP_DIRECTORY_H

#include "arp/frame.h"

#define DIRECTORY_HOSTS 16

/* Microseconds. */
struct directory_times {
	int64_t ask_first, ask_last;
};
extern const struct directory_times DIRECTORY_TIMES;

struct directory;

struct directory *directory_new(const struct directory_times *times);   /* borrowed; NULL: DIRECTORY_TIMES */
void directory_free(struct directory *d);

/* All of them; 0: this place is empty. What is known of one that stays in its place is kept; all are asked for again. */
void directory_set(struct directory *d, const uint32_t addresses[DIRECTORY_HOSTS], int64_t now);

/* Some frame says that address is at mac. True: it is one of ours, and was not known to be there. */
bool directory_heard(struct directory *d, uint32_t address, const struct mac *mac, int64_t now);

/* The next one to ask for now, host byte order; 0: none. Call until then. */
uint32_t directory_ask(struct directory *d, int64_t now);
int64_t directory_deadline(const struct directory *d);

/* Where the one in this place is; NULL: not known. */
const struct mac *directory_mac(const struct directory *d, unsigned place);
uint32_t directory_address(const struct directory *d, unsigned place);

#endif
