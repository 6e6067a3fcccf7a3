/* Random histories of Services, pools and namespaces, with controller restarts at random points and foreign writes, against a
 * brute-force view of the same rules that shares no code with the allocator. After each event, once at rest:
 *   promise 1   two Services have one address only if they may share it
 *   promise 2   a Service keeps what it has, unless its own spec or its pool forbids it
 *   no waiting  nobody lacks what could be had
 *   lowest      who is alone in asking gets what a linear search finds
 *   counters    pools count what is there
 *   fixpoint    a restart finds nothing to write; each address shown has its record, and there is no other record
 * A failing seed prints itself; SEED=n replays it alone, SEEDS=n runs so many. Each processor takes its share of the seeds. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/allocator_world.h"

#ifdef __SANITIZE_ADDRESS__
#define SEQUENCES 1500        /* ten times slower; the plain build runs them all */
#else
#define SEQUENCES 10000
#endif
#define EVENTS 14

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

/* A share of the seeds, in a process of its own. */
static pid_t begin_share(unsigned first, unsigned last, unsigned every)
{
	char text[64];
	pid_t pid = fork();
	if (pid)
		return pid;
	snprintf(text, sizeof(text), "%u %u %u", first, last, every);
	setenv("SHARE", text, 1);
	execl("/proc/self/exe", "test_allocator_property", (char *)NULL);
	_exit(127);
}

/* Outside of a cmocka test what fails is told and ends the process, with a code. */
static int run_share(const char *share)
{
	unsigned seed, last, every;
	if (sscanf(share, "%u %u %u", &seed, &last, &every) != 3)
		return 1;
	for (; seed <= last; seed += every)
		run(seed);
	return 0;
}

static void histories(void **state)
{
	enum { MOST = 16 };
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	unsigned n = many ? (unsigned)atoi(many) : SEQUENCES, bad = 0;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned shares = processors < 1 ? 1 : processors > MOST ? MOST : (unsigned)processors;
	pid_t pids[MOST];
	(void)state;
	if (one) {
		run((unsigned)atoi(one));
		return;
	}
	for (unsigned i = 0; i < shares; i++)
		pids[i] = begin_share(1 + i, n, shares);
	for (unsigned i = 0; i < shares; i++) {
		int status = -1;
		bad += pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i] || status != 0;
	}
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(histories)};
	const char *ours = getenv("SHARE");
	return ours ? run_share(ours) : cmocka_run_group_tests(tests, NULL, NULL);
}
