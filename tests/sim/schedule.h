/* What happens in one run: drawn from a seed by the rules of a row, or a part of that (to find the smallest that still fails).
 * Pure but for the generator. */
#ifndef TESTS_SIM_SCHEDULE_H
#define TESTS_SIM_SCHEDULE_H

#include "tests/sim/world.h"

#define FAULTS 24
#define NEVER_BACK INT64_MAX

enum fault_kind {
	FAULT_DIE,         /* a: power off; on again after `lasts` */
	FAULT_KILL,        /* a: SIGKILL of the process; started again after `lasts` */
	FAULT_TERM,        /* a: SIGTERM; started again so long after its end */
	FAULT_STOP,        /* a: SIGSTOP, then SIGCONT */
	FAULT_CUT,         /* a: its port passes nothing; value 1: to the API server neither */
	FAULT_CARRIER,     /* a: no carrier; value 1: as above */
	FAULT_ONE_WAY,     /* frames from a to b are lost */
	FAULT_DEAF,        /* a hears nobody */
	FAULT_MUTE,        /* nobody hears a */
	FAULT_SPLIT,       /* nodes in `mask` from the others (and the client, the gateway); value: bit 0 API for those, bit 1 for these */
	FAULT_API,         /* the API server is away; value 1: and forgets its history */
	FAULT_API_CUT,     /* a: cannot reach it */
	FAULT_LOSS,        /* a (or all: HOSTS): loss in thousandths `value`, jitter `b` ms */
	FAULT_REMOVE,      /* a: its Node object is deleted */
	FAULT_PAUSE,       /* a: the whole machine stands still; value 1: its clock too */
	FAULT_SERVICES,    /* value new Services, for the controller */
	FAULT_DRAIN,       /* a: its addresses are to go (`l2lb drain`, then undrain) */
	FAULT_MOVE,        /* `l2lb move`: address `value` to node b */
	FAULT_OTHER,       /* a: another load balancer runs there instead, and answers for address `value` */
	FAULT_STRANGER,    /* another host (the first, or with a = 1 the second) uses address `value`; it begins with a probe, as a DHCP
	                      client does, and announces twice, or every `b` ms */
	FAULT_ENDPOINTS,   /* Service `value` has endpoints on the nodes in `mask` only; every `b` ms one on `a` comes or goes; then on all again */
	FAULT_DELETE,      /* Service `value` is deleted; then made again */
	FAULT_SHARE,       /* a second Service asks for the address of Service `value`; then it is deleted */
	FAULT_NOT_READY,   /* a: its Node says so */
	FAULT_EXCLUDE,     /* a: label node.kubernetes.io/exclude-from-external-load-balancers */
	FAULT_PREFER,      /* a: the label that preferredNodeSelectors asks for */
	FAULT_RECORD,      /* somebody writes another holder into the record of address `value`: node b */
	FAULT_BUSY,        /* machines in `mask` have other work: every up to `b` ms their process does not run for up to `value` ms */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	int64_t at, lasts;   /* since the measuring began; NEVER_BACK */
	unsigned a, b;
	uint64_t mask;
	int value;
};

struct row;

struct schedule {
	uint64_t seed;
	const struct row *row;
	unsigned nodes, addresses;
	unsigned spare;           /* addresses without a Service */
	int64_t interval, watch_max;
	uint64_t absent;          /* nodes that are not there from the start: dead, with what they left behind */
	uint64_t without;         /* nodes on which another load balancer runs, and l2lb never did */
	bool controllers;         /* on the first two nodes */
	bool give_up;             /* --on-conflict=move */
	bool local;               /* externalTrafficPolicy of all Services */
	bool exact;               /* not to be made a bigger cluster */
	bool unheld;              /* addresses begin without a holder */
	unsigned char holders[ADDRESSES];
	struct fault faults[FAULTS];
	unsigned n_faults;
	/* to find the smallest: */
	uint64_t dropped;         /* faults left out */
	uint64_t dropped_nodes;
	unsigned twist;           /* the same with other luck */
};

/* Bounds in milliseconds; -1: none. They are what the code reaches now: tighten them with it. */
struct row {
	const char *name;
	unsigned weight;          /* its share of the weights of all rows */
	void (*draw)(struct schedule *s, struct chance *c);
	int dark, two, moves, stale;
	int settle;               /* after the last fault is over: then exactly one, as recorded, and nothing moves */
	bool after;               /* measured when the last fault is over, not from the first one */
	int rest;                 /* looked on for so long then */
	unsigned least;           /* nodes; with fewer it is another row */
	int astray;               /* ms with an owner that may not have it (any more); 0: none */
};

extern const struct row ROWS[];
extern const size_t N_ROWS;

const struct row *row_find(const char *name);

/* row NULL: by its weight. */
void schedule_draw(struct schedule *s, uint64_t seed, const struct row *row);
int64_t schedule_faults_end(const struct schedule *s);   /* the last fault is over, or begun if it stays */
void schedule_print(const struct schedule *s, FILE *out);
bool schedule_has(const struct schedule *s, unsigned fault);   /* not dropped, nor about dropped nodes only */

#endif
