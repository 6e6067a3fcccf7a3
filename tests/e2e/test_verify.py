"""l2lb verify and l2lb listen: in the home lab as it should be, and in worlds that are wrong on purpose.

The wrong worlds have records of their own, written by hand in a namespace that no l2lb looks at, and addresses outside of the
pool: so each answer comes from whom and when the test says. Both Debian arpings are asked too: verify must say what they show.
"""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from home import NAMESPACE, VIP, vip, vip_of
from lab import l2lb
from lab.kube import path, wait
from lab.responder import Responder

BY_HAND = "by-hand"
IPS = "metallb.io/loadBalancerIPs"
STRANGER = 77
ENV = {**{key: value for key, value in os.environ.items() if key not in ("KUBECONFIG", "METALLB_NAMESPACE", "HOME")}, "ASAN_OPTIONS": "detect_leaks=0"}
SLOW = 0.1   # seconds: so much later that nobody can take the second for the first, on a busy machine either
REPLY = re.compile(r"\[([0-9A-F:]{17})\]|bytes from ([0-9a-f:]{17})")


def tool(home, *args, member="client", before=(), env=None, ns=None):
    """l2lb ... to its end at a member of the lab: (status, stdout, stderr)."""
    argv = ["ip", "netns", "exec", ns or home.lab.ns(member), *before, l2lb.default_binary(), *map(str, args)]
    done = subprocess.run(argv, env={**ENV, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert "Sanitizer" not in done.stderr and "handlesOpen" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def verify(home, *args, namespace=NAMESPACE, **how):
    """The same as JSON: (status, {address: what is said of it})."""
    config = home.config_of("speaker") if namespace == NAMESPACE else home.cluster.admin()
    status, out, err = tool(home, "verify", "-o", "json", "--kubeconfig", config, "--namespace", namespace, *args, **how)
    assert out, err
    made = json.loads(out)
    assert made["right"] == (status == 0) and made["namespace"] == namespace
    return status, {one["address"]: one for one in made["addresses"]}


def one_line(text, *parts):
    lines = text.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("l2lb: ") and all(part in lines[0] for part in parts), text


# What arping shows

def start_arping(ns, ips, program=("arping",), flags=()):
    """One for each address, all at once: an arping counts only replies for its own."""
    return {ip: subprocess.Popen(["ip", "netns", "exec", ns, *program, *flags, "-c", "3", "-I", "eth0", ip],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for ip in ips}


def shown(running):
    """{address: {mac: replies}}, macs in the order in which they appear."""
    found = {}
    for ip, process in running.items():
        out, _ = process.communicate(timeout=120)
        assert "ARPING" in out, out
        macs = [(a or b).lower() for a, b in REPLY.findall(out)]
        found[ip] = {mac: macs.count(mac) for mac in dict.fromkeys(macs)}
    return found


def said(found, which):
    """What verify says that an arping would show, as shown() gives it."""
    return {ip: {entry["mac"]: entry["replies"] for entry in one["arping"][which]} for ip, one in found.items()}


def same(found, forecast):
    """Also in the order of appearance: who answers first is who is believed. An arping ends when it has heard as much as it wants to
    know: on a busy machine the second one's answer to its last question may come after that."""
    assert {ip: list(macs) for ip, macs in found.items()} == {ip: list(macs) for ip, macs in forecast.items()}
    for ip, macs in forecast.items():
        for place, (mac, replies) in enumerate(macs.items()):
            assert found[ip][mac] == replies or (place > 0 and found[ip][mac] == replies - 1), (ip, found[ip], macs)


@pytest.fixture(scope="module")
def habets():
    """Thomas Habets' arping as a command; unpacked, as its package and iputils-arping exclude each other."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "l2lb" / "arping-habets"
    program = cache / "usr" / "sbin" / "arping"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            for package in ("arping", "libnet1"):
                subprocess.run(["apt-get", "download", package], cwd=cache, capture_output=True, timeout=60, check=True)
                subprocess.run(["dpkg", "-x", str(next(cache.glob(f"{package}_*.deb"))), str(cache)], capture_output=True, timeout=60, check=True)
    if not program.exists():
        pytest.skip("the Debian package arping cannot be fetched from here")
    return ("env", f"LD_LIBRARY_PATH={next(cache.glob('usr/lib/*-linux-gnu'))}", str(program), "-W", "0.3")


# The home network as it should be

def test_all_right(home):
    """Two Services: --all finds both, each answered by its owner and nobody else; the table says so, and arping shows it."""
    first, owner = home.announced("web")
    second, other = home.announced("shop", annotations={IPS: vip_of(home.nodes, next(node for node in home.nodes if node != owner))})
    assert owner != other
    status, out, err = tool(home, "verify", "--all", "--kubeconfig", home.config_of("speaker"))
    assert status == 0 and err == "", out + err
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "ADDRESS" and lines[-1] == "2 addresses: 2 right, 0 wrong"
    for ip, node in ((first, owner), (second, other)):
        mac = home.lab.mac(node)
        row = next(line for line in lines if line.startswith(ip)).split()
        assert row[:6] == [ip, node, mac, node, "eth0", "3/3"] and row[-1] == "ok", row
        assert f"    arping -c 3 -I eth0 {ip} would show 3 replies from {mac}" in lines
    assert "\033" not in out, "colours are for terminals"
    same(shown(start_arping(home.client, [first, second])), {first: {home.lab.mac(owner): 3}, second: {home.lab.mac(other): 3}})


def test_json(home):
    """All facts, under names that stay."""
    ip, owner = home.announced("web")
    mac = home.lab.mac(owner)
    status, found = verify(home, ip)
    one = found[ip]
    rtt = one["answers"][0].pop("rttMs")
    assert status == 0 and 0 < rtt["min"] <= rtt["avg"] <= rtt["max"] < 1000
    assert one == {
        "address": ip, "verdict": "ok", "right": True, "owner": owner, "ownerLink": "eth0", "record": True, "services": ["default/web"],
        "link": "eth0", "questions": 3, "findings": [],
        "answers": [{"mac": mac, "ethernetSource": mac, "node": owner, "nodeLink": "eth0", "saidBy": owner, "link": "eth0", "answers": 3,
                     "answered": 3, "first": 3}],
        "arping": {"text": f"arping -c 3 -I eth0 {ip} would show 3 replies from {mac}", **{
            which: [{"mac": mac, "replies": 3}] for which in ("iputils", "iputilsBroadcast", "habets")}}}


def test_on_the_owner(home):
    """A node does not hear itself: that is said, and is no error. Another node's address can be verified from there."""
    mine = vip_of(home.nodes, "worker-1")
    theirs = vip_of(home.nodes, "worker-2")
    for name, ip, node in (("mine", mine, "worker-1"), ("theirs", theirs, "worker-2")):
        assert home.announced(name, annotations={IPS: ip}) == (ip, node)
    status, found = verify(home, mine, theirs, member="worker-1")
    assert status == 0
    assert found[mine]["verdict"] == "this-node" and "ask from another machine" in found[mine]["findings"][0]["message"]
    assert found[theirs]["verdict"] == "ok"


def test_on_the_hypervisor(home):
    """Its bridge is where it asks, although no node would use a link of that name."""
    ip, owner = home.announced("web")
    status, out, err = tool(home, "verify", "--no-api", ip, ns=home.lab.bridge_ns)
    assert status == 0, err
    row = out.splitlines()[1].split()
    assert row[0] == ip and home.lab.mac(owner) in row and "virbr0" in row and row[-1] == "answered"


def test_a_stranger_in_the_real_world(home):
    """A guest took the address by DHCP while a node announces it: both answer, and it is wrong."""
    ip, owner = home.announced("web")
    with stranger_has(home, ip) as mac:
        status, out, _ = tool(home, "verify", ip, "--kubeconfig", home.config_of("speaker"))
        _, found = verify(home, ip)
    assert status == 1 and "1 address: 0 right, 1 wrong" in out
    assert f"{mac}, which is no node's, answers" in out and "DHCP" in out and "clients believe the first answer" in out
    assert found[ip]["verdict"] == "stranger"
    assert {answer["mac"] for answer in found[ip]["answers"]} == {mac, home.lab.mac(owner)}
    status, found = verify(home, ip)
    assert status == 0 and found[ip]["verdict"] == "ok", "it is gone, and all is right again"


def test_another_namespace(home):
    """Records that are looked for in the wrong place: it says where they are missing."""
    ip, _ = home.announced("web")
    status, out, err = tool(home, "verify", "--all", "--kubeconfig", home.cluster.admin(), "--namespace", "kube-public")
    assert status == 1 and "namespace kube-public has no records of l2lb; --namespace chooses another" in err
    assert f"Service default/web shows it, but there is no Lease ip-{ip}" in out


# Wrong on purpose

@contextlib.contextmanager
def stranger_has(home, ip):
    """A machine on the network, no node, whose kernel has the address: its MAC."""
    if "stranger" not in home.lab.members:
        home.lab.add_member("stranger", STRANGER)
    home.lab.run("stranger", ["ip", "addr", "add", f"{ip}/32", "dev", "eth0"], check=True)
    yield home.lab.mac("stranger")
    home.lab.run("stranger", ["ip", "addr", "del", f"{ip}/32", "dev", "eth0"], check=True)


def lease(name, kind, holder, **annotations):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": holder},
            "metadata": {"name": name, "namespace": BY_HAND, "labels": {"l2lb.io/class": "default", "l2lb.io/record": kind},
                         "annotations": {f"l2lb.io/{key}": value for key, value in annotations.items()}}}


RIGHT, STRANGER_FIRST, PEER_KERNEL, GUARDED, SILENT, NOBODYS, FREE, DUPLICATE, UNKNOWN, TWICE = map(vip, range(200, 210))
HOLDERS = {RIGHT: "worker-1", STRANGER_FIRST: "worker-1", PEER_KERNEL: "worker-1", GUARDED: "worker-1", SILENT: "worker-1", NOBODYS: "",
           DUPLICATE: "worker-1", UNKNOWN: "worker-9", TWICE: "worker-1"}


@pytest.fixture(scope="module")
def worlds(home_cluster):
    """One address for each way to be wrong, all there at once, and what verify says of them: (status, {address: ...})."""
    home, lab = home_cluster, home_cluster.lab
    home.kube.make_namespace(BY_HAND)
    for node in home.nodes:
        links = [{"name": "eth0", "mac": lab.mac(node), "addresses": [f"{lab.ip(node)}/24"]}]
        home.kube.save(lease(f"node-{node}", "node", node, links=json.dumps(links)))
    for ip, holder in HOLDERS.items():
        home.kube.save(lease(f"ip-{ip}", "address", holder, services="shop/web", **({"link": "eth0"} if holder else {})))
    with contextlib.ExitStack() as stack:
        stack.enter_context(Responder(lab, "worker-1", RIGHT))
        stack.enter_context(stranger_has(home, STRANGER_FIRST))
        stack.enter_context(Responder(lab, "worker-1", STRANGER_FIRST, delay=SLOW))
        for ip in (PEER_KERNEL, TWICE):   # as kube-proxy in IPVS mode puts it there without strictARP
            node = "worker-2" if ip == PEER_KERNEL else "worker-1"
            lab.run(node, ["ip", "addr", "add", f"{ip}/32", "dev", "lo"], check=True)
            stack.callback(lab.run, node, ["ip", "addr", "del", f"{ip}/32", "dev", "lo"], check=True)
        stack.enter_context(Responder(lab, "worker-2", GUARDED, mac=lab.mac("worker-1")))
        stack.enter_context(Responder(lab, "worker-1", DUPLICATE))
        stack.enter_context(Responder(lab, "worker-2", DUPLICATE, delay=SLOW))
        stack.enter_context(Responder(lab, "worker-1", TWICE, delay=SLOW))
        yield verify(home, *map(vip, range(200, 210)), namespace=BY_HAND)


@pytest.mark.parametrize("ip, verdict, who, says", [
    (RIGHT, "ok", ["worker-1"], []),
    (STRANGER_FIRST, "stranger", ["stranger", "worker-1"], ["which is no node's, answers first"]),
    (PEER_KERNEL, "wrong-node", ["worker-2"], ["answers, but worker-1 owns it: its kernel has the address", "worker-1 owns it and does not answer, on its link eth0"]),
    (GUARDED, "guarded", ["worker-1"], ["worker-2 guards it: it answers with the MAC of worker-1"]),
    (SILENT, "no-answer", [], ["worker-1 owns it and does not answer"]),
    (NOBODYS, "unowned", [], ["no node is fit to answer for it (shop/web)"]),
    (FREE, "unowned", [], ["nobody answers: it is free"]),
    (DUPLICATE, "duplicate", ["worker-1", "worker-2"], ["worker-2 (02:00:00:00:00:0c) answers (not first) too, and worker-1 owns it"]),
    (UNKNOWN, "unknown-owner", [], ["no Lease node-worker-9"]),
    (TWICE, "duplicate", ["worker-1"], ["worker-1 answers 6 times to 3 questions: its kernel has the address too"]),
], ids=["right", "stranger first", "a peer's kernel", "guarded", "silent", "unowned", "free", "duplicate", "unknown owner", "kernel and speaker"])
def test_worlds(home_cluster, worlds, ip, verdict, who, says):
    one = worlds[1][ip]
    assert one["verdict"] == verdict, one
    assert one["right"] == (verdict in ("ok", "guarded", "unowned"))
    assert [answer["mac"] for answer in one["answers"]] == [home_cluster.lab.mac(name) for name in who]
    assert len(one["findings"]) == len(says) and all(part in found["message"] for part, found in zip(says, one["findings"])), one["findings"]


def test_worlds_are_wrong(worlds):
    status, found = worlds
    assert status == 1 and len(found) == 10
    first = found[STRANGER_FIRST]["answers"]
    assert [answer["first"] for answer in first] == [3, 0], "clients believe the stranger"
    assert first[1]["rttMs"]["min"] >= SLOW * 1000 > first[0]["rttMs"]["min"]
    assert found[GUARDED]["answers"][0]["saidBy"] == "worker-2"


def test_iputils_arping(home_cluster, worlds):
    """What verify says that arping would show is what it shows: asked from two machines, as each sees its own replies only."""
    plain = start_arping(home_cluster.client, worlds[1])
    broadcast = start_arping(home_cluster.lab.ns("ctl"), worlds[1], flags=("-b",))
    same(shown(plain), said(worlds[1], "iputils"))
    same(shown(broadcast), said(worlds[1], "iputilsBroadcast"))


def test_habets_arping(home_cluster, worlds, habets):
    """The other arping: it asks by broadcast always, and names who sent the frame."""
    same(shown(start_arping(home_cluster.client, worlds[1], habets)), said(worlds[1], "habets"))


def test_more_than_a_page(home_cluster):
    """More records than the API server gives at once: the last one is found, too."""
    kube, paged, last = home_cluster.kube, "paged", vip(210)
    kube.make_namespace(paged)
    for name in [*(f"ip-10.9.{n // 100}.{n % 100}" for n in range(500)), f"ip-{last}"]:
        made = lease(name, "address", "worker-1", services="shop/web")
        made["metadata"]["namespace"] = paged
        kube.create(path("Lease", paged), made)
    _, found = verify(home_cluster, last, namespace=paged)
    assert found[last]["record"] and found[last]["owner"] == "worker-1" and found[last]["verdict"] == "unknown-owner"


# What keeps it from finding out

def test_no_api(home):
    """No API server, no kubeconfig: status 3 and one line that names the way out; --no-api is that way."""
    status, out, err = tool(home, "verify", VIP, "--kubeconfig", home.config_of("speaker"), "--api-server", "https://127.0.0.1:1")
    assert status == 3 and out == ""
    one_line(err, "127.0.0.1 port 1", "--no-api")
    status, out, err = tool(home, "verify", VIP)
    assert status == 3 and out == ""
    one_line(err, "no kubeconfig", "--no-api")
    home.silent(VIP)
    status, out, _ = tool(home, "verify", "--no-api", "--timeout", "200ms", VIP)
    assert status == 1 and "nobody answers on eth0" in out


def test_nowhere_to_print(home):
    """A report that nobody could read is no success."""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = home.lab.run("client", [l2lb.default_binary(), "verify", "--no-api", home.lab.ip("worker-1")], env=ENV, capture_output=False,
                            stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    one_line(done.stderr, "standard output", "No space left")


def test_not_allowed(home):
    """Records that this user may not read."""
    nobody = home.cluster.kubeconfig("somebody-else")
    status, out, err = tool(home, "verify", VIP, "--kubeconfig", nobody)
    assert status == 3 and out == ""
    one_line(err, "leases", "forbidden", "--no-api")


@pytest.mark.parametrize("command", ["verify", "listen"])
def test_no_capability(home, command):
    what = [VIP] if command == "verify" else []
    status, out, err = tool(home, command, "--no-api", *what, before=["setpriv", "--bounding-set", "-net_raw", "--no-new-privs"])
    assert status == 3 and out == ""
    one_line(err, "CAP_NET_RAW", "eth0")


@pytest.mark.parametrize("args, status, parts", [
    (["192.168.122.300"], 2, ["192.168.122.300", "is not an address"]),
    (["fd00::100"], 2, ["fd00::100", "NDP"]),
    ([], 2, ["--all"]),
    ([VIP, "--kubeconfig", "/no/such/file"], 2, ["--kubeconfig", "/no/such/file"]),
    ([VIP, "--no-api", "--interface", "eth7"], 3, ["eth7", "does not exist"]),
    ([VIP, "--no-api", "--interface", "lo"], 3, ["lo", "not Ethernet"]),
    ([VIP, "--no-api", "--interface", "bare0"], 3, ["bare0", "no IPv4 address", "ARP probe"]),
])
def test_refused(home, args, status, parts):
    if "bare0" in args:   # a link that works and has no address
        home.lab.run("client", ["ip", "link", "add", "bare0", "type", "veth", "peer", "name", "bare1"], check=True)
        for end in ("bare0", "bare1"):
            home.lab.run("client", ["ip", "link", "set", end, "up"], check=True)
    code, out, err = tool(home, "verify", *args)
    home.lab.run("client", ["ip", "link", "del", "bare0"])
    assert code == status and out == ""
    one_line(err, *parts)


# listen

@contextlib.contextmanager
def listening(home, tmp_path, *args, member="client"):
    running = l2lb.start(home.lab, member, ["listen", *args], {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "listen")
    wait(lambda: "listening on eth0" in running.text(), 30, "it to listen")
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0
    assert "Sanitizer" not in running.text() and "handlesOpen" not in running.text(), running.text()


def test_listen(home, tmp_path):
    """An announcement, a question and a probe, each in words, with the node's name; nothing about other addresses."""
    with listening(home, tmp_path, "--pool", "192.168.122.100-192.168.122.150", "--kubeconfig", home.config_of("speaker")) as running:
        ip, owner = home.announced("web")
        mac = home.lab.mac(owner)
        home.lab.run("ctl", ["arping", "-c", "1", "-w", "1", "-I", "eth0", ip])
        home.lab.run("ctl", ["arping", "-D", "-c", "1", "-w", "1", "-I", "eth0", ip])
        home.lab.run("ctl", ["arping", "-c", "1", "-w", "1", "-I", "eth0", home.lab.ip("worker-1")])
        told = (f"announcement {ip} is at {mac} ({owner}) (to all, as a request)", f"announcement {ip} is at {mac} ({owner}) (to all, as a reply)",
                f"request      192.168.122.60 at {home.lab.mac('ctl')} asks for {ip}", f"probe        {home.lab.mac('ctl')} wants to take {ip}")
        for line in told:
            wait(lambda: line in running.text(), 20, f"\"{line}\" in\n{running.text()}")
        lines = running.text().splitlines()[1:]
        assert all("192.168.122.1" in line and " eth0 " in line for line in lines)
        assert not any(f"asks for {home.lab.ip('worker-1')}" in line for line in lines)


def test_listen_on_a_node(home, tmp_path):
    """Liveness is told from questions, as the names of nodes are known; --count ends it; JSON, a frame a line."""
    with listening(home, tmp_path, "--count", "20", "-o", "json", "--kubeconfig", home.config_of("speaker"), member="worker-1") as running:
        assert running.process.wait(60) == 0
        frames = [entry for entry in running.logs() if "kind" in entry]
    assert len(frames) == 20
    assert {"liveness"} <= {frame["kind"] for frame in frames} and all(frame["interface"] == "eth0" for frame in frames)
    alive = next(frame for frame in frames if frame["kind"] == "liveness")
    assert alive["senderNode"] in ("k8s-control", "worker-2") and alive["senderMac"] == home.lab.mac(alive["senderNode"])
    assert set(alive) == {"time", "interface", "kind", "operation", "senderAddress", "senderMac", "senderNode", "targetAddress", "targetMac",
                          "ethernetSource", "ethernetSourceNode", "ethernetDestination"}


def test_listen_without_names(home, tmp_path):
    """The API server is away: it says so, and listens."""
    with listening(home, tmp_path, "--duration", "4s", "--kubeconfig", home.config_of("speaker"), "--api-server", "https://127.0.0.1:1") as running:
        assert "no names of nodes: " in running.text()
        home.lab.run("ctl", ["arping", "-c", "1", "-w", "1", "-I", "eth0", VIP])
        assert running.process.wait(60) == 0
        assert f"{home.lab.mac('ctl')} asks for {VIP}" in running.text()
