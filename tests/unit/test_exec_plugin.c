/* Exec plugins as processes on a loop: what each outcome does to the credentials. The plugins are shell scripts. */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "k8sclient/exec_credential.h"
#include "k8sclient/exec_plugin.h"
#include "tests/unit/unit.h"

#define V1 "client.authentication.k8s.io/v1"
#define GIVE(status) "printf '%s' '{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"status\":{" status "}}'\n"
#define PATIENCE (60 * CLOCK_S)   /* far more than anything here takes, on a busy machine too */

struct lab {
	uv_loop_t loop;
	struct credentials credentials;
	struct exec_plugin *plugin;
	struct deadline alarm;
	char *folder;
	enum credentials_state seen;
	unsigned failures;   /* times that the state became MISSING */
	bool late;
};

static void on_change(void *data)
{
	struct lab *lab = data;
	lab->failures += lab->credentials.state == CREDENTIALS_MISSING && lab->seen != CREDENTIALS_MISSING;
	lab->seen = lab->credentials.state;
	uv_stop(&lab->loop);
}

static void on_alarm(void *data)
{
	struct lab *lab = data;
	lab->late = true;
	uv_stop(&lab->loop);
}

static int set_up(void **state)
{
	struct lab *lab = mem_zalloc(sizeof(*lab));
	lab->folder = mem_strdup("/tmp/l2lb-unit-XXXXXX");
	if (!mkdtemp(lab->folder))
		return -1;
	log_set_level(LOG_LEVEL_NONE);
	uv_loop_init(&lab->loop);
	deadline_init(&lab->alarm, &lab->loop, on_alarm, lab);
	*state = lab;
	return 0;
}

/* Each start is noted in the file "runs". */
static void start(struct lab *lab, const char *script, const struct exec_times *times)
{
	static const struct exec_times QUICK = {.timeout = PATIENCE, .linger = 50 * CLOCK_MS, .retry_first = 20 * CLOCK_MS, .retry_max = 40 * CLOCK_MS,
						.least = 20 * CLOCK_MS};
	char *path = mem_printf("%s/plugin", lab->folder);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\ncd %s\necho run >> runs\nrun=$(wc -l < runs)\n%s", lab->folder, script);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0700), 0);
	char *text = mem_printf("{\"current-context\": \"c\", \"contexts\": [{\"name\": \"c\", \"context\": {\"cluster\": \"k\", \"user\": \"u\"}}],"
				"\"clusters\": [{\"name\": \"k\", \"cluster\": {\"server\": \"https://h\"}}], \"users\": [{\"name\": \"u\", \"user\": {\"exec\":"
				"{\"apiVersion\": \"" V1 "\", \"command\": \"./plugin\", \"args\": [\"one\", \"t w o\"], \"installHint\": \"get it\"}}}]}");
	char *config = mem_printf("%s/config", lab->folder);
	struct error err;
	if (kubeconfig_decode(&lab->credentials, text, strlen(text), config, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(lab->credentials.state, CREDENTIALS_AWAITED);
	exec_plugin_init(&lab->plugin, &lab->loop, &lab->credentials, times ? times : &QUICK, on_change, lab);
	exec_plugin_start(lab->plugin);
	free(config);
	free(path);
	free(text);
}

static int runs(const struct lab *lab)
{
	char *path = mem_printf("%s/runs", lab->folder);
	FILE *f = fopen(path, "r");
	int n = 0, c;
	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	free(path);
	return n;
}

static void until_state(struct lab *lab, enum credentials_state state)
{
	lab->late = false;
	deadline_set(&lab->alarm, clock_now() + PATIENCE);
	while (lab->credentials.state != state && !lab->late)
		uv_run(&lab->loop, UV_RUN_DEFAULT);
	deadline_set(&lab->alarm, CLOCK_NEVER);
	if (lab->late)
		fail_msg("state %d, not %d: %s", (int)lab->credentials.state, (int)state, lab->credentials.problem ? lab->credentials.problem : "");
}

/* Counted where it happens: on a busy machine a run begins and ends within one turn of the loop. */
static void until_failures(struct lab *lab, unsigned failures)
{
	lab->late = false;
	deadline_set(&lab->alarm, clock_now() + PATIENCE);
	while (lab->failures < failures && !lab->late)
		uv_run(&lab->loop, UV_RUN_DEFAULT);
	deadline_set(&lab->alarm, CLOCK_NEVER);
	assert_false(lab->late);
}

static void until_generation(struct lab *lab, unsigned generation)
{
	lab->late = false;
	deadline_set(&lab->alarm, clock_now() + PATIENCE);
	while (lab->credentials.generation < generation && !lab->late)
		uv_run(&lab->loop, UV_RUN_DEFAULT);
	deadline_set(&lab->alarm, CLOCK_NEVER);
	assert_false(lab->late);
}

static void pause_for(struct lab *lab, int64_t time)
{
	lab->late = false;
	deadline_set(&lab->alarm, clock_now() + time);
	while (!lab->late)
		uv_run(&lab->loop, UV_RUN_DEFAULT);
}

static void on_closed(void *data)
{
	*(bool *)data = true;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;
	char *command = mem_printf("rm -rf %s", lab->folder);
	bool closed = false;
	exec_plugin_close(lab->plugin, on_closed, &closed);
	deadline_close(&lab->alarm, NULL);
	int64_t began = clock_now();
	while (uv_run(&lab->loop, UV_RUN_DEFAULT))   /* a uv_stop may be left over */
		;
	int rc = uv_loop_close(&lab->loop);   /* no handle is left */
	if (!closed || clock_now() - began > PATIENCE)
		rc = -1;
	credentials_free(&lab->credentials);
	rc |= system(command);
	free(command);
	free(lab->folder);
	free(lab);
	return rc;
}

static void gives_a_token(void **state)
{
	struct lab *lab = *state;
	int ours = dup2(STDERR_FILENO, 55);   /* not close-on-exec, as some libraries' sockets */
	start(lab, "test \"$#,$1,$2\" = '2,one,t w o' || exit 9\ntest \"$(cat)\" = '' || exit 8\ncase $KUBERNETES_EXEC_INFO in *ExecCredential*) ;; *) exit 7;; esac\n"
	      "test -e /proc/$$/fd/55 && exit 6\n" GIVE("\"token\":\"abc\""), NULL);
	until_state(lab, CREDENTIALS_READY);
	close(ours);
	assert_string_equal(lab->credentials.token.data, "abc");
	assert_int_equal(lab->credentials.generation, 1);
	/* Without an expiry it is kept for good. */
	pause_for(lab, 100 * CLOCK_MS);
	assert_int_equal(runs(lab), 1);
}

static void failures_are_repeated_with_pauses(void **state)
{
	static const struct {
		const char *script, *says;
	} BAD[] = {
		{"exit 3\n", "/plugin\": it failed with exit code 3; what it said is on stderr"},
		{"kill -9 $$\n", "it was killed by signal 9"},
		{"echo garbage\n", "its output is not JSON"},
		{":\n", "it printed nothing"},
		{GIVE("\"token\":\"\""), "neither a token nor a client certificate"},
		{GIVE("\"token\":\"half\"") "exit 1\n", "exit code 1"},
		{"head -c 10000000 /dev/zero\n", "it wrote more than 1 MiB and was killed"},
		{"yes\n", "it wrote more than 1 MiB and was killed"},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		if (i) {
			tear_down(state);
			set_up(state);
		}
		struct lab *lab = *state;
		start(lab, BAD[i].script, NULL);
		until_failures(lab, 1);
		unit_contains(lab->credentials.problem, "exec plugin \"/tmp/l2lb-unit-");
		unit_contains(lab->credentials.problem, BAD[i].says);
		assert_null(lab->credentials.token.data);
		until_failures(lab, 2);
		/* On a busy machine the next one may have begun by now. */
		assert_in_range((unsigned)runs(lab) - lab->failures, 0, 1);
	}
}

static void recovers(void **state)
{
	struct lab *lab = *state;
	start(lab, "test $run -ge 3 || exit 1\n" GIVE("\"token\":\"late\""), NULL);
	until_state(lab, CREDENTIALS_READY);
	assert_string_equal(lab->credentials.token.data, "late");
	assert_int_equal(runs(lab), 3);
}

static void is_not_there(void **state)
{
	struct lab *lab = *state;
	start(lab, "", NULL);
	until_state(lab, CREDENTIALS_MISSING);
	char *path = mem_printf("%s/plugin", lab->folder);
	unlink(path);
	while (!strstr(lab->credentials.problem, "there is no such program, or its #! line names none; get it"))
		uv_run(&lab->loop, UV_RUN_DEFAULT);
	FILE *f = fopen(path, "w");
	fclose(f);
	free(path);
	while (!strstr(lab->credentials.problem, "it is not an executable file; get it"))
		uv_run(&lab->loop, UV_RUN_DEFAULT);
}

/* Of the child of the last run that got so far; 0: none yet. */
static int child_of(const struct lab *lab)
{
	char *path = mem_printf("%s/child", lab->folder);
	FILE *f = fopen(path, "r");
	int pid = 0;
	free(path);
	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* A zombie is dead: nobody may be there to reap it. */
static bool lives(int pid)
{
	char *path = mem_printf("/proc/%d/status", pid), line[256];
	FILE *f = fopen(path, "r");
	bool found = f;
	free(path);
	while (f && fgets(line, sizeof(line), f))
		found &= strncmp(line, "State:\tZ", 8) != 0;
	if (f)
		fclose(f);
	return found;
}

static void hangs(void **state)
{
	struct exec_times times = {.timeout = 400 * CLOCK_MS, .linger = 50 * CLOCK_MS, .retry_first = 20 * CLOCK_MS, .retry_max = 20 * CLOCK_MS};
	struct lab *lab = *state;
	int64_t began = clock_now();
	start(lab, "sleep 1000 &\necho $! > new\nmv new child\nwait\n", &times);
	until_state(lab, CREDENTIALS_MISSING);
	assert_true(clock_now() - began >= 400 * CLOCK_MS);
	unit_contains(lab->credentials.problem, "it did not end within 0 s and was killed");
	/* With all that it had started. On a busy machine the first one may have been killed before it had started anything. */
	while (!child_of(lab))
		until_failures(lab, lab->failures + 1);
	int pid = child_of(lab);
	until_failures(lab, lab->failures + 1);
	for (int tries = 0; lives(pid); tries++) {
		if (tries == 1000)
			fail_msg("process %d lives on", pid);
		usleep(10000);
	}
}

static void leaves_something_behind(void **state)
{
	struct lab *lab = *state;
	/* A helper that keeps the output open for ever (setsid: not of our group). */
	start(lab, "setsid sleep 5 &\n" GIVE("\"token\":\"t\""), NULL);
	until_state(lab, CREDENTIALS_READY);
	assert_string_equal(lab->credentials.token.data, "t");
}

static void ends_while_it_runs(void **state)
{
	struct lab *lab = *state;
	start(lab, "sleep 1000\n", NULL);
	assert_int_equal(lab->credentials.state, CREDENTIALS_AWAITED);   /* tear_down must not wait for it */
}

static void is_run_ahead_of_the_end(void **state)
{
	struct lab *lab = *state;
	start(lab, GIVE("\"token\":\"t'$run'\",\"expirationTimestamp\":\"'$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)'\""), NULL);
	until_state(lab, CREDENTIALS_READY);
	until_generation(lab, 3);
	assert_int_equal(lab->credentials.state, CREDENTIALS_READY);
}

static void had_expired_already(void **state)
{
	struct exec_times times = {.timeout = PATIENCE, .linger = CLOCK_S, .retry_first = 60 * CLOCK_MS, .retry_max = 60 * CLOCK_MS};
	struct lab *lab = *state;
	start(lab, GIVE("\"token\":\"t\",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\""), &times);
	int64_t began = clock_now();
	until_state(lab, CREDENTIALS_READY);   /* the server decides what it is worth */
	while (runs(lab) < 3)                  /* again */
		pause_for(lab, 20 * CLOCK_MS);
	assert_true(clock_now() - began >= 60 * CLOCK_MS);   /* and no busy loop */
}

static void failing_later_keeps_the_old_one(void **state)
{
	struct lab *lab = *state;
	start(lab, "test $run = 1 || exit 1\n" GIVE("\"token\":\"t\",\"expirationTimestamp\":\"'$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)'\""), NULL);
	until_state(lab, CREDENTIALS_READY);
	while (runs(lab) < 3)
		pause_for(lab, 20 * CLOCK_MS);
	assert_int_equal(lab->credentials.state, CREDENTIALS_READY);
	assert_string_equal(lab->credentials.token.data, "t");
	unit_contains(lab->credentials.problem, "exit code 1");
	/* Refused too: there is nothing left to try with. */
	exec_plugin_refused(lab->plugin);
	assert_int_not_equal(lab->credentials.state, CREDENTIALS_READY);
}

static void is_run_once_more_when_refused(void **state)
{
	struct exec_times times = {.timeout = PATIENCE, .linger = CLOCK_S, .retry_first = CLOCK_S, .retry_max = CLOCK_S};
	struct lab *lab = *state;
	exec_plugin_refused(NULL);
	start(lab, GIVE("\"token\":\"t'$run'\""), &times);
	until_state(lab, CREDENTIALS_READY);
	int64_t refused = clock_now();
	exec_plugin_refused(lab->plugin);
	exec_plugin_refused(lab->plugin);   /* many requests fail at once */
	assert_int_equal(lab->credentials.state, CREDENTIALS_AWAITED);
	until_state(lab, CREDENTIALS_READY);
	assert_string_equal(lab->credentials.token.data, "t2");
	assert_int_equal(lab->credentials.generation, 2);
	/* Refused again: not at once (from half of retry_first on), and requests go on with what there is. */
	exec_plugin_refused(lab->plugin);
	if (clock_now() - refused < CLOCK_S / 2) {
		assert_int_equal(lab->credentials.state, CREDENTIALS_READY);
		assert_int_equal(runs(lab), 2);
	}
	until_generation(lab, 3);
	assert_int_equal(runs(lab), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_a_token), TEST(failures_are_repeated_with_pauses), TEST(recovers), TEST(is_not_there), TEST(hangs),
		TEST(leaves_something_behind), TEST(ends_while_it_runs), TEST(is_run_ahead_of_the_end), TEST(had_expired_already),
		TEST(failing_later_keeps_the_old_one), TEST(is_run_once_more_when_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
