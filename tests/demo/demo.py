#!/usr/bin/env python3
"""make demo: l2lb at work in the home lab, one narrated line per step; each line is a check.

Everything happens in network namespaces of its own and is taken down at the end, also after Ctrl-C or a failure.
With --keep the lab stays up (a process in the background holds it) until `make demo-stop`.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests"))

from lab import l2lb, wire                                  # noqa: E402
from lab.kube import Kube, wait                             # noqa: E402
from lab.netlab import HomeLab                              # noqa: E402

KEEPER = Path("/tmp/l2lb-demo.pid")
VIP = "192.168.122.100"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/metallb-system/leases"
SERVICE = "/api/v1/namespaces/default/services/web"


class Story:
    """Prints the steps with their time; a step that does not hold ends the demo."""

    def __init__(self):
        self.began = time.monotonic()
        tty = sys.stdout.isatty()
        self.good, self.bad, self.dim, self.plain = ("\033[32m", "\033[31m", "\033[2m", "\033[0m") if tty else ("",) * 4

    def line(self, mark, colour, text):
        print(f"{self.dim}[{time.monotonic() - self.began:6.2f} s]{self.plain} {colour}{mark}{self.plain} {text}", flush=True)

    def step(self, text, check=True):
        if not check:
            raise AssertionError(text)
        self.line("ok  ", self.good, text)

    def fail(self, text):
        self.line("FAIL", self.bad, text)


class Demo:
    def __init__(self, folder):
        self.story = Story()
        self.folder = Path(folder)
        self.processes = {}

    # -- the parts --

    def build_lab(self):
        self.lab = HomeLab("demo")
        self.client = self.lab.ns("client")
        nodes = ", ".join(f"{n} {self.lab.ip(n)}" for n in self.lab.nodes)
        self.story.step(f"the home network: virbr0 192.168.122.1/24, nodes {nodes}, a client {self.lab.ip('client')}")

    def start_api(self):
        where = self.lab.ip("ctl")
        with open(self.folder / "api.log", "wb") as log:
            self.api = self.lab.exec("ctl", ["/usr/bin/python3", str(REPO / "tests/standin/apiserver.py"), "--listen", f"{where}:6443",
                                             "--dir", str(self.folder)], stdout=log, stderr=log)
        self.kubeconfig = str(self.folder / "kubeconfig")
        wait(lambda: os.path.exists(self.kubeconfig), 5, "the stand-in API server")
        self.kube = Kube(self.kubeconfig, netns=self.lab.ns("ctl"))
        wait(lambda: self.kube.list("/api/v1/namespaces"), 5, "the stand-in API server")
        self.kube.make_namespace("metallb-system")
        for node in self.lab.nodes:
            self.kube.make_node(node, self.lab.ip(node))
        self.story.step(f"a stand-in API server at https://{where}:6443 knows {len(self.lab.nodes)} nodes")

    def configure(self):
        for name in ("crds/ipaddresspools.yaml", "crds/l2advertisements.yaml", "home/pool.yaml", "home/l2advertisement.yaml"):
            self.kube.apply((REPO / "deploy" / name).read_text())
        self.story.step("applied deploy/home: IPAddressPool default-pool 192.168.122.100-192.168.122.150 and an L2Advertisement")

    def start_l2lb(self):
        common = ["--kubeconfig", self.kubeconfig]
        self.processes["controller"] = l2lb.start(self.lab, "ctl", ["run", "--role", "controller", *common],
                                                  env={"POD_UID": "demo", "METALLB_POD_NAME": "controller"}, log=self.folder / "controller.log")
        for node in self.lab.nodes:
            self.processes[node] = l2lb.start(self.lab, node, ["run", "--role", "speaker", *common, "--node-name", node],
                                              log=self.folder / f"{node}.log")
        self.processes["controller"].wait_log(timeout=5, event="leading")
        for node in self.lab.nodes:
            self.processes[node].wait_log(timeout=5, event="ready")
        self.story.step("one controller and three speakers run, each a process of its own; the controller leads")

    # -- the steps --

    def owner(self):
        return self.kube.get(f"{LEASES}/ip-{VIP}")["spec"].get("holderIdentity") or None

    def create_service(self):
        began = time.monotonic()
        self.kube.make_service("default", "web")
        self.kube.make_slice("default", "web", [(f"10.244.{i}.10", node, True) for i, node in enumerate(self.lab.nodes)])
        ingress = wait(lambda: self.kube.get(SERVICE)["status"]["loadBalancer"].get("ingress"), 5, "an address for Service default/web")
        took = (time.monotonic() - began) * 1000
        self.story.step(f"Service default/web of type LoadBalancer has {ingress[0]['ip']} after {took:.0f} ms", ingress[0]["ip"] == VIP)

    def show_owner(self):
        self.first = wait(self.owner, 5, f"an owner in Lease ip-{VIP}")
        self.story.step(f"Lease ip-{VIP}: the owner is {self.first} (MAC {self.lab.mac(self.first)})", self.first in self.lab.nodes)

    def gratuitous(self, mac, since):
        """The forms of gratuitous ARP for the address that the client has seen from this MAC."""
        forms = set()
        for f in self.sniffer.frames(since):
            if f["spa"] == VIP and f["tpa"] == VIP and f["sha"] == mac:
                zero = f["tha"] == "00:00:00:00:00:00"
                if (f["op"] == 1 and zero) or (f["op"] == 2 and f["tha"] == mac):
                    forms.add("request" if f["op"] == 1 else "reply")
        return forms

    def show_announcement(self, node, since, text):
        mac = self.lab.mac(node)
        wait(lambda: self.gratuitous(mac, since) == {"request", "reply"}, 3, f"gratuitous ARP of {node} in both forms at the client")
        self.story.step(f"{text}: gratuitous ARP from {mac} as request and as reply")

    def arping(self, node):
        done = self.lab.run("client", ["arping", "-c", "3", "-I", "eth0", VIP])
        macs = set(re.findall(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", done.stdout))
        macs = {m.lower() for m in macs} - {"ff:ff:ff:ff:ff:ff"}
        replies = [line.strip() for line in done.stdout.splitlines() if "reply" in line.lower() or "bytes from" in line.lower()]
        self.story.step(f"arping {VIP}: {len(replies)} replies, all from {node} ({self.lab.mac(node)})",
                        len(replies) >= 3 and macs == {self.lab.mac(node)})
        print(f"             {replies[0]}")

    def neighbour(self):
        done = self.lab.run("client", ["ip", "neigh", "show", VIP])
        found = re.search(r"lladdr (\S+)", done.stdout)
        return found.group(1) if found else None

    def talk_once(self):
        """A packet to the address, so that the client's own kernel has a neighbour entry for it."""
        self.lab.run("client", ["/usr/bin/python3", "-c", f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{VIP}', 9))"])
        wait(lambda: self.neighbour() == self.lab.mac(self.first), 3, "the client's neighbour entry")

    def kill_node(self):
        asker = wire.Asker(self.client, [VIP], 200)
        time.sleep(0.5)
        since = time.time()
        self.processes[self.first].kill9()
        self.lab.cut(self.first)
        self.story.step(f"killed {self.first}: its speaker and its network port are gone")
        self.second = wait(lambda: self.owner() not in (None, self.first) and self.owner(), 5, "another owner")
        self.show_announcement(self.second, since, f"{self.second} has taken over")
        time.sleep(0.3)
        seen = asker.stop()[VIP]
        self.story.step(f"a client that asked 200 times a second had no answer for {seen['longest_gap_ms']:.0f} ms",
                        seen["longest_gap_ms"] < 2000 and seen["asked"] > 100)
        self.story.step(f"the client's kernel sends to {self.lab.mac(self.second)} now, without having asked",
                        self.neighbour() == self.lab.mac(self.second))
        self.arping(self.second)

    def node_returns(self):
        self.lab.restore(self.first)
        self.processes[self.first] = l2lb.start(self.lab, self.first, ["run", "--role", "speaker", "--kubeconfig", self.kubeconfig,
                                                                       "--node-name", self.first], log=self.folder / f"{self.first}.log")
        time.sleep(1.5)
        macs = {r["mac"] for replies in wire.ask(self.client, VIP, 5) for r in replies}
        self.story.step(f"{self.first} is back and takes nothing away: {self.second} still answers, alone", macs == {self.lab.mac(self.second)})

    def run(self):
        self.build_lab()
        self.sniffer = wire.Sniffer(self.client, str(self.folder / "client.arp"))
        self.start_api()
        self.configure()
        self.start_l2lb()
        since = time.time()
        self.create_service()
        self.show_owner()
        self.show_announcement(self.first, since, "the client saw")
        self.arping(self.first)
        self.talk_once()
        self.kill_node()
        self.node_returns()

    # -- the end --

    def log_tails(self):
        for name, process in self.processes.items():
            print(f"--- last lines of {name} (of {process.log}):")
            print("\n".join(process.text().splitlines()[-5:]))

    def close(self):
        for process in self.processes.values():
            try:
                process.kill9()
            except Exception:       # already gone is what we want
                pass
        if hasattr(self, "sniffer"):
            self.sniffer.stop()
        if hasattr(self, "lab"):
            self.lab.close()

    def hints(self):
        print("\nTry next:\n  make demo KEEP=1     the same, and the lab stays up to look around\n"
              "  make test            all tests, on a real kube-apiserver\n  README.md            installing it on a cluster")

    def keep_hints(self):
        ns, ctl = self.client, self.lab.ns("ctl")
        curl = (f"ip netns exec {ctl} curl -s --cacert {self.folder}/ca.crt --cert {self.folder}/admin.crt --key {self.folder}/admin.key "
                f"https://{self.lab.ip('ctl')}:6443")
        print(f"\nThe lab stays up. Look around:\n"
              f"  ip netns exec {ns} arping -c 3 -I eth0 {VIP}\n"
              f"  ip netns exec {ns} ip neigh\n"
              f"  ip netns exec {ctl} kubectl --kubeconfig {self.kubeconfig} get svc,leases,ipaddresspools -A\n"
              f"  {curl}{LEASES}        # without kubectl\n"
              f"  tail -f {self.folder}/controller.log {self.folder}/{self.second}.log\n"
              f"Stop it and remove everything:\n  make demo-stop")


def perform(demo):
    """Runs the demo; returns the exit code. Says what failed and shows the logs."""
    try:
        demo.run()
        return 0
    except (AssertionError, OSError, RuntimeError, KeyError, subprocess.SubprocessError) as error:
        demo.story.fail(str(error) or repr(error))
        demo.log_tails()
        return 1


def interrupted(_number, _frame):
    raise KeyboardInterrupt


def once():
    with tempfile.TemporaryDirectory(prefix="l2lb-demo-") as folder:
        demo = Demo(folder)
        try:
            code = perform(demo)
            if code == 0:
                demo.hints()
            return code
        except KeyboardInterrupt:
            print("\ninterrupted; taking everything down")
            return 130
        finally:
            demo.close()


def keeper():
    """Holds the lab until it is told to stop. Ends its story with a NUL and the exit code of the steps."""
    with tempfile.TemporaryDirectory(prefix="l2lb-demo-") as folder:
        demo = Demo(folder)
        try:
            code = perform(demo)
            if code == 0:
                demo.keep_hints()
                KEEPER.write_text(str(os.getpid()))
            sys.stdout.flush()
            os.write(1, bytes([0, code]))
            quiet = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(quiet, descriptor)
            while code == 0:
                signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            demo.close()
            if KEEPER.exists() and KEEPER.read_text() == str(os.getpid()):
                KEEPER.unlink()


def relay(reading):
    """Prints the keeper's story up to the NUL; returns the code behind it."""
    while True:
        part = os.read(reading, 4096)
        story, end, code = part.partition(b"\0")
        os.write(1, story)
        if end or not part:
            return code[0] if code else 1


def keep():
    """The foreground of --keep: starts the keeper, tells its story, leaves it behind. The keeper's processes must not hold
    our standard output, or whoever reads it would wait for as long as the lab is up."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(reading)
        os.close(writing)
        keeper()
        os._exit(0)
    os.close(writing)
    try:
        return relay(reading)
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        return 130


def stop():
    """Ends a kept lab."""
    try:
        pid = int(KEEPER.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        print("no kept lab is running")
        return 0
    for _ in range(100):
        if not KEEPER.exists():
            print("the lab is gone")
            return 0
        time.sleep(0.1)
    print(f"process {pid} does not end", file=sys.stderr)
    return 1


def main():
    if os.geteuid() != 0:
        os.execvp("sudo", ["sudo", f"L2LB={os.environ.get('L2LB', '')}", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, interrupted)
    if "--stop" in sys.argv:
        return stop()
    return keep() if "--keep" in sys.argv else once()


if __name__ == "__main__":
    sys.exit(main())
