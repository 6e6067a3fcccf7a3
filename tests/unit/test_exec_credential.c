/* Exec credential plugins: their place in a kubeconfig, what they are told, what they answer. kubernetes-client.md section 2.6. */
#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "k8sclient/exec_credential.h"
#include "tests/unit/unit.h"

#define V1 "client.authentication.k8s.io/v1"
#define BETA "client.authentication.k8s.io/v1beta1"
#define CERT "-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----\\n"
#define KEY "-----BEGIN EC PRIVATE KEY-----\\nx\\n-----END EC PRIVATE KEY-----\\n"
#define ANSWER(status) "{'apiVersion': '" V1 "', 'kind': 'ExecCredential', 'status': " status "}"

static struct exec_config *config_of(const char *exec, const char *cluster)
{
	struct exec_config *config = NULL;
	struct error err = {""};
	json_t *e = unit_json(exec), *c = unit_json(cluster);
	if (exec_config_decode(&config, e, c, &err) < 0)
		fail_msg("%s", err.text);
	json_decref(e);
	json_decref(c);
	return config;
}

static void whole_config(void **state)
{
	(void)state;
	struct exec_config *c = config_of("{'apiVersion': '" BETA "', 'command': 'aws', 'args': ['eks', '', null, 'get-token'], "
					  "'env': [{'name': 'AWS_PROFILE', 'value': 'home'}, {'name': 'EMPTY', 'value': null}, {'name': 'NONE'}], "
					  "'installHint': '\\n Get it from\\n\\n  https://x \\u0001\\n', 'interactiveMode': 'IfAvailable', 'provideClusterInfo': true}",
					  "{'extensions': [{'name': 'other', 'extension': 1}, {'name': 'client.authentication.k8s.io/exec', 'extension': {'a': ['b']}}]}");
	assert_string_equal(c->api_version, BETA);
	assert_string_equal(c->command, "aws");
	static const char *const ARGUMENTS[] = {"eks", "", "", "get-token"}, *const VARIABLES[] = {"AWS_PROFILE=home", "EMPTY=", "NONE="};
	for (size_t i = 0; i < COUNT(ARGUMENTS); i++)
		assert_string_equal(c->arguments[i], ARGUMENTS[i]);
	assert_null(c->arguments[COUNT(ARGUMENTS)]);
	for (size_t i = 0; i < COUNT(VARIABLES); i++)
		assert_string_equal(c->environment[i], VARIABLES[i]);
	assert_null(c->environment[COUNT(VARIABLES)]);
	assert_string_equal(c->install_hint, "Get it from https://x");
	assert_true(c->give_cluster);
	json_t *extension = unit_json("{'a': ['b']}");
	assert_true(json_equal(c->cluster_config, extension));
	json_decref(extension);
	exec_config_free(c);
	c = config_of("{'apiVersion': '" V1 "', 'command': 'x', 'args': null, 'env': null, 'interactiveMode': 'Never', 'provideClusterInfo': false}",
		      "{'extensions': [{'name': 'client.authentication.k8s.io/exec', 'extension': {}}]}");
	assert_null(c->arguments[0]);
	assert_null(c->environment[0]);
	assert_null(c->install_hint);
	assert_false(c->give_cluster);
	assert_null(c->cluster_config);
	exec_config_free(c);
	exec_config_free(NULL);
}

static void refuses_what_cannot_work(void **state)
{
	static const struct {
		const char *exec, *says;
	} BAD[] = {
		{"{}", "exec has no command; name the program"},
		{"'text'", "exec has no command"},
		{"{'apiVersion': '" V1 "', 'command': ''}", "exec has no command"},
		{"{'apiVersion': '" V1 "', 'command': ['x']}", "exec has no command"},
		{"{'command': 'x'}", "exec plugin \"x\": it has no apiVersion; write client.authentication.k8s.io/v1"},
		{"{'command': 'x', 'apiVersion': 'client.authentication.k8s.io/v1alpha1'}",
		 "exec plugin \"x\": apiVersion client.authentication.k8s.io/v1alpha1 is no longer used (Kubernetes removed it in 1.24); update the plugin and write"},
		{"{'command': 'x', 'apiVersion': 'v1'}", "apiVersion \"v1\" is not known; write client.authentication.k8s.io/v1 or v1beta1"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'interactiveMode': 'Always'}", "interactiveMode: Always), which a daemon has not; use"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'interactiveMode': 'never'}", "interactiveMode \"never\" is not known; write Never"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'args': 'a'}", "args is not a list"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'args': ['a', true]}", "args[1] is not text; put it in quotes"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'env': {'A': 'b'}}", "env is not a list of name and value"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'env': [{'value': 'b'}]}", "env[0] has no usable name"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'env': [{'name': 'A=B', 'value': 'b'}]}", "env[0] has no usable name"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'env': [7]}", "env[0] has no usable name"},
		{"{'command': 'x', 'apiVersion': '" V1 "', 'env': [{'name': 'A', 'value': false}]}", "env A: the value is not text"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct exec_config *config = NULL;
		struct error err = {""};
		json_t *exec = unit_json(BAD[i].exec);
		if (exec_config_decode(&config, exec, NULL, &err) != -EINVAL)
			fail_msg("accepted: %s", BAD[i].exec);
		unit_contains(err.text, BAD[i].says);
		assert_null(config);
		json_decref(exec);
	}
}

static void is_told(void **state)
{
	struct credentials c = {.server = (char[]){"https://h:6443"}, .ca = {.data = (char[]){"pem"}, .len = 3}};
	(void)state;
	struct exec_config *config = config_of("{'apiVersion': '" V1 "', 'command': 'x'}", "{}");
	char *info = exec_config_info(config, &c);
	assert_string_equal(info, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"spec\":{\"interactive\":false}}");
	free(info);
	exec_config_free(config);
	config = config_of("{'apiVersion': '" V1 "', 'command': 'x', 'provideClusterInfo': true}", "{}");
	info = exec_config_info(config, &c);
	assert_string_equal(info, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"spec\":{\"interactive\":false,"
				  "\"cluster\":{\"server\":\"https://h:6443\",\"certificate-authority-data\":\"cGVt\"}}}");
	free(info);
	exec_config_free(config);
	c.tls_server_name = (char[]){"name"};
	c.proxy = (char[]){"http://proxy"};
	config = config_of("{'apiVersion': '" V1 "', 'command': 'x', 'provideClusterInfo': true}",
			   "{'extensions': [{'name': 'client.authentication.k8s.io/exec', 'extension': {'audience': 'a'}}]}");
	info = exec_config_info(config, &c);
	unit_contains(info, "\"tls-server-name\":\"name\"");
	unit_contains(info, "\"proxy-url\":\"http://proxy\"");
	unit_contains(info, "\"config\":{\"audience\":\"a\"}");
	free(info);
	exec_config_free(config);
}

static void environment(void **state)
{
	char *const base[] = {(char[]){"PATH=/bin"}, (char[]){"KUBERNETES_EXEC_INFO=old"}, (char[]){"A=1"}, (char[]){"AB=2"}, NULL};
	static const char *const WANT[] = {"PATH=/bin", "KUBERNETES_EXEC_INFO={}", "A=new=er", "AB=2", "C=", NULL};
	(void)state;
	struct exec_config *config = config_of("{'apiVersion': '" V1 "', 'command': 'x', 'env': [{'name': 'A', 'value': 'new'}, {'name': 'C'}, "
					       "{'name': 'A', 'value': 'new=er'}, {'name': 'KUBERNETES_EXEC_INFO', 'value': 'mine'}]}", "{}");
	char **list = exec_config_environment(config, base, "{}");
	for (size_t i = 0; WANT[i]; i++)
		assert_string_equal(list[i], WANT[i]);
	assert_null(list[COUNT(WANT) - 1]);
	exec_strings_free(list);
	char *const none[] = {NULL};
	list = exec_config_environment(config, none, "{}");
	assert_string_equal(list[0], "A=new=er");
	exec_strings_free(list);
	exec_config_free(config);
}

static char *double_quoted(const char *text)
{
	char *copy = mem_strdup(text);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

static int answer(struct exec_credential *out, const char *single_quoted, struct error *err)
{
	char *text = double_quoted(single_quoted);
	err->text[0] = '\0';
	int rc = exec_credential_decode(out, text, strlen(text), V1, err);
	free(text);
	return rc;
}

static void takes_answers(void **state)
{
	struct exec_credential got;
	struct error err;
	(void)state;
	assert_int_equal(answer(&got, " " ANSWER("{'token': 'abc\\n', 'expirationTimestamp': '2030-01-31T12:00:00Z', 'new': []}") "\n\n", &err), 0);
	assert_string_equal(got.token.data, "abc");
	assert_int_equal(got.token.len, 3);
	assert_null(got.certificate.data);
	assert_true(got.expires == INT64_C(1896091200) * CLOCK_S);
	exec_credential_free(&got);
	assert_int_equal(answer(&got, ANSWER("{'clientCertificateData': '" CERT "', 'clientKeyData': '" KEY "', 'expirationTimestamp': null}"), &err), 0);
	assert_null(got.token.data);
	unit_contains(got.certificate.data, "BEGIN CERTIFICATE-----\nx\n");
	assert_int_equal(got.certificate.len, strlen(got.certificate.data));
	unit_contains(got.key.data, "EC PRIVATE KEY");
	assert_true(got.expires == EXEC_NO_EXPIRY);
	exec_credential_free(&got);
	assert_int_equal(answer(&got, ANSWER("{'token': 't', 'clientCertificateData': '" CERT "', 'clientKeyData': '" KEY "'}"), &err), 0);
	assert_non_null(got.token.data);
	assert_non_null(got.key.data);
	exec_credential_free(&got);
	/* A big token (OIDC) is one like any other. */
	char *big = mem_zalloc(40000), *text;
	memset(big, 'x', 39999);
	text = mem_printf(ANSWER("{'token': '%s'}"), big);
	assert_int_equal(answer(&got, text, &err), 0);
	assert_int_equal(got.token.len, 39999);
	exec_credential_free(&got);
	free(big);
	free(text);
}

static void refuses_bad_answers(void **state)
{
	static const struct {
		const char *text, *says;
	} BAD[] = {
		{"", "it printed nothing"},
		{" \r\n\t", "it printed nothing"},
		{"secret-token", "its output is not JSON (line 1, column "},
		{"{'kind': 'ExecCredential'", "not JSON (line 1"},
		{ANSWER("{'token': 't'}") " x", "not JSON"},
		{ANSWER("{'token': 't\\u0000'}"), "not JSON"},
		{"[]", "its output is no ExecCredential"},
		{"{'kind': 'Status', 'apiVersion': '" V1 "', 'status': {'token': 't'}}", "no ExecCredential"},
		{"{'apiVersion': '" V1 "', 'status': {'token': 't'}}", "no ExecCredential"},
		{"{'kind': 'ExecCredential', 'status': {'token': 't'}}", "it answers in apiVersion \"\", asked for was " V1},
		{"{'kind': 'ExecCredential', 'apiVersion': '" BETA "', 'status': {'token': 't'}}",
		 "it answers in apiVersion \"" BETA "\", asked for was " V1 "; write in the kubeconfig what the plugin knows"},
		{"{'kind': 'ExecCredential', 'apiVersion': '" V1 "'}", "its output has no status"},
		{ANSWER("null"), "its output has no status"},
		{ANSWER("[]"), "its output has no status"},
		{ANSWER("{}"), "neither a token nor a client certificate"},
		{ANSWER("{'token': ''}"), "neither a token nor a client certificate"},
		{ANSWER("{'token': 7}"), "token is not text"},
		{ANSWER("{'token': 't', 'clientKeyData': {}}"), "clientKeyData is not text"},
		{ANSWER("{'token': 'a b'}"), "token: the token holds blanks or control characters"},
		{ANSWER("{'token': 'a\\r\\nX-Header: b'}"), "token: the token holds blanks or control characters"},
		{ANSWER("{'token': ' \\n'}"), "token: empty"},
		{ANSWER("{'token': 't', 'clientCertificateData': '" CERT "'}"), "belong together; one is missing"},
		{ANSWER("{'clientKeyData': '" KEY "'}"), "belong together; one is missing"},
		{ANSWER("{'clientCertificateData': 'Y2VydA==', 'clientKeyData': '" KEY "'}"), "clientCertificateData is not PEM"},
		{ANSWER("{'clientCertificateData': '" CERT "', 'clientKeyData': 'a2V5'}"), "clientKeyData is not PEM"},
		{ANSWER("{'token': 't', 'expirationTimestamp': 'tomorrow'}"), "expirationTimestamp is not an RFC 3339 time"},
		{ANSWER("{'token': 't', 'expirationTimestamp': ''}"), "expirationTimestamp is not an RFC 3339 time"},
		{ANSWER("{'token': 't', 'expirationTimestamp': 1896091200}"), "expirationTimestamp is not an RFC 3339 time"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct exec_credential got;
		struct error err;
		if (answer(&got, BAD[i].text, &err) != -EINVAL)
			fail_msg("accepted: %s", BAD[i].text);
		unit_contains(err.text, BAD[i].says);
		assert_null(strstr(err.text, "secret"));
		assert_null(got.token.data);
		assert_null(got.certificate.data);
		assert_null(got.key.data);
	}
}

static void bytes_that_are_no_text(void **state)
{
	static const char BYTES[] = "\0\1\2\xff\xfe{";
	struct exec_credential got;
	struct error err;
	(void)state;
	assert_int_equal(exec_credential_decode(&got, BYTES, sizeof(BYTES) - 1, V1, &err), -EINVAL);
	unit_contains(err.text, "not JSON");
	/* Nested beyond all reason. */
	char *deep = mem_zalloc(100001);
	memset(deep, '[', 100000);
	assert_int_equal(exec_credential_decode(&got, deep, 100000, V1, &err), -EINVAL);
	free(deep);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds, micro;
	} GOOD[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2030-01-31T12:00:00Z", 1896091200, 0},
		{"2030-01-31t12:00:00z", 1896091200, 0},
		{"2030-01-31 12:00:00+00:00", 1896091200, 0},
		{"2030-01-31T13:30:00+01:30", 1896091200, 0},
		{"2030-01-31T04:00:00-08:00", 1896091200, 0},
		{"2030-01-31T12:00:00.5Z", 1896091200, 500000},
		{"2030-01-31T12:00:00.123456789Z", 1896091200, 123456},
		{"2024-02-29T00:00:00Z", 1709164800, 0},
		{"2016-12-31T23:59:60Z", 1483228800, 0},   /* a leap second */
		{"9999-12-31T23:59:59Z", INT64_C(253402300799), 0},
		{"0001-01-01T00:00:00Z", INT64_C(-62135596800), 0},   /* Go's zero time */
	};
	static const char *const BAD[] = {
		"", "now", "2030", "2030-01-31", "2030-01-31T12:00:00", "2030-01-31T12:00Z", "2030-1-31T12:00:00Z", "2030-13-01T00:00:00Z",
		"2030-00-01T00:00:00Z", "2030-01-32T00:00:00Z", "2030-01-00T00:00:00Z", "2030-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
		"2030-01-31T24:00:00Z", "2030-01-31T12:60:00Z", "2030-01-31T12:00:61Z", "2030-01-31T12:00:00.Z", "2030-01-31T12:00:00,5Z",
		"2030-01-31T12:00:00+1:00", "2030-01-31T12:00:00+0100", "2030-01-31T12:00:00+24:00", "2030-01-31T12:00:00+00:60",
		"2030-01-31T12:00:00Z ", " 2030-01-31T12:00:00Z", "2030-01-31T12:00:00ZZ", "-030-01-31T12:00:00Z", "20300-01-31T12:00:00Z",
		"2030-01-31T12:00:00+", "2030-01-31T12:00:00-01",
	};
	int64_t got;
	(void)state;
	for (size_t i = 0; i < COUNT(GOOD); i++) {
		if (!rfc3339_parse(GOOD[i].text, &got))
			fail_msg("refused: %s", GOOD[i].text);
		if (got != GOOD[i].seconds * CLOCK_S + GOOD[i].micro)
			fail_msg("%s is %lld", GOOD[i].text, (long long)got);
	}
	for (size_t i = 0; i < COUNT(BAD); i++)
		if (rfc3339_parse(BAD[i], &got))
			fail_msg("accepted: %s", BAD[i]);
}

static void kept_for(void **state)
{
	static const struct {
		int64_t left, keep;   /* seconds; the second doubled */
	} ROWS[] = {{3600, 2 * 3540}, {121, 2 * 61}, {120, 120}, {119, 119}, {60, 60}, {1, 1}, {0, 0}, {-1, 0}, {-100000, 0}};
	const int64_t now = INT64_C(1896091200) * CLOCK_S;
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++)
		assert_true(exec_credential_keep(now + ROWS[i].left * CLOCK_S, now) == ROWS[i].keep * CLOCK_S / 2);
	assert_true(exec_credential_keep(EXEC_NO_EXPIRY, now) == EXEC_NO_EXPIRY);
	assert_true(exec_credential_keep(INT64_C(-62135596800) * CLOCK_S, now) == 0);
}

static void base64_both_ways(void **state)
{
	static const char *const ROWS[][2] = {{"", ""}, {"p", "cA=="}, {"pe", "cGU="}, {"pem", "cGVt"}, {"\xff\xfe\xfd", "//79"}};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = base64_encode(ROWS[i][0], strlen(ROWS[i][0]));
		assert_string_equal(text, ROWS[i][1]);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_config), cmocka_unit_test(refuses_what_cannot_work), cmocka_unit_test(is_told),
		cmocka_unit_test(environment), cmocka_unit_test(takes_answers), cmocka_unit_test(refuses_bad_answers),
		cmocka_unit_test(bytes_that_are_no_text), cmocka_unit_test(times), cmocka_unit_test(kept_for), cmocka_unit_test(base64_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
