"""A bad cable to one machine of the lab: frames lost and late in both directions. This kernel may have no netem: then and always a
program of ours (tests/tools/badcable.c) sits between the machine's port and the bridge.

    with BadCable(lab, "worker-1", loss=10, delay=10, jitter=10): ...

Plugging it in loses what is on the wire in that moment, some milliseconds; take it before anything is measured.
"""

import itertools
import os
import signal
import subprocess
from pathlib import Path

from lab import proc
from lab.netlab import BRIDGE

_BUILD = Path(os.environ.get("L2LB") or Path(__file__).resolve().parents[2] / "build" / "l2lb").parent
_serial = itertools.count(1)


class BadCable:
    """loss in per cent and delay +- jitter in ms, each for both directions; everything is the member's again after end().
    late_ms, then: by how much a frame was later than that, because the machine had no time for the cable."""

    late_ms = None

    def __init__(self, lab, member, loss=10, delay=0, jitter=0, seed=1):
        self._lab, self._port, self._tap = lab, lab.members[member].ports["eth0"], f"cable{next(_serial)}"
        argv = [_BUILD / "badcable", self._port, self._tap, loss, delay, jitter, seed]
        self._process = proc.spawn([str(arg) for arg in argv], lab.bridge_ns, niceness=proc.PROMPT, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"badcable ended with {self._process.wait()}")
        # ARP off: the bridge's namespace must not answer on the port for the bridge's own address.
        lab.bridge_ip(f"link set {self._port} nomaster arp off", f"link set {self._tap} master {BRIDGE} up")

    def end(self):
        if self.late_ms is not None:
            return
        proc.end(self._process, signal.SIGTERM)
        self.late_ms = int(self._process.stdout.read())
        # The tap goes with its program.
        self._lab.bridge_ip(f"link set {self._port} arp on master {BRIDGE} up")

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.end()
