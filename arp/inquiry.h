/* Asks on the wire who answers for addresses, as arping does: ordinary broadcast questions from the link's own address, some
 * times over; every answer is kept, with its round trip. A thin shell over links.h and link.h. IPv4; NDP will stand beside. */
#ifndef ARP_INQUIRY_H
#define ARP_INQUIRY_H

#include <uv.h>

#include "arp/frame.h"
#include "arp/link_table.h"
#include "config/base/error.h"

#define INQUIRY_LINKS 16   /* at most so many links are asked on for one address */

struct inquiry;

struct inquiry_route {
	const struct link_info *link;   /* of the table */
	uint32_t own;                   /* our address there, host byte order */
};

struct inquiry_answer {
	uint32_t address;       /* asked for, host byte order */
	unsigned question;      /* the last one sent before it came, from 0 */
	int64_t after;          /* microseconds since that one was sent */
	struct mac sha, eth_src;
	char link[IF_NAMESIZE];
};

struct inquiry_config {
	const uint32_t *addresses;   /* host byte order, each once; copied */
	size_t n;
	const char *interface;       /* NULL: chosen for each address; copied */
	unsigned questions;          /* for each address and link */
	int64_t interval;            /* microseconds between them; longer where there are many addresses (500 frames/s) */
	int64_t patience;            /* how long the last one waits */
	/* Runs from the loop, once: all was asked and waited for; or rc < 0 with one line that says why it cannot be. */
	void (*on_done)(void *data, int rc, const char *why);
	void *data;
};

/* Pure: where to ask for the address: on the links whose subnet has it, bridges too (on a hypervisor they are what leads to
 * its guests), else on all that nodes would use. interface: only this one. A question needs a sender: without one it would
 * be a probe, which says "I am about to take this address". Returns how many; < 0 with err: none will do. */
int inquiry_choose(const struct link_table *table, const char *interface, uint32_t address, struct inquiry_route out[INQUIRY_LINKS],
		   struct error *err);

void inquiry_init(struct inquiry **ip, uv_loop_t *loop, const struct inquiry_config *config);
int inquiry_start(struct inquiry *i);

/* In the order in which they came. */
size_t inquiry_answers(const struct inquiry *i, const struct inquiry_answer **answersp);

/* The first link that the address was asked for on; "" : none. */
const char *inquiry_link(const struct inquiry *i, uint32_t address);

/* This machine's links, as long as the inquiry lives. */
const struct link_table *inquiry_table(const struct inquiry *i);
void inquiry_close(struct inquiry *i);   /* NULL is fine */

#endif
