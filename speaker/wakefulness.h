/* Did this process not run for so long that others may have what it thinks is its own (ownership.md R7, finding 21)? Pure.
 *
 * The soonest verdict of a watcher comes 1.7 intervals after the last answer. Up to a second longer is a nap, which a busy
 * machine takes now and then: nobody takes over from a process that stands still alone, a guard answers with its MAC at
 * most, and had the whole machine stood still, the new owner is heard within a millisecond. After that it is sleep. */
#ifndef SPEAKER_WAKEFULNESS_H
#define SPEAKER_WAKEFULNESS_H

#include <stdbool.h>
#include <stdint.h>

enum wakefulness_verdict {
	WAKEFULNESS_AWAKE,
	WAKEFULNESS_NAPPED,   /* go on, what was asked meanwhile is answered late; and ask who else answers */
	WAKEFULNESS_SLEPT,    /* answer nothing before it is known who does */
};

struct wakefulness {
	int64_t interval;   /* liveness interval T, microseconds */
	int64_t due;        /* when the loop should have turned at the latest; CLOCK_NEVER: it may sleep */
};

void wakefulness_init(struct wakefulness *w, int64_t interval);

/* A turn of the loop begins. *lastedp: how long we did not run, unless awake. */
enum wakefulness_verdict wakefulness_turn(struct wakefulness *w, int64_t now, int64_t *lastedp);

/* Work is done: whatever it took is not held against us. tick: something is ours to look after, so the loop has to turn again
 * by `due`. */
void wakefulness_rest(struct wakefulness *w, bool tick, int64_t now);

#endif
