/* Random histories of Services, pools and namespaces, with controller restarts at random points and foreign writes, against a
 * brute-force view of the same rules that shares no code with the allocator. After each event, once at rest:
 *   promise 1   two Services have one address only if they may share it
 *   promise 2   a Service keeps what it has, unless its own spec or its pool forbids it
 *   no waiting  nobody lacks what could be had
 *   lowest      who is alone in asking gets what a linear search finds
 *   counters    pools count what is there
 *   fixpoint    a restart finds nothing to write; each address shown has its record, and there is no other record
 * A failing seed prints itself; SEED=n replays it alone, SEEDS=n runs so many. */
#include "config/base/clock.h"
#include "speaker/allocator.h"
#include "tests/unit/support.h"

#define SERVICES 6
#define POOLS 4
#define SEGMENTS 6
#define ADDRESSES 24
#define V4 16                 /* addresses 0..15 are IPv4: 10.0.0.248 to 10.0.1.7; the rest fd00::0 to ::7 */
#define BUGGY(a) ((a) == 7 || (a) == 8)
#ifdef __SANITIZE_ADDRESS__
#define SEQUENCES 1500        /* ten times slower; the plain build runs them all */
#else
#define SEQUENCES 10000
#endif
#define EVENTS 14

enum { POLICY_SINGLE, POLICY_PREFER, POLICY_REQUIRE };

struct sharing_facts {
	int key, ports, selector;   /* key 0: none; ports: bits */
	bool local;
};

struct world_service {
	bool exists;
	unsigned uid, version, born;
	int ns, gold;               /* namespace, label tier=gold */
	int families[2], n_families, policy;
	int ask[2], n_ask;          /* addresses */
	int ask_pool;               /* -1: none */
	struct sharing_facts facts;
	bool foreign_class;
	int shown[2], n_shown;
	int from_pool;              /* annotation; -1 */
};

struct world_record {
	bool exists;
	unsigned uid, version;
	int services[SERVICES];
	unsigned uids[SERVICES];
	int n;
};

struct world_pool {
	bool exists;
	unsigned version;
	bool segments[SEGMENTS];
	bool manual, avoid_buggy, restricted;
	int priority, only_ns, only_team, gold;   /* -1: not restricted so */
};

struct world {
	uint64_t random;
	unsigned seed, version, uids;
	struct world_service services[SERVICES], before[SERVICES];
	struct world_record records[ADDRESSES];
	struct world_pool pools[POOLS];
	int team[2];                /* of the namespaces */
	struct model model;
	struct allocator *allocator;
	int64_t now;
	int last;                   /* the only Service that changed since the last rest; -1: something else did */
};

static unsigned pick(struct world *w, unsigned n)
{
	return support_pick(&w->random, n);
}

static bool chance(struct world *w, unsigned percent)
{
	return support_chance(&w->random, percent);
}

#define FAIL(w, ...) do { dump(w); print_message("seed %u: ", (w)->seed); fail_msg(__VA_ARGS__); } while (0)

static const char *address_name(int a, char text[ADDRESS_TEXT])
{
	if (a < V4)
		snprintf(text, ADDRESS_TEXT, "10.0.%d.%d", (a + 248) / 256, (a + 248) % 256);
	else
		snprintf(text, ADDRESS_TEXT, a == V4 ? "fd00::" : "fd00::%d", a - V4);
	return text;
}

static int address_index(const struct address *a)
{
	return a->family == ADDRESS_V4 ? (int)(address_to_v4(a) - 0x0a0000f8) : V4 + a->bytes[15];
}

static int family_of(int a)
{
	return a < V4 ? 4 : 6;
}

static void dump(const struct world *w)
{
	for (int i = 0; i < POOLS; i++)
		if (w->pools[i].exists)
			print_message("  pool p%d segments %d%d%d%d%d%d manual %d avoid %d restricted %d prio %d ns %d team %d gold %d\n", i, w->pools[i].segments[0], w->pools[i].segments[1],
				      w->pools[i].segments[2], w->pools[i].segments[3], w->pools[i].segments[4], w->pools[i].segments[5], w->pools[i].manual, w->pools[i].avoid_buggy,
				      w->pools[i].restricted, w->pools[i].priority, w->pools[i].only_ns, w->pools[i].only_team, w->pools[i].gold);
	for (int i = 0; i < SERVICES; i++) {
		const struct world_service *s = &w->services[i], *b = &w->before[i];
		if (s->exists)
			print_message("  s%d uid %u ns %d gold %d families %d/%d policy %d asks %d:%d,%d pool %d key %d ports %d local %d sel %d class %d shows %d:%d,%d (before %d:%d,%d)\n", i, s->uid,
				      s->ns, s->gold, s->families[0], s->n_families, s->policy, s->n_ask, s->ask[0], s->ask[1], s->ask_pool, s->facts.key, s->facts.ports, s->facts.local,
				      s->facts.selector, s->foreign_class, s->n_shown, s->shown[0], s->shown[1], b->n_shown, b->shown[0], b->shown[1]);
	}
}

/* ---- from the world to the model ---- */

static void append_note(char **notes, const char *key, char letter, int number)
{
	char *longer = number < 0 ? mem_strdup(*notes) : mem_printf("%s, '%s': '%c%d'", *notes, key, letter, number);
	free(*notes);
	*notes = longer;
}

static void put_service(struct world *w, int i)
{
	const struct world_service *s = &w->services[i];
	char name[8], uid[16], created[16], ips[2 * ADDRESS_TEXT] = "", one[ADDRESS_TEXT], *notes, *spec, *text;
	snprintf(name, sizeof(name), "s%d", i);
	if (!s->exists) {
		text = mem_printf("n%d/%s", s->ns, name);
		model_drop_service(&w->model, text);
		free(text);
		return;
	}
	snprintf(uid, sizeof(uid), "%u", s->uid);
	snprintf(created, sizeof(created), "%02u:%02u:%02u", s->born / 3600 % 24, s->born / 60 % 60, s->born % 60);
	for (int j = 0; j < s->n_shown; j++)
		snprintf(ips + strlen(ips), ADDRESS_TEXT, "%s%s", j ? "," : "", address_name(s->shown[j], one));
	notes = mem_strdup("'x': ''");
	for (int j = 0; j < s->n_ask; j++) {
		text = mem_printf("%s%s%s%s", notes, j ? "," : ", '" ANNOTATION_IPS "': '", address_name(s->ask[j], one), j + 1 == s->n_ask ? "'" : "");
		free(notes);
		notes = text;
	}
	append_note(&notes, ANNOTATION_POOL, 'p', s->ask_pool);
	append_note(&notes, ANNOTATION_SHARE, 'k', s->facts.key ? s->facts.key : -1);
	append_note(&notes, ANNOTATION_FROM_POOL, 'p', s->from_pool);
	spec = mem_printf(", 'clusterIPs': ['%s'%s], 'ipFamilyPolicy': '%s', 'externalTrafficPolicy': '%s', 'selector': {'app': 'a%d'}, 'ports': [{'port': 1%s}%s]%s",
			  s->families[0] == 4 ? "10.96.0.1" : "fd96::1", s->n_families == 2 ? (s->families[1] == 4 ? ", '10.96.0.1'" : ", 'fd96::1'") : "",
			  s->policy == POLICY_SINGLE ? "SingleStack" : s->policy == POLICY_PREFER ? "PreferDualStack" : "RequireDualStack", s->facts.local ? "Local" : "Cluster", s->facts.selector,
			  s->facts.ports & 1 ? "0" : "00", s->facts.ports & 2 ? ", {'port': 20}" : "", s->foreign_class ? ", 'loadBalancerClass': 'x/y'" : "");
	char ns[4];
	snprintf(ns, sizeof(ns), "n%d", s->ns);
	support_service(&w->model, (struct support_service){.name = name, .name_space = ns, .uid = uid, .version = s->version, .created = created,
			.labels = s->gold ? "'tier': 'gold'" : "", .annotations = notes, .spec = spec, .ips = ips});
	free(notes);
	free(spec);
}

static void put_record(struct world *w, int a)
{
	const struct world_record *r = &w->records[a];
	char ip[ADDRESS_TEXT], uid[16], names[SERVICES * 8] = "", uids[SERVICES * 8] = "";
	struct address address = support_address(address_name(a, ip));
	if (!r->exists) {
		model_drop_record(&w->model, &address);
		return;
	}
	for (int i = 0; i < r->n; i++) {
		snprintf(names + strlen(names), 8, "%sn%d/s%d", i ? "," : "", w->services[r->services[i]].ns, r->services[i]);
		snprintf(uids + strlen(uids), 8, "%s%u", i ? "," : "", r->uids[i]);
	}
	snprintf(uid, sizeof(uid), "%u", r->uid);
	model_put_record(&w->model, support_record_new((struct support_record){.address = ip, .services = names, .uids = uids, .uid = uid, .version = r->version}), true);
}

static void put_pool(struct world *w, int i)
{
	const struct world_pool *p = &w->pools[i];
	char name[8], *addresses = mem_strdup(""), *rest, one[ADDRESS_TEXT], two[ADDRESS_TEXT];
	bool any = false;
	snprintf(name, sizeof(name), "p%d", i);
	for (int j = SEGMENTS - 1; j >= 0; j--) {   /* not in the order of addresses: that of the pool counts */
		if (!p->segments[j])
			continue;
		char *longer = mem_printf("%s%s'%s-%s'", addresses, any ? ", " : "", address_name(4 * j, one), address_name(4 * j + 3, two));
		free(addresses);
		addresses = longer;
		any = true;
	}
	if (!p->exists || !any) {
		model_drop_pool(&w->model, name);
		free(addresses);
		return;
	}
	rest = mem_strdup("");
	if (p->restricted) {
		free(rest);
		rest = mem_printf(", 'serviceAllocation': {'priority': %d%s%s%s}", p->priority, p->only_ns == 0 ? ", 'namespaces': ['n0']" : p->only_ns == 1 ? ", 'namespaces': ['n1']" : "",
				  p->only_team == 0 ? ", 'namespaceSelectors': [{'matchLabels': {'team': 't0'}}]" : p->only_team == 1 ? ", 'namespaceSelectors': [{'matchLabels': {'team': 't1'}}]" : "",
				  p->gold == 1 ? ", 'serviceSelectors': [{'matchLabels': {'tier': 'gold'}}]" : "");
	}
	char *spec = mem_printf("'addresses': [%s], 'autoAssign': %s, 'avoidBuggyIPs': %s%s", addresses, p->manual ? "false" : "true", p->avoid_buggy ? "true" : "false", rest);
	support_pool(&w->model, name, spec);
	free(spec);
	free(rest);
	free(addresses);
}

static void put_namespace(struct world *w, int i)
{
	char label[32];
	snprintf(label, sizeof(label), "'team': 't%d'", w->team[i]);
	support_namespace(&w->model, i ? "n1" : "n0", label);
}

static void start(struct world *w)
{
	model_init(&w->model, "", false);
	w->allocator = allocator_new(&w->model);
	/* Delivered in any order. */
	unsigned turn = pick(w, 7);
	for (unsigned i = 0; i < 7; i++)
		switch ((turn + i) % 4) {
		case 0:
			for (int j = 0; j < POOLS; j++)
				put_pool(w, j);
			break;
		case 1:
			for (int j = 0; j < SERVICES; j++)
				put_service(w, j);
			break;
		case 2:
			for (int j = 0; j < ADDRESSES; j++)
				put_record(w, j);
			break;
		default:
			put_namespace(w, 0);
			put_namespace(w, 1);
		}
}

static void stop(struct world *w)
{
	allocator_free(w->allocator);
	model_free(&w->model);
}

/* ---- the rules, by brute force ---- */

static int pool_at(const struct world *w, int a)
{
	for (int i = 0; i < POOLS; i++)
		if (w->pools[i].exists && w->pools[i].segments[a / 4] && !(w->pools[i].avoid_buggy && BUGGY(a)))
			return i;
	return -1;
}

static bool is_admitted(const struct world *w, int pool, const struct world_service *s)
{
	const struct world_pool *p = &w->pools[pool];
	if (!p->restricted)
		return true;
	if ((p->only_ns >= 0 || p->only_team >= 0) && p->only_ns != s->ns && p->only_team != w->team[s->ns])
		return false;
	return p->gold != 1 || s->gold;
}

static bool may_share(const struct sharing_facts *a, const struct sharing_facts *b)
{
	return a->key && a->key == b->key && a->local == b->local && (!a->local || a->selector == b->selector) && !(a->ports & b->ports);
}

static bool shows(const struct world_service *s, int a)
{
	return (s->n_shown > 0 && s->shown[0] == a) || (s->n_shown > 1 && s->shown[1] == a);
}

static bool is_free_for(const struct world *w, int i, int a)
{
	for (int j = 0; j < SERVICES; j++) {
		const struct world_service *other = &w->services[j];
		if (j != i && other->exists && shows(other, a) && (other->foreign_class || !may_share(&w->services[i].facts, &other->facts)))
			return false;
	}
	return true;
}

static bool wants(const struct world_service *s, int family)
{
	return s->families[0] == family || (s->n_families == 2 && s->families[1] == family);
}

/* The set may stand in the Service's status: one pool, the one asked for, families, sharing. */
static bool is_valid(const struct world *w, int i, const int *set, int n)
{
	const struct world_service *s = &w->services[i];
	int pool = -1;
	for (int j = 0; j < n; j++) {
		int p = pool_at(w, set[j]);
		if (p < 0 || (j && p != pool) || !is_admitted(w, p, s) || (s->ask_pool >= 0 && p != s->ask_pool) || !wants(s, family_of(set[j])) || !is_free_for(w, i, set[j]))
			return false;
		pool = p;
	}
	return n == 1 || (n == 2 && family_of(set[0]) != family_of(set[1]));
}

/* The first address of that family by a linear search in the pool's own order; -1: none. */
static int first_in(const struct world *w, int i, int pool, int family)
{
	for (int j = SEGMENTS - 1; j >= 0; j--)
		for (int a = 4 * j; a < 4 * j + 4; a++)
			if (pool_at(w, a) == pool && family_of(a) == family && is_free_for(w, i, a))
				return a;
	return -1;
}

static int compare_pools(const struct world *w, int a, int b)
{
	int x = w->pools[a].priority, y = w->pools[b].priority;
	if (w->pools[a].restricted && x != y)
		return x == 0 ? 1 : y == 0 ? -1 : x - y;
	return a - b;
}

/* The pools of one list, in the order in which they are tried. */
static int list_pools(const struct world *w, int i, bool restricted, int *list)
{
	const struct world_service *s = &w->services[i];
	int n = 0;
	for (int p = 0; p < POOLS; p++) {
		const struct world_pool *q = &w->pools[p];
		if (!q->exists || !is_admitted(w, p, s) || (s->ask_pool >= 0 ? p != s->ask_pool || restricted : q->manual || q->restricted != restricted))
			continue;
		list[n++] = p;
	}
	for (int x = 0; x < n; x++)
		for (int y = x + 1; y < n; y++)
			if (compare_pools(w, list[x], list[y]) > 0) {
				int t = list[x];
				list[x] = list[y];
				list[y] = t;
			}
	return n;
}

/* What a Service that has nothing must get; returns how many addresses. */
static int expected(const struct world *w, int i, int *set)
{
	const struct world_service *s = &w->services[i];
	int list[POOLS], one;
	if (s->policy == POLICY_REQUIRE && s->n_families < 2)
		return 0;
	if (s->n_ask) {
		memcpy(set, s->ask, 2 * sizeof(int));
		return s->n_ask == s->n_families && is_valid(w, i, set, s->n_ask) ? s->n_ask : 0;
	}
	for (int restricted = 1; restricted >= 0; restricted--) {
		int n = list_pools(w, i, restricted, list);
		for (int k = 0; k < n; k++) {
			int got = 0;
			for (int f = 0; f < s->n_families; f++)
				if ((one = first_in(w, i, list[k], s->families[f])) >= 0)
					set[got++] = one;
			if (got == s->n_families)
				return got;
		}
		for (int f = 0; f < s->n_families && s->n_families == 2 && s->policy != POLICY_REQUIRE && s->policy != POLICY_SINGLE; f++)
			for (int k = 0; k < n; k++)
				if ((set[0] = first_in(w, i, list[k], s->families[f])) >= 0)
					return 1;
	}
	return 0;
}

static bool same(const int *a, int n, const int *b, int k)
{
	if (n != k)
		return false;
	return n == 0 || (n == 1 && a[0] == b[0]) || (n == 2 && ((a[0] == b[0] && a[1] == b[1]) || (a[0] == b[1] && a[1] == b[0])));
}

/* ---- carrying out ---- */

static int service_number(const char *key)
{
	return atoi(strchr(key, '/') + 2);
}

static void touch_service(struct world *w, int i)
{
	w->services[i].version = ++w->version;
	put_service(w, i);
}

static void touch_record(struct world *w, int a)
{
	w->records[a].version = ++w->version;
	put_record(w, a);
}

static void join_record(struct world *w, int a, int i)
{
	struct world_record *r = &w->records[a];
	int n = 0;
	for (int j = 0; j < r->n; j++)
		if (r->services[j] != i) {
			r->services[n] = r->services[j];
			r->uids[n++] = r->uids[j];
		}
	r->services[n] = i;
	r->uids[n++] = w->services[i].uid;
	r->n = n;
	touch_record(w, a);
}

static void write_status(struct world *w, int i, const struct allocation *a)
{
	struct world_service *s = &w->services[i];
	for (size_t j = 0; j < a->n; j++) {
		int ip = address_index(&a->addresses[j]);
		if (!shows(s, ip) && !is_free_for(w, i, ip))
			FAIL(w, "s%d is about to show address %d, which another shows", i, ip);
		if (!w->records[ip].exists)
			FAIL(w, "s%d is about to show address %d, which has no record", i, ip);
	}
	s->n_shown = (int)a->n;
	for (size_t j = 0; j < a->n; j++)
		s->shown[j] = address_index(&a->addresses[j]);
	s->from_pool = a->pool ? atoi(a->pool + 1) : -1;
	touch_service(w, i);
}

static void carry_out(struct world *w, const struct allocation *a)
{
	int i = service_number(a->service), ip = address_index(&a->address);
	switch (a->step) {
	case ALLOCATION_SETTLED:
		break;
	case ALLOCATION_CREATE:
		if (w->records[ip].exists)
			FAIL(w, "a record is created that exists");
		w->records[ip] = (struct world_record){.exists = true, .uid = ++w->uids, .services = {i}, .uids = {w->services[i].uid}, .n = 1};
		touch_record(w, ip);
		break;
	case ALLOCATION_JOIN:
		join_record(w, ip, i);
		break;
	case ALLOCATION_STATUS:
		write_status(w, i, a);
		break;
	}
}

static void release(struct world *w, const struct record *r)
{
	int ip = address_index(&r->address), n = 0;
	struct world_record *record = &w->records[ip];
	for (size_t i = 0; i < r->n_services; i++)
		if (allocator_needs(w->allocator, r, i)) {
			record->services[n] = record->services[i];
			record->uids[n++] = record->uids[i];
		}
	record->n = n;
	record->exists = n > 0;
	touch_record(w, ip);
}

/* One write of those that could be made now; false: there is none. */
static bool step(struct world *w)
{
	int64_t wake;
	allocator_plan(w->allocator, w->now, &wake);
	while (allocator_next_news(w->allocator))
		;
	const struct allocation *a = allocator_next_open(w->allocator, NULL);
	const struct record *r = allocator_next_release(w->allocator, NULL);
	for (unsigned skip = pick(w, 3); a && skip && allocator_next_open(w->allocator, a); skip--)
		a = allocator_next_open(w->allocator, a);
	if (a && (!r || chance(w, 70)))
		carry_out(w, a);
	else if (r)
		release(w, r);
	return a || r;
}

/* ---- what must hold at rest ---- */

static void check_sharing(struct world *w)
{
	for (int i = 0; i < SERVICES; i++)
		for (int j = 0; j < w->services[i].n_shown && w->services[i].exists && !w->services[i].foreign_class; j++)
			if (!is_free_for(w, i, w->services[i].shown[j]))
				FAIL(w, "promise 1: address %d", w->services[i].shown[j]);
}

static bool facts_equal(const struct sharing_facts *a, const struct sharing_facts *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Nobody's sharing changed since the last rest: else it is not said who of those that share has to go. */
static bool sharing_is_as_it_was(const struct world *w)
{
	for (int i = 0; i < SERVICES; i++)
		if (w->services[i].exists && w->before[i].exists && !facts_equal(&w->services[i].facts, &w->before[i].facts))
			return false;
	return true;
}

static void check_kept(struct world *w, int i)
{
	const struct world_service *s = &w->services[i], *b = &w->before[i];
	int kept[2], n = 0, any[2];
	if (!b->exists || b->uid != s->uid || b->n_shown == 0 || s->foreign_class || b->foreign_class || !sharing_is_as_it_was(w))
		return;
	if (s->policy == POLICY_REQUIRE && s->n_families < 2)
		return;
	for (int j = 0; j < b->n_shown; j++)
		if (wants(s, family_of(b->shown[j])))
			kept[n++] = b->shown[j];
	if (n == 0 || !is_valid(w, i, kept, n) || (n < s->n_families && s->policy != POLICY_PREFER))
		return;
	if (s->n_ask && !same(kept, n, s->ask, s->n_ask) && expected(w, i, any))
		return;
	for (int j = 0; j < n; j++)
		if (!shows(s, kept[j]))
			FAIL(w, "promise 2: s%d has lost address %d", i, kept[j]);
}

static void check_waiting(struct world *w, int i)
{
	const struct world_service *s = &w->services[i];
	int set[2];
	int n = expected(w, i, set);
	if (s->n_shown == 0 && n)
		FAIL(w, "s%d waits while address %d is free for it", i, set[0]);
	if (s->n_shown && s->n_ask && n && !same(s->shown, s->n_shown, s->ask, s->n_ask))
		FAIL(w, "s%d does not get what it asks for, which is free", i);
	if (s->n_shown == 1 && s->n_families == 2 && s->policy == POLICY_PREFER && !s->n_ask &&
	    first_in(w, i, pool_at(w, s->shown[0]), family_of(s->shown[0]) == 4 ? 6 : 4) >= 0)
		FAIL(w, "s%d has one address, and a second is free", i);
	if (s->n_shown && !is_valid(w, i, s->shown, s->n_shown))
		FAIL(w, "s%d shows what it may not have", i);
	if (s->n_shown && s->n_shown < s->n_families && s->policy != POLICY_PREFER)
		FAIL(w, "s%d has too few", i);
}

static void check_counters(struct world *w)
{
	for (int p = 0; p < POOLS; p++) {
		char name[8];
		int used[2] = {0, 0};
		snprintf(name, sizeof(name), "p%d", p);
		for (int a = 0; a < ADDRESSES; a++) {
			bool one = false;
			for (int i = 0; i < SERVICES; i++)
				one |= w->services[i].exists && !w->services[i].foreign_class && shows(&w->services[i], a);
			used[family_of(a) == 6] += one && pool_at(w, a) == p;
		}
		if (allocator_in_use(w->allocator, name, ADDRESS_V4) != used[0] || allocator_in_use(w->allocator, name, ADDRESS_V6) != used[1])
			FAIL(w, "pool p%d counts %d and %d, but it is %d and %d", p, (int)allocator_in_use(w->allocator, name, ADDRESS_V4),
			     (int)allocator_in_use(w->allocator, name, ADDRESS_V6), used[0], used[1]);
	}
}

static void check_records(struct world *w)
{
	for (int a = 0; a < ADDRESSES; a++) {
		const struct world_record *r = &w->records[a];
		int users = 0;
		for (int i = 0; i < SERVICES; i++) {
			bool shown = w->services[i].exists && !w->services[i].foreign_class && shows(&w->services[i], a), named = false;
			for (int j = 0; j < r->n && r->exists; j++)
				named |= r->services[j] == i && r->uids[j] == w->services[i].uid;
			if (shown != named)
				FAIL(w, "address %d: s%d shows it %d, its record names it %d", a, i, shown, named);
			users += shown;
		}
		if (r->exists && r->n != users)
			FAIL(w, "address %d: a record names %d, %d use it", a, r->n, users);
	}
}

static void check_lowest(struct world *w, int i, const int *set, int n)
{
	const struct world_service *s = &w->services[i];
	if (!same(set, n, s->shown, s->n_shown))
		FAIL(w, "s%d was alone in asking: it got %d:%d,%d, a linear search finds %d:%d,%d", i, s->n_shown, s->shown[0], s->shown[1], n, set[0], set[1]);
}

static void check_fixpoint(struct world *w)
{
	int64_t wake;
	stop(w);
	start(w);
	allocator_plan(w->allocator, w->now, &wake);
	if (allocator_next_open(w->allocator, NULL) || allocator_next_release(w->allocator, NULL))
		FAIL(w, "after a restart there is something to write");
}

static void rest(struct world *w)
{
	int set[2] = {-1, -1}, n = -1;
	const struct world_service *alone = w->last >= 0 ? &w->services[w->last] : NULL;
	if (alone && alone->exists && !alone->foreign_class && alone->n_shown == 0)
		n = expected(w, w->last, set);
	for (int rounds = 0; step(w); rounds++) {
		if (rounds > 300)
			FAIL(w, "it does not come to rest");
		if (chance(w, 3)) {   /* a restart in the middle */
			stop(w);
			start(w);
		}
	}
	check_sharing(w);
	if (n >= 0)
		check_lowest(w, w->last, set, n);
	for (int i = 0; i < SERVICES; i++)
		if (w->services[i].exists && !w->services[i].foreign_class) {
			check_kept(w, i);
			check_waiting(w, i);
		}
	check_counters(w);
	check_records(w);
	check_fixpoint(w);
	memcpy(w->before, w->services, sizeof(w->before));
}

/* ---- events ---- */

static void choose_ask(struct world *w, struct world_service *s)
{
	s->n_ask = 0;
	s->ask_pool = -1;
	if (chance(w, 25)) {
		s->n_ask = s->n_families;
		for (int f = 0; f < s->n_families; f++)
			s->ask[f] = s->families[f] == 4 ? (int)pick(w, V4) : V4 + (int)pick(w, ADDRESSES - V4);
	}
	if (chance(w, 15))
		s->ask_pool = (int)pick(w, POOLS);
}

static void choose_families(struct world *w, struct world_service *s)
{
	s->policy = (int)pick(w, 3);
	s->families[0] = chance(w, 70) ? 4 : 6;
	s->families[1] = 10 - s->families[0];
	s->n_families = s->policy == POLICY_SINGLE ? 1 : chance(w, 85) ? 2 : 1;
}

static void choose_facts(struct world *w, struct world_service *s)
{
	memset(&s->facts, 0, sizeof(s->facts));
	s->facts.key = chance(w, 50) ? 1 + (int)pick(w, 2) : 0;
	s->facts.ports = 1 + (int)pick(w, 2);
	s->facts.local = chance(w, 20);
	s->facts.selector = (int)pick(w, 2);
	if (s->facts.ports == 2)
		s->facts.ports = 2 | 4;   /* 4: the other first port, "100" */
	else
		s->facts.ports = 1;
}

static void service_event(struct world *w)
{
	int i = (int)pick(w, SERVICES);
	struct world_service *s = &w->services[i];
	w->last = i;
	if (!s->exists) {
		*s = (struct world_service){.exists = true, .uid = ++w->uids, .born = w->version, .ns = s->ns, .from_pool = -1, .gold = chance(w, 30), .foreign_class = chance(w, 8)};
		choose_families(w, s);
		choose_ask(w, s);
		choose_facts(w, s);
	} else if (chance(w, 35)) {
		s->exists = false;
		w->last = -1;
	} else {
		switch (pick(w, 4)) {
		case 0:
			choose_families(w, s);
			s->n_ask = 0;
			break;
		case 1:
			choose_ask(w, s);
			break;
		case 2:
			choose_facts(w, s);
			w->last = -1;   /* others may fit now */
			break;
		default:
			s->gold = !s->gold;
		}
	}
	touch_service(w, i);
}

static void foreign_event(struct world *w)
{
	int i = (int)pick(w, SERVICES);
	struct world_service *s = &w->services[i];
	w->last = -1;
	if (!s->exists || s->foreign_class)
		return;
	s->n_shown = (int)pick(w, 2);
	s->shown[0] = (int)pick(w, ADDRESSES);
	for (int j = 0; j < SERVICES; j++)   /* a stranger who shows another's address is no test of ours */
		if (j != i && w->services[j].exists && shows(&w->services[j], s->shown[0]))
			s->n_shown = 0;
	touch_service(w, i);
	w->before[i].n_shown = w->before[i].n_shown && w->records[w->before[i].shown[0]].exists ? w->before[i].n_shown : 0;
}

static void pool_event(struct world *w)
{
	int i = (int)pick(w, POOLS);
	struct world_pool *p = &w->pools[i];
	w->last = -1;
	if (!p->exists) {
		*p = (struct world_pool){.exists = true, .manual = chance(w, 20), .avoid_buggy = chance(w, 30), .restricted = chance(w, 40), .only_ns = -1, .only_team = -1, .gold = -1};
		p->priority = (int)pick(w, 3) - 1;
		if (chance(w, 40))
			p->only_ns = (int)pick(w, 2);
		if (chance(w, 30))
			p->only_team = (int)pick(w, 2);
		p->gold = chance(w, 25);
	} else if (chance(w, 15)) {
		*p = (struct world_pool){0};
	} else {
		switch (pick(w, 4)) {
		case 0:
			p->manual = !p->manual;
			break;
		case 1:
			p->avoid_buggy = !p->avoid_buggy;
			break;
		case 2:
			p->priority = (int)pick(w, 3) - 1;
			break;
		default:
			p->restricted = !p->restricted;
		}
	}
	int segment = (int)pick(w, SEGMENTS);   /* grown, shrunk, or taken from another one: split, merge, rename */
	bool has = p->segments[segment];
	for (int j = 0; j < POOLS; j++)
		if (w->pools[j].segments[segment]) {
			w->pools[j].segments[segment] = false;
			put_pool(w, j);
		}
	p->segments[segment] = p->exists && !has;
	bool any = false;
	for (int j = 0; j < SEGMENTS; j++)
		any |= p->segments[j];
	p->exists &= any;
	for (int j = 0; j < POOLS; j++) {
		bool left = false;
		for (int k = 0; k < SEGMENTS; k++)
			left |= w->pools[j].segments[k];
		w->pools[j].exists &= left;
	}
	put_pool(w, i);
}

static void something(struct world *w)
{
	unsigned what = pick(w, 100);
	if (what < 60) {
		service_event(w);
	} else if (what < 85) {
		pool_event(w);
	} else if (what < 92) {
		int ns = (int)pick(w, 2);
		w->team[ns] = !w->team[ns];
		put_namespace(w, ns);
		w->last = -1;
	} else {
		foreign_event(w);
	}
}

static void run(unsigned seed)
{
	struct world *w = mem_zalloc(sizeof(*w));
	w->seed = seed;
	w->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	w->last = -1;
	w->team[1] = 1;
	for (int i = 0; i < SERVICES; i++)
		w->services[i].ns = i % 2;
	start(w);
	for (int i = 0; i < 3; i++)
		pool_event(w);
	for (int i = 0; i < EVENTS; i++) {
		w->now += 700 * CLOCK_S;   /* foreign writes are put right three times a minute */
		something(w);
		if (chance(w, 15)) {
			step(w);           /* the next event comes in the middle: what it forbade for a moment may be lost */
			something(w);
			w->last = -1;
			memset(w->before, 0, sizeof(w->before));
		}
		rest(w);
	}
	stop(w);
	free(w);
}

static void histories(void **state)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	unsigned n = many ? (unsigned)atoi(many) : SEQUENCES;
	(void)state;
	if (one)
		run((unsigned)atoi(one));
	for (unsigned seed = 1; seed <= n && !one; seed++)
		run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(histories)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
