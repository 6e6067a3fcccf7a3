"""The test side: faults, the request log, and the /_standin paths that reach them.

A fault is a JSON object with `kind`. Those that act on requests or watches may carry `match` (regular expression
searched in path?query), `method`, `user`, and `times` (how often it acts before it is used up).
"""
import collections
import itertools
import json
import re
import time

import apierrors

LASTING = ("deny", "status", "delay", "drop", "hang", "stall", "http410", "half-line", "garbage", "stream-error")
ONCE_PER_WATCH = ("half-line", "garbage", "stream-error")
IMMEDIATE = ("compact", "cut", "bookmark")


class Fault:
    def __init__(self, number, spec):
        self.number = number
        self.spec = spec
        self.kind = spec["kind"]
        self.pattern = re.compile(spec.get("match") or "")
        self.left = spec.get("times")  # None: no limit

    def fits(self, request):
        spec = self.spec
        return (self.left != 0 and bool(self.pattern.search(request.target))
                and spec.get("method", request.method) == request.method
                and spec.get("user", request.user.name) == request.user.name)

    def denies(self, user, verb, resource, group, namespace):
        wanted = {"user": user, "verb": verb, "resource": resource, "group": group, "namespace": namespace}
        return all(self.spec.get(name, "*") in ("*", value) for name, value in wanted.items())

    def status(self):
        """A Status body made of the fault's code, reason and message."""
        code = self.spec.get("code", 500)
        reason = self.spec.get("reason", "InternalError" if code == 500 else "")
        return apierrors.ApiError(code, reason, self.spec.get("message", "standin fault")).status()


class Faults:
    def __init__(self, store):
        self.store = store
        self.list = []
        self.numbers = itertools.count(1)

    def active(self, kind, request):
        return next((f for f in self.list if f.kind == kind and f.fits(request)), None)

    def take(self, kind, request):
        """The first fitting fault, counted as used."""
        fault = self.active(kind, request)
        if fault and fault.left is not None:
            fault.left -= 1
        self.list = [f for f in self.list if f.left != 0]
        return fault

    def denied(self, user, verb, resource, group, namespace):
        return any(f.kind == "deny" and f.denies(user, verb, resource, group, namespace) for f in self.list)

    def fitting_watches(self, fault):
        return [w for w in self.store.watchers() if w.writer and fault.fits(w.request)]

    def add(self, spec):
        fault = Fault(next(self.numbers), spec)
        if fault.kind not in LASTING + IMMEDIATE:
            raise ValueError("unknown kind " + fault.kind)
        watches = self.fitting_watches(fault)
        if fault.kind == "compact":
            self.store.compact()
        for watch in watches:
            if fault.kind == "cut":
                watch.cut(spec.get("how", "rst"))
            elif fault.kind == "bookmark" and watch.bookmarks:
                watch.push_bookmark()
        if fault.kind in ONCE_PER_WATCH and fault.left is None:
            fault.left = max(1, len(watches))  # once for each running watch, or for the next one
        if fault.kind in LASTING:
            self.list.append(fault)
            self.wake_watches()
        return {"id": fault.number, "watches": len(watches)}

    def clear(self, number=None):
        self.list = [f for f in self.list if number is not None and f.number != number]
        self.wake_watches()

    def wake_watches(self):
        for watch in self.store.watchers():
            watch.wake.set()


class Log:
    """The last requests, oldest first. Entries are completed when the answer has been sent."""

    def __init__(self, size=20000):
        self.entries = collections.deque(maxlen=size)
        self.numbers = itertools.count(1)

    def begin(self, request):
        entry = {"seq": next(self.numbers), "time": time.time(), "user": request.user.name, "verb": request.verb,
                 "method": request.method, "path": request.target, "code": None, "ms": None,
                 "userAgent": request.headers.get("user-agent", ""), "peer": request.peer}
        if request.body:
            entry["contentType"] = request.headers.get("content-type", "")
            entry["body"] = request.body[:16384].decode("utf-8", "replace")
        self.entries.append(entry)
        return entry


class Control:
    """/_standin/..., open to everybody: it is part of the test, not of the cluster."""

    def __init__(self, faults, log, store, settings):
        self.faults = faults
        self.log = log
        self.store = store
        self.settings = settings

    def serve(self, request):
        """(code, object to answer with)"""
        _, _, place, *rest = request.path.split("/")
        call = getattr(self, f"{request.method.lower()}_{place}", None)
        if call is None:
            return 404, {"error": "no such control path"}
        try:
            return call(request, *rest)
        except (ValueError, KeyError, TypeError, re.error) as problem:
            return 400, {"error": f"{type(problem).__name__}: {problem}"}

    def post_faults(self, request):
        return 201, self.faults.add(json.loads(request.body))

    def get_faults(self, _request):
        return 200, {"faults": [{"id": f.number, "left": f.left, **f.spec} for f in self.faults.list]}

    def delete_faults(self, _request, number=None):
        self.faults.clear(int(number) if number else None)
        return 200, {}

    def get_requests(self, request):
        since = int(request.query.get("since", ["0"])[0])
        return 200, {"requests": [e for e in self.log.entries if e["seq"] > since]}

    def delete_requests(self, _request):
        self.log.entries.clear()
        return 200, {}

    def get_watches(self, _request):
        return 200, {"watches": [{"user": w.request.user.name, "path": w.request.target, "sent": w.sent,
                                  "peer": w.request.peer} for w in self.store.watchers()]}

    def get_settings(self, _request):
        return 200, {**self.settings, "history": self.store.window, "resourceVersion": str(self.store.rv)}

    def post_settings(self, request):
        for name, value in json.loads(request.body).items():
            if name == "history":
                self.store.window = int(value)
            elif name == "bookmark_interval":
                self.settings[name] = float(value)
                for watch in self.store.watchers():
                    watch.next_bookmark = min(watch.next_bookmark, time.monotonic() + float(value))
            else:
                raise KeyError(name)
        self.faults.wake_watches()
        return self.get_settings(request)
