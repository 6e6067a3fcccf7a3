/* Flags, environment and defaults of `l2lb run`. */
#include "config/options.h"
#include "tests/unit/unit.h"

#define ARGS_MAX 12

static const char *const *environment;   /* name, value, ..., NULL */

static const char *from_environment(const char *name)
{
	for (size_t i = 0; environment && environment[i]; i += 2)
		if (strcmp(environment[i], name) == 0)
			return environment[i + 1];
	return NULL;
}

/* args: blank separated; '_' stands for an empty argument. */
static int parse(struct options *o, const char *args, const char *const *env, struct error *err)
{
	char *copy = mem_strdup(args), *rest = copy, *word, *argv[ARGS_MAX];
	int argc = 0;
	while ((word = strsep(&rest, " ")))
		if (*word)
			argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
	environment = env;
	err->text[0] = '\0';
	int rc = options_parse(o, argc, argv, from_environment, err);
	free(copy);
	return rc;
}

static void parse_ok(struct options *o, const char *args, const char *const *env)
{
	struct error err;
	if (parse(o, args, env, &err) < 0)
		fail_msg("%s: %s", args, err.text);
}

static void defaults(void **state)
{
	struct options o;
	(void)state;
	parse_ok(&o, "--role controller", NULL);
	assert_true(o.controller);
	assert_false(o.speaker);
	assert_null(o.kubeconfig);
	assert_null(o.name_space);
	assert_null(o.node_name);
	assert_string_equal(o.lb_class, "");
	assert_int_equal(o.n_pools, 0);
	assert_int_equal(o.log_level, LOG_LEVEL_INFO);
	assert_false(o.ignore_exclude_label);
	assert_int_equal(o.liveness_interval, 100000);
	assert_int_equal(o.gratuitous_interval, 60000000);
	assert_int_equal(o.foreign_silence, 60000000);
	assert_false(o.give_up);
	assert_int_equal(o.api_stall, 150000000);
	assert_int_equal(o.api_retry_max, 10000000);
	assert_int_equal(o.port, 9120);
	assert_int_equal(o.health_probe_port, 17472);
	assert_null(o.metrics_cert_dir);
	assert_false(o.metrics_auth);
	assert_int_equal(o.tls_min_version, 13);
	assert_int_equal(o.n_ignored, 0);
	assert_false(o.help);
	options_free(&o);
}

static void all_flags(void **state)
{
	struct options o;
	(void)state;
	parse_ok(&o, "-role=all --kubeconfig /k --context=c --api-server https://1.2.3.4:6443 --namespace ns-1 --node-name n1", NULL);
	assert_true(o.controller && o.speaker);
	assert_string_equal(o.kubeconfig, "/k");
	assert_string_equal(o.context, "c");
	assert_string_equal(o.api_server, "https://1.2.3.4:6443");
	assert_string_equal(o.name_space, "ns-1");
	assert_string_equal(o.node_name, "n1");
	options_free(&o);
	parse_ok(&o, "--role=controller --pod-name p --pod-uid=u --lb-class x/y --log-level debug --liveness-interval=250ms", NULL);
	assert_string_equal(o.pod_name, "p");
	assert_string_equal(o.pod_uid, "u");
	assert_string_equal(o.lb_class, "x/y");
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(o.liveness_interval, 250000);
	options_free(&o);
	parse_ok(&o, "--role=controller --gratuitous-arp-interval 0 --on-conflict move --foreign-silence 5s --ignore-exclude-lb --api-stall-timeout 30s --api-retry-max=2m", NULL);
	assert_int_equal(o.gratuitous_interval, 0);
	assert_int_equal(o.foreign_silence, 5000000);
	assert_true(o.give_up);
	assert_true(o.ignore_exclude_label);
	assert_int_equal(o.api_stall, 30000000);
	assert_int_equal(o.api_retry_max, 120000000);
	options_free(&o);
	parse_ok(&o, "--role=controller --port=0 --health-probe-port 65535 --metrics-cert-dir=/certs --metrics-auth --tls-min-version=VersionTLS12", NULL);
	assert_int_equal(o.port, 0);
	assert_int_equal(o.health_probe_port, 65535);
	assert_string_equal(o.metrics_cert_dir, "/certs");
	assert_true(o.metrics_auth);
	assert_int_equal(o.tls_min_version, 12);
	options_free(&o);
	parse_ok(&o, "--role=controller --port=0 --health-probe-port 0 --metrics-cert-dir= --tls-min-version= --metrics-auth=false", NULL);
	assert_null(o.metrics_cert_dir);
	assert_int_equal(o.tls_min_version, 13);
	options_free(&o);
	parse_ok(&o, "--role=controller --ignore-exclude-lb=true --ignore-exclude-lb=false --lb-class=a --lb-class=", NULL);
	assert_false(o.ignore_exclude_label);
	assert_string_equal(o.lb_class, "");   /* the last one counts */
	options_free(&o);
}

static void pools(void **state)
{
	struct options o;
	(void)state;
	parse_ok(&o, "--role=controller --pool 10.0.0.0/24 --pool=10.0.1.0/24,10.0.2.1-10.0.2.9 --pool 10.0.3.0/24,name=x,autoAssign=false", NULL);
	assert_int_equal(o.n_pools, 3);
	assert_string_equal(o.pools[0]->meta.name, "default-pool");
	assert_string_equal(o.pools[1]->meta.name, "pool-2");
	assert_int_equal(o.pools[1]->n_ranges, 2);
	assert_string_equal(o.pools[2]->meta.name, "x");
	assert_false(o.pools[2]->auto_assign);
	options_free(&o);
}

static void help(void **state)
{
	static const char *const WAYS[] = {"--help", "-h", "-help", "--role speaker --help", "--h"};
	(void)state;
	for (size_t i = 0; i < COUNT(WAYS); i++) {
		struct options o;
		parse_ok(&o, WAYS[i], NULL);   /* before required ones are missed */
		assert_true(o.help);
		options_free(&o);
	}
	struct buffer text = BUFFER_INIT;
	options_usage(&text);
	static const char *const FLAGS[] = {"--role", "--kubeconfig", "--context", "--api-server", "--namespace", "--node-name", "--pod-name", "--pod-uid",
					    "--pool", "--lb-class", "--log-level", "--liveness-interval", "--gratuitous-arp-interval", "--on-conflict", "--foreign-silence",
					    "--ignore-exclude-lb", "--api-stall-timeout", "--api-retry-max", "METALLB_NODE_NAME", "Exit status"};
	for (size_t i = 0; i < COUNT(FLAGS); i++)
		unit_contains(buffer_string(&text), FLAGS[i]);
	buffer_free(&text);
}

static void refuses(void **state)
{
	static const struct {
		const char *args, *says;
	} BAD[] = {
		{"", "--role: required"},
		{"--role", "--role: needs a value"},
		{"--role cook", "--role: \"cook\" is not a role"},
		{"--role=", "--role: \"\" is not a role"},
		{"--role speaker", "--node-name: required for a speaker"},
		{"--role all", "--node-name: required for a speaker"},
		{"--role controller extra", "\"extra\": unexpected argument"},
		{"--role controller -", "unexpected argument"},
		{"--role controller --", "unexpected argument"},
		{"--role controller ---pool 1.2.3.0/24", "unexpected argument"},
		{"--role controller --colour=red", "--colour: unknown flag"},
		{"--role controller --kubeconfig=", "--kubeconfig: needs a value"},
		{"--role controller --kubeconfig _", "--kubeconfig: needs a value"},
		{"--role controller --api-server 1.2.3.4:6443", "--api-server: \"1.2.3.4:6443\" is not a URL"},
		{"--role controller --namespace Shop", "--namespace: \"Shop\" is not a namespace's name"},
		{"--role controller --namespace -a", "--namespace: \"-a\""},
		{"--role controller --namespace a-", "--namespace: \"a-\""},
		{"--role controller --namespace _", "--namespace: \"\""},
		{"--role controller --namespace aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "--namespace:"},
		{"--role controller --pool 1.2.3.4", "--pool: invalid CIDR \"1.2.3.4\": it has no prefix length"},
		{"--role controller --pool 1.2.3.0/24 --pool 1.2.3.9-1.2.3.9", "--pool: \"1.2.3.9-1.2.3.9\" overlaps with pool default-pool"},
		{"--role controller --pool 1.2.3.0/24,name=x --pool 1.2.4.0/24,name=x", "--pool: two pools are named x"},
		{"--role controller --log-level loud", "--log-level: \"loud\" is not a level"},
		{"--role controller --liveness-interval 9ms", "--liveness-interval: \"9ms\" is out of bounds (10ms to 10s)"},
		{"--role controller --liveness-interval 11", "--liveness-interval: \"11\" is out of bounds"},
		{"--role controller --gratuitous-arp-interval 10ms", "--gratuitous-arp-interval: \"10ms\" is out of bounds"},
		{"--role controller --on-conflict yield", "--on-conflict: \"yield\" is not a way to meet a conflict (defend, move)"},
		{"--role controller --foreign-silence 10ms", "--foreign-silence: \"10ms\" is out of bounds (1s to 24h)"},
		{"--role controller --gratuitous-arp-interval soon", "--gratuitous-arp-interval: \"soon\" is not a time"},
		{"--role controller --api-stall-timeout 0", "--api-stall-timeout: \"0\" is out of bounds"},
		{"--role controller --api-retry-max 2h", "--api-retry-max: \"2h\" is out of bounds"},
		{"--role controller --ignore-exclude-lb=yes", "--ignore-exclude-lb: \"yes\" is neither true nor false"},
		{"--role controller --port 65536", "--port: \"65536\" is not a port"},
		{"--role controller --port=-1", "--port: \"-1\" is not a port"},
		{"--role controller --port=", "--port: \"\" is not a port"},
		{"--role controller --port=80a", "--port: \"80a\" is not a port"},
		{"--role controller --health-probe-port 99999999999999999999", "--health-probe-port:"},
		{"--role controller --health-probe-port 9120", "--health-probe-port: 9120 is --port's"},
		{"--role controller --tls-min-version VersionTLS11", "--tls-min-version: \"VersionTLS11\""},
		{"--role controller --metrics-auth=on", "--metrics-auth: \"on\" is neither true nor false"},
		{"--role controller --ignore-exclude-lb true", "\"true\": unexpected argument"},   /* as in Go */
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct options o;
		struct error err;
		if (parse(&o, BAD[i].args, NULL, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", BAD[i].args);
		unit_contains(err.text, BAD[i].says);
		options_free(&o);
	}
}

static void uses_environment(void **state)
{
	static const char *const ENV[] = {"METALLB_NAMESPACE", "from-env", "METALLB_NODE_NAME", "second", "NODE_NAME", "first", "POD_NAME", "pod",
					  "POD_UID", "uid", "METALLB_GRATUITOUS_ARP_INTERVAL", "0", NULL};
	static const char *const SECOND[] = {"METALLB_NODE_NAME", "second", "NODE_NAME", "", "METALLB_POD_NAME", "mpod", "POD_NAME", "pod", NULL};
	static const char *const BAD[] = {"METALLB_GRATUITOUS_ARP_INTERVAL", "soon", NULL};
	struct options o;
	struct error err;
	(void)state;
	parse_ok(&o, "--role speaker", ENV);
	assert_string_equal(o.name_space, "from-env");
	assert_string_equal(o.node_name, "first");
	assert_string_equal(o.pod_name, "pod");
	assert_string_equal(o.pod_uid, "uid");
	assert_int_equal(o.gratuitous_interval, 0);
	options_free(&o);
	parse_ok(&o, "--role speaker --node-name flag --namespace=flag-ns --gratuitous-arp-interval 5s", ENV);
	assert_string_equal(o.name_space, "flag-ns");
	assert_string_equal(o.node_name, "flag");
	assert_int_equal(o.gratuitous_interval, 5000000);
	options_free(&o);
	parse_ok(&o, "--role speaker", SECOND);   /* an empty variable is none */
	assert_string_equal(o.node_name, "second");
	assert_string_equal(o.pod_name, "mpod");
	options_free(&o);
	assert_int_equal(parse(&o, "--role controller", BAD, &err), -EINVAL);
	unit_contains(err.text, "METALLB_GRATUITOUS_ARP_INTERVAL: \"soon\" is not a time");
	options_free(&o);
	parse_ok(&o, "--role controller --gratuitous-arp-interval 1s", BAD);   /* the flag hides it */
	options_free(&o);
}

static void notes_what_metallb_has_more(void **state)
{
	static const char *const ENV[] = {"METALLB_ML_LABELS", "app=metallb", "METALLB_HOST", "1.2.3.4", "METALLB_BGP_TYPE", "", NULL};
	struct options o;
	(void)state;
	parse_ok(&o, "--cert-dir=/tmp --role=controller --webhook-mode disabled --disable-cert-rotation --log-level=warn --ml-bindport 7946", ENV);
	static const char *const IGNORED[] = {"--cert-dir", "--webhook-mode", "--disable-cert-rotation", "--ml-bindport", "METALLB_ML_LABELS", "METALLB_HOST"};
	assert_int_equal(o.n_ignored, COUNT(IGNORED));
	for (size_t i = 0; i < COUNT(IGNORED); i++)
		assert_true(strings_contain(o.ignored, o.n_ignored, IGNORED[i]));
	assert_int_equal(o.log_level, LOG_LEVEL_WARN);
	options_free(&o);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t us;   /* -1: refused */
	} ROWS[] = {
		{"100ms", 100000}, {"1.5s", 1500000}, {"60s", 60000000}, {"2m", 120000000}, {"1h", 3600000000}, {"7", 7000000}, {"0", 0}, {"0s", 0},
		{".5s", 500000}, {"250us", 250}, {"0.0004ms", 0}, {"", -1}, {"s", -1}, {"-1s", -1}, {"1d", -1}, {"1 s", -1}, {" 1s", -1}, {"1s ", -1},
		{"1m30s", -1}, {"1e3", -1}, {"0x10", -1}, {"0x10s", -1}, {"1.2.3s", -1}, {".", -1}, {"inf", -1}, {"nan", -1}, {"1e400", -1},
		{"999999999999999999999h", -1}, {"1S", -1},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		int64_t us = -7;
		struct error err = {""};
		int rc = options_duration(ROWS[i].text, &us, &err);
		if (rc != (ROWS[i].us < 0 ? -EINVAL : 0))
			fail_msg("\"%s\": %d", ROWS[i].text, rc);
		assert_int_equal(us, ROWS[i].us < 0 ? -7 : ROWS[i].us);
		if (rc < 0)
			unit_contains(err.text, "is not a time; write it as");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(all_flags), cmocka_unit_test(pools), cmocka_unit_test(help), cmocka_unit_test(refuses),
		cmocka_unit_test(uses_environment), cmocka_unit_test(notes_what_metallb_has_more), cmocka_unit_test(durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
