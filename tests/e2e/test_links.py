"""Network cards come, go and change under a running speaker: it follows by rtnetlink and is never restarted.

Each node has a second card, data0, on a segment of its own: there these tests do as they like, while the API server stays
reachable through eth0. Some break eth0 itself, on purpose."""

import json
import subprocess
import time

import pytest

from home import NAMESPACE, preferred, vip_of
from lab import wire
from lab.kube import path, wait

IPS = "metallb.io/loadBalancerIPs"
POOL = "10.77.0.100-10.77.0.150"
DEFAULT = path("L2Advertisement", NAMESPACE, "default")
BRIDGE = "data"
NODE = "worker-1"
# The member a test breaks is host 11 everywhere.
HOSTS = {"k8s-control": 10, "worker-1": 11, "worker-2": 12, "client": 50}


def data_ip(number):
    return f"10.77.0.{number}"


def data_mac(node):
    return f"02:00:00:00:01:{HOSTS[node]:02x}"


def links(home, node=NODE):
    """{name: MAC} of the links in a node's record."""
    record = home.kube.get(path("Lease", NAMESPACE, f"node-{node}"))
    return {link["name"]: link["mac"] for link in json.loads(record["metadata"]["annotations"]["l2lb.io/links"])}


def pool(home, name, addresses, interfaces=None):
    """A pool, announced on these interfaces (None: wherever it belongs by default)."""
    made = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"addresses": [addresses]}}
    home.kube.save(made)
    spec = {"ipAddressPools": [name], **({"interfaces": interfaces} if interfaces else {})}
    home.kube.save({**made, "kind": "L2Advertisement", "spec": spec})


@pytest.fixture(scope="module")
def home_cluster(own_home_cluster):
    """The nodes get second cards."""
    return own_home_cluster


class Data:
    """The segment of the second cards."""

    def __init__(self, home):
        self.home = home
        self.run("bridge", f"ip link add {BRIDGE} type bridge stp_state 0 forward_delay 0")
        self.run("bridge", f"ip link set {BRIDGE} up")
        for member in HOSTS:
            self.plug(member)

    def plug(self, member, index=None):
        host = HOSTS[member]
        self.home.lab.plug(member, "data0", f"10.77.0.{host}/24", f"02:00:00:00:01:{host:02x}", BRIDGE, index)

    def run(self, member, command, check=True):
        ns = self.home.lab.bridge_ns if member == "bridge" else self.home.lab.ns(member)
        done = subprocess.run(["ip", "netns", "exec", ns, *command.split()], text=True, capture_output=True)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done

    def batch(self, member, commands):
        done = subprocess.run(["ip", "-n", self.home.lab.ns(member), "-force", "-batch", "-"], input="\n".join(commands) + "\n", text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr[-500:]

    def macs(self, ip, count=3, timeout=0.3):
        asked = wire.ask(self.home.client, ip, count, timeout, interface="data0")
        return {reply["mac"] for replies in asked for reply in replies or [{"mac": "nobody"}]}

    def answered_by(self, ip, mac, timeout=20):
        wait(lambda: self.macs(ip, 1) == {mac}, timeout, f"{mac} to answer for {ip}")
        assert self.macs(ip, timeout=2) == {mac}

    def asker(self, *ips):
        return wire.Asker(self.home.client, list(ips), 200, interface="data0", senders=[data_ip(n) for n in range(210, 235)])

    def serve_on(self, node, name="data", skip=0):
        """A Service whose address on this segment the node has: the address."""
        fitting = [data_ip(n) for n in range(100, 151) if preferred(self.home.nodes, data_ip(n))[0] == node]
        ip = fitting[skip]
        self.home.serve(name, annotations={IPS: ip})
        self.home.put_on(ip, node)
        return ip

    def whole(self):
        """Every node has its card and says so."""
        wait(lambda: all(links(self.home, node) == {"eth0": self.home.lab.mac(node), "data0": data_mac(node)} for node in self.home.nodes), 30,
             "the records to show both cards")
        # A record may say so all the time while the others have lost sight of the card behind it.
        wait(lambda: all(self.home.state_of_peer(speaker, other, "data0") == "alive" for node, speaker in self.home.speakers.items()
                         for other in self.home.nodes if other != node), 30, "all to hear each other on the second cards")


@pytest.fixture(scope="module")
def segment(home_cluster):
    home_cluster.ready()
    return Data(home_cluster)


@pytest.fixture
def data(home, segment):
    """The second segment with a pool; afterwards as before, by the same processes."""
    pool(home, "data-pool", POOL)
    segment.whole()
    speakers = {node: running.process.pid for node, running in home.speakers.items()}
    yield segment
    segment.whole()
    assert {node: running.process.pid for node, running in home.speakers.items()} == speakers


def test_each_pool_on_its_link(home, data, tmp_path):
    """Management and data plane: an address is answered, announced and defended only where it belongs."""
    home.kube.patch(DEFAULT, {"spec": {"ipAddressPools": ["default-pool"], "interfaces": ["eth0"]}})
    pool(home, "data-pool", POOL, ["data0"])
    sniffers = {name: wire.Sniffer(home.client, tmp_path / name, interface=name) for name in ("eth0", "data0")}
    managed, ours = vip_of(home.nodes, NODE), data.serve_on(NODE)
    home.announced("web", annotations={IPS: managed})
    home.put_on(managed, NODE)
    home.answered_by(managed, NODE)
    data.answered_by(ours, data_mac(NODE))
    assert data.macs(managed) == {"nobody"} and home.macs(ours) == {"nobody"}
    # Somebody on the other segment uses our address: there that is his business.
    wire.send(home.client, wire.arp_frame(wire.REQUEST, "02:00:00:00:77:77", ours, wire.NO_MAC, ours), interface="eth0")
    time.sleep(0.5)
    ours_only = {"eth0": {managed}, "data0": {ours}}
    nodes = {home.lab.mac(node) for node in home.nodes} | {data_mac(node) for node in home.nodes}
    for name, sniffer in sniffers.items():
        said = {frame["spa"] for frame in sniffer.stop() if frame["eth_src"] in nodes and frame["spa"] in (managed, ours)}
        assert said == ours_only[name], name


def test_by_subnet(home, data):
    """Without `interfaces` the subnet says where."""
    ours = data.serve_on(NODE)
    data.answered_by(ours, data_mac(NODE))
    assert home.macs(ours) == {"nobody"}


def test_carrier_of_one_link(home, data):
    """The data plane's cable is pulled: another node answers. Back in, the node is as good as before."""
    ip = data.serve_on(NODE)
    stays = vip_of(home.nodes, NODE)
    home.announced("web", annotations={IPS: stays})
    home.put_on(stays, NODE)
    home.answered_by(stays, NODE)
    asker = home.asker(stays)
    home.lab.cut(NODE, "data0")
    heir = wait(lambda: home.holder(ip) not in ("", NODE) and home.holder(ip), 20, "another owner")
    data.answered_by(ip, data_mac(heir))
    wait(lambda: "data0" not in links(home), 20, "the record to say that the link is gone")
    seen = asker.stop()[stays]
    assert seen["unanswered"] == 0 and len(seen["changes"]) == 1, seen   # the other link has nothing to do with it
    home.lab.restore(NODE, "data0")
    data.whole()
    assert data.macs(ip) == {data_mac(heir)}
    data.answered_by(data.serve_on(NODE, "again", skip=1), data_mac(NODE))


def test_the_word_of_a_loss_comes_late(home):
    """eth0 leads to the API server, too: the PATCH that says it is gone waits in TCP and may arrive seconds after it is back. An
    address that the node was given meanwhile stays."""
    home.lab.run(NODE, ["ip", "link", "set", "eth0", "down"], check=True)
    time.sleep(1.7)
    home.lab.run(NODE, ["ip", "link", "set", "eth0", "up"], check=True)
    # The word is still under way (TCP tried after 0.2, 0.4, 0.8 s and will after 1.6).
    wait(lambda: all(home.state_of_peer(home.speakers[other], NODE) == "alive" for other in home.nodes if other != NODE), 20, "the others to hear it")
    ip = vip_of(home.nodes, NODE)
    home.announced("web", annotations={IPS: ip})
    home.answered_by(ip, NODE)
    asker = home.asker(ip)
    time.sleep(4)
    seen = asker.stop()[ip]
    assert seen["unanswered"] == 0 and len(seen["changes"]) == 1, seen
    assert home.holder(ip) == NODE and links(home)["eth0"] == home.lab.mac(NODE)


def test_renamed(home, data):
    """No answer is lost, not even while the API server cannot be told."""
    ip = data.serve_on(NODE)
    data.answered_by(ip, data_mac(NODE))
    asker = data.asker(ip)
    if data.run(NODE, "ip link set data0 name lan0", check=False).returncode != 0:
        asker.stop()
        pytest.skip("this kernel renames no link that is up (Linux 6.2 does)")
    try:
        wait(lambda: set(links(home)) == {"eth0", "lan0"}, 20, "the record to have the new name")
        home.cluster.pause()
        data.run(NODE, "ip link set lan0 name lan1")
        time.sleep(1)
        seen = asker.stop()[ip]
        assert seen["unanswered"] == 0 and [mac for _, mac in seen["changes"]] == [data_mac(NODE)], seen
    finally:
        home.cluster.resume()
        data.run(NODE, "ip link set lan1 name data0", check=False)
        data.run(NODE, "ip link set lan0 name data0", check=False)
    data.whole()
    assert home.holder(ip) == NODE and data.macs(ip) == {data_mac(NODE)}


def test_moved_into_a_bridge(home, data):
    """A bridge's port is not used, the bridge is; taken out again, the link is."""
    ip = data.serve_on(NODE)
    mac = "02:00:00:00:02:0b"
    data.batch(NODE, [f"link add br1 address {mac} type bridge stp_state 0 forward_delay 0", "link set br1 up", "addr del 10.77.0.11/24 dev data0",
                      "addr add 10.77.0.11/24 dev br1", "link set data0 master br1"])
    try:
        wait(lambda: links(home) == {"eth0": home.lab.mac(NODE), "br1": mac}, 20, "the record to have the bridge instead")
        wait(lambda: len(data.macs(ip)) == 1 and data.macs(ip) <= {mac, *map(data_mac, home.nodes)} - {data_mac(NODE)}, 20, "one to answer")
        data.answered_by(data.serve_on(NODE, "bridged", skip=1), mac)
    finally:
        data.batch(NODE, ["link set data0 nomaster", "link del br1", "addr add 10.77.0.11/24 dev data0"])
    data.whole()
    data.answered_by(data.serve_on(NODE, "freed", skip=2), data_mac(NODE))


def needs(data, what, command, undo):
    """Skips where the kernel has no such links (tests/skips names the feature)."""
    if data.run("client", command, check=False).returncode != 0:
        pytest.skip(f"the kernel has no {what}")
    data.run("client", undo)


@pytest.mark.parametrize("kind", ["vlan", "macvlan"])
def test_sub_interface(home, data, kind, tmp_path):
    """A link on top of another, with a segment and a pool of its own. Its parent goes down and comes back."""
    made = {"vlan": "ip link add link data0 name data0.5 type vlan id 5", "macvlan": "ip link add link data0 name data0.5 type macvlan"}[kind]
    needs(data, kind, made, "ip link del data0.5")
    # Only one node has it. By default the others would answer on all their links, as none of these has the subnet.
    home.kube.patch(DEFAULT, {"spec": {"ipAddressPools": ["default-pool"]}})
    pool(home, "sub-pool", "10.78.0.100-10.78.0.110", ["data0.5"])
    for member in (NODE, "client"):
        data.run(member, made)
        data.batch(member, [f"link set data0.5 address 02:00:00:00:05:{HOSTS[member]:02x} up", f"addr add 10.78.0.{HOSTS[member]}/24 dev data0.5"])

    def macs():
        asked = wire.ask(home.client, "10.78.0.100", 1, timeout=0.3, interface="data0.5")
        return {reply["mac"] for replies in asked for reply in replies}
    mac = "02:00:00:00:05:0b"
    try:
        wait(lambda: links(home).get("data0.5") == mac, 20, "the record to have it")
        home.serve("sub", annotations={IPS: "10.78.0.100"})
        wait(lambda: macs() == {mac}, 20, "an answer on the sub-interface")
        data.run(NODE, "ip link set data0 down")
        wait(lambda: set(links(home)) == {"eth0"}, 20, "the record to lose both")
        sniffer = wire.Sniffer(home.client, tmp_path / "arp", interface="data0.5")
        data.run(NODE, "ip link set data0 up")
        data.run(NODE, "ip link set data0.5 up", check=False)
        wait(lambda: macs() == {mac}, 20, "an answer on the sub-interface again")
        wait(lambda: [f for f in sniffer.frames() if f["spa"] == f["tpa"] == "10.78.0.100" and f["sha"] == mac], 20, "it to be announced again")
        sniffer.stop()
    finally:
        for member in (NODE, "client"):
            data.run(member, "ip link del data0.5", check=False)
        data.run(NODE, "ip link set data0 up")


def test_vrf_member(home, data):
    """A VRF takes no frames from its members: they are used as ever."""
    needs(data, "vrf", "ip link add vrf1 type vrf table 10", "ip link del vrf1")
    ip = data.serve_on(NODE)
    data.batch(NODE, ["link add vrf1 type vrf table 10", "link set vrf1 up", "link set data0 master vrf1"])
    try:
        time.sleep(1)
        assert set(links(home)) == {"eth0", "data0"}
        data.answered_by(ip, data_mac(NODE))
    finally:
        data.batch(NODE, ["link set data0 nomaster", "link del vrf1"])


def test_bond(home, data):
    """The bond is used, not what it is made of."""
    needs(data, "bonding", "ip link add bond1 type bond mode active-backup", "ip link del bond1")
    mac = "02:00:00:00:02:0b"
    data.batch(NODE, [f"link add bond1 address {mac} type bond mode active-backup miimon 100", "link set data0 down", "link set data0 master bond1",
                      "link set bond1 up", "addr add 10.77.0.11/24 dev bond1"])
    try:
        wait(lambda: links(home) == {"eth0": home.lab.mac(NODE), "bond1": mac}, 20, "the record to have the bond instead")
        data.answered_by(data.serve_on(NODE, "bonded"), mac)
    finally:
        data.batch(NODE, ["link set data0 nomaster", "link del bond1", f"link set data0 address {data_mac(NODE)} up",
                          "addr replace 10.77.0.11/24 dev data0"])


@pytest.mark.parametrize("same", [False, True], ids=["another index", "the same index"])
def test_deleted_and_made_again(home, data, same, tmp_path):
    """A new card under the old name, and even under the old index: the old socket is deaf, so a new one is opened."""
    ip = data.serve_on(NODE)
    index = int(home.lab.run(NODE, ["cat", "/sys/class/net/data0/ifindex"]).stdout)
    if same:   # and both is read at once
        home.speakers[NODE].pause()
    data.run(NODE, "ip link del data0")
    if not same:
        heir = wait(lambda: home.holder(ip) not in ("", NODE) and home.holder(ip), 20, "another owner")
        data.answered_by(ip, data_mac(heir))
    data.plug(NODE, index if same else None)
    home.speakers[NODE].resume()
    time.sleep(0.5)   # on a busy machine it was away for so long that the others are about to notice
    data.whole()
    sniffer = wire.Sniffer(home.client, tmp_path / "arp", interface="data0")
    again = data.serve_on(NODE, "again", skip=1)
    data.answered_by(again, data_mac(NODE))
    data.answered_by(ip, data_mac(home.holder(ip)))
    assert [f for f in sniffer.stop() if f["spa"] == f["tpa"] == again and f["sha"] == data_mac(NODE)]


def test_deleted_and_made_again_without_the_api(home, data):
    """Others have taken over meanwhile: who comes back asks before he answers."""
    ip = data.serve_on(NODE)
    data.answered_by(ip, data_mac(NODE))
    home.cluster.pause()
    try:
        data.run(NODE, "ip link del data0")
        wait(lambda: data.macs(ip, 1) not in ({"nobody"}, {data_mac(NODE)}), 20, "another one to answer")
        asker = data.asker(ip)
        data.plug(NODE)
        back = time.time()
        time.sleep(3)
        seen = asker.stop()[ip]
        assert seen["unanswered"] == 0, seen
        assert [double["time"] - back for double in seen["doubles"] if double["time"] > back + 1] == []
    finally:
        home.cluster.resume()


def test_many_links_at_once(home, data):
    """Containers come and go by the hundred, and a few links that could be used: what works goes on."""
    ip = data.serve_on(NODE)
    data.answered_by(ip, data_mac(NODE))
    asker = data.asker(ip)
    containers = [f"veth{n}" for n in range(200)]
    usable = [f"more{n}" for n in range(8)]
    data.batch(NODE, [f"link add {name} up type veth peer name veth-{name}" for name in containers])
    data.batch(NODE, [f"link add {name} up type veth peer name veth-{name}" for name in usable])
    data.batch(NODE, [f"link set veth-{name} up" for name in usable])
    wait(lambda: set(links(home)) == {"eth0", "data0", *usable}, 40, "the record to have what could be used")
    data.batch(NODE, [f"link del {name}" for name in containers + usable])
    data.whole()
    seen = asker.stop()[ip]
    # Making so many takes a busy machine's kernel longer than peers wait: then another one answers meanwhile, and that is right.
    assert seen["unanswered"] < seen["asked"] / 4, seen
    data.answered_by(ip, data_mac(home.holder(ip)))


def test_netlink_overrun(home, data):
    """The process stands still while more happens than the kernel keeps for it: it reads everything anew."""
    ip = data.serve_on(NODE)
    speaker, new = home.speakers[NODE], "02:00:00:00:03:0b"
    skip = len(speaker.logs())
    speaker.pause()
    try:
        data.batch(NODE, ["link add veth0 type veth peer name veth1", *["link set veth0 up", "link set veth0 down"] * 1500, "link del veth0",
                          f"link set data0 address {new}"])
    finally:
        speaker.resume()
    try:
        speaker.wait_log(event="netlinkOverrun", skip=skip)
        wait(lambda: links(home) == {"eth0": home.lab.mac(NODE), "data0": new}, 30, "the record to have what happened last")
        wait(lambda: len(data.macs(ip)) == 1 and data.macs(ip) <= {new, *map(data_mac, home.nodes)} - {data_mac(NODE)}, 20, "one to answer")
        data.answered_by(data.serve_on(NODE, "again", skip=1), new)
    finally:
        data.run(NODE, f"ip link set data0 address {data_mac(NODE)}")
