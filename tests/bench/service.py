#!/usr/bin/python3
"""From `kubectl create service` to the first ARP answer, in the home lab on a real API server: `make bench-service`.

Figures of one run on one machine; only the ratios travel. All are taken from outside: a client that asks 1,000 times a second,
a packet socket beside it, a watch.
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

from cluster.cluster import RealCluster, build  # noqa: E402
from home import Home, addresses, vip  # noqa: E402
from lab import wire  # noqa: E402
from lab.kube import path, wait  # noqa: E402
from lab.netlab import HomeLab  # noqa: E402

# MetalLB 0.16.1 in a lab of this shape (design.md section 8), for the eye only: another run on another day.
METALLB = {"address": 23, "answer": 20, "announcement": 555}


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


def measure(home, rounds, folder):
    watch = Watch(home.kube)
    sniffer = wire.Sniffer(home.client, folder / "arp.jsonl")
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
        print(f"\r  {i + 1} of {rounds} Services", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    frames = sniffer.stop()
    found = {"address": [], "answer": [], "announcement": []}
    for i, (name, start) in enumerate(posted.items()):
        ip = vip(100 + i)
        replies = [f["time"] for f in frames if f["op"] == wire.REPLY and f["spa"] == ip and f["spa"] != f["tpa"]]
        told = [f["time"] for f in frames if f["spa"] == f["tpa"] == ip]
        found["address"].append((watch.at[name] - start) * 1000)
        found["answer"].append((min(replies) - start) * 1000)
        found["announcement"].append((min(told) - start) * 1000)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--warm", type=float, default=60, help="seconds that the census has before the first one")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="l2lb-bench-"))
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        with RealCluster(folder, build(), control.ns, control.ip) as cluster:
            home = Home(cluster, lab, folder)
            home.ready()
            print(f"the controller and the census run for {options.warm:g} s first", file=sys.stderr)
            time.sleep(options.warm)
            found = measure(home, options.services, folder)
            home.end()
    print(f"from the POST of a Service, {options.services} one after the other (ms):")
    print(f"{'':32}{'p50':>8}{'p90':>8}{'max':>8}   MetalLB's p50 (design.md)")
    labels = {"address": "its status shows the address", "answer": "first ARP answer to a client", "announcement": "first announcement"}
    for key, label in labels.items():
        values = sorted(found[key])
        print(f"{label:32}{statistics.median(values):8.1f}{values[int(len(values) * 0.9)]:8.1f}{values[-1]:8.1f}   {METALLB[key]}")


if __name__ == "__main__":
    main()
