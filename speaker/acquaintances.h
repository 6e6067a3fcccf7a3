/* Who is behind a MAC address that none of our nodes has shown: another node of the cluster, when it also answers ARP for a
 * Node's InternalIP, whatever runs there; else a stranger. Pure: questions are the caller's. */
#ifndef SPEAKER_ACQUAINTANCES_H
#define SPEAKER_ACQUAINTANCES_H

#include "arp/conflict.h"

/* Microseconds. */
struct acquaintance_times {
	int64_t wait;       /* for the nodes' answers */
	int64_t node;       /* a node is known for so long, */
	int64_t stranger;   /* and a stranger: its answer may have been lost */
};
extern const struct acquaintance_times ACQUAINTANCE_TIMES;

struct acquaintances;

struct acquaintances *acquaintances_new(const struct acquaintance_times *times);   /* borrowed */
void acquaintances_free(struct acquaintances *a);   /* NULL is fine */

/* CONFLICT_UNKNOWN with *begin: ask for the InternalIP of every node that has not shown its links, now. */
enum conflict_who acquaintances_who(struct acquaintances *a, const struct mac *mac, int64_t now, bool *begin);

/* It answers for an InternalIP of this node. */
void acquaintances_answered(struct acquaintances *a, const struct mac *mac, const char *node, int64_t now);

/* The next one about whom the question is settled; once each. */
bool acquaintances_settled(struct acquaintances *a, int64_t now, struct mac *mac, enum conflict_who *who);
int64_t acquaintances_deadline(const struct acquaintances *a);

const char *acquaintances_node(const struct acquaintances *a, const struct mac *mac);   /* NULL: no node */

/* It has become one of our nodes: the next of those known as nodes after `mac` (NULL: the first); NULL: no more. */
const struct mac *acquaintances_next_node(const struct acquaintances *a, const struct mac *mac);
void acquaintances_forget(struct acquaintances *a, const struct mac *mac);

#endif
