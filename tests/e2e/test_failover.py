"""Nodes, speakers and the API server fail: who answers then, how soon, and that it is never two for long."""

import os
import time

import pytest

from home import NAMESPACE, TAKEOVER_MS, addresses, vip_of
from lab import wire
from lab.kube import path, wait

IPS = "metallb.io/loadBalancerIPs"
LONG = bool(os.environ.get("L2LB_LONG"))


@pytest.fixture(autouse=True)
def nobody_is_accused(home):
    """Whatever fails: our own nodes are no strangers, and their kernels are innocent."""
    yield
    for speaker in home.speakers.values():
        accused = [line for line in speaker.logs() if line.get("event") in ("strictARPMissing", "addressConflict", "addressAnsweredByNode")]
        assert not accused, accused
    assert not home.strangers()


def serve_on(home, node, name="web", skip=0):
    """A Service whose address this node has: the address."""
    ip = vip_of(home.nodes, node, skip)
    home.announced(name, annotations={IPS: ip})
    home.put_on(ip, node)
    home.answered_by(ip, node)
    return ip


def heir_of(home, seen, owner):
    """The one which took over: another node, in time, once, and never both. Its name."""
    assert seen["longest_gap_ms"] <= TAKEOVER_MS and len(seen["changes"]) == 2 and seen["doubles"] == [], seen
    (_, before), (_, after) = seen["changes"]
    assert home.node_of(before) == owner
    return home.node_of(after)


def settled(seen, back):
    """Nothing unanswered, and no two answers from a second after `back` on."""
    assert seen["unanswered"] == 0, seen
    late = [double["time"] - back for double in seen["doubles"] if double["time"] > back + 1]
    assert late == [], f"two answer {late[-1]:.3f} s after"


def previous(home, ip):
    return home.record(ip)["metadata"]["annotations"]["l2lb.io/previous"].split(",")


def takeover(home, ip, owner, fail):
    """fail() while the address is asked for: another answers in time, and only one. Its name."""
    asker = home.asker(ip)
    time.sleep(0.5)
    fail()
    time.sleep(1.5)
    heir = heir_of(home, asker.stop()[ip], owner)
    wait(lambda: home.holder(ip) == heir, 3, "the record to name the new owner")
    assert previous(home, ip)[0] == owner
    return heir


@pytest.mark.parametrize("quiet", [False, True], ids=["link lost", "frames lost"])
def test_node_cut_off(home, quiet):
    """Another answers within 700 ms. The node comes back: one answers, and it is not moved back."""
    ip = serve_on(home, "worker-1")
    heir = takeover(home, ip, "worker-1", lambda: home.lab.cut("worker-1", quiet=quiet))
    asker = home.asker(ip)
    home.lab.restore("worker-1")
    back = time.time()
    time.sleep(4)
    settled(asker.stop()[ip], back)
    home.answered_by(ip, heir)
    time.sleep(1)
    assert home.holder(ip) == heir, "an address that works stays where it is"


def test_control_plane_node_cut_off(home):
    """With it goes the API server: the others go on without."""
    ip = serve_on(home, "k8s-control")
    stays = serve_on(home, "worker-1", "stays")
    asker = home.asker(ip, stays)
    time.sleep(0.5)
    home.lab.cut("k8s-control")
    time.sleep(3)
    seen = asker.stop()
    heir = heir_of(home, seen[ip], "k8s-control")
    assert seen[stays]["unanswered"] == 0 and len(seen[stays]["changes"]) == 1, seen[stays]
    asker = home.asker(ip)
    home.lab.restore("k8s-control")
    back = time.time()
    time.sleep(3)
    settled(asker.stop()[ip], back)
    wait(lambda: home.holder(ip) == heir, 15, "the record to follow the wire")
    home.answered_by(ip, heir)
    assert home.holder(stays) == "worker-1"


def test_speaker_stopped(home):
    """SIGTERM: another answers before this one stops to; no request is lost, and it ends within 2 s."""
    ip = serve_on(home, "worker-1")
    asker = home.asker(ip)
    time.sleep(0.5)
    assert home.stop(home.speakers["worker-1"]) < 2
    time.sleep(1)
    seen = asker.stop()[ip]
    assert seen["unanswered"] == 0, seen
    heir = home.node_of(seen["changes"][-1][1])
    assert heir != "worker-1"
    wait(lambda: home.holder(ip) == heir, 2, "the record to name the new owner")
    assert previous(home, ip)[0] == "worker-1"
    home.answered_by(ip, heir)


def test_all_speakers_restarted_one_by_one(home):
    """A rolling update: no request is lost."""
    ips = [serve_on(home, node, f"on-{node}") for node in home.nodes]
    asker = home.asker(*ips, hz=200)
    time.sleep(0.3)
    for node in home.nodes:
        assert home.stop(home.speakers[node]) < 2
        home.start_speaker(node).wait_log(event="ready")
        time.sleep(1)
    for ip, seen in asker.stop().items():
        assert seen["unanswered"] == 0, (ip, seen)
        home.answered_by(ip, home.holder(ip))


def test_speaker_killed(home):
    """The node is there, its speaker is not."""
    ip = serve_on(home, "worker-1")
    takeover(home, ip, "worker-1", lambda: home.kill9(home.speakers["worker-1"]))


def test_speaker_killed_and_restarted(home):
    """As kubelet restarts a crashed container: afterwards one answers, the record is right."""
    ip = serve_on(home, "worker-1")
    asker = home.asker(ip)
    home.kill9(home.speakers["worker-1"])
    home.start_speaker("worker-1").wait_log(event="ready")
    back = time.time()
    time.sleep(3)
    seen = asker.stop()[ip]
    assert seen["longest_gap_ms"] <= TAKEOVER_MS, seen
    assert [double for double in seen["doubles"] if double["time"] > back + 1] == [], seen
    home.answered_by(ip, home.holder(ip))


def test_api_server_away(home):
    """No request is lost for 60 s, and a node that is cut off meanwhile is still replaced."""
    stays, moves = serve_on(home, "worker-1", "stays"), serve_on(home, "worker-2", "moves")
    asker = home.asker(stays, moves)
    home.stop_api()
    time.sleep(5)
    home.lab.cut("worker-2")
    time.sleep(55)
    seen = asker.stop()
    assert seen[stays]["unanswered"] == 0 and len(seen[stays]["changes"]) == 1, seen[stays]
    heir = heir_of(home, seen[moves], "worker-2")
    # It returns: the records follow the wire, the node finds what has changed, new work is done.
    asker = home.asker(stays, moves)
    home.start_api()
    wait(lambda: home.holder(moves) == heir, 15, "the record to follow the wire")
    assert previous(home, moves)[0] == "worker-2"
    home.lab.restore("worker-2")
    back = time.time()
    time.sleep(3)
    for seen in asker.stop().values():
        settled(seen, back)
    assert home.holder(stays) == "worker-1"
    home.answered_by(stays, "worker-1")
    home.answered_by(moves, heir)
    home.serve("new")
    ip = home.address("new", 20)
    home.answered_by(ip, home.owner(ip))


def test_node_returns_while_the_api_server_is_away(home):
    """The record still names the node that comes back: yet one answers only."""
    ip = serve_on(home, "worker-2")
    home.stop_api()
    asker = home.asker(ip)
    time.sleep(0.5)
    home.lab.cut("worker-2")
    time.sleep(2)
    heir = heir_of(home, asker.stop()[ip], "worker-2")
    asker = home.asker(ip)
    home.lab.restore("worker-2")
    back = time.time()
    time.sleep(4)
    settled(asker.stop()[ip], back)
    home.answered_by(ip, heir)
    home.start_api()
    wait(lambda: home.holder(ip) == heir, 15, "the record to follow the wire")
    home.answered_by(ip, heir)


def test_api_server_hangs(home):
    """It accepts connections and says nothing."""
    ip = serve_on(home, "worker-1")
    home.cluster.pause()
    try:
        asker = home.asker(ip)
        time.sleep(0.5)
        home.lab.cut("worker-1")
        time.sleep(2)
        seen = asker.stop()[ip]
    finally:
        home.cluster.resume()
    heir = heir_of(home, seen, "worker-1")
    wait(lambda: home.holder(ip) == heir, 15, "the record to follow the wire")


def test_owner_sleeps(home):
    """SIGSTOP for 10 s (20 with L2LB_LONG=1): another takes over; after SIGCONT one answers, from a second on."""
    ip = serve_on(home, "worker-1")
    speaker = home.speakers["worker-1"]
    heir = takeover(home, ip, "worker-1", speaker.pause)
    time.sleep(18 if LONG else 8)
    asker = home.asker(ip)
    time.sleep(0.2)
    speaker.resume()
    back = time.time()
    time.sleep(3)
    settled(asker.stop()[ip], back)
    home.answered_by(ip, heir)
    assert home.holder(ip) == heir
    speaker.wait_log(event="slept")


def test_link_down_and_up(home, tmp_path):
    """The owner's interface goes and comes back: one answers, and who does has announced it."""
    ip = serve_on(home, "worker-1")
    home.lab.run("worker-1", ["ip", "link", "set", "eth0", "down"])
    heir = wait(lambda: home.holder(ip) not in ("", "worker-1") and home.holder(ip), 5, "another owner")
    home.answered_by(ip, heir)
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    home.lab.run("worker-1", ["ip", "link", "set", "eth0", "up"])
    time.sleep(2)
    home.answered_by(ip, heir)
    assert {frame["sha"] for frame in sniffer.stop() if frame["spa"] == ip} <= {home.lab.mac(heir)}
    # And it can have addresses again.
    assert serve_on(home, "worker-1", "again", skip=1)


def test_short_link_flap(home, tmp_path):
    """Back before anybody could take over: announced again at once, for switches that have forgotten the port."""
    ip = serve_on(home, "worker-1")
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    home.lab.run("worker-1", ["sh", "-c", "ip link set eth0 down; ip link set eth0 up"])
    up = time.time()
    time.sleep(1.5)
    told = [frame for frame in sniffer.stop() if frame["spa"] == frame["tpa"] == ip and frame["time"] >= up - 0.1]
    assert {frame["sha"] for frame in told} == {home.lab.mac("worker-1")}
    assert home.holder(ip) == "worker-1", "nobody could have noticed, and the word of it must not move anything later"
    home.answered_by(ip, "worker-1")


def test_mac_changed(home, tmp_path):
    """Another MAC on the owner's interface: said on the wire and in the node's record."""
    ip = serve_on(home, "worker-1")
    new, old = "02:00:00:00:99:0b", home.lab.mac("worker-1")
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    home.lab.run("worker-1", ["ip", "link", "set", "eth0", "address", new])
    try:
        wait(lambda: home.macs(ip, 1) <= {new, home.lab.mac(home.holder(ip))} - {old}, 3, "an answer with the new MAC")
        frames = wait(lambda: [f for f in sniffer.frames() if f["spa"] == f["tpa"] == ip and f["sha"] == new], 2, "the new MAC to be announced")
        assert {frame["eth_src"] for frame in frames} == {new}
        wait(lambda: new in home.kube.get(path("Lease", NAMESPACE, "node-worker-1"))["metadata"]["annotations"]["l2lb.io/links"], 3,
             "the node's record to have it")
        time.sleep(1)
        assert home.holder(ip) == "worker-1" and home.macs(ip) == {new}
    finally:
        home.lab.run("worker-1", ["ip", "link", "set", "eth0", "address", old])
    home.answered_by(ip, "worker-1")


def test_node_object_deleted(home):
    """A node leaves the cluster: its addresses move, without a moment of silence while its speaker still runs."""
    ip = serve_on(home, "worker-1")
    asker = home.asker(ip)
    time.sleep(0.2)
    home.kube.delete(path("Node", name="worker-1"))
    try:
        wait(lambda: home.holder(ip) not in ("", "worker-1"), 5, "another owner")
        time.sleep(0.5)
        seen = asker.stop()[ip]
        assert seen["unanswered"] == 0, seen
        home.answered_by(ip, home.holder(ip))
    finally:
        home.kube.make_node("worker-1", home.lab.ip("worker-1"))


def test_not_ready_is_no_reason(home):
    """The kubelet's heartbeat is late, the node answers: nothing moves."""
    ip = serve_on(home, "worker-1")
    asker = home.asker(ip)
    home.kube.set_ready("worker-1", None)
    try:
        time.sleep(2)
        seen = asker.stop()[ip]
        assert seen["unanswered"] == 0 and len(seen["changes"]) == 1, seen
    finally:
        home.kube.set_ready("worker-1", True)
    assert addresses(home.service("web")) == [ip]
