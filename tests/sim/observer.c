#include "tests/sim/observer.h"

#include <string.h>

#include "arp/responder.h"
#include "arp/segment.h"
#include "speaker/ownership.h"
#include "tests/sim/link.h"
#include "tests/sim/objects.h"
#include "tests/sim/server.h"
#include "tests/sim/stranger.h"
#include "tests/sim/wire.h"

#define LOOK_EVERY (50 * CLOCK_MS)
#define NOBODY HOSTS
#define ANSWERS 8
#define ASKED_FOR 4   /* addresses, while a process is stopped */

struct watched {
	unsigned owner;            /* who answers alone, by its MAC; NOBODY */
	unsigned last;             /* the last who did */
	unsigned n;                /* different MACs */
	bool guarded;              /* one of the answers comes from another node than its MAC */
	int64_t dark_since, two_since;   /* CLOCK_NEVER: not so */
	int64_t astray_since, astray;
	uint64_t may;              /* nodes that may answer, by the API objects */
	int64_t dark, two, two_total;
	unsigned moves;
	unsigned recorded;         /* holder */
	bool shown;                /* in the status of a Service */
};

static struct {
	struct watched watched[ADDRESSES];
	int shown[ADDRESSES];      /* by Service: index of its address; -1 */
	bool planned, measuring, resting;
	bool cluster_changed;
	int64_t moved_at;
	unsigned same, stale;
	int64_t woke_at[HOSTS];
	bool woke_late[HOSTS];     /* after so long that it must have noticed */
} seen;

static const char *name_of(unsigned host)
{
	return host < HOSTS ? world.hosts[host].name : "nobody";
}

static void look(void *data, uint64_t again);

void observer_begin(void)
{
	memset(&seen, 0, sizeof(seen));
	for (unsigned i = 0; i < ADDRESSES; i++) {
		seen.watched[i] = (struct watched){.owner = NOBODY, .last = NOBODY, .recorded = NOBODY, .dark_since = CLOCK_NEVER, .two_since = CLOCK_NEVER,
						    .astray_since = CLOCK_NEVER, .may = ALL_NODES};
		seen.shown[i] = -1;
	}
	seen.moved_at = CLOCK_NEVER;
	for (unsigned i = 0; i < HOSTS; i++)
		seen.woke_at[i] = -1;
	world_at(world.now + LOOK_EVERY, look, NULL, 1);
}

void observer_cluster_changed(void)
{
	seen.cluster_changed = true;
	observer_dirty();
}

void observer_dirty(void)
{
	if (seen.planned)
		return;
	seen.planned = true;
	world_at(world.now, look, NULL, 0);
}

/* ---- who answers ---- */

static void count_who_may(void)
{
	seen.cluster_changed = false;
	for (unsigned at = 0; at < world.n_addresses; at++)
		seen.watched[at].may = 0;
	for (unsigned i = 0; i < ADDRESSES; i++)
		if (seen.shown[i] >= 0)
			seen.watched[seen.shown[i]].may |= objects_may(i);
}

/* Somebody of these is there who could, in the end. */
static bool anybody(uint64_t may, bool running)
{
	const struct host *client = &world.hosts[world.client];
	for (unsigned i = 0; i < world.n_nodes; i++) {
		const struct host *h = &world.hosts[i];
		if ((may >> i & 1) && wire_reaches(client, h) && wire_reaches(h, client) && (!running || process_runs(h)))
			return true;
	}
	return false;
}

static void end_dark(struct watched *w)
{
	if (w->dark_since != CLOCK_NEVER && world.now - w->dark_since > w->dark)
		w->dark = world.now - w->dark_since;
	w->dark_since = CLOCK_NEVER;
}

static void end_two(struct watched *w)
{
	if (w->two_since == CLOCK_NEVER)
		return;
	if (world.now - w->two_since > w->two)
		w->two = world.now - w->two_since;
	w->two_total += world.now - w->two_since;
	w->two_since = CLOCK_NEVER;
}

static void end_astray(struct watched *w)
{
	if (w->astray_since != CLOCK_NEVER && world.now - w->astray_since > w->astray)
		w->astray = world.now - w->astray_since;
	w->astray_since = CLOCK_NEVER;
}

/* It answers and may not: somebody else could, or nobody is to. */
static bool is_astray(const struct watched *w)
{
	return w->owner < world.n_nodes && !(w->may >> w->owner & 1) && (!w->may || anybody(w->may, true));
}

static void check_rest(unsigned at)
{
	const struct watched *w = &seen.watched[at];
	char ip[16];
	objects_address_text(world.addresses[at], ip);
	if (!w->shown && w->n)
		world_wrong("deleted-after", "%s: %s answers, though no Service has it", ip, name_of(w->owner));
	if (w->shown && is_astray(w))
		world_wrong("astray-after", "%s: %s answers, and may not", ip, name_of(w->owner));
	if (!w->shown || !anybody(w->may, true))
		return;
	if (w->n == 0)
		world_wrong("dark-after", "%s: nobody answers, though all faults are over", ip);
	else if (w->n > 1)
		world_wrong("two-after", "%s: %u answer, though all faults are over", ip, w->n);
	else if (w->guarded)
		world_wrong("guard-left", "%s: it is still guarded", ip);
	else if (server_up() && w->recorded != w->owner)
		world_wrong("not-record", "%s: %s answers, the record says %s", ip, name_of(w->owner), name_of(w->recorded));
}

static void judge(unsigned at, const unsigned *macs, unsigned n, bool guarded)
{
	struct watched *w = &seen.watched[at];
	unsigned owner = n == 1 ? macs[0] : NOBODY;
	char ip[16];
	if (world.verbose && (owner != w->owner || n != w->n || guarded != w->guarded))
		world_say("%s: answered by %s%s%s%s", objects_address_text(world.addresses[at], ip), n ? name_of(macs[0]) : "nobody",
			  n > 1 ? " and " : "", n > 1 ? name_of(macs[1]) : "", guarded ? " (guarded)" : "");
	w->n = n;
	w->owner = owner;
	w->guarded = guarded;
	if (owner != NOBODY && owner != w->last) {
		if (seen.measuring && w->last != NOBODY) {
			w->moves++;
			seen.moved_at = clock_min(seen.moved_at, world.now);
		}
		if (seen.resting && w->last != NOBODY)
			world_wrong("moved-after", "%s: moved from %s to %s, though all faults are over", objects_address_text(world.addresses[at], ip),
				    name_of(w->last), name_of(owner));
		w->last = owner;
	}
	if (n || !w->shown || !anybody(w->may, false))
		end_dark(w);
	else if (seen.measuring && w->dark_since == CLOCK_NEVER)
		w->dark_since = world.now;
	if (n < 2)
		end_two(w);
	else if (seen.measuring && w->two_since == CLOCK_NEVER)
		w->two_since = world.now;
	if (!w->shown || !is_astray(w))
		end_astray(w);
	else if (seen.measuring && w->astray_since == CLOCK_NEVER)
		w->astray_since = world.now;
	if (seen.resting)
		check_rest(at);
}

/* A client goes on asking while a process does not run: that waits for it (finding 21). */
static void ask_the_stopped(const struct host *client)
{
	for (unsigned i = 0; i < world.n_nodes; i++) {
		const struct host *h = &world.hosts[i];
		if (!h->process || !h->process->stopped || !wire_reaches(client, h))
			continue;
		for (unsigned at = 0; at < world.n_addresses && at < ASKED_FOR; at++) {
			struct arp_frame f = arp_question(client->address, &client->mac, world.addresses[at], NULL);
			uint8_t bytes[ARP_FRAME_SIZE];
			arp_frame_build(&f, bytes);
			wire_queue(h->process, bytes, sizeof(bytes));
		}
	}
}

static void look(void *data, uint64_t again)
{
	const struct host *client = &world.hosts[world.client];
	(void)data;
	if (again) {
		world_at(world.now + LOOK_EVERY, look, NULL, 1);
		ask_the_stopped(client);
	} else {
		seen.planned = false;
	}
	if (seen.cluster_changed)
		count_who_may();
	for (unsigned at = 0; at < world.n_addresses && !world.wrong; at++) {
		unsigned macs[ANSWERS], n = 0;
		bool guarded = false;
		for (unsigned i = 0; i < world.n_nodes; i++) {
			struct mac answers[2];
			const struct host *h = &world.hosts[i];
			if (!process_runs(h) || !wire_reaches(client, h) || !wire_reaches(h, client))
				continue;
			size_t got = link_probe(h->process, world.addresses[at], answers, 2);
			for (size_t k = 0; k < got; k++) {
				const struct host *who = world_host_of_mac(&answers[k]);
				unsigned is = who ? who->index : NOBODY, j = 0;
				guarded |= is != i;
				while (j < n && macs[j] != is)
					j++;
				if (j < n && seen.measuring)
					seen.same++;
				else if (j == n && n < ANSWERS)
					macs[n++] = is;
			}
		}
		judge(at, macs, n, guarded);
	}
}

/* The linker leads what the segments tell their responders past here (-Wl,--wrap). */

void __real_responder_set(struct responder *r, uint32_t address, bool answer);
void __wrap_responder_set(struct responder *r, uint32_t address, bool answer);
void __wrap_responder_set(struct responder *r, uint32_t address, bool answer)
{
	if (answer != responder_has(r, address))
		observer_dirty();
	__real_responder_set(r, address, answer);
}

void __real_responder_guard(struct responder *r, uint32_t address, const struct mac *owner);
void __wrap_responder_guard(struct responder *r, uint32_t address, const struct mac *owner);
void __wrap_responder_guard(struct responder *r, uint32_t address, const struct mac *owner)
{
	if ((owner != NULL) != responder_guards(r, address))
		observer_dirty();
	__real_responder_guard(r, address, owner);
}

static uint32_t silenced;   /* the address for which the frame that is being delivered has stopped the process; 0: none */

void __real_ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now);
void __wrap_ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now);
void __wrap_ownership_claimed(struct ownership *o, const char *peer, const struct record *record, int64_t now)
{
	bool spoke = ownership_answers(o) || ownership_guards(o);
	__real_ownership_claimed(o, peer, record, now);
	if (spoke && !ownership_answers(o) && !ownership_guards(o))
		silenced = address_to_v4(&o->address);
}

void observer_delivered(struct process *p)
{
	char ip[16];
	struct mac answer;
	uint32_t address = silenced;
	silenced = 0;
	if (address && link_ask(p, address, &answer, 1))
		world_wrong("goes-on", "%s: %s answers a question right behind the frame that stopped it", objects_address_text(address, ip), p->host->name);
}

/* ---- what leaves the nodes ---- */

void observer_woke(struct host *h)
{
	seen.woke_at[h->index] = world.now;
	seen.woke_late[h->index] = world.now - h->process->stopped_at > CLOCK_S + 2 * world.interval;   /* wakefulness.c: less is a nap */
}

static void say_frame(const struct host *from, const struct arp_frame *f, const char *ip)
{
	const struct host *to = world_host_of_mac(&f->eth_dst), *who = world_host_of_mac(&f->sha);
	if (to && to->index == world.client)
		return;   /* our own questions: what they show is said */
	world_say("  %s to %s: %s is at %s (%s)", from->name, to ? to->name : "all", ip, who ? who->name : "?", f->op == ARP_REPLY ? "answer" : "request");
}

void observer_frame(struct host *from, const struct arp_frame *f)
{
	const struct segment *s = link_segment(from->process);
	unsigned at = f->spa - POOL_FIRST;
	char ip[16];
	if (at >= world.n_addresses)
		return;
	objects_address_text(f->spa, ip);
	if (world.verbose)
		say_frame(from, f, ip);
	if (s && !link_works(segment_link(s))) {
		world_wrong("no-carrier", "%s speaks for %s, and knows that it has no carrier", from->name, ip);
		return;
	}
	if (!mac_equal(&f->eth_src, &from->mac)) {
		world_wrong("ethernet-source", "%s sends %s from another Ethernet address than its own", from->name, ip);
		return;
	}
	if (!mac_equal(&f->sha, &from->mac)) {
		const struct host *who = world_host_of_mac(&f->sha);
		if (!who || !who->is_node)
			world_wrong("guard-mac", "%s speaks for %s with a MAC of no node", from->name, ip);
		if (f->op != ARP_REPLY || mac_equal(&f->eth_dst, &MAC_BROADCAST))
			world_wrong("guard-form", "%s announces %s with another's MAC", from->name, ip);
		return;
	}
	if (s && !segment_owns(s, f->spa))
		world_wrong("sender", "%s sends %s as its own and does not answer for it", from->name, ip);
	bool answer = f->op == ARP_REPLY && mac_equal(&f->eth_dst, &world.hosts[world.client].mac);
	if (answer && seen.measuring && seen.woke_at[from->index] == world.now && seen.woke_late[from->index])
		seen.stale++;
}

/* ---- what is written ---- */

static int index_of(const char *ip)
{
	struct address a;
	if (!ip || address_parse(ip, &a, NULL) < 0 || a.family != ADDRESS_V4)
		return -1;
	uint32_t at = address_to_v4(&a) - POOL_FIRST;
	return at < world.n_addresses ? (int)at : -1;
}

static void show(unsigned service, int at)
{
	int before = seen.shown[service];
	if (at == before)
		return;
	seen.shown[service] = at;
	bool still = false;   /* by another Service that shares it */
	for (unsigned i = 0; before >= 0 && i < ADDRESSES; i++)
		still |= seen.shown[i] == before;
	if (before >= 0)
		seen.watched[before].shown = still;
	if (at >= 0)
		seen.watched[at].shown = true;
	observer_cluster_changed();
}

static void on_service_deleted(const char *name)
{
	unsigned service;
	if (sscanf(name, "s%u", &service) != 1 || service >= ADDRESSES)
		return;
	int at = seen.shown[service];
	show(service, -1);
	if (at >= 0 && !seen.watched[at].shown)   /* whoever gets it next is its first owner */
		seen.watched[at].last = NOBODY;
}

static void on_service(const json_t *object)
{
	const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
	const json_t *list = json_object_get(json_object_get(json_object_get(object, "status"), "loadBalancer"), "ingress");
	unsigned service;
	if (!name || sscanf(name, "s%u", &service) != 1 || service >= ADDRESSES)
		return;
	int at = index_of(json_string_value(json_object_get(json_array_get(list, 0), "ip"))), before = seen.shown[service];
	for (unsigned other = 0; at >= 0 && other < ADDRESSES; other++)
		if (other != service && seen.shown[other] == at && !(objects_shares(other) && objects_shares(service)))
			world_wrong("two-services", "s%u and s%u have the same address", other, service);
	/* Only what a stranger has, and was never announced, is replaced; or with --on-conflict=move. */
	bool taken = before >= 0 && stranger_had(world.addresses[before]) && (world.give_up || seen.watched[before].last == NOBODY);
	if (before >= 0 && at != before && !taken)
		world_wrong("lost-address", "s%u had an address and has another one, or none", service);
	show(service, at);
}

void observer_written(const char *method, const char *path, const json_t *reply)
{
	const char *kind = json_string_value(json_object_get(reply, "kind")), *slash = strrchr(path, '/');
	const char *name = json_string_value(json_object_get(json_object_get(reply, "metadata"), "name"));
	struct address a;
	bool gone = strcmp(method, "DELETE") == 0;
	if (kind && strcmp(kind, "Service") == 0 && !gone)
		on_service(reply);
	if (gone && strstr(path, "/services/"))
		on_service_deleted(slash + 1);
	if (!strstr(path, "/leases") || !record_address(gone || !name ? slash + 1 : name, &a) || a.family != ADDRESS_V4)
		return;
	uint32_t at = address_to_v4(&a) - POOL_FIRST;
	const char *holder = json_string_value(json_object_get(json_object_get(reply, "spec"), "holderIdentity"));
	const struct host *h = gone || !holder ? NULL : world_node(holder);
	if (at < world.n_addresses) {
		seen.watched[at].recorded = h ? h->index : NOBODY;
		world_say("record %s: %s", name ? name : slash + 1, h ? h->name : "nobody");
	}
}

/* ---- the result ---- */

void observer_expect_start(void)
{
	char ip[16];
	for (unsigned at = 0; at < world.n_addresses; at++)
		if (seen.watched[at].shown && seen.watched[at].n != 1)
			world_wrong("start", "%s: %u answer before any fault", objects_address_text(world.addresses[at], ip), seen.watched[at].n);
}

void observer_measure(void)
{
	seen.measuring = true;
	for (unsigned at = 0; at < world.n_addresses; at++) {
		struct watched *w = &seen.watched[at];
		w->dark_since = w->shown && w->n == 0 && anybody(w->may, false) ? world.now : CLOCK_NEVER;
		w->two_since = w->n > 1 ? world.now : CLOCK_NEVER;
		w->moves = 0;
	}
}

void observer_expect_rest(void)
{
	seen.resting = true;
	for (unsigned at = 0; at < world.n_addresses && !world.wrong; at++)
		check_rest(at);
	observer_dirty();
}

void observer_end(struct measured *m)
{
	unsigned on[HOSTS] = {0};
	*m = (struct measured){.same = seen.same, .stale = seen.stale, .moved_at = seen.moved_at};
	for (unsigned at = 0; at < world.n_addresses; at++) {
		struct watched *w = &seen.watched[at];
		end_dark(w);
		end_two(w);
		end_astray(w);
		m->astray = w->astray > m->astray ? w->astray : m->astray;
		m->dark = w->dark > m->dark ? w->dark : m->dark;
		m->two = w->two > m->two ? w->two : m->two;
		m->two_total = w->two_total > m->two_total ? w->two_total : m->two_total;
		m->moves = w->moves > m->moves ? w->moves : m->moves;
		m->answered += w->owner < HOSTS;
		if (w->owner < HOSTS && ++on[w->owner] > m->most_on_one)
			m->most_on_one = on[w->owner];
	}
}

unsigned observer_owner(unsigned address)
{
	return seen.watched[address].owner;
}
