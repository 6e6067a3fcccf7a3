"""ARP on the lab's network: ask for addresses, watch who answers, inject frames.

The functions and classes of the upper half run in the test; what goes on by itself
is the lower half, `python -m lab.wire COMMAND`, started inside a network namespace. Times are
seconds of the system clock, as in l2lb's log; MACs are "02:00:00:00:00:0a".
"""

import argparse
import contextlib
import ctypes
import fcntl
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
from lab.traffic import longest_outage, runs

REQUEST, REPLY = 1, 2
BROADCAST = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"

_TESTS = Path(__file__).resolve().parents[1]


# In the test

def arp_frame(op, sha, spa, tha, tpa, eth_src=None, eth_dst=BROADCAST):
    """The bytes of an ARP frame, for send()."""
    return _ARP.pack(_mac(eth_dst), _mac(eth_src or sha), _ETH_P_ARP, 1, 0x0800, 6, 4, op,
                     _mac(sha), socket.inet_aton(spa), _mac(tha), socket.inet_aton(tpa))


def ask(ns, ip, count=1, timeout=0.5, settle=0.05, interface="eth0"):
    """Broadcast requests for an address, one after the other: a list of lists of
    replies {"mac", "eth_src", "ms"}, one list per request.

    After the first reply only `settle` seconds are waited for a second one.
    """
    with _questioner(ns, interface) as questioner:
        return [_ask_once(questioner, ip, timeout, settle) for _ in range(count)]


def send(ns, frame, interface="eth0"):
    """Puts one frame on the wire."""
    with proc.inside(ns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        opened.bind((interface, 0))
        opened.send(frame)


class Asker:
    """Asks for addresses all the time, `hz` times per second each.

    A reply counts for the latest request of that address. Where replies may
    take longer than 1/hz, give several `senders`: unused addresses of the
    network the requests are made from in turn, so that a late reply is told
    from the next one.
    """

    def __init__(self, ns, ips, hz, interface="eth0", senders=()):
        self._process = _start(ns, "asker", interface, hz, ",".join(senders), *ips,
                               stdin=subprocess.PIPE)
        _wait_started(self._process)

    def stop(self):
        """{ip: summary}. A summary has

        asked, unanswered   numbers of requests
        longest_gap_ms      longest time without an answer, from gap_start on
        doubles             requests answered by two MACs or more: {"time", "macs"}
        changes             (time, mac) whenever another MAC answered than before
        outage_ms           longest time in which each request stayed unanswered, from outage_start on; 0 if none did
        spans               [first, last, requests, answers] of like requests in a row; an answer is its MAC,
                            with "<" and the frame's own source where that is another (a guard's)
        """
        output, _ = self._process.communicate(timeout=30)
        return json.loads(output)


class Sniffer:
    """Records every ARP frame an interface sends or receives; about: only those
    with this address as sender or target, which a flood of others does not disturb."""

    def __init__(self, ns, log, interface="eth0", about=None):
        self.log = Path(log)
        self._process = _start(ns, "sniff", interface, log, *(["--about", about] if about else []),
                               stdin=subprocess.PIPE)
        _wait_started(self._process)

    def frames(self, since=0):
        """The frames so far: {"time", "out", "eth_src", "eth_dst", "op", "sha", "spa",
        "tha", "tpa"} each; "out" is true for frames sent by that interface."""
        lines = self.log.read_text().splitlines(keepends=True)
        # The last line may be half written.
        frames = [json.loads(line) for line in lines if line.endswith("\n")]
        return [frame for frame in frames if frame["time"] >= since]

    def stop(self):
        self._process.communicate(timeout=10)
        return self.frames()


class Flood:
    """Broadcasts ARP requests of others for others, about `rate` per second."""

    def __init__(self, ns, rate, interface="eth0"):
        self._process = _start(ns, "flood", interface, rate, niceness=0, stdin=subprocess.PIPE)
        _wait_started(self._process)

    def stop(self):
        """{"sent", "seconds"}"""
        output, _ = self._process.communicate(timeout=30)
        return json.loads(output)


def _start(ns, *args, niceness=proc.PROMPT, **popen):
    return proc.spawn([sys.executable, "-m", "lab.wire", *map(str, args)], ns,
                      env={**os.environ, "PYTHONPATH": str(_TESTS)}, niceness=niceness,
                      stdout=subprocess.PIPE, text=True, **popen)


def _wait_started(process):
    if process.stdout.readline() != "started\n":
        raise RuntimeError(f"lab.wire ended with {process.wait()}")


# In the namespace

_ETH_P_ALL, _ETH_P_ARP = 3, 0x0806
_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_OUTGOING = 4   # a packet type: a frame this machine sent
_ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))


def _open(interface, protocol, about=None):
    """A packet socket with the kernel's receive times, which do not depend on
    when this process gets the processor."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if protocol == _ETH_P_ALL:
        _only_arp(opened, about)
    # Bound last: nothing is received before the filter is in place.
    opened.bind((interface, protocol))
    opened.setblocking(False)
    return opened


def _only_arp(opened, about):
    """A filter in the kernel, so that the lab's other traffic costs nothing."""
    take, drop = [(0x06, 0, 0, 0xffff)], [(0x06, 0, 0, 0)]
    check = [(0x28, 0, 0, 12),           # load the frame's type
             (0x15, 0, 1, _ETH_P_ARP)]   # is it ARP?
    if about:
        ip = int.from_bytes(socket.inet_aton(about), "big")
        check = [(0x28, 0, 0, 12), (0x15, 0, 5, _ETH_P_ARP),
                 (0x20, 0, 0, 28), (0x15, 2, 0, ip),    # the sender's address
                 (0x20, 0, 0, 38), (0x15, 0, 1, ip)]    # the target's
    program = b"".join(struct.pack("HBBI", *step) for step in check + take + drop)
    steps = ctypes.create_string_buffer(program)
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER,
                      struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps)))


def _receive(opened):
    """The next ARP frame as a dict, None if there is none."""
    while True:
        try:
            data, ancillary, _, address = opened.recvmsg(2048, 64)
        except BlockingIOError:
            return None
        if len(data) >= _ARP.size:
            return _frame(data, ancillary, address)


def _frame(data, ancillary, address):
    dst, src, _, _, _, _, _, op, sha, spa, tha, tpa = _ARP.unpack_from(data)
    seconds, nanoseconds = struct.unpack("ll", ancillary[0][2])
    return {"time": seconds + nanoseconds / 1e9, "out": address[2] == _OUTGOING,
            "eth_src": src.hex(":"), "eth_dst": dst.hex(":"), "op": op,
            "sha": sha.hex(":"), "spa": socket.inet_ntoa(spa),
            "tha": tha.hex(":"), "tpa": socket.inet_ntoa(tpa)}


class _Questioner:
    """Sends requests from an interface and tells the replies to them."""

    def __init__(self, interface):
        self.socket = _open(interface, _ETH_P_ARP)
        self.mac = self.socket.getsockname()[4].hex(":")
        self.ip = _interface_ip(interface)

    def ask(self, ip, sender=None):
        """The time the request was sent."""
        frame = arp_frame(REQUEST, self.mac, sender or self.ip, NO_MAC, ip)
        now = time.time()
        self.socket.send(frame)
        return now

    def replies(self):
        """Those which have come; broadcast announcements answer nobody."""
        while frame := _receive(self.socket):
            if frame["op"] == REPLY and frame["eth_dst"] == self.mac:
                yield frame


def _interface_ip(interface):
    get_address = 0x8915   # SIOCGIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, get_address, struct.pack("256s", interface.encode()))
    return socket.inet_ntoa(answer[20:24])


@contextlib.contextmanager
def _questioner(ns, interface):
    """A socket stays in the namespace where it was made: to ask from it, no process is needed there."""
    with proc.inside(ns):
        made = _Questioner(interface)
    with made.socket:
        yield made


def _ask_once(questioner, ip, timeout, settle):
    sent = questioner.ask(ip)
    deadline = sent + timeout
    answers = []
    while True:
        left = deadline - time.time()
        select.select([questioner.socket], [], [], max(left, 0))
        for frame in questioner.replies():
            if frame["spa"] == ip:
                answers.append({"mac": frame["sha"], "eth_src": frame["eth_src"],
                                "ms": round((frame["time"] - sent) * 1000, 3)})
                deadline = min(deadline, time.time() + settle)
        # Looked at once more when the time is over: a busy machine may have taken all of it.
        if left <= 0:
            return answers


class _Record:
    """What one address was asked and answered."""

    def __init__(self):
        self.requests = []   # (time sent, {mac: time of its reply}, answers as spans have them)
        self.latest = {}     # sender: its latest request

    def asked(self, sender, sent):
        request = (sent, {}, set())
        self.requests.append(request)
        self.latest[sender] = request

    def answered(self, frame):
        request = self.latest.get(frame["tpa"])
        if request:
            request[1].setdefault(frame["sha"], frame["time"])
            request[2].add(frame["sha"] if frame["sha"] == frame["eth_src"] else f"{frame['sha']}<{frame['eth_src']}")

    def summary(self, end):
        answers = sorted((when, mac) for _, macs, _ in self.requests for mac, when in macs.items())
        gap, gap_start = self._longest_gap([when for when, _ in answers], end)
        marks = [(sent, sorted(answers)) for sent, _, answers in self.requests]
        outage, outage_start = longest_outage(marks, end)
        return {"asked": len(self.requests),
                "unanswered": sum(not macs for _, macs, _ in self.requests),
                "longest_gap_ms": round(gap * 1000, 3), "gap_start": gap_start,
                "doubles": [{"time": sent, "macs": sorted(macs)}
                            for sent, macs, _ in self.requests if len(macs) > 1],
                "changes": _changes(answers),
                "outage_ms": round(outage * 1000, 1), "outage_start": outage_start, "spans": runs(marks)}

    def _longest_gap(self, answered, end):
        # From the first question on and up to the end: an address nobody
        # answers for is one long gap.
        start = self.requests[0][0] if self.requests else end
        marks = [start, *answered, end]
        return max((after - before, before) for before, after in zip(marks, marks[1:]))


def _changes(answers):
    changes, current = [], None
    for when, mac in answers:
        if mac != current:
            changes.append((when, mac))
            current = mac
    return changes


def _asker(options):
    questioner = _Questioner(options.interface)
    senders = [sender for sender in options.senders.split(",") if sender] or [questioner.ip]
    records = {ip: _Record() for ip in options.ips}
    _started()
    interval = 1 / (options.hz * len(options.ips))
    turn, due = 0, time.monotonic()
    while not _told_to_stop(questioner, records, due - time.monotonic()):
        now = time.monotonic()
        if now < due:
            continue
        ip = options.ips[turn % len(options.ips)]
        sender = senders[turn // len(options.ips) % len(senders)]
        records[ip].asked(sender, questioner.ask(ip, sender))
        turn += 1
        # After a long time without the processor: no burst to catch up.
        due = due + interval if now - due < 0.05 else now + interval
    end = time.time()
    time.sleep(0.1)   # for the replies to the last requests
    _collect(questioner, records)
    return {ip: record.summary(end) for ip, record in records.items()}


def _told_to_stop(questioner, records, patience):
    """Takes replies for up to `patience` seconds; the end of stdin says stop."""
    ready, _, _ = select.select([questioner.socket, sys.stdin], [], [], max(patience, 0))
    if questioner.socket in ready:
        _collect(questioner, records)
    return sys.stdin in ready


def _collect(questioner, records):
    for frame in questioner.replies():
        if frame["spa"] in records:
            records[frame["spa"]].answered(frame)


def _sniff(options):
    opened = _open(options.interface, _ETH_P_ALL, options.about)
    with open(options.log, "w") as log:
        _started()
        stop = False
        while not stop:
            ready, _, _ = select.select([opened, sys.stdin], [], [])
            stop = sys.stdin in ready
            while frame := _receive(opened):
                log.write(json.dumps(frame) + "\n")
            log.flush()


def _flood(options):
    """Small bursts, paced by the clock: what the machine cannot do is left out."""
    own = _open(options.interface, _ETH_P_ARP)
    mac = own.getsockname()[4].hex(":")
    frames = [arp_frame(REQUEST, mac, f"10.{n}.1.1", NO_MAC, f"10.{n}.2.2") for n in range(256)]
    own.close()
    sent, started = 0, time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        opened.bind((options.interface, 0))
        _started()
        while not select.select([sys.stdin], [], [], 0)[0]:
            due = min(int((time.monotonic() - started) * options.rate) - sent, 256)
            for frame in frames[:max(due, 0)]:
                opened.send(frame)
            sent += max(due, 0)
            if due < 20:
                time.sleep(0.001)
            elif due == 256:   # too slow: no debt is kept
                started = time.monotonic() - sent / options.rate
    return {"sent": sent, "seconds": time.monotonic() - started}


def _started():
    print("started", flush=True)


def _options():
    parser = argparse.ArgumentParser(prog="lab.wire")
    commands = parser.add_subparsers(required=True)

    def command(name, run):
        sub = commands.add_parser(name)
        sub.add_argument("interface")
        sub.set_defaults(run=run)
        return sub

    sub = command("asker", _asker)
    sub.add_argument("hz", type=float)
    sub.add_argument("senders", help="comma separated; empty for the interface's own address")
    sub.add_argument("ips", nargs="+")
    sub = command("sniff", _sniff)
    sub.add_argument("log")
    sub.add_argument("--about")
    command("flood", _flood).add_argument("rate", type=float)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _options()
    print(json.dumps(chosen.run(chosen)))
