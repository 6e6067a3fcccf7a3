"""Runs sequences of operations (apiserver_sequences.py) on API servers, and says where their answers differ."""

import bisect
import copy
import json
import socket
import ssl
import subprocess
import time

from lab import proc
from lab.kube import KINDS

MERGE = "application/merge-patch+json"
TYPED = {kind: {"apiVersion": KINDS[kind][0].removeprefix("/apis/").removeprefix("/api/"), "kind": kind} for kind in KINDS}
# What a watch waits for: made when all operations are done, and chosen by every selector that watches have.
SENTINEL = {"Lease": {}, "Service": {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}, "Node": {}, "ConfigMap": {},
            "EndpointSlice": {"addressType": "IPv4", "endpoints": []}, "IPAddressPool": {"spec": {"addresses": ["192.0.2.0/28"]}}}


# ---- servers ----

class Simulated:
    """The C program tests/tools/simapi.c."""

    name = "simulated"

    def __init__(self, program, fault=None):
        self._process = proc.spawn([str(program), *([fault] if fault else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _do(self, operation):
        self._process.stdin.write(json.dumps(operation) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def request(self, method, target, body=None, content_type="application/json"):
        answer = self._do({"method": method, "path": target, "type": content_type, **({} if body is None else {"body": body})})
        return answer["code"], answer["body"]

    def watch(self, target, version):
        """A function that gives (code, events) up to the one of an object."""
        first = self._do({"watch": target, "version": version or "0"})

        def finish(name):
            if first["code"] != 200:
                return first["code"], []
            more = self._do({"watch": target, "version": first["next"], "on": True})
            return _until(iter(first["events"] + more.get("events", [])), name)
        return finish

    def compact(self):
        self._do({"compact": True})

    def reconnect(self):
        pass

    def close(self):
        proc.end(self._process)


def _until(events, name):
    seen = []
    for event in events:
        if event["type"] == "ERROR":
            return event["object"]["code"], seen
        if event["object"]["metadata"].get("name") == name:
            return 200, seen
        seen.append(event)
    return "the watch ended", seen


class Served:
    """A server that speaks HTTP on 127.0.0.1: bytes and no library, as tens of thousands of requests go through here."""

    def __init__(self, name, port, authority=None, token=None, compact=None):
        self.name, self._port, self._token = name, port, token
        self._tls = ssl.create_default_context(cafile=authority) if authority else None
        self._file = None
        self._compact = compact

    def _connect(self):
        wire = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(wire, server_hostname="127.0.0.1") if self._tls else wire

    def _send(self, wire, method, target, payload=b"", content_type="application/json"):
        authorization = f"Authorization: Bearer {self._token}\r\n" if self._token else ""
        head = (f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: l2lb-test\r\nAccept: application/json\r\n{authorization}"
                f"Content-Type: {content_type}\r\nContent-Length: {len(payload)}\r\n\r\n")
        wire.sendall(head.encode() + payload)

    def request(self, method, target, body=None, content_type="application/json"):
        while (answer := self._once(method, target, body, content_type))[0] == 429:   # too busy, or a cache that is being filled
            time.sleep(0.1)
        return answer

    def _once(self, method, target, body, content_type):
        if not self._file:
            self._wire = self._connect()
            self._file = self._wire.makefile("rb")
        self._send(self._wire, method, target, b"" if body is None else json.dumps(body).encode(), content_type)
        code, length = _head(self._file)
        data = self._file.read(length) if length is not None else b"".join(_chunks(self._file))
        return code, _decoded(data)

    def watch(self, target, version):
        wire = self._connect()
        query = f"watch=1&timeoutSeconds=50{f'&resourceVersion={version}' if version else ''}"
        self._send(wire, "GET", f"{target}{'&' if '?' in target else '?'}{query}")
        file = wire.makefile("rb")
        code, length = _head(file)   # from now on the watch stands
        if code == 429:
            wire.close()
            time.sleep(0.1)
            return self.watch(target, version)

        def finish(name):
            with wire, file:
                if code != 200:
                    file.read(length)
                    return code, []
                return _until(map(json.loads, _lines(_chunks(file))), name)
        return finish

    def compact(self):
        self._compact()

    def reconnect(self):
        self._file = None

    def close(self):
        pass


def _head(file):
    """(code, content length or None)"""
    code, length = int(file.readline().split()[1]), None
    while (line := file.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line[15:])
    return code, length


def _chunks(file):
    while size := int(file.readline(), 16):
        yield file.read(size)
        file.readline()
    file.readline()


def _lines(chunks):
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)


def _decoded(data):
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


# ---- one sequence on one server ----

def merged(target, change):
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


class Run:
    """answers: (operation, code, body), as the server gave them; of watches (operation, code, events)."""

    def __init__(self, server, namespace):
        self.server, self.namespace = server, namespace
        self.answers, self._watches = [], []
        self._seen = {}       # (kind, name): the objects that were seen, oldest first
        self._versions = {}   # kind: the versions of its objects and lists that were seen, oldest first
        self._tokens = {}     # kind: query of the next page
        self._fresh = {}      # kind: a list that no write has followed
        self._ends = 0
        server.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})

    # Paths

    def _full(self, kind, name):
        """Names of what is in no namespace are kept apart by a prefix."""
        return name if KINDS[kind][2] else f"{self.namespace}-{name}"

    def _place(self, kind, name=None, sub=None, **query):
        base, plural, namespaced = KINDS[kind]
        parts = [base] + ([f"namespaces/{self.namespace}"] if namespaced else []) + [plural]
        parts += [self._full(kind, name)] if name else []
        parts += [sub] if sub else []
        return "/".join(parts) + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")

    def _selected(self, kind, selector, **query):
        """A collection; what is in no namespace by the label of this sequence as well."""
        if not KINDS[kind][2]:
            name, _, value = selector.partition("=")
            own = f"of%3D{self.namespace}"
            selector = f"labelSelector={own},{value}" if name == "labelSelector" else f"labelSelector={own}" + (f"&{selector}" if selector else "")
            selector = selector.replace("metadata.name%3Da", f"metadata.name%3D{self.namespace}-a").replace("metadata.name!%3Da", f"metadata.name!%3D{self.namespace}-a")
        rest = [f"{key}={value}" for key, value in query.items() if value]
        rest += [selector] if selector else []
        return self._place(kind) + ("?" + "&".join(rest) if rest else "")

    def _named(self, kind, name, body):
        body = copy.deepcopy(body)
        body["metadata"]["name"] = self._full(kind, name)
        if not KINDS[kind][2]:
            body["metadata"].setdefault("labels", {})["of"] = self.namespace
        return {**TYPED[kind], **body}

    # What was seen before

    def _note(self, kind, name, code, body):
        """Remembers an object a server answered with."""
        if code in (200, 201) and isinstance(body, dict) and body.get("kind") == kind:
            self._seen.setdefault((kind, name), []).append(body)
            self._versions.setdefault(kind, []).append(body["metadata"]["resourceVersion"])

    def _guards(self, kind, name, operation):
        """metadata or preconditions with the version and uid an operation asks for."""
        seen = [thing["metadata"] for thing in self._seen.get((kind, name), ())]
        last = seen[-1] if seen else {"resourceVersion": "1", "uid": "00000000-0000-0000-0000-000000000001"}
        older = [meta for meta in seen if meta["resourceVersion"] != last["resourceVersion"]]
        former = [meta for meta in seen if meta["uid"] != last["uid"]]
        other = {"resourceVersion": "1", "uid": "00000000-0000-0000-0000-00000000000a"}
        versions = {"right": last, "stale": (older or [other])[-1], "other": other}
        uids = {"right": last, "old": (former or [other])[-1], "other": other}
        out = {}
        if operation["version"] != "none":
            out["resourceVersion"] = versions[operation["version"]]["resourceVersion"]
        if operation["uid"] != "none":
            out["uid"] = uids[operation["uid"]]["uid"]
        return out

    def _catch_up(self, kind):
        """The cache may lag behind a write that was just answered: a consistent read brings it up to date."""
        if kind not in self._fresh:
            self._fresh[kind] = self.server.request("GET", self._selected(kind, "", limit=1))[1]
        return self._fresh[kind]["metadata"]["resourceVersion"]

    def _version(self, kind, back):
        versions = self._versions.get(kind)
        return versions[max(0, len(versions) - 1 - back)] if versions else None

    # Operations

    def do(self, operation):
        getattr(self, "_" + operation["do"])(operation, operation["kind"], operation.get("name"))

    def _ask(self, operation, method, target, body=None, content_type="application/json", note=True):
        code, answer = self.server.request(method, target, body, content_type)
        if method != "GET":
            self._fresh.pop(operation["kind"], None)
        self.answers.append((operation, code, answer))
        if note and operation.get("name"):
            self._note(operation["kind"], operation["name"], code, answer)
        return code, answer

    def _create(self, operation, kind, name):
        self._ask(operation, "POST", self._place(kind), self._named(kind, name, operation["body"]))

    def _get(self, operation, kind, name):
        self._ask(operation, "GET", self._place(kind, name))

    def _patch(self, operation, kind, name):
        change = copy.deepcopy(operation["change"])
        guards = self._guards(kind, name, operation)
        if guards:
            change.setdefault("metadata", {}).update(guards)
        query = {"dryRun": "All"} if operation["dry"] else {}
        self._ask(operation, "PATCH", self._place(kind, name, operation["sub"], **query), change, MERGE, note=not operation["dry"])

    def _update(self, operation, kind, name):
        seen = self._seen.get((kind, name))
        if operation["body"] or not seen:
            body = self._named(kind, name, operation["body"] or {"metadata": {"name": name}})
        else:
            body = copy.deepcopy(seen[-1])
        body["metadata"] = {key: value for key, value in body["metadata"].items() if key not in ("uid", "resourceVersion", "managedFields")}
        body = merged(body, operation["change"])
        body.setdefault("metadata", {}).update(self._guards(kind, name, operation))
        self._ask(operation, "PUT", self._place(kind, name, operation["sub"]), body)

    def _delete(self, operation, kind, name):
        guards = self._guards(kind, name, operation)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", **({"preconditions": guards} if guards else {})}
        self._ask(operation, "DELETE", self._place(kind, name), options if guards or operation["body"] else None, note=False)

    def _list(self, operation, kind, _name):
        how, query = operation["how"], {"limit": operation["limit"]}
        if how != "now":
            now = self._catch_up(kind)
            version = self._version(kind, operation["back"]) or now
            query["resourceVersion"] = {"cached": "0"}.get(how, version)
            query["resourceVersionMatch"] = {"not older": "NotOlderThan", "exact": "Exact"}.get(how)
        code, answer = self._ask(operation, "GET", self._selected(kind, operation["selector"], **query))
        if how == "now" and code == 200:
            self._versions.setdefault(kind, []).append(answer["metadata"]["resourceVersion"])

    def _page(self, operation, kind, _name):
        target = self._selected(kind, operation["selector"], limit=operation["limit"])
        _, answer = self._ask(operation, "GET", target)
        self._keep_token(kind, target, answer)

    def _keep_token(self, kind, target, answer):
        token = answer["metadata"].get("continue")
        self._tokens[kind] = token and f"{target.partition('&continue=')[0]}&continue={token}"

    def _resume(self, operation, kind, _name):
        if not self._tokens.get(kind):
            self._ask(operation, "GET", self._selected(kind, "", limit=1 if KINDS[kind][2] else 0))
            self._keep_token(kind, self._selected(kind, "", limit=1), self.answers[-1][2])
        else:
            target = self._tokens[kind]
            _, answer = self._ask(operation, "GET", target)
            self._keep_token(kind, target, answer)

    def _watch(self, operation, kind, _name):
        version = None
        if operation["back"] is not None:
            version = self._version(kind, operation["back"])
        if version is None:   # what is there: the cache has to know it
            self._catch_up(kind)
        place = len(self.answers)
        self.answers.append(None)
        self._watches.append((place, operation, self.server.watch(self._selected(kind, operation["selector"]), version)))

    def _odd(self, operation, kind, name):
        place, named = self._place(kind, name), self._named(kind, name, {"metadata": {}, **SENTINEL[kind]})
        collection = self._place(kind)
        requests = {
            "no such place": ("GET", place + "/nonsense"), "post on a name": ("POST", place, named), "put on a collection": ("PUT", collection, named),
            "media type": ("PATCH", place, {}, "application/json"), "get nothing": ("GET", place + "-none"),
            "name of another": ("PUT", place, merged(named, {"metadata": {"name": "another"}})),
            "namespace of another": ("POST", collection, merged(named, {"metadata": {"namespace": "another"}})),
            "kind of another": ("POST", collection, {**named, "kind": "Pod"}), "version of another": ("POST", collection, {**named, "apiVersion": "v7"}),
            "bad name": ("POST", collection, merged(named, {"metadata": {"name": "No_Name"}})),
            "label number": ("POST", collection, merged(named, {"metadata": {"labels": {"x": 1}}})),
            "no name": ("POST", collection, merged(named, {"metadata": {"name": None}})),
            "create with version": ("POST", collection, merged(named, {"metadata": {"resourceVersion": "1"}})),
            "patch is a list": ("PATCH", place, [], MERGE), "match alone": ("GET", collection + "?resourceVersionMatch=Exact"),
            "version no number": ("GET", collection + "?resourceVersion=abc"),
            "token and version": ("GET", collection + "?limit=1&resourceVersion=1&continue=abc"),
            "bad token": ("GET", collection + "?limit=1&continue=abc"),
        }
        if operation["how"] == "watch unknown field":
            self.answers.append((operation, *self.server.watch(collection + "?fieldSelector=spec.nonsense%3D1", None)("")))
        else:
            self._ask(operation, *requests[operation["how"]], note=False)

    def end_watches(self):
        """Makes the objects that the watches wait for, and reads them to there."""
        self._ends += 1
        end = f"end-{self._ends}"
        self._fresh = {}
        for kind in sorted({operation["kind"] for _, operation, _ in self._watches}):
            code, answer = self.server.request("POST", self._place(kind), self._named(kind, end, {"metadata": {"labels": {"x": "1"}}, **SENTINEL[kind]}))
            assert code == 201, (self.server.name, answer)
        for place, operation, finish in self._watches:
            self.answers[place] = (operation, *finish(self._full(operation["kind"], end)))
        self._watches = []


# ---- what must be the same ----

ALLOCATED = ("clusterIP", "healthCheckNodePort")
TIMES = ("creationTimestamp", "deletionTimestamp")


class Normal:
    """The answers of a run without what may differ: versions and uids become their place in the order of this run."""

    def __init__(self, run):
        self._uids = {}
        versions = set()
        for _operation, _code, body in run.answers:
            for thing in body if isinstance(body, list) else [body]:
                self._collect(thing, versions)
        self._versions = sorted(versions)
        self.answers = [self._answer(*answer) for answer in run.answers]

    @staticmethod
    def _objects(thing):
        if not isinstance(thing, dict) or thing.get("kind") == "Status":
            return []
        if "object" in thing:
            return [thing["object"]]
        return thing["items"] or [] if "items" in thing else [thing]

    def _collect(self, thing, versions):
        for found in self._objects(thing):
            if "resourceVersion" in found["metadata"]:   # a dry run of a creation has none
                versions.add(int(found["metadata"]["resourceVersion"]))

    def _answer(self, operation, code, body):
        if isinstance(body, list):
            return code, [(event["type"], self._object(event["object"])) for event in body]
        if not isinstance(body, dict):
            return code, body and "text"
        if body.get("kind") == "Status":
            details = body.get("details", {})
            if code < 400:
                return code, body["status"], self._uid(details["uid"]), details["name"], details["kind"]
            return code, body.get("reason"), "token" if body["metadata"].get("continue") else None
        if "items" in body:
            return code, self._list(operation, body)
        return code, self._object(body)

    def _list(self, operation, body):
        meta = {"continue": bool(body["metadata"].get("continue")), "left": body["metadata"].get("remainingItemCount")}
        if operation.get("how", "now") in ("now", "exact"):   # others may show any version that is new enough
            meta["version"] = bisect.bisect_right(self._versions, int(body["metadata"]["resourceVersion"]))
        return body["kind"], meta, [self._object(item) for item in body["items"] or []]

    def _uid(self, uid):
        return f"uid {self._uids.setdefault(uid, len(self._uids) + 1)}"

    def _object(self, found):
        meta = {key: "a time" if key in TIMES else value for key, value in found["metadata"].items() if key != "managedFields"}
        meta["uid"] = self._uid(meta["uid"])
        if "resourceVersion" in meta:
            meta["resourceVersion"] = bisect.bisect_left(self._versions, int(meta["resourceVersion"])) + 1
        out = {**found, "metadata": meta}
        if "clusterIPs" in found.get("spec", {}) or "ports" in found.get("spec", {}):
            out["spec"] = self._service(found["spec"])
        return out

    @staticmethod
    def _service(spec):
        spec = {key: "allocated" if key in ALLOCATED else value for key, value in spec.items()}
        if "clusterIPs" in spec:
            spec["clusterIPs"] = ["allocated"] * len(spec["clusterIPs"])
        spec["ports"] = [{key: "allocated" if key == "nodePort" else value for key, value in port.items()} for port in spec.get("ports", ())]
        return spec


def _where(one, other, place="answer"):
    """(place, part of one, part of the other) where two values first differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            if one.get(key) != other.get(key):
                return _where(one.get(key), other.get(key), f"{place}.{key}")
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other)):
            if left != right:
                return _where(left, right, f"{place}[{index}]")
    return place, one, other


def _shown(index, runs, answers):
    """The operation, the answers one below the other, and for each run where it leaves the first."""
    lines = [f"operation {index + 1}: {json.dumps(runs[0].answers[index][0])}"]
    for run, answer in zip(runs, answers):
        lines.append(f"  {run.server.name + ':':10} {json.dumps(answer)[:1500]}")
    for run, answer in zip(runs, answers):
        if answer != answers[0]:
            place, first, other = _where(answers[0], answer)
            lines.append(f"  {place}: {runs[0].server.name} {json.dumps(first)[:300]}, {run.server.name} {json.dumps(other)[:300]}")
    return lines + ["  before that: " + json.dumps(operation) + f" -> {code}" for operation, code, _ in runs[0].answers[:index]]


def difference(runs):
    """Text that says where the answers of the first run and of another begin to differ; None: nowhere."""
    normal = [Normal(run).answers for run in runs]
    for index, answers in enumerate(zip(*normal)):
        if any(answer != answers[0] for answer in answers[1:]):
            return "\n".join(_shown(index, runs, answers))
    return None if len({len(answers) for answers in normal}) == 1 else "different numbers of answers"
