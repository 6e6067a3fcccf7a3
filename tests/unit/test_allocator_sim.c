/* Controllers with old views, of which one leads, write to one API server: in any order, with lost answers, crashes, restarts
 * and changes of leadership.
 * Promise 1 at every step: an address is never in the status of two Services. At the end: nothing is left to do. The
 * executor below does what allocation_writes.c does, one request per Service or record at a time. */
#include "config/base/clock.h"
#include "speaker/allocator.h"
#include "tests/unit/support.h"

#define SERVICES 8
#define ADDRESSES 6
#define CONTROLLERS 2
#define EVENTS 4000
#define CALLS 64

struct sim_service {
	bool exists;
	unsigned uid, version, born;
	int asks, shows;        /* address number; -1: none */
};

struct sim_record {
	bool exists;
	unsigned uid, version;
	int service;            /* number */
	unsigned service_uid;
};

struct event {
	bool of_record;
	int number;
	struct sim_service service;
	struct sim_record record;
};

enum call_kind { POST_RECORD, JOIN_RECORD, GET_RECORD, PATCH_STATUS, GET_SERVICE, DELETE_RECORD };

struct call {
	bool used, executed;
	enum call_kind kind;
	int controller;
	unsigned life;          /* of the controller that sent it */
	bool of_record;         /* whose task it is: the record's, else the Service's */
	int address, service, shows;
	unsigned uid, version, record_uid, record_version;
	char known[16];         /* GET_RECORD: uid of the record as it was known then */
	int status;             /* HTTP; 0: no answer */
	struct sim_service got_service;
	struct sim_record got_record;
};

struct controller {
	struct model model;
	struct allocator *allocator;
	unsigned life;
	size_t seen[2];         /* events of Services, of records: two watches */
};

struct sim {
	uint64_t random;
	unsigned version, uids;
	struct sim_service services[SERVICES];
	struct sim_record records[ADDRESSES];
	struct event events[EVENTS];
	size_t n_events;
	struct call calls[CALLS];
	struct controller controllers[CONTROLLERS];
	int n_controllers, leader;
	int64_t now;
	bool calm;              /* no faults any more */
	unsigned seed;
};

static const char *address_text(int number, char text[ADDRESS_TEXT])
{
	snprintf(text, ADDRESS_TEXT, "10.0.0.%d", number + 1);
	return text;
}

static int address_number(const struct address *a)
{
	return (int)(address_to_v4(a) & 0xff) - 1;
}

/* ---- the server ---- */

static void tell(struct sim *s, bool of_record, int number)
{
	assert_true(s->n_events < EVENTS);
	struct event *e = &s->events[s->n_events++];
	*e = (struct event){.of_record = of_record, .number = number};
	if (of_record)
		e->record = s->records[number];
	else
		e->service = s->services[number];
}

static void check_promise(const struct sim *s)
{
	for (int i = 0; i < SERVICES; i++)
		for (int j = 0; j < i; j++)
			if (s->services[i].exists && s->services[j].exists && s->services[i].shows >= 0 && s->services[i].shows == s->services[j].shows)
				fail_msg("seed %u: address %d is in the status of s%d and s%d", s->seed, s->services[i].shows, i, j);
}

static void touch_service(struct sim *s, int number)
{
	s->services[number].version = ++s->version;
	tell(s, false, number);
	check_promise(s);
}

static void touch_record(struct sim *s, int number)
{
	s->records[number].version = ++s->version;
	tell(s, true, number);
}

static int execute(struct sim *s, struct call *c)
{
	struct sim_service *service = &s->services[c->service];
	struct sim_record *r = &s->records[c->address];
	bool same_record = r->exists && r->uid == c->record_uid && r->version == c->record_version;
	switch (c->kind) {
	case POST_RECORD:
		if (r->exists)
			return 409;
		*r = (struct sim_record){.exists = true, .uid = ++s->uids, .service = c->service, .service_uid = c->uid};
		touch_record(s, c->address);
		return 201;
	case JOIN_RECORD:
		if (!same_record)
			return r->exists ? 409 : 404;
		r->service = c->service;
		r->service_uid = c->uid;
		touch_record(s, c->address);
		return 200;
	case GET_RECORD:
		return r->exists ? 200 : 404;
	case PATCH_STATUS:
		if (!service->exists)
			return 404;
		if (service->uid != c->uid || service->version != c->version)
			return 409;
		service->shows = c->shows;
		touch_service(s, c->service);
		return 200;
	case GET_SERVICE:
		return service->exists ? 200 : 404;
	case DELETE_RECORD:
		if (!same_record)
			return r->exists ? 409 : 404;
		r->exists = false;
		touch_record(s, c->address);
		return 200;
	}
	return 500;
}

static void run_call(struct sim *s, struct call *c)
{
	unsigned luck = s->calm ? 100 : support_pick(&s->random, 100);
	c->executed = true;
	if (luck >= 4)   /* else it was lost on its way */
		c->status = execute(s, c);
	if (luck < 8)    /* or its answer */
		c->status = 0;
	c->got_service = s->services[c->service];
	c->got_record = s->records[c->address];
}

/* ---- a controller's model ---- */

static void put_service(struct model *m, int number, const struct sim_service *v)
{
	char name[8], uid[16], created[16], ip[ADDRESS_TEXT], asked[ADDRESS_TEXT], *notes;
	snprintf(name, sizeof(name), "s%d", number);
	if (!v->exists) {
		char *key = mem_printf("shop/%s", name);
		model_drop_service(m, key);
		free(key);
		return;
	}
	snprintf(uid, sizeof(uid), "%u", v->uid);
	snprintf(created, sizeof(created), "%02u:%02u:%02u", v->born / 3600 % 24, v->born / 60 % 60, v->born % 60);
	notes = mem_printf("%s%s%s%s", v->shows >= 0 ? "'" ANNOTATION_FROM_POOL "': 'p', " : "", v->asks >= 0 ? "'" ANNOTATION_IPS "': '" : "'x': '",
			   v->asks >= 0 ? address_text(v->asks, asked) : "", "'");
	support_service(m, (struct support_service){.name = name, .uid = uid, .version = v->version, .created = created, .annotations = notes,
			.ips = v->shows >= 0 ? address_text(v->shows, ip) : NULL});
	free(notes);
}

static void put_record(struct model *m, int number, const struct sim_record *v, bool confirmed)
{
	char ip[ADDRESS_TEXT], uid[16], service[16], service_uid[16];
	struct address a = support_address(address_text(number, ip));
	if (!v->exists) {
		model_drop_record(m, &a);
		return;
	}
	snprintf(uid, sizeof(uid), "%u", v->uid);
	snprintf(service, sizeof(service), "shop/s%d", v->service);
	snprintf(service_uid, sizeof(service_uid), "%u", v->service_uid);
	model_put_record(m, support_record_new((struct support_record){.address = ip, .services = service, .uids = service_uid, .uid = uid, .version = v->version}), confirmed);
}

static void list_all(struct sim *s, struct model *m)
{
	model_init(m, "", false);
	support_pool(m, "p", "'addresses': ['10.0.0.1-10.0.0.6']");
	for (int i = 0; i < SERVICES; i++)
		put_service(m, i, &s->services[i]);
	for (int i = 0; i < ADDRESSES; i++)
		put_record(m, i, &s->records[i], true);
}

static void start(struct sim *s, struct controller *c)
{
	list_all(s, &c->model);
	c->allocator = allocator_new(&c->model, NULL);
	c->life++;
	c->seen[0] = c->seen[1] = s->n_events;
}

static void stop(struct controller *c)
{
	allocator_free(c->allocator);
	model_free(&c->model);
}

/* The next event of one of the two watches; false: it has seen them all. */
static bool watch(struct sim *s, struct controller *c, bool of_record)
{
	while (c->seen[of_record] < s->n_events) {
		const struct event *e = &s->events[c->seen[of_record]++];
		if (e->of_record != of_record)
			continue;
		if (of_record)
			put_record(&c->model, e->number, &e->record, true);
		else
			put_service(&c->model, e->number, &e->service);
		return true;
	}
	return false;
}

/* ---- the executor: allocation_writes.c ---- */

static bool busy(const struct sim *s, int controller, bool of_record, int number)
{
	for (size_t i = 0; i < CALLS; i++) {
		const struct call *c = &s->calls[i];
		if (c->used && c->controller == controller && c->life == s->controllers[controller].life && c->of_record == of_record &&
		    number == (of_record ? c->address : c->service))
			return true;
	}
	return false;
}

static void send_call(struct sim *s, struct call c)
{
	size_t i = 0;
	while (i < CALLS && s->calls[i].used)
		i++;
	if (i == CALLS)
		return;   /* sent again by the next step */
	c.used = true;
	s->calls[i] = c;
}

static void act(struct sim *s, int me, const struct allocation *a)
{
	struct controller *c = &s->controllers[me];
	const struct service *service = model_service(&c->model, a->service);
	int number = atoi(a->service + strlen("shop/s"));
	struct call call = {.controller = me, .life = c->life, .service = number, .shows = a->n ? address_number(&a->addresses[0]) : -1,
			    .uid = (unsigned)atoi(service->meta.uid), .version = (unsigned)atoi(service->meta.resource_version)};
	if (a->step == ALLOCATION_SETTLED || busy(s, me, false, number) || (a->step == ALLOCATION_STATUS && call.shows >= 0 && busy(s, me, true, call.shows)))
		return;
	call.kind = a->step == ALLOCATION_STATUS ? PATCH_STATUS : a->step == ALLOCATION_JOIN ? JOIN_RECORD : POST_RECORD;
	if (a->step != ALLOCATION_STATUS)
		call.address = address_number(&a->address);
	if (a->step == ALLOCATION_JOIN) {
		const struct record *r = model_record(&c->model, &a->address);
		call.record_uid = (unsigned)atoi(r->meta.uid);
		call.record_version = (unsigned)atoi(r->meta.resource_version);
	}
	if (call.kind == PATCH_STATUS)
		allocator_writing(c->allocator, a->service, a->addresses, a->n);
	send_call(s, call);
}

static void step(struct sim *s, int me)
{
	struct controller *c = &s->controllers[me];
	int64_t wake;
	if (me != s->leader)
		return;
	allocator_plan(c->allocator, s->now += CLOCK_S, &wake);
	while (allocator_next_news(c->allocator))
		;
	for (const struct allocation *a = allocator_next_open(c->allocator, NULL); a; a = allocator_next_open(c->allocator, a))
		act(s, me, a);
	for (const struct record *r = allocator_next_release(c->allocator, NULL); r; r = allocator_next_release(c->allocator, &r->address))
		if (!busy(s, me, true, address_number(&r->address)))
			send_call(s, (struct call){.kind = GET_SERVICE, .controller = me, .life = c->life, .of_record = true,
				  .address = address_number(&r->address), .service = atoi(r->services[0] + strlen("shop/s")),
				  .record_uid = (unsigned)atoi(r->meta.uid), .record_version = (unsigned)atoi(r->meta.resource_version)});
}

/* allocation_writes.c still_needs(): only a Service that is just as it is known, without the address, lets go of it. */
static bool still_needs(const struct sim *s, const struct controller *c, const struct call *call)
{
	char key[16];
	snprintf(key, sizeof(key), "shop/s%d", call->service);
	const struct service *known = model_service(&c->model, key);
	const struct sim_service *live = &call->got_service;
	bool same = known && (unsigned)atoi(known->meta.uid) == live->uid && (unsigned)atoi(known->meta.resource_version) == live->version;
	return !same || live->shows == call->address || busy(s, call->controller, false, call->service);
}

static bool knows(const struct controller *c, const struct call *call)
{
	char key[16];
	snprintf(key, sizeof(key), "shop/s%d", call->service);
	const struct service *known = model_service(&c->model, key);
	return known && (unsigned)atoi(known->meta.uid) == call->uid;
}

static void answer(struct sim *s, struct call *slot)
{
	struct call c = *slot;
	struct controller *me = &s->controllers[c.controller];
	char ip[ADDRESS_TEXT];
	struct address a = support_address(address_text(c.address, ip));
	const struct record *known = model_record(&me->model, &a);
	bool done = c.status / 100 == 2;
	*slot = (struct call){0};
	if (c.life != me->life)
		return;
	if (done && (c.kind == POST_RECORD || c.kind == JOIN_RECORD || c.kind == GET_RECORD))
		put_record(&me->model, c.address, &c.got_record, false);
	if (c.status == 404 && c.kind == GET_RECORD)
		model_drop_record_object(&me->model, &a, c.known);
	if ((c.kind == POST_RECORD || c.kind == JOIN_RECORD || c.kind == DELETE_RECORD) && (c.status == 409 || c.status == 0)) {
		c.kind = GET_RECORD;
		c.used = c.executed = false;
		snprintf(c.known, sizeof(c.known), "%s", known ? known->meta.uid : "");
		send_call(s, c);
		return;
	}
	if (done && c.kind == PATCH_STATUS && knows(me, &c))
		put_service(&me->model, c.service, &c.got_service);
	if (c.kind == PATCH_STATUS) {
		char *key = mem_printf("shop/s%d", c.service);
		allocator_writing(me->allocator, key, NULL, 0);
		free(key);
	}
	if (c.kind == DELETE_RECORD && (done || c.status == 404)) {
		char uid[16];
		snprintf(uid, sizeof(uid), "%u", c.record_uid);
		model_drop_record_object(&me->model, &a, uid);
	}
	if (c.kind == GET_SERVICE && c.controller == s->leader && (c.status == 404 || (done && !still_needs(s, me, &c)))) {
		c.kind = DELETE_RECORD;
		c.used = c.executed = false;
		send_call(s, c);
	}
}

/* ---- the world ---- */

static void user(struct sim *s)
{
	int number = (int)support_pick(&s->random, SERVICES);
	struct sim_service *v = &s->services[number];
	if (!v->exists) {
		*v = (struct sim_service){.exists = true, .uid = ++s->uids, .born = s->version, .asks = -1, .shows = -1};
		if (support_chance(&s->random, 20))
			v->asks = (int)support_pick(&s->random, ADDRESSES);
	} else if (support_chance(&s->random, 50)) {
		v->exists = false;
	} else {
		v->asks = support_chance(&s->random, 40) ? -1 : (int)support_pick(&s->random, ADDRESSES);
	}
	touch_service(s, number);
}

static struct call *some_call(struct sim *s, bool executed)
{
	size_t from = support_pick(&s->random, CALLS);
	for (size_t i = 0; i < CALLS; i++) {
		struct call *c = &s->calls[(from + i) % CALLS];
		if (c->used && c->executed == executed)
			return c;
	}
	return NULL;
}

static void land(struct sim *s, int controller)
{
	for (size_t i = 0; i < CALLS; i++)
		if (s->calls[i].used && s->calls[i].controller == controller && !s->calls[i].executed)
			run_call(s, &s->calls[i]);
}

static void something(struct sim *s)
{
	int me = (int)support_pick(&s->random, (unsigned)s->n_controllers);
	struct call *c;
	unsigned what = support_pick(&s->random, 100);
	if (what < 8) {
		user(s);
	} else if (what < 9) {   /* what it had sent arrives before it is back, or never */
		land(s, me);
		stop(&s->controllers[me]);
		start(s, &s->controllers[me]);
	} else if (what < 11) {
		/* The next one leads, however old its view of Services; the leader's Lease comes by the same watch as the records,
		 * and its 15 s are longer than any request's way. */
		land(s, s->leader);
		while (watch(s, &s->controllers[me], true))
			;
		s->leader = me;
		allocator_resume(s->controllers[me].allocator);
	} else if (what < 35) {
		watch(s, &s->controllers[me], support_chance(&s->random, 50));
	} else if (what < 60) {
		step(s, me);
	} else if (what < 80) {
		c = some_call(s, false);
		if (c)
			run_call(s, c);
	} else {
		c = some_call(s, true);
		if (c)
			answer(s, c);
	}
}

/* No more faults: everything arrives, until nobody has anything to do. */
static void settle(struct sim *s)
{
	bool moved = true;
	s->calm = true;
	for (int round = 0; moved; round++) {
		struct call *c;
		if (round == 200)
			fail_msg("seed %u: it does not come to rest", s->seed);
		moved = false;
		for (int i = 0; i < s->n_controllers; i++) {
			while (watch(s, &s->controllers[i], false) || watch(s, &s->controllers[i], true))
				moved = true;
			step(s, i);
		}
		for (; (c = some_call(s, false)); moved = true)
			run_call(s, c);
		for (; (c = some_call(s, true)); moved = true)
			answer(s, c);
	}
}

static void describe(const struct sim *s)
{
	for (int i = 0; i < SERVICES; i++)
		if (s->services[i].exists)
			print_message("  s%d uid %u born %u asks %d shows %d\n", i, s->services[i].uid, s->services[i].born, s->services[i].asks, s->services[i].shows);
	for (int i = 0; i < ADDRESSES; i++)
		if (s->records[i].exists)
			print_message("  record %d of s%d uid %u\n", i, s->records[i].service, s->records[i].service_uid);
}

/* As seen by one who starts now. */
static void check_rest(struct sim *s)
{
	struct model m;
	const struct allocation *one;
	int free_addresses = 0;
	int64_t wake;
	list_all(s, &m);
	struct allocator *a = allocator_new(&m, NULL);
	for (int i = 0; i < ADDRESSES; i++)
		free_addresses += !s->records[i].exists;
	allocator_plan(a, 1, &wake);
	while ((one = allocator_next_news(a))) {
		const char *name = strchr(one->service, '/') + 1;
		const struct sim_service *v = &s->services[atoi(name + 1)];
		if (one->step != ALLOCATION_SETTLED) {
			describe(s);
			fail_msg("seed %u: %s is not settled", s->seed, name);
		}
		if (v->shows < 0 && v->asks < 0 && free_addresses)
			fail_msg("seed %u: %s waits while an address is free", s->seed, name);
		if (v->asks >= 0 && v->shows != v->asks && !s->records[v->asks].exists)
			fail_msg("seed %u: %s waits for an address that is free", s->seed, name);
		if (v->shows >= 0 && !(s->records[v->shows].exists && s->records[v->shows].service_uid == v->uid))
			fail_msg("seed %u: %s has an address without a record", s->seed, name);
	}
	if (allocator_next_release(a, NULL))
		fail_msg("seed %u: a record is left over", s->seed);
	allocator_free(a);
	model_free(&m);
}

static void run(unsigned seed, int controllers)
{
	struct sim *s = mem_zalloc(sizeof(*s));
	s->seed = seed;
	s->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	s->n_controllers = controllers;
	for (int i = 0; i < SERVICES; i++)
		s->services[i].asks = s->services[i].shows = -1;
	for (int i = 0; i < controllers; i++)
		start(s, &s->controllers[i]);
	for (int i = 0; i < 800; i++)
		something(s);
	settle(s);
	check_rest(s);
	for (int i = 0; i < controllers; i++)
		stop(&s->controllers[i]);
	free(s);
}

static unsigned seeds(void)
{
	const char *text = getenv("SEEDS");
	return text ? (unsigned)atoi(text) : 80;
}

static void one_controller(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= seeds(); seed++)
		run(seed, 1);
}

static void two_controllers(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= seeds(); seed++)
		run(seed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_controller), cmocka_unit_test(two_controllers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
