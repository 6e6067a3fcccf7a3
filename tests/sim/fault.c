#include "tests/sim/fault.h"

#include "tests/sim/link.h"
#include "tests/sim/objects.h"
#include "tests/sim/observer.h"
#include "tests/sim/server.h"
#include "tests/sim/stranger.h"
#include "tests/sim/wire.h"

#define LATE 10   /* ms: a client waits so long for an answer without noticing */

static const struct schedule *schedule;
static int64_t lasts_until[FAULTS];   /* of those that go on by themselves */

static const char *const NAMES[FAULT_KINDS] = {"loses power", "is killed", "gets SIGTERM", "is stopped", "is cut off", "loses its carrier", "one way",
					       "is deaf", "is mute", "split", "API server away", "cut from the API", "loss", "Node removed", "stands still", "new Services", "is drained", "a move is asked for", "runs another load balancer", "a stranger",
					       "other endpoints", "a Service is deleted", "an address is shared", "is not ready", "is excluded", "is preferred", "a record is written by hand", "busy machines"};

void fault_start_process(struct host *h)
{
	process_start(h, PROCESS_SPEAKER | (schedule->controllers && h->index < 2 ? PROCESS_CONTROLLER : 0));
}

static void power(struct host *h, bool on)
{
	if (h->powered == on)
		return;
	if (!on)
		process_kill(h);
	h->powered = on;
	if (on)
		fault_start_process(h);
}

static void restart(struct host *h)
{
	if (h->powered && !h->process)
		fault_start_process(h);
}

static void on_restart(void *data, uint64_t arg)
{
	(void)arg;
	restart(data);
}

static int64_t restart_after[HOSTS];

static void on_ended(struct host *h)
{
	if (restart_after[h->index] != NEVER_BACK)
		world_at(world.now + restart_after[h->index], on_restart, h, 0);
}

static void carrier(struct host *h, bool on)
{
	h->carrier = on;
	h->carrier_ups += on;
	link_carrier_changed(h);
}

static void cut_node(unsigned a, bool in, bool out, int by)
{
	for (unsigned i = 0; i < world.n_hosts; i++) {
		if (i == a)
			continue;
		if (out)
			wire_cut(a, i, by);
		if (in)
			wire_cut(i, a, by);
	}
}

static void split(const struct fault *f, int by)
{
	for (unsigned i = 0; i < world.n_hosts; i++) {
		bool there = i < world.n_nodes && (f->mask >> i & 1);
		for (unsigned k = 0; k < world.n_hosts; k++)
			if (there != (k < world.n_nodes && (f->mask >> k & 1)))
				wire_cut(i, k, by);
		if (i < world.n_nodes && !(f->value & (there ? 2 : 1)))
			server_cut(&world.hosts[i], by);
	}
}

static void lose(const struct fault *f, bool on)
{
	for (unsigned i = 0; i < world.n_hosts; i++)
		if (i == f->a || f->a == HOSTS) {
			world.hosts[i].loss = on ? f->value / 1000. : 0;
			world.hosts[i].jitter = on ? f->b * CLOCK_MS : 0;
			world.hosts[i].duplicates = on ? f->value / 2000. : 0;
		}
}

static void pause_machine(const struct fault *f, bool begins)
{
	struct host *h = &world.hosts[f->a];
	cut_node(f->a, true, true, begins ? 1 : -1);
	server_cut(h, begins ? 1 : -1);
	if (begins) {
		process_stop(h);
		return;
	}
	if (f->value)
		h->offset -= f->lasts;
	process_continue(h);
}

static void other_balancer(const struct fault *f, bool begins)
{
	struct host *h = &world.hosts[f->a];
	h->extra = begins ? world.addresses[f->value] : 0;
	if (begins && h->loss > 0)   /* who does not answer for himself when asked */
		stranger_note(h->extra);
	if (!begins)
		return;
	process_kill(h);
	objects_forget_links(h);
}

static void begin_wish(const struct fault *f)
{
	if (f->kind == FAULT_DRAIN)
		objects_drain(&world.hosts[f->a], true);
	else if (f->kind == FAULT_MOVE)
		objects_move(world.addresses[f->value], &world.hosts[f->b]);
	else if (f->kind == FAULT_STRANGER)
		stranger_begin(f);
	else if (f->kind == FAULT_OTHER)
		other_balancer(f, true);
	else if (f->kind == FAULT_SERVICES)
		for (int i = 0; i < f->value; i++)
			objects_make_service(world.n_addresses - schedule->spare - (unsigned)f->value + (unsigned)i, NULL, false);
}

static void on_flap(void *data, uint64_t n)
{
	const struct fault *f = data;
	if (world.now >= lasts_until[f - schedule->faults])
		return;
	objects_set_endpoints((unsigned)f->value, n & 1 ? f->mask ^ UINT64_C(1) << f->a : f->mask);
	observer_cluster_changed();
	world_at(world.now + f->b * CLOCK_MS, on_flap, data, n + 1);
}

static void set_endpoints(const struct fault *f, bool begins)
{
	objects_set_endpoints((unsigned)f->value, begins ? f->mask : ALL_NODES);
	if (!begins || !f->b)
		return;
	lasts_until[f - schedule->faults] = f->lasts == NEVER_BACK ? CLOCK_NEVER : world.now + f->lasts;
	world_at(world.now + f->b * CLOCK_MS, on_flap, (void *)f, 1);
}

static int64_t busy_since[HOSTS];

static void busy(const struct fault *f, unsigned node);

static void on_free(void *data, uint64_t node)
{
	struct host *h = &world.hosts[node];
	if (h->process && h->process->stopped_at == busy_since[node])   /* not by another fault */
		process_continue(h);
	busy(data, (unsigned)node);
}

static void on_busy(void *data, uint64_t node)
{
	const struct fault *f = data;
	struct host *h = &world.hosts[node];
	if (world.now >= lasts_until[f - schedule->faults])
		return;
	if (!h->powered || !h->process || h->process->stopped) {
		busy(f, (unsigned)node);
		return;
	}
	process_stop(h);
	busy_since[node] = world.now;
	h->process->late = f->value <= LATE;
	world_at(world.now + chance_between(&world.chance, 0, f->value * CLOCK_MS), on_free, data, node);
}

static void busy(const struct fault *f, unsigned node)
{
	world_at(world.now + chance_between(&world.chance, 0, f->b * CLOCK_MS), on_busy, (void *)f, node);
}

static void begin_busy(const struct fault *f)
{
	lasts_until[f - schedule->faults] = f->lasts == NEVER_BACK ? CLOCK_NEVER : world.now + f->lasts;
	for (unsigned i = 0; i < world.n_nodes; i++)
		if (f->mask >> i & 1)
			busy(f, i);
}

/* What others do in the cluster. */
static void change_cluster(const struct fault *f, bool begins)
{
	const struct host *h = &world.hosts[f->a < HOSTS ? f->a : 0];
	if (f->kind == FAULT_ENDPOINTS)
		set_endpoints(f, begins);
	else if (f->kind == FAULT_DELETE && begins)
		objects_delete_service((unsigned)f->value);
	else if (f->kind == FAULT_DELETE)
		objects_make_service_again((unsigned)f->value);
	else if (f->kind == FAULT_SHARE && begins)
		objects_share_address((unsigned)f->value);
	else if (f->kind == FAULT_SHARE)
		objects_delete_service((unsigned)f->value + SHARING);
	else if (f->kind == FAULT_NOT_READY)
		objects_set_ready(h, !begins);
	else if (f->kind == FAULT_EXCLUDE)
		objects_exclude(h, begins);
	else if (f->kind == FAULT_PREFER)
		objects_prefer(h, begins);
	else if (f->kind == FAULT_RECORD)
		objects_write_holder(world.addresses[f->value], &world.hosts[f->b]);
	observer_cluster_changed();
}

static void begin(const struct fault *f)
{
	struct host *h = &world.hosts[f->a < HOSTS ? f->a : 0];
	switch (f->kind) {
	case FAULT_DIE:
		power(h, false);
		break;
	case FAULT_KILL:
		process_kill(h);
		break;
	case FAULT_TERM:
		restart_after[f->a] = f->lasts;
		process_terminate(h, on_ended);
		break;
	case FAULT_STOP:
		process_stop(h);
		break;
	case FAULT_CUT:
	case FAULT_DEAF:
	case FAULT_MUTE:
		cut_node(f->a, f->kind != FAULT_MUTE, f->kind != FAULT_DEAF, 1);
		break;
	case FAULT_CARRIER:
		carrier(h, false);
		break;
	case FAULT_ONE_WAY:
		wire_cut(f->a, f->b, 1);
		break;
	case FAULT_SPLIT:
		split(f, 1);
		break;
	case FAULT_API:
		server_set_up(false);
		break;
	case FAULT_API_CUT:
		server_cut(h, 1);
		break;
	case FAULT_LOSS:
		lose(f, true);
		break;
	case FAULT_REMOVE:
		objects_remove_node(h);
		break;
	case FAULT_PAUSE:
		pause_machine(f, true);
		break;
	case FAULT_SERVICES:
	case FAULT_DRAIN:
	case FAULT_MOVE:
	case FAULT_OTHER:
	case FAULT_STRANGER:
		begin_wish(f);
		break;
	case FAULT_ENDPOINTS:
	case FAULT_DELETE:
	case FAULT_SHARE:
	case FAULT_NOT_READY:
	case FAULT_EXCLUDE:
	case FAULT_PREFER:
	case FAULT_RECORD:
		change_cluster(f, true);
		break;
	case FAULT_BUSY:
		begin_busy(f);
		break;
	case FAULT_KINDS:
		break;
	}
	if ((f->kind == FAULT_CUT || f->kind == FAULT_CARRIER) && f->value)
		server_cut(h, 1);
}

static void end(const struct fault *f)
{
	struct host *h = &world.hosts[f->a < HOSTS ? f->a : 0];
	switch (f->kind) {
	case FAULT_DIE:
		power(h, true);
		break;
	case FAULT_KILL:
		restart(h);
		break;
	case FAULT_STOP:
		process_continue(h);
		break;
	case FAULT_CUT:
	case FAULT_DEAF:
	case FAULT_MUTE:
		cut_node(f->a, f->kind != FAULT_MUTE, f->kind != FAULT_DEAF, -1);
		break;
	case FAULT_CARRIER:
		carrier(h, true);
		break;
	case FAULT_ONE_WAY:
		wire_cut(f->a, f->b, -1);
		break;
	case FAULT_SPLIT:
		split(f, -1);
		break;
	case FAULT_API:
		if (f->value)
			server_compact();
		server_set_up(true);
		break;
	case FAULT_API_CUT:
		server_cut(h, -1);
		break;
	case FAULT_LOSS:
		lose(f, false);
		break;
	case FAULT_PAUSE:
		pause_machine(f, false);
		break;
	case FAULT_DRAIN:
		objects_drain(h, false);
		break;
	case FAULT_OTHER:
		other_balancer(f, false);
		break;
	case FAULT_STRANGER:
		stranger_end(f);
		break;
	case FAULT_ENDPOINTS:
	case FAULT_DELETE:
	case FAULT_SHARE:
	case FAULT_NOT_READY:
	case FAULT_EXCLUDE:
	case FAULT_PREFER:
		change_cluster(f, false);
		break;
	case FAULT_RECORD:
	case FAULT_TERM:
	case FAULT_REMOVE:
	case FAULT_SERVICES:
	case FAULT_MOVE:
	case FAULT_BUSY:
	case FAULT_KINDS:
		break;
	}
	if ((f->kind == FAULT_CUT || f->kind == FAULT_CARRIER) && f->value)
		server_cut(h, -1);
}

/* Happens to a node. */
static bool has_subject(const struct fault *f)
{
	switch (f->kind) {
	case FAULT_API:
	case FAULT_SPLIT:
	case FAULT_MOVE:
	case FAULT_STRANGER:
	case FAULT_SERVICES:
	case FAULT_ENDPOINTS:
	case FAULT_DELETE:
	case FAULT_SHARE:
	case FAULT_RECORD:
	case FAULT_BUSY:
		return false;
	default:
		return f->a < world.n_hosts;
	}
}

static void on_fault(void *data, uint64_t ends)
{
	const struct fault *f = &schedule->faults[(uintptr_t)data];
	world_say("---- %s %s%s", has_subject(f) ? world.hosts[f->a].name : "", NAMES[f->kind], ends ? ": over" : "");
	if (ends)
		end(f);
	else
		begin(f);
	observer_dirty();
}

void fault_plan(const struct schedule *s, int64_t from)
{
	schedule = s;
	stranger_reset();
	for (unsigned i = 0; i < s->n_faults; i++) {
		const struct fault *f = &s->faults[i];
		if (!schedule_has(s, i))
			continue;
		world_at(from + f->at, on_fault, (void *)(uintptr_t)i, 0);
		if (f->lasts != NEVER_BACK && f->kind != FAULT_TERM)
			world_at(from + f->at + f->lasts, on_fault, (void *)(uintptr_t)i, 1);
	}
}

/* ---- for people ---- */

static void print_one(const struct fault *f, FILE *out)
{
	fprintf(out, "  %9.1f ms  ", (double)f->at / 1e3);
	if (f->kind == FAULT_SPLIT)
		fprintf(out, "split: nodes 0x%llx apart, API for %s", (unsigned long long)f->mask,
			f->value == 3 ? "all" : f->value == 2 ? "these" : f->value == 1 ? "the others" : "nobody");
	else if (f->kind == FAULT_ONE_WAY)
		fprintf(out, "n%u is not heard by n%u", f->a, f->b);
	else if (f->kind == FAULT_API)
		fprintf(out, "API server away%s", f->value ? ", compacted" : "");
	else if (f->kind == FAULT_LOSS)
		fprintf(out, "%s%u: %.1f %% loss, %u ms jitter", f->a == HOSTS ? "all " : "n", f->a, f->value / 10., f->b);
	else if (f->kind == FAULT_MOVE)
		fprintf(out, "10.99.10.%d is to move to n%u", f->value, f->b);
	else if (f->kind == FAULT_STRANGER)
		fprintf(out, "%s stranger uses 10.99.10.%d, announces it %s, %u", f->a == 1 ? "another" : "a", f->value, f->b ? "every ms" : "twice", f->b);
	else if (f->kind == FAULT_ENDPOINTS)
		fprintf(out, "s%d has endpoints on nodes 0x%llx only%s, n%u, every %u ms", f->value, (unsigned long long)f->mask, f->b ? ", one flaps" : "", f->a, f->b);
	else if (f->kind == FAULT_DELETE || f->kind == FAULT_SHARE)
		fprintf(out, "s%d %s", f->value, f->kind == FAULT_DELETE ? "is deleted" : "shares its address with another");
	else if (f->kind == FAULT_RECORD)
		fprintf(out, "n%u is written into the record of 10.99.10.%d by hand", f->b, f->value);
	else if (f->kind == FAULT_SERVICES)
		fprintf(out, "%d new Services", f->value);
	else if (f->kind == FAULT_BUSY)
		fprintf(out, "busy: nodes 0x%llx do not run for up to %d ms, every up to %u ms", (unsigned long long)f->mask, f->value, f->b);
	else
		fprintf(out, "n%u %s%s", f->a, NAMES[f->kind], f->value && f->kind == FAULT_PAUSE ? ", its clock too"
			: f->value && (f->kind == FAULT_CUT || f->kind == FAULT_CARRIER) ? ", from the API too" : "");
	if (f->lasts == NEVER_BACK)
		fprintf(out, ", for good\n");
	else
		fprintf(out, ", %s%.1f ms\n", f->kind == FAULT_TERM ? "started again after " : "for ", (double)f->lasts / 1e3);
}

void schedule_print(const struct schedule *s, FILE *out)
{
	fprintf(out, "  %u nodes, %u addresses, T = %d ms%s%s\n", s->nodes, s->addresses, (int)(s->interval / CLOCK_MS), s->controllers ? ", controllers on n0 and n1" : "",
		s->unheld ? ", nobody holds them yet" : "");
	if (s->without)
		fprintf(out, "  without l2lb: nodes 0x%llx\n", (unsigned long long)s->without);
	if (s->absent | s->dropped_nodes)
		fprintf(out, "  never there: nodes 0x%llx (0x%llx of them without a trace)\n", (unsigned long long)(s->absent | s->dropped_nodes),
			(unsigned long long)s->dropped_nodes);
	for (unsigned i = 0; i < s->addresses && i < 8 && !s->unheld; i++)
		fprintf(out, "  10.99.10.%u is held by n%u\n", i, s->holders[i]);
	for (unsigned i = 0; i < s->n_faults; i++)
		if (schedule_has(s, i))
			print_one(&s->faults[i], out);
}
