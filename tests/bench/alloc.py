#!/usr/bin/python3
"""What allocation costs, on a real API server on this machine: `make bench-alloc`.

Figures of one run on one machine; only the ratios travel. Each is measured from outside: a watch, the audit log, /proc.
"""

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(TESTS / "e2e"))

from cluster.cluster import RealCluster, build  # noqa: E402
from lab import l2lb  # noqa: E402
from lab.kube import path, wait  # noqa: E402

NS = "metallb-system"
SERVICES = path("Service")


class Follower(threading.Thread):
    """Counts, by a watch, the Services that have an address; says when the last of `want` got one."""

    def __init__(self, kube, want):
        super().__init__(daemon=True)
        self.kube, self.want = kube, want
        self.have, self.done_at = set(), None
        self.version = kube.get(SERVICES)["metadata"]["resourceVersion"]
        self.start()

    def run(self):
        while self.done_at is None:
            for kind, service in self.kube.watch(SERVICES, self.version, timeout=600):
                self.version = service["metadata"]["resourceVersion"]
                if kind == "BOOKMARK" or "status" not in service or not service["status"].get("loadBalancer", {}).get("ingress"):
                    continue
                self.have.add(service["metadata"]["uid"])
                if len(self.have) >= self.want:
                    self.done_at = time.monotonic()
                    return


def memory(pid):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, made, folder):
        self.made, self.folder, self.kube = made, folder, made.client()
        self.serial = 0

    def controller(self, *flags):
        self.serial += 1
        argv = ["run", "--role", "controller", "--kubeconfig", self.made.admin(), "--namespace", NS, "--port", "0", "--health-probe-port", "0",
                "--pod-name", "bench", "--pod-uid", "1", *flags]
        return l2lb.start(None, None, argv, {}, self.folder / f"l2lb-{self.serial}.log")

    def create(self, first, n, prefix="s"):
        """n Services, from 8 connections."""
        def one(i):
            self.kube.make_service("default", f"{prefix}{i}", allocateLoadBalancerNodePorts=False)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            list(threads.map(one, range(first, first + n)))

    def writes_since(self, before):
        return [e for e in self.made.audit() if e["auditID"] not in before and e["verb"] in ("patch", "create", "delete", "update") and "l2lb" in e.get("userAgent", "")
                and "l2lb-controller" not in e["requestURI"] and "/events" not in e["requestURI"]]


def say(what, figure, note=""):
    print(f"  {what:<66} {figure:>14}  {note}", flush=True)


def first_address(bench, name):
    """Time from the POST to the address in a watch."""
    follower = Follower(bench.kube, 1)
    started = time.monotonic()
    bench.kube.make_service("default", name, allocateLoadBalancerNodePorts=False)
    wait(lambda: follower.done_at, 30, "an address", interval=0.001)
    return follower.done_at - started


def run(args):
    with tempfile.TemporaryDirectory() as folder, RealCluster(Path(folder) / "c", build()) as made:
        bench = Bench(made, Path(folder))
        bench.kube.make_namespace(NS)
        pool = ["--pool", "10.0.0.0/8"]
        print(f"allocation with {args.services} Services; pool 10.0.0.0/8; {os.cpu_count()} cores shared with kube-apiserver and etcd")
        running = bench.controller(*pool)
        running.wait_log(event="leading")
        one = sorted(first_address(bench, f"one{i}") for i in range(21))
        say("Service posted -> address seen by a watch, p50 of 21", f"{one[10] * 1000:.1f} ms")
        follower = Follower(bench.kube, 1000)
        started = time.monotonic()
        bench.create(0, 1000)
        posted = time.monotonic() - started
        wait(lambda: follower.done_at, 120, "1,000 addresses")
        say("burst: 1,000 Services posted by 8 clients in", f"{posted:.2f} s")
        say("  ... the last one has its address after the last POST", f"{(follower.done_at - started - posted) * 1000:.0f} ms")
        running.stop(5)
        bench.create(1000, args.services - 1000 - 21)
        follower = Follower(bench.kube, args.services - 1000 - 21)
        started = time.monotonic()
        running = bench.controller(*pool)
        wait(lambda: follower.done_at, 600, "all addresses")
        fresh = follower.done_at - started
        say(f"start with {args.services - 1021} pending Services -> the last has its address", f"{fresh:.1f} s", f"{(args.services - 1021) * 2 / fresh:.0f} writes/s")
        rss, peak = memory(running.process.pid)
        say("  resident memory then; at most", f"{rss:.1f} MiB", f"{peak:.1f} MiB")
        say("  CPU of the controller", f"{cpu(running.process.pid):.2f} s")
        time.sleep(2)
        running.stop(5)
        before = {e["auditID"] for e in made.audit()}
        started = time.monotonic()
        running = bench.controller(*pool)
        running.wait_log(event="leading", timeout=60)
        latency = first_address(bench, "afterwards")
        say(f"restart with {args.services} Services -> a new one has its address", f"{time.monotonic() - started:.2f} s", f"of it {latency * 1000:.0f} ms after its POST")
        rss, peak = memory(running.process.pid)
        say("  resident memory then; at most", f"{rss:.1f} MiB", f"{peak:.1f} MiB")
        say("  CPU of the controller", f"{cpu(running.process.pid):.2f} s")
        say("  writes to Services and records (2 are the new one's)", f"{len(bench.writes_since(before))}")
        one = sorted(first_address(bench, f"late{i}") for i in range(21))
        say(f"Service posted -> address with {args.services} there, p50 of 21", f"{one[10] * 1000:.1f} ms")
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        started = time.monotonic()
        running = bench.controller(*pool)
        first_address(bench, "killed")
        say("controller killed and its container started again -> next address", f"{time.monotonic() - started:.2f} s")
        running.stop(5)
    print(subprocess.run([TESTS.parent / "build" / "bench_allocator"], capture_output=True, text=True, check=True).stdout, end="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=10000)
    run(parser.parse_args())
