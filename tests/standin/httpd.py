"""HTTP/1.1 in front of the API: parsing, authentication, routing, answers, and the faults of the transport."""
import asyncio
import gzip
import re
import ssl
import time
import traceback
import urllib.parse
import uuid
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import api as api_module
import apierrors
import resources
from api import Answer, json_answer
from watching import Watch

BODY_LIMIT = 3 * 1024 * 1024
OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")  # system:public-info-viewer lets everybody read these
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class User(NamedTuple):
    name: str
    groups: tuple


class Dropped(Exception):
    """A fault asked for the connection to be closed without an answer."""


class Request:
    def __init__(self, method, target, headers, peer):
        self.method = method
        self.target = target
        self.path, _, text = target.partition("?")
        self.path = urllib.parse.unquote(self.path)
        self.query = urllib.parse.parse_qs(text, keep_blank_values=True)
        self.headers = headers
        self.peer = peer
        self.body = b""
        self.user = User("", ())
        self.verb = method.lower()

    def set_verb(self, target):
        """The RBAC verb; watch=true decides between list and watch."""
        if self.method in ("GET", "HEAD"):
            watching = self.query.get("watch", ["0"])[0] in api_module.TRUE
            self.verb = "watch" if watching else "get" if target.name else "list"
        elif self.method == "DELETE":
            self.verb = "delete" if target.name else "deletecollection"
        else:
            self.verb = VERBS.get(self.method, self.verb)
        named_post = self.method == "POST" and target.name and not (target.res.custom and not target.sub)
        if self.method in ("PUT", "PATCH") and not target.name or named_post:
            self.verb = "none"  # not a combination the API has


class Server:
    def __init__(self, api, control, faults, log, users, address):
        self.api = api
        self.control = control
        self.faults = faults
        self.log = log
        self.users = users
        self.address = address

    async def connection(self, reader, writer):
        peer = "%s:%s" % (writer.get_extra_info("peername") or ("", ""))[:2]
        certificate = writer.get_extra_info("peercert")
        try:
            while True:
                request = await read_request(reader, writer, peer)
                if request is None or not await self.exchange(request, certificate, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, Dropped, OSError):
            pass
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def exchange(self, request, certificate, reader, writer):
        """One request and its answer; false when the connection is to be closed."""
        if request.path.startswith("/_standin/"):
            code, body = self.control.serve(request)
            send(request, writer, json_answer(code, body))
            await writer.drain()
            return keeps_alive(request)
        entry, start = None, time.monotonic()
        try:
            request.user = self.users.find(request, certificate) or User("", ())
            target = self.target(request)
            entry = self.log.begin(request)
            answer = await self.answer(request, target)
        except apierrors.ApiError as error:
            entry = entry or self.log.begin(request)
            answer = error_answer(error)
        except (Dropped, ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # a body of a shape the strategies did not expect, or a fault of the stand-in: say so
            traceback.print_exc()
            entry = entry or self.log.begin(request)
            answer = error_answer(apierrors.ApiError(500, "InternalError", "Internal error occurred: standin: "
                                                     + traceback.format_exc(limit=-1).splitlines()[-1], {}))
        entry["code"] = answer.code if isinstance(answer, Answer) else 200
        entry["ms"] = round((time.monotonic() - start) * 1000, 2)
        if isinstance(answer, Watch):
            return await self.stream(request, answer, reader, writer) and keeps_alive(request)
        send(request, writer, answer)
        await writer.drain()
        return keeps_alive(request) and answer.code != 413

    def target(self, request):
        """The resource target, or None for other paths. An unknown resource only fails after authentication."""
        if not re.match(r"/api/[^/]+/.|/apis/[^/]+/[^/]+/.", request.path):
            return None
        try:
            target = api_module.resolve(self.api.registry, request.path)
        except apierrors.ApiError:
            if not request.user.name:
                raise apierrors.unauthorized() from None
            raise
        request.set_verb(target)
        return target

    async def answer(self, request, target):
        await self.early_faults(request)
        late = self.faults.take("drop", request) if self.late("drop", request) else None
        if not request.user.name and request.path not in OPEN_PATHS:
            raise apierrors.unauthorized()
        self.authorize(request, target)
        if request.headers.get("content-length") == "too large":
            raise apierrors.too_large_body(BODY_LIMIT)
        forced = target and request.verb == "watch" and self.forced_410(request)
        if forced:
            raise apierrors.expired_watch(request.query.get("resourceVersion", ["0"])[0], self.api.store.rv)
        answer = await self.api.serve(request, target) if target else self.other_path(request)
        if self.late("delay", request):
            await asyncio.sleep(self.faults.take("delay", request).spec["ms"] / 1000)
        if late:
            raise Dropped
        return answer

    def late(self, kind, request):
        """Faults with "when": "after" act once the request has had its effect."""
        fault = self.faults.active(kind, request)
        return fault if fault and fault.spec.get("when") == "after" else None

    def forced_410(self, request):
        """With a `match`, http410 hits whatever fits it; without, only the really old (see Api.too_old)."""
        fault = self.faults.active("http410", request)
        return fault and fault.spec.get("match") and self.faults.take("http410", request)

    async def early_faults(self, request):
        if self.faults.active("delay", request) and not self.late("delay", request):
            await asyncio.sleep(self.faults.take("delay", request).spec["ms"] / 1000)
        if self.faults.active("drop", request) and not self.late("drop", request):
            self.faults.take("drop", request)
            raise Dropped
        if self.faults.take("hang", request):
            await asyncio.sleep(86400)
        fault = self.faults.take("status", request)
        if fault:
            raise FaultAnswer(fault)

    def authorize(self, request, target):
        user = request.user.name
        if target is None:
            if self.faults.denied(user, request.verb, request.path, None, None):
                raise apierrors.forbidden_path(user, request.verb, request.path)
            return
        res = target.res
        plural = f"{res.plural}/{target.sub}" if target.sub else res.plural
        if self.faults.denied(user, request.verb, plural, res.group, target.namespace):
            raise apierrors.forbidden(user, request.verb, res, target.sub, target.namespace, target.name)

    def other_path(self, request):
        """Discovery, health and version."""
        if request.method not in ("GET", "HEAD"):
            raise apierrors.page_not_found()
        registry, parts = self.api.registry, request.path.strip("/").split("/")
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        if request.path == "/version":
            return json_answer(200, resources.VERSION)
        if parts == ["api"]:
            return json_answer(200, resources.api_versions(self.address))
        if parts == ["apis"]:
            return json_answer(200, resources.group_list(registry))
        if parts == ["api", "v1"]:
            return json_answer(200, resources.resource_list(registry, "", "v1"))
        versions = registry.groups().get(parts[1]) if parts[0] == "apis" and len(parts) in (2, 3) else None
        if versions and len(parts) == 2:
            return json_answer(200, {"kind": "APIGroup", "apiVersion": "v1",
                                     **resources.group_document(parts[1], versions)})
        if versions and parts[2] in versions:
            return json_answer(200, resources.resource_list(registry, parts[1], parts[2]))
        raise apierrors.page_not_found()

    async def stream(self, request, watch, reader, writer):
        stall = self.faults.active("stall", request)
        if stall and stall.spec.get("headers") is False:
            while self.faults.active("stall", request) and not writer.transport.is_closing():
                watch.wake.clear()
                await watch.wake.wait()
        writer.write(head(200, "application/json", {"Transfer-Encoding": "chunked"}))
        return await watch.run(reader, writer)


class FaultAnswer(apierrors.ApiError):
    """The answer a `status` fault asks for: a text or JSON body of its own, or a Status."""

    def __init__(self, fault):
        spec, body = fault.spec, fault.spec.get("body")
        super().__init__(spec["code"], spec.get("reason", ""), spec.get("message", "standin fault"),
                         headers=spec.get("headers"), text=body if isinstance(body, str) else None)
        self.body = body if isinstance(body, dict) else None

    def status(self):
        return self.body or super().status()


def error_answer(error):
    if error.text is not None:
        kind = error.headers.get("Content-Type", "text/plain; charset=utf-8")
        rest = {k: v for k, v in error.headers.items() if k != "Content-Type"}
        return Answer(error.code, error.text.encode(), kind, {"X-Content-Type-Options": "nosniff", **rest})
    return json_answer(error.code, error.status(), error.headers)


# --- the wire --------------------------------------------------------------------------------------------------

async def read_request(reader, writer, peer):
    try:
        block = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = block[:-4].decode("latin-1").split("\r\n")
    try:
        method, target, _version = first.split(" ")
    except ValueError:
        return None
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    request = Request(method, target, headers, peer)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.body = await read_body(reader, headers)
    return request


async def read_body(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    length = int(headers.get("content-length") or 0)
    if length > BODY_LIMIT:
        headers["content-length"] = "too large"  # answered with 413 and closed, the body is never read
        return b""
    return await reader.readexactly(length) if length else b""


def keeps_alive(request):
    return request.headers.get("connection", "").lower() != "close"


def head(code, content_type, headers):
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {code} {phrase}", f"Audit-Id: {uuid.uuid4()}", "Cache-Control: no-cache, private",
             f"Content-Type: {content_type}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def send(request, writer, answer):
    """Small bodies carry a length, larger ones come in chunks, large ones gzipped on request: as Go's server does."""
    body, headers = answer.body, dict(answer.headers)
    if len(body) > 128 * 1024 and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 1)
        headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    if not keeps_alive(request):
        headers["Connection"] = "close"
    if len(body) <= 2048 or request.method == "HEAD":
        headers["Content-Length"] = len(body)
        writer.write(head(answer.code, answer.content_type, headers) + (b"" if request.method == "HEAD" else body))
        return
    headers["Transfer-Encoding"] = "chunked"
    parts = [head(answer.code, answer.content_type, headers)]
    for at in range(0, len(body), 16384):
        piece = body[at:at + 16384]
        parts += [b"%x\r\n" % len(piece), piece, b"\r\n"]
    writer.write(b"".join(parts) + b"0\r\n\r\n")


# --- users -----------------------------------------------------------------------------------------------------

class Users:
    """Who sent a request: the client certificate first, then the bearer token, as the real chain has it."""

    def __init__(self, token_file, anonymous):
        self.token_file = token_file
        self.anonymous = anonymous  # the user of requests without credentials, or None for 401
        self.fixed = {}             # tokens of the command line
        self.stamp = None
        self.tokens = {}

    def find(self, request, certificate):
        if certificate:
            return certificate_user(certificate) if ssl.cert_time_to_seconds(certificate["notAfter"]) > time.time() else None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return self.anonymous
        self.reload()
        if scheme.lower() != "bearer":
            return None
        return self.fixed.get(token.strip()) or self.tokens.get(token.strip())

    def reload(self):
        """Changes of the file count at once (the real server needs a restart), so that tests can rotate tokens."""
        stamp = self.token_file.stat().st_mtime_ns if self.token_file.exists() else None
        if stamp == self.stamp:
            return
        self.stamp, self.tokens = stamp, {}
        import csv  # only servers with tokens need it
        for row in csv.reader(self.token_file.read_text().splitlines(), skipinitialspace=True) if stamp else ():
            if len(row) >= 3:
                groups = tuple(g.strip() for g in row[3].split(",")) if len(row) > 3 and row[3] else ()
                self.tokens[row[0]] = User(row[1], groups)


def certificate_user(certificate):
    names = [pair for rdn in certificate.get("subject", ()) for pair in rdn]
    common = next((value for key, value in names if key == "commonName"), "")
    return User(common, tuple(value for key, value in names if key == "organizationName"))
