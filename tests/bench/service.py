#!/usr/bin/python3
"""From `kubectl create service` to the first ARP answer, in the home lab on a real API server: `make bench-service [METALLB=1]`.

Figures of one run on one machine; only the ratios travel. All are taken from outside: a client that asks 1,000 times a second,
a packet socket beside it, a watch. With METALLB=1 (see metallb.py) MetalLB takes turns with us in the same lab, as long and as often.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(TESTS / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import metallb  # noqa: E402
from cluster.cluster import RealCluster, build  # noqa: E402
from home import Home, addresses, vip  # noqa: E402
from lab import wire  # noqa: E402
from lab.kube import path, wait  # noqa: E402
from lab.netlab import HomeLab  # noqa: E402

LABELS = {"address": "its status shows the address", "answer": "first ARP answer to a client", "announcement": "first announcement"}

class Watch(threading.Thread):
    """When each Service first showed an address."""

    def __init__(self, kube):
        super().__init__(daemon=True)
        self.kube, self.at = kube, {}
        self.version = kube.get(path("Service"))["metadata"]["resourceVersion"]
        self.start()

    def run(self):
        with contextlib.suppress(OSError):   # the cluster has ended
            self._follow()

    def _follow(self):
        while True:
            for _, service in self.kube.watch(path("Service"), self.version, timeout=600):
                self.version = service["metadata"]["resourceVersion"]
                if addresses(service):
                    self.at.setdefault(service["metadata"]["name"], time.time())


def measure(who, home, rounds):
    watch = Watch(home.kube)
    sniffer = wire.Sniffer(home.client, home.folder / f"arp-{time.time():.0f}.jsonl")
    posted = {}
    for i in range(rounds):
        name, ip = f"web{i}", vip(100 + i)
        asker = wire.Asker(home.client, [ip], 1000)
        home.kube.make_slice("default", name, [("10.244.1.5", "worker-1", True)])
        time.sleep(0.3)
        posted[name] = time.time()
        home.kube.make_service("default", name)
        wait(lambda: name in watch.at, 10, "an address")   # noqa: B023
        time.sleep(1)
        asker.stop()
        print(f"\r  {who}: {i + 1} of {rounds} Services", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    frames = sniffer.stop()
    found = {key: [] for key in LABELS}
    for i, (name, start) in enumerate(posted.items()):
        ip = vip(100 + i)
        replies = [f["time"] for f in frames if f["op"] == wire.REPLY and f["spa"] == ip and f["spa"] != f["tpa"]]
        told = [f["time"] for f in frames if f["spa"] == f["tpa"] == ip]
        found["address"].append((watch.at[name] - start) * 1000)
        found["answer"].append((min(replies) - start) * 1000)
        found["announcement"].append((min(told) - start) * 1000)
    for name in posted:
        home.delete(name)
        home.kube.delete(path("EndpointSlice", "default", f"{name}-test"))
    home.wait_no_records()
    return found


def take_turns(homes, options):
    """{name: {what: milliseconds}} of each of the homes {name: kind}, all in one lab."""
    found = {who: {key: [] for key in LABELS} for who in homes}
    turns = options.turns if len(homes) > 1 else 1
    folder = Path(tempfile.mkdtemp(prefix="l2lb-bench-"))
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        with RealCluster(folder, build(), control.ns, control.ip) as cluster:
            for turn in range(turns):
                for who, kind in homes.items():
                    home = kind(cluster, lab, folder)
                    home.ready()
                    print(f"{who}: its programs run for {options.warm:g} s first", file=sys.stderr)
                    time.sleep(options.warm)
                    # The lowest free address is the next one: each begins with an empty pool.
                    for key, values in measure(who, home, (options.services + turn) // turns).items():
                        found[who][key] += values
                    home.end()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--warm", type=float, default=60, help="seconds that all programs (our census) have before the first one")
    parser.add_argument("--turns", type=int, default=2, help="of each, so that a slow minute of the machine is not one's alone")
    options = parser.parse_args()
    homes = {"l2lb": Home, **({"MetalLB": metallb.MetalLBHome} if metallb.programs() else {})}
    found = take_turns(homes, options)
    print(f"from the POST of a Service, {options.services} one after the other (ms, p50 / p90 / max):")
    print(f"{'':32}" + "".join(f"{who:>26}" for who in homes) + (f"{'MetalLB : l2lb, p50':>22}" if len(homes) > 1 else ""))
    for key, label in LABELS.items():
        p50 = {who: statistics.median(found[who][key]) for who in homes}
        line = f"{label:32}" + "".join(f"{figures(found[who][key]):>26}" for who in homes)
        print(line + (f"{p50['MetalLB'] / p50['l2lb']:22.2f}" if len(homes) > 1 else ""))
    if len(homes) == 1:
        print("MetalLB was not run: METALLB=1 builds and runs it.")


def figures(values):
    values = sorted(values)
    return f"{statistics.median(values):.1f} / {values[int(len(values) * 0.9)]:.1f} / {values[-1]:.1f}"


if __name__ == "__main__":
    main()
