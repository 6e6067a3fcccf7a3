#include "tests/sim/jobs.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 120   /* seconds for one schedule; the longest takes two */

#define JOBS_MAX 64

enum { SAYS_BEGIN, SAYS_OUTCOME, SAYS_END };

struct message {
	int says;
	struct outcome outcome;
};

struct job {
	pid_t pid;
	int pipe;            /* -1: done */
	uint64_t next;       /* seed, when it has to be started again */
	uint64_t current;
	const struct row *row;
	bool busy;
};

static int64_t now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void put(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno != EINTR)
			_exit(3);
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
}

static bool get(int fd, void *bytes, size_t n)
{
	for (char *p = bytes; n;) {
		ssize_t k = read(fd, p, n);
		if (k == 0 || (k < 0 && errno != EINTR))
			return false;
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
	return true;
}

static void work(const struct jobs_config *config, uint64_t first, int64_t until, int out)
{
	struct message m = {0};
	struct schedule s;
	memset(&coverage, 0, sizeof(coverage));
	for (uint64_t seed = first; seed < config->start + config->seeds && (!until || now_s() < until); seed += config->jobs) {
		schedule_draw(&s, seed, config->row);
		m.says = SAYS_BEGIN;
		m.outcome = (struct outcome){.seed = seed, .row = (unsigned)(s.row - ROWS)};
		put(out, &m, sizeof(m));
		alarm(PATIENCE);   /* a loop that never ends is a crash, too */
		run_schedule(&s, false, &m.outcome);
		alarm(0);
		m.says = SAYS_OUTCOME;
		put(out, &m, sizeof(m));
	}
	m.says = SAYS_END;
	put(out, &m, sizeof(m));
	put(out, &coverage, sizeof(coverage));
}

static void begin(const struct jobs_config *config, struct job *j, int64_t until)
{
	int ends[2];
	if (pipe(ends) < 0) {
		perror("sim: pipe");
		exit(2);
	}
	fflush(NULL);
	j->pid = fork();
	if (j->pid == 0) {
		close(ends[0]);
		work(config, j->next, until, ends[1]);
		exit(0);   /* not _exit: a leak is found here */
	}
	close(ends[1]);
	j->pipe = ends[0];
	j->busy = false;
}

/* Its pipe is at the end. */
static void reap(const struct jobs_config *config, struct job *j, int64_t until, struct report *r)
{
	int status;
	close(j->pipe);
	j->pipe = -1;
	while (waitpid(j->pid, &status, 0) < 0)
		if (errno != EINTR) {
			perror("sim: waitpid");
			exit(2);
		}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !j->busy)   /* exit(0) within a schedule is no good end */
		return;
	struct outcome o = {.seed = j->current, .row = (unsigned)((j->row ? j->row : ROWS) - ROWS), .kind = "crash"};
	snprintf(o.details, sizeof(o.details), "the process ended with %s %d%s", WIFSIGNALED(status) ? "signal" : "code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), j->busy ? "" : " after its last schedule (a leak?)");
	report_add(r, &o);
	if (!j->busy)
		return;
	j->next = j->current + config->jobs;
	begin(config, j, until);
}

static bool listen_to(struct job *j, struct report *r, struct coverage *c)
{
	struct message m;
	struct coverage part;
	if (!get(j->pipe, &m, sizeof(m)))
		return false;
	if (m.says == SAYS_END) {
		j->busy = false;
		if (get(j->pipe, &part, sizeof(part)))
			coverage_add(c, &part);
		return true;
	}
	j->current = m.outcome.seed;
	j->row = &ROWS[m.outcome.row];
	j->busy = m.says == SAYS_BEGIN;
	if (m.says == SAYS_OUTCOME)
		report_add(r, &m.outcome);
	return true;
}

void jobs_run(const struct jobs_config *config, struct report *r, struct coverage *c)
{
	struct job jobs[JOBS_MAX] = {0};
	struct pollfd polls[JOBS_MAX];
	int64_t until = config->seconds ? now_s() + config->seconds : 0;
	unsigned open = config->jobs;
	for (unsigned i = 0; i < config->jobs; i++) {
		jobs[i].next = config->start + i;
		begin(config, &jobs[i], until);
	}
	while (open) {
		open = 0;
		for (unsigned i = 0; i < config->jobs; i++) {
			polls[i] = (struct pollfd){.fd = jobs[i].pipe, .events = POLLIN};
			open += jobs[i].pipe >= 0;
		}
		if (!open || (poll(polls, config->jobs, -1) < 0 && errno != EINTR))
			break;
		for (unsigned i = 0; i < config->jobs; i++)
			if (jobs[i].pipe >= 0 && polls[i].revents && !listen_to(&jobs[i], r, c))
				reap(config, &jobs[i], until, r);
	}
}
