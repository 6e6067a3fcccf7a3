"""The allocation table (tests/allocation) through real API servers, each case with an `l2lb run --role controller` of its own.

Cases run at once, each in namespaces of its own, with addresses and a loadBalancerClass of its own. After the last step the
controller is killed and started again: no Service, record or pool may be written.
"""

import collections
import concurrent.futures
import threading
import time
from pathlib import Path

import pytest

from allocation import table
from cluster.cluster import RealCluster
from lab import l2lb
from lab.kube import ApiError, path, wait

ROOT = Path(__file__).resolve().parents[2]
CASES = [case for case in table.load() if case.server != "core only"]
AT_ONCE = 12
QUIET = 0.3       # nothing was written for so long: it has come to rest
GIVE_UP = 20      # ... and is still not as expected
DUAL = ["--service-cluster-ip-range=10.96.0.0/12,fd96::/112"]
LEADER = "l2lb-controller"
SERVICES = "l2lb.io/services"


# What there is

class View:
    """Follows the objects of all cases at one API server; they are told apart by the beginning of their namespace."""

    KINDS = ("Service", "Event.events.k8s.io", "IPAddressPool", "Lease")

    def __init__(self, kube):
        self._kube, self._lock = kube, threading.Lock()
        self._objects = collections.defaultdict(dict)   # (prefix, kind) -> (namespace, name) -> object
        self._changed = collections.defaultdict(float)
        self._over = False
        for kind in self.KINDS:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()

    def _follow(self, kind):
        # A CRD that is established may not be served for a moment more.
        version = wait(lambda: self._kube.get(path(kind)), 60, kind)["metadata"]["resourceVersion"]
        for what, obj in self._kube.watch(path(kind), version, 600):
            if self._over:
                return
            if what != "BOOKMARK" and not obj["metadata"]["name"].startswith(LEADER):
                self._see(kind, what, obj)

    def _see(self, kind, what, obj):
        meta = obj["metadata"]
        prefix, key = meta["namespace"].split("-")[0], (meta["namespace"], meta["name"])
        with self._lock:
            if what == "DELETED":
                self._objects[prefix, kind].pop(key, None)
            else:
                self._objects[prefix, kind][key] = obj
            self._changed[prefix] = time.monotonic()

    def of(self, prefix, kind):
        with self._lock:
            return list(self._objects[prefix, kind].values())

    def changed(self, prefix):
        with self._lock:
            return self._changed[prefix]

    def end(self):
        self._over = True


# One case

class Run:
    def __init__(self, case, server, folder):
        self.case, self.kube, self.view, self._config = case, server.kube, server.view, server.config
        self.names = table.CaseNames(case)
        self.log = folder / f"{self.names.prefix}.log"
        self.controller = None
        self._refused = set()       # pools that the server did not take
        self._seen = set()          # Events of earlier steps
        self._acted = 0
        self._pace = QUIET          # what this machine takes for a start now: on a busy one all else takes longer, too

    def run(self):
        try:
            self._set_up()
            if self.case.server == "refuses":
                self._is_refused()
            else:
                self._steps()
        finally:
            self._clean()

    def _steps(self):
        expected = table.Expected(self.case, self.names)
        for number, step in enumerate(self.case.steps):
            self._take(step)
            self._await(expected.step(step), f"step {number}")
        self._restart_writes_nothing()

    def _is_refused(self):
        """That is what the case is about: no such object comes to us."""
        key, words = next(iter(self.case.steps[0]["apply"].items()))
        with pytest.raises(ApiError) as refusal:
            self._create(key, words)
        assert refusal.value.status in (400, 422)

    # The controller

    def _start(self):
        flag = self.names.own_class if self.case.flag is None else self.names.lb_class(self.case.flag)
        args = ["run", "--role", "controller", "--kubeconfig", self._config, "--namespace", self.names.namespace, "--port", "0",
                "--health-probe-port", "0", *(["--lb-class", flag] if flag else [])]
        env = {"METALLB_POD_NAME": "controller", "POD_UID": self.names.prefix, "ASAN_OPTIONS": "detect_leaks=0"}
        began = time.monotonic()
        lines = len(l2lb.Running(None, self.log).logs()) if self.log.exists() else 0
        self.controller = l2lb.start(None, None, args, env, self.log)
        self.controller.wait_log(event="leading", timeout=120, skip=lines)
        self._pace = max(QUIET, time.monotonic() - began)

    def _kill(self):
        if self.controller:
            self.controller.kill9()
        self.controller = None

    # Changes

    def _set_up(self):
        spaces = {*self.case.namespaces, *(table.space_of(key) for key, _ in self.case.services())}
        self.kube.make_namespace(self.names.namespace)
        for space in spaces:
            self.kube.save(table.namespace_object(space, self.case.namespaces.get(space), self.names))
        self.kube.create(path("L2Advertisement", self.names.namespace),
                         {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "all"}, "spec": {}})
        for name, spec in self.case.pools.items():
            self._put_pool(name, spec)

    def _take(self, step):
        self._seen = {event["metadata"]["name"] for event in self._all_events()}
        if step.get("away") or step.get("restart"):
            self._kill()
        elif not self.controller:
            self._start()
        for space, labels in step.get("namespaces", {}).items():
            self.kube.patch(path("Namespace", name=self.names.space(space)), {"metadata": {"labels": labels}})
        for name, spec in step.get("pools", {}).items():
            self._put_pool(name, spec)
        for key, words in step.get("apply", {}).items():
            self._create(key, words)
        for key, words in step.get("edit", {}).items():
            self.kube.patch(self._path(key), table.for_server(table.service_object(key, words, self.names, new=False), words))
        for key, ips in step.get("status", {}).items():
            self._put_status(key, ips)
        for key in step.get("delete", []):
            self.kube.delete(self._path(key))
        if not self.controller:
            self._start()
        self._acted = time.monotonic()

    def _path(self, key, subresource=None):
        return path("Service", *self.names.key(key).split("/"), subresource)

    def _create(self, key, words):
        self.kube.create(path("Service", self.names.space(table.space_of(key))), table.for_server(table.service_object(key, words, self.names), words))
        if (words or {}).get("status"):
            self._put_status(key, words["status"])

    def _put_status(self, key, ips):
        self.kube.patch(self._path(key, "status"), {"status": table.status_object(key, ips, self.names)["status"]})

    def _put_pool(self, name, spec):
        target = path("IPAddressPool", self.names.namespace, name)
        try:
            if spec is None:
                self.kube.delete(target)
            elif self.kube.exists(target):
                self.kube.patch(target, table.pool_object(name, spec, self.names))
            else:
                self.kube.create(path("IPAddressPool", self.names.namespace), table.pool_object(name, spec, self.names))
            self._refused.discard(name)
        except ApiError as error:
            if error.status != 422:
                raise
            self._refused.add(name)

    # Expectations

    def _await(self, expected, what):
        while True:
            quiet = time.monotonic() - max(self._acted, self.view.changed(self.names.prefix))
            if quiet < QUIET:
                time.sleep(QUIET - quiet)
                continue
            faults = self._faults(expected)
            if not faults:
                return
            if quiet > GIVE_UP:
                raise AssertionError(f"{what}: " + "; ".join(faults) + "\n" + "\n".join(self.log.read_text().splitlines()[-15:]))
            time.sleep(0.1)

    def _faults(self, expected):
        services = self.view.of(self.names.prefix, "Service")
        shown = {_key(service["metadata"]): (_entries(service), service["metadata"].get("annotations", {}).get(table.FROM_POOL))
                 for service in services}
        return expected.faults(shown, self._events()) + self._record_faults(services) + self._pool_faults(expected) + _surplus(services)

    def _all_events(self):
        return self.view.of(self.names.prefix, "Event.events.k8s.io")

    def _events(self):
        return [(_key(event["regarding"]), event["reason"], event["note"]) for event in self._all_events()
                if event["metadata"]["name"] not in self._seen and event["regarding"]["kind"] == "Service"
                and event.get("reportingController") == "metallb-controller"]

    def _pool_faults(self, expected):
        pools = {pool["metadata"]["name"]: pool.get("status", {}) for pool in self.view.of(self.names.prefix, "IPAddressPool")}
        fields = ("assignedIPv4", "availableIPv4", "assignedIPv6", "availableIPv6")
        faults = [f"counters of {name}: {pools.get(name)}, expected {want}" for name, want in expected.counters.items()
                  if [pools.get(name, {}).get(field) for field in fields] != want]
        said = {event["regarding"]["name"] for event in self._all_events() if event["reason"] == "InvalidConfiguration"}
        return faults + [f"nobody complains of pool {name}" for name in expected.problems or [] if name not in said | self._refused]

    def _record_faults(self, services):
        """Records and statuses say the same of who has what."""
        leases = self.view.of(self.names.prefix, "Lease")
        by_record = {(lease["metadata"]["name"], key) for lease in leases for key in lease["metadata"]["annotations"][SERVICES].split(",")}
        by_status = {(_record_name(ip), _key(service["metadata"])) for service in services if self._is_ours(service) for ip in _entries(service)}
        return [f"record and status differ: {sorted(by_record ^ by_status)}"] if by_record != by_status else []

    def _is_ours(self, service):
        flag = self.names.own_class if self.case.flag is None else self.names.lb_class(self.case.flag)
        spec = service["spec"]
        return spec["type"] == "LoadBalancer" and spec.get("loadBalancerClass", "") == flag

    def _versions(self):
        return {(kind, _key(obj["metadata"])): obj["metadata"]["resourceVersion"] for kind in ("Service", "Lease", "IPAddressPool")
                for obj in self.view.of(self.names.prefix, kind)}

    def _at_rest(self):
        """The versions, once nothing has changed for a while: counters follow a moment later."""
        before = None
        while before != (before := self._versions()):
            time.sleep(self._pace)
        return before

    def _restart_writes_nothing(self):
        before = self._at_rest()
        self._kill()
        self._start()
        time.sleep(QUIET)
        assert self._versions() == before, "a restart writes"
        # And it ends well.
        assert self.controller.stop() == 0

    def _clean(self):
        self._kill()
        for service in self.view.of(self.names.prefix, "Service"):
            target = path("Service", service["metadata"]["namespace"], service["metadata"]["name"])
            self.kube.delete(target)
            if service["metadata"].get("finalizers"):
                self.kube.patch(target, {"metadata": {"finalizers": None}})


def _key(meta):
    return f"{meta['namespace']}/{meta['name']}"


def _entries(service):
    return [entry.get("ip") or entry["hostname"] for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress", [])]


def _record_name(ip):
    if ":" not in ip:
        return f"ip-{ip}"
    return "ip-" + table.ipaddress.ip_address(ip).exploded.replace(":", "-")


def _surplus(services):
    """What nobody but we could have written, and we do not: only ip is ours (the server adds ipMode)."""
    faults = [f"{_key(service['metadata'])}: {entry}" for service in services
              for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress", []) if set(entry) - {"ip", "ipMode", "hostname"}]
    return faults + [f"{_key(service['metadata'])} has conditions" for service in services if service.get("status", {}).get("conditions")]


# All cases

class Server:
    def __init__(self, cluster):
        self.kube = cluster.client()
        for crds in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
            self.kube.apply(crds.read_text())
        self.config = cluster.admin()
        self.view = View(cluster.client())
        wait(lambda: self.kube.exists(path("Namespace", name="default")), 60, "namespace default")


@pytest.fixture(scope="module")
def outcomes(request, assets, tmp_path_factory):
    """case id -> Future of its run; all run at once."""
    chosen = [item.callspec.params["case"] for item in request.session.items if "case" in getattr(getattr(item, "callspec", None), "params", {})
              and item.function.__name__ == "test_allocation_table"]
    folder = tmp_path_factory.mktemp("table")
    flags = {"dual": DUAL, "single": []}
    clusters = {kind: RealCluster(folder / kind, assets, flags=flags[kind], audit_level="None") for kind in {case.cluster for case in chosen}}
    servers = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            list(pool.map(lambda cluster: cluster.start(), clusters.values()))
            servers.update({kind: Server(cluster) for kind, cluster in clusters.items()})
            alone = {kind: threading.Lock() for kind in servers}
            yield {case.id: pool.submit(_run, case, servers[case.cluster], alone[case.cluster], folder) for case in _lonely_first(chosen)}
        finally:
            pool.shutdown(cancel_futures=True)
            for server in servers.values():
                server.view.end()
            for cluster in clusters.values():
                cluster.close()


def _lonely_first(cases):
    return sorted(cases, key=lambda case: not case.needs_no_class())


def _run(case, server, alone, folder):
    if not case.needs_no_class():
        return Run(case, server, folder).run()
    with alone:
        return Run(case, server, folder).run()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_allocation_table(outcomes, case):
    outcomes[case.id].result(900)
