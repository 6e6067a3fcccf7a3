#include "k8sclient/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#define YAML_DEPTH 32

#define YAML_VALUES 100000   /* references may unfold to far more than the file holds */

struct reading {
	yaml_document_t doc;
	int depth, values;
	bool foreign;   /* below a key "extension" */
};

static json_t *value_of(struct reading *r, int index);

static json_t *scalar(const struct reading *r, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (strcmp(text, "true") == 0)
			return json_true();
		if (strcmp(text, "false") == 0)
			return json_false();
		if (!*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
			return json_null();
		json_t *number = r->foreign ? json_loadb(text, node->data.scalar.length, JSON_DECODE_ANY, NULL) : NULL;
		if (json_is_number(number))
			return number;
		json_decref(number);
	}
	return json_stringn(text, node->data.scalar.length);
}

static json_t *sequence(struct reading *r, const yaml_node_t *node)
{
	json_t *list = json_array();
	for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
		json_t *item = value_of(r, *i);
		if (!item || json_array_append_new(list, item) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *mapping(struct reading *r, const yaml_node_t *node)
{
	json_t *map = json_object();
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		bool named = key && key->type == YAML_SCALAR_NODE, outer = r->foreign;
		r->foreign |= named && strcmp((const char *)key->data.scalar.value, "extension") == 0;
		json_t *value = named ? value_of(r, p->value) : NULL;
		r->foreign = outer;
		if (!value || json_object_set_new(map, (const char *)key->data.scalar.value, value) < 0) {
			json_decref(map);
			return NULL;
		}
	}
	return map;
}

static json_t *value_of(struct reading *r, int index)
{
	const yaml_node_t *node = yaml_document_get_node(&r->doc, index);
	json_t *value = NULL;
	/* An alias that contains itself has no end. */
	if (!node || r->depth > YAML_DEPTH || r->values++ > YAML_VALUES)
		return NULL;
	r->depth++;
	if (node->type == YAML_SCALAR_NODE)
		value = scalar(r, node);
	else if (node->type == YAML_SEQUENCE_NODE)
		value = sequence(r, node);
	else if (node->type == YAML_MAPPING_NODE)
		value = mapping(r, node);
	r->depth--;
	return value;
}

static int parser_error(const yaml_parser_t *parser, struct error *err)
{
	/* What the reader finds (bytes that are not UTF-8) has an offset, but no line. */
	if (parser->error == YAML_READER_ERROR)
		return error_set(err, -EINVAL, "byte %zu: %s", parser->problem_offset, parser->problem);
	return error_set(err, -EINVAL, "line %zu: %s", parser->problem_mark.line + 1, parser->problem ? parser->problem : "not YAML");
}

/* Whether the stream ends here. */
static int at_end(yaml_parser_t *parser, struct error *err)
{
	yaml_document_t next;
	if (!yaml_parser_load(parser, &next))
		return parser_error(parser, err);
	bool end = yaml_document_get_root_node(&next) == NULL;
	yaml_document_delete(&next);
	return end ? 0 : error_set(err, -EINVAL, "more than one document");
}

json_t *yaml_parse(const char *text, size_t len, struct error *err)
{
	yaml_parser_t parser;
	struct reading r = {.depth = 0};
	json_t *value = NULL;
	if (!yaml_parser_initialize(&parser)) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &r.doc)) {
		parser_error(&parser, err);
	} else {
		if (yaml_document_get_root_node(&r.doc))
			value = value_of(&r, 1);
		if (!value)
			error_set(err, -EINVAL, "empty, or not plain YAML");
		yaml_document_delete(&r.doc);
		if (value && at_end(&parser, err) < 0) {
			json_decref(value);
			value = NULL;
		}
	}
	yaml_parser_delete(&parser);
	return value;
}
