#include "speaker/foreign_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"
#include "speaker/names.h"

#define PREFIX "foreign-"

char *foreign_record_name(const struct address *a)
{
	char *name = record_name(a), *ours = mem_printf(PREFIX "%s", name + strlen("ip-"));
	free(name);
	return ours;
}

bool foreign_record_address(const char *lease_name, struct address *a)
{
	if (strncmp(lease_name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	char *name = mem_printf("ip-%s", lease_name + strlen(PREFIX));
	bool good = record_address(name, a);
	free(name);
	return good;
}

static char *annotation(const struct object_meta *meta, const char *key)
{
	const char *value = labels_get(&meta->annotations, key);
	return mem_strdup(value ? value : "");
}

int foreign_record_decode(const struct lease *lease, struct foreign_record **recordp, struct error *err)
{
	struct address a;
	struct mac mac;
	const char *text = labels_get(&lease->meta.annotations, RECORD_MAC);
	if (!foreign_record_address(lease->meta.name, &a))
		return error_set(err, -EINVAL, "Lease %s: its name holds no address", lease->meta.key);
	if (!text || !mac_parse(text, &mac))
		return error_set(err, -EINVAL, "Lease %s: annotation %s is no MAC address", lease->meta.key, RECORD_MAC);
	struct foreign_record *r = mem_zalloc(sizeof(*r));
	r->address = a;
	r->mac = mac;
	object_meta_copy(&r->meta, &lease->meta);
	r->node = mem_strdup(lease->holder);
	r->link = annotation(&lease->meta, RECORD_LINK);
	r->refused = annotation(&lease->meta, RECORD_REFUSED);
	*recordp = r;
	return 0;
}

void foreign_record_free(struct foreign_record *r)
{
	if (!r)
		return;
	object_meta_free(&r->meta);
	free(r->node);
	free(r->link);
	free(r->refused);
	free(r);
}

static void fill(json_t *body, const char *node, const char *link, const struct mac *mac, const char *refused)
{
	char text[MAC_TEXT];
	json_t *annotations = json_object_get(json_object_get(body, "metadata"), "annotations");
	json_object_set_new(annotations, RECORD_MAC, json_string(mac_format(mac, text)));
	json_object_set_new(annotations, RECORD_LINK, json_string(link));
	if (refused)
		json_object_set_new(annotations, RECORD_REFUSED, json_string(refused));
	json_object_set_new(json_object_get(body, "spec"), "holderIdentity", json_string(node));
}

json_t *foreign_record_body(const struct address *a, const char *name_space, const char *lb_class, const char *node, const char *link,
			    const struct mac *mac, const char *refused)
{
	char *name = foreign_record_name(a);
	json_t *body = record_lease_body(name, name_space, lb_class, "foreign");
	fill(body, node, link, mac, refused);
	free(name);
	return body;
}

json_t *foreign_record_patch(const struct foreign_record *r, const char *node, const char *link, const struct mac *mac, const char *refused)
{
	json_t *patch = record_guarded_patch(&r->meta);
	json_object_set_new(patch, "spec", json_object());
	fill(patch, node, link, mac, refused);
	return patch;
}
