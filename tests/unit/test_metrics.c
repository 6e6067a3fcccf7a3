/* The registry of metrics and its text; the table of frames by address. */
#include <math.h>
#include <time.h>

#include "arp/tally.h"
#include "speaker/metrics.h"
#include "speaker/process_metrics.h"
#include "tests/unit/unit.h"

static void renders(struct metrics *m, const char *expected)
{
	struct buffer text = BUFFER_INIT;
	metrics_render(m, &text);
	assert_string_equal(buffer_string(&text), expected);
	buffer_free(&text);
}

static void renders_sorted(void **state)
{
	struct metrics *m = metrics_new();
	(void)state;
	renders(m, "");
	metrics_set(m, METRIC_ADDRESSES, KV("pool", "z"), 51);
	metrics_set(m, METRIC_ADDRESSES, KV("pool", "a"), 1);
	metrics_add(m, METRIC_UPDATES, NO_KV, 1);
	metrics_add(m, METRIC_UPDATES, NO_KV, 2);
	metrics_set(m, METRIC_IN_USE, KV("pool", "a"), 1);
	metrics_set(m, METRIC_IN_USE, KV("pool", "a"), 0);
	const char *text = "# HELP metallb_allocator_addresses_in_use_total Number of IP addresses in use, per pool\n"
			   "# TYPE metallb_allocator_addresses_in_use_total gauge\n"
			   "metallb_allocator_addresses_in_use_total{pool=\"a\"} 0\n"
			   "# HELP metallb_allocator_addresses_total Number of usable IP addresses, per pool\n"
			   "# TYPE metallb_allocator_addresses_total gauge\n"
			   "metallb_allocator_addresses_total{pool=\"a\"} 1\n"
			   "metallb_allocator_addresses_total{pool=\"z\"} 51\n"
			   "# HELP metallb_k8s_client_updates_total Number of times that changed Kubernetes objects were processed\n"
			   "# TYPE metallb_k8s_client_updates_total counter\n"
			   "metallb_k8s_client_updates_total 3\n";
	renders(m, text);
	renders(m, text);
	metrics_free(m);
	metrics_free(NULL);
}

static void labels_in_any_order_are_one_series(void **state)
{
	struct metrics *m = metrics_new();
	(void)state;
	metrics_add(m, "x", KV("b", "2", "a", "1"), 1);
	metrics_add(m, "x", KV("a", "1", "b", "2"), 1);
	metrics_add(m, "x", KV("a", "1"), 1);
	metrics_add(m, "x", KV("a", "1", "b", NULL), 1);   /* as in the log */
	metrics_add(m, "x", KV("a", ""), 5);
	renders(m, "x{a=\"\"} 5\nx{a=\"1\",b=\"2\"} 2\nx{a=\"1\"} 2\n");
	metrics_free(m);
}

static void escapes(void **state)
{
	static const struct {
		const char *in, *out;
	} ROWS[] = {
		{"plain", "plain"}, {"a\"b", "a\\\"b"}, {"a\\b", "a\\\\b"}, {"a\nb", "a\\nb"}, {"\\n", "\\\\n"}, {"\\u000a", "\\\\u000a"},
		{"a\tb\x1b\x7f", "a?b??"}, {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}, {"\xff", "?"}, {"{,=}", "{,=}"}, {"", ""}, {"\"", "\\\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct metrics *m = metrics_new();
		char *expected = mem_printf("x{a=\"%s\"} 1\n", ROWS[i].out);
		metrics_set(m, "x", KV("a", ROWS[i].in), 1);
		renders(m, expected);
		free(expected);
		metrics_free(m);
	}
}

static void writes_numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} ROWS[] = {
		{0, "0"}, {1, "1"}, {-3, "-3"}, {0.5, "0.5"}, {0.1, "0.1"}, {1.0 / 3, "0.33333333333333331"}, {14254080, "14254080"}, {1795538997.42, "1795538997.42"},
		{123456789012345, "123456789012345"}, {9007199254740993.0, "9007199254740992"}, {1e21, "1e+21"}, {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {NAN, "NaN"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct metrics *m = metrics_new();
		char *expected = mem_printf("x %s\n", ROWS[i].text);
		metrics_set(m, "x", NO_KV, ROWS[i].value);
		renders(m, expected);
		free(expected);
		metrics_free(m);
	}
}

static void removes(void **state)
{
	struct metrics *m = metrics_new();
	(void)state;
	metrics_clear(m, "x");
	metrics_remove(m, "x", KV("a", "1"));
	metrics_set(m, "x", KV("a", "1"), 1);
	metrics_set(m, "x", KV("a", "2"), 2);
	metrics_set(m, "y", NO_KV, 3);
	metrics_remove(m, "x", KV("a", "1"));
	metrics_remove(m, "x", KV("a", "3"));
	renders(m, "x{a=\"2\"} 2\ny 3\n");
	metrics_clear(m, "x");
	renders(m, "y 3\n");
	metrics_set(m, "x", KV("a", "1"), 4);
	renders(m, "x{a=\"1\"} 4\ny 3\n");
	metrics_free(m);
}

static void keeps_handles(void **state)
{
	struct metrics *m = metrics_new();
	(void)state;
	struct metric *s = metrics_series(m, METRIC_REQUESTS, KV("ip", "192.168.122.100"));
	assert_true(metric_value(s) == 0);
	for (int i = 0; i < 1000; i++) {   /* others come and go */
		char ip[32];
		snprintf(ip, sizeof(ip), "10.0.%d.%d", i / 256, i % 256);
		metrics_set(m, METRIC_REQUESTS, KV("ip", ip), i);
		if (i % 3)
			metrics_remove(m, METRIC_REQUESTS, KV("ip", ip));
	}
	metric_add(s, 2);
	metric_add(s, 3);
	assert_ptr_equal(s, metrics_series(m, METRIC_REQUESTS, KV("ip", "192.168.122.100")));
	assert_true(metric_value(s) == 5);
	metric_set(s, 1);
	assert_true(metric_value(metrics_series(m, METRIC_REQUESTS, KV("ip", "192.168.122.100"))) == 1);
	metrics_free(m);
}

static void collect(void *data, struct metrics *m)
{
	int *calls = data;
	metrics_clear(m, "x");
	++*calls;
	metrics_set(m, "x", KV("call", *calls % 2 ? "odd" : "even"), *calls);
}

static void collects_when_asked(void **state)
{
	struct metrics *m = metrics_new();
	int calls = 0;
	(void)state;
	metrics_on_collect(m, collect, &calls);
	assert_int_equal(calls, 0);
	renders(m, "x{call=\"odd\"} 1\n");
	renders(m, "x{call=\"even\"} 2\n");
	metrics_free(m);
}

static void knows_the_process(void **state)
{
	struct metrics *m = metrics_new();
	(void)state;
	process_metrics_collect(NULL, m);
	double memory = metric_value(metrics_series(m, METRIC_MEMORY, NO_KV)), started = metric_value(metrics_series(m, METRIC_START_TIME, NO_KV));
	assert_true(memory > 500e3 && memory < 100e9);
	assert_true(started > (double)time(NULL) - 300 && started < (double)time(NULL) + 2);
	assert_true(metric_value(metrics_series(m, METRIC_CPU, NO_KV)) < 300);
	metrics_free(m);
}

static void add_up(void *data, const struct tally_entry *entry)
{
	uint64_t *sums = data;
	sums[0] += entry->requests;
	sums[1] += entry->answers;
	sums[2] += entry->gratuitous;
	sums[3]++;
}

static void tallies(void **state)
{
	struct tally *t = tally_new();
	uint64_t sums[4] = {0};
	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		tally_at(t, i % 10)->requests++;
		tally_at(t, i % 10)->gratuitous += 2;
	}
	assert_int_equal(tally_at(t, 3)->requests, 10);
	assert_int_equal(tally_at(t, 3)->answers, 0);
	assert_int_equal(tally_at(t, 3)->address, 3);
	tally_each(t, add_up, sums);
	assert_int_equal(sums[0], 100);
	assert_int_equal(sums[2], 200);
	assert_int_equal(sums[3], 10);
	tally_free(t);
	tally_at(NULL, 1)->requests++;
	tally_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renders_sorted), cmocka_unit_test(labels_in_any_order_are_one_series), cmocka_unit_test(escapes),
		cmocka_unit_test(writes_numbers), cmocka_unit_test(removes), cmocka_unit_test(keeps_handles), cmocka_unit_test(collects_when_asked),
		cmocka_unit_test(knows_the_process), cmocka_unit_test(tallies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
