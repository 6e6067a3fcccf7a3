#!/usr/bin/python3
"""Records the corpus of the fuzzers: what a real kernel says by rtnetlink, and real ARP frames.

    make && sudo tests/fuzz/record.py        writes tests/fuzz/corpus/{netlink,frame}/

netlink/: datagrams as they came, one file per step of history() (its comment says what was done). A file is one datagram
or several, one after the other: each holds whole messages, so that they read like one. frame/: ARP frames of a home lab
with liveness, clients, a stranger and a duplicate address, one file per kind of frame; conversation: many, padded to 60.
"""

import argparse
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from lab import proc  # noqa: E402
from lab.netlab import HomeLab  # noqa: E402

RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE = 18, 22, 26
NLM_F_REQUEST, NLM_F_DUMP, NLMSG_DONE = 1, 0x300, 3
SO_RCVBUFFORCE = 33
GROUPS = 1 | 0x10 | 0x100 | 0x40   # link, IPv4 and IPv6 addresses, IPv4 routes


class Rtnetlink:
    def __init__(self, ns):
        with proc.inside(ns):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.bind((0, GROUPS))
        self.socket.settimeout(0.6)   # linkwatch may take half a second

    def dump(self, kind):
        self.socket.send(struct.pack("=IHHIIB3x", 20, kind, NLM_F_REQUEST | NLM_F_DUMP, kind, 0, socket.AF_UNSPEC))
        parts = []
        while not parts or struct.unpack_from("=H", parts[-1], 4)[0] != NLMSG_DONE:
            parts.append(self.socket.recv(1 << 17))
        return b"".join(parts)

    def news(self):
        parts = []
        try:
            while True:
                parts.append(self.socket.recv(1 << 17))
        except TimeoutError:
            return b"".join(parts)


def history(folder):
    """What happened, in order, and what the kernel said each time."""
    lab = HomeLab(prefix="l2lb-record", nodes=1)
    with lab:
        name, ns = lab.nodes[0], lab.ns(lab.nodes[0])
        told = Rtnetlink(ns)
        for kind, file in ((RTM_GETLINK, "dump-links"), (RTM_GETADDR, "dump-addresses"), (RTM_GETROUTE, "dump-routes")):
            (folder / file).write_bytes(told.dump(kind))
        steps = {
            "link-down": ["ip link set eth0 down"],
            "link-up": ["ip link set eth0 up"],
            "flap": ["ip link set eth0 down", "ip link set eth0 up"],
            "mac": ["ip link set eth0 address 02:00:00:00:99:0b"],
            "address-added": ["ip addr add 192.168.122.77/24 dev eth0"],
            "address-removed": ["ip addr del 192.168.122.77/24 dev eth0"],
            "route": ["ip route replace default via 192.168.122.2"],
            "renamed": ["ip link set eth0 name lan0"],
            "enslaved": ["ip link add br0 type bridge", "ip link set br0 up", "ip link set lan0 master br0"],
            "released": ["ip link set lan0 nomaster"],
            "deleted": ["ip link del br0"],
            "macvlan": ["ip link add link lan0 name sub0 type macvlan", "ip link set sub0 up"],
        }
        for file, commands in steps.items():
            for command in commands:
                lab.run(name, command.split(), check=True)
            (folder / file).write_bytes(told.news())
        lab.cut(name, "eth0")
        (folder / "carrier-lost").write_bytes(told.news())


class Frames:
    """All ARP frames that the bridge of a lab sees."""

    def __init__(self, ns, interface):
        with proc.inside(ns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.socket.bind((interface, 0x0806))
        self.socket.settimeout(0.2)

    def read(self, seconds):
        end, seen = time.monotonic() + seconds, []
        while time.monotonic() < end:
            try:
                seen.append(self.socket.recv(2048))
            except TimeoutError:
                pass
        return seen


def frames(folder, binary):
    """From the end to end tests' home lab: see tests/e2e/home.py."""
    sys.path.insert(0, str(HERE.parent / "e2e"))
    import tempfile

    from cluster.cluster import RealCluster, build
    from home import Home, vip_of
    os.environ["L2LB"] = binary
    with tempfile.TemporaryDirectory() as temporary, HomeLab(prefix="l2lb-record") as lab:
        control = lab.members["k8s-control"]
        with RealCluster(Path(temporary), build(), control.ns, control.ip) as made:
            home = Home(made, lab, Path(temporary))
            home.ready()
            # Promiscuous: a bridge hands up what is not for itself, too.
            subprocess.run(["ip", "-n", lab.bridge_ns, "link", "set", "virbr0", "promisc", "on"], check=True)
            seen = Frames(lab.bridge_ns, "virbr0")
            ip = vip_of(home.nodes, "worker-1")
            home.announced("web", annotations={"metallb.io/loadBalancerIPs": ip})
            lab.run("client", ["arping", "-c1", "-I", "eth0", ip])
            lab.run("client", ["arping", "-D", "-c1", "-I", "eth0", ip])
            lab.run("client", ["arping", "-U", "-c1", "-s", ip, "-I", "eth0", ip])
            lab.run("client", ["ping", "-c1", "-W1", ip])
            lab.cut("worker-1", quiet=True)
            time.sleep(1)
            lab.restore("worker-1")
            recorded = seen.read(2)
            home.end()
    kinds = {}
    for frame in recorded:
        op, sha, spa, tha, tpa = struct.unpack_from("!H6sI6sI", frame, 20)
        shape = (op, frame[:6] == b"\xff" * 6, frame[6:12] == sha, spa == 0, spa == tpa, tha == bytes(6), tha == sha, tha[1:5] == b"l2lb"[:4])
        kinds.setdefault(shape, frame)
    for number, frame in enumerate(kinds.values()):
        (folder / f"frame-{number:02}").write_bytes(frame)
    step = max(1, len(recorded) // 60)
    (folder / "conversation").write_bytes(b"".join(frame.ljust(60, b"\0")[:60] for frame in recorded[::step]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "corpus")
    parser.add_argument("--l2lb", default=str(HERE.parents[1] / "build" / "l2lb"))
    options = parser.parse_args()
    for name in ("netlink", "frame"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    history(options.out / "netlink")
    frames(options.out / "frame", options.l2lb)


if __name__ == "__main__":
    main()
