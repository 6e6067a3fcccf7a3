/* A small world of Services, pools and namespaces for test_allocator_property.c: how it gets into a model, and what the rules of
 * metallb-l2.md section 2 say about it, by brute force and sharing no code with the allocator. */
#ifndef TESTS_UNIT_ALLOCATOR_WORLD_H
#define TESTS_UNIT_ALLOCATOR_WORLD_H

#include "config/base/clock.h"
#include "speaker/allocator.h"
#include "tests/unit/support.h"

#define SERVICES 6
#define POOLS 4
#define SEGMENTS 6
#define ADDRESSES 24
#define V4 16                 /* addresses 0..15 are IPv4: 10.0.0.248 to 10.0.1.7; the rest fd00::0 to ::7 */
#define BUGGY(a) ((a) == 7 || (a) == 8)

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
	w->allocator = allocator_new(&w->model, NULL);
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

#endif
