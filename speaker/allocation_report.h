/* What each Service has or would get, for people (a table) and programs (JSON): the output of --once and --dry-run. Pure. */
#ifndef SPEAKER_ALLOCATION_REPORT_H
#define SPEAKER_ALLOCATION_REPORT_H

#include "config/base/buffer.h"
#include "speaker/allocator.h"

/* One row a Service of ours, by name. Returns how many have no address (to be). */
size_t allocation_report(struct buffer *out, const struct allocator *a, const struct model *m, bool json);

/* What is (to be) done for one Service: "has", "gets", "moves to", "loses", "waits"; for the log too. */
const char *allocation_verb(const struct allocation *a, const struct service *s);

/* "192.168.122.100" or "a, b"; "-" without any. To free(). */
char *allocation_addresses(const struct allocation *a);

#endif
