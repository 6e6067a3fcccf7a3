#include "speaker/repair.h"

#include <string.h>

#include "config/base/clock.h"

#define WINDOW (60 * CLOCK_S)
#define WAIT_MAX (600 * CLOCK_S)

bool repair_allow(struct repair *r, int64_t now)
{
	if (now < r->until)
		return false;
	if (r->until && now >= r->until + WAIT_MAX)
		r->wait = 0;   /* it has been quiet for long */
	/* After a back-off one repair is a try: when that is undone as well, the next wait is twice as long. */
	bool busy = r->made[0] && now - r->made[0] < WINDOW;
	bool undone = r->wait && r->until && r->made[REPAIR_BURST - 1] >= r->until && now - r->made[REPAIR_BURST - 1] < WINDOW;
	if (busy || undone) {
		r->wait = r->wait ? clock_min(2 * r->wait, WAIT_MAX) : WINDOW;
		r->until = now + r->wait;
		memset(r->made, 0, sizeof(r->made));
		return false;
	}
	memmove(&r->made[0], &r->made[1], (REPAIR_BURST - 1) * sizeof(r->made[0]));
	r->made[REPAIR_BURST - 1] = now;
	return true;
}
