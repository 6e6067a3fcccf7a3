"""The home network as namespaces: one bridge, and everybody on a port of it.

    with HomeLab() as lab:
        lab.run("client", ["ping", "-c1", "192.168.122.10"])
        lab.cut("worker-1")

Nothing of it is in the machine's own network namespace.
"""

import ipaddress
import itertools
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field

from lab import proc
from lab.kube import wait

SUBNET = "192.168.122.0/24"
NODES = {"k8s-control": 10, "worker-1": 11, "worker-2": 12}
CLIENT = 50
CONTROLLER = 60
BRIDGE = "virbr0"

_serial = itertools.count(1)


@dataclass
class Member:
    """A machine on the network: its namespace, its first address and MAC."""
    name: str
    ns: str
    ip: str
    mac: str
    ports: dict = field(default_factory=dict)   # interface name: bridge port


def _command(*argv, **options):
    """Runs a setup command; its complaint is the error."""
    done = subprocess.run(argv, text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def _namespaces():
    return [line.split()[0] for line in _command("ip", "netns", "list").splitlines()]


def _remove_namespace(ns):
    """Kills what runs in a namespace and takes its name away."""
    for _ in range(50):
        pids = _command("ip", "netns", "pids", ns).split()
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    _command("ip", "netns", "del", ns)


def _sweep(prefix):
    """Removes the namespaces of test processes which were killed."""
    for ns in _namespaces():
        owner = re.fullmatch(rf"{re.escape(prefix)}-(\d+)-.*", ns)
        if owner and not proc.pid_alive(owner[1]):
            try:
                _remove_namespace(ns)
            except RuntimeError:
                # Another test run may be sweeping at the same time.
                if ns in _namespaces():
                    raise


class HomeLab:
    """Members by name: the nodes, "client", and "ctl" for the controller.

    nodes: how many of NODES, or a mapping of names to host numbers. Addresses
    are the subnet's network address plus the host number; the bridge is .1.
    """

    def __init__(self, prefix="l2lb", nodes=3, subnet=SUBNET, client=CLIENT,
                 controller=CONTROLLER):
        if isinstance(nodes, int):
            nodes = dict(itertools.islice(NODES.items(), nodes))
        _sweep(prefix)
        self._stem = f"{prefix}-{os.getpid()}-{next(_serial)}"
        self._subnet = ipaddress.ip_network(subnet)
        self._processes = []
        self._made = []
        self._ports = itertools.count(1)
        self.members = {}
        self.nodes = list(nodes)
        proc.close_at_exit(self)
        try:
            self.bridge_ns = self._add_namespace("bridge")
            self.add_bridge(BRIDGE, self._cidr(1))
            for name, host in {**nodes, "client": client, "ctl": controller}.items():
                self.add_member(name, host)
        except BaseException:
            self.close()
            raise

    # Building

    def add_bridge(self, name, cidr):
        """One more segment; its address is the gateway's."""
        # Ports forward at once: without delay, as libvirt sets its bridges.
        self._ip(self.bridge_ns,
                 f"link add {name} type bridge stp_state 0 forward_delay 0",
                 f"addr add {cidr} dev {name}",
                 f"link set {name} up")

    def add_member(self, name, host):
        """One more machine: eth0 on the bridge with that host number, default route."""
        mac = f"02:00:00:00:{host >> 8:02x}:{host & 255:02x}"
        member = Member(name, self._add_namespace(name), str(self._subnet[host]), mac)
        self.members[name] = member
        self.plug(name, "eth0", self._cidr(host), mac)
        self._ip(member.ns, f"route add default via {self._subnet[1]}")
        return member

    def remove_member(self, name):
        """It is unplugged, and what runs there is killed."""
        member = self.members.pop(name)
        # With a namespace its links go some time later; these have to go now.
        self._ip(self.bridge_ns, *(f"link del {port}" for port in member.ports.values()))
        self._made.remove(member.ns)
        _remove_namespace(member.ns)

    def plug(self, name, interface, cidr, mac, bridge=BRIDGE, index=None):
        """A network card for a member: a veth whose other end is a port of the bridge."""
        member = self.members[name]
        port = f"port{next(self._ports)}"
        member.ports[interface] = port
        self._ip(self.bridge_ns,
                 f"link add {port} type veth peer name {interface} netns {member.ns}" + (f" index {index}" if index else ""),
                 f"link set {port} master {bridge} up")
        self._ip(member.ns,
                 f"link set {interface} address {mac} up",
                 f"addr add {cidr} dev {interface}")

    # What happens to a network

    def cut(self, name, interface="eth0", quiet=False):
        """A member loses its link; quiet: frames are lost but the carrier stays."""
        port = self.members[name].ports[interface]
        if quiet:
            self._port_state(port, "disabled")
        else:
            self._ip(self.bridge_ns, f"link set {port} down")

    def restore(self, name, interface="eth0"):
        port = self.members[name].ports[interface]
        self._ip(self.bridge_ns, f"link set {port} up")
        # A port cannot be told to forward before its carrier has been noticed, some time after both ends are up.
        wait(lambda: self._forwards(port), 10, f"the port of {name}")

    def _forwards(self, port):
        try:
            self._port_state(port, "forwarding")
        except RuntimeError:
            return False
        return True

    def accept_vip(self, name, vip):
        """Lets a node's kernel take packets for a VIP without answering ARP for
        it, which is what kube-proxy achieves on a real node."""
        ns = self.ns(name)
        self._ip(ns, f"route replace local {vip}/32 dev lo")
        _command("ip", "netns", "exec", ns, "sysctl", "-qw",
                 "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.eth0.arp_ignore=1")

    def drop_vip(self, name, vip):
        """The counterpart of accept_vip()."""
        ns = self.ns(name)
        self._ip(ns, f"route del local {vip}/32 dev lo")
        _command("ip", "netns", "exec", ns, "sysctl", "-qw",
                 "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0")

    def accept_pool(self, name, ranges):
        """accept_vip() for whole networks, such as "192.168.122.128/28"."""
        ns = self.ns(name)
        self._ip(ns, *(f"route replace local {network} dev lo" for network in ranges))
        _command("ip", "netns", "exec", ns, "sysctl", "-qw",
                 "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.eth0.arp_ignore=1")

    def deafen(self, hearer, sender):
        """`hearer` hears nothing of `sender` any more, which goes on hearing it: a link that works one way only."""
        port = self.members[hearer].ports["eth0"]
        self._nft("add table bridge lab", "add chain bridge lab faults { type filter hook forward priority 0; }",
                  f'add rule bridge lab faults oifname "{port}" ether saddr {self.mac(sender)} drop')

    def undeafen(self):
        self._nft("add table bridge lab", "delete table bridge lab")

    def bridge_ip(self, *commands):
        """ip commands where the bridge is."""
        self._ip(self.bridge_ns, *commands)

    # Running things

    def ns(self, name):
        """The namespace of a member."""
        return self.members[name].ns

    def ip(self, name):
        return self.members[name].ip

    def mac(self, name):
        return self.members[name].mac

    def exec(self, name, argv, **popen):
        """Popen at a member; killed in close() at the latest."""
        process = proc.spawn([str(arg) for arg in argv], self.ns(name), **popen)
        self._processes.append(process)
        return process

    def run(self, name, argv, **options):
        """CompletedProcess of a command at a member, with its output as text."""
        options = {"text": True, "capture_output": True, **options}
        return subprocess.run(["ip", "netns", "exec", self.ns(name), *map(str, argv)], **options)

    def close(self):
        for process in self._processes:
            proc.end(process)
        self._processes.clear()
        # The bridge comes first and takes all links with it.
        while self._made:
            _remove_namespace(self._made.pop(0))
        proc.forget_at_exit(self)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    # Inside

    def _cidr(self, host):
        return f"{self._subnet[host]}/{self._subnet.prefixlen}"

    def _add_namespace(self, name):
        ns = f"{self._stem}-{name}"
        _command("ip", "netns", "add", ns)
        self._made.append(ns)
        self._ip(ns, "link set lo up")
        return ns

    def _ip(self, ns, *commands):
        """Several ip commands in one process: a lab is built in half the time."""
        _command("ip", "-n", ns, "-batch", "-", input="\n".join(commands) + "\n")

    def _nft(self, *commands):
        _command("ip", "netns", "exec", self.bridge_ns, "nft", "-f", "-", input="\n".join(commands) + "\n")

    def _port_state(self, port, state):
        _command("ip", "netns", "exec", self.bridge_ns,
                 "bridge", "link", "set", "dev", port, "state", state)
