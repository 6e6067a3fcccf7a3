/* This node's own record (Lease node-<name>): its links as they are, written when they change, made again when it is gone. Also
 * by which links we judge ourselves, for the record lags behind them. A shell. */
#ifndef SPEAKER_PRESENCE_H
#define SPEAKER_PRESENCE_H

#include "speaker/cluster.h"
#include "speaker/segments.h"

struct presence;

/* node is borrowed. on_news: a write has ended, the model may have changed. */
void presence_init(struct presence **pp, struct cluster *cluster, struct segments *segments, const char *node, void (*on_news)(void *data), void *data);

/* Looks at the links; the model's `own` is what it found. True: that changed. */
bool presence_look(struct presence *p, int64_t now);

/* Writes the record when it would say something else; never without the Node that owns it. */
void presence_publish(struct presence *p, int64_t now);

/* When to look and publish again at the latest. */
int64_t presence_deadline(const struct presence *p, int64_t now);
void presence_close(struct presence *p);   /* NULL is fine */

#endif
