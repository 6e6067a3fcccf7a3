#include "speaker/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/memory.h"

static void read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	line[0] = '\0';
	if (f && !fgets(line, (int)size, f))
		line[0] = '\0';
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

/* Field 22 of /proc/<pid>/stat: start time in ticks since boot. "" when there is no such process, or it is a zombie. */
static void start_time(long pid, char out[32])
{
	char path[64], line[1024];
	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	read_line(path, line, sizeof(line));
	char *p = strrchr(line, ')');   /* the name before it may hold anything */
	if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
		return;
	for (int field = 2; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	if (p)
		snprintf(out, 32, "%.*s", (int)strcspn(p + 1, " "), p + 1);
}

/* "<host>_<boot>_<pid namespace>_" */
static char *prefix(void)
{
	char host[256] = "", boot[64], space[64] = "";
	gethostname(host, sizeof(host) - 1);
	read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	ssize_t n = readlink("/proc/self/ns/pid", space, sizeof(space) - 1);
	const char *number = n > 0 ? strpbrk(space, "0123456789") : NULL;
	return mem_printf("%s_%.8s_%.*s_", host, boot, number ? (int)strspn(number, "0123456789") : 0, number ? number : "");
}

char *identity_make(const char *pod_name, const char *pod_uid)
{
	char start[32];
	if (pod_name && pod_uid)
		return mem_printf("%s_%s", pod_name, pod_uid);
	char *before = prefix();
	start_time(getpid(), start);
	char *identity = mem_printf("%s%ld_%s", before, (long)getpid(), start);
	free(before);
	return identity;
}

bool identity_is_dead(const char *identity)
{
	char *before = prefix(), start[32];
	size_t n = strlen(before);
	bool here = strncmp(identity, before, n) == 0;
	free(before);
	if (!here)
		return false;
	char *end;
	long pid = strtol(identity + n, &end, 10);
	if (*end != '_' || pid <= 0)
		return false;
	start_time(pid, start);
	return strcmp(start, end + 1) != 0;
}
