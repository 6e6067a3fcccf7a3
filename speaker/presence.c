#include "speaker/presence.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"

#define WRITE_TIMEOUT (5 * CLOCK_S)
#define RETRY CLOCK_S

struct presence {
	struct cluster *cluster;
	struct segments *segments;
	const char *node;
	struct api_call *call;
	int64_t retry_at;
	struct node_link *links;        /* as our record is to say */
	size_t n_links;
	int64_t links_until;            /* then they may be others */
	struct node_record own;         /* the same and what the record still says: by this we judge ourselves */
	bool said_unknown;
	void (*on_news)(void *data);
	void *data;
};

void presence_init(struct presence **pp, struct cluster *cluster, struct segments *segments, const char *node, void (*on_news)(void *data), void *data)
{
	struct presence *p = mem_zalloc(sizeof(*p));
	p->cluster = cluster;
	p->segments = segments;
	p->node = node;
	p->links_until = CLOCK_NEVER;
	p->on_news = on_news;
	p->data = data;
	*pp = p;
}

void presence_close(struct presence *p)
{
	if (!p)
		return;
	api_cancel(p->call);
	cluster_model(p->cluster)->own = NULL;
	free(p->links);
	free(p->own.links);
	free(p);
}

static void on_result(void *data, const struct api_result *result);

static void send_record(struct presence *p, const char *method, const char *name, json_t *body)
{
	char *path = cluster_lease_path(p->cluster, name);
	struct api_request request = {.method = method, .path = path, .body = body, .timeout = WRITE_TIMEOUT, .on_result = on_result, .data = p,
				      .content_type = !body ? NULL : strcmp(method, "PATCH") == 0 ? API_MERGE_PATCH : API_JSON};
	p->call = api_send(cluster_api(p->cluster), &request);
	json_decref(body);
	free(path);
}

static void on_result(void *data, const struct api_result *result)
{
	struct presence *p = data;
	char *name = node_record_name(p->node);
	p->call = NULL;
	if (api_succeeded(result)) {
		cluster_take_lease(p->cluster, result->body);
	} else if (result->status == 409) {
		send_record(p, "GET", name, NULL);
	} else {
		if (result->status == 404)
			model_drop_node_record(cluster_model(p->cluster), name);
		else
			log_warn("nodeRecordFailed", NO_KV, "%s", result->message);
		p->retry_at = clock_now() + RETRY;
	}
	free(name);
	p->on_news(p->data);
}

/* A record lags behind the links. It is written through one of them: with a link that went and came back, the word that it
 * went may reach the API server seconds after its return, when TCP sends it again. So a link that works counts for us
 * whatever the record says; one that does not, until the record says so: then the API server can be reached, and a
 * successor be named (R7). */
bool presence_look(struct presence *p, int64_t now)
{
	struct model *m = cluster_model(p->cluster);
	const struct node_record *said = model_node_record(m, p->node);
	free(p->links);
	p->n_links = segments_describe(p->segments, m, now, &p->links, &p->links_until);
	struct node_record own = {.node = (char *)(uintptr_t)p->node, .n_links = p->n_links, .draining = said && said->draining};
	own.links = mem_zalloc((p->n_links + (said ? said->n_links : 0) + 1) * sizeof(*own.links));
	if (p->n_links)
		memcpy(own.links, p->links, p->n_links * sizeof(*own.links));
	for (size_t i = 0; said && i < said->n_links; i++)
		if (!node_record_link(&own, said->links[i].name))
			own.links[own.n_links++] = said->links[i];
	if (m->own ? own.draining == p->own.draining && node_record_says(&own, p->own.links, p->own.n_links) : !said) {   /* not before there was a record */
		free(own.links);
		return false;
	}
	free(p->own.links);
	p->own = own;
	m->own = &p->own;
	m->revision++;
	return true;
}

void presence_publish(struct presence *p, int64_t now)
{
	struct model *m = cluster_model(p->cluster);
	const struct node *node = model_node(m, p->node);
	const struct node_record *have = model_node_record(m, p->node);
	if (!node && m->nodes_synced && !p->said_unknown) {
		p->said_unknown = true;
		log_error("nodeUnknown", NO_KV, "Node %s: not found in the cluster; --node-name must be a name of `kubectl get nodes`; waiting for it", p->node);
	}
	if (!node || p->call || now < p->retry_at)
		return;
	if (!have)
		send_record(p, "POST", NULL, node_record_body(p->node, node->meta.uid, cluster_namespace(p->cluster), m->lb_class, p->links, p->n_links));
	else if (!node_record_says(have, p->links, p->n_links))
		send_record(p, "PATCH", have->meta.name, node_record_patch(have, p->links, p->n_links));
}

int64_t presence_deadline(const struct presence *p, int64_t now)
{
	return p->retry_at > now ? clock_min(p->retry_at, p->links_until) : p->links_until;
}
