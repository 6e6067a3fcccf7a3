#include "speaker/sharing.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/names.h"

struct sharing sharing_of(const struct service *s)
{
	const char *key = labels_get(&s->meta.annotations, ANNOTATION_SHARE);
	struct sharing f = {0};
	if (!key)   /* the new name wins, also when it is empty */
		key = labels_get(&s->meta.annotations, ANNOTATION_OLD_SHARE);
	f.key = key && *key ? mem_strdup(key) : NULL;
	f.backend = mem_strdup(s->local && s->selector ? s->selector : "");
	f.n_ports = s->n_ports;
	f.ports = mem_zalloc(s->n_ports * sizeof(*f.ports));
	if (s->n_ports)
		memcpy(f.ports, s->ports, s->n_ports * sizeof(*f.ports));
	/* A Local one without a selector is Local all the same (MetalLB takes it for Cluster): its endpoints are its own. */
	if (s->local && !*f.backend)
		mem_replace(&f.backend, s->meta.key);
	return f;
}

void sharing_free(struct sharing *s)
{
	free(s->key);
	free(s->backend);
	free(s->ports);
	*s = (struct sharing){0};
}

static bool same_port(const struct service_port *a, const struct service_port *b)
{
	return a->port == b->port && strcmp(a->protocol, b->protocol) == 0;
}

bool sharing_equal(const struct sharing *a, const struct sharing *b)
{
	if ((a->key == NULL) != (b->key == NULL) || (a->key && strcmp(a->key, b->key) != 0))
		return false;
	if (!a->backend || !b->backend || strcmp(a->backend, b->backend) != 0 || a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (!same_port(&a->ports[i], &b->ports[i]))
			return false;
	return true;
}

bool sharing_allows(const struct sharing *a, const struct sharing *b, struct error *err)
{
	if (!b->key) {
		error_say(err, "existing service does not allow sharing (annotate both with %s)", ANNOTATION_SHARE);
		return false;
	}
	if (!a->key) {
		error_say(err, "new service does not allow sharing (annotate it with %s: %.100s)", ANNOTATION_SHARE, b->key);
		return false;
	}
	if (strcmp(a->key, b->key) != 0) {
		error_say(err, "sharing key \"%.60s\" does not match existing sharing key \"%.60s\"", a->key, b->key);
		return false;
	}
	if (strcmp(a->backend, b->backend) != 0) {
		error_say(err, "backend key differs: one has externalTrafficPolicy Local, or both have and different selectors");
		return false;
	}
	for (size_t i = 0; i < a->n_ports; i++)
		for (size_t j = 0; j < b->n_ports; j++)
			if (same_port(&a->ports[i], &b->ports[j])) {
				error_say(err, "port %s/%u is already in use there", a->ports[i].protocol, a->ports[i].port);
				return false;
			}
	return true;
}
