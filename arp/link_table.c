#include "arp/link_table.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdlib.h>

#include "config/base/memory.h"

static struct link_info *find(struct link_table *t, int index, size_t *placep)
{
	size_t i = 0;
	while (i < t->n && t->links[i].index < index)
		i++;
	*placep = i;
	return i < t->n && t->links[i].index == index ? &t->links[i] : NULL;
}

static struct link_info *find_or_add(struct link_table *t, int index)
{
	size_t at;
	struct link_info *link = find(t, index, &at);
	if (link)
		return link;
	t->links = mem_realloc(t->links, (t->n + 1) * sizeof(*t->links));
	memmove(&t->links[at + 1], &t->links[at], (t->n - at) * sizeof(*t->links));
	t->n++;
	t->links[at] = (struct link_info){.index = index};
	return &t->links[at];
}

static bool remove_link(struct link_table *t, int index)
{
	size_t at;
	if (!find(t, index, &at))
		return false;
	t->n--;
	memmove(&t->links[at], &t->links[at + 1], (t->n - at) * sizeof(*t->links));
	return true;
}

/* The attributes of one message (or of one that nests others) with types up to `max`, the last of each; NULL where absent. */
static void attributes(const void *first, size_t len, const struct rtattr **out, unsigned short max)
{
	memset(out, 0, sizeof(*out) * (max + 1u));
	const struct rtattr *a = first;
	/* Signed: RTA_NEXT subtracts the padded length, which may be more than what is left. */
	for (int left = (int)len; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) <= max)
			out[a->rta_type & NLA_TYPE_MASK] = a;
}

static uint32_t number(const struct rtattr *a)   /* 0: absent */
{
	uint32_t value = 0;
	if (a && RTA_PAYLOAD(a) >= sizeof(value))
		memcpy(&value, RTA_DATA(a), sizeof(value));
	return value;
}

/* What its master is, as the member's own message has it. A master without a kind is taken for one that consumes frames. */
static bool is_port(int master, const struct rtattr *link_info)
{
	const struct rtattr *a[IFLA_INFO_SLAVE_KIND + 1] = {0};
	if (link_info)
		attributes(RTA_DATA(link_info), RTA_PAYLOAD(link_info), a, IFLA_INFO_SLAVE_KIND);
	const struct rtattr *kind = a[IFLA_INFO_SLAVE_KIND];
	bool vrf = kind && RTA_PAYLOAD(kind) >= 3 && strncmp(RTA_DATA(kind), "vrf", RTA_PAYLOAD(kind)) == 0;
	return master && !vrf;
}

static void take_name(struct link_info *link, const struct rtattr *name)
{
	if (!name)
		return;
	size_t len = strnlen(RTA_DATA(name), RTA_PAYLOAD(name));
	memset(link->name, 0, sizeof(link->name));
	memcpy(link->name, RTA_DATA(name), len < IF_NAMESIZE ? len : IF_NAMESIZE - 1);
}

static bool take_link(struct link_table *t, const struct nlmsghdr *h)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	const struct rtattr *a[IFLA_CARRIER_UP_COUNT + 1];
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->ifi_family != AF_UNSPEC || info->ifi_index <= 0)
		return false;   /* AF_BRIDGE messages describe ports, not links */
	if (h->nlmsg_type == RTM_DELLINK)
		return remove_link(t, info->ifi_index);
	attributes(IFLA_RTA(info), IFLA_PAYLOAD(h), a, IFLA_CARRIER_UP_COUNT);
	if (a[IFLA_WIRELESS])
		return false;   /* a driver's event: it has no master and no MAC in it, which says nothing about them */
	size_t n = t->n;
	struct link_info *link = find_or_add(t, info->ifi_index), old = *link;
	link->flags = info->ifi_flags;
	link->type = info->ifi_type;
	link->master = (int)number(a[IFLA_MASTER]);
	link->port = is_port(link->master, a[IFLA_LINKINFO]);
	link->carrier_ups = number(a[IFLA_CARRIER_UP_COUNT]);
	take_name(link, a[IFLA_IFNAME]);
	if (a[IFLA_ADDRESS] && RTA_PAYLOAD(a[IFLA_ADDRESS]) == MAC_SIZE)
		memcpy(link->mac.bytes, RTA_DATA(a[IFLA_ADDRESS]), MAC_SIZE);
	return t->n != n || memcmp(&old, link, sizeof(old)) != 0;
}

static bool address_of(const struct ifaddrmsg *info, const struct rtattr **a, struct address_prefix *p)
{
	/* On a point-to-point link IFA_ADDRESS is the other end. */
	const struct rtattr *own = a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS];
	size_t width = info->ifa_family == AF_INET ? 4 : 16;
	if (!own || RTA_PAYLOAD(own) < width || info->ifa_prefixlen > width * 8)
		return false;
	*p = (struct address_prefix){.length = info->ifa_prefixlen};
	p->address.family = info->ifa_family == AF_INET ? ADDRESS_V4 : ADDRESS_V6;
	memcpy(p->address.bytes, RTA_DATA(own), width);
	return true;
}

static bool take_address(struct link_table *t, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *info = NLMSG_DATA(h);
	const struct rtattr *a[IFA_LOCAL + 1];
	struct address_prefix p;
	size_t at;
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return false;
	struct link_info *link = find(t, (int)info->ifa_index, &at);
	attributes(IFA_RTA(info), IFA_PAYLOAD(h), a, IFA_LOCAL);
	if (!link || !address_of(info, a, &p))
		return false;
	size_t i = 0;
	while (i < link->n_addresses && (!address_equal(&link->addresses[i].address, &p.address) || link->addresses[i].length != p.length))
		i++;
	bool there = i < link->n_addresses, wanted = h->nlmsg_type == RTM_NEWADDR;
	if (there == wanted || (wanted && link->n_addresses == LINK_ADDRESSES))
		return false;
	if (wanted) {
		link->addresses[link->n_addresses++] = p;
	} else {
		link->n_addresses--;
		memmove(&link->addresses[i], &link->addresses[i + 1], (link->n_addresses - i) * sizeof(p));
		memset(&link->addresses[link->n_addresses], 0, sizeof(p));
	}
	return true;
}

/* Only IPv4 default routes matter: the gateway is a host to ask when proof of a working link is needed. */
static bool take_route(struct link_table *t, const struct nlmsghdr *h)
{
	const struct rtmsg *info = NLMSG_DATA(h);
	const struct rtattr *a[RTA_GATEWAY + 1];
	size_t at;
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) || info->rtm_family != AF_INET || info->rtm_dst_len != 0)
		return false;
	attributes(RTM_RTA(info), RTM_PAYLOAD(h), a, RTA_GATEWAY);
	if (!a[RTA_GATEWAY] || RTA_PAYLOAD(a[RTA_GATEWAY]) < 4)
		return false;
	struct link_info *link = find(t, (int)number(a[RTA_OIF]), &at);
	const uint8_t *g = RTA_DATA(a[RTA_GATEWAY]);
	uint32_t gateway = (uint32_t)g[0] << 24 | (uint32_t)g[1] << 16 | (uint32_t)g[2] << 8 | g[3];
	if (!link)
		return false;
	uint32_t old = link->gateway;
	if (h->nlmsg_type == RTM_NEWROUTE)
		link->gateway = gateway;
	else if (link->gateway == gateway)
		link->gateway = 0;
	return link->gateway != old;
}

/* The end of a dump, and an error in place of one, carry a negative errno. */
static int news_of_end(const struct nlmsghdr *h)
{
	int code = 0;
	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
		memcpy(&code, NLMSG_DATA(h), sizeof(code));
	if (h->nlmsg_type == NLMSG_ERROR)
		return code ? LINK_TABLE_REFUSED : 0;   /* 0: an acknowledgement */
	return LINK_TABLE_DONE | (code < 0 ? LINK_TABLE_INTERRUPTED : 0);
}

static int take_message(struct link_table *table, const struct nlmsghdr *h)
{
	bool changed = false;
	int news = h->nlmsg_flags & NLM_F_DUMP_INTR ? LINK_TABLE_INTERRUPTED : 0;
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		changed = take_link(table, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		changed = take_address(table, h);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		changed = take_route(table, h);
		break;
	case NLMSG_DONE:
	case NLMSG_ERROR:
		news |= news_of_end(h);
		break;
	}
	return news | (changed ? LINK_TABLE_CHANGED : 0);
}

int link_table_apply(struct link_table *table, const void *datagram, size_t len)
{
	int news = 0;
	const struct nlmsghdr *h = datagram;
	/* Not by NLMSG_NEXT: it subtracts the padded length, which may be more than what is left. */
	while (len >= sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= len) {
		size_t step = NLMSG_ALIGN(h->nlmsg_len);
		news |= take_message(table, h);
		if (step >= len)
			return news;
		h = (const struct nlmsghdr *)((const char *)h + step);
		len -= step;
	}
	return len ? news | LINK_TABLE_MALFORMED : news;
}

void link_table_free(struct link_table *table)
{
	free(table->links);
	*table = (struct link_table){0};
}

const struct link_info *link_table_find(const struct link_table *table, const char *name)
{
	for (size_t i = 0; i < table->n; i++)
		if (strcmp(table->links[i].name, name) == 0)
			return &table->links[i];
	return NULL;
}

bool link_works(const struct link_info *link)
{
	const unsigned wanted = IFF_UP | IFF_RUNNING | IFF_BROADCAST;   /* RUNNING: there is a carrier */
	return (link->flags & wanted) == wanted && !(link->flags & (IFF_NOARP | IFF_LOOPBACK)) && link->type == ARPHRD_ETHER;
}

bool link_usable(const struct link_info *link)
{
	static const char *const NEVER[] = {"docker", "cbr", "dummy", "virbr", "lxcbr", "veth", "lo", "cali", "tunl", "flannel", "kube-ipvs",
					    "cni", "nodelocaldns", "lxc", "vxlan", "cilium", "ovn", "br-int", "weave", "podman"};
	if (!link_works(link) || link->port)
		return false;
	for (size_t i = 0; i < sizeof(NEVER) / sizeof(NEVER[0]); i++) {
		bool whole = strcmp(NEVER[i], "lo") == 0;
		if (whole ? strcmp(link->name, "lo") == 0 : strncmp(link->name, NEVER[i], strlen(NEVER[i])) == 0)
			return false;
	}
	return true;
}

bool link_has_subnet_of(const struct link_info *link, const struct address *a)
{
	for (size_t i = 0; i < link->n_addresses; i++) {
		const struct address_prefix *p = &link->addresses[i];
		unsigned host = p->address.family == ADDRESS_V4 ? 32 : 128;
		if (p->length < host && address_prefix_contains(p, a))   /* a /32 is no subnet */
			return true;
	}
	return false;
}

uint32_t link_own_address(const struct link_info *link)
{
	for (size_t i = 0; i < link->n_addresses; i++) {
		const struct address_prefix *p = &link->addresses[i];
		if (p->address.family == ADDRESS_V4 && p->length < 32 && (address_to_v4(&p->address) >> 16) != 0xa9fe)
			return address_to_v4(&p->address);
	}
	return 0;
}
