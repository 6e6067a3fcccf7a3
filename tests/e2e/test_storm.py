"""What comes in by the wire beside the requests that are ours to answer: storms of foreign ARP, VLAN tags."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from home import one_answer
from lab import l2lb, wire
from lab.kube import wait
from lab.proc import spawn

FOREIGN, WANTED, SECONDS = 100_000, 200, 4


def load(ns, ip, foreign, seconds):
    """The generator's figures: WANTED requests per second for ip, beside as many foreign ones as it gets out."""
    generator = Path(l2lb.default_binary()).parent / "bench" / "arp_load"
    argv = [str(arg) for arg in (generator, "-i", "eth0", "-a", ip, "-n", 1, "-r", WANTED, "-F", foreign, "-t", seconds)]
    process = spawn(argv, ns, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)


def test_storm(home):
    """During a storm of foreign requests each one for our address is answered, and nobody else takes it."""
    ip, owner = home.announced("web")
    calm = load(home.client, ip, 0, 0.5)
    assert calm["answered"] == calm["sent"] >= WANTED // 8, calm
    seen = load(home.client, ip, FOREIGN, SECONDS)
    print(seen)
    # A busy machine may keep the generator itself away for a while; what it sent counts.
    assert seen["foreign"] / seen["seconds"] > 2_000, "that was no storm"
    assert seen["sent"] >= WANTED * SECONDS // 8
    assert seen["answered"] == seen["sent"] and seen["doubles"] == seen["wrong"] == 0, seen
    assert home.holder(ip) == owner
    home.answered_by(ip, owner)


@pytest.mark.parametrize("tci, answers", [(0x0000, 1), (0xe000, 1), (0x0005, 0), (0x6fff, 0)])
def test_vlan_tag(home, tmp_path, tci, answers):
    """A priority tag (VID 0) is no VLAN, any other is not ours: what the node's kernel does for its own addresses."""
    ip, owner = home.announced("web")
    sender, client = home.lab.mac("client"), home.lab.ip("client")
    frame = wire.arp_frame(wire.REQUEST, sender, client, wire.NO_MAC, ip)
    sniffer = wire.Sniffer(home.client, tmp_path / "arp.jsonl")
    wire.send(home.client, frame[:12] + bytes((0x81, 0x00)) + tci.to_bytes(2, "big") + frame[12:])

    def replies():
        return [f for f in sniffer.frames() if f["op"] == wire.REPLY and f["spa"] == ip and f["eth_dst"] == sender]
    wait(lambda: len(replies()) >= answers, 10, "the answer")
    time.sleep(0.3)
    sniffer.stop()
    assert [f["sha"] for f in replies()] == [home.lab.mac(owner)] * answers
    seen = home.asker(ip, hz=50)
    time.sleep(0.3)
    one_answer(seen.stop()[ip])
