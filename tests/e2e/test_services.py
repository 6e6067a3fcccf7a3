"""Services get addresses, and the addresses answer: with the real API server, three speakers and a controller."""

import collections
import signal
import subprocess
import time

import pytest

from cluster.cluster import RealCluster
from home import DEPLOY, FROM_POOL, LEADER, NAMESPACE, ROOT, VIP, StatusWatch, addresses, preferred, vip
from lab import l2lb, wire
from lab.kube import KINDS, ApiError, Kube, path, wait
from lab.netlab import HomeLab

POOL = 51
IPS = "metallb.io/loadBalancerIPs"


def test_the_pool_is_the_users_own():
    """deploy/home has the first user's manifest, to the letter."""
    assert (DEPLOY / "home" / "pool.yaml").read_text() == (
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: default-pool\n  namespace: metallb-system\n"
        "spec:\n  addresses:\n  - 192.168.122.100-192.168.122.150\n")


def test_the_home_network_has_its_cluster(home):
    assert sorted(node["metadata"]["name"] for node in home.kube.list(path("Node"))) == sorted(home.nodes)
    listed = home.cluster.kubectl("get", "nodes", "-o", "wide")
    assert listed.returncode == 0 and "192.168.122.11" in listed.stdout
    # As the controller would: from a namespace of its own, over the network.
    assert Kube(home.cluster.admin(), netns=home.lab.ns("ctl")).get("/readyz") == "ok"


def test_one_service(home, tmp_path):
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    ip, owner = home.announced("web")
    assert ip == VIP and owner == preferred(home.nodes, ip)[0]
    service = home.service("web")
    assert service["metadata"]["annotations"][FROM_POOL] == "default-pool"
    assert "192.168.122.100" in home.wait_event(service, "IPAllocated")["note"]
    assert owner in home.wait_event(service, "nodeAssigned")["note"]
    assert len(home.events(service)) == 2
    record = home.record(ip)
    assert record["metadata"]["annotations"]["l2lb.io/services"] == "default/web"
    mac = home.lab.mac(owner)
    wait(lambda: {wire.REQUEST, wire.REPLY} <= {frame["op"] for frame in sniffer.frames() if frame["spa"] == frame["tpa"] == ip}, 20, "both forms")
    told = [frame for frame in sniffer.stop() if frame["spa"] == frame["tpa"] == ip and frame["eth_dst"] == wire.BROADCAST]
    assert told and {frame["sha"] for frame in told} == {frame["eth_src"] for frame in told} == {mac}
    assert (wire.REQUEST, wire.NO_MAC) in {(frame["op"], frame["tha"]) for frame in told}
    assert (wire.REPLY, mac) in {(frame["op"], frame["tha"]) for frame in told}


def test_the_pool_runs_out(home):
    """51 Services have 51 addresses, at no moment two the same; the 52nd is told why not, and gets the first to be free."""
    watch = StatusWatch(home.kube)
    names = [f"web{n}" for n in range(POOL)]
    for name in names:
        home.serve(name)
    wait(lambda: sum(bool(addresses(s)) for s in home.kube.list(path("Service"))) == POOL, 60, "51 addresses")
    given = {ip for ips in watch.caught_up().shown.values() for ip in ips}
    assert given == {vip(n) for n in range(100, 151)}
    wait(lambda: len([r for r in home.records() if r["spec"].get("holderIdentity")]) == POOL, 60, "51 owners")
    wait(lambda: home.all_answered(given), 30, "all to be answered")
    asker = home.asker(*sorted(given), hz=10)
    time.sleep(2)
    seen = asker.stop()
    owners = {record["metadata"]["name"][3:]: record["spec"]["holderIdentity"] for record in home.records()}
    for ip in given:
        assert seen[ip]["asked"] >= 5 and seen[ip]["unanswered"] == 0 and seen[ip]["doubles"] == [], (ip, seen[ip])
        assert [mac for _, mac in seen[ip]["changes"]] == [home.lab.mac(owners[ip])], ip
    assert len(set(owners.values())) == 3, "all nodes share the addresses"
    # One too many.
    service = home.serve("late")
    why = "no free address in pool default-pool (51 of 51 in use)"
    event = home.wait_event(service, "AllocationFailed")
    assert why in event["note"] and "default/late" in event["note"] and event["type"] == "Warning"
    line = home.controllers["controller"].wait_log(event="allocationFailed", service="default/late")
    assert why in line["msg"] and "default/late" in line["msg"] and line["level"] == "warn"
    time.sleep(0.5)
    assert not addresses(home.service("late"))
    free = addresses(home.service("web17"))
    started = time.monotonic()
    home.delete("web17")
    assert [home.address("late")] == free
    assert time.monotonic() - started < 10, "not by and by"
    home.answered_by(free[0], home.owner(free[0]))
    assert watch.caught_up().doubles == []
    assert all(len(watch.given(f"default/{name}")) == 1 for name in [*names, "late"])


@pytest.mark.parametrize("how", ["spec", "annotation", "old annotation"])
def test_an_address_asked_for(home, how):
    asked = {"spec": {"loadBalancerIP": vip(123)}, "annotation": {"annotations": {IPS: vip(123)}},
             "old annotation": {"annotations": {"metallb.universe.tf/loadBalancerIPs": vip(123)}}}[how]
    ip, _ = home.announced("web", **asked)
    assert ip == vip(123)
    # It is taken: the next one that asks for it is told by whom.
    second = home.serve("second", **asked)
    assert f"{vip(123)} is in use by default/web" in home.wait_event(second, "AllocationFailed")["note"]
    assert not addresses(home.service("second"))


def test_an_address_of_no_pool(home):
    service = home.serve("web", annotations={IPS: "192.168.122.200"})
    note = home.wait_event(service, "AllocationFailed")["note"]
    assert "192.168.122.200 is in no pool" in note and "default/web" in note
    assert not addresses(home.service("web"))
    assert home.record("192.168.122.200") is None
    home.silent("192.168.122.200")
    # Corrected, it works.
    home.kube.patch(path("Service", "default", "web"), {"metadata": {"annotations": {IPS: vip(140)}}})
    assert home.address("web") == vip(140)


def test_controller_killed(home):
    """Started again in the same pod it goes on at once and changes nothing."""
    watch = StatusWatch(home.kube)
    for n in range(5):
        home.serve(f"web{n}")
    before = {f"web{n}": home.address(f"web{n}") for n in range(5)}
    controller = home.controllers["controller"]
    home.kill9(controller)
    home.serve("while-away")
    home.delete("web3")
    time.sleep(0.3)
    started = time.monotonic()
    home.start_controller(uid=controller.uid)
    home.serve("after")
    home.address("while-away")
    home.address("after")
    assert time.monotonic() - started < 10, "at once: the Lease, were it another's, would last for 15 s"
    del before["web3"]
    assert {name: home.address(name) for name in before} == before
    assert watch.caught_up().doubles == []
    assert all(len(watch.given(f"default/{name}")) == 1 for name in [*before, "after", "while-away"])


def test_killed_in_the_middle(home):
    """kill -9 between the writes of an allocation, again and again: no address twice, none lost."""
    watch = StatusWatch(home.kube)
    names = []
    for turn in range(6):
        controller = home.controllers["controller"]
        for n in range(4):
            names.append(f"web{turn}-{n}")
            home.serve(names[-1])
        time.sleep(0.003 * turn)
        home.kill9(controller)
        home.start_controller(uid=controller.uid)
    for name in names:
        home.address(name)
    assert watch.caught_up().doubles == []
    assert all(len(watch.given(f"default/{name}")) == 1 for name in names)
    wait(lambda: len(home.records()) == len(names), 20, "one record per address")


def test_the_leader_hands_over(home):
    """Two controllers: one leads. SIGTERM: the other does, at once."""
    first = home.controllers["controller"]
    second = home.start_controller("other")
    second.wait_log(event="starting")
    time.sleep(1)
    assert not [line for line in second.logs() if line["event"] == "leading"]
    assert home.holder_of(LEADER).startswith("controller_")
    home.serve("before")
    home.address("before")
    started = time.monotonic()
    assert home.stop(first) < 5   # 2 s are promised, at rest
    second.wait_log(event="leading")
    home.serve("after")
    home.address("after")
    assert time.monotonic() - started < 10, "it did not wait until the Lease was over"
    assert home.holder_of(LEADER).startswith("other_")


def test_a_leader_that_sleeps(home):
    """Stopped for longer than its Lease lasts, it wakes up as a leader who is none: nothing is given out twice."""
    watch = StatusWatch(home.kube)
    old = home.controllers["controller"]
    home.serve("first")
    home.address("first")
    # In the middle of its work.
    for n in range(8):
        home.serve(f"early{n}")
    old.pause()
    new = home.start_controller("other")
    new.wait_log(event="leading", timeout=60)
    for n in range(8):
        home.serve(f"web{n}")
    names = ["first"] + [f"early{n}" for n in range(8)] + [f"web{n}" for n in range(8)]
    for name in names[:-4]:
        home.address(name)
    home.delete("web0")
    old.resume()
    for n in range(8, 14):
        home.serve(f"web{n}")
        names.append(f"web{n}")
    for name in names:
        if name != "web0":
            home.address(name)
    old.wait_log(event="leadershipLost")
    assert home.holder_of(LEADER).startswith("other_")
    assert watch.caught_up().doubles == []
    assert all(len(watch.given(f"default/{name}")) == 1 for name in names)
    in_records = [record["metadata"]["annotations"]["l2lb.io/services"] for record in home.records()]
    assert collections.Counter(in_records) == collections.Counter(f"default/{name}" for name in names if name != "web0")


def test_deleted(home):
    ip, _ = home.announced("web")
    home.delete("web")
    home.silent(ip)
    wait(lambda: home.record(ip) is None, 20, "the record to go")
    # And can be had again.
    assert home.announced("again")[0] == ip


def test_deleted_and_held_by_a_finalizer(home):
    """What its status shows is answered for until it is gone, as with MetalLB; nobody else gets it."""
    ip, owner = home.announced("web")
    home.kube.patch(path("Service", "default", "web"), {"metadata": {"finalizers": ["example.org/hold"]}})
    home.delete("web")
    wait(lambda: home.service("web")["metadata"].get("deletionTimestamp"), 10, "the Service to be marked")
    other, _ = home.announced("other")
    assert other != ip
    home.answered_by(ip, owner)
    assert addresses(home.service("web")) == [ip] and home.record(ip)
    home.kube.patch(path("Service", "default", "web"), {"metadata": {"finalizers": None}})
    home.silent(ip)
    wait(lambda: home.record(ip) is None, 20, "the record to go")


def test_no_load_balancer_any_more(home):
    ip, _ = home.announced("web")
    home.kube.patch(path("Service", "default", "web"), {"spec": {"type": "ClusterIP"}})
    home.silent(ip)
    wait(lambda: home.record(ip) is None, 20, "the record to go")
    wait(lambda: FROM_POOL not in home.service("web")["metadata"].get("annotations", {}), 20, "the annotation to go")
    assert not addresses(home.service("web"))
    assert home.announced("next")[0] == ip


def test_another_class(home):
    """Somebody else's Service is not touched: no address, no Event, not one write."""
    service = home.serve("web", loadBalancerClass="example.com/other")
    home.announced("ours")
    time.sleep(0.5)
    assert home.service("web")["metadata"]["resourceVersion"] == service["metadata"]["resourceVersion"]
    assert home.events(service) == []


def test_own_class(home):
    """--lb-class: a second l2lb beside the first serves its class only; their addresses do not collide."""
    own = home.start_controller("classy", flags=["--lb-class", "example.com/l2lb"])
    own.wait_log(event="leading")
    home.serve("web")
    home.serve("special", loadBalancerClass="example.com/l2lb")
    assert len({home.address("web"), home.address("special")}) == 2
    assert [line["service"] for line in own.logs() if line["event"] == "ipAllocated"] == ["default/special"]


def test_endpoints_come_and_go(home):
    ip, owner = home.announced("web")
    home.kube.make_slice("default", "web", [("10.244.1.5", "worker-1", False)])
    home.silent(ip)
    assert home.address("web") == ip, "its address stays its own"
    home.kube.make_slice("default", "web", [("10.244.1.6", "worker-2", True)])
    home.answered_by(ip, owner)
    home.kube.delete(path("EndpointSlice", "default", "web-test"))
    home.silent(ip)


def test_local_traffic_policy(home):
    """Announced from the node with the endpoint, and moves with it; nobody answers twice or not at all on the way."""
    home.serve("web", node="worker-1", externalTrafficPolicy="Local")
    ip = home.address("web")
    home.answered_by(ip, "worker-1")
    assert home.owner(ip) == "worker-1"
    for target in ("worker-2", "k8s-control", "worker-1"):
        home.kube.make_slice("default", "web", [("10.244.1.5", target, True)])
        home.answered_by(ip, target)
        wait(lambda node=target: home.holder(ip) == node, 20, f"the record to name {target}")
    home.kube.make_slice("default", "web", [("10.244.1.5", "worker-1", False)])
    home.silent(ip)


def test_no_node_ports(home):
    ip, _ = home.announced("web", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in home.service("web")["spec"]["ports"][0]
    assert ip == VIP


def test_no_advertisement(home):
    """What costs people an evening is said: on the Service, on the pool, in the log. As it comes, it is announced."""
    home.kube.delete(path("L2Advertisement", NAMESPACE, "default"))
    service = home.serve("web")
    ip = home.address("web")
    event = home.wait_event(service, "noMatchingAdvertisement")
    assert event["type"] == "Warning" and "default-pool" in event["note"] and "L2Advertisement" in event["note"]
    pool = home.kube.get(path("IPAddressPool", NAMESPACE, "default-pool"))
    assert home.wait_event(pool, "noMatchingAdvertisement")["type"] == "Warning"
    line = home.controllers["controller"].wait_log(event="notAnnounced", service="default/web")
    assert line["level"] == "warn" and "default-pool" in line["msg"]
    home.silent(ip)
    home.default_config()
    home.answered_by(ip, home.owner(ip))


def test_excluded_nodes(home):
    """The label keeps a node out, and moves away what it has, without a moment of silence."""
    ip, owner = home.announced("web")
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    asker = home.asker(ip)
    home.kube.patch(path("Node", name=owner), {"metadata": {"labels": {label: ""}}})
    try:
        wait(lambda: home.holder(ip) not in ("", owner), 20, "another owner")
        time.sleep(0.5)
        home.answered_by(ip, home.holder(ip))
        assert asker.stop()[ip]["unanswered"] == 0
    finally:
        home.kube.patch(path("Node", name=owner), {"metadata": {"labels": {label: None}}})


def test_at_rest(home):
    """Nothing happens: no requests but the watches and the leader's renewals."""
    home.announced("web")
    home.announced("local", externalTrafficPolicy="Local")
    users = {f"system:serviceaccount:{NAMESPACE}:{role}" for role in ("controller", "speaker")}
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEADER}"

    def asked():
        return [event for event in home.cluster.audit() if event["user"]["username"] in users]

    def at_rest():
        before = len(asked())
        time.sleep(3)
        return {event["requestURI"] for event in asked()[before:]} <= {leases}
    wait(at_rest, 30, "three quiet seconds")
    before = {event["auditID"] for event in asked()}
    time.sleep(20)
    late = [event for event in asked() if event["auditID"] not in before]
    others = [event for event in late if event["verb"] != "watch"]
    assert {(event["verb"], event["requestURI"]) for event in others} == {("update", leases)}
    assert 4 <= len(others) <= 12
    assert len(late) - len(others) <= 4, "watches are not opened again and again"


def test_l2_statuses(home):
    """Who announces a Service, on which links: written when that changes and never else; a dead node's by its heir."""
    target = path("ServiceL2Status", NAMESPACE)

    def shown():
        """{(service, node): the object}; there is one of each."""
        made = [each for each in home.kube.list(target) if each.get("status")]
        found = {(each["status"]["serviceName"], each["status"]["node"]): each for each in made}
        assert len(found) == len(made)
        return found
    ip = home.place("web", "worker-1")
    other = home.place("other", "worker-2")
    assert home.owner(ip) == "worker-1" and home.owner(other) == "worker-2"
    before = {("web", "worker-1"), ("other", "worker-2")}
    wait(lambda: shown().keys() == before, 30, "a status for each")
    was = shown()
    for (service, node), made in was.items():
        assert made["metadata"]["labels"] == {"metallb.io/node": node, "metallb.io/service-name": service, "metallb.io/service-namespace": "default"}
        assert made["status"] == {"node": node, "serviceName": service, "serviceNamespace": "default", "interfaces": [{"name": "eth0"}]}
    # What nobody's word is any more goes when that node's speaker starts; what is true stays as it is.
    home.kube.create(target, {"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status", "metadata": {
        "name": "l2-stale", "labels": {"metallb.io/node": "worker-1", "metallb.io/service-name": "gone", "metallb.io/service-namespace": "default"}}})
    home.stop(home.speakers["worker-1"])
    home.ready()
    wait(lambda: "l2-stale" not in {each["metadata"]["name"] for each in home.kube.list(target)}, 30, "the stale one to go")
    time.sleep(3)
    assert shown() == was, "a restart writes nothing"
    home.kill9(home.speakers["worker-1"])
    home.lab.cut("worker-1")
    wait(lambda: home.holder(ip) not in ("", "worker-1"), 20, "an heir")
    heir = home.holder(ip)
    wait(lambda: shown().keys() == {("web", heir), ("other", "worker-2")}, 30, "the heir's status, in the place of the dead one's")
    home.lab.restore("worker-1")
    for service in ("web", "other"):
        home.delete(service)
    wait(lambda: not home.kube.list(target), 30, "nothing to be left")


def test_without_crds(assets, tmp_path):
    """--pool, one process for both roles on one node, no namespace metallb-system: records go to kube-system."""
    with HomeLab(nodes=1) as lab:
        control = lab.members["k8s-control"]
        with RealCluster(tmp_path, assets, control.ns, control.ip) as made:
            kube = made.client()
            kube.make_node("k8s-control", control.ip)
            wait(lambda: kube.get(path("Namespace", name="kube-system")), 30, "namespace kube-system")
            running = l2lb.start(lab, "k8s-control", ["run", "--role", "all", "--kubeconfig", made.admin(), "--node-name", "k8s-control",
                                                      "--pool", "192.168.122.100-192.168.122.150,name=flat"],
                                 {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
            line = running.wait_log(event="namespaceMissing")
            assert "metallb-system" in line["msg"] and "kube-system" in line["msg"]
            running.wait_log(event="ready")
            kube.make_slice("default", "web", [("10.244.0.5", "k8s-control", True)])
            kube.make_service("default", "web")
            service = path("Service", "default", "web")
            assert wait(lambda: addresses(kube.get(service)), 20, "an address") == [VIP]
            assert kube.get(service)["metadata"]["annotations"][FROM_POOL] == "flat"
            lease = path("Lease", "kube-system", f"ip-{VIP}")
            assert wait(lambda: kube.get(lease)["spec"].get("holderIdentity"), 20, "an owner") == "k8s-control"
            wait(lambda: [[r["mac"] for r in rs] for rs in wire.ask(lab.ns("client"), VIP)] == [[control.mac]], 20, "an answer")
            assert running.stop() == 0
            assert [line for line in running.logs() if line["level"] == "error"] == []
