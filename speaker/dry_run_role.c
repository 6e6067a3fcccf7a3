#include "speaker/dry_run_role.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "speaker/allocation_report.h"

struct dry_run_role {
	struct cluster *cluster;
	struct allocator *allocator;
	unsigned seen_revision;
	bool done;
};

void dry_run_role_init(struct dry_run_role **rolep, struct cluster *cluster)
{
	struct dry_run_role *role = mem_zalloc(sizeof(*role));
	role->cluster = cluster;
	role->allocator = allocator_new(cluster_model(cluster), NULL);
	*rolep = role;
}

static void tell(const struct model *m, const struct allocation *a)
{
	const struct service *s = model_service(m, a->service);
	if (!s || !model_is_ours(m, s))
		return;
	char *addresses = allocation_addresses(a);
	if (a->step != ALLOCATION_SETTLED)
		log_info("dryRun", KV("service", a->service, "ip", addresses, "pool", a->pool ? a->pool : ""), "Service %s: %s %s (nothing is written)", a->service,
			 allocation_verb(a, s), addresses);
	for (size_t i = 0; i < a->n_notices; i++)
		log_warn("dryRun", KV("service", a->service, "reason", a->notices[i].reason), "%s", a->notices[i].text);
	free(addresses);
}

void dry_run_role_step(void *data)
{
	struct dry_run_role *role = data;
	const struct model *m = cluster_model(role->cluster);
	const struct allocation *a;
	int64_t wake;
	if (!cluster_synced(role->cluster) || (role->done && role->seen_revision == m->revision))
		return;
	role->seen_revision = m->revision;
	role->done = true;
	allocator_plan(role->allocator, clock_now(), &wake);
	while ((a = allocator_next_news(role->allocator)))
		tell(m, a);
}

bool dry_run_role_done(const struct dry_run_role *role)
{
	return role->done;
}

const struct allocator *dry_run_role_allocator(const struct dry_run_role *role)
{
	return role->allocator;
}

void dry_run_role_close(struct dry_run_role *role)
{
	if (!role)
		return;
	allocator_free(role->allocator);
	free(role);
}
