/* The link table kept current by rtnetlink: events, never polling; a full dump at start and after an overrun.
 * The only file that opens a netlink socket. init start close. */
#ifndef ARP_LINKS_H
#define ARP_LINKS_H

#include <uv.h>

#include "arp/link_table.h"

struct links;

/* on_change runs from the loop after each batch of changes, and once the first dump is complete. -errno. */
int links_init(struct links **linksp, uv_loop_t *loop, void (*on_change)(void *data), void *data);
int links_start(struct links *l);
const struct link_table *links_table(const struct links *l);   /* empty until the first dump is complete */
void links_close(struct links *l);   /* NULL is fine */

#endif
