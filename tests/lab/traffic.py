"""Traffic through an address: small packets at a steady rate, each answered by the node that it reaches, which says its name.

The nodes take packets for the pool's addresses as kube-proxy has them do (netlab.accept_pool) without answering ARP for them, so
a packet reaches whom the *client's kernel* has in its neighbour table, or nobody.

    Echo(lab, node)                     one server per node, UDP and TCP
    traffic = Traffic(ns, ip)           UDP, 500 per second; tcp=True: one connection
    seen = traffic.stop()
"""

import argparse
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from lab import proc

PORT = 7007
_TESTS = Path(__file__).resolve().parents[1]
_SEQUENCE = struct.Struct("!Q")
_NAME = 24   # an answer is the question's number and the node's name, padded: TCP needs a fixed size
_PKTINFO = 8   # IP_PKTINFO
_ANSWER = _SEQUENCE.size + _NAME


def runs(marks):
    """[(time, who), ...] -> [[first, last, count, who], ...] of equal neighbours: what a timeline is drawn from."""
    found = []
    for when, who in marks:
        if found and found[-1][3] == who:
            found[-1][1] = when
            found[-1][2] += 1
        else:
            found.append([when, when, 1, who])
    return found


def longest_outage(marks, end):
    """(seconds, from when) of the longest time in which each question stayed unanswered; 0 when none did. From the last answered
    question before to the first after, so that a sender without the processor does not count as an outage."""
    worst, before, silent = (0.0, end), None, False
    for when, who in [*marks, (end, True)]:
        if not who:
            before = when if before is None else before
            silent = True
            continue
        if silent and when - before > worst[0]:
            worst = (when - before, before)
        before, silent = when, False
    return worst


class Echo:
    """Answers on all of a node's addresses until the lab ends."""

    def __init__(self, lab, node):
        self._process = _start(lab.ns(node), "serve", node)


class Traffic:
    def __init__(self, ns, ip, hz=500, tcp=False):
        self._process = _start(ns, "send", ip, hz, *(["--tcp"] if tcp else []), stdin=subprocess.PIPE)

    def stop(self):
        """{"sent", "lost", "outage_ms", "outage_start", "spans": [[first, last, packets, node or None], ...], "moves", "slowest_ms",
        "broken"}; broken: a connection's error, None if it held."""
        output, _ = self._process.communicate(timeout=30)
        return json.loads(output)


def _start(ns, *args, **popen):
    process = proc.spawn([sys.executable, "-m", "lab.traffic", *map(str, args)], ns, niceness=proc.PROMPT,
                         env={**os.environ, "PYTHONPATH": str(_TESTS)}, stdout=subprocess.PIPE, text=True, **popen)
    if process.stdout.readline() != "started\n":
        raise RuntimeError(f"lab.traffic ended with {process.wait()}")
    return process


# In the namespace

def _serve(options):
    name = options.node.encode()[:_NAME].ljust(_NAME, b"\0")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    udp.bind(("0.0.0.0", PORT))
    listener = socket.create_server(("0.0.0.0", PORT))
    connections = {}
    print("started", flush=True)
    while True:
        for ready in select.select([udp, listener, *connections], [], [])[0]:
            if ready is udp:
                _answer_datagram(udp, name)
            elif ready is listener:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[accepted] = b""
            else:
                _answer_stream(connections, ready, name)


def _answer_datagram(udp, name):
    # A client that has just gone leaves an error behind, which is not ours.
    with contextlib.suppress(OSError):
        data, ancillary, _, client = udp.recvmsg(64, 64)
        # From the address it was sent to.
        info = struct.pack("I4s4s", 0, ancillary[0][2][8:12], b"\0" * 4)
        udp.sendmsg([data + name], [(socket.IPPROTO_IP, _PKTINFO, info)], 0, client)


def _answer_stream(connections, ready, name):
    try:
        got = ready.recv(4096)
    except OSError:
        got = b""
    if not got:
        del connections[ready]
        ready.close()
        return
    data = connections[ready] + got
    whole = len(data) // _SEQUENCE.size * _SEQUENCE.size
    connections[ready] = data[whole:]
    ready.sendall(b"".join(data[i:i + _SEQUENCE.size] + name for i in range(0, whole, _SEQUENCE.size)))


class _Sender:
    """Numbers out, numbers and names in."""

    def __init__(self, options):
        self.tcp = options.tcp
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if options.tcp else socket.SOCK_DGRAM)
        self.socket.connect((options.ip, PORT))
        if options.tcp:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent, self.answers = [], {}   # when; number: (when, node)
        self.broken, self._rest = None, b""

    def send(self):
        number = len(self.sent)
        self.sent.append(time.time())
        try:
            self.socket.send(_SEQUENCE.pack(number))
        except OSError as error:
            self._failed(error)

    def receive(self):
        while True:
            try:
                data = self.socket.recv(65536 if self.tcp else 64)
            except BlockingIOError:
                return
            except OSError as error:   # ICMP's word, such as "no route to host": that packet is lost
                self._failed(error)
                return
            if not data:
                self.broken = self.broken or "closed by the other side"
                return
            self._rest += data
            while len(self._rest) >= _ANSWER:
                number, = _SEQUENCE.unpack_from(self._rest)
                name = self._rest[_SEQUENCE.size:_ANSWER].rstrip(b"\0").decode()
                self.answers.setdefault(number, (time.time(), name))
                self._rest = self._rest[_ANSWER:]

    def _failed(self, error):
        if self.tcp and not isinstance(error, BlockingIOError):
            self.broken = self.broken or str(error)

    def summary(self, end):
        marks = [(sent, self.answers.get(number, (0, None))[1]) for number, sent in enumerate(self.sent)]
        outage, start = longest_outage(marks, end)
        nodes = [run[3] for run in runs([mark for mark in marks if mark[1]])]
        late = [answered - self.sent[number] for number, (answered, _) in self.answers.items()]
        return {"sent": len(marks), "lost": sum(node is None for _, node in marks), "outage_ms": round(outage * 1000, 1),
                "outage_start": start, "spans": runs(marks), "moves": max(len(nodes) - 1, 0),
                "slowest_ms": round(max(late, default=0) * 1000, 1), "broken": self.broken}


def _send(options):
    sender = _Sender(options)
    print("started", flush=True)
    interval, due = 1 / options.hz, time.monotonic()
    while not _told_to_stop(sender, due - time.monotonic()):
        now = time.monotonic()
        if now >= due:
            sender.send()
            due = due + interval if now - due < 0.05 else now + interval
    end = time.time()
    until = time.monotonic() + 0.3   # for the answers to the last ones
    while (left := until - time.monotonic()) > 0 and len(sender.answers) < len(sender.sent) and not sender.broken:
        select.select([sender.socket], [], [], left)
        sender.receive()
    return sender.summary(end)


def _told_to_stop(sender, patience):
    watched = [sys.stdin] if sender.broken else [sender.socket, sys.stdin]
    ready, _, _ = select.select(watched, [], [], max(patience, 0))
    if sender.socket in ready:
        sender.receive()
    return sys.stdin in ready


def _options():
    parser = argparse.ArgumentParser(prog="lab.traffic")
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("serve")
    sub.add_argument("node")
    sub.set_defaults(run=_serve)
    sub = commands.add_parser("send")
    sub.add_argument("ip")
    sub.add_argument("hz", type=float)
    sub.add_argument("--tcp", action="store_true")
    sub.set_defaults(run=_send)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    print(json.dumps(chosen.run(chosen)))
