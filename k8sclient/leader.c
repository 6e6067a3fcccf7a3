#include "k8sclient/leader.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/memory.h"

void leader_init(struct leader *l, const char *identity)
{
	*l = (struct leader){.identity = identity, .duration = 15 * CLOCK_S, .renew_deadline = 10 * CLOCK_S, .retry = 2 * CLOCK_S,
			     .confirmed = CLOCK_LONG_AGO};
}

void leader_free(struct leader *l)
{
	free(l->holder);
	free(l->version);
	l->holder = l->version = NULL;
}

void leader_observe(struct leader *l, const struct lease *lease, int64_t now)
{
	l->known = true;
	if (!lease) {
		mem_replace(&l->holder, NULL);
		mem_replace(&l->version, NULL);
		l->observed_at = now;
		l->leading = false;   /* somebody deleted it: whoever makes it anew leads */
		return;
	}
	/* An answer to our write may come before older watch events. */
	if (l->version && resource_version_compare(lease->meta.resource_version, l->version) <= 0)
		return;
	mem_replace(&l->holder, lease->holder);
	mem_replace(&l->version, lease->meta.resource_version);
	l->transitions = lease->transitions;
	l->holder_duration = (int64_t)lease->duration_s * CLOCK_S;
	l->observed_at = now;
	l->look = false;
	if (strcmp(l->holder, l->identity) != 0)
		l->leading = false;
}

void leader_holder_ended(struct leader *l)
{
	mem_replace(&l->holder, "");
}

bool leader_leading(struct leader *l, int64_t now)
{
	if (l->leading && now >= l->confirmed + l->renew_deadline)
		l->leading = false;
	return l->leading;
}

static bool mine(const struct leader *l)
{
	return l->holder && strcmp(l->holder, l->identity) == 0;
}

/* When the Lease may be taken: at once if it is free or ours, else when its holder has been silent for its duration. */
static int64_t free_at(const struct leader *l)
{
	if (!l->holder || !*l->holder || mine(l))
		return 0;
	return l->observed_at + (l->holder_duration ? l->holder_duration : l->duration);
}

enum leader_action leader_next(struct leader *l, int64_t now, double random, int64_t *wakep)
{
	enum leader_action action;
	*wakep = CLOCK_NEVER;
	bool leading = leader_leading(l, now);
	if (leading)   /* the hard stop works also while a request hangs */
		*wakep = l->confirmed + l->renew_deadline;
	if (!l->known || l->in_flight)
		return LEADER_NOTHING;
	int64_t at = leading ? l->confirmed + l->retry : free_at(l);
	at = at > l->next ? at : l->next;
	if (now < at) {
		*wakep = clock_min(*wakep, at);
		return LEADER_NOTHING;
	}
	if (l->look)
		action = LEADER_LOOK;
	else if (!l->version)
		action = LEADER_CREATE;
	else
		action = mine(l) ? LEADER_RENEW : LEADER_TAKE;
	l->in_flight = true;
	l->sent_at = now;
	/* Candidates that wait for the same death do not all write in the same moment. */
	l->next = now + l->retry + (leading ? 0 : (int64_t)((double)l->retry * 1.2 * random));
	return action;
}

void leader_result(struct leader *l, enum leader_action action, int status, int64_t now)
{
	l->in_flight = false;
	switch (action) {
	case LEADER_CREATE:
	case LEADER_RENEW:
	case LEADER_TAKE:
		if (status == 200 || status == 201) {
			l->confirmed = l->sent_at;
			l->leading = now < l->confirmed + l->renew_deadline;
			l->next = l->sent_at + l->retry;
		} else if (status == 409) {
			l->look = true;
			l->next = now;
		} else if (status == 404) {
			leader_observe(l, NULL, now);
			l->next = now;
		}
		break;
	case LEADER_LOOK:
		if (status == 404)
			leader_observe(l, NULL, now);
		if (status == 200 || status == 404) {
			l->look = false;
			l->next = now;
		}
		break;
	case LEADER_RELEASE:
	case LEADER_NOTHING:
		break;
	}
}

enum leader_action leader_release(struct leader *l, int64_t now)
{
	bool release = leader_leading(l, now) && l->version && mine(l);
	l->leading = false;
	l->in_flight = true;   /* nothing more is sent */
	return release ? LEADER_RELEASE : LEADER_NOTHING;
}
