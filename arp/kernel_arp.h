/* Does this machine's own kernel answer ARP for addresses of its links wherever it is asked (arp_ignore 0; IPVS without
 * strictARP)? Reads /proc/sys. */
#ifndef ARP_KERNEL_ARP_H
#define ARP_KERNEL_ARP_H

#include <stdbool.h>

/* link: on which it is asked. False also when it cannot be known. */
bool kernel_answers_for_all(const char *link);

#endif
