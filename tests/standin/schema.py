"""Structural schemas of custom resources: pruning, defaulting, and the checks that need no CEL."""
import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}


def prune(value, schema):
    """Drop what the schema does not know, as the real server does silently for custom resources."""
    if not schema or schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    if isinstance(value, dict):
        known, extra = schema.get("properties") or {}, schema.get("additionalProperties")
        if extra is True or schema.get("x-kubernetes-embedded-resource"):
            return value
        return {k: prune(v, known.get(k) or extra or {}) for k, v in value.items() if k in known or extra}
    if isinstance(value, list):
        return [prune(v, schema.get("items")) for v in value]
    return value


def default(value, schema):
    """Fill `default:`s in place, outside in, so that a defaulted object gets its members' defaults too."""
    if isinstance(value, dict):
        for name, member in (schema.get("properties") or {}).items():
            if name not in value and "default" in member:
                value[name] = member["default"]
            if name in value:
                default(value[name], member)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for member in value.values():
                default(member, extra)
    elif isinstance(value, list):
        for member in value:
            default(member, schema.get("items") or {})


def problems(value, schema, path=""):
    """(field, type, text) for every violation; enough of OpenAPI for our own definitions."""
    kind = schema.get("type")
    if value is None and schema.get("nullable"):
        return
    if schema.get("x-kubernetes-int-or-string"):
        kind = None
    if kind and not right_type(value, kind):
        yield path, "Invalid value", f'"{type_name(value)}": {path} in body must be of type {kind}: ' \
                                     f'"{type_name(value)}"'
        return
    if "enum" in schema and value not in schema["enum"]:
        yield path, "Unsupported value", f'"{value}": supported values: ' + ", ".join(f'"{v}"' for v in schema["enum"])
    yield from bounds(value, schema, path)
    if isinstance(value, dict):
        yield from member_problems(value, schema, path)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from problems(member, schema.get("items") or {}, f"{path}[{index}]")


def member_problems(value, schema, path):
    prefix = path + "." if path else ""
    for name in schema.get("required") or ():
        if name not in value:
            yield prefix + name, "Required value", ""
    for name, member in (schema.get("properties") or {}).items():
        # metadata is checked by the server itself, not by the definition
        if name in value and prefix + name not in ("metadata", "kind", "apiVersion"):
            yield from problems(value[name], member, prefix + name)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for name in value.keys() - (schema.get("properties") or {}).keys():
            yield from problems(value[name], extra, prefix + name)


def bounds(value, schema, path):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield path, "Invalid value", f"{value}: {path} in body should be greater than or equal to {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield path, "Invalid value", f"{value}: {path} in body should be less than or equal to {schema['maximum']}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield path, "Invalid value", f'"{value}": {path} in body should match \'{schema["pattern"]}\''
        if len(value) < schema.get("minLength", 0):
            yield path, "Invalid value", f'"{value}": {path} in body should be at least {schema["minLength"]} chars long'
        if len(value) > schema.get("maxLength", len(value)):
            yield path, "Too long", f"may not be more than {schema['maxLength']} bytes"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield path, "Invalid value", f"{len(value)}: {path} in body should have at least {schema['minItems']} items"
        if len(value) > schema.get("maxItems", len(value)):
            yield path, "Invalid value", f"{len(value)}: {path} in body should have at most {schema['maxItems']} items"


def right_type(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def type_name(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number"}
    return names[type(value)]
