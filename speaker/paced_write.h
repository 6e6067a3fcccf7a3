/* When to write what is wrong on the server: not what is wrong for a moment only, not at once again after a failure, and what is
 * wrong again and again (somebody else undoes it, or its text never rests) more and more slowly (repair.h). Pure. */
#ifndef SPEAKER_PACED_WRITE_H
#define SPEAKER_PACED_WRITE_H

#include "speaker/repair.h"

/* Microseconds. */
struct paced_write_times {
	int64_t settle;             /* so long it must be wrong before it is written */
	int64_t retry, retry_max;   /* after a write that failed: so long, doubling */
	int64_t remembered;         /* so long what was written counts as a part of a quarrel */
};
extern const struct paced_write_times PACED_WRITE_TIMES;

struct paced_write {            /* zeroed at first */
	bool wrong;                 /* as far as was looked */
	bool busy;                  /* a write is under way */
	int64_t not_before, pause, ended_at;
	struct repair repair;
};

enum paced_write_end {
	PACED_WRITE_DONE,
	PACED_WRITE_STALE,          /* our view was old; the watch brings the new one */
	PACED_WRITE_FAILED,
};

/* It was looked at. */
void paced_write_look(struct paced_write *w, const struct paced_write_times *times, bool wrong, int64_t now);

/* Write it now? True: a write is under way. */
bool paced_write_begin(struct paced_write *w, int64_t now);
void paced_write_ended(struct paced_write *w, const struct paced_write_times *times, enum paced_write_end end, int64_t now);

/* When paced_write_begin has something to say; CLOCK_NEVER: nothing is wrong, or a write is under way. */
int64_t paced_write_deadline(const struct paced_write *w);

/* All is right, and was for so long that it may be forgotten. */
bool paced_write_is_over(const struct paced_write *w, const struct paced_write_times *times, int64_t now);

#endif
