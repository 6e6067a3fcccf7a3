/* What `l2lb verify` found out, for people (a table, then what is to be said) and programs (JSON). Pure. */
#ifndef SPEAKER_VERIFICATION_REPORT_H
#define SPEAKER_VERIFICATION_REPORT_H

#include "config/base/buffer.h"
#include "speaker/arping_forecast.h"
#include "speaker/verification.h"

struct verification_report {
	const struct verification *verifications;
	const struct arping_forecast *forecasts;   /* one for each */
	size_t n;
	const char *name_space;                    /* whose records; NULL: not compared */
	bool colour;
};

/* Both return how many are wrong. */
size_t verification_table(const struct verification_report *r, struct buffer *out);
size_t verification_json(const struct verification_report *r, struct buffer *out);

#endif
