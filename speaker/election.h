/* Who may answer for an address, and in which order of preference (design.md section 5). Pure: questions to the model.
 * The order is MetalLB's: preference score, then SHA-256(node "#" address) ascending, of the first address in the status.
 * Before that come nodes that are to keep the address for long (draining, ending below); and of a new address, which nobody
 * ever had, nodes with room for it (spread.h). */
#ifndef SPEAKER_ELECTION_H
#define SPEAKER_ELECTION_H

#include "config/base/crypto.h"
#include "speaker/model.h"

#define ELECTION_LINKS 16   /* of a node, as many as count */

struct candidate {
	const char *node;                    /* the model's */
	int score;
	uint8_t hash[SHA256_SIZE];
	const struct node_link *link;        /* the first link it would answer on */
	bool makeshift;                      /* no link of its has the address's subnet, and none was named: only if nobody else can */
	bool draining;                       /* `l2lb drain`, or cordoned: only if nobody else has the right link */
	bool ending;                         /* externalTrafficPolicy Local: it can serve, but its last endpoints are terminating */
	enum spread_place place;             /* of a new address */
	uint32_t number;                     /* in the model's spread */
};

enum election_refusal {
	ELECTION_ELIGIBLE,
	ELECTION_NO_SERVICE,         /* no Service of ours uses the address */
	ELECTION_NO_ENDPOINT,        /* nobody could serve, or with externalTrafficPolicy Local: nobody on this node */
	ELECTION_NO_ADVERTISEMENT,   /* no L2Advertisement selects pool, Service and node */
	ELECTION_NO_NODE,            /* the Node does not exist */
	ELECTION_NODE_EXCLUDED,      /* label, or its network is unavailable */
	ELECTION_NO_LINK,            /* no record of the node, or no link of it for this address */
};
const char *election_refusal_text(enum election_refusal refusal);   /* for the log: MetalLB's withdraw reasons where it has one */

/* All eligible nodes, best first. *listp is to free(); the strings are the model's. */
size_t election_candidates(const struct model *m, const struct record *r, struct candidate **listp);

/* It was never owned: who is to have it goes by the room that nodes have, so by all other records as well. */
bool election_is_new(const struct record *r);

/* A node that would come before this one has not shown its links yet: its speaker may be about to start. */
bool election_awaits(const struct model *m, const struct record *r, const char *node);
enum election_refusal election_check(const struct model *m, const struct record *r, const char *node);

/* Links of the node on which the address is to be answered: those allowed by its advertisements (named ones, or all usable
 * by default), of these the ones whose subnet holds the address, else all. Returns how many (at most max). */
size_t election_links(const struct model *m, const struct record *r, const struct node_record *node, const struct node_link **links, size_t max);

void election_hash(const char *node, const struct address *a, uint8_t hash[SHA256_SIZE]);

/* The object of the pool that a Service has this address from, NULL: none. That is the pool in use that contains it, or the one
 * that the Service's annotation names when it is there but not in use: nobody loses an address by a pool that is broken. */
const struct object_meta *election_pool(const struct model *m, const struct address *a, const struct service *s);

/* The Service that stands for the record's others in messages: the first of ours that uses the address; NULL: none. */
const struct service *election_user(const struct model *m, const struct record *r);

#endif
