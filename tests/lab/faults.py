"""What may happen to a cluster, and what a client may see of it: the table of issue 6, for `make bench-failover` and for the tests.

    outcome = play(stage, ROWS["dead"]())      lab/stage.py
"""

import collections
import time

from lab import wire
from lab.cable import BadCable
from lab.kube import path, wait
from lab.stage import Bound, Outcome, Row, Unmeasured


class Dead(Row):
    name, title = "dead", "node dead (its bridge port down)"
    bound = Bound(arp=350, traffic=350, moves=1)

    def inject(self, stage, ips):
        stage.cut(self.owner)


class DeadQuiet(Dead):
    name, title = "dead-quiet", "node dead (frames lost, its carrier stays)"

    def inject(self, stage, ips):
        stage.cut(self.owner, quiet=True)


class Dead20(Dead):
    name, title = "dead-20ms", "node dead, --liveness-interval 20ms"
    bound = Bound(arp=80, traffic=80, moves=1)
    flags = ("--liveness-interval", "20ms")
    ours_only = True


class DeadNoApi(Dead):
    name, title = "dead-no-api", "node dead while the API server is stopped"
    owners = ("worker-2",)

    def prepare(self, stage, ips):
        if not stage.home.api_down:
            stage.stop_api()
            time.sleep(1)


class Chain(Row):
    name, title = "chain", "two deaths in a chain: the owner, a second later who took over"
    bound = Bound(arp=450, traffic=450, moves=2)

    def inject(self, stage, ips):
        stage.cut(self.owner)
        time.sleep(0.8)
        stage.cut(stage.owner(ips[0]))


class ChainNoApi(Chain):
    name, title = "chain-no-api", "two deaths in a chain while the API server is stopped"
    prepare = DeadNoApi.prepare


class Killed(Row):
    name, title = "killed", "speaker killed (kill -9), not restarted"
    bound = Bound(arp=300, traffic=0, doubles=0, moves=1)
    seconds = 34

    def inject(self, stage, ips):
        stage.kill9(self.owner)

    def check(self, stage, ips, outcome, asked):
        """Guarded with the owner's MAC for 30 s, then taken over without a gap."""
        killed, seen = outcome.marks[0][0], asked[ips[0]]
        own = stage.lab.mac(self.owner)
        moved = [when for when, mac in seen["changes"] if mac != own]
        if not moved:
            outcome.wrong.append("not taken over within 34 s")
        elif not 29 <= moved[0] - killed <= 33:
            outcome.wrong.append(f"taken over {moved[0] - killed:.1f} s after the kill instead of 30")
        late = [first - killed for first, _, _, answers in seen["spans"] if not answers and first > killed + 0.6]
        if late:
            outcome.wrong.append(f"unanswered {late[0]:.1f} s after the kill ({len(late)} times), the guard should have answered")


class KilledRestarted(Row):
    name, title = "killed-restarted", "speaker killed (kill -9), restarted at once"
    bound = Bound(arp=300, traffic=0, doubles=0, moves=0)

    def inject(self, stage, ips):
        stage.kill9(self.owner)
        stage.start(self.owner)


class Rolling(Row):
    name, title = "rolling", "SIGTERM and restart, node by node (an upgrade)"
    bound = Bound(arp=0, traffic=0, doubles=0, moves=0)
    hz = 200
    pause = 1.0    # between two nodes

    def __init__(self, nodes=("k8s-control", "worker-1", "worker-2")):
        self.owners = nodes

    def inject(self, stage, ips):
        for node in self.owners:
            stage.terminate(node)
            stage.start(node)
            time.sleep(self.pause)


class RollingNoApi(Rolling):
    name, title = "rolling-no-api", "SIGTERM while the API server is stopped; back when it is"
    owners = ("worker-1",)

    def __init__(self):
        super().__init__(("worker-1",))

    prepare = DeadNoApi.prepare

    def inject(self, stage, ips):
        stage.terminate(self.owner)
        time.sleep(1)


class Move(Row):
    name, title = "move", "planned move (l2lb move)"
    bound = Bound(arp=0, traffic=0, doubles=50, moves=1)
    ours_only = True

    def inject(self, stage, ips):
        stage.command("move", ips[0], "worker-2")

    def check(self, stage, ips, outcome, asked):
        if stage.owner(ips[0]) != "worker-2":
            outcome.wrong.append(f"{stage.owner(ips[0])} answers after the move to worker-2")


class Drain(Row):
    name, title = "drain", "drain (l2lb drain)"
    bound = Move.bound
    ours_only = True

    def inject(self, stage, ips):
        stage.command("drain", self.owner)

    def check(self, stage, ips, outcome, asked):
        if stage.owner(ips[0]) == self.owner:
            outcome.wrong.append(f"{self.owner} still answers")

    def end(self, stage):
        stage.command("undrain", self.owner)


class CordonShutdown(Row):
    name, title = "cordon", "cordon, then SIGTERM without restart (a node shuts down)"
    bound = Move.bound

    def inject(self, stage, ips):
        stage.cordon(self.owner)
        time.sleep(0.3)
        stage.terminate(self.owner)

    def check(self, stage, ips, outcome, asked):
        if stage.owner(ips[0]) == self.owner:
            outcome.wrong.append(f"{self.owner} left and its address stayed: guarded")

    def end(self, stage):
        stage.cordon(self.owner, on=False)


class Returns(Row):
    name, title = "returns", "cut-off node returns"
    bound = Bound(doubles=150, moves=1)
    seconds = 3

    def prepare(self, stage, ips):
        if self.owner not in stage.cut_off:
            stage.cut(self.owner)
            time.sleep(max(2, getattr(stage.home, "LASTS", 0)))   # until another one has taken over

    def inject(self, stage, ips):
        stage.restore(self.owner)


class ReturnsNoApi(Returns):
    name, title = "returns-no-api", "cut-off node returns while the API server is stopped"
    bound = Bound(doubles=300, moves=1)
    owners = ("worker-2",)

    def prepare(self, stage, ips):
        DeadNoApi.prepare(self, stage, ips)
        super().prepare(stage, ips)


class DeadAgain(Dead):
    name, title = "dead-again", "node dead, back, its addresses moved back to it, dead again within 30 s"
    owners = ("worker-1",) * 4   # so that probably each of the others has taken one
    hz = 100

    def prepare(self, stage, ips):
        stage.cut(self.owner)
        time.sleep(3)
        stage.restore(self.owner)
        time.sleep(2)
        for ip in ips:
            stage.home.put_on(ip, self.owner)
            stage.home.answered_by(ip, self.owner)
        time.sleep(1)


class ApiAway(Row):
    name, title = "api-away", "API server away for 10 minutes, back, compacted meanwhile"
    bound = Bound(arp=0, traffic=0, doubles=0, moves=0)
    seconds = 5

    def __init__(self, away=600, meanwhile=None):
        self.away, self.meanwhile = away, meanwhile   # meanwhile: a function of the stage, for what else is tried then

    def inject(self, stage, ips):
        until = time.monotonic() + self.away
        # They have seen what was there; their place in it is gone when they come back.
        stage.kube.patch(path("Service", "default", "kubernetes"), {"metadata": {"labels": {"touched": str(int(until))}}})
        stage.stop_api()
        stage.home.cluster.compact()
        if self.meanwhile:
            self.meanwhile(stage)
        time.sleep(max(0, until - time.monotonic()))
        stage.start_api()


class Stopped(Row):
    name, title = "stopped", "owner's process stopped (SIGSTOP) 20 s and continued"
    bound = Bound(arp=300, doubles=0, moves=0)
    seconds = 2

    def __init__(self, asleep=20):
        self.asleep = asleep

    def watched(self, stage, watch):
        self.sniffer = wire.Sniffer(stage.home.client, stage.home.folder / "stopped.jsonl", about=watch.ips[0])

    def inject(self, stage, ips):
        speaker = stage.home.speakers[self.owner]
        stage.mark(f"{self.owner} stopped")
        speaker.pause()
        time.sleep(self.asleep)
        stage.mark(f"{self.owner} continued")
        speaker.resume()

    def check(self, stage, ips, outcome, asked):
        """It answers nothing until it has checked."""
        woke, own = outcome.marks[1][0], stage.lab.mac(self.owner)
        sent = [frame for frame in self.sniffer.stop() if frame["eth_src"] == own and frame["time"] >= woke]
        said = [frame["time"] - woke for frame in sent if frame["spa"] == ips[0]]
        looked = [frame["time"] - woke for frame in sent if frame["op"] == wire.REQUEST and frame["tpa"] == ips[0] and frame["spa"] != ips[0]]
        if said and (not looked or said[0] < looked[0]):
            outcome.wrong.append(f"{len(said)} frames as owner, the first {said[0] * 1000:.1f} ms after it woke, "
                                 + (f"before it asked at {looked[0] * 1000:.1f} ms" if looked else "and it never asked"))


class Carrier(Row):
    name, title = "carrier", "owner's link loses carrier (its API server is reached another way)"
    bound = Bound(arp=350, traffic=350, moves=1)

    def prepare(self, stage, ips):
        stage.home.second_way(self.owner)

    def inject(self, stage, ips):
        stage.cut(self.owner)

    def end(self, stage):
        if self.owner in stage.cut_off:
            stage.restore(self.owner)
        stage.home.no_second_way(self.owner)


class Loss(Row):
    name, title = "loss", "10 % loss on the owner's port both ways, 10 +- 10 ms delay, 10 minutes"
    bound = Bound(doubles=0, moves=0)
    steady = False
    cable = None

    def __init__(self, seconds=600):
        self.seconds = seconds

    def prepare(self, stage, ips):
        self.cable = BadCable(stage.lab, self.owner, loss=10, delay=10, jitter=10)
        time.sleep(0.5)

    def check(self, stage, ips, outcome, asked):
        self.cable.end()
        macs = {answer for _, _, _, answers in asked[ips[0]]["spans"] for answer in answers}
        if macs - {stage.lab.mac(self.owner)}:
            outcome.wrong.append(f"somebody else answered, too: {sorted(macs)}")
        if not asked[ips[0]]["unanswered"]:
            outcome.wrong.append("no question was lost: the cable is a good one")
        if self.cable.late_ms > 50 and outcome.excess():   # more than the row asks for may be survived
            raise Unmeasured(f"the cable stood still for {self.cable.late_ms} ms: that was no loss of 10 %; {'; '.join(outcome.excess())}")

    def end(self, stage):
        if self.cable:
            self.cable.end()


class OneWay(Row):
    name, title = "one-way", "two nodes hear each other one way only, a third hears both"
    bound = Bound(arp=0, traffic=0, doubles=0, moves=0)

    def __init__(self, seconds=30):
        self.each = seconds

    def inject(self, stage, ips):
        """First the owner is deaf to another node, then that one to the owner; each of the two others in turn."""
        for other in [node for node in stage.home.nodes if node != self.owner][:2]:
            for hearer, sender in ((self.owner, other), (other, self.owner)):
                stage.mark(f"{hearer} does not hear {sender}")
                stage.lab.deafen(hearer, sender)
                time.sleep(self.each / 4)
                stage.lab.undeafen()
                stage.mark("heard again")
                time.sleep(0.5)

    def end(self, stage):
        stage.lab.undeafen()


class Restarts(Row):
    name, title = "clients", "real Linux clients through 120 s of restarts"
    bound = Bound(traffic=0, doubles=0, moves=0)
    hz = 200

    def __init__(self, seconds=120, owners=("k8s-control", "worker-1", "worker-2"), clients=2):
        self.lasting, self.owners, self.clients = seconds, owners, clients

    def watched(self, stage, watch):
        for i, ns in enumerate(stage.more_clients(self.clients)):
            for ip in watch.ips:
                watch.add_client(f"client {i + 2}, packets to {ip}", ns, ip, hz=50)
                watch.add_client(f"client {i + 2}, connection to {ip}", ns, ip, hz=20, tcp=True)

    def inject(self, stage, ips):
        """Upgrades and crashes in turn, on each node in turn."""
        until, crash = time.monotonic() + self.lasting, False
        while time.monotonic() < until:
            for node in self.owners:
                (stage.kill9 if crash else stage.terminate)(node)
                stage.start(node)
                time.sleep(1.5)
            crash = not crash


# Many addresses at once

class Many(Row):
    """Needs a lab of its own (home.ManyHome); play_many() runs it."""
    name, title = "many", "500 addresses on the dead node, 5 nodes left"
    bound = Bound(arp=500)
    owners = ("node-1",)
    settles = 10  # s until one answers for each; records are written by and by
    fair = 1.5    # times the fair share is the most that one node may get


def fill(home, node):
    """All addresses of a ManyHome are this node's, and free to go to any other."""
    home.advertise_from(node)
    wait(lambda: sum(record["spec"].get("holderIdentity") == node for record in home.records()) == len(home.POOL), 90,
         f"{node} to have all addresses", 0.5)
    time.sleep(1)
    _, strays = _all_answered(home)
    if strays:
        raise AssertionError(f"{len(strays)} addresses unanswered or answered twice before anything happened: {list(strays.items())[:2]}")
    home.advertise_from()
    time.sleep(2)


def _all_answered(home):
    """(how many addresses each node answers for, {address: what a client saw} of those with no answer or with two)."""
    asker = home.asker(*home.POOL, hz=2)
    time.sleep(1.2)
    asked = asker.stop()
    shares = collections.Counter(home.node_of(mac) for seen in asked.values() for _, mac in seen["changes"][-1:])
    return dict(shares), {ip: seen["spans"] for ip, seen in asked.items() if seen["unanswered"] or seen["doubles"]}


def play_many(home, row):
    """The node that has all addresses dies. Of each address: when somebody else announced it or answered for it first. arp_ms is the
    latest of them, counted from the moment before the port went down."""
    dead = row.owner
    sniffer = wire.Sniffer(home.client, home.folder / "many.jsonl")
    cut = time.time()
    home.lab.cut(dead)
    time.sleep(3)
    first, told = {}, set(home.POOL)
    for frame in sniffer.stop():
        mine = frame["spa"] in told and frame["sha"] == frame["eth_src"] != home.lab.mac(dead)
        if mine and frame["time"] >= cut and not frame["out"]:
            first.setdefault(frame["spa"], (frame["time"], home.node_of(frame["sha"])))
    outcome = Outcome(row, list(home.POOL), marks=[(cut, f"{dead} cut off")])
    outcome.arp_ms = max((when for when, _ in first.values()), default=cut) * 1000 - cut * 1000
    outcome.unanswered = len(told - set(first))
    if outcome.unanswered:
        outcome.wrong.append(f"{outcome.unanswered} addresses were not taken over within 3 s")
    outcome.shares, strays = _all_answered(home)
    while strays and time.time() < cut + row.settles:
        outcome.shares, strays = _all_answered(home)
    outcome.settled_s = time.time() - cut
    if strays:
        outcome.wrong.append(f"{len(strays)} addresses unanswered or with two answers {outcome.settled_s:.0f} s after the death: {list(strays.items())[:2]}")
    most = max(outcome.shares.values(), default=0)
    if most > row.fair * len(home.POOL) / (len(home.nodes) - 1):
        outcome.wrong.append(f"one node got {most} of {len(home.POOL)} addresses: {outcome.shares}")
    outcome.lanes = [(ip, [[cut - 0.2, cut, (dead, None)], [cut, when, None], [when, cut + 1, (node, None)]])
                     for ip, (when, node) in list(first.items())[::25]]
    home.lab.restore(dead)
    return outcome


TABLE = [Dead, DeadQuiet, Dead20, DeadAgain, DeadNoApi, Chain, ChainNoApi, Killed, KilledRestarted, Rolling, RollingNoApi, Move, Drain, CordonShutdown,
         Returns, ReturnsNoApi, ApiAway, Stopped, Carrier, Loss, OneWay, Restarts]
ROWS = {row.name: row for row in TABLE}
