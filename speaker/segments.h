/* The segments of this node: one per link that may carry addresses, following rtnetlink. A shell. */
#ifndef SPEAKER_SEGMENTS_H
#define SPEAKER_SEGMENTS_H

#include "arp/links.h"
#include "arp/segment.h"
#include "speaker/model.h"

struct segments;

/* config: handed to each segment. on_links: the set of links or something about one changed. */
int segments_init(struct segments **sp, uv_loop_t *loop, const struct segment_config *config, void (*on_links)(void *data), void *data);
void segments_start(struct segments *s);
const struct link_table *segments_links(const struct segments *s);   /* all links of this machine */
void segments_close(struct segments *s);   /* NULL is fine */

/* Opens, updates and closes segments as links, pools and advertisements ask for it, and tells each who its peers are.
 * True when the result differs from the last time. */
bool segments_follow(struct segments *s, const struct model *m, const char *node);

/* The links with an open segment, as the node's record shows them, by index; to free(). One that lost its carrier less than a
 * liveness interval ago is still among them: nobody else could have noticed. *look_againp: when that may change. */
size_t segments_describe(const struct segments *s, const struct model *m, int64_t now, struct node_link **linksp, int64_t *look_againp);

struct segment *segments_find(const struct segments *s, const char *link);   /* by name; NULL */
size_t segments_count(const struct segments *s);
struct segment *segments_at(const struct segments *s, size_t i);
void segments_set_ready(struct segments *s, bool ready);

#endif
