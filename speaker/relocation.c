#include "speaker/relocation.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/names.h"
#include "speaker/planned_move.h"

#define GREEN "\033[32m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"
#define MAY_NOT "may not have it: "

void relocation_init(struct relocation *l, const struct record *r, const char *to, int64_t now)
{
	*l = (struct relocation){.address = r->address, .from = mem_strdup(r->holder), .to = mem_strdup(to), .began = now};
}

void relocation_free(struct relocation *l)
{
	free(l->from);
	free(l->to);
	free(l->why);
}

/* ---- who may have it ---- */

struct view {
	struct planned_view planned;
	struct candidate *candidates;
	bool *up;
};

/* From here nobody is known to be down. */
static void view_make(struct view *v, const struct model *m, const struct record *r)
{
	size_t n = election_candidates(m, r, &v->candidates);
	v->up = mem_zalloc((n + 1) * sizeof(*v->up));
	for (size_t i = 0; i < n; i++)
		v->up[i] = true;
	v->planned = (struct planned_view){.me = r->holder, .record = r, .candidates = v->candidates, .up = v->up, .n = n};
}

static void view_free(struct view *v)
{
	free(v->candidates);
	free(v->up);
}

static char *no_endpoint(const struct model *m, const struct record *r)
{
	const struct service *s = election_user(m, r);
	if (!s || !model_has_endpoint(m, s->meta.key, NULL))
		return mem_printf(MAY_NOT "Service %s has no endpoint that can serve", s ? s->meta.key : "");
	return mem_printf(MAY_NOT "Service %s has externalTrafficPolicy Local and no endpoint there", s->meta.key);
}

static char *no_link(const struct model *m, const char *node)
{
	char *lease = node_record_name(node), *text;
	if (model_node_record(m, node))
		text = mem_printf(MAY_NOT "no link of its is fit for the address (the Lease %s lists them; name one in the L2Advertisement)", lease);
	else
		text = mem_printf(MAY_NOT "there is no Lease %s, so no speaker of l2lb runs on it", lease);
	free(lease);
	return text;
}

static char *refused(const struct model *m, const struct record *r, const char *node, enum election_refusal refusal)
{
	const struct pool *pool = model_pool_of(m, &r->address);
	const struct node *n = model_node(m, node);
	switch (refusal) {
	case ELECTION_NO_SERVICE:
		return mem_strdup(MAY_NOT "no Service of ours uses the address");
	case ELECTION_NO_ENDPOINT:
		return no_endpoint(m, r);
	case ELECTION_NO_ADVERTISEMENT:
		if (!pool)
			return mem_strdup(MAY_NOT "no pool contains the address");
		return mem_printf(MAY_NOT "no L2Advertisement selects pool %s, the Service and this node", pool->meta.name);
	case ELECTION_NO_NODE:
		return mem_strdup("is not in the cluster; see kubectl get nodes");
	case ELECTION_NODE_EXCLUDED:
		if (n && n->network_unavailable)
			return mem_strdup(MAY_NOT "its condition NetworkUnavailable is True");
		return mem_strdup(MAY_NOT "it has the label " LABEL_EXCLUDE);
	case ELECTION_NO_LINK:
		return no_link(m, node);
	case ELECTION_ELIGIBLE:
		break;
	}
	return NULL;
}

static char *obstacle(const struct view *v, const struct model *m, const char *node)
{
	char *text = refused(m, v->planned.record, node, election_check(m, v->planned.record, node));
	enum planned_refusal refusal = text ? PLANNED_ACCEPTED : planned_move_judge(&v->planned, node);
	return refusal == PLANNED_ACCEPTED ? text : mem_strdup(planned_refusal_text(refusal));
}

char *relocation_obstacle(const struct model *m, const struct record *r, const char *node)
{
	struct view v;
	view_make(&v, m, r);
	char *text = obstacle(&v, m, node);
	view_free(&v);
	return text;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of each other node; they all may differ. */
static char *why_nobody(const struct view *v, const struct model *m)
{
	struct node_entry *e, *tmp;
	struct buffer text = BUFFER_INIT;
	size_t n = 0;
	const char **names = mem_zalloc((HASH_COUNT(m->nodes) + 1) * sizeof(*names));
	HASH_ITER(hh, m->nodes, e, tmp)
		if (strcmp(e->node->meta.name, v->planned.me) != 0)
			names[n++] = e->node->meta.name;
	qsort(names, n, sizeof(*names), by_name);
	buffer_text(&text, n ? "nobody else can take it:" : "there is no other node");
	for (size_t i = 0; i < n; i++) {
		char *why = obstacle(v, m, names[i]);
		buffer_printf(&text, "%s node %s %s", i ? ";" : "", names[i], why ? why : "has no link in the subnet of the address");
		free(why);
	}
	free(names);
	char *out = mem_strdup(buffer_string(&text));
	buffer_free(&text);
	return out;
}

bool relocation_possible(const struct model *m, const struct record *r, char **whyp)
{
	struct view v;
	view_make(&v, m, r);
	bool possible = planned_move_refuge(&v.planned) != NULL;
	*whyp = possible ? NULL : why_nobody(&v, m);
	view_free(&v);
	return possible;
}

const char *relocation_preferred(const struct model *m, const struct record *r, const char *node)
{
	struct view v;
	view_make(&v, m, r);
	v.planned.me = node;
	const struct candidate *preferred = planned_move_preferred(&v.planned);
	const char *name = preferred ? preferred->node : NULL;   /* the model's */
	view_free(&v);
	return name;
}

/* ---- how far it has come ---- */

/* Takes why. */
static bool set_state(struct relocation *l, enum relocation_state state, char *why, int64_t now)
{
	bool changed = l->state != state;
	free(l->why);
	l->why = why;
	if (changed && state != RELOCATION_WAITING)
		l->took = now - l->began;
	l->state = state;
	return changed;
}

static bool follow_move(struct relocation *l, const struct record *r, int64_t now)
{
	if (strcmp(r->holder, l->to) == 0)
		return set_state(l, RELOCATION_MOVED, NULL, now);
	if (strcmp(r->holder, l->from) != 0)
		return set_state(l, RELOCATION_ASTRAY, mem_printf("%s has it now; see the log of its speaker, and move it again", *r->holder ? r->holder : "nobody"), now);
	if (strcmp(r->successor, l->to) == 0)
		return set_state(l, RELOCATION_WAITING, NULL, now);
	return set_state(l, RELOCATION_REFUSED, mem_printf("%s does not hand it over: its log and the Events of the Service say why", l->from), now);
}

bool relocation_follow(struct relocation *l, const struct model *m, int64_t now)
{
	const struct record *r = model_record(m, &l->address);
	char *why;
	if (l->state != RELOCATION_WAITING && l->state != RELOCATION_STAYS)
		return false;
	if (!r)
		return set_state(l, RELOCATION_GONE, mem_strdup("its Service has gone, or has another address"), now);
	if (l->to)
		return follow_move(l, r, now);
	if (!*r->holder)   /* the record was made anew */
		return set_state(l, RELOCATION_WAITING, NULL, now);
	if (strcmp(r->holder, l->from) != 0) {
		mem_replace(&l->to, r->holder);
		return set_state(l, RELOCATION_MOVED, NULL, now);
	}
	if (relocation_possible(m, r, &why))
		return set_state(l, RELOCATION_WAITING, NULL, now);
	return set_state(l, RELOCATION_STAYS, why, now);
}

/* ---- how it is told ---- */

static const char *relocation_state_name(enum relocation_state state)
{
	static const char *const NAMES[] = {"waiting", "moved", "stays", "refused", "astray", "gone"};
	return NAMES[state];
}

void relocation_text(const struct relocation *l, bool colour, struct buffer *out)
{
	static const char *const COLOURS[] = {YELLOW, GREEN, YELLOW, RED, RED, YELLOW};
	char address[ADDRESS_TEXT];
	buffer_printf(out, "%-15s  %s%s%s  %s%s%s", address_format(&l->address, address), l->from, l->to ? " -> " : "", l->to ? l->to : "",
		      colour ? COLOURS[l->state] : "", relocation_state_name(l->state), colour ? PLAIN : "");
	if (l->state == RELOCATION_MOVED)
		buffer_printf(out, " in %.2f s", (double)l->took / 1e6);
	if (l->why)
		buffer_printf(out, ": %s", l->why);
	buffer_text(out, "\n");
}

json_t *relocation_json(const struct relocation *l)
{
	char address[ADDRESS_TEXT];
	json_t *json = json_pack("{s:s, s:s, s:s?, s:s, s:s?}", "address", address_format(&l->address, address), "from", l->from, "to", l->to, "state",
				 relocation_state_name(l->state), "message", l->why);
	json_object_set_new(json, "seconds", l->state == RELOCATION_MOVED ? json_real((double)l->took / 1e6) : json_null());
	return json;
}
