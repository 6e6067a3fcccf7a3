"""Answers ARP for an address as told, right or wrong: a speaker, a guard or a stranger of a test's own making.

    with Responder(lab, "worker-1", "192.168.122.200", delay=0.02): ...

It says `mac` (the member's own by default); guard: only broadcast questions reach it, as when it says another's MAC.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from lab import proc

_TESTS = Path(__file__).resolve().parents[1]
_ETH_P_ARP = 0x0806
_HOST, _BROADCAST = 0, 1   # packet types: for us, for all


class Responder:
    """Runs at a member of the lab until it is ended."""

    def __init__(self, lab, member, ip, mac=None, delay=0.0):
        args = ["--delay", str(delay), *(["--mac", mac] if mac else []), ip]
        self._process = lab.exec(member, [sys.executable, "-m", "lab.responder", *args], env={**os.environ, "PYTHONPATH": str(_TESTS)}, niceness=proc.PROMPT,
                                 stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "started\n":
            raise RuntimeError(f"lab.responder ended with {self._process.wait()}")

    def end(self):
        proc.end(self._process)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.end()


def _answer(options):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        opened.bind((options.interface, _ETH_P_ARP))
        own = opened.getsockname()[4]
        says = bytes.fromhex(options.mac.replace(":", "")) if options.mac else own
        address = socket.inet_aton(options.ip)
        print("started", flush=True)
        while True:
            frame, (_, _, kind, _, _) = opened.recvfrom(2048)
            if kind not in (_HOST, _BROADCAST) or len(frame) < 42 or frame[20:22] != b"\0\1" or frame[38:42] != address:
                continue
            time.sleep(options.delay)
            opened.send(frame[22:28] + own + frame[12:20] + b"\0\2" + says + address + frame[22:28] + frame[28:32])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="lab.responder")
    parser.add_argument("ip")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--mac")
    parser.add_argument("--delay", type=float, default=0.0)
    _answer(parser.parse_args())
