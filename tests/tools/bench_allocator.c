/* The allocator alone, without an API server: what a decision costs as pools and Services grow. Prints a table; `make
 * bench-alloc` runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "speaker/allocator.h"

static struct service *service_new(unsigned i, const char *status)
{
	char text[768];
	struct service *s;
	snprintf(text, sizeof(text), "{\"metadata\": {\"name\": \"s%u\", \"namespace\": \"n\", \"uid\": \"u%u\", \"resourceVersion\": \"%u\", \"creationTimestamp\": \"2026-01-01T00:00:00Z\"%s},"
		 "\"spec\": {\"type\": \"LoadBalancer\", \"clusterIPs\": [\"10.96.0.1\"], \"ports\": [{\"port\": 80}]}, \"status\": {\"loadBalancer\": {\"ingress\": [%s]}}}", i, i, i + 1,
		 *status ? ", \"annotations\": {\"metallb.io/ip-allocated-from-pool\": \"p\"}" : "", status);
	json_t *json = json_loads(text, 0, NULL);
	if (!json || service_decode(json, &s, NULL) < 0)
		abort();
	json_decref(json);
	return s;
}

static void put_pool(struct model *m, const char *range)
{
	struct pool *p;
	char flag[128];
	snprintf(flag, sizeof(flag), "name=p,%s", range);
	if (pool_from_flag(flag, 1, &p, NULL) < 0)
		abort();
	model_put_pool(m, p);
}

/* n Services decided in one plan, then one more alone: microseconds each. */
static void measure(const char *range, unsigned n)
{
	struct model m;
	int64_t wake;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	put_pool(&m, range);
	for (unsigned i = 0; i < n; i++)
		model_put_service(&m, service_new(i, ""));
	int64_t start = clock_now();
	allocator_plan(a, 1, &wake);
	int64_t all = clock_now() - start;
	start = clock_now();
	for (unsigned i = 0; i < 200; i++) {
		model_put_service(&m, service_new(n + i, ""));
		allocator_plan(a, 1, &wake);
		while (allocator_next_news(a))
			;
	}
	printf("  %-18s %8u %14.2f us %14.2f us\n", range, n, (double)all / n, (double)(clock_now() - start) / 200);
	allocator_free(a);
	model_free(&m);
}

int main(void)
{
	printf("the allocator alone: a decision when all are decided at once; one more Service (with its decoding)\n");
	measure("10.0.0.0/24", 200);
	measure("10.0.0.0/16", 200);
	measure("10.0.0.0/8", 200);
	measure("fd00::/64,10.0.0.0/8", 200);
	measure("10.0.0.0/16", 10000);
	measure("10.0.0.0/8", 10000);
	measure("10.0.0.0/8", 100000);
	return 0;
}
