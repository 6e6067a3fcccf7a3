/* A command that asks something of the speakers, by an annotation on a Lease, and waits until they have done it: the loop, the
 * connection, the watches and the clock of `l2lb move`, `drain` and `undrain`. What is asked and when it is done is the
 * command's; it ends with errand_end. A shell. */
#ifndef SPEAKER_ERRAND_H
#define SPEAKER_ERRAND_H

#include "config/tool_options.h"
#include "speaker/cluster.h"

struct errand;

struct errand_config {
	enum tool tool;
	void (*begin)(void *data);     /* all of the cluster that matters has been read, once */
	void (*changed)(void *data);   /* after that, when the model has; may be NULL */
	void (*late)(void *data);      /* --timeout is over, counted from the first write that was done; errand_end follows; may be NULL */
	void *data;
};

/* Reads the arguments, runs, and gives the exit status. data: zeroed memory of the command, which keeps *errandp there. */
int errand_run(struct errand **errandp, const struct errand_config *config, int argc, char **argv);

const struct tool_options *errand_options(const struct errand *e);
struct model *errand_model(struct errand *e);
const char *errand_namespace(const struct errand *e);

/* PATCH of a Lease with what `make` gives; when somebody was faster it is read again and made anew. NULL from make: there is
 * nothing to be written any more, and the command has said so. `written`: it is in the model, too. One at a time. */
void errand_write(struct errand *e, const char *lease, json_t *(*make)(void *data), void (*written)(void *data));

/* To standard output, then errand_end with this status, unless it is ERRAND_GOES_ON; errand_fail when nobody reads it. */
#define ERRAND_GOES_ON (-1)
void errand_print(struct errand *e, const struct buffer *text, int exit_code);

/* Closes everything, after the running callback. */
void errand_end(struct errand *e, int exit_code);
void errand_fail(struct errand *e, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));   /* with one line on standard error */

#endif
