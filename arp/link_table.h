/* The node's network links as rtnetlink tells them. Pure: bytes of netlink messages go in, a table comes out. */
#ifndef ARP_LINK_TABLE_H
#define ARP_LINK_TABLE_H

#include <net/if.h>
#include <stdbool.h>

#include "arp/frame.h"
#include "config/address.h"

#define LINK_ADDRESSES 16   /* beyond so many addresses on a link the rest is not looked at */

struct link_info {
	int index;                 /* key; names can change */
	char name[IF_NAMESIZE];
	struct mac mac;
	unsigned flags;            /* IFF_* */
	unsigned short type;       /* ARPHRD_*; only Ethernet is used */
	int master;                /* of a bridge, bond, VRF, ...; 0: none */
	bool port;                 /* a bridge, bond or the like consumes its frames; a VRF's member is an ordinary link */
	uint32_t carrier_ups;      /* how often the carrier came: tells a loss that was over before we read of it */
	struct address_prefix addresses[LINK_ADDRESSES];
	size_t n_addresses;
	uint32_t gateway;          /* of the default route through it, host byte order; 0: none */
};

struct link_table {
	struct link_info *links;   /* by index, ascending */
	size_t n;
};

enum link_table_news {
	LINK_TABLE_CHANGED = 1,
	LINK_TABLE_DONE = 2,          /* a dump has ended */
	LINK_TABLE_INTERRUPTED = 4,   /* the dump is not consistent: make it again */
	LINK_TABLE_MALFORMED = 8,
	LINK_TABLE_REFUSED = 16,      /* the kernel answered a request with an error: there is no dump */
};

/* Applies one datagram, aligned as netlink messages are; returns LINK_TABLE_* bits. Malformed parts are skipped. */
int link_table_apply(struct link_table *table, const void *datagram, size_t len);
void link_table_free(struct link_table *table);
const struct link_info *link_table_find(const struct link_table *table, const char *name);

/* Up with carrier, broadcast, ARP, Ethernet. */
bool link_works(const struct link_info *link);

/* Works, and may be used without being named: no port of a bridge or bond, none of the kinds that containers and overlays
 * make (cni0, flannel.1, cali*, veth*, docker*, kube-ipvs0, ...; MetalLB's exclusion list). */
bool link_usable(const struct link_info *link);
bool link_has_subnet_of(const struct link_info *link, const struct address *a);

/* Its first IPv4 address that is not link-local, host byte order; 0: none. */
uint32_t link_own_address(const struct link_info *link);

#endif
