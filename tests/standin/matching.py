"""Label and field selectors, as the API's query parameters spell them."""
import re

import apierrors

# One requirement: a key, then an operator. `in`/`notin` carry a parenthesised list that may hold commas.
REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<akey>[\w./-]+)"
    r"|(?P<skey>[\w./-]+)\s+(?P<setop>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<exists>[\w./-]+))\s*(?:,|$)")


def parse_labels(text):
    """A predicate over a label map, or None when everything matches."""
    if not text.strip():
        return None
    tests, position = [], 0
    while position < len(text):
        found = REQUIREMENT.match(text, position)
        if not found:
            raise apierrors.bad_request(f"unable to parse requirement: found '{text[position:]}', expected: "
                                        "in, notin, =, ==, !=, gt, lt, or a key")
        tests.append(label_test(found))
        position = found.end()
    return lambda labels: all(test(labels) for test in tests)


def label_test(found):
    if found["absent"]:
        return lambda labels, key=found["akey"]: key not in labels
    if found["exists"]:
        return lambda labels, key=found["exists"]: key in labels
    if found["setop"]:
        key, values = found["skey"], {v.strip() for v in found["values"].split(",")}
        # A missing key satisfies notin and !=: that is the API's rule, not an oversight.
        if found["setop"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    key, value = found["key"], found["value"]
    if found["op"] == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: labels.get(key) == value


def field_value(obj, path):
    """The selector's view of a field: always a string, empty when the field is absent."""
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    if obj is None:
        # nodes are selectable by spec.unschedulable, whose absence means false
        return "false" if path == "spec.unschedulable" else ""
    if isinstance(obj, bool):
        return "true" if obj else "false"
    return str(obj)


def parse_fields(text, res):
    """A predicate over whole objects, or None. Only the resource's declared fields are selectable."""
    if not text.strip():
        return None
    tests = []
    for term in text.split(","):
        found = re.fullmatch(r"\s*([\w.\-]+?)\s*(==|=|!=)\s*(.*?)\s*", term)
        if not found:
            raise apierrors.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, op, value = found.groups()
        if path not in res.fields and path not in ("metadata.name", "metadata.namespace"):
            gvr = f"{res.group}/{res.version}, Resource={res.plural}"
            raise apierrors.bad_request(f'Unable to find "{gvr}" that match label selector "", field selector '
                                        f'"{text}": field label not supported: {path}')
        tests.append((path, op == "!=", value))
    return lambda obj: all((field_value(obj, path) == value) != negate for path, negate, value in tests)


class Selector:
    """Namespace, label and field conditions of one list or watch request."""

    def __init__(self, res, namespace, labels, fields):
        self.namespace = namespace
        self.labels = parse_labels(labels)
        self.fields = parse_fields(fields, res)
        self.single = bool(re.search(r"(^|,)\s*metadata\.name\s*==?", fields))
        self.narrows = self.labels is not None or self.fields is not None

    def matches(self, stored):
        if stored is None or (self.namespace and stored.namespace != self.namespace):
            return False
        if self.labels and not self.labels(stored.data["metadata"].get("labels") or {}):
            return False
        return not self.fields or self.fields(stored.data)
