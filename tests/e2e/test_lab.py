"""The lab itself: what the other tests rely on."""

import errno
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from lab import l2lb, proc, wire
from lab.kube import ApiError, Kube, path, wait
from lab.netlab import HomeLab

TESTS = Path(__file__).resolve().parents[1]
VIP = "192.168.122.100"


def macs(ns, ip):
    return [[reply["mac"] for reply in replies]
            for replies in wire.ask(ns, ip, count=1, timeout=0.5)]


def reachable(ns, ip):
    """Whether a machine is there: it refuses a connection to a port nobody serves."""
    with proc.inside(ns), socket.socket() as probe:
        probe.settimeout(10)
        return probe.connect_ex((ip, 9)) == errno.ECONNREFUSED


def test_members_reach_each_other(lab):
    assert macs(lab.ns("client"), lab.ip("worker-1")) == [[lab.mac("worker-1")]]
    assert reachable(lab.ns("ctl"), lab.ip("k8s-control"))


def test_nobody_answers_for_a_foreign_address(lab):
    assert macs(lab.ns("client"), VIP) == [[]]


def test_cut_and_restore(lab):
    client = lab.ns("client")
    for quiet in (False, True):
        lab.cut("worker-2", quiet=quiet)
        assert macs(client, lab.ip("worker-2")) == [[]]
        lab.restore("worker-2")
        assert macs(client, lab.ip("worker-2")) == [[lab.mac("worker-2")]]


def test_a_node_accepts_a_vip_silently(lab):
    lab.accept_vip("worker-1", VIP)
    assert macs(lab.ns("client"), VIP) == [[]]
    # With a neighbour entry by hand its traffic arrives and is answered.
    lab.run("client", ["ip", "neigh", "add", VIP, "lladdr", lab.mac("worker-1"), "dev", "eth0"])
    assert reachable(lab.ns("client"), VIP)


def test_asker_keeps_its_rate_and_sees_changes(lab):
    """An address moves from one node to another: one gap, two owners in turn."""
    lab.run("worker-1", ["ip", "addr", "add", VIP + "/32", "dev", "eth0"])
    asker = wire.Asker(lab.ns("client"), [VIP], hz=500)
    time.sleep(1)
    lab.run("worker-1", ["ip", "addr", "del", VIP + "/32", "dev", "eth0"])
    time.sleep(0.3)
    lab.run("worker-2", ["ip", "addr", "add", VIP + "/32", "dev", "eth0"])
    time.sleep(1)
    seen = asker.stop()[VIP]
    # A busy machine has some of the processor for it.
    assert seen["asked"] > 2.3 * 500 * 0.2
    assert [mac for _, mac in seen["changes"]] == [lab.mac("worker-1"), lab.mac("worker-2")]
    assert 300 <= seen["longest_gap_ms"] < 3000
    assert seen["unanswered"] >= 0.3 * 500 * 0.1
    assert seen["doubles"] == []


def test_asker_sees_two_owners(lab):
    for node in ("worker-1", "worker-2"):
        lab.run(node, ["ip", "addr", "add", VIP + "/32", "dev", "eth0"])
    asker = wire.Asker(lab.ns("client"), [VIP], hz=100,
                       senders=["192.168.122.200", "192.168.122.201"])
    time.sleep(0.5)
    doubles = asker.stop()[VIP]["doubles"]
    both = sorted([lab.mac("worker-1"), lab.mac("worker-2")])
    assert doubles and all(double["macs"] == both for double in doubles)


def test_sniffer_and_injection(lab, tmp_path):
    sniffer = wire.Sniffer(lab.ns("client"), tmp_path / "arp.jsonl")
    mac = lab.mac("worker-1")
    wire.send(lab.ns("worker-1"), wire.arp_frame(wire.REPLY, mac, VIP, mac, VIP))
    frames = wait(sniffer.frames, 20, "the announcement")
    sniffer.stop()
    assert frames[0]["eth_src"] == frames[0]["sha"] == frames[0]["tha"] == mac
    assert frames[0]["spa"] == frames[0]["tpa"] == VIP
    assert frames[0]["op"] == wire.REPLY and not frames[0]["out"]


def test_a_second_network_card(lab):
    lab.add_bridge("data0", "10.9.0.1/24")
    lab.plug("worker-1", "eth1", "10.9.0.11/24", "02:00:00:00:01:0b", "data0")
    assert reachable(lab.ns("worker-1"), "10.9.0.1")


def test_program_under_test(lab, tmp_path):
    """A shell script stands in for l2lb."""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "not json" >&2\n'
                       'echo "{\\"event\\": \\"started\\", \\"arg\\": \\"$1\\"}" >&2\n'
                       "exec sleep 60\n")
    program.chmod(0o755)
    running = l2lb.start(lab, "worker-1", ["hello"], log=tmp_path / "log", binary=program)
    assert running.wait_log(event="started")["arg"] == "hello"
    running.pause()
    assert running.stop() == -signal.SIGTERM


def test_nothing_is_left_behind():
    """A test process which is terminated takes its namespaces and children along."""
    script = ("from lab.netlab import HomeLab\nimport time\n"
              "lab = HomeLab('l2lbx', nodes=1)\n"
              "print(lab.exec('client', ['sleep', '1000']).pid, flush=True)\ntime.sleep(60)\n")
    child = subprocess.Popen([sys.executable, "-c", script], cwd=TESTS,
                             stdout=subprocess.PIPE, text=True)
    sleeper = int(child.stdout.readline())
    assert f"l2lbx-{child.pid}-" in namespaces()
    child.terminate()
    child.communicate(timeout=60)
    assert f"l2lbx-{child.pid}-" not in namespaces()
    assert not Path(f"/proc/{sleeper}").exists()


def test_a_killed_test_is_swept_up_by_the_next():
    script = ("from lab.netlab import HomeLab\nimport time\n"
              "lab = HomeLab('l2lby', nodes=1)\nprint('up', flush=True)\ntime.sleep(60)\n")
    child = subprocess.Popen([sys.executable, "-c", script], cwd=TESTS,
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    assert f"l2lby-{child.pid}-" in namespaces()
    child.kill()
    child.communicate(timeout=60)
    with HomeLab("l2lby", nodes=1):
        assert f"l2lby-{child.pid}-" not in namespaces()


def namespaces():
    return subprocess.run(["ip", "netns", "list"], text=True, capture_output=True,
                          check=True).stdout


def test_cluster_serves_the_objects_of_a_load_balancer(cluster):
    kube = cluster.client()
    kube.make_node("node-1", "192.0.2.11", labels={"zone": "a"})
    node = kube.get(path("Node", name="node-1"))
    assert "taints" not in node["spec"]
    assert node["status"]["conditions"][0]["status"] == "True"
    kube.make_namespace("objects")
    service = kube.make_service("objects", "web", externalTrafficPolicy="Local")
    assert service["spec"]["clusterIP"].startswith("10.")
    kube.make_slice("objects", "web", [("10.244.1.5", "node-1", True)], port=8080)
    kube.save({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
               "metadata": {"name": "l2lb", "namespace": "objects"},
               "spec": {"holderIdentity": "a"}})
    assert [lease["metadata"]["name"]
            for lease in kube.list(path("Lease", "objects"))] == ["l2lb"]
    kube.make_service("objects", "web", annotations={"a": "b"})   # replaces
    assert kube.get(path("Service", "objects", "web"))["metadata"]["annotations"] == {"a": "b"}


def test_cluster_applies_yaml_and_watches(cluster):
    kube = cluster.client()
    kube.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: applied}\n---\n"
               "apiVersion: v1\nkind: ConfigMap\n"
               "metadata: {name: c, namespace: applied}\ndata: {a: b}\n")
    target = path("ConfigMap", "applied")
    version = kube.get(target)["metadata"]["resourceVersion"]
    kube.patch(target + "/c", {"data": {"a": None, "c": "d"}})
    kube.delete(target + "/c")
    events = [(kind, obj.get("data")) for kind, obj in kube.watch(target, version, timeout=1)
              if kind != "BOOKMARK"]
    assert events == [("MODIFIED", {"c": "d"}), ("DELETED", {"c": "d"})]


def test_cluster_knows_its_users(cluster):
    nobody = cluster.client(cluster.kubeconfig("nobody"))
    assert refusal(nobody) == 403
    expired = cluster.make_client_cert("admin", ["system:masters"], expired=True)
    assert refusal(Kube(cluster.kubeconfig("late", cert=expired))) == 401
    foreign = cluster.make_client_cert("admin", ["system:masters"],
                                       authority=cluster.other_authority())
    assert refusal(Kube(cluster.kubeconfig("foreign", cert=foreign))) == 401
    assert [event["verb"] for event in cluster.audit("nobody")] == ["list"]


def refusal(kube):
    try:
        kube.list(path("Service"))
    except ApiError as error:
        return error.status
    return None


def test_cluster_restarts_and_hangs(cluster):
    kube = cluster.client()
    cluster.stop_apiserver(signal.SIGKILL)
    cluster.start_apiserver()
    assert kube.get("/readyz") == "ok"
    cluster.pause()
    try:
        cluster.client(timeout=1).get("/readyz")
        raise AssertionError("a paused server answered")
    except TimeoutError:
        pass
    finally:
        cluster.resume()
    assert kube.get("/readyz") == "ok"
