"""What the contract tests of the API client stand on: the two API servers behind one face, a wire that can be cut, and
the client by itself (tests/tools/apiprobe.c)."""

import base64
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster.certs import Authority
from cluster.cluster import RealCluster
from lab import proc
from lab.kube import Kube, path, wait

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(os.environ.get("APIPROBE", ROOT / "build" / "apiprobe"))
# The leak check of a SAN=1 build hangs once in a while at exit; leaks are valgrind's part here.
_ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0", **os.environ}
_users = itertools.count(1)


class Link:
    """A wire to a server on 127.0.0.1, with a port of its own: it can be cut, taken down, frozen."""

    def __init__(self, target):
        self.target, self.port = target, proc.free_ports(1)[0]
        self._pairs, self._open = [], threading.Event()
        self._open.set()
        self.up()

    def up(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self):
        """Refuses connections from now on; those there are end."""
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.cut()

    def cut(self, reset=True):
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    if reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
                    end.close()
                except OSError:
                    pass

    def freeze(self):
        """Nothing gets through any more, and nobody is told."""
        self._open.clear()

    def thaw(self):
        self._open.set()

    def connections(self):
        return sum(pair[0].fileno() >= 0 for pair in self._pairs)

    def _accept(self, listener):
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                here.close()
                continue
            self._pairs = [pair for pair in self._pairs if pair[0].fileno() >= 0] + [(here, there)]
            for ends in ((here, there), (there, here)):
                ends[1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self._open.wait()
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Server:
    """One of the two API servers. kube: its administrator; ca: the Authority of its certificates."""

    def new_user(self):
        return f"probe-{next(_users)}"

    def kubeconfig(self, user=None, port=None, groups=("system:masters",), cert=None, ca=None, **credentials):
        """Path of a kubeconfig: a client certificate for `user`, or the fields given (token, tokenFile)."""
        place = self.folder / f"kubeconfig-{next(_users)}"
        if not credentials:
            certificate, key = cert or self.ca.client(user, groups)
            credentials = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        place.write_text(json.dumps({
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"https://127.0.0.1:{port or self.port}",
                                                   "certificate-authority-data": _base64((ca or self.ca).cert)}}],
            "users": [{"name": "u", "user": credentials}]}))
        return place

    def other_authority(self):
        return Authority(self.folder / f"other-{next(_users)}", "not-the-cluster")


class Real(Server):
    name = "real"

    def __init__(self, cluster: RealCluster):
        self.cluster, self.folder, self.port = cluster, cluster.workdir, cluster.port
        self.ca, self.kube = cluster.ca, cluster.client()

    def requests(self, user):
        """[(verb, path and query, code, time)] of a user, oldest first."""
        found = {}
        for event in self.cluster.audit(user):
            code = event.get("responseStatus", {}).get("code")
            found[event["auditID"]] = (event["verb"], event["requestURI"], code, event["requestReceivedTimestamp"])
        return list(found.values())

    def restart(self, while_down=lambda: None):
        self.cluster.stop_apiserver(signal.SIGKILL)
        while_down()
        self.cluster.start_apiserver()

    def pause(self):
        self.cluster.pause()

    def resume(self):
        self.cluster.resume()

    def close(self):
        pass


class Standin(Server):
    name = "standin"

    def __init__(self, folder):
        self.folder, self.port = Path(folder), proc.free_ports(1)[0]
        self.ca = Authority(self.folder, "kubernetes")   # it makes one only where there is none
        self._start()
        self.kube = Kube(self.folder / "kubeconfig")

    def _start(self):
        self.process = proc.spawn([sys.executable, str(ROOT / "tests/standin/apiserver.py"), "--dir", str(self.folder), "--persist",
                                   "--listen", f"127.0.0.1:{self.port}"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"standin: serving on https://127\.0\.0\.1:(\d+)\n", line)[1])

    def control(self, method, place, body=None):
        return self.kube.request(method, f"/_standin/{place}", body)

    def fault(self, **spec):
        return self.control("POST", "faults", spec)

    def calm(self):
        self.control("DELETE", "faults")
        self.control("POST", "settings", {"bookmark_interval": 60})

    def requests(self, user):
        return [(entry["verb"], entry["path"], entry["code"], entry["time"])
                for entry in self.control("GET", "requests")["requests"] if entry["user"] == user]

    def restart(self, while_down=lambda: None):
        self.close()
        while_down()
        self._start()

    def pause(self):
        proc.pause(self.process)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        proc.end(self.process, signal.SIGTERM)
        self.process.stdout.close()


class Probe:
    """A running apiprobe. Its lines are looked at in order: until() goes on behind what it found last."""

    def __init__(self, kubeconfig, *arguments, under=(), **flags):
        given = {"stall": 20000, "retry-first": 50, "retry-max": 400, "denied": 300, **{k.replace("_", "-"): v for k, v in flags.items()}}
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        self.log = Path(f"{kubeconfig}.log")
        with open(self.log, "ab") as log:
            self.process = proc.spawn([*under, str(PROBE), "--kubeconfig", str(kubeconfig), *words, *arguments],
                                      stdout=subprocess.PIPE, stderr=log, text=True, env=_ENVIRONMENT)
        self.lines, self._at, self._news = [], 0, threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append({**json.loads(line), "time": time.monotonic()})
                self._news.notify()

    def until(self, event, timeout=40, why=None, **fields):
        """The next line of that kind; why: a regular expression, or "" for "no trouble any more"."""
        deadline = time.monotonic() + timeout

        def fits(line):
            if why is not None and (bool(line["why"]) != bool(why) or not re.search(why, line["why"] or "")):
                return False
            return all(line.get(name) == value for name, value in fields.items())

        with self._news:
            while True:
                for index in range(self._at, len(self.lines)):
                    if self.lines[index]["event"] == event and fits(self.lines[index]):
                        self._at = index + 1
                        return self.lines[index]
                if not self._news.wait(max(0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise AssertionError(f"waited {timeout} s for {event} {why} {fields}; got {self.lines}\n{self.log.read_text()}")

    def keys(self, event):
        return [line["key"].rpartition("/")[2] for line in self.lines if line["event"] == event]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self, code=0):
        """Ends it and returns its last line, the counters. Exit code 70 is a handle left open."""
        ended = proc.end(self.process, signal.SIGTERM, timeout=30)
        self._reader.join(30)
        self.process.stdout.close()
        assert ended == code, f"exit code {ended}\n{self.log.read_text()}"
        return self.lines[-1]


def ask(kubeconfig, method, target, body=None, timeout=60):
    """One request by the client: its result line."""
    words = [str(PROBE), "--kubeconfig", str(kubeconfig), "request", method, target] + ([json.dumps(body)] if body is not None else [])
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    assert done.stdout.count("\n") == 1, (done.returncode, done.stdout, done.stderr)
    line = json.loads(done.stdout)
    succeeded = line["error"] == 0 and 200 <= line["status"] < 300
    assert done.returncode == (0 if succeeded else 1)
    return line


class Room:
    """A namespace of one test, its ConfigMaps, a user of its own and the wire this user takes."""

    def __init__(self, server):
        self.server, self.kube = server, server.kube
        self.user, self.namespace = server.new_user(), f"contract-{next(_users)}"
        self.path = path("ConfigMap", self.namespace)
        self.link = Link(server.port)
        self.kubeconfig = server.kubeconfig(self.user, self.link.port)
        self.probes = []
        self.kube.make_namespace(self.namespace)

    def make(self, *names, labels=None):
        for name in names:
            self.kube.create(self.path, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": "0"},
                                         "metadata": {"name": name, "labels": labels or {}}})

    def change(self, name, **metadata):
        return self.kube.patch(f"{self.path}/{name}", {"data": {"n": str(time.time_ns())}, "metadata": metadata})

    def delete(self, *names):
        for name in names:
            self.kube.delete(f"{self.path}/{name}")

    def watch(self, *selector, kubeconfig=None, synced=True, **flags):
        probe = Probe(kubeconfig or self.kubeconfig, "watch", self.path, *selector, **flags)
        self.probes.append(probe)
        if synced:
            probe.until("synced")
        return probe

    def requests(self, verb=None):
        return [request for request in self.server.requests(self.user) if verb in (None, request[0])]

    def watches_open(self, count, timeout=40):
        """Waits until so many watches were ever asked for."""
        return wait(lambda: len(self.requests("watch")) >= count and self.requests("watch"), timeout, f"{count} watches")

    def close(self):
        self.link.thaw()
        for probe in self.probes:
            if probe.process.poll() is None:
                proc.end(probe.process)
        self.link.down()


class Script:
    """A server without TLS that knows one empty list and, for each watch, one answer: cut where `cuts` says."""

    path = "/api/v1/configmaps"
    base = 1000000

    def __init__(self, folder):
        self.cuts, self.done = iter(()), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.kubeconfig = Path(folder) / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{self._listener.getsockname()[1]}"}}],
            "users": [{"name": "u", "user": {}}]}))

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def watch_answer(self, number):
        """An object comes, changes and goes; a bookmark; an empty line; a type of the future. Chunks end anywhere."""
        def event(kind, step, **metadata):
            made = {"type": kind, "object": {"kind": "ConfigMap", "metadata": {
                "resourceVersion": str(self.base + 10 * number + step), **metadata}}}
            return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

        name = {"name": "gr\u00fc\u00df\u20ac", "namespace": "n", "uid": "u"}
        lines = (event("ADDED", 1, **name) + event("MODIFIED", 2, annotations={"x": "\U0001f600 \\n }"}, **name) + b"\n"
                 + event("NEWER", 3, **name) + event("DELETED", 4, **name) + event("BOOKMARK", 5))
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(lines[at:at + 37]), lines[at:at + 37]) for at in range(0, len(lines), 37))
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    def _serve(self):
        watches = itertools.count()
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with wire, wire.makefile("rb") as requests:
                while first := requests.readline():
                    while requests.readline() not in (b"\r\n", b""):
                        pass
                    if b"watch=1" not in first:
                        body = b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":null}'
                        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                    elif not self._send(wire, next(watches)):
                        requests.read()   # the script is over: silence

    def _send(self, wire, number):
        cuts, whole = next(self.cuts, None), self.watch_answer(number)
        if cuts is None:
            self.done.set()
            return False
        for start, end in zip((0, *cuts), (*cuts, len(whole))):
            wire.sendall(whole[start:end])
            time.sleep(0.0005)   # so that it is read before the rest comes
        return True


def _base64(file):
    return base64.b64encode(Path(file).read_bytes()).decode()
