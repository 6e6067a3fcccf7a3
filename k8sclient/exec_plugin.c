#include "k8sclient/exec_plugin.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/buffer.h"
#include "config/base/clock.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/memory.h"
#include "k8sclient/backoff.h"
#include "k8sclient/exec_credential.h"

#define OUTPUT_MAX (1024u * 1024)
#define FORGET (600 * CLOCK_S)   /* so long without another one, refusals start anew */

struct run {
	struct exec_plugin *plugin;   /* NULL: given up, only its handles are left */
	uv_process_t process;
	uv_pipe_t output;
	struct buffer text;
	char chunk[8192];
	int open_handles;
	bool ended, closed;           /* the process; its output */
	bool too_slow, too_large;
	int64_t code;
	int signal;
};

struct exec_plugin {
	uv_loop_t *loop;
	struct credentials *credentials;
	struct exec_times times;
	struct run *run;              /* NULL: none at the moment */
	struct deadline timer;        /* a run: its timeout, then the linger; else the next run */
	bool given;                   /* it has given credentials once */
	bool refused;                 /* and the server did not take those that are in use */
	bool failed;                  /* the last run did */
	bool stale;                   /* the last run's credentials had expired already */
	struct backoff failures, refusals;
	int64_t refusable_at;         /* no run because of a refusal before that */
	void (*on_change)(void *data);
	void (*on_close)(void *data);
	void *data, *close_data;
};

/* What requests may do. Credentials that are old but not refused are tried: the server knows best when they end. */
static void settle(struct exec_plugin *p)
{
	struct credentials *c = p->credentials;
	if (p->given && !p->refused)
		c->state = CREDENTIALS_READY;
	else if (p->run)
		c->state = CREDENTIALS_AWAITED;
	else if (p->failed)
		c->state = CREDENTIALS_MISSING;
	else
		c->state = p->given ? CREDENTIALS_READY : CREDENTIALS_AWAITED;
	p->on_change(p->data);
}

/* ---- one run ---- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct run *run = handle->data;
	if (--run->open_handles > 0)
		return;
	buffer_free(&run->text);
	free(run);
}

static void run_kill(struct run *run)
{
	if (!run->ended)
		uv_kill(-run->process.pid, SIGKILL);
}

static void run_close(struct run *run)
{
	run->plugin->run = NULL;
	run->plugin = NULL;
	uv_close((uv_handle_t *)&run->process, on_handle_closed);
	uv_close((uv_handle_t *)&run->output, on_handle_closed);
}

static int cannot_start(const struct exec_config *config, int rc, struct error *err)
{
	const char *hint = config->install_hint;
	const char *what = rc == -ENOENT ? strchr(config->command, '/') ? "there is no such program, or its #! line names none" : "there is no such program in PATH"
			 : rc == -EACCES ? "it is not an executable file"
			 : uv_strerror(rc);
	return error_set(err, rc, "%s%s%s", what, hint ? "; " : "", hint ? hint : "");
}

/* What came of it; 0 and the credential, or an error in words. */
static int outcome(const struct exec_plugin *p, const struct run *run, struct exec_credential *got, struct error *err)
{
	if (run->too_large)
		return error_set(err, -EFBIG, "it wrote more than 1 MiB and was killed");
	if (run->too_slow)
		return error_set(err, -ETIMEDOUT, "it did not end within %d s and was killed", (int)(p->times.timeout / CLOCK_S));
	if (run->signal)
		return error_set(err, -EIO, "it was killed by signal %d", run->signal);
	if (run->code)
		return error_set(err, -EIO, "it failed with exit code %d; what it said is on stderr", (int)run->code);
	return exec_credential_decode(got, run->text.data ? run->text.data : "", run->text.len, p->credentials->exec->api_version, err);
}

static void succeeded(struct exec_plugin *p, struct exec_credential *got)
{
	struct credentials *c = p->credentials;
	const char *command = c->exec->command;
	int64_t now = clock_now(), keep = exec_credential_keep(got->expires, clock_wall_ns() / 1000);
	credentials_take(c, &got->token, &got->certificate, &got->key);
	if (p->failed)
		log_info("execPluginRestored", KV("command", command), "exec plugin \"%.100s\" gives credentials again", command);
	p->given = true;
	p->failed = p->refused = false;
	if (keep == 0) {
		if (!p->stale)
			log_warn("execPluginExpired", KV("command", command), "exec plugin \"%.100s\" gave a credential that has already expired; is the clock right?", command);
		p->stale = true;
		deadline_set(&p->timer, now + backoff_next(&p->failures, now, clock_random()));
		return;
	}
	log_debug("execPluginRan", KV("command", command), "exec plugin \"%.100s\" gave credentials", command);
	p->stale = false;
	backoff_reset(&p->failures);
	if (keep == EXEC_NO_EXPIRY)
		deadline_set(&p->timer, CLOCK_NEVER);
	else
		deadline_set(&p->timer, now + (keep > p->times.least ? keep : p->times.least));
}

static void failed(struct exec_plugin *p, const struct error *err)
{
	struct credentials *c = p->credentials;
	int64_t now = clock_now();
	/* Said once, and again when it is something else. */
	bool news = !p->failed || !c->problem || strcmp(c->problem, err->text) != 0;
	mem_replace(&c->problem, err->text);
	p->failed = true;
	if (news)
		log_warn("execPluginFailed", KV("command", c->exec->command), "%s; %strying again", err->text,
			 p->given && !p->refused ? "the old credential stays in use, " : "");
	deadline_set(&p->timer, now + backoff_next(&p->failures, now, clock_random()));
}

/* rc: of the start. */
static void finish(struct exec_plugin *p, int rc)
{
	struct exec_credential got = {0};
	struct error err = {""};
	if (rc < 0)
		cannot_start(p->credentials->exec, rc, &err);
	else
		rc = outcome(p, p->run, &got, &err);
	run_close(p->run);
	if (rc < 0) {
		error_prefix(&err, "exec plugin \"%.100s\"", p->credentials->exec->command);
		failed(p, &err);
	} else {
		succeeded(p, &got);
	}
	exec_credential_free(&got);
	settle(p);
}

static void finish_if_done(struct run *run)
{
	if (run->plugin && run->ended && run->closed)
		finish(run->plugin, 0);
}

static void on_exit_of(uv_process_t *process, int64_t code, int signal)
{
	struct run *run = process->data;
	run->ended = true;
	run->code = code;
	run->signal = signal;
	if (run->plugin)
		deadline_set(&run->plugin->timer, clock_now() + run->plugin->times.linger);
	finish_if_done(run);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
	struct run *run = handle->data;
	(void)suggested;
	*room = uv_buf_init(run->chunk, sizeof(run->chunk));
}

static void on_output(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct run *run = stream->data;
	if (n > 0 && run->text.len + (size_t)n > OUTPUT_MAX) {
		run->too_large = true;
		run_kill(run);
		n = UV_EOF;   /* it ends soon, and nothing more is wanted */
	}
	if (n > 0)
		buffer_append(&run->text, bytes->base, (size_t)n);
	if (n >= 0)
		return;
	uv_read_stop(stream);
	run->closed = true;
	finish_if_done(run);
}

static int spawn(struct run *run, const struct exec_config *config, const char *info)
{
	size_t n = 0;
	while (config->arguments[n])
		n++;
	char **arguments = mem_zalloc((n + 2) * sizeof(char *));
	char **environment = exec_config_environment(config, environ, info);
	uv_stdio_container_t stdio[] = {
		{.flags = UV_IGNORE},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&run->output},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	};
	uv_process_options_t options = {.file = config->command, .args = arguments, .env = environment, .exit_cb = on_exit_of,
					.flags = UV_PROCESS_DETACHED, .stdio = stdio, .stdio_count = 3};
	arguments[0] = config->command;
	memcpy(arguments + 1, config->arguments, n * sizeof(char *));
	/* Not every library opens its sockets close-on-exec, and a plugin has no business with them. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	int rc = uv_spawn(run->output.loop, &run->process, &options);
	exec_strings_free(environment);
	free(arguments);
	return rc;
}

static void begin(struct exec_plugin *p)
{
	struct run *run = mem_zalloc(sizeof(*run));
	char *info = exec_config_info(p->credentials->exec, p->credentials);
	p->run = run;
	run->plugin = p;
	run->open_handles = 2;
	uv_pipe_init(p->loop, &run->output, 0);
	run->output.data = run->process.data = run;
	int rc = spawn(run, p->credentials->exec, info);
	free(info);
	if (rc < 0) {
		finish(p, rc);
		return;
	}
	uv_read_start((uv_stream_t *)&run->output, on_room, on_output);
	deadline_set(&p->timer, clock_now() + p->times.timeout);
	settle(p);
}

static void on_timer(void *data)
{
	struct exec_plugin *p = data;
	if (!p->run) {
		begin(p);
	} else if (p->run->ended) {
		finish(p, 0);
	} else {   /* its end follows */
		p->run->too_slow = true;
		run_kill(p->run);
	}
}

/* ---- verbs ---- */

void exec_plugin_init(struct exec_plugin **pluginp, uv_loop_t *loop, struct credentials *credentials, const struct exec_times *times,
		      void (*on_change)(void *data), void *data)
{
	struct exec_plugin *p = mem_zalloc(sizeof(*p));
	p->loop = loop;
	p->credentials = credentials;
	p->times = *times;
	p->failures = BACKOFF_INIT(times->retry_first, times->retry_max, FORGET);
	p->refusals = BACKOFF_INIT(times->retry_first, times->retry_max, FORGET);
	p->on_change = on_change;
	p->data = data;
	deadline_init(&p->timer, loop, on_timer, p);
	*pluginp = p;
}

void exec_plugin_start(struct exec_plugin *p)
{
	if (!p->run)
		begin(p);
}

void exec_plugin_refused(struct exec_plugin *p)
{
	if (!p || p->refused)
		return;
	p->refused = true;
	if (!p->run && !p->failed) {   /* else a run is under way, or planned */
		int64_t now = clock_now(), at = p->refusable_at > now ? p->refusable_at : now;
		p->refusable_at = at + backoff_next(&p->refusals, at, clock_random());
		if (at > now) {
			deadline_set(&p->timer, clock_min(at, p->timer.at));
		} else {
			begin(p);
			return;
		}
	}
	settle(p);
}

static void on_timer_closed(void *data)
{
	struct exec_plugin *p = data;
	if (p->on_close)
		p->on_close(p->close_data);
	free(p);
}

void exec_plugin_close(struct exec_plugin *p, void (*on_close)(void *data), void *data)
{
	if (!p)
		return;
	p->on_close = on_close;
	p->close_data = data;
	if (p->run) {
		run_kill(p->run);
		run_close(p->run);
	}
	deadline_close(&p->timer, on_timer_closed);
}
