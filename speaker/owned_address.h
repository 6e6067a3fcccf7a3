/* One address at this speaker: the ownership core with what surrounds it. Makes its view of model, wire and API, carries out
 * what it decides (frames first, then the API), and says so in log and Event. A shell. */
#ifndef SPEAKER_OWNED_ADDRESS_H
#define SPEAKER_OWNED_ADDRESS_H

#include "k8sclient/event.h"
#include "speaker/cluster.h"
#include "speaker/election.h"
#include "speaker/misjudged.h"
#include "speaker/ownership.h"
#include "speaker/planned_move.h"
#include "speaker/segments.h"

/* What all addresses of a speaker share; outlives them. */
struct address_context {
	struct cluster *cluster;
	struct model *model;            /* the cluster's, or what is remembered of it; see owned_address_forget */
	struct segments *segments;
	struct events *events;
	struct misjudged *misjudged;
	const struct options *options;
	const char *node;
	int64_t synced_at;              /* 0: not yet */
	bool leaving;                   /* our process ends */
	/* Runs from the loop: some address has news. */
	void (*on_news)(void *data);
	void *data;
};

struct owned_address {
	struct ownership core;
	struct planned_move planned;
	enum planned_reason said_reason;   /* of a handover, in the log */
	const struct address_context *context;
	struct candidate *candidates;   /* eligible nodes; valid for `scenery` of the model, */
	size_t n_candidates;
	unsigned scenery, revision;     /* ... and for that of the record */
	bool news;                      /* something about it has happened since it was looked at */
	int64_t wake;                   /* when it is to be looked at without */
	struct api_call *call;
	bool guarded_here;              /* some segment answers in another's stead */
	bool announced;                 /* said so in log and Event */
	UT_hash_handle hh;              /* by core.address */
};

struct owned_address *owned_address_new(const struct address_context *context, const struct address *a, int64_t now);
void owned_address_free(struct owned_address *o);   /* NULL is fine; what it answered for is not released */

/* There is something to decide: else nothing but the peers' states, the links or the API may call for it. */
bool owned_address_is_due(const struct owned_address *o, int64_t now);

/* Decides and acts; `wake` is when to do so again at the latest. */
void owned_address_evaluate(struct owned_address *o, int64_t now);

/* Answers and guards no longer, at once: for events that cannot wait for the next evaluation. */
void owned_address_hush(struct owned_address *o);

/* A peer's frame, an answer or an announcement, says that the address is at the peer. If that makes us stop, then before the next
 * frame of the same batch, which is the peer's to answer. */
void owned_address_claimed(struct owned_address *o, const char *peer, bool answer, int64_t now);

/* The context's model is another one. */
void owned_address_forget(struct owned_address *o);

/* Some other node could have it. */
bool owned_address_has_others(const struct owned_address *o);

/* Neither answers nor waits for anything. */
bool owned_address_is_idle(const struct owned_address *o);

/* Some link answers with our MAC: not while it is probed. */
bool owned_address_is_answered(const struct owned_address *o);

#endif
