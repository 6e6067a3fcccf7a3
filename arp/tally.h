/* How many frames were about which of our addresses: a table that all segments of a node share, so that the numbers
 * outlive links and ownership. Pure. */
#ifndef ARP_TALLY_H
#define ARP_TALLY_H

#include <stddef.h>
#include <stdint.h>

struct tally;

struct tally_entry {
	uint32_t address;        /* host byte order */
	uint64_t requests;       /* for the address while it was ours */
	uint64_t answers;
	uint64_t gratuitous;     /* frames; request and reply count separately */
	uint64_t conflicts;      /* times that another host was found to use it */
};

struct tally *tally_new(void);
void tally_free(struct tally *t);   /* NULL is fine */

/* The address's entry, made if need be; valid until the next call. NULL gives one that nobody reads. */
struct tally_entry *tally_at(struct tally *t, uint32_t address);

void tally_each(const struct tally *t, void (*visit)(void *data, const struct tally_entry *entry), void *data);

#endif
