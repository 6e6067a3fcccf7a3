/* The decision table of kubernetes-client.md section 1.3. */
#include "k8sclient/watch_policy.h"
#include "tests/unit/unit.h"

#define S INT64_C(1000000)

static void table(void **state)
{
	static const struct {
		const char *what;
		struct watch_end end;
		enum watch_next next;
	} ROWS[] = {
		{"clean end at its time", {.status = 200, .lasted = 400 * S}, WATCH_AGAIN},
		{"clean end at its time, after failures", {.status = 200, .lasted = 400 * S, .failures = 3}, WATCH_AGAIN},
		{"clean end at once with an event", {.status = 200, .lasted = S / 10, .events = 1}, WATCH_AGAIN},
		{"clean end at once without one", {.status = 200, .lasted = S / 10}, LIST_AFTER_BACKOFF},
		{"clean end after a second", {.status = 200, .lasted = S}, WATCH_AGAIN},
		{"refused", {.error = -ECONNREFUSED}, WATCH_AFTER_BACKOFF},
		{"refused for long", {.error = -ECONNREFUSED, .failures = 500}, WATCH_AFTER_BACKOFF},
		{"TLS", {.error = -EPROTO}, WATCH_AFTER_BACKOFF},
		{"DNS", {.error = -EHOSTUNREACH}, WATCH_AFTER_BACKOFF},
		{"reset in the stream", {.status = 200, .error = -EIO, .lasted = 50 * S, .events = 5}, WATCH_AFTER_BACKOFF},
		{"stalled", {.status = 200, .error = -ETIMEDOUT, .lasted = 150 * S}, WATCH_AFTER_BACKOFF},
		{"a line that is no event", {.status = 200, .error = -EBADMSG, .lasted = 5 * S}, WATCH_AFTER_BACKOFF},
		{"429", {.status = 429}, WATCH_AFTER_BACKOFF},
		{"429, four before", {.status = 429, .failures = 4}, WATCH_AFTER_BACKOFF},
		{"500", {.status = 500}, WATCH_AFTER_BACKOFF},
		{"502", {.status = 502}, WATCH_AFTER_BACKOFF},
		{"503 by body", {.status = 503, .code = 503}, WATCH_AFTER_BACKOFF},
		{"500 in the stream", {.status = 200, .code = 500, .lasted = 5 * S, .events = 1}, WATCH_AFTER_BACKOFF},
		{"500 in the stream, again and again", {.status = 200, .code = 500, .failures = 5}, LIST_AFTER_BACKOFF},
		{"500, again and again", {.status = 500, .failures = 5}, LIST_AFTER_BACKOFF},
		{"HTTP 410", {.status = 410}, LIST_AGAIN},
		{"HTTP 410 with a Status", {.status = 410, .code = 410}, LIST_AGAIN},
		{"410 in the stream", {.status = 200, .code = 410, .lasted = 5 * S, .events = 1}, LIST_AGAIN},
		{"410 after an outage", {.status = 410, .code = 410, .failures = 9}, LIST_AGAIN},
		{"410 once more", {.status = 410, .code = 410, .failures = 1, .expired = 1}, LIST_AFTER_BACKOFF},
		{"410 in the stream once more", {.status = 200, .code = 410, .expired = 1}, LIST_AFTER_BACKOFF},
		{"504, a version of the future", {.status = 504, .too_large_version = true}, LIST_AFTER_BACKOFF},
		{"401", {.status = 401}, WAIT_DENIED},
		{"403", {.status = 403, .code = 403}, WAIT_DENIED},
		{"403 in the stream", {.status = 200, .code = 403}, WAIT_DENIED},
		{"404", {.status = 404}, WAIT_MISSING},
		{"404 of a CRD that was removed", {.status = 200, .code = 404}, WAIT_MISSING},
		{"list refused", {.listing = true, .error = -ECONNREFUSED}, LIST_AFTER_BACKOFF},
		{"list 429", {.listing = true, .status = 429}, LIST_AFTER_BACKOFF},
		{"list 500", {.listing = true, .status = 500}, LIST_AFTER_BACKOFF},
		{"list 504", {.listing = true, .status = 504}, LIST_AFTER_BACKOFF},
		{"list cut off", {.listing = true, .status = 200, .error = -EIO}, LIST_AFTER_BACKOFF},
		{"list that is no list", {.listing = true, .status = 200, .error = -EBADMSG}, LIST_AFTER_BACKOFF},
		{"list page expired", {.listing = true, .status = 410, .code = 410}, LIST_AGAIN},
		{"list page expired once more", {.listing = true, .status = 410, .expired = 1}, LIST_AFTER_BACKOFF},
		{"list 401", {.listing = true, .status = 401}, WAIT_DENIED},
		{"list 403", {.listing = true, .status = 403}, WAIT_DENIED},
		{"list 404", {.listing = true, .status = 404}, WAIT_MISSING},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		enum watch_next next = watch_decide(&ROWS[i].end);
		if (next != ROWS[i].next)
			fail_msg("%s: %d instead of %d", ROWS[i].what, next, ROWS[i].next);
	}
}

static void waits(void **state)
{
	static const struct { int64_t retry_after; unsigned failures; int64_t planned; double random; int64_t wait; } ROWS[] = {
		{0, 0, 5 * S, 0.5, 5 * S}, {S, 0, 400000, 0, S}, {S, 0, 400000, 0.5, S + S / 8},
		{S, 19, 10 * S, 0, S}, {S, 20, 10 * S, 0, 10 * S}, {30 * S, 20, 10 * S, 0, 30 * S}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++)
		assert_int_equal(watch_wait(&(struct watch_end){.status = 429, .retry_after = ROWS[i].retry_after, .failures = ROWS[i].failures},
					    ROWS[i].planned, ROWS[i].random), ROWS[i].wait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(waits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
