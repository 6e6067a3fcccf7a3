"""Planned moves in the home lab: l2lb move, drain, undrain, cordon; a client that asks 500 times a second notices nothing.

The commands run as somebody who has just the rights of deploy/operator.yaml.
"""

import collections
import contextlib
import json
import math
import os
import subprocess
import time

import pytest

from home import DEPLOY, NAMESPACE, VIP, vip, vip_of
from lab import l2lb
from lab.kube import ApiError, path, wait

IPS = "metallb.io/loadBalancerIPs"
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
DOUBLE = 0.1   # seconds in which two may answer: the issue says less than 50 ms, and a busy machine is no fault
ENV = {**{key: value for key, value in os.environ.items() if key not in ("KUBECONFIG", "METALLB_NAMESPACE", "HOME")}, "ASAN_OPTIONS": "detect_leaks=0"}


@pytest.fixture(scope="module")
def operator(home_cluster):
    """A kubeconfig with the rights that the manual names, and no more."""
    kube = home_cluster.kube
    kube.apply((DEPLOY / "operator.yaml").read_text())
    subjects = [{"kind": "User", "name": "operator", "apiGroup": "rbac.authorization.k8s.io"}]
    for kind, name, role, namespace in (("ClusterRoleBinding", "test-operator", "metallb-system:operator", None),
                                        ("RoleBinding", "test-operator", "operator", NAMESPACE)):
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        kube.save({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta, "subjects": subjects,
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind.removesuffix("Binding"), "name": role}})
    config = home_cluster.cluster.kubeconfig("operator")
    mine = home_cluster.cluster.client(config)

    def allowed():
        with contextlib.suppress(ApiError):
            return mine.list(path("Node")) and mine.list(path("Lease", NAMESPACE)) is not None
    wait(allowed, 10, "the rights of the operator")
    return config


@pytest.fixture
def run(home, operator):
    """run("move", ip, node, ...): (status, stdout, stderr); afterwards nothing is drained or cordoned."""
    def tool(*args, config=operator, **how):
        argv = ["ip", "netns", "exec", home.lab.ns("client"), l2lb.default_binary(), *map(str, args), *(["--kubeconfig", config] if config else [])]
        done = subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, **how)
        assert "Sanitizer" not in done.stderr and "handlesOpen" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr
    yield tool
    for node in home.nodes:
        home.kube.patch(path("Lease", NAMESPACE, f"node-{node}"), {"metadata": {"annotations": {"l2lb.io/drain": None}}})
        mark(home, node, cordoned=False)


def mark(home, node, cordoned=None, labels=None):
    home.kube.patch(path("Node", name=node), {**({"spec": {"unschedulable": cordoned or None}} if cordoned is not None else {}),
                                              **({"metadata": {"labels": labels}} if labels else {})})


def drained(home, node):
    return home.kube.get(path("Lease", NAMESPACE, f"node-{node}"))["metadata"]["annotations"].get("l2lb.io/drain") == "true"


def one_line(text, *parts):
    lines = text.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("l2lb: ") and all(part in lines[0] for part in parts), text


def others(home, *nodes):
    return [node for node in home.nodes if node not in nodes]


def seamless(home, ip, seen, before, after):
    """Every request was answered; it changed hands once; two answered for a moment at most; record and wire agree."""
    assert seen["unanswered"] == 0, seen
    assert [home.node_of(mac) for _, mac in seen["changes"]][0] == before and home.node_of(seen["changes"][-1][1]) == after, seen
    times = [double["time"] for double in seen["doubles"]]
    assert not times or max(times) - min(times) < DOUBLE, seen["doubles"]
    home.answered_by(ip, after)
    record = home.record(ip)
    assert record["spec"]["holderIdentity"] == after and "l2lb.io/successor" not in record["metadata"]["annotations"]
    assert record["metadata"]["annotations"]["l2lb.io/previous"].split(",")[0] == before


def owners(home):
    return {record["metadata"]["name"][3:]: record["spec"].get("holderIdentity") or "" for record in home.records()}


def on_nodes(home, *nodes):
    """A Service for each, on the node: their addresses."""
    ips = []
    for n, node in enumerate(nodes):
        ip = vip_of(home.nodes, node)
        assert home.announced(f"on-{n}", annotations={IPS: ip}) == (ip, node)
        ips.append(ip)
    return ips


# move

def test_move(home, run):
    """There, to the third, and back."""
    ip, owner = home.announced("web")
    for target in (others(home, owner)[0], others(home, owner)[1], owner):
        before = home.holder(ip)
        asker = home.asker(ip)
        time.sleep(0.3)
        status, out, err = run("move", ip, target)
        time.sleep(0.5)
        seen = asker.stop()[ip]
        assert status == 0 and err == "", out + err
        assert out.startswith(f"{ip}  {before} -> {target}  moved in 0.") and "\033" not in out
        seamless(home, ip, seen, before, target)
    service = home.service("web")
    wait(lambda: owner in home.events(service, "nodeAssigned")[-1]["note"], 3, "an Event for the new owner")


def test_move_json(home, run):
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    status, out, err = run("move", ip, target, "-o", "json")
    assert status == 0 and err == ""
    said = json.loads(out)
    assert 0 < said.pop("seconds") < 5
    assert said == {"address": ip, "from": owner, "to": target, "state": "moved", "message": None}
    # It is there.
    version = home.record(ip)["metadata"]["resourceVersion"]
    status, out, err = run("move", ip, target, "-o", "json")
    assert status == 0 and json.loads(out)["state"] == "moved"
    one_line(err, f"{target} has it already")
    assert home.record(ip)["metadata"]["resourceVersion"] == version, "nothing was written"


def test_move_does_not_wait(home, run):
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    status, out, err = run("move", ip, target, "--timeout", "0")
    assert status == 0 and err == "" and "waiting" in out
    home.answered_by(ip, target)


def test_move_is_refused_by_the_owner(home, run):
    """The target's speaker is stopped: the cluster does not show it, but the owner knows. Nothing moves, and an Event says why."""
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    home.speakers[target].pause()
    time.sleep(1)
    status, out, err = run("move", ip, target)
    home.speakers[target].resume()
    assert status == 1 and err == "" and f"refused: {owner} does not hand it over" in out, out + err
    event = home.wait_event(home.service("web"), "moveRefused")
    assert target in event["note"] and ip in event["note"] and event["type"] == "Warning"
    assert home.holder(ip) == owner
    home.answered_by(ip, owner)


def test_nobody_moves_it(home, run):
    """Both speakers are stopped: after --timeout it says what to look at; 4 is neither done nor refused. It goes on when they do."""
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    for node in (owner, target):
        home.speakers[node].pause()
    status, out, err = run("move", ip, target, "--timeout", "300ms")
    for node in (target, owner):
        home.speakers[node].resume()
    assert status == 4 and err == "" and f"are the speakers of {owner} and {target} running?" in out, out + err
    wait(lambda: "l2lb.io/successor" not in home.record(ip)["metadata"]["annotations"], 10, "it to be done, or refused")
    home.answered_by(ip, home.holder(ip), 5)


def test_a_hung_owner_keeps_nothing(home, run):
    """The owner's speaker is stopped: the successor takes it without asking, and the owner finds out when it goes on."""
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    home.speakers[owner].pause()
    status, out, err = run("move", ip, target)
    home.answered_by(ip, target)
    home.speakers[owner].resume()
    assert status == 0 and err == "", out + err
    time.sleep(1.5)
    assert home.holder(ip) == target
    home.answered_by(ip, target)


@pytest.mark.parametrize("args, status, parts", [
    (["move"], 2, ["l2lb move ADDRESS NODE"]),
    (["move", VIP], 2, ["l2lb move ADDRESS NODE"]),
    (["move", "web", "worker-1"], 2, ["\"web\" is not an address"]),
    (["move", VIP, "Worker_1"], 2, ["\"Worker_1\" is not the name of a node", "kubectl get nodes"]),
    (["move", VIP, "worker-1", "--timeout", "soon"], 2, ["--timeout", "soon"]),
    (["move", "192.168.122.7", "worker-1"], 1, ["192.168.122.7: no Lease ip-192.168.122.7 in namespace metallb-system", "--namespace"]),
    (["move", VIP, "worker-1", "--namespace", "kube-public"], 3, ["forbidden"]),
    (["drain"], 2, ["which node? l2lb drain NODE"]),
    (["drain", "worker-9"], 1, ["node worker-9 is not in the cluster", "kubectl get nodes"]),
    (["undrain", "worker-9"], 1, ["node worker-9 is not in the cluster"]),
    (["drain", "worker-1", "--kubeconfig", "/no/such/file"], 2, ["--kubeconfig", "/no/such/file"]),
    (["drain", "worker-1", "--api-server", "https://127.0.0.1:1"], 3, ["127.0.0.1"]),
])
def test_bad_input(home, run, args, status, parts):
    with_config = {"config": None} if "--kubeconfig" in args else {}
    code, out, err = run(*args, **with_config)
    assert code == status and out == "", out + err
    one_line(err, *parts)


def test_not_allowed(home, run):
    """Who may only look is told at the first thing that is missing; and nothing is written."""
    ip, owner = home.announced("web")
    status, out, err = run("move", ip, others(home, owner)[0], config=home.config_of("controller"))
    assert status == 3 and out == ""
    one_line(err, "forbidden", "nodes")
    assert home.holder(ip) == owner


def test_impossible(home, run):
    """A node that may not have it: one line with the reason, and nothing is written."""
    home.serve("web", node="worker-1", externalTrafficPolicy="Local")
    ip = home.address("web")
    assert home.owner(ip) == "worker-1"
    home.answered_by(ip, "worker-1")
    version = home.record(ip)["metadata"]["resourceVersion"]
    cases = [("worker-2", "externalTrafficPolicy Local"), ("worker-9", "is not in the cluster")]
    for node, why in cases:
        status, out, err = run("move", ip, node)
        assert status == 1 and out == ""
        one_line(err, ip, node, why)
    home.kube.make_slice("default", "web", [("10.244.1.5", "worker-1", True), ("10.244.2.5", "worker-2", True)])
    mark(home, "worker-2", labels={EXCLUDE: ""})
    status, out, err = run("move", ip, "worker-2")
    mark(home, "worker-2", labels={EXCLUDE: None})
    assert status == 1
    one_line(err, "node worker-2 may not have it", EXCLUDE)
    mark(home, "worker-2", cordoned=True)
    status, out, err = run("move", ip, "worker-2")
    assert status == 1
    one_line(err, "node worker-2 is drained or cordoned", "uncordon")
    assert home.record(ip)["metadata"]["resourceVersion"] == version


# drain, cordon, exclude label

def test_drain(home, run):
    """All that it has goes, spread over the others, without a gap; nothing new comes; undrained, nothing comes back by itself."""
    names = [f"web{n}" for n in range(9)]
    for name in names:
        home.serve(name)
    wait(lambda: len(owners(home)) == 9 and all(owners(home).values()), 10, "9 owners")
    time.sleep(0.5)
    before = owners(home)
    node = collections.Counter(before.values()).most_common(1)[0][0]
    mine = [ip for ip, owner in before.items() if owner == node]
    assert len(mine) >= 3
    asker = home.asker(*mine, hz=100)
    time.sleep(0.5)
    status, out, err = run("drain", node)
    time.sleep(0.7)
    seen = asker.stop()
    assert status == 0 and err == "", out + err
    lines = out.splitlines()
    assert lines[-1] == f"{node} is drained: {len(mine)} of {len(mine)} addresses moved; l2lb undrain {node} lets it have addresses again"
    after = owners(home)
    for ip in mine:
        assert any(line.startswith(f"{ip:<15}  {node} -> {after[ip]}  moved in ") for line in lines), out
        seamless(home, ip, seen[ip], node, after[ip])
    assert all(after[ip] == before[ip] for ip in before if ip not in mine)
    assert drained(home, node)
    # It gets none of the new ones.
    fresh = [home.announced(f"new{n}")[1] for n in range(4)]
    assert node not in fresh
    status, out, err = run("drain", node)
    assert status == 0 and "0 of 0 addresses moved" in out
    # Undrained, it gets what is new, and nothing else.
    settled = owners(home)
    status, out, err = run("undrain", node)
    assert status == 0 and err == "" and out == f"{node} may have addresses again; nothing moves back by itself\n"
    assert not drained(home, node)
    time.sleep(1.5)
    assert owners(home) == settled
    assert home.announced("last")[1] == node, "it has room, the others have their share"
    status, out, err = run("undrain", node)
    assert status == 0 and out == f"{node} was not drained\n"


def test_drain_json_and_what_stays(home, run):
    """An address that nobody else may have is named with the reason; it goes on being answered, and goes when somebody may have it."""
    home.serve("local", node="worker-1", externalTrafficPolicy="Local")
    stays = home.address("local")
    home.answered_by(stays, home.owner(stays))
    status, out, err = run("drain", "worker-1", "-o", "json")
    assert status == 1 and err == "", err
    said = json.loads(out)
    assert said["node"] == "worker-1" and said["drained"] and not said["done"]
    assert [(one["address"], one["state"], one["to"]) for one in said["addresses"]] == [(stays, "stays", None)]
    assert "nobody else can take it: node k8s-control may not have it: Service default/local has externalTrafficPolicy Local" in said["addresses"][0]["message"]
    home.answered_by(stays, "worker-1")
    status, out, err = run("drain", "worker-1")
    assert status == 1 and f"{stays}  worker-1  stays: nobody else can take it" in out
    assert out.splitlines()[-1].startswith("worker-1 is drained: 0 of 1 addresses moved, 1 stays;")
    home.kube.make_slice("default", "local", [("10.244.1.5", "worker-1", True), ("10.244.2.5", "worker-2", True)])
    home.answered_by(stays, "worker-2")


@pytest.mark.parametrize("how", ["cordon", "exclude label"])
def test_by_the_node_object(home, run, how):
    """kubectl cordon (and drain, which begins with it), and the label: the same handover."""
    ip, = on_nodes(home, "worker-1")
    asker = home.asker(ip)
    time.sleep(0.5)
    if how == "cordon":
        done = home.cluster.kubectl("cordon", "worker-1")
        assert done.returncode == 0, done.stderr
    else:
        mark(home, "worker-1", labels={EXCLUDE: ""})
    owner = wait(lambda: home.holder(ip) != "worker-1" and home.holder(ip), 5, "another owner")
    time.sleep(0.5)
    seamless(home, ip, asker.stop()[ip], "worker-1", owner)
    status, out, _ = run("undrain", "worker-1")
    assert status == 0 and "was not drained" in out and ("kubectl uncordon" in out) == (how == "cordon")
    mark(home, "worker-1", cordoned=False, labels={EXCLUDE: None})
    time.sleep(1.5)
    assert home.holder(ip) == owner


def test_all_are_cordoned(home, run):
    """Then it is no reason: everybody keeps what he has, and gets what is new."""
    ip, owner = home.announced("web")
    for node in home.nodes:
        mark(home, node, cordoned=True)
    # The last but one to be cordoned may have passed it on.
    time.sleep(1)
    kept = home.holder(ip)
    home.answered_by(ip, kept)
    home.announced("more")
    time.sleep(0.5)
    assert home.holder(ip) == kept


# endpoints and preferences

def test_endpoints_move(home):
    """externalTrafficPolicy Local, a pod is replaced by one on another node: while the old one still serves, nothing is unanswered; and a
    replacement in place moves nothing."""
    def slices(*endpoints):
        made = home.kube.get(path("EndpointSlice", "default", "web-test"))
        made["endpoints"] = [{"addresses": [f"10.244.1.{5 + n}"], "nodeName": node, "conditions": {"ready": ready, "serving": True, "terminating": not ready}}
                             for n, (node, ready) in enumerate(endpoints)]
        home.kube.put(path("EndpointSlice", "default", "web-test"), made)
    home.serve("web", node="worker-1", externalTrafficPolicy="Local")
    ip = home.address("web")
    home.answered_by(ip, home.owner(ip))
    asker = home.asker(ip)
    time.sleep(0.3)
    slices(("worker-1", False))
    time.sleep(0.4)
    slices(("worker-1", False), ("worker-1", True), ("worker-2", True))
    time.sleep(1.5)
    assert home.holder(ip) == "worker-1"
    slices(("worker-1", False), ("worker-2", True))
    wait(lambda: home.holder(ip) == "worker-2", 4, "worker-2 to have it")
    time.sleep(0.5)
    slices(("worker-2", True))
    time.sleep(0.5)
    seamless(home, ip, asker.stop()[ip], "worker-1", "worker-2")


def test_preferred_node(home):
    """A preferred node has it after 30 s without a break, without a gap."""
    ip, owner = home.announced("web")
    target = others(home, owner)[0]
    home.kube.patch(path("L2Advertisement", NAMESPACE, "default"), {"spec": {"preferredNodeSelectors": [
        {"weight": 10, "preference": {"matchLabels": {"kubernetes.io/hostname": target}}}]}})
    asker = home.asker(ip)
    time.sleep(27)
    assert home.holder(ip) == owner
    wait(lambda: home.holder(ip) == target, 6, f"{target} to have it")
    time.sleep(0.5)
    seamless(home, ip, asker.stop()[ip], owner, target)


# spread

def test_spread(home):
    """24 Services at once: no node has more than 1.25 times its share (10; in plain order worker-2 would have 11)."""
    for n in range(24):
        home.serve(f"web{n}")
    wait(lambda: len(owners(home)) == 24 and all(owners(home).values()), 15, "24 owners")
    have = collections.Counter(owners(home).values())
    assert max(have.values()) <= math.ceil(1.25 * 24 / 3) and sum(have.values()) == 24, have
    assert set(owners(home)) == {vip(n) for n in range(100, 124)}
    time.sleep(1)
    asker = home.asker(*owners(home), hz=20)
    time.sleep(1)
    seen = asker.stop()
    for ip, owner in owners(home).items():
        assert seen[ip]["unanswered"] == 0 and seen[ip]["doubles"] == [] and [home.node_of(mac) for _, mac in seen[ip]["changes"]] == [owner], ip


def test_spread_one_by_one(home):
    """The same, when each has its owner before the next comes."""
    for n in range(9):
        home.announced(f"web{n}")
        have = collections.Counter(owners(home).values())
        assert max(have.values()) <= math.ceil(1.25 * (n + 1) / 3), have
