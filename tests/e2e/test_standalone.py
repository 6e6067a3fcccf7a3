"""Allocation alone, from any machine with a kubeconfig, on a cluster that has none of our CRDs."""

import json
import os
import subprocess
import time

import pytest

from cluster.cluster import RealCluster
from home import addresses
from lab import l2lb
from lab.kube import path, wait

NS = "records"
POOL = "192.168.77.1-192.168.77.3"
ENV = {**{k: v for k, v in os.environ.items() if k != "KUBECONFIG"}, "ASAN_OPTIONS": "detect_leaks=0"}


@pytest.fixture(scope="module")
def bare(assets, tmp_path_factory):
    """A control plane without our CRDs, and a namespace for records."""
    with RealCluster(tmp_path_factory.mktemp("bare"), assets) as made:
        made.kube = made.client()
        made.kube.make_namespace(NS)
        wait(lambda: made.kube.exists(path("Namespace", name="kube-system")), 40, "kube-system")
        yield made


@pytest.fixture
def kube(bare):
    yield bare.kube
    for service in bare.kube.list(path("Service")):
        if service["metadata"]["name"] != "kubernetes":
            bare.kube.delete(path("Service", service["metadata"]["namespace"], service["metadata"]["name"]))
    for lease in bare.kube.list(path("Lease", NS)):
        bare.kube.delete(path("Lease", NS, lease["metadata"]["name"]))


def run(bare, *flags, kubeconfig=None, timeout=120):
    """One run to its end: (status, stdout, stderr)."""
    argv = [l2lb.default_binary(), "run", "--role", "controller", "--kubeconfig", str(kubeconfig or bare.admin()), "--namespace", NS, *flags]
    done = subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


def ips(kube, name):
    return addresses(kube.get(path("Service", "default", name)))


def test_once(bare, kube):
    """Pending Services get their addresses, a table says so, status 0; again: nothing to do, nothing written."""
    for name in ("a", "b"):
        kube.make_service("default", name)
    status, out, err = run(bare, "--once", "--pool", POOL)
    assert status == 0, err
    assert ips(kube, "a") == ["192.168.77.1"] and ips(kube, "b") == ["192.168.77.2"]
    lines = out.splitlines()
    assert lines[0].split() == ["SERVICE", "STATE", "ADDRESS", "POOL", "REMARK"]
    assert lines[1].split() == ["default/a", "has", "192.168.77.1", "default-pool"]
    before = [kube.get(path("Service", "default", name))["metadata"]["resourceVersion"] for name in ("a", "b")]
    status, _, _ = run(bare, "--once", "--pool", POOL)
    assert status == 0
    assert [kube.get(path("Service", "default", name))["metadata"]["resourceVersion"] for name in ("a", "b")] == before
    events = [e for e in kube.list(path("Event.events.k8s.io", "default")) if e["reason"] == "IPAllocated"]
    assert {e["regarding"]["name"] for e in events} >= {"a", "b"}, "Events are written before it ends"


def test_once_exhausted(bare, kube):
    """Some Service gets none: status 1, and the report says which and why."""
    for name in "abcd":
        kube.make_service("default", name)
    status, out, _ = run(bare, "--once", "--pool", POOL, "-o", "json")
    assert status == 1
    rows = {row["name"]: row for row in json.loads(out)["services"]}
    assert sorted(len(row["addresses"]) for row in rows.values()) == [0, 1, 1, 1]
    left = next(row for row in rows.values() if not row["addresses"])
    assert left["state"] == "waits" and left["notices"][0]["reason"] == "AllocationFailed"
    assert "no free address in pool default-pool (3 of 3 in use)" in left["notices"][0]["message"]


def test_dry_run(bare, kube):
    """It says what it would do and writes nothing, not even a Lease."""
    kube.make_service("default", "a")
    kube.make_service("default", "b", annotations={"metallb.io/loadBalancerIPs": "10.9.9.9"})
    before = kube.list(path("Lease", NS))
    status, out, err = run(bare, "--once", "--dry-run", "--pool", f"name=lan,{POOL}")
    assert status == 1, "b cannot have what it asks for"
    assert out.splitlines()[1].split() == ["default/a", "gets", "192.168.77.1", "lan"] and "10.9.9.9 is in no pool" in out, out + err
    assert ips(kube, "a") == [] and kube.list(path("Lease", NS)) == before
    status, out, _ = run(bare, "--once", "--dry-run", "--pool", POOL, "-o", "json")
    assert {row["name"]: row["state"] for row in json.loads(out)["services"]} == {"a": "gets", "b": "waits"}


def test_dry_run_goes_on(bare, kube, tmp_path):
    """Without --once it follows the cluster and says what it would do."""
    running = l2lb.start(None, None, ["run", "--role", "controller", "--kubeconfig", bare.admin(), "--namespace", NS, "--dry-run", "--pool", POOL],
                         {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
    kube.make_service("default", "late")
    line = running.wait_log(event="dryRun", service="default/late")
    assert line["ip"] == "192.168.77.1" and "nothing is written" in line["msg"]
    assert ips(kube, "late") == []
    assert running.stop() == 0


def test_pool_options(bare, kube):
    """Named pools with options; a Service chooses one by name."""
    kube.make_service("default", "a")
    kube.make_service("default", "b", annotations={"metallb.io/address-pool": "spare"})
    status, out, err = run(bare, "--once", "--pool", f"name=lan,{POOL}", "--pool", "name=spare,192.168.78.0/24,autoAssign=false,avoidBuggyIPs=true")
    assert status == 0, err
    assert ips(kube, "a") == ["192.168.77.1"] and ips(kube, "b") == ["192.168.78.1"]
    assert kube.get(path("Service", "default", "b"))["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] == "spare"
    assert "spare" in out


def test_missing_permissions(bare, kube):
    """Each is named, one by one; status 3; a dry run needs no more than to read Services."""
    user = "reader"
    config = bare.kubeconfig(user)
    bare.kube.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user},
        "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]}]})
    bare.kube.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]})
    kube.make_service("default", "a")
    wait(lambda: run(bare, "--once", "--dry-run", "--pool", POOL, kubeconfig=config)[0] == 0, 40, "the role to count")
    status, out, _ = run(bare, "--once", "--dry-run", "--pool", POOL, kubeconfig=config)
    assert status == 0 and "192.168.77.1" in out
    status, _, err = run(bare, "--once", "--pool", POOL, kubeconfig=config)
    assert status == 3
    for what in ("patch services/status in all namespaces", "create events.events.k8s.io in all namespaces",
                 f"create leases.coordination.k8s.io in namespace {NS}", f"delete leases.coordination.k8s.io in namespace {NS}"):
        assert f"missing permission: {what} (" in err, err
    assert "list services" not in err


def test_unreachable(bare):
    """Nobody listens there: one line, status 3, at once."""
    started = time.monotonic()
    status, out, err = run(bare, "--once", "--pool", POOL, "--api-server", "https://127.0.0.1:1")
    assert status == 3 and out == "" and time.monotonic() - started < 20
    lines = [line for line in err.splitlines() if line.startswith("l2lb: ")]
    assert len(lines) == 1 and "127.0.0.1" in lines[0]


def test_another_leads(bare, kube, tmp_path):
    """A daemon is at work: a one-time run leaves it to it, and says so."""
    running = l2lb.start(None, None, ["run", "--role", "controller", "--kubeconfig", bare.admin(), "--namespace", NS, "--pool", POOL, "--port", "0",
                                      "--health-probe-port", "0"], {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
    running.wait_log(event="leading")
    status, _, err = run(bare, "--once", "--pool", POOL)
    assert status == 1 and "another controller leads" in err
    assert running.stop() == 0


def test_usage(bare):
    for flags, word in ((["--once", "--role", "all", "--node-name", "n"], "--once"), (["--dry-run", "--role", "speaker", "--node-name", "n"], "--dry-run"),
                        (["-o", "yaml"], "--output"), (["--pool", "name=x"], "--pool"), (["--pool", f"{POOL},autoAssign=maybe"], "--pool")):
        status, _, err = run(bare, *flags)
        assert status == 2 and word in err and len(err.strip().splitlines()) == 1, err
