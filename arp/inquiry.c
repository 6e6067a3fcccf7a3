#include "arp/inquiry.h"

#include <errno.h>
#include <stdlib.h>

#include "arp/link.h"
#include "arp/links.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/map.h"

#define SPACING (2 * CLOCK_MS)   /* between two frames: a switch with storm control drops bursts */

/* Only replies: what others ask costs nothing here. */
#define FILTER "arp and arp[6:2] = 2"

struct line {   /* an open link */
	struct inquiry *inquiry;
	struct link *link;
	char name[IF_NAMESIZE];
	int index;
	struct mac mac;
};

struct ask_key {
	uint32_t address;
	int index;      /* of the link */
};

struct ask {
	struct ask_key key;
	uint32_t own;
	struct line *line;
	unsigned asked;
	int64_t asked_at;
	UT_hash_handle hh;
};

struct inquiry {
	uv_loop_t *loop;
	struct inquiry_config config;
	uint32_t *addresses;
	char *interface;
	struct links *links;
	struct line **lines;
	size_t n_lines;
	struct ask **asks;      /* in the order of the addresses */
	struct ask *by_key;
	size_t n_asks;
	size_t next;            /* frames that were due so far */
	size_t sent;
	int send_error;
	int64_t started;        /* 0: the links are not known yet */
	struct deadline timer;
	struct inquiry_answer *answers;
	size_t n_answers, answers_cap;
	bool done;
};

/* ---- where to ask ---- */

/* The address of ours that its subnet knows us by. */
static uint32_t own_address(const struct link_info *link, const struct address *target)
{
	for (size_t i = 0; i < link->n_addresses; i++) {
		const struct address_prefix *p = &link->addresses[i];
		if (p->address.family == ADDRESS_V4 && p->length < 32 && address_prefix_contains(p, target))
			return address_to_v4(&p->address);
	}
	return link_own_address(link);
}

static int choose_named(const struct link_table *table, const char *name, const struct address *target, struct inquiry_route *out, struct error *err)
{
	const struct link_info *link = link_table_find(table, name);
	if (!link)
		return error_set(err, -ENODEV, "interface %s: does not exist (see ip link)", name);
	if (!link_works(link))
		return error_set(err, -ENETDOWN, "interface %s: is down, without carrier, or not Ethernet; choose another with --interface", name);
	for (size_t i = 0; link->port && i < table->n; i++)
		if (table->links[i].index == link->master)
			return error_set(err, -EINVAL, "interface %s: belongs to %s; ask there (--interface %s)", name, table->links[i].name, table->links[i].name);
	uint32_t own = own_address(link, target);
	if (!own)
		return error_set(err, -EADDRNOTAVAIL, "interface %s: has no IPv4 address to ask from (without one the question would be an ARP probe, "
				 "as of a host that takes the address); give it one in that subnet, or choose another with --interface", name);
	*out = (struct inquiry_route){link, own};
	return 1;
}

int inquiry_choose(const struct link_table *table, const char *interface, uint32_t address, struct inquiry_route out[INQUIRY_LINKS],
		   struct error *err)
{
	const struct address target = address_from_v4(address);
	int n = 0;
	if (interface)
		return choose_named(table, interface, &target, out, err);
	for (int by_subnet = 1; by_subnet >= 0 && n == 0; by_subnet--) {
		for (size_t i = 0; i < table->n && n < INQUIRY_LINKS; i++) {
			const struct link_info *link = &table->links[i];
			bool wanted = by_subnet ? link_works(link) && !link->port && link_has_subnet_of(link, &target) : link_usable(link);
			uint32_t own = wanted ? own_address(link, &target) : 0;
			if (own)
				out[n++] = (struct inquiry_route){link, own};
		}
	}
	if (n == 0) {
		char text[ADDRESS_TEXT];
		return error_set(err, -ENETUNREACH, "%s: no link to ask on: none that works has an IPv4 address (see ip -4 addr); run this on a machine of that network, "
				 "or choose a link with --interface", address_format(&target, text));
	}
	return n;
}

/* ---- answers ---- */

static void take_answer(struct line *line, const struct arp_frame *f, int64_t now)
{
	struct inquiry *i = line->inquiry;
	struct ask *a;
	const struct ask_key key = {f->spa, line->index};
	HASH_FIND(hh, i->by_key, &key, sizeof(key), a);
	/* An answer to us, which an announcement (SPA = TPA) is not: the same test as arping's. */
	if (!a || !a->asked || f->op != ARP_REPLY || f->tpa != a->own || !mac_equal(&f->tha, &line->mac) || mac_equal(&f->eth_src, &line->mac))
		return;
	if (i->n_answers == i->answers_cap) {
		i->answers_cap = i->answers_cap ? i->answers_cap * 2 : 64;
		i->answers = mem_realloc(i->answers, i->answers_cap * sizeof(*i->answers));
	}
	struct inquiry_answer *answer = &i->answers[i->n_answers++];
	*answer = (struct inquiry_answer){.address = f->spa, .question = a->asked - 1, .after = now - a->asked_at, .sha = f->sha, .eth_src = f->eth_src};
	memcpy(answer->link, line->name, sizeof(answer->link));
}

static void on_frames(void *data, const struct link_frame *frames, size_t n)
{
	struct line *line = data;
	struct arp_frame f;
	int64_t now = clock_now();
	for (size_t k = 0; k < n; k++)
		if (!line->inquiry->done && arp_frame_parse(frames[k].bytes, frames[k].len, &f))
			take_answer(line, &f, now);
}

/* ---- asking ---- */

static void end(struct inquiry *i, int rc, const char *why)
{
	if (i->done)
		return;
	i->done = true;
	i->config.on_done(i->config.data, rc, why);
}

/* When the k-th frame is to be sent: round after round, in each all addresses one behind the other. */
static int64_t due(const struct inquiry *i, size_t k)
{
	int64_t round = (int64_t)i->n_asks * SPACING;
	if (round < i->config.interval)
		round = i->config.interval;
	return i->started + (int64_t)(k / i->n_asks) * round + (int64_t)(k % i->n_asks) * SPACING;
}

static void ask(struct inquiry *i, struct ask *a)
{
	uint8_t bytes[ARP_FRAME_SIZE];
	struct arp_frame f = arp_question(a->own, &a->line->mac, a->key.address, NULL);
	arp_frame_build(&f, bytes);
	a->asked++;
	a->asked_at = clock_now();
	link_send(a->line->link, bytes, sizeof(bytes));
	if (link_flush(a->line->link) > 0)
		i->send_error = -EIO;
	else
		i->sent++;
}

static void on_due(void *data)
{
	struct inquiry *i = data;
	size_t all = i->n_asks * i->config.questions;
	int64_t now = clock_now();
	if (i->done)
		return;
	for (; i->next < all && due(i, i->next) <= now; i->next++)
		ask(i, i->asks[i->next % i->n_asks]);
	int64_t last = due(i, all - 1) + i->config.patience;
	if (i->next < all)
		deadline_set(&i->timer, due(i, i->next));
	else if (now < last)
		deadline_set(&i->timer, last);
	else if (i->sent == 0)
		end(i, i->send_error, strerror(-i->send_error));
	else
		end(i, 0, "");
}

/* The open link of that index, opened at its first use. */
static struct line *line_of(struct inquiry *i, const struct link_info *link, struct error *err)
{
	for (size_t k = 0; k < i->n_lines; k++)
		if (i->lines[k]->index == link->index)
			return i->lines[k];
	struct line *line = mem_zalloc(sizeof(*line));
	*line = (struct line){.inquiry = i, .index = link->index, .mac = link->mac};
	memcpy(line->name, link->name, sizeof(line->name));
	if (link_open(&line->link, i->loop, link->name, FILTER, on_frames, line, err) < 0) {
		free(line);
		return NULL;
	}
	i->lines = mem_realloc(i->lines, (i->n_lines + 1) * sizeof(struct line *));
	i->lines[i->n_lines++] = line;
	return line;
}

static int add_asks(struct inquiry *i, uint32_t address, struct error *err)
{
	struct inquiry_route routes[INQUIRY_LINKS];
	int n = inquiry_choose(links_table(i->links), i->interface, address, routes, err);
	for (int k = 0; k < n; k++) {
		struct line *line = line_of(i, routes[k].link, err);
		if (!line)
			return -EPERM;
		struct ask *a = mem_zalloc(sizeof(*a));
		a->key = (struct ask_key){address, line->index};
		a->own = routes[k].own;
		a->line = line;
		HASH_ADD(hh, i->by_key, key, sizeof(a->key), a);
		i->asks = mem_realloc(i->asks, (i->n_asks + 1) * sizeof(struct ask *));
		i->asks[i->n_asks++] = a;
	}
	return n < 0 ? n : 0;
}

/* The links are known, for the first time or anew. */
static void on_links(void *data)
{
	struct inquiry *i = data;
	struct error err = {""};
	if (i->started || i->done)
		return;
	i->started = clock_now();
	for (size_t k = 0; k < i->config.n; k++) {
		int rc = add_asks(i, i->addresses[k], &err);
		if (rc < 0) {
			end(i, rc, err.text);
			return;
		}
	}
	i->started = clock_now();
	if (i->n_asks)
		on_due(i);
	else
		end(i, 0, "");
}

/* ---- life ---- */

void inquiry_init(struct inquiry **ip, uv_loop_t *loop, const struct inquiry_config *config)
{
	struct inquiry *i = mem_zalloc(sizeof(*i));
	i->loop = loop;
	i->config = *config;
	i->addresses = mem_zalloc((config->n + 1) * sizeof(*i->addresses));
	if (config->n)
		memcpy(i->addresses, config->addresses, config->n * sizeof(*i->addresses));
	i->interface = mem_strdup(config->interface);
	deadline_init(&i->timer, loop, on_due, i);
	*ip = i;
}

int inquiry_start(struct inquiry *i)
{
	int rc = links_init(&i->links, i->loop, on_links, i);
	return rc < 0 ? rc : links_start(i->links);
}

size_t inquiry_answers(const struct inquiry *i, const struct inquiry_answer **answersp)
{
	*answersp = i->answers;
	return i->n_answers;
}

const char *inquiry_link(const struct inquiry *i, uint32_t address)
{
	for (size_t k = 0; k < i->n_asks; k++)
		if (i->asks[k]->key.address == address)
			return i->asks[k]->line->name;
	return "";
}

const struct link_table *inquiry_table(const struct inquiry *i)
{
	return links_table(i->links);
}

static void on_closed(void *data)
{
	struct inquiry *i = data;
	struct ask *a, *tmp;
	HASH_ITER(hh, i->by_key, a, tmp) {
		HASH_DEL(i->by_key, a);
		free(a);
	}
	for (size_t k = 0; k < i->n_lines; k++)
		free(i->lines[k]);
	free(i->lines);
	free(i->asks);
	free(i->answers);
	free(i->addresses);
	free(i->interface);
	free(i);
}

void inquiry_close(struct inquiry *i)
{
	if (!i)
		return;
	i->done = true;
	for (size_t k = 0; k < i->n_lines; k++)
		link_close(i->lines[k]->link);
	links_close(i->links);
	deadline_close(&i->timer, on_closed);
}
