"""The Status objects kube-apiserver answers with when something is wrong.

Wording matters: clients and people grep for it, so each helper repeats the real server's sentence.
"""


class ApiError(Exception):
    """A failure that becomes an HTTP answer with a Status body (or plain text when `text` is set)."""

    def __init__(self, code, reason, message, details=None, headers=None, text=None, meta=None):
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}
        self.text = text
        self.meta = meta or {}

    def status(self):
        body = {"kind": "Status", "apiVersion": "v1", "metadata": self.meta, "status": "Failure",
                "message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(res):
    """`leases.coordination.k8s.io`, or the bare plural for the core group."""
    return f"{res.plural}.{res.group}" if res.group else res.plural


def details(res, name="", kind=None, **more):
    """The details block; the real server puts the plural in `kind` except for Invalid."""
    out = {}
    if name:
        out["name"] = name
    if res.group:
        out["group"] = res.group
    out["kind"] = kind or res.plural
    out.update(more)
    return out


def not_found(res, name):
    return ApiError(404, "NotFound", f'{qualified(res)} "{name}" not found', details(res, name))


def no_such_path():
    """Unknown path inside a known group: a Status. (Unknown groups get plain text, see below.)"""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def page_not_found():
    return ApiError(404, "", "404 page not found", text="404 page not found\n")


def already_exists(res, name):
    return ApiError(409, "AlreadyExists", f'{qualified(res)} "{name}" already exists', details(res, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(res, name, why=MODIFIED):
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {qualified(res)} "{name}": {why}',
                    details(res, name))


def bad_request(message):
    return ApiError(400, "BadRequest", message)


def cannot_handle(res, why):
    """A body that does not decode into the Go type."""
    return bad_request(f'{res.kind} in version "{res.version}" cannot be handled as a {res.kind}: {why}')


CAUSES = {"Invalid value": "FieldValueInvalid", "Required value": "FieldValueRequired",
          "Forbidden": "FieldValueForbidden", "Unsupported value": "FieldValueNotSupported",
          "Too long": "FieldValueTooLong"}


def invalid(res, name, problems):
    """`problems`: (field, type, text) where type is one of CAUSES."""
    causes, sentences = [], []
    for field, kind, text in problems:
        message = f"{kind}: {text}" if text else kind
        causes.append({"reason": CAUSES[kind], "message": message, "field": field})
        sentences.append(f"{field}: {message}")
    joined = sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"
    kind = f"{res.kind}.{res.group}" if res.group else res.kind
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {joined}',
                    details(res, name, res.kind, causes=causes))


def bad_list_options(field, kind, text):
    """Wrong combination of list or watch parameters."""
    message = f"{kind}: {text}"
    return ApiError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {field}: {message}',
                    {"group": "meta.k8s.io", "kind": "ListOptions",
                     "causes": [{"reason": CAUSES[kind], "message": message, "field": field}]})


def unauthorized():
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(user, verb, res, sub, namespace, name):
    target = f"{res.plural}/{sub}" if sub else res.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    quoted = f' "{name}"' if name else ""
    return ApiError(403, "Forbidden",
                    f'{qualified(res)}{quoted} is forbidden: User "{user}" cannot {verb} resource "{target}" '
                    f'in API group "{res.group}" {where}', details(res, name))


def forbidden_path(user, verb, path):
    return ApiError(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"', {})


def terminating(res, name, namespace):
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return ApiError(403, "Forbidden", f'{qualified(res)} "{name}" is forbidden: {why}',
                    details(res, name, causes=[{"reason": "NamespaceTerminating",
                                                "message": f"namespace {namespace} is being terminated",
                                                "field": "metadata.namespace"}]))


def method_not_allowed():
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(accepted):
    return ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted "
                    "media types include: " + ", ".join(accepted))


def too_large_body(limit):
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})


def expired_watch(wanted, oldest):
    return ApiError(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def expired_continue(fresh_token):
    return ApiError(
        410, "Expired", "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this response to retrieve "
        "the remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
        "that were created, modified, or deleted between the time the first chunk was returned and now may show up "
        "in the list.", meta={"continue": fresh_token})


def expired_list(wanted):
    return ApiError(410, "Expired", f"The provided resource version ({wanted}) is too old.")


def too_large_version(wanted, current):
    return ApiError(504, "Timeout", f"Timeout: Too large resource version: {wanted}, current: {current}",
                    {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                     "retryAfterSeconds": 1}, {"Retry-After": "1"})
