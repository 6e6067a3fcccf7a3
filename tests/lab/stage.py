"""Where faults are made and looked at: a Home with traffic, and one run of a fault as a client sees it.

A Row (lab/faults.py has them all) says how a fault is prepared, made and ended, and how much of it a client may see.
play(stage, row) makes it while a client asks 500 times a second by broadcast ARP and sends a packet every 2 ms through its kernel's
neighbour table, and returns an Outcome.

    stage = Stage(home)
    outcome = play(stage, Dead())
    outcome.excess(factor=2)      what is worse than twice the bound, in words; [] is good

Who owns an address is always read from the wire, so that the same rows run with another speaker in our place.
"""

import time
from dataclasses import dataclass, field

from lab import wire
from lab.kube import path, wait
from lab.traffic import Echo, Traffic

IPS = "metallb.io/loadBalancerIPs"
LEAD_IN = 0.5   # watched before a fault, s
STEADY = 0.5    # the end of each run in which everything must be as ever, s


class Unmeasured(AssertionError):
    """Another fault than the row's has happened: the lab was too slow for it."""


@dataclass
class Bound:
    """What a client may see; None: not promised. arp, traffic, doubles: ms, 0 for not a single one."""
    arp: float | None = None
    traffic: float | None = None
    doubles: float | None = None
    moves: int | None = None


@dataclass
class Outcome:
    """What a client saw of a fault. Of several addresses each figure is the worst one's."""
    row: "Row"
    ips: list
    arp_ms: float = 0         # longest time without an ARP answer
    unanswered: int = 0
    traffic_ms: float = 0     # longest time in which each packet was lost
    lost: int = 0
    doubles_ms: float = 0     # from the first to the last request with two different MACs as answers
    doubles: int = 0
    moves: int = 0            # how often the packets reached another node than before
    marks: list = field(default_factory=list)    # (time, what was done)
    lanes: list = field(default_factory=list)    # (label, spans): who answered when
    wrong: list = field(default_factory=list)    # what the row itself found, in words
    settled_s: float = 0    # until exactly one answered for each of many
    shares: dict = field(default_factory=dict)   # how many addresses each node got, where there were many

    def excess(self, factor=1):
        """What is worse than promised, in words. factor: for noise; it does not apply to "none at all" and to moves."""
        bound, found = self.row.bound, list(self.wrong)
        for label, seen, number, limit in (("without an ARP answer", self.arp_ms, self.unanswered, bound.arp),
                                           ("without traffic", self.traffic_ms, self.lost, bound.traffic),
                                           ("two answers", self.doubles_ms, self.doubles, bound.doubles)):
            if limit is not None and (seen >= limit * factor if limit else number):
                found.append(f"{label}: {seen:.0f} ms ({number} times), promised are {f'less than {limit:g}' if limit else 'none'}")
        if bound.moves is not None and self.moves > bound.moves:
            found.append(f"{self.moves} moves, promised are at most {bound.moves}")
        return found


class Stage:
    """A Home whose nodes serve the pool's addresses, and clients of them."""

    def __init__(self, home, networks=("192.168.122.100/30", "192.168.122.104/29", "192.168.122.112/28", "192.168.122.128/28",
                                       "192.168.122.144/30", "192.168.122.148/31", "192.168.122.150/32")):
        self.home, self.lab, self.kube = home, home.lab, home.kube
        self.marks, self.cut_off, self.clients = [], [], []
        self._placed = 0
        for node in home.nodes:
            self.lab.accept_pool(node, networks)
            Echo(self.lab, node)

    # Addresses

    def place(self, node):
        """A Service whose address this node has, answered for by it: the address."""
        self._placed += 1
        return self.home.place(f"row-{self._placed}", node)

    def clear(self):
        """No Service left of what place() made."""
        for kind in ("Service", "EndpointSlice"):
            for made in self.kube.list(path(kind, "default")):
                if made["metadata"]["name"].startswith("row-"):
                    self.kube.delete(path(kind, "default", made["metadata"]["name"]))
        self.home.wait_no_records()

    def owner(self, ip, timeout=3):
        """Who answers for it with its own MAC, and nobody else."""
        macs = wait(lambda: len(found := self.home.macs(ip, 1)) == 1 and "nobody" not in found and found, timeout, f"one answer for {ip}")
        return self.home.node_of(macs.pop())

    # What is done

    def mark(self, what):
        self.marks.append((time.time(), what))

    def cut(self, node, quiet=False):
        self.mark(f"{node} cut off")
        self.lab.cut(node, quiet=quiet)
        self.cut_off.append(node)

    def restore(self, node):
        self.mark(f"{node} is back")
        self.lab.restore(node)
        self.cut_off.remove(node)

    def mend(self):
        """Everybody is on the network and has a speaker that answers, the API server runs."""
        for node in list(self.cut_off):
            self.restore(node)
        self.home.mended()

    def kill9(self, node):
        self.mark(f"speaker of {node} killed")
        self.home.kill9(self.home.speakers[node])

    def terminate(self, node):
        self.mark(f"SIGTERM to {node}")
        self.home.stop(self.home.speakers[node])

    def start(self, node):
        """Up again when this returns."""
        self.home.up(self.home.start_speaker(node))
        self.mark(f"{node} is up")

    def use_flags(self, *flags):
        """Speakers that run with these."""
        if flags == self.home.speaker_flags:
            return
        self.home.speaker_flags = flags
        for node in list(self.home.speakers):
            self.home.stop(self.home.speakers[node])
        for node in self.home.nodes:
            self.home.start_speaker(node)
        for node in self.home.nodes:
            self.home.up(self.home.speakers[node])
        time.sleep(1)   # for the peers to have met

    def command(self, *argv):
        """l2lb move, l2lb drain, ... as the cluster's administrator."""
        self.mark("l2lb " + " ".join(argv))
        done = self.home.command(*argv)
        if done.returncode:
            raise AssertionError(f"l2lb {' '.join(argv)} ended with {done.returncode}: {(done.stderr + done.stdout)[-500:]}")

    def cordon(self, node, on=True):
        self.mark(f"{node} cordoned" if on else f"{node} uncordoned")
        self.kube.patch(path("Node", name=node), {"spec": {"unschedulable": on or None}})

    def stop_api(self):
        self.mark("API server stopped")
        self.home.stop_api()

    def start_api(self):
        self.home.start_api()
        self.mark("API server is back")

    def more_clients(self, count):
        """Machines with kernels' neighbour tables of their own: their namespaces."""
        while len(self.clients) < count:
            name = f"client{len(self.clients) + 2}"
            self.lab.add_member(name, 50 + len(self.clients) + 1)
            self.clients.append(self.lab.ns(name))
        return self.clients[:count]


class Watch:
    """A client that asks for addresses and sends packets to them until stop()."""

    def __init__(self, stage, ips, hz):
        self.stage, self.ips, self.hz = stage, ips, hz
        self.traffic = {ip: Traffic(stage.home.client, ip, self.hz) for ip in ips}
        self.others = []   # (label, Traffic): of more clients
        # 100 senders: an answer may take 200 ms on a busy machine and is still one to its own request.
        self.asker = wire.Asker(stage.home.client, ips, hz, senders=[f"192.168.122.{n}" for n in range(151, 251)])

    def add_client(self, label, ns, ip, hz=100, tcp=False):
        self.others.append((label, Traffic(ns, ip, hz, tcp)))

    def stop(self):
        """({ip: Asker's summary}, [(label, ip or None, Traffic's summary)])"""
        asked = self.asker.stop()
        return asked, [*((f"packets to {ip}", ip, traffic.stop()) for ip, traffic in self.traffic.items()),
                       *((label, None, traffic.stop()) for label, traffic in self.others)]


class Row:
    """A row of the table. owner: the node whose address is watched; seconds: watched after the fault was made."""
    name = title = ""
    bound = Bound()
    owners = ("worker-1",)
    seconds = 1.5
    hz = 500               # questions and packets a second, to each address
    flags = ()
    ours_only = False      # nothing of the kind exists elsewhere
    steady = True          # one answers each request at the end

    def prepare(self, stage, ips):
        """Before anybody watches."""

    def watched(self, stage, watch):
        """Somebody watches; nothing has happened yet."""

    def inject(self, stage, ips):
        """Makes the fault; returns when it is complete."""

    def check(self, stage, ips, outcome, asked):
        """What figures do not say: adds to outcome.wrong."""

    def end(self, stage):
        """Back to normal, beyond what Stage.mend() does."""

    @property
    def owner(self):
        return self.owners[0]


def play(stage, row, ips=None, mend=True):
    """One run of a row. ips: addresses its owners have already. mend: False leaves the fault in place for the row that follows."""
    stage.use_flags(*row.flags)
    before, stage.marks = stage.marks, []   # a row may be played within another one
    ips = ips or [stage.place(owner) for owner in row.owners]
    try:
        row.prepare(stage, ips)
        watch = Watch(stage, ips, row.hz)
        row.watched(stage, watch)
        time.sleep(LEAD_IN)
        row.inject(stage, ips)
        time.sleep(row.seconds)
        outcome, asked = _outcome(row, stage, ips, *watch.stop())
        row.check(stage, ips, outcome, asked)
    finally:
        row.end(stage)
        if mend:
            stage.mend()
        stage.marks = before + stage.marks
    return outcome


def _outcome(row, stage, ips, asked, packets):
    outcome = Outcome(row, ips, marks=list(stage.marks))
    for ip, seen in asked.items():
        outcome.arp_ms = max(outcome.arp_ms, seen["outage_ms"])
        outcome.unanswered += seen["unanswered"]
        times = [double["time"] for double in seen["doubles"]]
        outcome.doubles += len(times)
        if times:
            outcome.doubles_ms = max(outcome.doubles_ms, (times[-1] - times[0]) * 1000 + 2)
        outcome.lanes.append((f"ARP for {ip}", [[first, last, _who(stage, answers)] for first, last, _, answers in seen["spans"]]))
        if row.steady:
            outcome.wrong += _unsteady(ip, seen["spans"])
    for label, ip, seen in packets:
        outcome.traffic_ms = max(outcome.traffic_ms, seen["outage_ms"])
        outcome.lost += seen["lost"]
        outcome.moves = max(outcome.moves, seen["moves"])
        outcome.lanes.append((label, [[first, last, (node, None)] if node else [first, last, None] for first, last, _, node in seen["spans"]]))
        if seen["broken"]:
            outcome.wrong.append(f"{label}: the connection broke: {seen['broken']}")
    return outcome, asked


def _who(stage, answers):
    """For a timeline: None for nobody, "two", or (node, guard or None)."""
    if not answers:
        return None
    if len({answer.partition("<")[0] for answer in answers}) > 1:
        return "two"
    # The owner and its guard may both answer for a moment, with the same MAC.
    mac, _, source = answers[0].partition("<")
    return stage.home.node_of(mac), stage.home.node_of(source) if source else None


def _unsteady(ip, spans):
    since = spans[-1][1] - STEADY
    late = {tuple(sorted({answer.partition("<")[0] for answer in answers})) for _, last, _, answers in spans if last >= since}
    if len(late) == 1 and len(next(iter(late))) == 1:
        return []
    return [f"{ip}: in the last {STEADY:g} s of the run not one and the same node answered each request: {sorted(late)}"]
