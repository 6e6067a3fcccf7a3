/* The queue by due time against a plain array. */
#include "arp/due_queue.h"
#include "tests/unit/support.h"

#define NODES 60

struct reference {
	struct due node;
	bool in;
	int64_t at;
	unsigned turn;
};

static const struct reference *least(const struct reference *all)
{
	const struct reference *found = NULL;
	for (size_t i = 0; i < NODES; i++)
		if (all[i].in && (!found || all[i].at < found->at || (all[i].at == found->at && all[i].turn < found->turn)))
			found = &all[i];
	return found;
}

static void random_history(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct reference all[NODES] = {0};
		struct due_queue q = {0};
		uint64_t chance = seed;
		size_t n = 0;
		for (unsigned turn = 0; turn < 4000; turn++) {
			struct reference *r = &all[support_pick(&chance, NODES)];
			if (support_chance(&chance, turn % 1000 < 600 ? 60 : 35)) {
				n += !r->in;
				r->in = true;
				r->at = support_pick(&chance, 50);
				r->turn = turn;
				due_queue_put(&q, &r->node, r->at);
			} else {
				n -= r->in;
				r->in = false;
				due_queue_remove(&r->node);
			}
			const struct reference *want = least(all);
			assert_int_equal(q.n, n);
			assert_ptr_equal(due_queue_first(&q), want ? &want->node : NULL);
			assert_ptr_equal(r->node.queue, r->in ? &q : NULL);
		}
		due_queue_free(&q);
		assert_null(due_queue_first(&q));
	}
}

static void between_queues(void **state)
{
	(void)state;
	struct due_queue a = {0}, b = {0};
	struct due one = {0}, two = {0};
	due_queue_put(&a, &one, 5);
	due_queue_put(&a, &two, 5);
	assert_ptr_equal(due_queue_first(&a), &one);   /* who came first */
	due_queue_put(&b, &one, 9);
	assert_ptr_equal(due_queue_first(&a), &two);
	assert_ptr_equal(due_queue_first(&b), &one);
	due_queue_put(&a, &two, 5);
	due_queue_put(&a, &one, 5);
	assert_ptr_equal(due_queue_first(&a), &two);
	assert_null(due_queue_first(&b));
	due_queue_free(&a);
	due_queue_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_history), cmocka_unit_test(between_queues)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
