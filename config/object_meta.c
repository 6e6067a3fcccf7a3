#include "config/object_meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

static const char *text_of(const json_t *metadata, const char *field)
{
	const char *text = json_string_value(json_object_get(metadata, field));
	return text ? text : "";
}

char *object_key(const json_t *object)
{
	const json_t *metadata = json_object_get(object, "metadata");
	const char *name = text_of(metadata, "name"), *ns = text_of(metadata, "namespace");
	if (!*name)
		return NULL;
	return *ns ? mem_printf("%s/%s", ns, name) : mem_strdup(name);
}

int object_meta_decode(const json_t *object, struct object_meta *metap, struct error *err)
{
	struct object_meta m = {0};
	const json_t *metadata = json_object_get(object, "metadata");
	m.key = object_key(object);
	if (!m.key)
		return error_set(err, -EINVAL, "the object has no metadata.name");
	m.name_space = mem_strdup(text_of(metadata, "namespace"));
	m.name = mem_strdup(text_of(metadata, "name"));
	m.uid = mem_strdup(text_of(metadata, "uid"));
	m.resource_version = mem_strdup(text_of(metadata, "resourceVersion"));
	m.created = mem_strdup(text_of(metadata, "creationTimestamp"));
	m.generation = json_integer_value(json_object_get(metadata, "generation"));
	m.deleting = json_is_string(json_object_get(metadata, "deletionTimestamp"));
	int rc = labels_decode(json_object_get(metadata, "labels"), &m.labels, err);
	if (rc == 0)
		rc = labels_decode(json_object_get(metadata, "annotations"), &m.annotations, err);
	if (rc < 0)
		object_meta_free(&m);
	else
		*metap = m;
	return rc;
}

static void copy_labels(struct labels *to, const struct labels *from)
{
	for (size_t i = 0; i < from->n; i++)
		labels_set(to, from->items[i].key, from->items[i].value);
}

void object_meta_copy(struct object_meta *to, const struct object_meta *from)
{
	*to = (struct object_meta){.name_space = mem_strdup(from->name_space), .name = mem_strdup(from->name), .key = mem_strdup(from->key),
				   .uid = mem_strdup(from->uid), .resource_version = mem_strdup(from->resource_version),
				   .created = mem_strdup(from->created), .generation = from->generation, .deleting = from->deleting};
	copy_labels(&to->labels, &from->labels);
	copy_labels(&to->annotations, &from->annotations);
}

void object_meta_free(struct object_meta *meta)
{
	free(meta->name_space);
	free(meta->name);
	free(meta->key);
	free(meta->uid);
	free(meta->resource_version);
	free(meta->created);
	labels_free(&meta->labels);
	labels_free(&meta->annotations);
	*meta = (struct object_meta){0};
}

int object_meta_compare_age(const struct object_meta *a, const struct object_meta *b)
{
	int order = strcmp(a->created, b->created);
	return order ? order : strcmp(a->key, b->key);
}

int resource_version_compare(const char *a, const char *b)
{
	size_t la = a ? strlen(a) : 0, lb = b ? strlen(b) : 0;
	if (la != lb)
		return la < lb ? -1 : 1;
	return la ? strcmp(a, b) : 0;
}
