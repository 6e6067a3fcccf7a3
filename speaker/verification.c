#include "speaker/verification.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/memory.h"
#include "speaker/names.h"

const char *verdict_name(enum verdict v)
{
	static const char *const NAMES[] = {"ok", "answered", "unowned", "guarded", "this-node", "lossy", "no-answer", "no-record", "unknown-owner",
					    "duplicate", "wrong-node", "stranger"};
	return NAMES[v];
}

bool verdict_is_right(enum verdict v)
{
	return v < VERDICT_LOSSY;
}

/* ---- who is who ---- */

static const struct node_record *node_of_mac(const struct model *m, const struct mac *mac, const char **linkp)
{
	struct node_record_entry *e, *tmp;
	if (m)
		HASH_ITER(hh, m->node_records, e, tmp)
			for (size_t i = 0; i < e->record->n_links; i++)
				if (mac_equal(&e->record->links[i].mac, mac)) {
					*linkp = e->record->links[i].name;
					return e->record;
				}
	*linkp = NULL;
	return NULL;
}

static bool is_this_machine(const struct link_table *links, const struct node_record *r)
{
	for (size_t i = 0; r && i < r->n_links; i++)
		for (size_t j = 0; j < links->n; j++)
			if (mac_equal(&links->links[j].mac, &r->links[i].mac))
				return true;
	return false;
}

static struct answerer *answerer_of(struct verification *v, const struct model *m, const struct inquiry_answer *a)
{
	const char *ignored;
	for (size_t i = 0; i < v->n_answerers; i++) {
		struct answerer *w = &v->answerers[i];
		if (mac_equal(&w->sha, &a->sha) && mac_equal(&w->eth_src, &a->eth_src) && strcmp(w->link, a->link) == 0)
			return w;
	}
	v->answerers = mem_realloc(v->answerers, (v->n_answerers + 1) * sizeof(*v->answerers));
	struct answerer *w = &v->answerers[v->n_answerers++];
	*w = (struct answerer){.sha = a->sha, .eth_src = a->eth_src, .rtt_min = a->after};
	memcpy(w->link, a->link, sizeof(w->link));
	const struct node_record *node = node_of_mac(m, &a->sha, &w->node_link), *said = node_of_mac(m, &a->eth_src, &ignored);
	w->node = node ? node->node : NULL;
	w->said_by = said ? said->node : NULL;
	return w;
}

/* Nobody with these MACs had answered this question before. */
static bool answers_it_anew(const struct inquiry_answer *answers, size_t at)
{
	const struct inquiry_answer *a = &answers[at];
	for (size_t i = 0; i < at; i++) {
		const struct inquiry_answer *b = &answers[i];
		if (b->address == a->address && b->question == a->question && strcmp(a->link, b->link) == 0 && mac_equal(&a->sha, &b->sha) &&
		    mac_equal(&a->eth_src, &b->eth_src))
			return false;
	}
	return true;
}

static bool is_first(const struct inquiry_answer *answers, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (answers[i].address == answers[at].address && answers[i].question == answers[at].question && strcmp(answers[i].link, answers[at].link) == 0)
			return false;
	return true;
}

static void gather(struct verification *v, const struct verification_input *in)
{
	uint32_t address = address_to_v4(&in->address);
	for (size_t i = 0; i < in->n_answers; i++) {
		const struct inquiry_answer *a = &in->answers[i];
		if (a->address != address)
			continue;
		struct answerer *w = answerer_of(v, in->model, a);
		w->answers++;
		w->answered += answers_it_anew(in->answers, i);
		w->first += is_first(in->answers, i);
		w->rtt_min = a->after < w->rtt_min ? a->after : w->rtt_min;
		w->rtt_max = a->after > w->rtt_max ? a->after : w->rtt_max;
		w->rtt_sum += a->after;
	}
}

/* ---- findings ---- */

__attribute__((format(printf, 3, 4))) static void find(struct verification *v, enum verdict verdict, const char *format, ...)
{
	char what[900], address[ADDRESS_TEXT];
	size_t at = 0;
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	v->findings = mem_realloc(v->findings, (v->n_findings + 1) * sizeof(*v->findings));
	while (at < v->n_findings && v->findings[at].verdict >= verdict)
		at++;
	memmove(&v->findings[at + 1], &v->findings[at], (v->n_findings - at) * sizeof(*v->findings));
	v->findings[at] = (struct finding){verdict, mem_printf("%s: %s", address_format(&v->address, address), what)};
	v->n_findings++;
	v->verdict = v->findings[0].verdict;
}

/* How a finding calls somebody: "02:00:00:00:00:4d" or "worker-1 (02:00:00:00:00:0b)". To free(). */
static char *name_of(const struct answerer *w)
{
	char mac[MAC_TEXT];
	mac_format(&w->sha, mac);
	return w->node ? mem_printf("%s (%s)", w->node, mac) : mem_strdup(mac);
}

static const char *order(const struct answerer *w, const struct verification *v)
{
	return w->first == w->answered && v->n_answerers > 1 ? " first" : w->first ? " (sometimes first)" : v->n_answerers > 1 ? " (not first)" : "";
}

#define SHRINK_DHCP "find that host and give it another address (a DHCP range that overlaps the pool is the usual reason)"
#define BELIEVE "clients believe the first answer"
#define STRICT "its kernel has the address too (ip -4 addr on that node; kube-proxy in IPVS mode: set strictARP)"

/* To free(). */
static char *services_of(const struct record *r)
{
	char *text = mem_strdup(r->n_services ? r->services[0] : "no Service");
	for (size_t i = 1; i < r->n_services; i++) {
		char *longer = mem_printf("%s, %s", text, r->services[i]);
		free(text);
		text = longer;
	}
	return text;
}

/* Nobody owns the address that this stranger has. */
static void judge_squatter(struct verification *v, const struct model *m, const struct answerer *w, const char *who)
{
	const struct foreign_record *known = model_foreign(m, &v->address);
	bool same = known && mac_equal(&known->mac, &w->sha);
	char *lease = foreign_record_name(&v->address);
	if (v->record) {
		char *services = services_of(v->record);
		find(v, VERDICT_STRANGER, "%s, which is no node's, has it: that is why no node announces it for %s; " SHRINK_DHCP, who, services);
		free(services);
	} else {
		find(v, VERDICT_STRANGER, "%s, which is no node's, answers, and no node owns the address%s%s%s; before a Service gets it: " SHRINK_DHCP, who,
		     same ? " (Lease " : "", same ? lease : "", same ? " keeps it from Services)" : "");
	}
	free(lease);
}

static void judge_stranger(struct verification *v, const struct model *m, const struct answerer *w)
{
	char from[MAC_TEXT];
	char *who = name_of(w);
	if (w->node)   /* the owner's MAC, but no node has sent the frame */
		find(v, VERDICT_STRANGER, "%s is named, but %s, which is no node's, has sent the frame: a repeater that replaces MACs, or somebody who forges them", who,
		     mac_format(&w->eth_src, from));
	else if (v->owner)
		find(v, VERDICT_STRANGER, "%s, which is no node's, answers%s: " BELIEVE "; " SHRINK_DHCP, who, order(w, v));
	else
		judge_squatter(v, m, w, who);
	free(who);
}

static void judge_node(struct verification *v, const struct answerer *w, bool owner_answers)
{
	char *who = name_of(w);
	if (!v->owner)
		find(v, VERDICT_WRONG_NODE, "%s answers, and no node owns the address: " STRICT ", or another load balancer (MetalLB) runs there", who);
	else if (owner_answers)
		find(v, VERDICT_DUPLICATE, "%s answers%s too, and %s owns it: " BELIEVE "; " STRICT ", or its speaker has lost the API server (see its log)", who,
		     order(w, v), v->owner);
	else
		find(v, VERDICT_WRONG_NODE, "%s answers, but %s owns it: " STRICT ", or its speaker has taken over and not recorded it yet (ask again)", who, v->owner);
	free(who);
}

static void judge_owner(struct verification *v, const struct answerer *w, bool alone)
{
	bool guard = !mac_equal(&w->sha, &w->eth_src);
	if (guard)
		find(v, VERDICT_GUARDED, "%s guards it: it answers with the MAC of %s, whose speaker is away for the moment", w->said_by, w->node);
	else if (w->answers > w->answered)
		find(v, VERDICT_DUPLICATE, "%s answers %u times to %u questions: " STRICT ", or two speakers run there, or the network has a loop", w->node, w->answers,
		     w->answered);
	if (alone && w->answered < v->questions)
		find(v, VERDICT_LOSSY, "%s has left %u of %u questions unanswered: a lossy link or an overloaded node; ask again", w->node, v->questions - w->answered, v->questions);
}

/* The owner should have answered. */
static void judge_silence(struct verification *v, const struct verification_input *in)
{
	const struct node_record *r = model_node_record(in->model, v->owner);
	const char *link = labels_get(&v->record->meta.annotations, RECORD_LINK);
	if (is_this_machine(in->links, r)) {
		find(v, VERDICT_THIS_NODE, "this machine is %s, which owns it, and a node does not hear itself: ask from another machine", v->owner);
	} else if (!r) {
		char *lease = node_record_name(v->owner);
		find(v, VERDICT_UNKNOWN_OWNER, "%s owns it, but no Lease %s tells its MACs: does its speaker run? (kubectl get pods -A -o wide)", v->owner, lease);
		free(lease);
	} else {
		find(v, VERDICT_NO_ANSWER, "%s owns it and does not answer%s%s: does its speaker run, is that link up, is this machine on the same network?", v->owner,
		     link ? ", on its link " : "", link ? link : "");
	}
}

/* ---- nobody owns it ---- */

static void judge_unowned(struct verification *v, const struct model *m)
{
	const struct service *const *users = NULL;
	size_t n = model_ingress_users(m, &v->address, &users);
	const struct service *shown = NULL;
	for (size_t i = 0; i < n && !shown; i++)
		shown = model_is_ours(m, users[i]) ? users[i] : NULL;
	if (!v->record && shown) {
		char *lease = record_name(&v->address);
		find(v, VERDICT_NO_RECORD, "Service %s shows it, but there is no Lease %s: does the controller run, and with this --namespace?", shown->meta.key, lease);
		free(lease);
	} else if (v->n_answerers) {
		;   /* they will be told, and that nobody should be heard */
	} else if (v->record) {
		char *services = services_of(v->record);
		find(v, VERDICT_UNOWNED, "no node is fit to answer for it (%s): no ready endpoint, no L2Advertisement that selects it, or no node with a link in its subnet", services);
		free(services);
	} else {
		find(v, VERDICT_UNOWNED, "no node owns it, and nobody answers: it is free");
	}
}

/* ---- all of it ---- */

static bool names_owner(const struct verification *v, const struct answerer *w)
{
	return v->owner && w->node && strcmp(w->node, v->owner) == 0;
}

static void compare(struct verification *v, const struct verification_input *in)
{
	size_t owners = 0;
	for (size_t i = 0; i < v->n_answerers; i++)
		owners += names_owner(v, &v->answerers[i]);
	if (!v->owner)
		judge_unowned(v, in->model);
	else if (!owners)
		judge_silence(v, in);
	bool unknown = v->owner && !model_node_record(in->model, v->owner);
	for (size_t i = 0; i < v->n_answerers; i++) {
		const struct answerer *w = &v->answerers[i];
		bool changed = !mac_equal(&w->sha, &w->eth_src);
		if ((w->node && changed && !w->said_by) || (!w->node && !unknown))
			judge_stranger(v, in->model, w);
		else if (names_owner(v, w))
			judge_owner(v, w, owners == 1);
		else if (w->node)
			judge_node(v, w, owners > 0);
	}
}

/* Without the records: one is enough, two are too many whoever they are. */
static void count_only(struct verification *v)
{
	size_t macs = 0;
	for (size_t i = 0; i < v->n_answerers; i++) {
		bool seen = false;
		for (size_t j = 0; j < i; j++)
			seen |= mac_equal(&v->answerers[i].sha, &v->answerers[j].sha);
		macs += !seen;
	}
	if (macs == 0)
		find(v, VERDICT_NO_ANSWER, "nobody answers on %s", v->link);
	else if (macs > 1)
		find(v, VERDICT_DUPLICATE, "%zu MACs answer: " BELIEVE "; one of them should not", macs);
}

void verification_make(struct verification *v, const struct verification_input *in)
{
	*v = (struct verification){.address = in->address, .link = mem_strdup(in->link), .questions = in->questions};
	v->record = in->model ? model_record(in->model, &in->address) : NULL;
	v->owner = v->record && *v->record->holder ? v->record->holder : NULL;
	v->verdict = in->model ? VERDICT_OK : VERDICT_ANSWERED;
	gather(v, in);
	if (in->model)
		compare(v, in);
	else
		count_only(v);
}

void verification_free(struct verification *v)
{
	for (size_t i = 0; i < v->n_findings; i++)
		free(v->findings[i].text);
	free(v->findings);
	free(v->answerers);
	free(v->link);
	*v = (struct verification){0};
}
