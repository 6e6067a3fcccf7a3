/* Is the one who answers for an address the one who should? Pure: what was heard on the wire, compared with the records. */
#ifndef SPEAKER_VERIFICATION_H
#define SPEAKER_VERIFICATION_H

#include "arp/inquiry.h"
#include "speaker/model.h"

/* The worse, the later; of several findings the last one is the verdict. */
enum verdict {
	VERDICT_OK,              /* the owner answers, and nobody else */
	VERDICT_ANSWERED,        /* one answers; there is nothing to compare it with (--no-api) */
	VERDICT_UNOWNED,         /* nobody owns it and nobody answers */
	VERDICT_GUARDED,         /* the owner's MAC, said by another node: its speaker is away, and that is as it should be */
	VERDICT_THIS_NODE,       /* this machine owns it, and a node does not hear itself */
	VERDICT_LOSSY,           /* from here on something is wrong. The owner left a question unanswered */
	VERDICT_NO_ANSWER,
	VERDICT_NO_RECORD,       /* a Service shows it, but no record says whose it is */
	VERDICT_UNKNOWN_OWNER,   /* the owner has not told its MACs */
	VERDICT_DUPLICATE,       /* the owner answers, and another node or its own kernel too */
	VERDICT_WRONG_NODE,      /* a node answers that does not own it, and the owner does not */
	VERDICT_STRANGER,        /* somebody answers who is no node */
};
const char *verdict_name(enum verdict v);   /* "ok", "no-answer", ... */
bool verdict_is_right(enum verdict v);

struct verification_input {
	struct address address;
	const struct model *model;              /* NULL: there is nothing to compare with */
	const struct link_table *links;         /* of this machine */
	const char *link;                       /* asked on; the first of them */
	unsigned questions;                     /* on each link */
	const struct inquiry_answer *answers;   /* in the order they came; of other addresses too */
	size_t n_answers;
};

/* One who answers: by MAC, Ethernet source and our link. Names are the model's; NULL: no node's. */
struct answerer {
	struct mac sha, eth_src;
	const char *node, *node_link;   /* whose MAC it is */
	const char *said_by;            /* whose Ethernet source */
	char link[IF_NAMESIZE];
	unsigned answers, first;        /* how many; to how many questions before anybody else (who counts for clients) */
	unsigned answered;              /* questions with at least one */
	int64_t rtt_min, rtt_max, rtt_sum;   /* microseconds */
};

struct finding {
	enum verdict verdict;
	char *text;   /* "<address>: <what>; <remedy>" */
};

struct verification {
	struct address address;
	char *link;                     /* asked on */
	unsigned questions;
	const struct record *record;    /* the model's; NULL: none */
	const char *owner;              /* NULL: nobody, or not known */
	enum verdict verdict;
	struct answerer *answerers;     /* in the order in which they were first heard */
	size_t n_answerers;
	struct finding *findings;       /* what is to be said, the worst first; none when all is plainly right */
	size_t n_findings;
};

/* To verification_free; the model must live as long. */
void verification_make(struct verification *v, const struct verification_input *in);
void verification_free(struct verification *v);

#endif
