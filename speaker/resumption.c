#include "speaker/resumption.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "speaker/saved_state.h"
#include "speaker/state_file.h"

#define PATIENCE (5 * CLOCK_S)   /* from our start; the API server knows better than the file */
#define SPACING CLOCK_S

struct resumption {
	char *path, *node;
	int64_t started_at, write_at;
	bool pending;           /* something may have changed since the last write */
	bool tried, said;
	char *written;
	unsigned revision;      /* what it was made of, to be asked often */
	struct address *addresses;
	size_t n;
	struct model *model;
};

void resumption_init(struct resumption **rp, const char *path, const char *node, int64_t now)
{
	struct resumption *r = mem_zalloc(sizeof(*r));
	mem_replace(&r->path, path);
	r->node = mem_strdup(node);
	r->started_at = now;
	*rp = r;
}

void resumption_close(struct resumption *r)
{
	if (!r)
		return;
	resumption_end(r);
	free(r->path);
	free(r->node);
	free(r->written);
	free(r->addresses);
	free(r);
}

void resumption_end(struct resumption *r)
{
	if (!r->model)
		return;
	model_free(r->model);
	free(r->model);
	r->model = NULL;
	log_info("resumeEnded", NO_KV, "the API server answers: by its word from now on");
}

static int load(const char *path, const char *node, struct model **mp, struct error *err)
{
	char *text;
	int rc = state_file_read(path, &text);
	if (rc < 0)
		return error_set(err, rc, "%s", strerror(-rc));
	rc = saved_state_decode(text, node, mp, err);
	free(text);
	return rc;
}

struct model *resumption_model(struct resumption *r, int64_t now)
{
	struct error err;
	if (r->model || !r->path || r->tried || now < r->started_at + PATIENCE)
		return r->model;
	r->tried = true;
	int rc = load(r->path, r->node, &r->model, &err);
	if (rc == 0)
		log_warn("resuming", KV("file", r->path), "the API server does not answer; asking on the wire for the %u addresses that were ours, and resuming those "
			 "that nobody answers for", HASH_COUNT(r->model->records));
	else if (rc != -ENOENT)
		log_warn("stateUnusable", KV("file", r->path), "%s: %s; waiting for the API server", r->path, err.text);
	return r->model;
}

/* The same as at the last time; else it is noted. */
static bool is_old(struct resumption *r, const struct model *m, const struct address *addresses, size_t n)
{
	bool same = r->written && r->revision == m->revision && r->n == n;
	for (size_t i = 0; same && i < n; i++)
		same = address_equal(&r->addresses[i], &addresses[i]);
	if (same)
		return true;
	r->revision = m->revision;
	r->n = n;
	r->addresses = mem_realloc(r->addresses, (n + 1) * sizeof(*addresses));
	for (size_t i = 0; i < n; i++)
		r->addresses[i] = addresses[i];
	return false;
}

void resumption_remember(struct resumption *r, const struct model *m, const struct address *addresses, size_t n, int64_t now)
{
	if (!r->path)
		return;
	r->pending = now < r->write_at;
	if (r->pending || is_old(r, m, addresses, n))
		return;
	r->write_at = now + SPACING;   /* of the work, not of the writes only */
	char *text = saved_state_encode(m, r->node, addresses, n);
	if (r->written && strcmp(text, r->written) == 0) {
		free(text);
		return;
	}
	int rc = state_file_write(r->path, text);
	if (rc < 0 && !r->said)
		log_warn("stateNotWritten", KV("file", r->path), "%s: %s; a restart without the API server will resume nothing", r->path, strerror(-rc));
	r->said = r->pending = rc < 0;   /* it is tried again */
	free(r->written);
	r->written = rc < 0 ? NULL : text;
	if (rc < 0)
		free(text);
}

int64_t resumption_deadline(const struct resumption *r, bool synced)
{
	if (!r->path)
		return CLOCK_NEVER;
	if (synced)
		return r->pending ? r->write_at : CLOCK_NEVER;
	return r->tried ? CLOCK_NEVER : r->started_at + PATIENCE;
}

bool resumption_possible(const char *path, const char *node)
{
	struct model *m;
	struct error err;
	if (!path || load(path, node, &m, &err) < 0)
		return false;
	model_free(m);
	free(m);
	return true;
}
