#include "speaker/controller_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "k8sclient/event.h"
#include "speaker/allocation_writes.h"
#include "speaker/conflict_status.h"
#include "speaker/names.h"
#include "speaker/pool_status.h"

#define COUNT_AGAIN (200 * CLOCK_MS)   /* pools' counters, while allocation goes on */
#define STRANGERS_NAMED 5   /* in one message */

struct complaint {   /* what was last said about an object; by "uid reason" */
	char *key;
	char *text;      /* without_counts */
	UT_hash_handle hh;
};

struct subject {     /* a Service by its key: its uid, to forget what was said when it is gone, and what is complained of */
	char *service, *uid;
	char *reasons[ALLOCATION_NOTICES + 1];
	size_t n_reasons;
	UT_hash_handle hh;
};

struct controller_role {
	struct turn *turn;
	struct cluster *cluster;
	struct leadership *leadership;
	struct events *events;
	struct allocator *allocator;
	struct allocation_writes *writes;
	struct pool_statuses *pool_statuses;
	struct conflict_statuses *conflict_statuses;
	struct complaint *complaints;
	struct subject *subjects;
	struct deadline timer;
	unsigned seen_revision;
	int64_t busy_since;   /* 0: no write is under way */
	bool again, was_leading;
};

static struct model *model_of(const struct controller_role *role)
{
	return cluster_model(role->cluster);
}

static void look_again(void *data)
{
	struct controller_role *role = data;
	role->again = true;
	turn_again(role->turn);
}

/* ---- saying what happens ---- */

static void emit(struct controller_role *role, const struct object_meta *meta, const char *kind, bool warning, const char *reason, const char *note)
{
	bool service = strcmp(kind, "Service") == 0;
	struct event e = {.kind = kind, .api_version = service ? "v1" : "metallb.io/v1beta1", .object = meta, .warning = warning, .reason = reason,
			  .action = service ? "Allocate" : "Configure", .note = note};
	events_emit(role->events, &e);
}

static void complaint_free(struct controller_role *role, struct complaint *c)
{
	HASH_DEL(role->complaints, c);
	free(c->key);
	free(c->text);
	free(c);
}

static struct complaint *complaint_of(struct controller_role *role, const char *uid, const char *reason)
{
	struct complaint *c;
	char *key = mem_printf("%s %s", uid, reason);
	HASH_FIND_STR(role->complaints, key, c);
	free(key);
	return c;
}

/* "(3 of 51 in use)" changes with everybody else's Services, and is no news to those that wait. */
static char *without_counts(const char *text)
{
	const char *open = strchr(text, '('), *close = open && strstr(open, " in use") ? strchr(open, ')') : NULL;
	return close ? mem_printf("%.*s%s", (int)(open - text), text, close) : mem_strdup(text);
}

/* Once per object and reason, until its text changes. True: it is news. */
static bool is_news(struct controller_role *role, const char *uid, const char *reason, const char *text)
{
	struct complaint *c = complaint_of(role, uid, reason);
	if (!c) {
		c = mem_zalloc(sizeof(*c));
		c->key = mem_printf("%s %s", uid, reason);
		HASH_ADD_KEYPTR(hh, role->complaints, c->key, strlen(c->key), c);
	}
	char *gist = without_counts(text);
	bool known = c->text && strcmp(c->text, gist) == 0;
	free(c->text);
	c->text = gist;
	return !known;
}

static void forget(struct controller_role *role, const char *uid, const char *reason)
{
	struct complaint *c = complaint_of(role, uid, reason);
	if (c)
		complaint_free(role, c);
	events_forget(role->events, uid, reason);
}

/* The log's event names are MetalLB's. */
static const char *log_event(const char *reason)
{
	return strcmp(reason, "ClearAssignment") == 0 ? "clearAssignment" : strcmp(reason, "noMatchingAdvertisement") == 0 ? "notAnnounced"
	     : strcmp(reason, "AllocationFailed") == 0 ? "allocationFailed" : strcmp(reason, "LoadBalancerFailed") == 0 ? "loadBalancerFailed" : reason;
}

static void say(struct controller_role *role, const struct service *s, bool warning, const char *reason, const char *pool, const char *text)
{
	if (!is_news(role, s->meta.uid, reason, text))
		return;
	log_warn(log_event(reason), KV("service", s->meta.key, "reason", reason, "pool", pool), "%s", text);
	emit(role, &s->meta, "Service", warning, reason, text);
}

static void on_status(void *data, const struct service *s, const char *key, const char *ips, const char *pool, bool repair)
{
	struct controller_role *role = data;
	char note[200];
	if (!*ips) {
		log_info("clearAssignment", KV("service", key), "Service %s: its addresses were taken back", key);
		return;
	}
	log_info(repair ? "statusRepaired" : "ipAllocated", KV("service", key, "ip", ips, "pool", pool), "Service %s: %s %s from pool %s", key,
		 repair ? "its status says again" : "assigned", ips, pool);
	if (!s || repair)
		return;
	snprintf(note, sizeof(note), "Assigned IP [\"%s\"]", ips);
	events_forget(role->events, s->meta.uid, "IPAllocated");   /* the same address given once more is news as well */
	emit(role, &s->meta, "Service", false, "IPAllocated", note);
}

/* ---- Services: complaints that begin and end ---- */

static struct subject *subject_of(struct controller_role *role, const struct allocation *a)
{
	struct subject *s;
	HASH_FIND_STR(role->subjects, a->service, s);
	if (!s) {
		s = mem_zalloc(sizeof(*s));
		s->service = mem_strdup(a->service);
		HASH_ADD_KEYPTR(hh, role->subjects, s->service, strlen(s->service), s);
	}
	mem_replace(&s->uid, a->uid);
	return s;
}

static void subject_free(struct controller_role *role, struct subject *s)
{
	HASH_DEL(role->subjects, s);
	for (size_t i = 0; i < s->n_reasons; i++)
		free(s->reasons[i]);
	free(s->service);
	free(s->uid);
	free(s);
}

/* What was said and is not true any more may be said again when it is. */
static void end_complaints(struct controller_role *role, struct subject *subject, const char *const *reasons, size_t n)
{
	for (size_t i = 0; i < subject->n_reasons; i++) {
		bool still = false;
		for (size_t j = 0; j < n; j++)
			still |= strcmp(subject->reasons[i], reasons[j]) == 0;
		if (!still)
			forget(role, subject->uid, subject->reasons[i]);
		free(subject->reasons[i]);
	}
	subject->n_reasons = n;
	for (size_t i = 0; i < n; i++)
		subject->reasons[i] = mem_strdup(reasons[i]);
}

static bool is_advertised(const struct model *m, const struct pool *pool, const struct service *s)
{
	for (size_t i = 0; i < m->n_advertisements; i++)
		if (advertisement_selects_pool(m->advertisements[i], &pool->meta) && (!s || advertisement_selects_service(m->advertisements[i], &s->meta.labels)))
			return true;
	return false;
}

/* MetalLB hands out such addresses silently, and people lose an evening (home-network.md). */
static bool check_advertised(struct controller_role *role, const struct allocation *a, const struct service *s)
{
	const struct model *m = model_of(role);
	const struct pool *pool = a->pool ? model_pool_named(m, a->pool) : NULL;
	if (!pool || !m->advertisements_synced || is_advertised(m, pool, s))
		return true;
	char *text = mem_printf("Service %s: nobody will answer for its address: no L2Advertisement selects pool %s; create one (an empty spec selects all pools)", a->service, a->pool);
	say(role, s, true, "noMatchingAdvertisement", a->pool, text);
	free(text);
	return false;
}

static void tell(struct controller_role *role, const struct allocation *a)
{
	const struct service *s = model_service(model_of(role), a->service);
	const char *reasons[ALLOCATION_NOTICES + 1];
	size_t n = 0;
	if (!a->uid)
		return;
	if (!s || strcmp(s->meta.uid, a->uid) != 0 || !model_is_ours(model_of(role), s)) {
		struct subject *gone;
		HASH_FIND_STR(role->subjects, a->service, gone);
		if (gone) {
			end_complaints(role, gone, NULL, 0);
			subject_free(role, gone);
		}
		events_forget(role->events, a->uid, NULL);
		return;
	}
	for (size_t i = 0; i < a->n_notices; i++) {
		say(role, s, a->notices[i].warning, a->notices[i].reason, a->pool, a->notices[i].text);
		reasons[n++] = a->notices[i].reason;
	}
	if (!check_advertised(role, a, s))
		reasons[n++] = "noMatchingAdvertisement";
	struct subject *subject = n ? subject_of(role, a) : NULL;
	if (!subject)
		HASH_FIND_STR(role->subjects, a->service, subject);
	if (subject)
		end_complaints(role, subject, reasons, n);
	if (subject && n == 0)
		subject_free(role, subject);
}

/* ---- pools and advertisements ---- */

/* What was mended may be said again when it breaks again. */
static void forget_mended(struct controller_role *role)
{
	struct model *m = model_of(role);
	for (size_t i = 0; i < m->pools.n; i++)
		if (!m->pools.entries[i].problem)
			forget(role, m->pools.entries[i].meta.uid, "InvalidConfiguration");
	for (size_t i = 0; i < m->n_advertisements; i++) {
		bool refused = false;
		for (size_t j = 0; j < m->n_refused_ads; j++)
			refused |= strcmp(m->refused_ads[j].meta.uid, m->advertisements[i]->meta.uid) == 0;
		if (!refused)
			forget(role, m->advertisements[i]->meta.uid, "InvalidConfiguration");
	}
}

static void report_problems(struct controller_role *role)
{
	struct model *m = model_of(role);
	for (size_t i = 0; i < model_problems(m); i++) {
		struct model_problem p = model_problem(m, i);
		if (*p.meta->uid && is_news(role, p.meta->uid, "InvalidConfiguration", p.text)) {
			log_error("invalidConfiguration", KV("kind", p.kind, "object", p.meta->key), "%s", p.text);
			emit(role, p.meta, p.kind, true, "InvalidConfiguration", p.text);
		}
	}
	for (size_t i = 0; i < m->pools.n && m->advertisements_synced; i++) {
		const struct pool *pool = m->pools.entries[i].pool;
		if (!pool || !*pool->meta.uid || is_advertised(m, pool, NULL))
			continue;
		char *text = mem_printf("IPAddressPool %s: no L2Advertisement selects it; its addresses are handed out but nobody answers for them; create one (an empty spec selects all pools)",
					pool->meta.name);
		if (is_news(role, pool->meta.uid, "noMatchingAdvertisement", text))
			emit(role, &pool->meta, "IPAddressPool", true, "noMatchingAdvertisement", text);
		free(text);
	}
}

/* Which strangers use addresses of the pool, in words; NULL: none. To free(). */
static char *strangers_text(const struct model *m, const struct pool *pool)
{
	struct buffer text = BUFFER_INIT;
	char ip[ADDRESS_TEXT], mac[MAC_TEXT];
	size_t n = 0;
	for (const struct foreign_entry *e = m->foreign; e; e = e->hh.next) {
		if (model_pool_of(m, &e->record->address) != pool || ++n > STRANGERS_NAMED)
			continue;
		buffer_printf(&text, "%s%s by %s (seen on %.15s of node %.60s)", n > 1 ? ", " : "", address_format(&e->record->address, ip),
			      mac_format(&e->record->mac, mac), e->record->link, e->record->node);
	}
	if (n > STRANGERS_NAMED)
		buffer_printf(&text, " and %zu more", n - STRANGERS_NAMED);
	char *all = n ? mem_printf("IPAddressPool %s: used by hosts on the network that are none of ours: %s; give those hosts other addresses, or take these out of the pool",
				   pool->meta.name, buffer_string(&text)) : NULL;
	buffer_free(&text);
	return all;
}

static void report_strangers(struct controller_role *role)
{
	const struct model *m = model_of(role);
	for (size_t i = 0; i < m->pools.n; i++) {
		const struct pool *pool = m->pools.entries[i].pool;
		char *text = pool ? strangers_text(m, pool) : NULL;
		const char *about = pool && *pool->meta.uid ? pool->meta.uid : pool ? pool->meta.name : "";
		if (!text && pool) {
			forget(role, about, "addressConflict");
		} else if (text && is_news(role, about, "addressConflict", text)) {
			log_warn("addressConflict", KV("pool", pool->meta.name), "%s", text);
			if (*pool->meta.uid)
				emit(role, &pool->meta, "IPAddressPool", true, "addressConflict", text);
		}
		free(text);
	}
}

/* ---- the step ---- */

void controller_role_step(void *data)
{
	struct controller_role *role = data;
	const struct allocation *a;
	struct model *m = model_of(role);
	int64_t wake, now = clock_now();
	bool leading = leadership_leading(role->leadership);
	bool news = role->again || m->revision != role->seen_revision || leading != role->was_leading;
	if (!news || !leading || !cluster_synced(role->cluster)) {
		role->was_leading = leading && role->was_leading;
		return;
	}
	if (!role->was_leading)
		allocator_resume(role->allocator);
	role->again = false;
	role->was_leading = true;
	role->seen_revision = m->revision;
	if (m->changes.all) {
		forget_mended(role);
		report_problems(role);
	}
	report_strangers(role);
	conflict_statuses_follow(role->conflict_statuses);
	allocator_plan(role->allocator, now, &wake);
	while ((a = allocator_next_news(role->allocator)))
		tell(role, a);
	allocation_writes_step(role->writes);
	/* Counters come after what somebody waits for, but not much. */
	bool busy = allocation_writes_pending(role->writes) > 0;
	if (!busy || !role->busy_since)
		role->busy_since = busy ? now : 0;
	if (!busy || now - role->busy_since > COUNT_AGAIN) {
		role->busy_since = 0;
		pool_statuses_step(role->pool_statuses, role->allocator);
		conflict_statuses_step(role->conflict_statuses);
	}
	deadline_set(&role->timer, wake);
}

bool controller_role_at_rest(const struct controller_role *role)
{
	return role->was_leading && !role->again && role->seen_revision == model_of(role)->revision && cluster_synced(role->cluster) &&
	       !allocator_next_open(role->allocator, NULL) && !allocator_next_release(role->allocator, NULL) &&
	       allocation_writes_pending(role->writes) == 0 && pool_statuses_pending(role->pool_statuses) == 0;
}

void controller_role_collect(void *data, struct metrics *metrics)
{
	const struct controller_role *role = data;
	const struct model *m = model_of(role);
	static const char *const NAMES[] = {METRIC_ADDRESSES, METRIC_IPV4_ADDRESSES, METRIC_IPV6_ADDRESSES, METRIC_IN_USE, METRIC_IPV4_IN_USE, METRIC_IPV6_IN_USE,
					    METRIC_SERVICES_ALLOCATED};
	static const enum address_family FAMILIES[] = {ADDRESS_NONE, ADDRESS_V4, ADDRESS_V6};
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
		metrics_clear(metrics, NAMES[i]);   /* pools that are gone have no series */
	for (size_t i = 0; i < m->pools.n; i++) {
		const struct pool *p = m->pools.entries[i].pool;
		for (size_t f = 0; p && f < 3; f++) {
			metrics_set(metrics, NAMES[f], KV("pool", p->meta.name), (double)pool_size(p, FAMILIES[f]));
			metrics_set(metrics, NAMES[3 + f], KV("pool", p->meta.name), (double)allocator_in_use(role->allocator, p->meta.name, FAMILIES[f]));
		}
		if (p)
			metrics_set(metrics, METRIC_SERVICES_ALLOCATED, KV("pool", p->meta.name), (double)allocator_services(role->allocator, p->meta.name));
	}
}

const struct allocator *controller_role_allocator(const struct controller_role *role)
{
	return role->allocator;
}

void controller_role_init(struct controller_role **rolep, uv_loop_t *loop, struct turn *turn, struct cluster *cluster,
			  struct leadership *leadership, const char *identity)
{
	struct controller_role *role = mem_zalloc(sizeof(*role));
	role->turn = turn;
	role->cluster = cluster;
	role->leadership = leadership;
	role->allocator = allocator_new(cluster_model(cluster), NULL);
	role->again = true;
	events_init(&role->events, cluster_api(cluster), "metallb-controller", identity);
	struct allocation_writes_config config = {.cluster = cluster, .allocator = role->allocator, .leadership = leadership,
						  .on_news = look_again, .on_status = on_status, .data = role};
	allocation_writes_init(&role->writes, loop, &config);
	pool_statuses_init(&role->pool_statuses, loop, cluster, look_again, role);
	conflict_statuses_init(&role->conflict_statuses, loop, cluster, NULL, look_again, role);
	deadline_init(&role->timer, loop, look_again, role);
	*rolep = role;
}

static void on_timer_closed(void *data)
{
	free(data);
}

void controller_role_close(struct controller_role *role)
{
	struct complaint *c, *c_next;
	struct subject *s, *s_next;
	if (!role)
		return;
	allocation_writes_close(role->writes);
	pool_statuses_close(role->pool_statuses);
	conflict_statuses_close(role->conflict_statuses);
	HASH_ITER(hh, role->complaints, c, c_next)
		complaint_free(role, c);
	HASH_ITER(hh, role->subjects, s, s_next)
		subject_free(role, s);
	allocator_free(role->allocator);
	events_close(role->events);
	deadline_close(&role->timer, on_timer_closed);
}
