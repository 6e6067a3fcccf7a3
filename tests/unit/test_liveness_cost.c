/* What watching costs: frames of each node, whatever the number of nodes. Addresses do not come into it: nodes are watched, and
 * the core knows no others. ownership.md, "Cost". */
#define MAX_NODES 1002
#include "tests/unit/liveness_lab.h"

#include "config/base/crypto.h"

#define SECONDS 10
#define BOUND 61   /* frames a second that a node sends at T = 100 ms: 20 requests, 20 answers of its kernel, 20 of its speaker; rounding */
#define BLOCK 24   /* neighbours in the ring with cores of their own, where there are too many nodes for that */

struct place {
	size_t node;
	uint8_t hash[SHA256_SIZE];
};

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct place *)a)->hash, ((const struct place *)b)->hash, SHA256_SIZE);
}

static void ring_of(const struct segment *s, size_t n, struct place *ring)
{
	for (size_t i = 0; i < n; i++) {
		ring[i].node = i;
		sha256(s->nodes[i].is.name, strlen(s->nodes[i].is.name), ring[i].hash);
	}
	qsort(ring, n, sizeof(*ring), by_hash);
}

/* All nodes are in every table. Cores have the first `cores` of the ring, doubles answer for the others: what a node does depends
 * on its table and on what it hears, so that all the others would do the same. */
static struct segment *large(size_t n, size_t cores, struct place *ring)
{
	struct segment *s = segment(1, n, 1, T);
	ring_of(s, n, ring);
	for (size_t i = 0; i < n; i++)
		s->nodes[ring[i].node].double_ = i >= cores;
	for (size_t i = 0; i < cores; i++)
		start_speaker(s, ring[i].node);
	run(s, 2 * CLOCK_S);
	s->n_said = 0;
	return s;
}

/* The most frames that one of them sends in a second; *leastp: the fewest. Those who are watched by cores only: a double asks
 * nobody. */
static double per_second(struct segment *s, const struct place *ring, size_t from, size_t to, double *leastp)
{
	double most = 0;
	*leastp = 1e9;
	for (size_t i = 0; i < s->n; i++)
		s->nodes[i].sent = s->nodes[i].answered = 0;
	run(s, SECONDS * CLOCK_S);
	for (size_t i = from; i < to; i++) {
		const struct node *node = &s->nodes[ring[i].node];
		if (!node->kernel)
			continue;
		double sent = (double)(node->sent + node->answered) / SECONDS;
		most = sent > most ? sent : most;
		*leastp = sent < *leastp ? sent : *leastp;
	}
	return most;
}

static void constant(void **state)
{
	static const size_t SIZES[] = {3, 100, 1000};
	static struct place ring[MAX_NODES];
	(void)state;
	for (size_t k = 0; k < sizeof(SIZES) / sizeof(*SIZES); k++) {
		size_t n = SIZES[k], cores = n > 100 ? BLOCK : n;
		struct segment *s = large(n, cores, ring);
		double least, most = per_second(s, ring, 0, cores == n ? n : cores - 2, &least);
		print_message("%4zu nodes: %.1f to %.1f frames a second sent by a node\n", n, least, most);
		assert_true(most <= BOUND);
		assert_true(least >= BOUND - 3);   /* the same for all: everybody is watched, by two */
		assert_int_equal(s->n_said, 0);
		for (size_t i = cores; i < n; i++)   /* a broadcast would have reached them: nobody asks whom he does not watch */
			assert_true(i < cores + 2 || i >= n - 2 || s->nodes[ring[i].node].answered == 0);
		segment_free(s);
	}
}

/* One of 1,000 is dead: found in time, by those who watch it, and no more is sent afterwards than two seconds of alarms and, for
 * each of its watchers, one more whom it watches. */
static void with_a_dead_one(void **state)
{
	static struct place ring[MAX_NODES];
	(void)state;
	struct segment *s = large(1000, BLOCK, ring);
	size_t dead = ring[BLOCK / 2].node;
	double least;
	s->nodes[dead].kernel = s->nodes[dead].speaker = false;
	int64_t since = s->now;
	run(s, 2 * CLOCK_S);
	for (size_t i = BLOCK / 2 + 1; i <= BLOCK / 2 + 2; i++) {
		int64_t at = when(s, ring[i].node, dead, LIVENESS_DEAD);
		assert_true(at != CLOCK_NEVER && at - since <= worst(T));
	}
	double most = per_second(s, ring, 0, BLOCK - 2, &least);
	print_message("1000 nodes, one dead: %.1f to %.1f frames a second sent by a node\n", least, most);
	assert_true(most <= BOUND + 11);
	segment_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(constant), cmocka_unit_test(with_a_dead_one)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
