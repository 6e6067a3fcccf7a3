#include "arp/kernel_arp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

/* -1: not readable */
static int arp_ignore(const char *link)
{
	char *path = mem_printf("/proc/sys/net/ipv4/conf/%s/arp_ignore", link);
	FILE *f = strchr(link, '/') ? NULL : fopen(path, "re");
	int value = -1;
	if (f && fscanf(f, "%d", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	free(path);
	return value;
}

bool kernel_answers_for_all(const char *link)
{
	/* The kernel takes the greater one (Documentation/networking/ip-sysctl). */
	return arp_ignore("all") == 0 && arp_ignore(link) == 0;
}
