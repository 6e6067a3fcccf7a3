/* The only file that knows libyaml: one YAML (or JSON) document as a jansson value. Scalars become strings, except plain
 * true, false and null, which is all a kubeconfig needs itself; and below a key "extension", where others keep data of theirs,
 * plain numbers as JSON writes them. */
#ifndef K8SCLIENT_YAML_H
#define K8SCLIENT_YAML_H

#include <jansson.h>

#include "config/base/error.h"

/* NULL with err ("line 3: ...") when it is not one well-formed document, or is nested deeper than 32 levels. */
json_t *yaml_parse(const char *text, size_t len, struct error *err);

#endif
