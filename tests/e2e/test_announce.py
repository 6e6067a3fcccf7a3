"""Announcements that have it hard: a DHCP server on the pool, a stale switch, a flood, deaf hosts, five hundred at once, a cap."""

import concurrent.futures
import contextlib
import itertools
import socket
import subprocess
import sys
import time

import pytest

from home import DEPLOY, NAMESPACE, ROOT, TAKEOVER_MS, Home, vip
from lab import dhcp, l2lb, proc, wire
from lab.kube import Kube, path, wait
from lab.netlab import BRIDGE, HomeLab

IPS = "metallb.io/loadBalancerIPs"


def served(home, number):
    """A Service: its address (one for each test, that nobody remembers from another) and the node that has it."""
    return home.announced("web", annotations={IPS: vip(number)})


def guest(home):
    """One more machine on the network, without an address: its namespace and MAC."""
    if "guest" not in home.lab.members:
        home.lab.add_member("guest", 70)
        home.lab.run("guest", ["ip", "addr", "flush", "dev", "eth0"], check=True)
    return home.lab.ns("guest"), home.lab.mac("guest")


def run_in(ns, *argv):
    return subprocess.run(["ip", "netns", "exec", ns, *argv], text=True, capture_output=True, check=True).stdout


def neighbour(ns, ip, interface="eth0"):
    """The MAC that a machine has for an address."""
    words = run_in(ns, "ip", "neigh", "show", ip, "dev", interface).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None


def meet(ns, ip, interface="eth0"):
    """A machine sends to an address, and so knows its MAC: the MAC."""
    with proc.inside(ns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(b"hello", (ip, 9))
    return wait(lambda: neighbour(ns, ip, interface), 15, f"a neighbour entry for {ip}")


def announcements(frames, ip, mac):
    """The broadcast ones, of either form, from this MAC."""
    return [f for f in frames if f["spa"] == f["tpa"] == ip and f["sha"] == mac and f["eth_dst"] == wire.BROADCAST]


def heir_of(home, ip, owner):
    """Who has the address instead."""
    return wait(lambda: home.holder(ip) not in ("", owner) and home.holder(ip), 20, f"another owner of {ip}")


# A DHCP server whose range covers the pool, as in the first user's network

@contextlib.contextmanager
def dnsmasq(home, folder):
    """The real one, on the bridge, with what libvirt tells it."""
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", f"--interface={BRIDGE}", "--bind-interfaces",
            "--dhcp-range=192.168.122.2,192.168.122.254,255.255.255.0", "--dhcp-no-override", "--dhcp-authoritative",
            f"--dhcp-leasefile={folder}/leases", "--pid-file=", "--user=root", "--log-facility=-", "--log-dhcp"]
    with open(folder / "dnsmasq.log", "wb") as log:
        server = proc.spawn(argv, home.lab.bridge_ns, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait(lambda: "IP range" in (folder / "dnsmasq.log").read_text(), 30, "dnsmasq")
        yield server
    finally:
        proc.end(server)


@contextlib.contextmanager
def neighbours_watched(ns, log):
    """Each change of the neighbour table is a line of the file."""
    with open(log, "wb") as output:
        monitor = proc.spawn(["stdbuf", "-oL", "ip", "monitor", "neigh"], ns, stdout=output)
    changes = itertools.count(1)

    def listens():
        run_in(ns, "ip", "neigh", "replace", "192.168.122.254", "lladdr", f"02:00:00:99:00:{next(changes):02x}", "dev", BRIDGE, "nud", "stale")
        return "192.168.122.254" in log.read_text()
    try:
        wait(listens, 10, "the monitor to see changes")
        run_in(ns, "ip", "neigh", "del", "192.168.122.254", "dev", BRIDGE)
        yield
    finally:
        proc.end(monitor)


def stays_wrong(host, ip, mac):
    run_in(host, "ip", "neigh", "replace", ip, "lladdr", mac, "dev", BRIDGE, "nud", "delay")
    time.sleep(2)
    return neighbour(host, ip, BRIDGE) == mac


def test_dhcp_server_hands_out_our_address(home, tmp_path):
    """It writes the guest's MAC into the host's neighbour entry. The guest's probe is answered, and the host hears it too."""
    ip, owner = served(home, 110)
    host, mac = home.lab.bridge_ns, home.lab.mac(owner)
    guest_ns, guest_mac = guest(home)
    assert meet(host, ip, BRIDGE) == mac
    log = tmp_path / "neighbours"
    time.sleep(2.5)   # the server tries the address for 3 s before it offers it: then the schedule has ended
    with dnsmasq(home, tmp_path), neighbours_watched(host, log):
        story = dhcp.get(guest_ns, ip, timeout=30)
        assert story["mac"] == mac, "the probe is answered by who has the address"
        wait(lambda: neighbour(host, ip, BRIDGE) == mac, 15, "the host to have the right entry again")
        changes = [line.split() for line in log.read_text().splitlines() if line.startswith(ip) and "lladdr" in line]
    macs = [words[words.index("lladdr") + 1] for words in changes]
    assert guest_mac in macs and macs[-1] == mac, "the server did overwrite it, and then it was put right"
    # It is the probe that does it: such an entry that nobody probes for stays wrong. (The second try: a refresh came.)
    assert stays_wrong(host, ip, guest_mac) or stays_wrong(host, ip, guest_mac)
    wire.send(guest_ns, wire.arp_frame(wire.REQUEST, guest_mac, "0.0.0.0", wire.NO_MAC, ip))
    wait(lambda: neighbour(host, ip, BRIDGE) == mac, 15, "the host to have the right entry again")
    home.answered_by(ip, owner)


def test_many_probes(home, tmp_path):
    """Each is answered, and at most one announcement per second goes with them."""
    ip, owner = served(home, 111)
    guest_ns, guest_mac = guest(home)
    mac = home.lab.mac(owner)
    time.sleep(2.3)   # between two steps of the schedule, which are 3 s apart
    sniffer = wire.Sniffer(guest_ns, tmp_path / "arp.jsonl", about=ip)
    probe = wire.arp_frame(wire.REQUEST, guest_mac, "0.0.0.0", wire.NO_MAC, ip)

    def answers():
        return [f for f in sniffer.frames() if f["op"] == wire.REPLY and f["eth_dst"] == guest_mac and f["sha"] == mac]
    for _ in range(12):
        wire.send(guest_ns, probe)
        time.sleep(0.1)
    wait(lambda: len(answers()) >= 12, 10, "twelve answers")
    time.sleep(0.3)
    frames = sniffer.stop()
    probes = [f for f in frames if f["out"] and f["spa"] == "0.0.0.0"]
    said = announcements(frames, ip, mac)
    assert len(probes) == len(answers()) == 12
    # Two more: a refresh, or the last step of the schedule on a slow machine, may fall into it.
    assert 1 <= len(said) <= 3 + int(probes[-1]["time"] - probes[0]["time"])


def test_stranger_insists(home, tmp_path):
    """It announces our address every second: at most one announcement per 10 s meets it, and the address is kept."""
    ip, owner = served(home, 112)
    guest_ns, guest_mac = guest(home)
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl", about=ip)
    started = time.time()

    def said():
        return [f["time"] - started for f in announcements(sniffer.frames(), ip, home.lab.mac(owner))]
    # The first defence comes at once. That the second one does not come before 9 s are over, is seen below.
    while time.time() < started + 9 or (time.time() < started + 30 and not any(t > 9 for t in said())):
        wire.send(guest_ns, wire.arp_frame(wire.REQUEST, guest_mac, ip, wire.NO_MAC, ip))
        time.sleep(1)
    frames = sniffer.stop()
    assert len(announcements(frames, ip, guest_mac)) >= 8
    # The first 5 s belong to the schedule of the takeover; after it: the second defence, and perhaps a refresh.
    late = [t for t in said() if t > 5.5]
    assert 1 <= len(late) <= 2 and late[-1] > 9, late
    home.answered_by(ip, owner)
    assert home.speakers[owner].wait_log(event="addressConflict", ip=ip)["mac"] == guest_mac


# Takeovers

def test_stale_switch(home):
    """The switch has every other node behind the wrong port: what clients send after a takeover arrives."""
    ip, owner = served(home, 113)
    others = [node for node in home.nodes if node != owner]
    listeners = {}
    for node in others:
        home.lab.accept_vip(node, ip)
        with proc.inside(home.lab.ns(node)):
            listeners[node] = socket.create_server(("0.0.0.0", 8080))
            listeners[node].settimeout(15)
    meet(home.client, ip)
    wrong = home.lab.members["client"].ports["eth0"]
    home.lab.cut(owner)
    for node, kind in zip(others, ("static", "dynamic")):
        run_in(home.lab.bridge_ns, "bridge", "fdb", "replace", home.lab.mac(node), "dev", wrong, "master", kind)

    def reached():
        with proc.inside(home.client), socket.socket() as connection:
            connection.settimeout(0.5)
            connection.connect((ip, 8080))
            return True
    try:
        wait(reached, 20, "the client to reach the new owner")
        heir = heir_of(home, ip, owner)
        listeners[heir].accept()[0].close()
        assert neighbour(home.client, ip) == home.lab.mac(heir)
        entries = run_in(home.lab.bridge_ns, "bridge", "fdb", "show", "br", BRIDGE).splitlines()
        behind = [line for line in entries if line.startswith(home.lab.mac(heir))]
        assert any(home.lab.members[heir].ports["eth0"] in line for line in behind) and not any(wrong in line for line in behind), behind
    finally:
        for node, listener in listeners.items():
            listener.close()
            home.lab.drop_vip(node, ip)


def test_flood_during_takeover(home, tmp_path):
    """20,000 ARP requests of others per second, to everybody: the takeover is announced and answered for in time."""
    ip, owner = served(home, 114)
    guest_ns, _ = guest(home)
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl", about=ip)
    flood = wire.Flood(guest_ns, 20000)
    time.sleep(0.5)
    home.lab.cut(owner)
    cut = time.time()
    time.sleep(1.5)
    seen = flood.stop()
    assert seen["sent"] / seen["seconds"] > 1000, f"that was no flood: {seen}"   # a busy machine may not get out 20,000
    heir = heir_of(home, ip, owner)
    said = [f["time"] - cut for f in announcements(sniffer.stop(), ip, home.lab.mac(heir))]
    # A busy machine is no fault: three times what is promised at rest.
    assert said and said[0] < 3 * TAKEOVER_MS / 1000, said
    home.answered_by(ip, heir)


def test_first_announcement_ignored(home, tmp_path):
    """A client that does not take the first announcements (drops all ARP about the address for a while): a repeat reaches it."""
    ip, owner = served(home, 115)
    assert meet(home.client, ip) == home.lab.mac(owner)
    drop = f"add table arp deaf; add chain arp deaf in {{ type filter hook input priority 0; }}; add rule arp deaf in arp saddr ip {ip} drop"
    run_in(home.client, "nft", drop)
    try:
        sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl", about=ip)
        home.lab.cut(owner)
        said = wait(lambda: [f for f in sniffer.frames() if f["spa"] == f["tpa"] == ip], 20, "the first announcement")
        time.sleep(0.3)
        assert neighbour(home.client, ip) == home.lab.mac(owner), "it was dropped"
    finally:
        run_in(home.client, "nft", "delete table arp deaf")
    # Nothing is sent to the address: only an announcement can change the entry: one of the next 5 s, or the refresh after a minute.
    wait(lambda: neighbour(home.client, ip) == said[0]["sha"], 75, "a later announcement to be taken")
    sniffer.stop()


def test_directed_announcements(home, tmp_path):
    """Hosts that drop gratuitous ARP: the gateway is told by a frame of its own, and so is who was named; the others are not."""
    named, unnamed, gateway = home.client, home.lab.ns("ctl"), home.lab.bridge_ns
    places = ((named, "eth0"), (unnamed, "eth0"), (gateway, BRIDGE))
    for speaker in list(home.speakers.values()):
        home.stop(speaker)
    flags = ["--announce-to", home.lab.ip("client")]
    for speaker in [home.start_speaker(node, flags) for node in home.nodes]:
        speaker.wait_log(event="ready")
        speaker.wait_log(event="hostFound", ip=home.lab.ip("client"), mac=home.lab.mac("client"))
        speaker.wait_log(event="hostFound", ip="192.168.122.1")
    for ns, interface in places:
        run_in(ns, "sysctl", "-qw", f"net.ipv4.conf.{interface}.drop_gratuitous_arp=1")
    try:
        ip, owner = served(home, 116)
        for ns, interface in places:
            assert meet(ns, ip, interface) == home.lab.mac(owner)
        sniffer = wire.Sniffer(named, tmp_path / "arp.jsonl", about=ip)
        home.lab.cut(owner)
        heir = heir_of(home, ip, owner)
        for ns, interface in (places[0], places[2]):
            wait(lambda at=ns, of=interface: neighbour(at, ip, of) == home.lab.mac(heir), 20, "a directed announcement to be taken")
        told = [f for f in sniffer.stop() if f["eth_dst"] == home.lab.mac("client") and f["spa"] == ip]
        assert {(f["op"], f["sha"], f["tpa"]) for f in told} == {(wire.REQUEST, home.lab.mac(heir), home.lab.ip("client"))}
        assert neighbour(unnamed, ip) == home.lab.mac(owner), "these hosts do drop what is gratuitous"
    finally:
        for ns, interface in places:
            run_in(ns, "sysctl", "-qw", f"net.ipv4.conf.{interface}.drop_gratuitous_arp=0")
        for speaker in list(home.speakers.values()):
            home.stop(speaker)


# Five hundred at once

MANY = 500
CROWD = [f"10.77.{1 + n // 250}.{n % 250}" for n in range(MANY)]
CROWD_POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: crowd, namespace: metallb-system}
spec: {addresses: [10.77.1.0-10.77.1.249, 10.77.2.0-10.77.2.249]}
"""


class Crowd:
    """Two nodes, the quick API server, and five hundred Services."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder
        lab.exec("ctl", [sys.executable, ROOT / "tests/standin/apiserver.py", "--listen", f"{lab.ip('ctl')}:6443", "--dir", folder],
                 stdout=subprocess.DEVNULL)
        self.config = folder / "kubeconfig"
        wait(self.config.exists, 30, "the stand-in's kubeconfig")
        self.kube = Kube(self.config, netns=lab.ns("ctl"))
        wait(lambda: self.kube.get("/readyz") or True, 30, "the stand-in")
        self.kube.make_namespace(NAMESPACE)
        for node in lab.nodes:
            self.kube.make_node(node, lab.ip(node))
        for file in ("crds/ipaddresspools.yaml", "crds/l2advertisements.yaml", "home/l2advertisement.yaml"):
            self.kube.apply((DEPLOY / file).read_text())
        self.kube.apply(CROWD_POOL)
        self.start("ctl", ["--role", "controller"]).wait_log(event="leading")

    def start(self, member, flags):
        return l2lb.start(self.lab, member, ["run", "--kubeconfig", self.config, *flags], {"ASAN_OPTIONS": "detect_leaks=0"},
                          self.folder / f"{member}-{time.monotonic_ns()}.log")

    def speaker(self, node, *flags):
        running = self.start(node, ["--role", "speaker", "--node-name", node, *flags])
        running.wait_log(event="ready", timeout=60)
        return running

    def serve(self):
        def one(n):
            self.kube.make_slice("default", f"web{n}", [("10.244.1.5", self.lab.nodes[0], True)])
            self.kube.make_service("default", f"web{n}")
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(one, range(MANY)))

    def all_held_by(self, node):
        held = [lease for lease in self.kube.list(path("Lease", NAMESPACE))
                if lease["metadata"]["name"].startswith("ip-") and lease["spec"].get("holderIdentity") == node]
        return len(held) == MANY

    def cut(self, node, log):
        """It is gone; the frames of the other about the crowd are recorded."""
        sniffer = wire.Sniffer(self.lab.ns("client"), log)
        self.lab.cut(node, quiet=True)
        return sniffer

    def said(self, sniffer, node):
        """{address: its announcements, in order}; all of them in order"""
        mac, by_address, all_of_them = self.lab.mac(node), {ip: [] for ip in CROWD}, []
        for frame in sniffer.frames():
            if frame["sha"] == mac and frame["spa"] == frame["tpa"] and frame["spa"] in by_address:
                by_address[frame["spa"]].append(frame)
                all_of_them.append(frame)
        return by_address, all_of_them


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    with HomeLab(nodes={"one": 10, "other": 11}, subnet="10.77.0.0/22") as lab:
        made = Crowd(lab, folder)
        made.owner = made.speaker("one")
        made.serve()
        wait(lambda: made.all_held_by("one"), 120, "five hundred owned addresses", interval=0.3)
        yield made


def have_met(one, other):
    """Each of two speakers has heard the other."""
    wait(lambda: all(Home.state_of_peer(speaker, peer) == "alive" for speaker, peer in ((one, "other"), (other, "one"))), 30, "them to have met")


def test_five_hundred_at_once(crowd, tmp_path):
    """One node takes over five hundred: all are announced within 250 ms (here four times that), and each gets all its repeats."""
    heir = crowd.speaker("other")
    have_met(crowd.owner, heir)
    sniffer = crowd.cut("one", tmp_path / "arp.jsonl")
    wait(lambda: all(crowd.said(sniffer, "other")[0].values()), 30, "all to be announced", interval=0.3)
    firsts = [frames[0]["time"] for frames in crowd.said(sniffer, "other")[0].values()]
    print(f"first announcements of {MANY} addresses: within {(max(firsts) - min(firsts)) * 1000:.0f} ms")
    assert max(firsts) - min(firsts) < 1
    wait(lambda: all(len(frames) >= 7 for frames in crowd.said(sniffer, "other")[0].values()), 30, "all the repeats", interval=0.5)
    time.sleep(0.5)
    sniffer.stop()
    for ip, frames in crowd.said(sniffer, "other")[0].items():
        forms = [frame["op"] for frame in frames]
        assert forms.count(wire.REQUEST) in (5, 6) and forms.count(wire.REPLY) == 2, (ip, forms)   # 6: its refresh
    assert heir.process.poll() is None
    wait(lambda: crowd.all_held_by("other"), 60, "the records", interval=0.3)


def test_rate_cap(crowd, tmp_path):
    """--arp-rate: no second with more, the first announcement of each before any repeat, and the room is used."""
    rate = 100
    if not crowd.all_held_by("other"):
        crowd.speaker("other")
        crowd.owner.kill9()
        wait(lambda: crowd.all_held_by("other"), 60, "the other node to own all", interval=0.3)
    crowd.owner.kill9()
    crowd.lab.restore("one")
    crowd.owner = crowd.speaker("one", "--arp-rate", rate)
    wait(lambda: Home.state_of_peer(crowd.owner, "other") == "alive", 30, "them to have met")
    time.sleep(0.5)
    sniffer = crowd.cut("other", tmp_path / "arp.jsonl")
    wait(lambda: all(crowd.said(sniffer, "one")[0].values()), 60, "all to be announced", interval=0.5)
    sniffer.stop()
    by_address, said = crowd.said(sniffer, "one")
    times = [frame["time"] for frame in said]
    # On the wire a frame may be some ms later than it was let through.
    assert all(after - before > 0.9 for before, after in zip(times, times[rate:]))
    last_first = max(frames[0]["time"] for frames in by_address.values())
    assert last_first - times[0] < 2 * MANY / rate + 2
    assert [frame for frame in said if frame["time"] < last_first and frame is not by_address[frame["spa"]][0]] == []
