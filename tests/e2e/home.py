"""l2lb on the home network as deploy/ puts it there: the real API server with exactly the permissions of
deploy/rbac.yaml, a controller at "ctl" and a speaker on each node, each a process of its own with the flags and
capabilities of its manifest."""

import contextlib
import hashlib
import itertools
import os
import re
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import yaml

from cluster.cluster import RealCluster
from lab import l2lb, wire
from lab.kube import path, wait
from lab.netlab import HomeLab

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NAMESPACE = "metallb-system"
LEADER = "l2lb-controller"
IPS = "metallb.io/loadBalancerIPs"
FROM_POOL = "metallb.io/ip-allocated-from-pool"
# Two missed intervals and what a busy machine adds: what the issue promises.
TAKEOVER_MS = 700
# A log with one of these is a failure whatever the test was about.
BAD_WORDS = ("is forbidden", "Sanitizer", "runtime error:", "handlesOpen", "SUMMARY:", "stack smashing", "assert")
_ACCOUNT_GROUPS = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]

_serial = itertools.count(1)


def vip(number):
    return f"192.168.122.{number}"


VIP = vip(100)


def preferred(nodes, ip):
    """The nodes in the order in which they are to have an address (MetalLB's): by SHA-256 of node#address."""
    return sorted(nodes, key=lambda node: hashlib.sha256(f"{node}#{ip}".encode()).digest())


def fitting_vips(nodes, node):
    """The addresses of the pool whose first choice is this node."""
    return [vip(n) for n in range(100, 151) if preferred(nodes, vip(n))[0] == node]


def vip_of(nodes, node, skip=0):
    """An address of the pool whose first choice is this node."""
    return fitting_vips(nodes, node)[skip]


def container(file):
    """The only container of a manifest."""
    with open(DEPLOY / file) as manifest:
        return yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"][0]


def capabilities(made):
    """setpriv flags for what a container's securityContext leaves it."""
    added = made["securityContext"]["capabilities"].get("add", [])
    return ["--bounding-set", ",".join(["-all", *("+" + name.lower() for name in added)]), "--no-new-privs"]


class StatusWatch:
    """Follows all Services while a test runs: who showed which address, at any moment."""

    def __init__(self, kube, seconds=300):
        self.shown = {}        # "namespace/name": its addresses now
        self.shares = {}       # "namespace/name": its sharing key
        self.history = []      # (key, addresses) on each change
        self.doubles = []      # (address, keys) whenever two had one at once that do not share
        listed = kube.get(path("Service"))
        for service in listed["items"]:
            self._see("ADDED", service)
        self._kube, self._version = kube, listed["metadata"]["resourceVersion"]
        self._thread = threading.Thread(target=self._follow, args=(seconds,), daemon=True)
        self._thread.start()

    def _follow(self, seconds):
        end = time.monotonic() + seconds
        # The server ends the watch of somebody who is slow; from its place on nothing is lost.
        with contextlib.suppress(OSError):   # it is gone, and caught_up() says so
            while time.monotonic() < end:
                for kind, service in self._kube.watch(path("Service"), self._version, seconds):
                    if kind == "ERROR":
                        return
                    self._version = service["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        self._see(kind, service)

    def _see(self, kind, service):
        key = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        ips = [] if kind == "DELETED" else addresses(service)
        if ips != self.shown.get(key, []):
            self.history.append((key, ips))
        self.shown[key] = ips
        annotations = service["metadata"].get("annotations", {})
        self.shares[key] = annotations.get("metallb.io/allow-shared-ip", annotations.get("metallb.universe.tf/allow-shared-ip"))
        for ip in ips:
            having = [other for other, others in self.shown.items() if ip in others]
            sharing = {self.shares[other] for other in having}
            if len(having) > 1 and (len(sharing) > 1 or not all(sharing)):
                self.doubles.append((ip, having))

    def caught_up(self):
        """Waits until it has seen what is there now; returns itself."""
        def same():
            there = {f"{s['metadata']['namespace']}/{s['metadata']['name']}": addresses(s)
                     for s in self._kube.list(path("Service"))}
            return there == {key: ips for key, ips in self.shown.items() if key in there}
        wait(same, 15, "the watch to catch up")
        assert self._thread.is_alive(), "the watch ended early: it proves nothing"
        return self

    def only_one_each(self, keys):
        """No address twice at any moment, and none of these Services ever had another one than its first."""
        assert self.caught_up().doubles == []
        assert [key for key in keys if len(self.given(key)) > 1] == []

    def given(self, key):
        """All addresses that this Service ever showed, in order."""
        return [ips for name, ips in self.history if name == key and ips]


def addresses(service):
    return [entry["ip"] for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress", []) if "ip" in entry]


class Home:
    """A home lab with its cluster (RealCluster), and l2lb in it."""

    def __init__(self, cluster, lab, folder):
        self.cluster, self.lab, self.folder = cluster, lab, Path(folder)
        self.kube = cluster.client()
        self.nodes = lab.nodes
        self.client = lab.ns("client")
        self.controllers, self.speakers = {}, {}
        self._configs = {role: cluster.kubeconfig(f"system:serviceaccount:{NAMESPACE}:{role}", _ACCOUNT_GROUPS)
                         for role in ("controller", "speaker")}
        self._read = {}     # log: how much of it has been checked
        self.api_down = False
        self.speaker_flags = ()   # of speakers that are started without a word
        self._vips = itertools.count()
        self._bridges = set()
        self._api_starts = []   # (from, to): it refuses what it has not loaded the rules for yet
        self._members = set(lab.members)
        self.set_up()

    def set_up(self):
        for node in self.nodes:
            self.kube.make_node(node, self.lab.ip(node))
        for file in yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]:
            self.kube.apply((DEPLOY / file).read_text())
        self.default_config()

    def default_config(self):
        for file in ("home/pool.yaml", "home/l2advertisement.yaml"):
            self.kube.apply((DEPLOY / file).read_text())

    # Processes

    def start_controller(self, name="controller", flags=(), uid=None, member="ctl"):
        """uid: of the pod; the same container started again has the same one. member: where it runs."""
        env = {"METALLB_POD_NAME": name, "POD_UID": uid or str(uuid.uuid4())}
        running = self._start(member, "controller", name, flags, env)
        running.uid = env["POD_UID"]
        self.controllers[name] = running
        return running

    def start_speaker(self, node, flags=()):
        env = {"METALLB_NODE_NAME": node, "METALLB_POD_NAME": f"speaker-{node}"}
        state = ["--state-file", str(self.folder / f"state-{node}.json")]   # each node has a disk of its own
        self.speakers[node] = self._start(node, "speaker", node, [*state, *(flags or self.speaker_flags)], env)
        return self.speakers[node]

    def _start(self, member, role, name, flags, env):
        made = container(f"{role}.yaml")
        argv = [*capabilities(made), l2lb.default_binary(), *made["args"], "--kubeconfig", self._configs[role], *flags]
        # Leaks are valgrind's part: the leak check cannot work without ptrace.
        env = {"ASAN_OPTIONS": "detect_leaks=0", **env}
        log = self.folder / f"{name}-{next(_serial)}.log"
        running = l2lb.start(self.lab, member, argv, env, log, binary="setpriv")
        self._read[running] = 0
        return running

    def up(self, speaker):
        """It answers for what is its own when this returns."""
        speaker.wait_log(event="ready")

    def command(self, *argv):
        """CompletedProcess of l2lb move, drain, ... as the cluster's administrator, at "ctl"."""
        return self.lab.run("ctl", [l2lb.default_binary(), *argv, "--kubeconfig", self.cluster.admin(), "--namespace", NAMESPACE])

    def config_of(self, role):
        return self._configs[role]

    def forget(self, running):
        """A process that this test has ended on purpose, or that is to end."""
        for group in (self.controllers, self.speakers):
            for name in [name for name, other in group.items() if other is running]:
                del group[name]

    def stop(self, running, timeout=20):
        """SIGTERM; it must end well. How long it took."""
        self.forget(running)
        started = time.monotonic()
        code = running.stop(timeout)
        assert code == 0, f"exit code {code} after SIGTERM:\n{running.text()[-2000:]}"
        return time.monotonic() - started

    def kill9(self, running):
        self.forget(running)
        running.kill9()

    # The API server

    def stop_api(self):
        self.cluster.stop_apiserver(signal.SIGKILL)
        self.api_down = True

    def start_api(self):
        started = time.time()
        self.cluster.start_apiserver()
        self.api_down = False
        self._api_starts.append((started, time.time() + 10))

    # Around each test

    def ready(self):
        """One controller that leads and a speaker on each node; as little as possible is started anew."""
        for name in [name for name in self.controllers if name != "controller"]:
            self.stop(self.controllers[name])
        fresh = [self.start_speaker(node) for node in self.nodes if node not in self.speakers]
        if "controller" not in self.controllers:
            self.start_controller()
        for speaker in fresh:
            self.up(speaker)
        wait(lambda: self.holder_of(LEADER).startswith("controller_"), 40, "a leader")
        if fresh:
            wait(self._have_met, 30, "the speakers to have met")

    def _have_met(self):
        """Each speaker has heard each other one on the network that all nodes share."""
        return all(self.state_of_peer(speaker, other) == "alive" for node, speaker in self.speakers.items() for other in self.nodes if other != node)

    @staticmethod
    def state_of_peer(speaker, node, interface="eth0"):
        """What a speaker has last said of another node: "alive", ..., None."""
        said = [line["state"] for line in speaker.logs() if line.get("event") in ("peerState", "peerDown")
                and (line["peer"], line["interface"]) == (node, interface)]
        return said[-1] if said else None

    def clean(self):
        """Nothing of a test is left for the next one; what is wrong in the logs fails the test."""
        self._mend()
        for service in self.kube.list(path("Service")):
            if service["metadata"]["name"] != "kubernetes":
                self.kube.delete(path("Service", service["metadata"]["namespace"], service["metadata"]["name"]))
        for made in self.kube.list(path("EndpointSlice")):
            if made["metadata"]["name"] != "kubernetes":
                self.kube.delete(path("EndpointSlice", made["metadata"]["namespace"], made["metadata"]["name"]))
        self._clean_config()
        for lease in self.strangers():
            self.kube.delete(path("Lease", NAMESPACE, f"foreign-{lease}"))
        self.ready()
        self.wait_no_records()
        self.check_logs()

    def mended(self):
        """Everybody is there again; Services stay."""
        self._mend()
        self.ready()

    def wait_no_records(self):
        wait(lambda: not self.records(), 30, "the records to go")

    def _mend(self):
        for running in [*self.controllers.values(), *self.speakers.values()]:
            running.resume()
        if self.api_down:
            self.start_api()
        self._mend_network()

    def _mend_network(self):
        for node in [*self.nodes, "ctl"]:
            self.lab.run(node, ["ip", "link", "set", "eth0", "up"], check=True)
            self.lab.restore(node)

    def _clean_config(self):
        for kind, keep in (("IPAddressPool", "default-pool"), ("L2Advertisement", "default")):
            for made in self.kube.list(path(kind, NAMESPACE)):
                if made["metadata"]["name"] != keep:
                    self.kube.delete(path(kind, NAMESPACE, made["metadata"]["name"]))
        self.default_config()

    def check_logs(self):
        for running, checked in list(self._read.items()):
            text = running.text()
            self._read[running] = len(text)
            for line in text[checked:].splitlines():
                assert not any(word in line for word in BAD_WORDS) or self._while_api_starts(line), f"{running.log.name}: {line}"
        for name, running in {**self.controllers, **self.speakers}.items():
            code = running.process.poll()
            if code is not None:
                self.forget(running)
                raise AssertionError(f"{name} ended with {code}:\n{running.text()[-3000:]}")

    def _while_api_starts(self, line):
        stamp = re.match(r'{"ts":"(.+?)Z"', line)
        if not stamp or "is forbidden" not in line:
            return False
        at = datetime.fromisoformat(stamp[1] + "+00:00").timestamp()
        return any(begin <= at <= end for begin, end in self._api_starts)

    def end(self):
        """All processes, each well; and what they and the tests have left in the network and the cluster goes."""
        try:
            leaving = [*self.controllers.values(), *self.speakers.values()]
            for running in leaving:   # all at once: none waits for another one to take over
                running.process.send_signal(signal.SIGTERM)
            for running in leaving:
                assert running.process.wait(20) == 0, f"after SIGTERM:\n{running.text()[-2000:]}"
                self.forget(running)
            self.check_logs()
        finally:
            self._leave_nothing()

    def _leave_nothing(self):
        for running in [*self.controllers.values(), *self.speakers.values()]:
            self.kill9(running)
        for name in set(self.lab.members) - self._members:
            self.lab.remove_member(name)
        # Events of what stays, of pools and nodes, too: the next ones look for their own.
        for kind in ("Lease", "ConfigurationState", "Event"):
            for made in self.kube.list(path(kind, NAMESPACE)):
                self.kube.delete(path(kind, NAMESPACE, made["metadata"]["name"]))

    # A way to the API server that is not the clients' network

    def second_way(self, node):
        """The node and the control plane's reach each other by cards of their own, and use them."""
        if "mgmt0" not in self._bridges:
            self.lab.add_bridge("mgmt0", "10.9.0.1/24")
            self._bridges.add("mgmt0")
        for here, there in ((node, "k8s-control"), ("k8s-control", node)):
            host, peer = (self.lab.ip(name).rpartition(".")[2] for name in (here, there))
            self.lab.plug(here, "mgmt", f"10.9.0.{host}/24", f"02:00:00:09:00:{int(host):02x}", bridge="mgmt0")
            # With the address of the usual way as source, connections outlive the change.
            self.lab.run(here, ["ip", "route", "add", f"{self.lab.ip(there)}/32", "via", f"10.9.0.{peer}", "dev", "mgmt",
                                "src", self.lab.ip(here)], check=True)
        time.sleep(1)   # for the speakers to see it

    def no_second_way(self, node):
        for name in (node, "k8s-control"):
            self.lab.run(name, ["ip", "link", "del", "mgmt"])

    # Services

    def free_vip(self, node):
        """An address of the pool whose first choice is this node, another one each time."""
        fitting = [ip for ip in fitting_vips(self.nodes, node) if not self.record(ip)]
        return fitting[next(self._vips) % len(fitting)]

    def place(self, name, node):
        """A Service whose address this node has, answered for by it: the address."""
        ip = self.free_vip(node)
        self.serve(name, annotations={IPS: ip})
        self.owner(ip)
        self.put_on(ip, node)
        self.answered_by(ip, node)
        return ip

    def serve(self, name, node="worker-1", ip="10.244.1.5", endpoints=None, port=80, **spec):
        """A LoadBalancer with an endpoint; does not wait."""
        self.kube.make_slice("default", name, [(ip, node, True)] if endpoints is None else endpoints, port=port)
        return self.kube.make_service("default", name, **spec)

    def service(self, name, namespace="default"):
        return self.kube.get(path("Service", namespace, name))

    # What is waited for is waited for long: how soon it comes is what tests with a clock of their own are about.

    def address(self, name, timeout=20):
        """The address a Service has been given."""
        return wait(lambda: addresses(self.service(name)), timeout, f"an address for {name}")[0]

    def announced(self, name, timeout=20, **spec):
        """Makes a Service and waits until its address is answered for: (address, owner)."""
        self.serve(name, **spec)
        ip = self.address(name)
        owner = self.owner(ip, timeout)
        self.answered_by(ip, owner)
        return ip, owner

    def delete(self, name):
        self.kube.delete(path("Service", "default", name))

    def events(self, of, reason=None):
        """Of one object, by uid."""
        return [event for event in self.kube.list(path("Event.events.k8s.io", of["metadata"].get("namespace")))
                if event["regarding"].get("uid") == of["metadata"]["uid"] and reason in (None, event["reason"])]

    def wait_event(self, of, reason, timeout=20):
        return wait(lambda: self.events(of, reason), timeout, f"an Event {reason}")[0]

    def shown(self):
        """{address: Services that show it}"""
        found = {}
        for service in self.kube.list(path("Service")):
            for ip in addresses(service):
                found.setdefault(ip, []).append(f"{service['metadata']['namespace']}/{service['metadata']['name']}")
        return {ip: sorted(keys) for ip, keys in found.items()}

    # Records

    def recorded(self):
        """{address: Services that its record names}"""
        return {record["metadata"]["name"][3:]: sorted(record["metadata"]["annotations"]["l2lb.io/services"].split(","))
                for record in self.records()}

    def record(self, ip):
        return self.kube.exists(path("Lease", NAMESPACE, f"ip-{ip}"))

    def strangers(self):
        """{address: MAC} of the hosts that were found on addresses of the pool."""
        return {lease["metadata"]["name"].removeprefix("foreign-"): lease["metadata"]["annotations"]["l2lb.io/mac"]
                for lease in self.kube.list(path("Lease", NAMESPACE)) if lease["metadata"]["name"].startswith("foreign-")}

    def records(self):
        return [lease for lease in self.kube.list(path("Lease", NAMESPACE)) if lease["metadata"]["name"].startswith("ip-")]

    def holder_of(self, lease):
        found = self.kube.exists(path("Lease", NAMESPACE, lease))
        return (found or {}).get("spec", {}).get("holderIdentity") or ""

    def holder(self, ip):
        return self.holder_of(f"ip-{ip}")

    def owner(self, ip, timeout=20):
        return wait(lambda: self.holder(ip), timeout, f"an owner of {ip}")

    def put_on(self, ip, node):
        """The address is on this node: where plain order puts it, unless the node has its share; then it is moved."""
        if self.owner(ip) != node:
            self.kube.patch(path("Lease", NAMESPACE, f"ip-{ip}"), {"metadata": {"annotations": {"l2lb.io/successor": node}}})
        wait(lambda: self.holder(ip) == node, 8, f"{node} to have {ip}")

    # The wire

    def macs(self, ip, count=3, timeout=0.3):
        """Who answers, over some requests; "nobody" is one of the answers."""
        return {reply["mac"] for replies in wire.ask(self.client, ip, count, timeout) for reply in replies or [{"mac": "nobody"}]}

    def answered_by(self, ip, node, timeout=15):
        """Just this node answers each request, from within `timeout` seconds on."""
        wait(lambda: self.macs(ip, 1) == {self.lab.mac(node)}, timeout, f"{node} ({self.lab.mac(node)}) to answer for {ip}")
        # On a busy machine an answer takes its time.
        assert self.macs(ip, timeout=2) == {self.lab.mac(node)}

    def silent_from_nodes(self, ip):
        """None of our nodes answers, whoever else does."""
        assert not self.macs(ip) & {self.lab.mac(node) for node in self.nodes}

    def silent(self, ip, timeout=15):
        wait(lambda: self.macs(ip, 1) == {"nobody"}, timeout, f"silence for {ip}")
        assert self.macs(ip) == {"nobody"}

    def node_of(self, mac):
        return {self.lab.mac(node): node for node in self.nodes}[mac]

    def asker(self, *ips, hz=500):
        """Requests in turn from 40 senders: at 500 per second a reply may take 80 ms and still counts for its own."""
        return wire.Asker(self.client, list(ips), hz, senders=[vip(n) for n in range(210, 250)])

    def all_answered(self, ips):
        """Each of many is answered, by whomever."""
        return all(wire.ask(self.client, ip, timeout=0.3, settle=0)[0] for ip in ips)


class ManyHome(Home):
    """Six nodes and a pool of 500 addresses, all of which node-1 can be given."""

    NODES = {f"node-{n}": 521 + n for n in range(1, 7)}
    POOL = [f"192.168.{124 + n // 256}.{n % 256}" for n in range(500)]

    @classmethod
    @contextlib.contextmanager
    def made(cls, folder, assets):
        """A lab of its own; the API server is on the last node."""
        with HomeLab(nodes=cls.NODES, subnet="192.168.120.0/21", client=562, controller=572) as lab:
            control = lab.members["node-6"]
            with RealCluster(folder, assets, control.ns, control.ip) as cluster:
                home = cls(cluster, lab, folder)
                home.advertise_from("node-1")
                home.start_controller()
                home.serve_pool()   # before there are speakers: each would look for the endpoints of each new Service
                home.ready()
                yield home
                home.check_logs()   # and the lab ends all at once: nobody waits for 500 addresses to be guarded

    def default_config(self):
        self.kube.apply((DEPLOY / "home/l2advertisement.yaml").read_text())
        self.kube.save({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "default-pool", "namespace": NAMESPACE},
                        "spec": {"addresses": [f"{self.POOL[0]}-{self.POOL[-1]}"]}})

    def _have_met(self):
        """Each watches two; with this many nodes those are not all."""
        return all(sum(self.state_of_peer(speaker, other) == "alive" for other in self.nodes) >= 2 for speaker in self.speakers.values())

    def advertise_from(self, *nodes):
        """All addresses from these nodes; from all when none is named."""
        only = [{"matchLabels": {"kubernetes.io/hostname": node}} for node in nodes]
        self.kube.patch(path("L2Advertisement", NAMESPACE, "default"), {"spec": {"nodeSelectors": only or None}})

    def serve_pool(self):
        """A Service for each address."""
        def some(first):
            for n in range(first, len(self.POOL), 4):
                self.serve(f"row-{n}", annotations={IPS: self.POOL[n]})
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(some, range(4)))
        wait(lambda: len(self.shown()) == len(self.POOL), 60, "all addresses to be handed out", 0.5)


def one_answer(seen):
    """Each request of an Asker's summary was answered, and by one only."""
    assert seen["unanswered"] == 0 and seen["doubles"] == [], seen


def binary_is_sanitized():
    return "build-san" in os.environ.get("L2LB", "")
