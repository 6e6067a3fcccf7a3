"""The simulated API server (tests/sim/apiserver.h), the stand-in and a real kube-apiserver: random sequences of operations give the
same codes, reasons, objects, events and 410s.

    make test-e2e K=sim_server            SIM_SERVER_SEQUENCES=20 for fewer, SIM_SERVER_SEED=N for others, =random for ones that nobody has seen

The same ones every time: what nobody touched must not fail.
"""

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
import traceback
import unittest.mock
import urllib.request
from pathlib import Path

import pytest

from cluster.cluster import RealCluster
from lab import proc
from lab.kube import Kube, wait
from sim.apiserver_compare import Run, Served, Simulated, difference
from sim.apiserver_sequences import Sequence

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("L2LB", ROOT / "build" / "l2lb")).with_name("simapi")   # of the same build
SEQUENCES = int(os.environ.get("SIM_SERVER_SEQUENCES", 1000))
SEED = os.environ.get("SIM_SERVER_SEED", "0")
SEED = random.SystemRandom().randrange(10**6) if SEED == "random" else int(SEED)
WORKERS = 4
TOKEN = "sim-server-test"
# Programs in Go: without this they spend a third of their time on collecting a small heap.
LAZY = unittest.mock.patch.dict(os.environ, {"GOGC": "400"})


def install_definitions(kube):
    kube.apply((ROOT / "deploy/crds/ipaddresspools.yaml").read_text())
    wait_for_cache(kube)


def wait_for_cache(kube):
    """A custom resource's watch cache answers 429 while it is filled."""
    wait(lambda: kube.get("/apis/metallb.io/v1beta1/ipaddresspools?resourceVersion=0"), 20, "the watch cache")


class RealServer:
    """A control plane of its own: it is restarted and compacted in the middle."""

    def __init__(self, folder, assets):
        folder.mkdir()
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,admin,"system:masters"\n')   # cheaper than a certificate per connection
        self._cluster = RealCluster(folder / "cluster", assets, audit_level="None", flags=[f"--token-auth-file={tokens}"])
        with LAZY:
            self._cluster.start()
        install_definitions(self._cluster.client())
        self.close = self._cluster.close

    def connect(self):
        return Served("real", self._cluster.port, self._cluster.ca.cert, TOKEN)

    def _etcd(self, path, body):
        url = f"http://127.0.0.1:{self._cluster._etcd_port}/v3/kv/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as answer:
            return json.load(answer)

    def forget(self):
        """etcd forgets all old versions, and the restarted API server's watch cache begins anew."""
        self._cluster.stop_apiserver(signal.SIGKILL)
        self._etcd("compaction", {"revision": self._etcd("range", {"key": "AA=="})["header"]["revision"]})
        with LAZY:
            self._cluster.start_apiserver()
        wait_for_cache(self._cluster.client())


class StandinServer:
    def __init__(self, folder):
        self._process = proc.spawn([sys.executable, str(ROOT / "tests/standin/apiserver.py"), "--plain", "--dir", str(folder), "--listen", "127.0.0.1:0",
                                    "--history", "1000000"], stdout=subprocess.PIPE, text=True)
        self._port = int(re.search(r":(\d+)$", self._process.stdout.readline())[1])
        self._kube = Kube(url=f"http://127.0.0.1:{self._port}")
        install_definitions(self._kube)

    def connect(self):
        return Served("stand-in", self._port)

    def forget(self):
        self._kube.request("POST", "/_standin/faults", {"kind": "compact"})

    def close(self):
        proc.end(self._process)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def real(assets, tmp_path_factory):
    made = RealServer(tmp_path_factory.mktemp("sim-server") / "real", assets)
    yield made
    made.close()


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    made = StandinServer(tmp_path_factory.mktemp("sim-standin"))
    yield made
    made.close()


def work(seeds, servers, fault, prefix, pipe):
    """A process of its own: sends "before", awaits that the history is forgotten, sends the result; or what went wrong."""
    try:
        share(seeds, servers, fault, prefix, pipe)
    except Exception:
        pipe.send(traceback.format_exc())


def share(seeds, servers, fault, prefix, pipe):
    """A share of the sequences, each on the simulated server and on all the others."""
    connected = [Simulated(PROGRAM, fault)] + [server.connect() for server in servers]
    sequences = {seed: Sequence(seed) for seed in seeds}
    runs = {}
    for seed, sequence in sequences.items():
        runs[seed] = [perform(Run(server, f"{prefix}-{seed}"), sequence.before) for server in connected]
    pipe.send("before")
    pipe.recv()   # the others have forgotten their history
    connected[0].compact()
    for server in connected:
        server.reconnect()
    operations, found = 0, {}
    for seed, sequence in sequences.items():
        for run in runs[seed]:
            perform(run, sequence.after)
        operations += len(runs[seed][0].answers)
        differs = difference(runs[seed])
        if differs:
            found[seed] = differs
    connected[0].close()
    pipe.send((operations, found))


def perform(run, operations):
    for operation in operations:
        run.do(operation)
    run.end_watches()
    return run


def compare(seeds, servers, fault=None, prefix="seq", workers=WORKERS):
    """(number of operations, {seed: text of the first difference})"""
    pipes = []
    for start in range(workers):
        here, there = multiprocessing.Pipe()
        worker = multiprocessing.get_context("fork").Process(target=work, args=(seeds[start::workers], servers, fault, prefix, there), daemon=True)
        worker.start()
        there.close()
        pipes.append((here, worker))
    for here, _ in pipes:
        said = here.recv()
        assert said == "before", said
    for server in servers:
        server.forget()
    for here, _ in pipes:
        here.send("go on")
    operations, found = 0, {}
    for here, worker in pipes:
        said = here.recv()
        assert not isinstance(said, str), said
        number, differences = said
        operations += number
        found.update(differences)
        worker.join()
    return operations, found


def test_same_answers(standin, real):
    print(f"SIM_SERVER_SEED={SEED}")
    start = time.monotonic()
    operations, found = compare([SEED + number for number in range(SEQUENCES)], [standin, real])
    print(f"{SEQUENCES} sequences, {operations} operations on each server, {time.monotonic() - start:.0f} s")
    if found:
        texts = "\n\n".join(f"SIM_SERVER_SEED={seed} SIM_SERVER_SEQUENCES=1\n{text}" for seed, text in sorted(found.items())[:3])
        pytest.fail(f"{len(found)} sequences differ; the first:\n{texts}", pytrace=False)


@pytest.mark.parametrize("fault", ["ignores-version", "idle-patch-raises", "ignores-uid", "never-forgets", "leaves-silently"])
def test_planted_fault_is_noticed(standin, fault):
    """The comparison can fail: with the stand-in, which the test above holds against the real server."""
    _operations, found = compare(list(range(150)), [standin], fault, f"fault-{fault}", workers=2)
    assert found
