"""What users, networks and servers get wrong: said in one line with the remedy, and everything else goes on."""

import re
import signal
import subprocess
import sys
import time

import pytest

from home import DEPLOY, NAMESPACE, ROOT, VIP, addresses, binary_is_sanitized, vip
from lab import l2lb, proc, wire
from lab.kube import ApiError, Kube, path, wait
from lab.netlab import HomeLab

POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: {name}, namespace: metallb-system}}
spec: {{addresses: ["{addresses}"]}}
"""
# What the API server cannot see to be wrong: entries that overlap.
OVERLAP = '192.168.122.170-192.168.122.180", "192.168.122.180/32'


def run(tmp_path, *args, env=None, netns=None, timeout=60):
    """l2lb run ... to its end: (exit code, what it wrote)."""
    log = tmp_path / "run.log"
    log.unlink(missing_ok=True)
    running = l2lb.start(None, None, ["run", *args], {"ASAN_OPTIONS": "detect_leaks=0", **(env or {})}, log)
    try:
        code = running.process.wait(timeout)
    except subprocess.TimeoutExpired:
        running.kill9()
        raise AssertionError(f"it goes on:\n{running.text()}") from None
    return code, running.text()


def one_line(text, *parts):
    lines = text.strip().splitlines()
    assert len(lines) == 1 and all(part in lines[0] for part in parts), text


# Flags and files

@pytest.mark.parametrize("args, flag", [
    ([], "--role"),
    (["--role", "boss"], "--role"),
    (["--role", "speaker"], "--node-name"),
    (["--role", "controller", "--no-such-flag"], "--no-such-flag"),
    (["--role", "controller", "--kubeconfig"], "--kubeconfig"),
    (["--role", "controller", "--pool", "192.168.122.150-192.168.122.100"], "--pool"),
    (["--role", "controller", "--pool", "192.168.122.300"], "--pool"),
    (["--role", "controller", "--liveness-interval", "1ms"], "--liveness-interval"),
    (["--role", "controller", "--api-stall-timeout", "soon"], "--api-stall-timeout"),
    (["--role", "controller", "--log-level", "loud"], "--log-level"),
    (["--role", "controller", "--namespace", "Metal_LB"], "--namespace"),
    (["--role", "controller", "extra"], "extra"),
])
def test_flags(tmp_path, args, flag):
    code, text = run(tmp_path, *args)
    assert code == 2
    one_line(text, "l2lb: ", flag)


def kubeconfig(tmp_path, text):
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", [
    "", "{", "apiVersion: v1\nkind: Config\n", "\0\1\2\3" * 100, "- a\n- b\n", "a: &a [*a, *a]\n" * 3,
    "apiVersion: v1\nkind: Config\ncurrent-context: gone\ncontexts: []\nclusters: []\nusers: []\n",
    "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: '!!!'}}]\nusers: [{name: u, user: {}}]\n",
    "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    "clusters: [{name: k, cluster: {server: 'ftp://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n",
], ids=["empty", "broken yaml", "no context", "binary", "a list", "aliases", "context missing", "bad base64", "bad url"])
def test_broken_kubeconfig(tmp_path, text):
    code, said = run(tmp_path, "--role", "controller", "--kubeconfig", kubeconfig(tmp_path, text))
    assert code == 2
    one_line(said, "--kubeconfig")


def test_unreadable_kubeconfig(tmp_path):
    code, said = run(tmp_path, "--role", "controller", "--kubeconfig", tmp_path / "absent")
    assert code == 2
    one_line(said, "--kubeconfig", "absent")
    code, said = run(tmp_path, "--role", "controller", "--kubeconfig", tmp_path)
    assert code == 2
    one_line(said, "--kubeconfig", str(tmp_path))


def test_namespace_missing(home, tmp_path):
    log = tmp_path / "log"
    running = l2lb.start(home.lab, "ctl", ["run", "--role", "controller", "--kubeconfig", home.config_of("controller"), "--namespace", "nowhere",
                                             "--port=0", "--health-probe-port=0"],   # the home's controller has them
                         {"ASAN_OPTIONS": "detect_leaks=0"}, log)
    assert running.process.wait(60) == 3
    one_line(running.text(), "nowhere", "kubectl create namespace nowhere", "--namespace")


# Objects

def test_pool_the_wrong_way_round(home):
    """The API server refuses it, with the remedy."""
    with pytest.raises(ApiError, match="start IP 192.168.122.180 is after the end IP 192.168.122.170; swap them"):
        home.kube.apply(POOL.format(name="reversed", addresses="192.168.122.180-192.168.122.170"))


def test_pool_that_overlaps_itself(home):
    """It is refused by name and with the remedy; the other pools serve on, and corrected it serves too."""
    home.kube.apply(POOL.format(name="doubled", addresses=OVERLAP))
    line = home.controllers["controller"].wait_log(event="invalidObject", object=f"{NAMESPACE}/doubled")
    assert line["level"] == "error" and "doubled" in line["msg"] and "192.168.122.180" in line["msg"]
    assert "\n" not in line["msg"]
    pool = home.kube.get(path("IPAddressPool", NAMESPACE, "doubled"))
    assert home.wait_event(pool, "InvalidConfiguration")["type"] == "Warning"
    assert home.announced("web")[0] == VIP
    home.kube.apply(POOL.format(name="doubled", addresses="192.168.122.170-192.168.122.180"))
    home.serve("second", annotations={"metallb.io/address-pool": "doubled"})
    assert home.address("second") == vip(170)


def test_default_pool_broken_while_in_use(home):
    """A pool in use gets nonsense: what has an address keeps it and is answered for."""
    ip, owner = home.announced("web")
    home.kube.apply(POOL.format(name="default-pool", addresses=OVERLAP))
    home.controllers["controller"].wait_log(event="invalidObject", object=f"{NAMESPACE}/default-pool")
    time.sleep(0.5)
    assert home.address("web") == ip
    home.answered_by(ip, owner)


def test_pools_overlap(home):
    """The older one stays in use; the other is refused by name."""
    home.kube.apply(POOL.format(name="second", addresses="192.168.122.140-192.168.122.160"))
    pool = home.kube.get(path("IPAddressPool", NAMESPACE, "second"))
    note = home.wait_event(pool, "InvalidConfiguration")["note"]
    assert "second" in note and "default-pool" in note
    service = home.serve("web", annotations={"metallb.io/address-pool": "second"})
    assert "second" in home.wait_event(service, "AllocationFailed")["note"]


def test_unknown_node(home, tmp_path):
    """A speaker with a wrong --node-name says so, and never answers."""
    ip, owner = home.announced("web")
    home.lab.add_member("stray", 77) if "stray" not in home.lab.members else None
    running = l2lb.start(home.lab, "stray", ["run", "--role", "speaker", "--kubeconfig", home.config_of("speaker"), "--node-name", "wroker-1"],
                         {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
    line = running.wait_log(event="nodeUnknown")
    assert line["level"] == "error" and "wroker-1" in line["msg"] and "--node-name" in line["msg"]
    home.lab.cut(owner)   # not its speaker alone: then a neighbour would guard the address for it
    heir = wait(lambda: home.holder(ip) not in ("", owner) and home.holder(ip), 20, "another owner")
    assert heir in home.nodes
    home.answered_by(ip, heir)
    assert running.stop() == 0
    assert not [line for line in running.logs() if line["event"] == "serviceAnnounced"]
    assert home.kube.exists(path("Lease", NAMESPACE, "node-wroker-1")) is None


# The wire

def arp_bytes(home, **change):
    fields = {"op": wire.REQUEST, "sha": home.lab.members["client"].mac, "spa": home.lab.ip("client"), "tha": wire.NO_MAC, "tpa": VIP}
    return wire.arp_frame(**{**fields, **change})


def test_strange_frames(home):
    """Truncated, oversized, with lengths that lie: ignored; whoever asks well is answered on."""
    ip, owner = home.announced("web")
    good = arp_bytes(home)
    client = home.lab.members["client"].mac
    frames = [good[:n] for n in (15, 20, 28, 41)]
    frames += [good + b"\xff" * (1514 - len(good)), good + b"\0" * 18]
    for offset, values in ((14, (b"\0\0", b"\xff\xff")), (16, (b"\x86\xdd", b"\0\0")), (18, (b"\0", b"\xff", b"\x07")),
                           (19, (b"\0", b"\xff", b"\x10")), (20, (b"\0\0", b"\xff\xff", b"\0\x03"))):
        frames += [good[:offset] + value + good[offset + len(value):] for value in values]
    # A reply nobody asked for, broadcast senders, our own address as the sender's.
    frames += [arp_bytes(home, op=wire.REPLY), arp_bytes(home, sha=wire.BROADCAST), arp_bytes(home, sha=wire.NO_MAC, spa="0.0.0.0"),
               arp_bytes(home, spa="255.255.255.255"), arp_bytes(home, eth_src=client, sha="02:00:00:00:00:99")]
    asker = home.asker(ip, hz=200)
    for _ in range(3):
        for frame in frames:
            wire.send(home.client, frame)
    seen = asker.stop()[ip]
    assert seen["unanswered"] == 0 and seen["doubles"] == [] and len(seen["changes"]) == 1, seen
    home.answered_by(ip, owner)


def test_a_stranger_claims_the_address(home, tmp_path):
    """Another host announces it as its own: it is kept, defended and reported, and not at any rate."""
    ip, owner = home.announced("web")
    stranger, mac = "02:00:00:00:00:66", home.lab.mac(owner)
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    for _ in range(20):
        wire.send(home.client, wire.arp_frame(wire.REPLY, stranger, ip, stranger, ip))
    line = home.speakers[owner].wait_log(event="addressConflict", ip=ip)
    assert line["mac"] == stranger and line["level"] == "warn"

    def defences():
        return [f for f in sniffer.frames() if f["spa"] == f["tpa"] == ip and f["sha"] == mac and f["eth_dst"] == wire.BROADCAST]
    wait(defences, 10, "a defence")
    time.sleep(0.5)
    sniffer.stop()
    assert len(defences()) <= 8, "defended, but no storm"
    home.answered_by(ip, owner)


# The API server

def test_half_a_line_and_silence(tmp_path):
    """The server sends half an event and stalls: noticed after --api-stall-timeout, and the work goes on."""
    with HomeLab(nodes=1) as lab:
        folder = tmp_path / "standin"
        folder.mkdir()
        node = lab.nodes[0]
        server = lab.exec(node, [sys.executable, ROOT / "tests/standin/apiserver.py", "--listen", f"{lab.ip(node)}:6443", "--dir", folder,
                                 "--bookmark-interval", "1"], stdout=subprocess.DEVNULL)
        wait(lambda: (folder / "kubeconfig").exists(), 30, "the stand-in's kubeconfig")
        kube = Kube(folder / "kubeconfig", netns=lab.ns(node))
        wait(lambda: kube.get("/readyz") or True, 30, "the stand-in")
        kube.make_namespace(NAMESPACE)
        kube.make_node(node, lab.ip(node))
        for file in ("crds/ipaddresspools.yaml", "crds/l2advertisements.yaml", "home/pool.yaml", "home/l2advertisement.yaml"):
            kube.apply((DEPLOY / file).read_text())
        running = l2lb.start(lab, node, ["run", "--role", "all", "--kubeconfig", folder / "kubeconfig", "--node-name", node,
                                         "--api-stall-timeout", "2s"], {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
        running.wait_log(event="ready")
        running.wait_log(event="leading")
        kube.make_service("default", "web")
        kube.make_slice("default", "web", [("10.244.0.5", node, True)])
        wait(lambda: addresses(kube.get(path("Service", "default", "web"))), 20, "an address")
        for resource in ("services", "leases", "endpointslices"):
            fault = kube.request("POST", "/_standin/faults", {"kind": "half-line", "match": f"/{resource}.*watch"})
            assert fault["watches"] >= 1
            name = f"after-{resource}"
            # The event of this one is the half line; the watch must come back to see it.
            kube.make_service("default", name)
            kube.make_slice("default", name, [("10.244.0.5", node, True)])
            ip = wait(lambda made=name: addresses(kube.get(path("Service", "default", made))), 30, f"an address for {name}")[0]
            lease = path("Lease", NAMESPACE, f"ip-{ip}")
            assert wait(lambda at=lease: kube.get(at)["spec"].get("holderIdentity"), 30, f"an owner of {ip}") == node
            wait(lambda asked=ip: [[r["mac"] for r in rs] for rs in wire.ask(lab.ns("client"), asked)] == [[lab.mac(node)]], 30, f"{ip} to be answered")
        assert running.stop() == 0
        proc.end(server, signal.SIGTERM)


@pytest.mark.skipif(binary_is_sanitized(), reason="valgrind cannot run a binary built with ASan")
def test_valgrind(home, tmp_path):
    """A whole life of both roles under valgrind: Services, a takeover, an API server that goes and comes back, SIGTERM."""
    valgrind = ["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite", "-q"]
    home.stop(home.controllers["controller"])
    home.stop(home.speakers["worker-1"])
    controller = l2lb.start(home.lab, "ctl", [*valgrind, l2lb.default_binary(), "run", "--role", "controller",
                                              "--kubeconfig", home.config_of("controller")],
                            {"METALLB_POD_NAME": "controller", "POD_UID": "valgrind"}, tmp_path / "controller.log", binary="valgrind")
    speaker = l2lb.start(home.lab, "worker-1", [*valgrind, l2lb.default_binary(), "run", "--role", "speaker", "--node-name", "worker-1",
                                                "--kubeconfig", home.config_of("speaker")], {}, tmp_path / "speaker.log", binary="valgrind")
    speaker.wait_log(event="ready", timeout=120)
    controller.wait_log(event="leading", timeout=120)
    names = [f"web{n}" for n in range(6)]
    for name in names:
        home.serve(name, externalTrafficPolicy="Local")   # all of them on worker-1
    ips = [home.address(name, 60) for name in names]
    for ip in ips:
        wait(lambda asked=ip: home.macs(asked, 1) == {home.lab.mac("worker-1")}, 60, f"worker-1 to answer for {ip}")
    home.kube.make_slice("default", "web0", [("10.244.1.5", "worker-2", True)])
    home.answered_by(ips[0], "worker-2", 60)
    home.delete("web1")
    home.serve("bad", annotations={"metallb.io/loadBalancerIPs": "nonsense"})
    home.kube.apply(POOL.format(name="doubled", addresses=OVERLAP))
    controller.wait_log(event="invalidObject", timeout=60)
    home.stop_api()
    time.sleep(2)
    home.start_api()
    home.serve("new", externalTrafficPolicy="Local")
    home.answered_by(home.address("new", 60), "worker-1", 60)
    for running in (speaker, controller):
        assert running.stop(60) == 0, running.text()[-6000:]
        reports = re.findall(r"^==\d+== .*", running.text(), re.M)
        assert reports == [], "\n".join(reports)
