/* Whose part the census is: one node per link asks, and an address, or a stranger on it, is looked after on one link. All nodes
 * come to the same answer from what the records show: of those that are there the first one in hash order of the link's network.
 * Pure: links, nodes and verdicts go in. A hash is worked out once, when a node is new on a link or the link's network another. */
#ifndef SPEAKER_CENSUS_DUTY_H
#define SPEAKER_CENSUS_DUTY_H

#include "arp/link_table.h"
#include "arp/liveness.h"

/* Microseconds. */
struct census_duty_times {
	int64_t silent;   /* whom we do not watch, and who was not heard asking for so long, is not there: its record may outlive its speaker */
};
extern const struct census_duty_times CENSUS_DUTY_TIMES;

struct census_duty;

struct census_duty *census_duty_new(const char *node, const struct census_duty_times *times);   /* times is borrowed */
void census_duty_free(struct census_duty *d);   /* NULL is fine */

/* The links of this node that have a census, in their order; below, a link is its place among them. */
void census_duty_set_links(struct census_duty *d, const struct link_info *const *links, size_t n);

/* Whose records show a link there; known: ours does, else we do not ask. */
void census_duty_set_nodes(struct census_duty *d, size_t link, bool known, const char *const *nodes, size_t n);

/* Those of them that would ask rather than we, best first: their names, and what is known of each now. asked_at: when it was
 * last heard asking there, INT64_MIN: never. */
size_t census_duty_rivals(const struct census_duty *d, size_t link);
const char *census_duty_rival(const struct census_duty *d, size_t link, size_t rival);
void census_duty_heard(struct census_duty *d, size_t link, size_t rival, enum liveness_state state, int64_t asked_at);

/* Is it we who ask there? */
bool census_duty_asks(const struct census_duty *d, size_t link, int64_t now);

/* Is the address to be asked for there? A stranger is looked after where we have seen him (seen_on, a link's name; NULL: we
 * have not); else where the subnet is, or on the first link if there is no such. */
bool census_duty_looks_after(const struct census_duty *d, size_t link, const struct address *a, const char *seen_on);

/* How many hashes were worked out, ever: for tests. */
uint64_t census_duty_hashes(const struct census_duty *d);

#endif
