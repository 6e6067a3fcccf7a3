#include "tests/sim/coverage.h"

#include <string.h>

#include "arp/conflict.h"
#include "arp/liveness.h"
#include "config/base/crypto.h"
#include "speaker/ownership.h"
#include "tests/sim/world.h"

#define PLACES 65536   /* of a table of objects and the states they were in; a power of two */

struct coverage coverage;

static struct {
	const void *object;
	unsigned state;
} last[PLACES];
static unsigned char peer_state[HOSTS][HOSTS];

void coverage_begin(void)
{
	memset(last, 0, sizeof(last));
	memset(peer_state, 0, sizeof(peer_state));
}

void coverage_add(struct coverage *to, const struct coverage *from)
{
	for (int i = 0; i < COVERAGE_CORES; i++)
		for (int a = 0; a < COVERAGE_STATES; a++)
			for (int b = 0; b < COVERAGE_STATES; b++)
				to->count[i][a][b] += from->count[i][a][b];
}

static void went(enum coverage_core core, unsigned from, unsigned to)
{
	if (from < COVERAGE_STATES && to < COVERAGE_STATES)
		coverage.count[core][from][to]++;
}

/* ---- ownership ---- */

static size_t place_of(const void *object)
{
	size_t i = ((uintptr_t)object >> 4) * 0x9e3779b1u % PLACES;
	for (size_t n = 0; n < PLACES && last[i].object && last[i].object != object; n++)
		i = (i + 1) % PLACES;
	return i;
}

static void say_step(const struct ownership *o, const struct ownership_view *v, unsigned before, enum ownership_action action)
{
	static const char *const ACTIONS[] = {[OWNERSHIP_NOTHING] = "", [OWNERSHIP_WRITE] = ", writes", [OWNERSHIP_NAME] = ", names", [OWNERSHIP_ABANDON] = ", gives up waiting",
					      [OWNERSHIP_LOOK] = ", looks", [OWNERSHIP_DEFEND] = ", defends", [OWNERSHIP_ASK] = ", asks"};
	static const char *const FATES[] = {[HOLDER_NONE] = "nobody", [HOLDER_ME] = "me", [HOLDER_PRESENT] = "present", [HOLDER_SPEAKER_DOWN] = "speaker down",
					    [HOLDER_DEAD] = "dead", [HOLDER_GONE] = "gone"};
	char ip[ADDRESS_TEXT];
	world_say("%s %s: %s > %s%s%s%s (holder %s by record, epoch %lld, believed %s, fate %s%s%s%s%s%s)", world.here ? world.here->name : "?",
		  address_format(&o->address, ip), ownership_state_name((enum ownership_state)before), ownership_state_name(o->state), ACTIONS[action],
		  action == OWNERSHIP_WRITE || action == OWNERSHIP_NAME ? " " : "", action == OWNERSHIP_WRITE || action == OWNERSHIP_NAME ? o->target : "",
		  v->record ? v->record->holder : "-", v->record ? (long long)v->record->epoch : 0, o->believed ? o->believed : "-", FATES[v->fate],
		  v->api ? "" : ", no API", v->eligible ? "" : ", not eligible", v->connected ? "" : ", not connected", o->from ? ", unrecorded from " : "", o->from ? o->from : "");
}

enum ownership_action __real_ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep);
enum ownership_action __wrap_ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep);
enum ownership_action __wrap_ownership_step(struct ownership *o, const struct ownership_view *v, int64_t now, int64_t *wakep)
{
	size_t i = place_of(o);
	unsigned before = o->state;
	if (last[i].object && last[i].state != before)   /* by an event between two steps */
		went(COVERAGE_OWNERSHIP, last[i].state, before);
	enum ownership_action action = __real_ownership_step(o, v, now, wakep);
	went(COVERAGE_OWNERSHIP, before, o->state);
	if (world.verbose && (before != o->state || action != OWNERSHIP_NOTHING || (last[i].object && last[i].state != before)))
		say_step(o, v, last[i].object ? last[i].state : before, action);
	last[i].object = o;
	last[i].state = o->state;
	return action;
}

void __real_ownership_init(struct ownership *o, const struct address *a, int64_t now);
void __wrap_ownership_init(struct ownership *o, const struct address *a, int64_t now);
void __wrap_ownership_init(struct ownership *o, const struct address *a, int64_t now)
{
	__real_ownership_init(o, a, now);
	size_t i = place_of(o);
	last[i].object = o;
	last[i].state = o->state;
}

/* ---- liveness ---- */

bool __real_liveness_take(struct liveness *l, struct liveness_action *actionp);
bool __wrap_liveness_take(struct liveness *l, struct liveness_action *actionp);
bool __wrap_liveness_take(struct liveness *l, struct liveness_action *actionp)
{
	bool took = __real_liveness_take(l, actionp);
	if (!took || actionp->kind != LIVENESS_CHANGED || !world.here)
		return took;
	const struct host *peer = world_node(actionp->peer);
	if (peer) {
		unsigned char *state = &peer_state[world.here->index][peer->index];
		went(COVERAGE_LIVENESS, *state, actionp->state);
		*state = (unsigned char)actionp->state;
	}
	return took;
}

/* ---- conflict ---- */

unsigned __real_conflict_start(struct conflict *c, enum conflict_claim claim, int64_t now, double random);
unsigned __wrap_conflict_start(struct conflict *c, enum conflict_claim claim, int64_t now, double random);
unsigned __wrap_conflict_start(struct conflict *c, enum conflict_claim claim, int64_t now, double random)
{
	unsigned before = c->state, todo = __real_conflict_start(c, claim, now, random);
	went(COVERAGE_CONFLICT, before, c->state);
	return todo;
}

void __real_conflict_stop(struct conflict *c);
void __wrap_conflict_stop(struct conflict *c);
void __wrap_conflict_stop(struct conflict *c)
{
	unsigned before = c->state;
	__real_conflict_stop(c);
	went(COVERAGE_CONFLICT, before, c->state);
}

unsigned __real_conflict_heard(struct conflict *c, const struct mac *mac, bool probe, enum conflict_who who, int64_t now);
unsigned __wrap_conflict_heard(struct conflict *c, const struct mac *mac, bool probe, enum conflict_who who, int64_t now);
unsigned __wrap_conflict_heard(struct conflict *c, const struct mac *mac, bool probe, enum conflict_who who, int64_t now)
{
	unsigned before = c->state, todo = __real_conflict_heard(c, mac, probe, who, now);
	went(COVERAGE_CONFLICT, before, c->state);
	return todo;
}

unsigned __real_conflict_identified(struct conflict *c, const struct mac *mac, enum conflict_who who, int64_t now);
unsigned __wrap_conflict_identified(struct conflict *c, const struct mac *mac, enum conflict_who who, int64_t now);
unsigned __wrap_conflict_identified(struct conflict *c, const struct mac *mac, enum conflict_who who, int64_t now)
{
	unsigned before = c->state, todo = __real_conflict_identified(c, mac, who, now);
	went(COVERAGE_CONFLICT, before, c->state);
	return todo;
}

unsigned __real_conflict_step(struct conflict *c, int64_t now, double random, int64_t *wakep);
unsigned __wrap_conflict_step(struct conflict *c, int64_t now, double random, int64_t *wakep);
unsigned __wrap_conflict_step(struct conflict *c, int64_t now, double random, int64_t *wakep)
{
	unsigned before = c->state, todo = __real_conflict_step(c, now, random, wakep);
	went(COVERAGE_CONFLICT, before, c->state);
	return todo;
}

/* ---- config/base/crypto.h: the same few names are hashed over and over ---- */

#define HASHED 64
#define HASHES 4096

void __real_sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE]);
void __wrap_sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE]);
void __wrap_sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE])
{
	static struct {
		size_t n;
		char bytes[HASHED];
		uint8_t digest[SHA256_SIZE];
	} known[HASHES];
	uint32_t at = 2166136261u;
	for (size_t i = 0; i < n; i++)
		at = (at ^ ((const uint8_t *)bytes)[i]) * 16777619u;
	at %= HASHES;
	if (n == 0 || n > HASHED) {
		__real_sha256(bytes, n, digest);
		return;
	}
	if (known[at].n != n || memcmp(known[at].bytes, bytes, n) != 0) {
		known[at].n = n;
		memcpy(known[at].bytes, bytes, n);
		__real_sha256(bytes, n, known[at].digest);
	}
	memcpy(digest, known[at].digest, SHA256_SIZE);
}

/* ---- for people ---- */

static const char *ownership_name(unsigned state)
{
	return ownership_state_name((enum ownership_state)state);
}

static const char *liveness_name(unsigned state)
{
	return liveness_state_name((enum liveness_state)state);
}

static const char *conflict_name(unsigned state)
{
	return conflict_state_name((enum conflict_state)state);
}

static const struct {
	const char *name;
	const char *(*state)(unsigned state);
	size_t n;
} CORES[COVERAGE_CORES] = {{"ownership", ownership_name, OWNERSHIP_STATES}, {"liveness", liveness_name, LIVENESS_DEAD + 1}, {"conflict", conflict_name, CONFLICT_STATES}};

/* The transitions that the program has, as "from to to ..."; for liveness all. Not those that a core could make but nobody calls
 * for: a process that ends does not change its mind (stopping > owned), and a segment first stops what was refused. */
static const char *const STEPS[COVERAGE_CORES][12] = {
	[COVERAGE_OWNERSHIP] = {"idle claiming check owned guarding", "claiming owned idle", "check idle owned", "owned idle releasing yielding moving stopping check refused",
				"moving idle owned releasing stopping check refused", "releasing idle owned check refused", "yielding idle owned check refused",
				"stopping idle moving check refused", "guarding idle owned", "refused idle"},
	[COVERAGE_CONFLICT] = {"none probing asking claimed", "probing none claimed doubt waiting refused", "asking none claimed doubt waiting defending",
			       "doubt none claimed waiting refused defending", "waiting none claimed doubt refused defending", "claimed none defending",
			       "defending none claimed refused", "refused none"},
};

/* Why one of them is not to be expected here. */
static const struct {
	enum coverage_core core;
	const char *step, *why;
} REASONS[] = {
	{COVERAGE_CONFLICT, "doubt claimed", "a node must show its links within the 150 ms in which its kernel's answer is not identified"},
	{COVERAGE_OWNERSHIP, "yielding refused", "a stranger must be heard a second time within the fifth of a second it lasts"},
};

static bool has_step(enum coverage_core core, const char *from, const char *to)
{
	if (!STEPS[core][0])
		return strcmp(from, to) != 0;
	for (const char *const *row = STEPS[core]; *row; row++) {
		size_t n = strlen(from);
		if (strncmp(*row, from, n) != 0 || (*row)[n] != ' ')
			continue;
		for (const char *word = *row + n; word; word = strchr(word, ' ')) {
			word++;
			if (strcspn(word, " ") == strlen(to) && strncmp(word, to, strlen(to)) == 0)
				return true;
		}
	}
	return false;
}

static const char *reason(enum coverage_core core, const char *from, const char *to)
{
	char step[64];
	snprintf(step, sizeof(step), "%s %s", from, to);
	for (size_t i = 0; i < sizeof(REASONS) / sizeof(*REASONS); i++)
		if (REASONS[i].core == core && strcmp(REASONS[i].step, step) == 0)
			return REASONS[i].why;
	return "not reached this time";
}

/* Adds to both. */
static void count(const struct coverage *c, enum coverage_core core, unsigned *reachedp, unsigned *allp)
{
	for (unsigned a = 0; a < CORES[core].n; a++)
		for (unsigned b = 0; b < CORES[core].n; b++) {
			bool step = has_step(core, CORES[core].state(a), CORES[core].state(b));
			*allp += step;
			*reachedp += step && c->count[core][a][b];
		}
}

/* What is not in the list: two transitions within one step (moving > owned > yielding), or the list is wrong. */
static void print_unknown(const struct coverage *c, enum coverage_core core, FILE *out)
{
	for (unsigned a = 0; a < CORES[core].n; a++)
		for (unsigned b = 0; b < CORES[core].n; b++) {
			const char *from = CORES[core].state(a), *to = CORES[core].state(b);
			if (a != b && c->count[core][a][b] && !has_step(core, from, to))
				fprintf(out, "  %s > %s: seen, and not in the list (%s)\n", from, to, CORES[core].name);
		}
}

static void print_core(const struct coverage *c, enum coverage_core core, FILE *out)
{
	unsigned states = 0, reached = 0, all = 0;
	count(c, core, &reached, &all);
	for (unsigned a = 0; a < CORES[core].n; a++) {
		uint64_t seen = 0;
		for (unsigned b = 0; b < CORES[core].n; b++)
			seen += c->count[core][b][a] + c->count[core][a][b];
		states += seen > 0;
	}
	fprintf(out, "%s: %u of %zu states, %u of %u transitions%s\n", CORES[core].name, states, CORES[core].n, reached, all, reached < all ? "; not these:" : "");
	for (unsigned a = 0; a < CORES[core].n; a++)
		for (unsigned b = 0; b < CORES[core].n; b++) {
			const char *from = CORES[core].state(a), *to = CORES[core].state(b);
			if (!c->count[core][a][b] && has_step(core, from, to))
				fprintf(out, "  %s > %s: %s\n", from, to, reason(core, from, to));
		}
}

void coverage_print(const struct coverage *c, FILE *out)
{
	for (int i = 0; i < COVERAGE_CORES; i++)
		print_core(c, (enum coverage_core)i, out);
}

bool coverage_enough(const struct coverage *c, FILE *out)
{
	unsigned reached = 0, all = 0;
	for (int i = 0; i < COVERAGE_CORES; i++) {
		count(c, (enum coverage_core)i, &reached, &all);
		print_unknown(c, (enum coverage_core)i, out);
	}
	unsigned least = all - all * COVERAGE_LISTED / 100;
	fprintf(out, "transitions: %u of %u; %u must be reached by %d schedules of all rows\n", reached, all, least, COVERAGE_SCHEDULES);
	return reached >= least;
}
