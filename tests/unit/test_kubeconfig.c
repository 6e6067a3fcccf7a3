/* kubeconfig text to credentials, and the files it names. kubernetes-client.md section 2. */
#include <sys/stat.h>
#include <unistd.h>

#include "k8sclient/exec_credential.h"
#include "tests/unit/unit.h"

/* "pem" in base64 is cGVt. */
#define CLUSTER "{name: k, cluster: {server: 'https://1.2.3.4:6443', certificate-authority-data: cGVt}}"
#define ONE(cluster, user)                                                                                                              \
	"current-context: c\nclusters: [{name: k, cluster: {" cluster "}}]\nusers: [{name: u, user: {" user "}}]\n"                       \
	"contexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define SERVER "server: 'https://1.2.3.4:6443'"

static char *folder;   /* of one test, for files */

static int make_folder(void **state)
{
	(void)state;
	folder = mem_strdup("/tmp/l2lb-unit-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char *command = mem_printf("rm -rf %s", folder);
	(void)state;
	int rc = system(command);
	free(command);
	free(folder);
	return rc;
}

static char *write_file(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int decode(struct credentials *c, const char *text, const char *context, struct error *err)
{
	*c = (struct credentials){0};
	err->text[0] = '\0';
	return kubeconfig_decode(c, text, strlen(text), "/etc/k/config", context, err);
}

static const char FULL[] =
	"apiVersion: v1\n"
	"kind: Config\n"
	"preferences: {}\n"
	"current-context: home\n"
	"clusters:\n"
	"- name: home\n"
	"  cluster:\n"
	"    certificate-authority-data: >-\n"
	"      cGVt\n"
	"      cGVt\n"
	"    server: https://192.168.122.10:6443/\n"
	"    tls-server-name: kubernetes\n"
	"    proxy-url: http://proxy:3128\n"
	"- cluster: {server: https://other:443, certificate-authority: pki/ca.crt, insecure-skip-tls-verify: false}\n"
	"  name: other\n"
	"contexts:\n"
	"- context: {cluster: home, user: admin, namespace: metallb-system}\n"
	"  name: home\n"
	"- context: {cluster: other, user: robot}\n"
	"  name: away\n"
	"- context: {cluster: other, user: file}\n"
	"  name: rotating\n"
	"- context: {cluster: other}\n"
	"  name: nobody\n"
	"- context: {cluster: other, user: robot, namespace: second}\n"
	"  name: home\n"
	"users:\n"
	"- name: admin\n"
	"  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}\n"
	"- name: robot\n"
	"  user: {token: 12345, client-certificate: c.pem, client-key: /abs/k.pem}\n"
	"- name: file\n"
	"  user: {token: start, tokenFile: token}\n";

static void whole_file(void **state)
{
	struct credentials c;
	struct error err;
	(void)state;
	assert_int_equal(decode(&c, FULL, NULL, &err), 0);
	assert_string_equal(c.server, "https://192.168.122.10:6443/");
	assert_string_equal(c.tls_server_name, "kubernetes");
	assert_string_equal(c.proxy, "http://proxy:3128");
	assert_string_equal(c.name_space, "metallb-system");
	assert_string_equal(c.ca.data, "pempem");
	assert_int_equal(c.ca.len, 6);
	assert_null(c.ca.file);
	assert_string_equal(c.certificate.data, "cert");
	assert_string_equal(c.key.data, "key");
	assert_null(c.token.data);
	credentials_free(&c);
	assert_int_equal(decode(&c, FULL, "away", &err), 0);
	assert_string_equal(c.server, "https://other:443");
	assert_null(c.name_space);
	assert_string_equal(c.ca.file, "/etc/k/pki/ca.crt");   /* relative to the kubeconfig */
	assert_string_equal(c.certificate.file, "/etc/k/c.pem");
	assert_string_equal(c.key.file, "/abs/k.pem");
	assert_string_equal(c.token.data, "12345");
	assert_int_equal(c.token.len, 5);
	credentials_free(&c);
	assert_int_equal(decode(&c, FULL, "rotating", &err), 0);
	assert_string_equal(c.token.file, "/etc/k/token");   /* wins over `token` */
	credentials_free(&c);
	assert_int_equal(decode(&c, FULL, "nobody", &err), 0);
	assert_null(c.token.data);
	assert_null(c.certificate.file);
	credentials_free(&c);
}

static void takes_json(void **state)
{
	static const char JSON[] = "{\"current-context\": \"c\", \"clusters\": [{\"name\": \"k\", \"cluster\": {\"server\": \"https://h:1\"}}],"
				   " \"users\": [{\"name\": \"u\", \"user\": {\"token\": \"t\\u0065\"}}],"
				   " \"contexts\": [{\"name\": \"c\", \"context\": {\"cluster\": \"k\", \"user\": \"u\"}}]}";
	struct credentials c;
	struct error err;
	(void)state;
	if (decode(&c, JSON, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.server, "https://h:1");
	assert_string_equal(c.token.data, "te");
	credentials_free(&c);
}

static void refuses_to_be_unsafe_or_vague(void **state)
{
	static const struct {
		const char *text, *says;
	} BAD[] = {
		{ONE(SERVER ", insecure-skip-tls-verify: true", "token: t"), "cluster \"k\": insecure-skip-tls-verify is refused: TLS is always verified; give certificate-authority"},
		{ONE(SERVER ", insecure-skip-tls-verify: 'true'", "token: t"), "insecure-skip-tls-verify is refused"},
		{ONE(SERVER, "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1alpha1}"), "user \"u\": exec plugin \"aws\": apiVersion client.authentication.k8s.io/v1alpha1 is no longer used"},
		{ONE(SERVER, "exec: {}"), "user \"u\": exec has no command"},
		{ONE(SERVER, "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}, auth-provider: {name: oidc}"), "auth-provider is not supported"},
		{ONE(SERVER ", insecure-skip-tls-verify: true", "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}"), "insecure-skip-tls-verify is refused"},
		{ONE(SERVER, "auth-provider: {name: gcp}"), "auth-provider is not supported"},
		{ONE(SERVER, "username: a, password: b"), "username and password are not supported"},
		{ONE(SERVER, "password: b"), "username and password are not supported"},
		{ONE(SERVER, "token: t, as: root"), "impersonation"},
		{ONE(SERVER ", certificate-authority: /ca, certificate-authority-data: cGVt", "token: t"),
		 "certificate-authority and certificate-authority-data are both set; keep one"},
		{ONE(SERVER, "client-certificate: /c, client-certificate-data: cGVt, client-key: /k"), "client-certificate and client-certificate-data are both set"},
		{ONE(SERVER, "client-certificate: /c, client-key: /k, client-key-data: cGVt"), "client-key and client-key-data are both set"},
		{ONE(SERVER, "client-certificate: /c"), "belong together"},
		{ONE(SERVER, "client-key-data: cGVt"), "belong together"},
		{ONE(SERVER ", certificate-authority-data: '***'", "token: t"), "certificate-authority-data is not base64"},
		{ONE(SERVER, "client-certificate-data: x, client-key-data: cGVt"), "client-certificate-data is not base64"},
		{ONE("", "token: t"), "cluster \"k\": the cluster has no server"},
		{ONE("server: ''", "token: t"), "the cluster has no server"},
		{ONE("server: '1.2.3.4:6443'", "token: t"), "server \"1.2.3.4:6443\" needs a scheme; write it as https://"},
		{ONE("server: 'ftp://1.2.3.4'", "token: t"), "needs a scheme"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct credentials c;
		struct error err;
		if (decode(&c, BAD[i].text, NULL, &err) != -EINVAL)
			fail_msg("accepted: %s", BAD[i].text);
		unit_contains(err.text, BAD[i].says);
		assert_int_equal(strncmp(err.text, "kubeconfig /etc/k/config: ", 26), 0);
		assert_null(strchr(err.text, '\n'));
		credentials_free(&c);
	}
}

static void exec_plugins(void **state)
{
	static const struct {
		const char *command, *resolved;
	} ROWS[] = {{"aws", "aws"}, {"bin/aws", "/etc/k/bin/aws"}, {"../aws", "/etc/k/../aws"}, {"/bin/aws", "/bin/aws"}};
	struct credentials c;
	struct error err;
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		char *text = mem_printf(ONE(SERVER, "exec: {command: %s, apiVersion: client.authentication.k8s.io/v1beta1, args: [eks, 1], env: [{name: A, value: 1}], "
						    "provideClusterInfo: true}, token: ''"), ROWS[i].command);
		if (decode(&c, text, NULL, &err) < 0)
			fail_msg("%s", err.text);
		assert_non_null(c.exec);
		assert_string_equal(c.exec->command, ROWS[i].resolved);
		assert_string_equal(c.exec->arguments[1], "1");
		assert_string_equal(c.exec->environment[0], "A=1");
		assert_true(c.exec->give_cluster);
		assert_int_equal(c.state, CREDENTIALS_AWAITED);
		credentials_free(&c);
		free(text);
	}
	/* Numbers stay numbers in what is handed on to it, and only there. */
	static const char TYPED[] = ONE(SERVER ", extensions: [{name: client.authentication.k8s.io/exec, extension: {n: 5, f: -1.5e3, s: '5', o: 010, t: [true, null, x]}}]",
					"exec: {command: x, apiVersion: client.authentication.k8s.io/v1, provideClusterInfo: true, args: [5]}");
	if (decode(&c, TYPED, NULL, &err) < 0)
		fail_msg("%s", err.text);
	json_t *want = unit_json("{'n': 5, 'f': -1500.0, 's': '5', 'o': '010', 't': [true, null, 'x']}");
	assert_true(json_equal(c.exec->cluster_config, want));
	assert_string_equal(c.exec->arguments[0], "5");
	json_decref(want);
	credentials_free(&c);
	/* What is given outright needs no plugin, not even one that could work. */
	static const char *const EXPLICIT[] = {
		ONE(SERVER, "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}, token: t"),
		ONE(SERVER, "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1alpha1}, tokenFile: t"),
		ONE(SERVER, "exec: {}, client-certificate-data: cGVt, client-key-data: cGVt"),
		ONE(SERVER, "exec: null"),
	};
	for (size_t i = 0; i < COUNT(EXPLICIT); i++) {
		if (decode(&c, EXPLICIT[i], NULL, &err) < 0)
			fail_msg("%s", err.text);
		assert_null(c.exec);
		assert_int_equal(c.state, CREDENTIALS_READY);
		credentials_free(&c);
	}
}

static void refuses_what_names_nothing(void **state)
{
	static const struct {
		const char *text, *context, *says;
	} BAD[] = {
		{FULL, "gone", "context \"gone\" does not exist"},
		{"clusters: [" CLUSTER "]", NULL, "no current-context; choose one with --context"},
		{"current-context: ''", NULL, "no current-context"},
		{"current-context: c", NULL, "context \"c\" does not exist"},
		{"contexts: [{name: c, context: {cluster: zz, user: u}}]", "c", "context \"c\": cluster \"zz\" does not exist"},
		{"contexts: [{name: c, context: {user: u}}]", "c", "cluster \"\" does not exist"},
		{"contexts: [{name: c}]", "c", "cluster \"\" does not exist"},
		{"clusters: [" CLUSTER "]\ncontexts: [{name: c, context: {cluster: k, user: zz}}]", "c", "context \"c\": user \"zz\" does not exist"},
		{"contexts: c", "c", "context \"c\" does not exist"},
		{"contexts: [c, 7, null, []]", "c", "context \"c\" does not exist"},
		{"{}", "c", "context \"c\" does not exist"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct credentials c;
		struct error err;
		if (decode(&c, BAD[i].text, BAD[i].context, &err) != -EINVAL)
			fail_msg("accepted: %s", BAD[i].text);
		unit_contains(err.text, BAD[i].says);
		credentials_free(&c);
	}
}

static void refuses_broken_text(void **state)
{
	static const struct {
		const char *text, *says;
	} BAD[] = {
		{"", "empty, or not plain YAML"},
		{"# nothing\n", "empty, or not plain YAML"},
		{"just text", "not a kubeconfig"},
		{"- a\n- b\n", "not a kubeconfig"},
		{"a: b\n c: d\n", "line 2: "},
		{"a: [b\n", "line 2: "},
		{"a: 'b\n", "line 2: "},
		{"\ta: b\n", "line 1: "},
		{"a: *nowhere\n", "line 1: "},
		{"a: &a [*a]\n", "not plain YAML"},   /* contains itself */
		{"{a: b}: c\n", "not plain YAML"},
		{"a: b\n---\nc: d\n", "more than one document"},
		{"a: b\n...\n%", "line 3: "},
		{"a: \xff\n", "byte 3: "},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(BAD); i++) {
		struct credentials c;
		struct error err;
		if (decode(&c, BAD[i].text, "c", &err) != -EINVAL)
			fail_msg("accepted: %s", BAD[i].text);
		unit_contains(err.text, "kubeconfig /etc/k/config: ");
		unit_contains(err.text, BAD[i].says);
		credentials_free(&c);
	}
	/* Nested too deep. */
	char deep[81] = "";
	memset(deep, '[', 40);
	memset(deep + 40, ']', 40);
	struct credentials c;
	struct error err;
	assert_int_equal(decode(&c, deep, "c", &err), -EINVAL);
	/* References that would unfold to 9^9 values. */
	static const char LAUGHS[] = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h]\n";
	assert_int_equal(decode(&c, LAUGHS, "c", &err), -EINVAL);
	unit_contains(err.text, "not plain YAML");
	credentials_free(&c);
}

static void files_are_read_again(void **state)
{
	struct credentials c;
	struct error err;
	(void)state;
	char *config = write_file("config", ONE(SERVER ", certificate-authority: ca.crt", "token: start, tokenFile: token"));
	char *ca = write_file("ca.crt", "authority\n"), *token = write_file("token", "one\n");
	struct credentials_request request = {.kubeconfig = config};
	if (credentials_load(&c, &request, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.token.data, "one");   /* no newline in a header */
	assert_int_equal(c.token.len, 3);
	assert_string_equal(c.ca.data, "authority\n");
	unit_contains(c.source, config);
	unsigned generation = c.generation;
	/* Nothing changed; not yet due; due. */
	assert_int_equal(credentials_refresh(&c, 100, 0, &err), 0);
	assert_int_equal(c.generation, generation);
	free(write_file("token", "two\n"));
	assert_int_equal(credentials_refresh(&c, 159, 60, &err), 0);
	assert_string_equal(c.token.data, "one");
	assert_int_equal(credentials_refresh(&c, 160, 60, &err), 1);
	assert_string_equal(c.token.data, "two");
	assert_int_equal(c.generation, generation + 1);
	/* Another line ending is no other token. */
	free(write_file("token", "two \r\n"));
	assert_int_equal(credentials_refresh(&c, 220, 60, &err), 0);
	assert_int_equal(c.generation, generation + 1);
	/* What is unusable leaves the old in place. */
	static const struct {
		const char *text, *says;
	} BAD[] = {{"", "token: empty"}, {" \n", "token: empty"}, {"a b", "blanks or control characters"}, {"a\r\nX-Header: b", "blanks or control characters"}};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		free(write_file("token", BAD[i].text));
		assert_true(credentials_refresh(&c, 300, 0, &err) < 0);
		unit_contains(err.text, BAD[i].says);
		assert_string_equal(c.token.data, "two");
	}
	assert_int_equal(unlink(token), 0);
	assert_int_equal(credentials_refresh(&c, 400, 0, &err), -ENOENT);
	unit_contains(err.text, token);
	assert_string_equal(c.token.data, "two");
	/* One unreadable file does not hide another's change. */
	free(write_file("ca.crt", "new authority\n"));
	assert_int_equal(credentials_refresh(&c, 500, 0, NULL), -ENOENT);
	assert_string_equal(c.ca.data, "new authority\n");
	assert_int_equal(c.generation, generation + 2);
	credentials_free(&c);
	free(config);
	free(ca);
	free(token);
}

static void loads_or_says_why(void **state)
{
	static const struct {
		const char *text, *server;
		int rc;
		const char *says;
	} ROWS[] = {
		{ONE("server: 'https://1.2.3.4:6443/'", "token: t"), NULL, 0, "https://1.2.3.4:6443"},
		{ONE(SERVER, "token: t"), "https://5.6.7.8//", 0, "https://5.6.7.8"},
		{ONE("server: 'http://1.2.3.4'", ""), NULL, 0, "http://1.2.3.4"},
		{ONE("server: 'http://1.2.3.4'", "token: t"), NULL, -EINVAL, "credentials are never sent without TLS"},
		{ONE(SERVER, "token: t"), "http://5.6.7.8", -EINVAL, "credentials are never sent without TLS"},
		{ONE("server: 'http://1.2.3.4'", "client-certificate-data: cGVt, client-key-data: cGVt"), NULL, -EINVAL, "never sent without TLS"},
		{ONE("server: 'http://1.2.3.4'", "exec: {command: x, apiVersion: client.authentication.k8s.io/v1}"), NULL, -EINVAL, "never sent without TLS"},
		{ONE(SERVER, "token: 'a b'"), NULL, -EINVAL, "token: the token holds blanks"},
		{ONE(SERVER, "token: \"a\\nX-Header: b\""), NULL, -EINVAL, "token: the token holds blanks"},
		{ONE(SERVER, "tokenFile: nowhere"), NULL, -ENOENT, "/nowhere: No such file"},
		{ONE(SERVER ", certificate-authority: /", "token: t"), NULL, -EISDIR, "/: Is a directory"},
		{"", NULL, -EINVAL, "config: empty"},
		{"a: [", NULL, -EINVAL, "config: line"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct credentials c;
		struct error err = {""};
		char *config = write_file("config", ROWS[i].text);
		struct credentials_request request = {.kubeconfig = config, .server = ROWS[i].server};
		int rc = credentials_load(&c, &request, &err);
		if (rc != ROWS[i].rc)
			fail_msg("row %zu: %d %s", i, rc, err.text);
		if (rc == 0)
			assert_string_equal(c.server, ROWS[i].says);
		else
			unit_contains(err.text, ROWS[i].says);
		credentials_free(&c);
		free(config);
	}
}

static void finds_the_file(void **state)
{
	struct credentials c;
	struct error err = {""};
	struct credentials_request request = {0};
	(void)state;
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	setenv("HOME", folder, 1);
	assert_int_equal(credentials_load(&c, &request, &err), -ENOENT);
	unit_contains(err.text, "no kubeconfig: give --kubeconfig FILE");
	char *kube = mem_printf("%s/.kube", folder);
	assert_int_equal(mkdir(kube, 0700), 0);
	char *home = write_file(".kube/config", ONE("server: 'https://home'", "token: t")), *one = write_file("one", ONE("server: 'https://one'", "token: t"));
	assert_int_equal(credentials_load(&c, &request, &err), 0);
	assert_string_equal(c.server, "https://home");
	credentials_free(&c);
	/* A pod's own account is wanted before a file that happens to be in the image; here it cannot be read. */
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_true(credentials_load(&c, &request, &err) < 0);
	unit_contains(err.text, "service account: /var/run/secrets/kubernetes.io/serviceaccount/");
	char *list = mem_printf(":%s/missing:%s:%s", folder, one, home);
	setenv("KUBECONFIG", list, 1);
	assert_int_equal(credentials_load(&c, &request, &err), 0);
	assert_string_equal(c.server, "https://one");
	credentials_free(&c);
	setenv("KUBECONFIG", "/missing/a:/missing/b", 1);
	assert_int_equal(credentials_load(&c, &request, &err), -ENOENT);
	unit_contains(err.text, "/missing/a: No such file");
	request.kubeconfig = home;
	assert_int_equal(credentials_load(&c, &request, &err), 0);
	assert_string_equal(c.server, "https://home");
	credentials_free(&c);
	free(kube);
	free(home);
	free(one);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file), cmocka_unit_test(takes_json), cmocka_unit_test(refuses_to_be_unsafe_or_vague), cmocka_unit_test(exec_plugins),
		cmocka_unit_test(refuses_what_names_nothing), cmocka_unit_test(refuses_broken_text),
		cmocka_unit_test_setup_teardown(files_are_read_again, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(loads_or_says_why, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(finds_the_file, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
