/* The simulated world: time, the machines on one segment, and whose code is running at the moment. There is one of it, as
 * the functions that are implemented on it (clock.h, deadline.h, link.h, ...) have nobody else to ask. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdio.h>

#include "arp/frame.h"
#include "config/base/clock.h"
#include "tests/sim/agenda.h"
#include "tests/sim/chance.h"

#define HOSTS 54           /* nodes, then the gateway, the client, the strangers */
#define NODES 50
#define STRANGERS 2
#define ADDRESSES 512
#define POOL_FIRST 0x0a630a00u   /* 10.99.10.0 */
#define NODE_NET 0x0a630000u     /* 10.99.0.0/16 */

struct process;

struct host {
	unsigned index;
	char name[16];
	bool is_node;
	bool missing;              /* there is no such node, not even by its traces */
	uint32_t address;
	struct mac mac;
	uint32_t extra;            /* another address that its kernel answers for; 0: none */
	bool powered;              /* its kernel runs */
	bool carrier;
	uint32_t carrier_ups;
	unsigned api_cut;          /* what it sends to the API server is lost, for so many reasons */
	int64_t api_cut_since, api_back_at;
	int64_t offset;            /* its boot time is another */
	int64_t drift;             /* of its clock, in millionths */
	double loss;               /* of frames, each way */
	int64_t jitter;
	double duplicates;
	struct process *process;   /* the speaker; NULL: none */
	unsigned incarnation;      /* of the process */
};

struct world {
	int64_t now;
	struct agenda agenda;
	struct chance chance;      /* what happens */
	struct host hosts[HOSTS];
	unsigned n_nodes, n_hosts;
	unsigned gateway, client, strangers;   /* the first of them */
	unsigned char cut[HOSTS][HOSTS];   /* frames from, to: lost for so many reasons */
	struct host *here;         /* whose code runs; NULL: nobody's */
	uint32_t addresses[ADDRESSES];
	unsigned n_addresses;
	int64_t interval;          /* T */
	int64_t watch_min, watch_max;   /* from a write to those who watch */
	bool give_up;              /* --on-conflict=move */
	bool verbose;
	const char *wrong;         /* the first thing that must not be; a word of observer.h */
	char details[200];
};

extern struct world world;

/* n nodes with names from the seed, so that each has its own ring. Frees what the last one held. */
void world_begin(uint64_t seed, unsigned n_nodes, unsigned n_addresses);
void world_end(void);

/* Runs what is due until then. */
void world_run(int64_t until);
void world_at(int64_t at, void (*run)(void *data, uint64_t arg), void *data, uint64_t arg);
struct host *world_host_of_mac(const struct mac *mac);   /* NULL: nobody's */
struct host *world_node(const char *name);

void state_files_end(void);   /* state_file.c forgets them */

/* A node's own time, and the way back (never earlier). */
int64_t world_local(const struct host *h, int64_t at);
int64_t world_global(const struct host *h, int64_t at);

/* Something that must not be; the first one counts. */
void world_wrong(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* With --verbose: a line of the history. */
void world_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
