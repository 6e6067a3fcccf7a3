"""The patch dialects of the API: JSON merge patch, JSON patch, strategic merge patch and a plain form of apply."""
import copy

import apierrors

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

# Lists that strategic merge (and apply) treat as maps, by field name. The real server takes these from the Go
# types; the names below are the ones kubectl meets in the resources the stand-in serves.
LIST_KEYS = {"containers": "name", "initContainers": "name", "volumes": "name", "env": "name",
             "conditions": "type", "ownerReferences": "uid", "volumeMounts": "mountPath",
             "imagePullSecrets": "name", "secrets": "name", "taints": "key"}


def merge(target, patch):
    """RFC 7386: null deletes, objects merge, everything else (arrays too) replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def strategic(target, patch, kind):
    if patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue  # ordering and retain-keys directives change presentation, not the result we need
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = strategic(out.get(key), value, kind)
        elif isinstance(value, list):
            out[key] = strategic_list(out.get(key) or [], value, list_key(key, kind), kind)
        else:
            out[key] = value
    return out


def list_key(field, kind):
    if field == "ports":
        return "port" if kind == "Service" else "containerPort"
    return LIST_KEYS.get(field)


def strategic_list(old, new, key, kind):
    if key is None or not all(isinstance(item, dict) for item in new):
        return copy.deepcopy(new)
    out = [dict(item) for item in old]
    for item in new:
        at = next((i for i, have in enumerate(out) if have.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del out[at]
        elif at is None:
            out.append(copy.deepcopy(item))
        else:
            out[at] = strategic(out[at], item, kind)
    return out


def json_patch(target, operations):
    """RFC 6902; a failing step is the real server's 422 without details of the step."""
    failed = apierrors.ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})
    document = {"": copy.deepcopy(target)}  # a holder, so that the root is replaceable as any member
    try:
        for step in operations:
            json_step(document, step)
    except (KeyError, IndexError, ValueError, TypeError, AssertionError):
        raise failed from None
    return document[""]


def walk(document, pointer):
    """The container and last token of a JSON pointer."""
    tokens = [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")]
    node = document
    for token in tokens[:-1]:
        node = node[int(token)] if isinstance(node, list) else node[token]
    last = tokens[-1]
    if isinstance(node, list) and last != "-":
        last = int(last)
    return node, last


def json_step(document, step):
    op = step["op"]
    node, last = walk(document, step["path"])
    if op == "test":
        assert node[last] == step["value"]
    elif op == "remove":
        del node[last]
    elif op in ("add", "replace"):
        put(node, last, copy.deepcopy(step["value"]), op == "replace")
    elif op in ("copy", "move"):
        source, key = walk(document, step["from"])
        value = copy.deepcopy(source[key])
        if op == "move":
            del source[key]
        put(node, last, value, False)
    else:
        raise ValueError(op)


def put(node, last, value, must_exist):
    if isinstance(node, list):
        if must_exist:
            node[last] = value
        else:
            node.insert(len(node) if last == "-" else last, value)
        return
    if must_exist and last not in node:
        raise KeyError(last)
    node[last] = value
