/* Flags of `l2lb verify`, `listen`, `move`, `drain` and `undrain`. */
#include "config/tool_options.h"
#include "tests/unit/unit.h"

#define ARGS_MAX 12

static const char *name_space;

static const char *environment(const char *name)
{
	return strcmp(name, "METALLB_NAMESPACE") == 0 ? name_space : NULL;
}

static int parse(struct tool_options *o, enum tool tool, const char *args, struct error *err)
{
	char *copy = mem_strdup(args), *rest = copy, *word, *argv[ARGS_MAX];
	int argc = 0;
	while ((word = strsep(&rest, " ")))
		if (*word)
			argv[argc++] = word;
	err->text[0] = '\0';
	int rc = tool_options_parse(o, tool, argc, argv, environment, err);
	free(copy);
	return rc;
}

static void parse_ok(struct tool_options *o, enum tool tool, const char *args)
{
	struct error err;
	if (parse(o, tool, args, &err) < 0)
		fail_msg("%s: %s", args, err.text);
}

static void verify_flags(void **state)
{
	struct tool_options o;
	char text[ADDRESS_TEXT];
	(void)state;
	parse_ok(&o, TOOL_VERIFY, "192.168.122.100 --interface virbr0 192.168.122.7 192.168.122.100 -o json --timeout=2s --context home --namespace lb");
	assert_int_equal(o.n_addresses, 2);   /* each once, in the order given */
	assert_string_equal(address_format(&o.addresses[0], text), "192.168.122.100");
	assert_string_equal(address_format(&o.addresses[1], text), "192.168.122.7");
	assert_string_equal(o.interface, "virbr0");
	assert_string_equal(o.cluster.context, "home");
	assert_string_equal(o.cluster.name_space, "lb");
	assert_string_equal(o.cluster.lb_class, "");
	assert_int_equal(o.timeout, 2000000);
	assert_true(o.json);
	assert_false(o.all);
	assert_false(o.no_api);
	tool_options_free(&o);
	parse_ok(&o, TOOL_VERIFY, "--all --kubeconfig=k --lb-class c --api-server https://x:1");
	assert_true(o.all);
	assert_int_equal(o.timeout, 900000);
	assert_string_equal(o.cluster.kubeconfig, "k");
	assert_string_equal(o.cluster.lb_class, "c");
	assert_string_equal(o.cluster.api_server, "https://x:1");
	tool_options_free(&o);
}

static void listen_flags(void **state)
{
	struct tool_options o;
	(void)state;
	parse_ok(&o, TOOL_LISTEN, "--pool 10.0.0.0/24,10.1.0.5 --pool 10.2.0.1-10.2.0.9 --count 5 --duration 3s --no-api --output text");
	assert_int_equal(o.n_ranges, 3);
	assert_true(address_equal(&o.ranges[1].first, &o.ranges[1].last));
	assert_int_equal(address_range_size(&o.ranges[2]), 9);
	assert_int_equal(o.count, 5);
	assert_int_equal(o.duration, 3000000);
	assert_true(o.no_api);
	assert_false(o.json);
	tool_options_free(&o);
}

static void handover_flags(void **state)
{
	struct tool_options o;
	char text[ADDRESS_TEXT];
	(void)state;
	parse_ok(&o, TOOL_MOVE, "192.168.122.100 --context home worker-2.lan --timeout 0 -o json --ignore-exclude-lb");
	assert_int_equal(o.n_addresses, 1);
	assert_string_equal(address_format(&o.addresses[0], text), "192.168.122.100");
	assert_string_equal(o.node, "worker-2.lan");
	assert_string_equal(o.cluster.context, "home");
	assert_int_equal(o.timeout, 0);
	assert_true(o.json);
	assert_true(o.cluster.ignore_exclude_label);
	tool_options_free(&o);
	parse_ok(&o, TOOL_DRAIN, "worker-1 --timeout 2m");
	assert_string_equal(o.node, "worker-1");
	assert_int_equal(o.timeout, 120000000);
	tool_options_free(&o);
	parse_ok(&o, TOOL_DRAIN, "worker-1");
	assert_int_equal(o.timeout, 10000000);
	tool_options_free(&o);
	parse_ok(&o, TOOL_UNDRAIN, "worker-1 --namespace lb");
	assert_string_equal(o.node, "worker-1");
	assert_string_equal(o.cluster.name_space, "lb");
	tool_options_free(&o);
}

static void namespace_of_the_environment(void **state)
{
	struct tool_options o;
	struct error err;
	(void)state;
	name_space = "from-env";
	parse_ok(&o, TOOL_LISTEN, "");
	assert_string_equal(o.cluster.name_space, "from-env");
	tool_options_free(&o);
	parse_ok(&o, TOOL_LISTEN, "--namespace flag");
	assert_string_equal(o.cluster.name_space, "flag");
	tool_options_free(&o);
	name_space = "Not_One";
	assert_int_equal(parse(&o, TOOL_LISTEN, "", &err), -EINVAL);
	unit_contains(err.text, "METALLB_NAMESPACE");
	tool_options_free(&o);
	name_space = NULL;
}

static void refused(void **state)
{
	static const struct {
		enum tool tool;
		const char *args, *says;
	} CASES[] = {
		{TOOL_VERIFY, "", "Name one or more, or --all"},
		{TOOL_VERIFY, "web", "\"web\" is not an address"},
		{TOOL_VERIFY, "192.168.122.300", "is not an address"},
		{TOOL_VERIFY, "192.168.122.0/24", "is not an address"},
		{TOOL_VERIFY, "fd00::1", "NDP"},
		{TOOL_VERIFY, "0.0.0.0", "cannot be the address of a host"},
		{TOOL_VERIFY, "224.0.0.1", "cannot be the address of a host"},
		{TOOL_VERIFY, "--all 192.168.122.1", "--all:"},
		{TOOL_VERIFY, "--all --no-api", "--all:"},
		{TOOL_VERIFY, "--all --timeout 1ms", "--timeout: \"1ms\" is out of bounds"},
		{TOOL_VERIFY, "--all --timeout soon", "--timeout:"},
		{TOOL_VERIFY, "--all --timeout", "--timeout: needs a value (TIME)"},
		{TOOL_VERIFY, "--all --interface a-name-that-is-too-long", "--interface:"},
		{TOOL_VERIFY, "--all -o yaml", "--output: \"yaml\""},
		{TOOL_VERIFY, "--all --no-api=true", "--no-api: takes no value"},
		{TOOL_VERIFY, "--all --count 3", "--count: unknown flag; see l2lb verify --help"},
		{TOOL_VERIFY, "--all --role speaker", "--role: unknown flag"},
		{TOOL_VERIFY, "--all ---all", "---all: unknown flag"},
		{TOOL_VERIFY, "--all --api-server here", "--api-server: \"here\" is not a URL"},
		{TOOL_VERIFY, "--all --kubeconfig", "--kubeconfig: needs a value"},
		{TOOL_LISTEN, "eth0", "\"eth0\": unexpected argument"},
		{TOOL_LISTEN, "--all", "--all: unknown flag; see l2lb listen --help"},
		{TOOL_LISTEN, "--count 0", "--count:"},
		{TOOL_LISTEN, "--count -1", "--count:"},
		{TOOL_LISTEN, "--duration 0s", "--duration:"},
		{TOOL_LISTEN, "--pool here", "--pool:"},
		{TOOL_LISTEN, "--pool 10.0.0.9-10.0.0.1", "--pool:"},
		{TOOL_LISTEN, "--pool fd00::/64", "NDP"},
		{TOOL_MOVE, "", "which address, and to which node? l2lb move ADDRESS NODE"},
		{TOOL_MOVE, "192.168.122.100", "l2lb move ADDRESS NODE"},
		{TOOL_MOVE, "worker-1 192.168.122.100", "\"worker-1\" is not an address"},
		{TOOL_MOVE, "fd00::1 worker-1", "NDP"},
		{TOOL_MOVE, "192.168.122.100 worker-1 worker-2", "\"worker-2\": unexpected argument; see l2lb move --help"},
		{TOOL_MOVE, "192.168.122.100 Worker", "\"Worker\" is not the name of a node"},
		{TOOL_MOVE, "192.168.122.100 ../nodes", "is not the name of a node"},
		{TOOL_MOVE, "192.168.122.100 .a", "is not the name of a node"},
		{TOOL_MOVE, "192.168.122.100 a-", "is not the name of a node"},
		{TOOL_MOVE, "192.168.122.100 a --timeout 2h", "--timeout: \"2h\" is out of bounds (0 to 1h)"},
		{TOOL_MOVE, "192.168.122.100 a --all", "--all: unknown flag; see l2lb move --help"},
		{TOOL_DRAIN, "", "drain: which node? l2lb drain NODE"},
		{TOOL_DRAIN, "a b", "\"b\": unexpected argument; see l2lb drain --help"},
		{TOOL_UNDRAIN, "", "undrain: which node? l2lb undrain NODE"},
		{TOOL_UNDRAIN, "a --timeout 1s", "--timeout: unknown flag; see l2lb undrain --help"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct tool_options o;
		struct error err;
		if (parse(&o, CASES[i].tool, CASES[i].args, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", CASES[i].args);
		unit_contains(err.text, CASES[i].says);
		tool_options_free(&o);
	}
}

static void help(void **state)
{
	struct tool_options o;
	struct buffer text = BUFFER_INIT;
	(void)state;
	parse_ok(&o, TOOL_VERIFY, "--help");   /* although no address is named */
	assert_true(o.help);
	tool_options_free(&o);
	parse_ok(&o, TOOL_LISTEN, "-h");
	assert_true(o.help);
	tool_options_free(&o);
	tool_options_usage(TOOL_VERIFY, &text);
	unit_contains(buffer_string(&text), "--timeout TIME");
	unit_contains(buffer_string(&text), "--kubeconfig FILE");
	assert_null(strstr(buffer_string(&text), "--duration"));
	assert_null(strstr(buffer_string(&text), "--role"));
	buffer_reset(&text, 0);
	tool_options_usage(TOOL_LISTEN, &text);
	unit_contains(buffer_string(&text), "--duration TIME");
	assert_null(strstr(buffer_string(&text), "--timeout"));
	static const enum tool HANDOVER[] = {TOOL_MOVE, TOOL_DRAIN, TOOL_UNDRAIN};
	for (size_t i = 0; i < COUNT(HANDOVER); i++) {
		static const char *const USAGE[] = {"usage: l2lb move ADDRESS NODE", "usage: l2lb drain NODE", "usage: l2lb undrain NODE"};
		buffer_reset(&text, 0);
		tool_options_usage(HANDOVER[i], &text);
		unit_contains(buffer_string(&text), USAGE[i]);
		unit_contains(buffer_string(&text), "--kubeconfig FILE");
		unit_contains(buffer_string(&text), "Exit status: 0 done");
		assert_int_equal(strstr(buffer_string(&text), "--timeout") != NULL, HANDOVER[i] != TOOL_UNDRAIN);
	}
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verify_flags), cmocka_unit_test(listen_flags), cmocka_unit_test(handover_flags), cmocka_unit_test(namespace_of_the_environment),
		cmocka_unit_test(refused),      cmocka_unit_test(help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
