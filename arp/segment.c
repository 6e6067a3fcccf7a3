#include "arp/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arp/link.h"
#include "arp/responder.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/map.h"

#define ANNOUNCE_BATCH 64
#define ASKERS 8
_Static_assert(ANNOUNCE_HOSTS == DIRECTORY_HOSTS && SEGMENT_ANNOUNCE_TO < DIRECTORY_HOSTS, "the gateway and all that are named have a place");

struct claim {
	uint32_t address;
	struct conflict core;
	int64_t wake;
	UT_hash_handle hh;
};

struct segment {
	struct segment_config config;
	struct link_info info;
	struct link *link;
	struct responder *responder;
	struct announcer *announcer;
	struct directory *directory;
	struct liveness *liveness;
	struct census *census;
	struct claim *claims;
	struct asker {
		char name[NODE_NAME_SIZE];
		int64_t at;
	} askers[ASKERS];              /* peers that asked for pool addresses last */
	int64_t claims_wake;           /* the least wake, or earlier */
	struct ipv4_range *ranges;
	size_t n_ranges;
	struct deadline timer;
	struct segment_counters counters;
	int64_t down_since;
	bool pumping;
};

static void transmit(struct segment *s, const struct arp_frame *frame)
{
	uint8_t bytes[ARP_FRAME_SIZE];
	arp_frame_build(frame, bytes);
	link_send(s->link, bytes, sizeof(bytes));
}

/* How many could not go. */
static unsigned flush(struct segment *s)
{
	unsigned failed = link_flush(s->link);
	s->counters.send_failed += failed;
	return failed;
}

static struct arp_frame announcement_frame(const struct segment *s, uint32_t address, unsigned form)
{
	if (form == ANNOUNCE_REQUEST)
		return arp_announcement(address, &s->info.mac);
	if (form == ANNOUNCE_REPLY)
		return arp_gratuitous_reply(address, &s->info.mac);
	unsigned place = 0;
	while (form != ANNOUNCE_HOST(place))
		place++;
	return arp_question(address, &s->info.mac, directory_address(s->directory, place), directory_mac(s->directory, place));
}

static void announce(struct segment *s, const struct announcement *a)
{
	for (unsigned form = 1; form <= a->forms; form <<= 1) {
		if (!(a->forms & form))
			continue;
		struct arp_frame frame = announcement_frame(s, a->address, form);
		transmit(s, &frame);
		s->counters.gratuitous++;
		tally_at(s->config.tally, a->address)->gratuitous++;
	}
}

/* ---- claims: what the conflict cores want ---- */

static struct claim *claim_find(const struct segment *s, uint32_t address)
{
	struct claim *c;
	HASH_FIND(hh, s->claims, &address, sizeof(address), c);
	return c;
}

static void probe(struct segment *s, uint32_t address)
{
	struct arp_frame frame = arp_question(0, &s->info.mac, address, NULL);
	transmit(s, &frame);
}

static void carry_out_claim(struct segment *s, struct claim *c, unsigned todo, int64_t now)
{
	struct conflict *core = &c->core;
	if (todo & CONFLICT_DO_PROBE)
		probe(s, c->address);
	if (todo & CONFLICT_DO_ASK) {
		if (link_own_address(&s->info))
			segment_ask(s, c->address);
		else   /* nothing else is possible from here */
			probe(s, c->address);
	}
	if (todo & CONFLICT_DO_ANNOUNCE) {
		responder_set(s->responder, c->address, true);
		announcer_start(s->announcer, c->address, now);
	}
	if (todo & CONFLICT_DO_DEFEND)
		announcer_defend(s->announcer, c->address, now);
	if (todo & CONFLICT_DO_REFUSE) {
		responder_set(s->responder, c->address, false);
		announcer_stop(s->announcer, c->address);
	}
	c->wake = clock_min(core->next, core->ask_at);
	s->claims_wake = clock_min(s->claims_wake, c->wake);
	if (todo & (CONFLICT_DO_REPORT | CONFLICT_DO_REFUSE)) {
		tally_at(s->config.tally, c->address)->conflicts++;
		s->config.on_conflict(s->config.data, s, c->address, &core->mac, core->who, (todo & CONFLICT_DO_REFUSE) != 0);
	}
}

static void step_claims(struct segment *s, int64_t now)
{
	struct claim *c, *tmp;
	if (now < s->claims_wake)
		return;
	s->claims_wake = CLOCK_NEVER;
	HASH_ITER(hh, s->claims, c, tmp) {
		if (now >= c->wake)
			carry_out_claim(s, c, conflict_step(&c->core, now, clock_random(), &c->wake), now);
		s->claims_wake = clock_min(s->claims_wake, c->wake);
	}
}

static void carry_out(struct segment *s, const struct liveness_action *action)
{
	switch (action->kind) {
	case LIVENESS_SEND:
		transmit(s, &action->frame);
		break;
	case LIVENESS_CHANGED:
		flush(s);   /* what the owner makes of it may take a while */
		s->config.on_state(s->config.data, s, action->peer, action->state);
		break;
	case LIVENESS_HEARD_AGAIN:
		s->config.on_heard_again(s->config.data, s, action->peer);
		break;
	}
}

/* Lets the cores say what they have to say, takeover frames first, and sets the timer. Callbacks may come back here. */
static void pump(struct segment *s)
{
	struct announcement due[ANNOUNCE_BATCH];
	struct liveness_action action;
	uint32_t host;
	size_t n;
	if (s->pumping)
		return;
	if (s->config.slept)
		s->config.slept(s->config.data);
	s->pumping = true;
	int64_t now = clock_now();
	uint32_t address;
	/* Without a carrier nobody hears it; and what is due when it returns must not be said before we have asked who has it (R7). */
	bool works = link_works(&s->info);
	step_claims(s, now);
	while (works && (n = announcer_due(s->announcer, now, due, ANNOUNCE_BATCH)) > 0) {
		for (size_t i = 0; i < n; i++)
			announce(s, &due[i]);
		if (flush(s) > 0)   /* some of these: a few come once more than they must, none is lost */
			for (size_t i = 0; i < n; i++)
				announcer_failed(s->announcer, &due[i], now);
	}
	while ((host = directory_ask(s->directory, now)))
		segment_ask(s, host);
	liveness_step(s->liveness, now);
	while (liveness_take(s->liveness, &action))
		carry_out(s, &action);
	while (works && census_next(s->census, now, &address))
		segment_ask(s, address);
	flush(s);
	s->pumping = false;
	int64_t wake = clock_min(s->claims_wake, liveness_deadline(s->liveness));
	if (works)
		wake = clock_min(wake, clock_min(announcer_deadline(s->announcer), census_deadline(s->census)));
	deadline_set(&s->timer, clock_min(wake, directory_deadline(s->directory)));
}

static void on_due(void *data)
{
	pump(data);
}

static bool in_ranges(const struct segment *s, uint32_t address)
{
	for (size_t i = 0; i < s->n_ranges; i++)
		if (address >= s->ranges[i].first && address <= s->ranges[i].last)
			return true;
	return false;
}

static void note_asker(struct segment *s, const char *peer, int64_t now)
{
	struct asker *oldest = &s->askers[0];
	for (size_t i = 0; i < ASKERS; i++) {
		if (strcmp(s->askers[i].name, peer) == 0) {
			s->askers[i].at = now;
			return;
		}
		if (s->askers[i].at < oldest->at)
			oldest = &s->askers[i];
	}
	snprintf(oldest->name, sizeof(oldest->name), "%s", peer);
	oldest->at = now;
}

int64_t segment_asked_at(const struct segment *s, const char *peer)
{
	for (size_t i = 0; i < ASKERS; i++)
		if (strcmp(s->askers[i].name, peer) == 0)
			return s->askers[i].at;
	return INT64_MIN;
}

/* What the frame says about who uses which pool address. True: a claim may have something to do now. */
static bool learn(struct segment *s, const struct arp_frame *frame, int64_t now)
{
	const char *peer = segment_peer_of_mac(s, &frame->sha);
	if (mac_equal(&frame->sha, &s->info.mac) || mac_equal(&frame->eth_src, &s->info.mac))
		return false;   /* a guard speaks for us, or an echo of our own */
	struct claim *used = frame->spa ? claim_find(s, frame->spa) : NULL;
	struct claim *probed = frame->op == ARP_REQUEST && !frame->spa ? claim_find(s, frame->tpa) : NULL;
	enum conflict_who who = peer ? CONFLICT_PEER : CONFLICT_UNKNOWN;
	if (!peer && (used || probed || (frame->spa && in_ranges(s, frame->spa))))
		who = s->config.on_sender(s->config.data, s, frame->spa, &frame->sha);
	if (frame->spa && in_ranges(s, frame->spa))
		census_heard(s->census, frame->spa, !peer, now);
	if (peer && frame->op == ARP_REQUEST && frame->spa && frame->spa != frame->tpa && in_ranges(s, frame->tpa)) {
		census_asked(s->census, frame->tpa, now);
		note_asker(s, peer, now);
		if (s->config.on_question)
			s->config.on_question(s->config.data, s, frame->tpa, peer);
	}
	if (used)
		carry_out_claim(s, used, conflict_heard(&used->core, &frame->sha, false, who, now), now);
	else if (probed)
		carry_out_claim(s, probed, conflict_heard(&probed->core, &frame->sha, true, who, now), now);
	return used || probed;
}

/* Which of the directed announcements have somewhere to go. */
static void know_hosts(struct segment *s)
{
	unsigned known = 0;
	for (unsigned i = 0; i < DIRECTORY_HOSTS; i++)
		known |= directory_mac(s->directory, i) ? ANNOUNCE_HOST(i) : 0;
	announcer_set_hosts(s->announcer, known);
}

static void host_heard(struct segment *s, const struct arp_frame *frame, int64_t now)
{
	char text[ADDRESS_TEXT], mac[MAC_TEXT];
	struct address a = address_from_v4(frame->spa);
	if (!mac_equal(&frame->eth_src, &frame->sha) || !directory_heard(s->directory, frame->spa, &frame->sha, now))
		return;
	know_hosts(s);
	log_info("hostFound", KV("ip", address_format(&a, text), "mac", mac_format(&frame->sha, mac), "interface", s->info.name),
		 "%s is at %s: it is told of addresses directly", text, mac);
}

/* True when liveness or a claim has something to do now. */
static bool receive(struct segment *s, const struct link_frame *raw, int64_t now)
{
	struct arp_frame frame, reply;
	s->counters.received++;
	if (!arp_frame_parse(raw->bytes, raw->len, &frame)) {
		s->counters.malformed++;
		return false;
	}
	if (frame.op == ARP_REPLY && mac_equal(&frame.eth_dst, &s->info.mac)) {
		host_heard(s, &frame, now);
		if (s->info.gateway && frame.spa == s->info.gateway)
			liveness_add_host(s->liveness, frame.spa, &frame.sha, now);
	}
	if (liveness_receive(s->liveness, &frame, now))
		return true;
	bool stirred = learn(s, &frame, now);
	switch (responder_receive(s->responder, &frame, raw->at, &reply)) {
	case RESPONDER_IGNORE:
		return stirred;
	case RESPONDER_CLAIM:
		flush(s);
		s->config.on_claim(s->config.data, s, frame.spa, &frame.sha, &frame.eth_src,
				   frame.op == ARP_REPLY && mac_equal(&frame.eth_dst, &s->info.mac));
		return stirred;
	case RESPONDER_ANSWER:
		/* Whoever asks for a pool address from an own one answers ARP himself: proof of a working link when needed. */
		liveness_add_host(s->liveness, frame.spa, &frame.sha, now);
		host_heard(s, &frame, now);
		break;
	case RESPONDER_PROBE:
		announcer_probed(s->announcer, frame.tpa, now);   /* goes behind the answer */
		break;
	}
	s->counters.requests++;
	s->counters.answers++;
	struct tally_entry *counted = tally_at(s->config.tally, frame.tpa);
	counted->requests++;
	counted->answers++;
	transmit(s, &reply);
	return stirred;
}

static void on_frames(void *data, const struct link_frame *frames, size_t n)
{
	struct segment *s = data;
	int64_t now = clock_now();
	bool stirred = false;
	if (s->config.slept && s->config.slept(s->config.data))
		return;   /* asked for while we were away: whose the addresses are by now is not known (finding 21) */
	if (!link_works(&s->info))
		return;   /* the carrier is back, and rtnetlink is about to say so: then it is asked who has them (R7) */
	for (size_t i = 0; i < n; i++)
		stirred |= receive(s, &frames[i], now);
	flush(s);
	/* In a storm most batches are answers and nothing else: the cores that wait for their time are not bothered. */
	if (stirred || now >= s->timer.at)
		pump(s);
}

static void make_filter(const struct segment *s, struct buffer *text)
{
	arp_filter(text, s->ranges, s->n_ranges, &s->info.mac);
}

static void apply_filter(struct segment *s)
{
	struct buffer text = BUFFER_INIT;
	struct error err;
	make_filter(s, &text);
	if (link_set_filter(s->link, buffer_string(&text), &err) < 0)
		log_error("filterFailed", KV("interface", s->info.name), "%s", err.text);
	buffer_free(&text);
}

static void copy_ranges(struct segment *s, const struct ipv4_range *ranges, size_t n)
{
	free(s->ranges);
	s->ranges = mem_zalloc(n * sizeof(*ranges));
	if (n)
		memcpy(s->ranges, ranges, n * sizeof(*ranges));
	s->n_ranges = n;
}

static void use_link_info(struct segment *s, const struct link_info *link)
{
	s->info = *link;
	responder_set_mac(s->responder, &link->mac);
	liveness_set_self(s->liveness, link_own_address(link), &link->mac);
}

static void segment_free(struct segment *s)
{
	struct claim *c, *tmp;
	responder_free(s->responder);
	announcer_free(s->announcer);
	directory_free(s->directory);
	liveness_free(s->liveness);
	census_free(s->census);
	HASH_ITER(hh, s->claims, c, tmp) {
		HASH_DEL(s->claims, c);
		free(c);
	}
	free(s->ranges);
	free(s);
}

/* The gateway, and those named that are on this link; all are asked for. */
static void follow_hosts(struct segment *s)
{
	uint32_t hosts[DIRECTORY_HOSTS] = {s->info.gateway};
	for (size_t i = 0; i < s->config.n_announce_to; i++) {
		struct address a = address_from_v4(s->config.announce_to[i]);
		if (link_has_subnet_of(&s->info, &a) && s->config.announce_to[i] != s->info.gateway)
			hosts[i + 1] = s->config.announce_to[i];
	}
	directory_set(s->directory, hosts, clock_now());
	know_hosts(s);
}

int segment_open(struct segment **segmentp, uv_loop_t *loop, const struct link_info *link, const struct segment_config *config,
		 const struct ipv4_range *ranges, size_t n_ranges, struct error *err)
{
	struct segment *s = mem_zalloc(sizeof(*s));
	struct buffer text = BUFFER_INIT;
	s->config = *config;
	s->responder = responder_new();
	s->announcer = announcer_new(config->announcer, config->gratuitous_interval, config->arp_rate);
	s->directory = directory_new(config->directory);
	s->liveness = liveness_new(config->node, config->liveness_interval);
	s->census = census_new(config->census ? config->census : &CENSUS_TIMES);
	s->claims_wake = CLOCK_NEVER;
	copy_ranges(s, ranges, n_ranges);
	use_link_info(s, link);
	make_filter(s, &text);
	int rc = link_open(&s->link, loop, link->name, buffer_string(&text), on_frames, s, err);
	buffer_free(&text);
	if (rc < 0) {
		segment_free(s);
		return rc;
	}
	deadline_init(&s->timer, loop, on_due, s);
	if (link_index(s->link) != link->index) {   /* renamed or replaced since; rtnetlink is about to say so */
		segment_close(s);
		return error_set(err, -ENODEV, "interface %s: is another one by now", link->name);
	}
	follow_hosts(s);
	*segmentp = s;
	pump(s);
	return 0;
}

static void on_timer_closed(void *data)
{
	segment_free(data);
}

void segment_close(struct segment *s)
{
	if (!s)
		return;
	link_close(s->link);
	deadline_close(&s->timer, on_timer_closed);
}

void segment_update(struct segment *s, const struct link_info *link)
{
	bool up = link_works(link), was_up = link_works(&s->info), new_mac = !mac_equal(&link->mac, &s->info.mac);
	bool flapped = link->carrier_ups != s->info.carrier_ups;   /* maybe so shortly that we never saw it down */
	int64_t now = clock_now();
	use_link_info(s, link);
	if (new_mac)
		apply_filter(s);
	if (up && !was_up) {
		link_discard(s->link);
		link_wake(s->link);
		liveness_reset(s->liveness, now);
	}
	if (!up && was_up)
		s->down_since = now;
	/* The soonest verdict of a watcher comes 1.7 intervals after the last answer. */
	if (up && !was_up && now - s->down_since > s->config.liveness_interval * 3 / 2)
		s->config.on_return(s->config.data, s);
	else if (up && (!was_up || new_mac || flapped))
		announcer_restart_all(s->announcer, now);
	follow_hosts(s);
	pump(s);
}

const struct link_info *segment_link(const struct segment *s)
{
	return &s->info;
}

bool segment_dead(const struct segment *s)
{
	return link_index(s->link) != s->info.index;
}

void segment_set_ranges(struct segment *s, const struct ipv4_range *ranges, size_t n)
{
	if (n == s->n_ranges && (n == 0 || memcmp(ranges, s->ranges, n * sizeof(*ranges)) == 0))
		return;
	copy_ranges(s, ranges, n);
	apply_filter(s);
}

void segment_set_peers(struct segment *s, const struct liveness_peer *peers, size_t n)
{
	liveness_set_peers(s->liveness, peers, n, clock_now());
	pump(s);
}

void segment_set_ready(struct segment *s, bool ready)
{
	liveness_set_ready(s->liveness, ready);
}

void segment_own(struct segment *s, uint32_t address, enum conflict_claim claim, bool handed)
{
	struct claim *c = claim_find(s, address);
	int64_t now = clock_now();
	bool claimed = c && c->core.state != CONFLICT_NONE;
	if (claimed && (claim != CONFLICT_CLAIM_KNOWN || conflict_answers(&c->core) || c->core.state == CONFLICT_REFUSED))
		return;
	if (!c) {
		c = mem_zalloc(sizeof(*c));
		c->address = address;
		conflict_init(&c->core, s->config.conflict ? s->config.conflict : &CONFLICT_TIMES, s->config.give_up);
		HASH_ADD(hh, s->claims, address, sizeof(c->address), c);
	}
	if (claim == CONFLICT_CLAIM_PROBE && census_is_free(s->census, address, now))
		claim = CONFLICT_CLAIM_KNOWN;
	carry_out_claim(s, c, conflict_start(&c->core, claim, now, clock_random()), now);
	if (handed)
		responder_since(s->responder, address, now);
	pump(s);
}

void segment_release(struct segment *s, uint32_t address)
{
	struct claim *c = claim_find(s, address);
	if (!c || c->core.state == CONFLICT_NONE)
		return;
	conflict_stop(&c->core);   /* kept: it knows when the address was defended last */
	c->wake = CLOCK_NEVER;
	responder_set(s->responder, address, false);
	announcer_stop(s->announcer, address);
}

void segment_identified(struct segment *s, const struct mac *mac, enum conflict_who who)
{
	struct claim *c, *tmp;
	int64_t now = clock_now();
	HASH_ITER(hh, s->claims, c, tmp)
		carry_out_claim(s, c, conflict_identified(&c->core, mac, who, now), now);
	pump(s);
}

void segment_told(struct segment *s, uint32_t address, const struct mac *mac)
{
	struct claim *c = claim_find(s, address);
	int64_t now = clock_now();
	if (c)
		carry_out_claim(s, c, conflict_heard(&c->core, mac, false, CONFLICT_STRANGER, now), now);
	pump(s);
}

struct census *segment_census(struct segment *s)
{
	return s->census;
}

void segment_census_changed(struct segment *s)
{
	pump(s);
}

bool segment_owns(const struct segment *s, uint32_t address)
{
	return responder_has(s->responder, address);
}

bool segment_guard(struct segment *s, uint32_t address, const char *peer)
{
	const struct liveness_peer *owner = peer ? liveness_peer(s->liveness, peer) : NULL;
	bool before = responder_guards(s->responder, address);
	responder_guard(s->responder, address, owner ? &owner->mac : NULL);
	if (!owner || before || !responder_guards(s->responder, address))
		return owner;
	/* Unicast, as all a guard says. A process that is stopping waits to hear it. */
	transmit(s, &(struct arp_frame){.eth_dst = owner->mac, .eth_src = s->info.mac, .op = ARP_REPLY, .sha = owner->mac, .spa = address,
					.tha = owner->mac, .tpa = owner->address});
	flush(s);
	return true;
}

bool segment_is_guard_of(const struct segment *s, const char *peer)
{
	return liveness_guards(s->liveness, peer);
}

int64_t segment_watched_at(const struct segment *s)
{
	return liveness_asked_at(s->liveness);
}

void segment_announce(struct segment *s, uint32_t address)
{
	announcer_start(s->announcer, address, clock_now());
	pump(s);
}

void segment_ask(struct segment *s, uint32_t address)
{
	uint32_t own = link_own_address(&s->info);
	if (!own)
		return;   /* a question from 0.0.0.0 would be an RFC 5227 probe, and could make a rebooting owner give up */
	struct arp_frame frame = arp_question(own, &s->info.mac, address, NULL);
	transmit(s, &frame);
	flush(s);
}

void segment_woke(struct segment *s)
{
	link_discard(s->link);
	liveness_reset(s->liveness, clock_now());
	pump(s);
}

bool segment_is_peer(const struct segment *s, const char *node)
{
	return liveness_peer(s->liveness, node) != NULL;
}

enum liveness_state segment_liveness(const struct segment *s, const char *node)
{
	return liveness_get(s->liveness, node);
}

bool segment_undecided(const struct segment *s, const char *node)
{
	return liveness_undecided(s->liveness, node);
}

bool segment_connected(const struct segment *s)
{
	return liveness_connected(s->liveness);
}

const char *segment_peer_of_mac(const struct segment *s, const struct mac *mac)
{
	return liveness_peer_of_mac(s->liveness, mac);
}

const struct segment_counters *segment_counters(const struct segment *s)
{
	return &s->counters;
}
