/* What the kernel's filter lets through: pools in use, and what Services keep of those that are not. */
#include "speaker/names.h"
#include "speaker/pool_ranges.h"
#include "tests/unit/support.h"

static void has(struct model *m, const char *service, const char *ip, const char *from_pool)
{
	char *key = mem_printf("shop/%s", service), *uid = mem_printf("u-%s", service), *annotations = mem_printf("'" ANNOTATION_FROM_POOL "': '%s'", from_pool);
	support_service(m, (struct support_service){.name = service, .annotations = annotations, .ips = ip});
	support_record(m, (struct support_record){.address = ip, .services = key, .uids = uid});
	free(key);
	free(uid);
	free(annotations);
}

static void are(const struct model *m, const char *wanted)
{
	struct ipv4_range *ranges;
	struct buffer text = BUFFER_INIT;
	size_t n = pool_ranges(m, &ranges);
	for (size_t i = 0; i < n; i++) {
		char first[ADDRESS_TEXT], last[ADDRESS_TEXT];
		struct address a = address_from_v4(ranges[i].first), b = address_from_v4(ranges[i].last);
		buffer_printf(&text, "%s%s-%s", i ? " " : "", address_format(&a, first), address_format(&b, last));
	}
	assert_string_equal(text.len ? text.data : "", wanted);
	buffer_free(&text);
	free(ranges);
}

static void in_use(void **state)
{
	struct model m;
	(void)state;
	model_init(&m, "", false);
	are(&m, "");
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.9', 'fd00::/120', '10.1.0.0/24']");
	has(&m, "a", "10.9.9.9", "p");   /* not of the pool any more: the controller moves it */
	are(&m, "10.0.0.1-10.0.0.9 10.1.0.0-10.1.0.255");
	model_free(&m);
}

static void not_in_use(void **state)
{
	struct model m;
	(void)state;
	model_init(&m, "", false);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.9']");
	support_malformed_pool(&m, "bad");
	are(&m, "10.0.0.1-10.0.0.9");
	has(&m, "far", "10.7.0.0", "bad");
	has(&m, "a", "10.5.0.200", "bad");   /* near each other: one range, whatever the order */
	has(&m, "b", "10.5.0.1", "bad");
	has(&m, "c", "10.5.1.199", "bad");
	has(&m, "d", "10.5.2.199", "bad");   /* 256 away: another one */
	has(&m, "of-p", "10.0.0.5", "p");
	has(&m, "of-nothing", "10.8.0.1", "no-such-pool");
	has(&m, "six", "fd00::1", "bad");
	are(&m, "10.0.0.1-10.0.0.9 10.5.0.1-10.5.1.199 10.5.2.199-10.5.2.199 10.7.0.0-10.7.0.0");
	model_drop_service(&m, "shop/far");   /* its record is about to go */
	are(&m, "10.0.0.1-10.0.0.9 10.5.0.1-10.5.1.199 10.5.2.199-10.5.2.199");
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_use), cmocka_unit_test(not_in_use)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
