"""Others on the wire: strangers on addresses of the pool, before and after we use them; other nodes; peers' kernels."""

import time

import pytest

from home import DEPLOY, NAMESPACE, preferred, vip, vip_of
from lab import wire
from lab.kube import path, wait

IPS = "metallb.io/loadBalancerIPs"
GUEST = "guest"


@pytest.fixture
def guest(home):
    """One more machine on the network, that is none of ours; its addresses of the pool go with the test."""
    if GUEST not in home.lab.members:
        home.lab.add_member(GUEST, 77)
    yield home.lab.members[GUEST]
    home.lab.run(GUEST, ["ip", "addr", "flush", "dev", "eth0", "scope", "global"])
    home.lab.run(GUEST, ["ip", "addr", "add", "192.168.122.77/24", "dev", "eth0"])


def has(home, ip, who=GUEST):
    home.lab.run(who, ["ip", "addr", "add", f"{ip}/32", "dev", "eth0"], check=True)


def has_not(home, ip, who=GUEST):
    home.lab.run(who, ["ip", "addr", "del", f"{ip}/32", "dev", "eth0"], check=True)


def small_pool(home, *numbers):
    """A census of all 51 addresses takes the best part of a minute; of these, some seconds. To be called before speakers start."""
    home.kube.apply((DEPLOY / "home/pool.yaml").read_text().replace("192.168.122.100-192.168.122.150", f"{vip(min(numbers))}-{vip(max(numbers))}"))


def claims(home, ip, mac):
    """An announcement of a host for this address."""
    wire.send(home.lab.ns(GUEST), wire.arp_frame(wire.REQUEST, mac, ip, wire.NO_MAC, ip))


def conflicts(home, ip):
    return [line for speaker in home.speakers.values() for line in speaker.logs() if line.get("event") == "addressConflict" and line.get("ip") == ip]


def test_a_stranger_on_a_free_address(home, guest):
    """It is found by asking, told, and skipped."""
    has(home, vip(100))
    wait(lambda: home.strangers().get(vip(100)) == guest.mac, 75, "the stranger to be found")
    home.serve("web")
    assert home.address("web") == vip(101)
    pool = home.kube.get(path("IPAddressPool", NAMESPACE, "default-pool"))
    note = home.wait_event(pool, "addressConflict")["note"]
    assert vip(100) in note and guest.mac in note and "default-pool" in note
    # Who asks for just this one is told who has it.
    wanting = home.serve("wanting", annotations={IPS: vip(100)})
    note = home.wait_event(wanting, "AllocationFailed")["note"]
    assert vip(100) in note and guest.mac in note and "default/wanting" in note
    home.silent_from_nodes(vip(100))


def test_a_stranger_goes_away(home, guest):
    small_pool(home, 100, 103)
    for node in home.nodes:
        home.stop(home.speakers[node])
        home.start_speaker(node, ["--foreign-silence", "5s"])
    try:
        has(home, vip(100))
        wait(lambda: vip(100) in home.strangers(), 60, "the stranger to be found")
        time.sleep(6)
        assert vip(100) in home.strangers(), "he is still there: each question is answered"
        waiting = home.serve("waiting", annotations={IPS: vip(100)})
        home.wait_event(waiting, "AllocationFailed")
        has_not(home, vip(100))
        wait(lambda: vip(100) not in home.strangers(), 90, "the stranger to be forgotten")
        assert home.address("waiting") == vip(100)
        home.answered_by(vip(100), home.owner(vip(100)))
    finally:
        for node in home.nodes:
            home.stop(home.speakers[node])


def test_an_address_known_to_be_free_waits_for_nothing(home):
    """One node asks, with ordinary questions and slowly; whoever claims the address then, need not probe."""
    for node in home.nodes:
        home.stop(home.speakers[node])
    watcher = wire.Sniffer(home.client, home.folder / "census.jsonl")
    home.ready()
    of_nodes = {home.lab.ip(node) for node in home.nodes}

    def questions(ip=None):
        return [f for f in watcher.frames() if f["op"] == wire.REQUEST and f["spa"] in of_nodes and f["eth_dst"] == wire.BROADCAST
                and f["tpa"] in ([ip] if ip else [vip(n) for n in range(100, 151)])]
    wait(lambda: len(questions(vip(104))) >= 2, 60, "two questions for an address")
    time.sleep(3.5)
    asked = questions()
    home.serve("web", annotations={IPS: vip(104)})
    home.answered_by(vip(104), home.owner(vip(104)))
    frames = watcher.stop()
    assert not [f for f in frames if f["spa"] == "0.0.0.0"], "no probes"
    assert [f for f in frames if f["spa"] == f["tpa"] == vip(104)], "announcements"
    # Each may ask for the moment in which it does not know the others yet.
    last = [f["spa"] for f in asked[len(asked) // 2:]]
    assert len(set(last)) == 1, "one node of the link asks"
    seconds = asked[-1]["time"] - asked[0]["time"]
    assert len(asked) <= 2 * seconds + 6, "at most two a second"


def test_a_new_address_is_probed(home, guest):
    """The census does not know it yet: three probes find the stranger, and the Service gets the next one."""
    has(home, vip(200))
    home.kube.apply(f"""apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: more, namespace: {NAMESPACE}}}
spec: {{addresses: [{vip(200)}-{vip(201)}], autoAssign: false}}
""")
    watcher = wire.Sniffer(home.client, home.folder / "probe.jsonl")
    service = home.serve("web", annotations={"metallb.io/address-pool": "more"})
    wait(lambda: home.service("web")["status"]["loadBalancer"].get("ingress") == [{"ip": vip(201), "ipMode": "VIP"}], 40, "another address")
    home.answered_by(vip(201), home.owner(vip(201)))
    frames = watcher.stop()
    assert [f for f in frames if f["tpa"] == vip(200) and f["spa"] == "0.0.0.0"], "probes"
    ours = {home.lab.mac(node) for node in home.nodes}
    assert not [f for f in frames if f["spa"] == vip(200) and f["sha"] in ours], "it was never announced by us"
    assert home.strangers()[vip(200)] == guest.mac
    assert guest.mac in home.wait_event(service, "addressConflict")["note"]


def test_a_stranger_comes_later(home, guest):
    """The address is kept and defended: an announcement in ten seconds, an Event, a metric; the Service does not move."""
    ip, owner = home.announced("web")
    wait(lambda: home.lab.run("client", ["ip", "neigh", "flush", "all"]).returncode == 0, 1, "no entries")
    time.sleep(6)   # the announcements of its beginning are over
    watcher = wire.Sniffer(home.client, home.folder / "defence.jsonl")
    for _ in range(8):
        claims(home, ip, guest.mac)
        time.sleep(0.5)
    defences = [f for f in watcher.stop() if f["spa"] == f["tpa"] == ip and f["sha"] == home.lab.mac(owner)]
    assert 1 <= len(defences) <= 2, "one announcement per ten seconds (and perhaps the refresh)"
    note = home.wait_event(home.service("web"), "addressConflict")["note"]
    assert ip in note and guest.mac in note and "kept" in note
    assert len(conflicts(home, ip)) == 1, "said once"
    wait(lambda: home.strangers().get(ip) == guest.mac, 20, "his record")
    assert home.address("web") == ip and home.owner(ip) == owner
    home.answered_by(ip, owner)


def test_the_status_says_it(home, guest):
    """A condition of the Service while the stranger is there: written once, right after a restart too, gone when he has gone;
    other people's stay."""
    small_pool(home, 100, 103)
    for node in home.nodes:
        home.stop(home.speakers[node])
        home.start_speaker(node, ["--foreign-silence", "5s"])
    other = {"type": "example.com/Checked", "status": "True", "reason": "Fine", "message": "by somebody else", "lastTransitionTime": "2026-01-02T03:04:05Z"}

    def ours():
        conditions = home.service("web")["status"].get("conditions", [])
        assert [c for c in conditions if c["type"] == other["type"]] == [other]
        return next((c for c in conditions if c["type"] == "l2lb.io/AddressConflict"), None)
    try:
        ip, owner = home.announced("web")
        home.announced("quiet")
        home.kube.patch(path("Service", "default", "web", "status"), {"status": {"conditions": [other]}})
        assert ours() is None
        has(home, ip)
        claims(home, ip, guest.mac)
        made = wait(ours, 20, "the condition")
        service = home.service("web")
        assert made["status"] == "True" and made["reason"] == "UsedByAnotherHost" and made.get("observedGeneration") == service["metadata"].get("generation")
        assert ip in made["message"] and guest.mac in made["message"] and "give it another address" in made["message"]
        restarted = home.controllers["controller"]
        home.stop(restarted)
        home.start_controller()
        for _ in range(8):   # he goes on, and so does the Service
            claims(home, ip, guest.mac)
            time.sleep(1)
        assert home.service("web")["metadata"]["resourceVersion"] == service["metadata"]["resourceVersion"], "written once"
        assert home.address("web") == ip and home.owner(ip) == owner
        has_not(home, ip)
        wait(lambda: ours() is None, 90, "the condition to go")
        assert vip(100) not in home.strangers()
        assert "conditions" not in home.service("quiet")["status"], "who has no conflict has no condition"
        version = home.service("web")["metadata"]["resourceVersion"]
        time.sleep(3)
        assert home.service("web")["metadata"]["resourceVersion"] == version
    finally:
        for node in home.nodes:
            home.stop(home.speakers[node])


def test_a_quiet_stranger_on_a_used_address(home, guest):
    """He answers whoever asks and says nothing by himself: the node that asks finds him, the one that announces tells it."""
    asks = preferred(home.nodes, "192.168.122.0")[0]
    owner = next(node for node in home.nodes if node != asks)
    ip = vip_of(home.nodes, owner)
    number = int(ip.rpartition(".")[2])
    small_pool(home, number, number + 3)
    home.announced("web", annotations={IPS: ip})
    has(home, ip)
    home.stop(home.speakers[asks])   # the fresh one asks for everything at once
    home.ready()
    wait(lambda: home.strangers().get(ip) == guest.mac, 90, "the stranger to be found")
    record = home.kube.get(path("Lease", NAMESPACE, f"foreign-{ip}"))
    note = home.wait_event(home.service("web"), "addressConflict")["note"]
    assert ip in note and guest.mac in note and "kept" in note
    wait(lambda: [line for line in home.speakers[owner].logs() if line.get("event") == "addressConflict" and line.get("ip") == ip], 20, "the owner's word")
    assert record["spec"]["holderIdentity"] in home.nodes
    assert home.owner(ip) == owner and home.address("web") == ip


def test_giving_up_on_demand(home, guest):
    for node in home.nodes:
        home.stop(home.speakers[node])
        home.start_speaker(node, ["--on-conflict=move"])
    try:
        ip, owner = home.announced("web")
        claims(home, ip, guest.mac)
        time.sleep(1)
        assert home.address("web") == ip, "one stray frame moves nothing"
        claims(home, ip, guest.mac)
        wait(lambda: home.address("web") != ip, 40, "another address")
        now = home.address("web")
        home.answered_by(now, home.owner(now))
        home.silent(ip)
        assert home.strangers()[ip] == guest.mac
    finally:
        for node in home.nodes:
            home.stop(home.speakers[node])


def test_another_node_is_no_stranger(home, guest):
    """A node without l2lb answers (MetalLB before the migration): told, waited for, and no other address."""
    home.kube.make_node("not-yet", guest.ip)
    try:
        ip = vip(100)
        has(home, ip)
        service = home.serve("web")
        assert home.address("web") == ip
        note = home.wait_event(service, "addressAnsweredByNode", 40)["note"]
        assert "not-yet" in note and guest.mac in note and ip in note
        time.sleep(2)
        assert home.macs(ip) == {guest.mac}, "we are silent while it answers"
        assert home.address("web") == ip and not home.strangers()
        has_not(home, ip)
        home.answered_by(ip, home.owner(ip), 40)
    finally:
        home.kube.delete(path("Node", None, "not-yet"))


@pytest.mark.parametrize("guilty", ["k8s-control", "worker-1", "worker-2"])
def test_a_peers_kernel_answers(home, guilty):
    """IPVS without strictARP, on whichever node: named in an Event; the owner stays."""
    owner = next(node for node in home.nodes if node != guilty)
    ip = vip_of(home.nodes, owner)
    home.lab.run(guilty, ["ip", "addr", "add", f"{ip}/32", "dev", "lo"], check=True)
    try:
        home.serve("web", annotations={IPS: ip})
        assert home.owner(ip) == owner
        note = home.wait_event(home.service("web"), "strictARPMissing", 60)["note"]
        assert guilty in note and ip in note and owner in note and "strictARP" in note
        assert home.owner(ip) == owner and home.address("web") == ip
        # The kernel is quick: on a busy machine the owner's answer may come when a question has been given up.
        wait(lambda: home.lab.mac(owner) in home.macs(ip), 20, "the owner to answer, too")
        assert not home.strangers()
    finally:
        home.lab.run(guilty, ["ip", "addr", "del", f"{ip}/32", "dev", "lo"])
    home.answered_by(ip, owner)
