/* What has become of a node that has an address: the wire's verdict first, then, where the wire cannot judge, what the API
 * server says. Pure. */
#ifndef SPEAKER_HOLDER_FATE_H
#define SPEAKER_HOLDER_FATE_H

#include "arp/liveness.h"

enum holder_fate {
	HOLDER_NONE,          /* the record names nobody */
	HOLDER_ME,
	HOLDER_PRESENT,       /* alive, as far as anybody can tell */
	HOLDER_SPEAKER_DOWN,  /* its node is alive, its speaker is not, proven; it may be guarded */
	HOLDER_DEAD,          /* silent on the wire, proven */
	HOLDER_GONE,          /* not a node any more, without a link, or NotReady; where the wire cannot judge */
};

struct holder_evidence {
	enum liveness_state wire;
	bool wire_judges;     /* somebody watches it there, and knows */
	bool guard;           /* speakers that are down are guarded */
	bool api;             /* the API server answers for Nodes and records, */
	int64_t api_for;      /* for so long, microseconds */
	bool node, ready;     /* the Node exists; is Ready */
	bool linkless;        /* its own record shows no link for the address: if it lived it would have passed it on */
};

#define HOLDER_TRUST INT64_C(60000000)   /* a NotReady may be left over from an API outage for so long */

/* Of another node than this one. */
enum holder_fate holder_fate_of(const struct holder_evidence *e);

#endif
