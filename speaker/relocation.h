/* An address that is to go to another node, as somebody outside sees it in the model: who may have it, and how far it has come.
 * Pure. For `l2lb move` and `l2lb drain`, which ask for it in a Lease; the speakers do it. */
#ifndef SPEAKER_RELOCATION_H
#define SPEAKER_RELOCATION_H

#include "config/base/buffer.h"
#include "speaker/model.h"

enum relocation_state {
	RELOCATION_WAITING,
	RELOCATION_MOVED,
	RELOCATION_STAYS,     /* drain: nobody else may have it; `why` says so of each node */
	RELOCATION_REFUSED,   /* move: the owner took the successor out again */
	RELOCATION_ASTRAY,    /* move: another node has it now */
	RELOCATION_GONE,      /* the record is */
};

struct relocation {
	struct address address;
	char *from;           /* the owner when it began */
	char *to;             /* who is to have it, or has it; NULL: not known yet */
	enum relocation_state state;
	char *why;            /* for people; NULL: nothing to say */
	int64_t began, took;  /* microseconds; took: until it was no longer WAITING */
};

void relocation_init(struct relocation *l, const struct record *r, const char *to, int64_t now);   /* to NULL: to anybody */
void relocation_free(struct relocation *l);

/* Looks again; true when the state changed. Only STAYS goes back to WAITING. */
bool relocation_follow(struct relocation *l, const struct model *m, int64_t now);

/* Can this node have it, on its own merits and beside the others? NULL: yes; else why not and what to do, as a sentence that
 * follows "node NAME ". To free(). */
char *relocation_obstacle(const struct model *m, const struct record *r, const char *node);

/* Could the holder hand it to anybody? Else *whyp, to free(). */
bool relocation_possible(const struct model *m, const struct record *r, char **whyp);

/* A node that preferredNodeSelectors put before this one; NULL: none. The address would go there 30 s later. */
const char *relocation_preferred(const struct model *m, const struct record *r, const char *node);


/* One line for people, and one object for programs. */
void relocation_text(const struct relocation *l, bool colour, struct buffer *out);
json_t *relocation_json(const struct relocation *l);

#endif
