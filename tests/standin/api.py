"""The resource API: paths, verbs, and the life of objects between request and store."""
import asyncio
import base64
import json
import random
import re
import uuid
from datetime import datetime, timezone
from typing import NamedTuple

import apierrors
import patches
import resources
from matching import Selector
from store import Stored, encode
from watching import Watch

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # generateName: no vowels, no look-alikes
IMMUTABLE_META = ("creationTimestamp", "uid", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
TRUE = ("1", "true", "True", "TRUE", "t", "T")


class Answer(NamedTuple):
    code: int
    body: bytes
    content_type: str = "application/json"
    headers: dict = {}


def json_answer(code, obj, headers=None):
    return Answer(code, encode(obj) + b"\n", headers=headers or {})


class Target(NamedTuple):
    """What a resource path names."""
    res: object
    namespace: str
    name: str
    sub: str


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def resolve(registry, path):
    """The Target of a path below /api or /apis."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    namespace = ""
    # /namespaces/NS/PLURAL... is a place, /namespaces/NS[/status] is the namespace object itself
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, sub, *more = rest + ["", ""][:max(0, 3 - len(rest))]
    res = registry.find(group, version, plural)
    wrong_scope = res is not None and (
        (namespace and not res.namespaced) or (res.namespaced and name and not namespace))
    if res is not None and res.custom and not wrong_scope and sub and not more and not (sub == "status" and res.status):
        raise apierrors.not_found(res, name)
    if res is None or wrong_scope or more or (sub and not (sub == "status" and res.status)):
        # the core server answers for its groups, the extension server for all others
        raise apierrors.no_such_path() if group in registry.builtin_groups else apierrors.page_not_found()
    return Target(res, namespace, name, sub)


def parse_body(body):
    try:
        obj = json.loads(body)
    except (ValueError, UnicodeDecodeError) as problem:
        raise apierrors.bad_request(f"couldn't get version/kind; json parse error: {problem}") from None
    if not isinstance(obj, dict):
        raise apierrors.bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal array into "
                                    "Go value of type struct { APIVersion string; Kind string }")
    return obj


def first(query, name, default=""):
    values = query.get(name)
    return values[0] if values else default


def whole(query, name):
    """An integer parameter; absent means 0."""
    text = first(query, name) or "0"
    if not text.isascii() or not text.lstrip("-").isdigit():
        raise apierrors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def dry(query):
    return "All" in query.get("dryRun", ())


def new_finalizers(obj, old):
    """A deleted object that waits for its finalizers gets no new ones."""
    if not old or not old["metadata"].get("deletionTimestamp"):
        return
    added = sorted(set(obj["metadata"].get("finalizers", ())) - set(old["metadata"].get("finalizers", ())))
    if added:
        found = ", ".join(f'"{name}"' for name in added)
        yield "metadata.finalizers", "Forbidden", f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{found}}}"


class Api:
    def __init__(self, registry, store, cluster, faults, settings):
        self.registry = registry
        self.store = store
        self.cluster = cluster
        self.faults = faults
        self.settings = settings

    async def serve(self, request, target):
        """An Answer, or a Watch for the connection to run."""
        verb = request.verb
        if verb == "watch":
            return self.watch(request, target)
        if verb == "list":
            return await self.list(request, target)
        if verb == "get":
            stored = self.must_get(target)
            return Answer(200, resources.render(target.res, stored) + b"\n")
        call = {"create": self.create, "update": self.update, "patch": self.patch, "delete": self.delete,
                "deletecollection": self.delete_collection}.get(verb)
        if call is None and target.res.custom and not target.name and request.method in ("PUT", "PATCH"):
            raise apierrors.bad_request("name must be provided")
        if call is None:
            raise apierrors.method_not_allowed()
        return call(request, target)

    def must_get(self, target):
        stored = self.store.get(target.res, target.namespace, target.name)
        if stored is None:
            raise apierrors.not_found(target.res, target.name)
        return stored

    # --- lists -------------------------------------------------------------------------------------------------

    def selector(self, request, target):
        fields = first(request.query, "fieldSelector")
        if target.name:  # a watch on a single object's path
            fields = ",".join(filter(None, (fields, "metadata.name=" + target.name)))
        return Selector(target.res, target.namespace, first(request.query, "labelSelector"), fields)

    async def list(self, request, target):
        query, table = request.query, self.store.table(target.res)
        selector = self.selector(request, target)
        limit = whole(query, "limit")
        wanted, match = first(query, "resourceVersion"), first(query, "resourceVersionMatch")
        token = first(query, "continue")
        if first(query, "sendInitialEvents"):
            raise apierrors.bad_list_options("sendInitialEvents", "Forbidden",
                                             "sendInitialEvents is forbidden for list")
        if match and not wanted:
            raise apierrors.bad_list_options("resourceVersionMatch", "Forbidden", "resourceVersionMatch is "
                                             "forbidden unless resourceVersion is provided")
        if selector.single:
            limit = 0  # a selected name is read by itself
        if token:
            if wanted or match:
                raise apierrors.bad_request("specifying resource version is not allowed when using continue")
            rv, start = self.resume(table, token)
        else:
            rv, start = await self.start_list(table, wanted, match, limit), ""
            if wanted == "0":
                limit = 0  # served from the watch cache, which does not page
        objects = table.objects if rv == self.store.rv else table.at(rv)
        prefix = f"{target.namespace}/" if target.namespace else ""
        place = [objects[key] for key in sorted(key for key in objects if key.startswith(prefix) and key >= start)]
        return self.page(target.res, place, limit, rv, selector)

    async def start_list(self, table, wanted, match, limit):
        """The resourceVersion a new list shows."""
        if wanted in ("", "0"):
            return self.store.rv
        version = self.parse_version(wanted)
        if version > self.store.rv:
            await asyncio.sleep(3)  # the real server waits that long for its cache to catch up
            if version > self.store.rv:
                raise apierrors.too_large_version(version, self.store.rv)
        if match != "Exact" and (match or not limit):  # a version with a limit has always meant exactly this one
            return self.store.rv
        if version < table.floor:
            raise apierrors.expired_list(version)
        return version

    @staticmethod
    def parse_version(text):
        if not text.isascii() or not text.isdigit():
            raise apierrors.bad_request(f'invalid resource version: resourceVersion: Invalid value: "{text}": '
                                        f'strconv.ParseUint: parsing "{text}": invalid syntax')
        return int(text)

    def resume(self, table, token):
        try:
            inner = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            rv, start = inner["rv"], inner["start"]
        except (ValueError, KeyError, TypeError):
            raise apierrors.bad_request("continue key is not valid: illegal base64 or JSON data") from None
        if rv == -1:  # the "inconsistent" token of a 410 answer: go on with what there is now
            return self.store.rv, start
        if rv < table.floor:
            raise apierrors.expired_continue(self.token(-1, start))
        return rv, start

    @staticmethod
    def token(rv, start):
        text = json.dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": start}, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def page(self, res, place, limit, rv, selector):
        meta, found = {"resourceVersion": str(rv)}, []
        for index, stored in enumerate(place):
            if limit and len(found) == limit:
                # The rest is not looked at, none of it may be selected. The token holds the next key after the last
                # one shown; NUL sorts before everything a name may hold.
                meta["continue"] = self.token(rv, found[-1].key + "\0")
                if not selector.narrows:
                    meta["remainingItemCount"] = len(place) - index
                break
            if selector.matches(stored):
                found.append(stored)
        return Answer(200, resources.render_list(res, found, meta))

    # --- watches -----------------------------------------------------------------------------------------------

    def watch(self, request, target):
        query, table = request.query, self.store.table(target.res)
        selector = self.selector(request, target)
        wanted, initial = first(query, "resourceVersion"), first(query, "sendInitialEvents")
        match = first(query, "resourceVersionMatch")
        self.check_watch_options(initial, match)
        watch = Watch(self, request, target.res, table, selector,
                      bookmarks=first(query, "allowWatchBookmarks") in TRUE and target.res.cached,
                      timeout=whole(query, "timeoutSeconds"))
        if initial in TRUE or (wanted in ("", "0") and not initial):
            watch.start_with_state(initial in TRUE)
            return watch
        version = self.store.rv if wanted in ("", "0") else self.parse_version(wanted)
        if version < table.floor:
            return self.too_old(watch, target.res, version, table, request)
        watch.start_from(version)
        return watch

    @staticmethod
    def check_watch_options(initial, match):
        if initial and match != "NotOlderThan":
            raise apierrors.bad_list_options("resourceVersionMatch", "Forbidden", "sendInitialEvents requires "
                                             "setting resourceVersionMatch to NotOlderThan")
        if match and not initial:
            raise apierrors.bad_list_options("resourceVersionMatch", "Forbidden",
                                             "resourceVersionMatch is forbidden for watch unless sendInitialEvents "
                                             "is provided")

    def too_old(self, watch, res, version, table, request):
        error = apierrors.expired_watch(version, table.floor)
        if self.faults.take("http410", request):
            raise error
        # A cached resource says so inside a 200 stream. Events have no watch cache, and there the real server
        # just ends the stream at once without a word (kubernetes #104171, #137089).
        watch.end_with(error.status() if res.cached else None)
        return watch

    # --- writes ------------------------------------------------------------------------------------------------

    def decode(self, target, obj):
        """Checks that belong to decoding; returns the object in stored form (its kind, no apiVersion)."""
        res = target.res
        if res.custom and not obj.get("kind"):
            raise apierrors.bad_request("Object 'Kind' is missing in the request body")
        version, kind = obj.get("apiVersion", res.api_version), obj.get("kind", res.kind)
        if res.custom and version == res.api_version and kind != res.kind:
            raise apierrors.invalid(res, obj.get("metadata", {}).get("name", ""), [
                ("kind", "Invalid value", f'"{kind}": must be {res.kind}')])
        if (version, kind) != (res.api_version, res.kind):
            raise apierrors.bad_request(f'the API version in the data ({version}, Kind={kind}) does not match the '
                                        f'expected API version ({res.api_version}, Kind={res.kind})')
        meta = obj.setdefault("metadata", {})
        if not isinstance(meta, dict):
            raise apierrors.cannot_handle(res, "json: cannot unmarshal into Go struct field .metadata")
        self.check_string_maps(res, meta)
        for name in ("managedFields", "selfLink"):
            meta.pop(name, None)
        for name in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not meta.get(name):  # omitempty
                meta.pop(name, None)
        obj.pop("apiVersion", None)
        if res.view:
            obj = res.view[0](obj)
        res.strategy.decode(res, obj)
        obj["kind"] = res.kind
        return obj

    @staticmethod
    def check_string_maps(res, meta):
        for name in ("labels", "annotations"):
            for value in (meta.get(name) or {}).values():
                if not isinstance(value, str):
                    kind = "bool" if isinstance(value, bool) else "number"
                    raise apierrors.cannot_handle(res, f"json: cannot unmarshal {kind} into Go struct field "
                                                       f"ObjectMeta.metadata.{name} of type string")

    def check_place(self, target, meta):
        if target.namespace and meta.setdefault("namespace", target.namespace) != target.namespace:
            raise apierrors.bad_request("the namespace of the provided object does not match the namespace sent on "
                                        "the request")
        if not target.res.namespaced:
            meta.pop("namespace", None)
        if target.name and meta.setdefault("name", target.name) != target.name:
            raise apierrors.bad_request(f"the name of the object ({meta['name']}) does not match the name on the "
                                        f"URL ({target.name})")

    @staticmethod
    def body(request):
        kind = request.headers.get("content-type", "application/json").split(";")[0].strip()
        if kind not in ("application/json", patches.APPLY):  # the real server also reads protobuf, YAML and CBOR
            raise apierrors.unsupported_media_type(["application/json"])
        return parse_body(request.body)

    def create(self, request, target):
        if request.verb == "create":
            target = target._replace(name="")  # a custom resource's path may have one here; it is not looked at
        return self.create_from(self.decode(target, self.body(request)), request, target)

    def create_from(self, obj, request, target):
        res, meta = target.res, obj["metadata"]
        if res.namespaced and not target.namespace:
            raise apierrors.method_not_allowed()
        self.check_place(target, meta)
        if meta.get("resourceVersion") and request.verb == "create":
            raise apierrors.ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(random.choices(SUFFIX_LETTERS, k=5))
        self.check_name(res, meta.get("name"))
        self.check_namespace(target, meta["name"])
        for name in IMMUTABLE_META + ("resourceVersion",):
            if name != "generation":  # of kinds that do not count it, it stays what the client says
                meta.pop(name, None)
        meta["uid"], meta["creationTimestamp"] = str(uuid.uuid4()), now()
        if res.generation:
            meta["generation"] = 1
        if res.custom and res.status:
            obj.pop("status", None)
        res.strategy.prepare(obj, None, None if target.sub else self.cluster)  # a PUT to /status gets no addresses
        self.validate(res, obj, None)
        if self.store.get(res, target.namespace, meta["name"]):
            raise apierrors.already_exists(res, meta["name"])
        if dry(request.query):
            return json_answer(201, resources.shown(res, obj))
        stored = self.store.put(res, obj)
        self.after_create(res, stored)
        return Answer(201, resources.render(res, stored) + b"\n")

    @staticmethod
    def check_name(res, name):
        if not name:
            raise apierrors.invalid(res, "", [("metadata.name", "Required value",
                                               "name or generateName is required")])
        if not (SUBDOMAIN.fullmatch(name) and len(name) <= 253) and "rbac" not in res.group:
            raise apierrors.invalid(res, name, [(
                "metadata.name", "Invalid value", f'"{name}": a lowercase RFC 1123 subdomain must consist of lower '
                "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?"
                "(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")])

    def check_namespace(self, target, name):
        if not target.namespace:
            return
        namespaces = self.registry.named("", "namespaces")
        space = self.store.get(namespaces, "", target.namespace)
        if space is None:
            raise apierrors.not_found(namespaces, target.namespace)
        if space.data["metadata"].get("deletionTimestamp"):
            raise apierrors.terminating(target.res, name, target.namespace)

    @staticmethod
    def validate(res, obj, old):
        problems = [*new_finalizers(obj, old), *res.strategy.problems(obj, old)]
        if res.custom and res.schema:
            problems += res.strategy.validate(res, obj)
        if problems:
            raise apierrors.invalid(res, obj["metadata"]["name"], problems)

    def update(self, request, target):
        obj = self.decode(target, self.body(request))
        self.check_place(target, obj["metadata"])
        res, uid = target.res, obj["metadata"].get("uid")
        old = self.store.get(res, target.namespace, target.name)
        if old is None and not res.put_creates:
            raise apierrors.not_found(res, target.name)
        have = old.data["metadata"]["uid"] if old else ""
        if uid and uid != have:  # where it could be created, also when it is gone: this is looked at first
            key = "/registry/" + "/".join(filter(None, (res.plural, target.namespace, target.name)))
            raise apierrors.conflict(res, target.name, f"StorageError: invalid object, Code: 4, Key: {key}, "
                                     f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
                                     f"precondition: {uid}, UID in object meta: {have}")
        if old is None:  # a PUT to its status creates it too
            return self.create_from(obj, request, target)
        if not obj["metadata"].get("resourceVersion") and not res.unconditional:
            raise apierrors.invalid(res, target.name, [("metadata.resourceVersion", "Invalid value",
                                                        "0: must be specified for an update")])
        return self.commit(request, target, old, obj)

    def patch(self, request, target):
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        known = [patches.JSON, patches.MERGE, patches.APPLY] + ([] if target.res.custom else [patches.STRATEGIC])
        if kind not in known:
            raise apierrors.unsupported_media_type(known)
        old = self.store.get(target.res, target.namespace, target.name)
        if old is None:
            if kind != patches.APPLY or target.sub:
                raise apierrors.not_found(target.res, target.name)
            return self.create(request, target)
        result = self.patched(request, target.res, old, kind)
        try:
            obj = self.decode(target, result)
        except apierrors.ApiError as error:
            if error.code != 400 or kind == patches.APPLY:
                raise
            # what a patch makes and does not fit the type is invalid, not malformed
            raise apierrors.ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: {json.dumps(result)}: {error}',
                                     {"causes": [{"reason": "FieldValueInvalid", "message": str(error), "field": "patch"}]}) from None
        self.check_place(target, obj["metadata"])
        return self.commit(request, target, old, obj)

    @staticmethod
    def patched(request, res, old, kind):
        try:
            change = json.loads(request.body)
        except ValueError as problem:
            raise apierrors.bad_request(f"error decoding patch: {problem}") from None
        base = json.loads(resources.render(res, old))
        if kind == patches.JSON:
            return patches.json_patch(base, change)
        if not isinstance(change, dict):
            raise apierrors.bad_request("error decoding patch: json: cannot unmarshal into Go value of type "
                                        "map[string]interface {}")
        if kind == patches.MERGE:
            return patches.merge(base, change)
        if kind == patches.APPLY and not first(request.query, "fieldManager"):
            raise apierrors.ApiError(422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: '
                                     "Required value: is required for apply patch", {})
        return patches.strategic(base, change, res.kind)

    def commit(self, request, target, old, obj):
        """The common end of PUT and PATCH: optimistic locking, strategy, validation, store."""
        res, meta, before = target.res, obj["metadata"], old.data["metadata"]
        if meta.get("resourceVersion") not in (None, "", before["resourceVersion"]):
            raise apierrors.conflict(res, target.name)
        if meta.get("uid") not in (None, "", before["uid"]):
            raise apierrors.invalid(res, target.name, [("metadata.uid", "Invalid value",
                                                        f'"{meta["uid"]}": field is immutable')])
        was = old.copy()
        if target.sub == "status":
            res.strategy.prepare_status(obj, was)
            meta = obj["metadata"]
        else:
            if res.custom and res.status:
                obj.pop("status", None)
                obj.update({"status": was["status"]} if "status" in was else {})
            res.strategy.prepare(obj, was, self.cluster)
        for name in IMMUTABLE_META:
            meta.pop(name, None)
            if name in before:
                meta[name] = before[name]
        meta["resourceVersion"] = before["resourceVersion"]
        self.validate(res, obj, was)
        if obj == old.data:  # an update without effect writes nothing: same version, no event
            return Answer(200, resources.render(res, old) + b"\n")
        if res.generation and self.content(res, obj) != self.content(res, was):
            meta["generation"] = before.get("generation", 0) + 1
        if dry(request.query):
            return json_answer(200, resources.shown(res, obj))
        return Answer(200, resources.render(res, self.settle(res, obj)) + b"\n")

    @staticmethod
    def content(res, obj):
        skipped = ("metadata", "status") if res.status else ("metadata",)
        return {k: v for k, v in obj.items() if k not in skipped}, res.labels_count and obj["metadata"].get("labels")

    def settle(self, res, obj):
        """Store a change. The last finalizer going away from a deleted object removes it instead: the one event shows
        what was stored before, the answer what was sent."""
        meta = obj["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.store.remove(res, self.store.get(res, meta.get("namespace", ""), meta["name"]))
            return Stored(obj, int(meta["resourceVersion"]))
        stored = self.store.put(res, obj)
        if res.plural == "customresourcedefinitions":
            self.registry.define(stored.data)
        return stored

    # --- deletes -----------------------------------------------------------------------------------------------

    def delete(self, request, target):
        stored = self.must_get(target)
        options = parse_body(request.body) if request.body.strip() else {}
        self.check_preconditions(target, stored, options.get("preconditions") or {})
        if dry(request.query):
            return Answer(200, resources.render(target.res, stored) + b"\n")
        last, gone = self.remove(target.res, stored)
        if target.res.returns_deleted or not gone:
            return Answer(200, resources.render(target.res, last) + b"\n")
        return json_answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                                 "details": apierrors.details(target.res, target.name,
                                                              uid=stored.data["metadata"]["uid"])})

    @staticmethod
    def check_preconditions(target, stored, wanted):
        meta = stored.data["metadata"]
        if wanted.get("uid") not in (None, meta["uid"]):
            raise apierrors.conflict(target.res, target.name, f"the UID in the precondition ({wanted['uid']}) does "
                                     f"not match the UID in record ({meta['uid']}). The object might have been "
                                     "deleted and then recreated")
        if wanted.get("resourceVersion") not in (None, meta["resourceVersion"]):
            raise apierrors.conflict(target.res, target.name, f"the ResourceVersion in the precondition "
                                     f"({wanted['resourceVersion']}) does not match the ResourceVersion in record "
                                     f"({meta['resourceVersion']}). The object might have been modified")

    def remove(self, res, stored):
        """(object to answer with, whether it is gone already)"""
        meta = stored.data["metadata"]
        held = meta.get("finalizers") or res.plural in ("namespaces", "customresourcedefinitions")
        if not held:
            return self.store.remove(res, stored), True
        if meta.get("deletionTimestamp"):
            return stored, False
        data = stored.copy()
        data["metadata"]["deletionTimestamp"] = now()
        data["metadata"]["deletionGracePeriodSeconds"] = 0
        if res.generation:
            data["metadata"]["generation"] = meta.get("generation", 0) + 1
        if res.plural == "namespaces":
            data["status"]["phase"] = "Terminating"
        marked = self.store.put(res, data)
        if res.plural in ("namespaces", "customresourcedefinitions"):
            # a controller does this in a real cluster, moments later
            asyncio.get_running_loop().call_later(0.02, self.finish_removal, res, marked.key)
        return marked, False

    def finish_removal(self, res, key):
        """Empty and remove a namespace, or a definition with all its objects."""
        stored = self.store.table(res).objects.get(key)
        if stored is None:
            return
        spec = stored.data.get("spec") or {}
        for other in list(self.registry.resources.values()):
            inside = other.namespaced if res.plural == "namespaces" else (
                other.custom and (other.group, other.plural) == (spec["group"], spec["names"]["plural"]))
            for item in list(self.store.table(other).objects.values()) if inside else ():
                if res.plural != "namespaces" or item.namespace == stored.name:
                    self.remove(other, item)
        if res.plural == "customresourcedefinitions":
            self.registry.undefine(stored.data)
        self.store.remove(res, stored)

    def delete_collection(self, request, target):
        selector = self.selector(request, target)
        table = self.store.table(target.res)
        gone = [self.remove(target.res, table.objects[key])[0] for key in sorted(table.objects)
                if selector.matches(table.objects[key])]
        return Answer(200, resources.render_list(target.res, gone, {"resourceVersion": str(self.store.rv)}))

    # --- what happens behind the API ---------------------------------------------------------------------------

    def after_create(self, res, stored):
        if res.plural == "customresourcedefinitions":
            # Established a moment after the POST, as in a real server: until then the new paths are 404
            asyncio.get_running_loop().call_later(0.02, self.establish, stored.key)

    def establish(self, key):
        res = self.registry.named("apiextensions.k8s.io", "customresourcedefinitions")
        stored = self.store.table(res).objects.get(key)
        if stored is None:
            return
        data, stamp = stored.copy(), now()
        data["status"]["acceptedNames"] = data["spec"]["names"]
        data["status"]["conditions"] = [
            {"type": "NamesAccepted", "status": "True", "lastTransitionTime": stamp, "reason": "NoConflicts",
             "message": "no conflicts found"},
            {"type": "Established", "status": "True", "lastTransitionTime": stamp, "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"}]
        self.registry.define(self.store.put(res, data).data)
