/* speaker/state_file.h in memory: one file per node, which outlives its processes as an emptyDir does. */
#include "speaker/state_file.h"

#include <errno.h>

#include "config/base/memory.h"
#include "tests/sim/world.h"

static char *files[HOSTS];

void state_files_end(void)
{
	for (unsigned i = 0; i < HOSTS; i++)
		mem_replace(&files[i], NULL);
}

int state_file_read(const char *path, char **textp)
{
	const struct host *h = world_node(path);
	if (!h || !files[h->index])
		return -ENOENT;
	*textp = mem_strdup(files[h->index]);
	return 0;
}

int state_file_write(const char *path, const char *text)
{
	const struct host *h = world_node(path);
	if (!h)
		return -ENOENT;
	mem_replace(&files[h->index], text);
	return 0;
}
