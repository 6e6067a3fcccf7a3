"""The table on the pure core (tests/tools/allocsim.c): each case with the objects of a step at once, and one after the other."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from allocation import check_table, table

SIM = os.environ.get("ALLOCSIM") or str(Path(__file__).resolve().parents[2] / "build" / "allocsim")
CASES = table.load()


class Sim:
    """allocsim, and what it showed last."""

    def __init__(self, flag):
        argv = [SIM] + ([flag] if flag else [])
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events, self.shown = [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._process.stdin.close()
        code = self._process.wait(10)
        self._process.stdout.close()
        assert code == 0, f"allocsim ended with {code}"

    def send(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def settle(self, fixpoint=True):
        self.send(settle=True, fixpoint=fixpoint)
        self.shown = json.loads(self._process.stdout.readline())
        self.events += [(event["service"], event["reason"], event["text"]) for event in self.shown["events"]]
        assert self.shown["broken"] == ""

    def services(self):
        return {key: (service["ips"], service.get("pool")) for key, service in self.shown["services"].items()}


class Runner:
    def __init__(self, case, sim, one_by_one):
        self.case, self.sim, self.one_by_one = case, sim, one_by_one
        self.names = table.Names()
        self._spaces = set()

    def run(self):
        expected = table.Expected(self.case, self.names)
        self._configure(self.case.namespaces, self.case.pools, lambda: None)
        for number, step in enumerate(self.case.steps):
            self.sim.events = []
            self._take(step)
            faults = expected.step(step).faults(self.sim.services(), self.sim.events) + self._other_faults(expected)
            assert not faults, f"step {number}: " + "; ".join(faults)

    def _take(self, step):
        away = step.get("away") or not self.one_by_one
        between = (lambda: None) if away else (lambda: self.sim.settle(fixpoint=False))
        self._configure(step.get("namespaces", {}), step.get("pools", {}), between)
        for change in self._changes(step):
            self.sim.send(**change)
            between()
        if step.get("away") or step.get("restart"):
            self.sim.send(restart=True)
        self.sim.settle()

    def _configure(self, namespaces, pools, between):
        for name, labels in namespaces.items():
            self._namespace(name, labels)
            between()
        for name, spec in pools.items():
            if spec is None:
                self.sim.send(delete={"kind": "IPAddressPool", "namespace": self.names.namespace, "name": name})
            else:
                self.sim.send(put=table.pool_object(name, spec, self.names))
            between()

    def _namespace(self, name, labels=None):
        self._spaces.add(name)
        self.sim.send(put=table.namespace_object(name, labels, self.names))

    def _changes(self, step):
        for key, words in step.get("apply", {}).items():
            space = table.space_of(key)
            if space not in self._spaces:
                self._namespace(space)
            yield {"put": {**table.service_object(key, words, self.names), **self._status(key, words)}}
        for key, words in step.get("edit", {}).items():
            yield {"put": table.service_object(key, words, self.names, new=False)}
        for key, ips in step.get("status", {}).items():
            yield {"put": table.status_object(key, ips, self.names)}
        for key in step.get("delete", []):
            space, name = self.names.key(key).split("/")
            yield {"delete": {"kind": "Service", "namespace": space, "name": name}}

    def _status(self, key, words):
        if not (words or {}).get("status"):
            return {}
        return {"status": table.status_object(key, words["status"], self.names)["status"]}

    def _other_faults(self, expected):
        shown = self.sim.shown
        faults = [f"counters of {pool}: {shown['pools'].get(pool)}, expected {want}" for pool, want in expected.counters.items()
                  if shown["pools"].get(pool) != want]
        if expected.problems is not None and set(shown["problems"]) != set(expected.problems):
            faults.append(f"problems: {shown['problems']}, expected {expected.problems}")
        return faults + self._record_faults(shown)

    def _record_faults(self, shown):
        """Records and statuses say the same of who has what."""
        by_record = {(ip, service) for ip, services in shown["records"].items() for service in services.split(",")}
        by_status = {(ip, key) for key, service in shown["services"].items() if service["ours"] for ip in service["ips"]}
        return [f"record and status differ: {sorted(by_record ^ by_status)}"] if by_record != by_status else []


def test_the_table_is_whole():
    assert check_table.faults() == []


@pytest.mark.parametrize("way", ["at once", "one by one"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case, way):
    with Sim(case.flag) as sim:
        Runner(case, sim, way == "one by one").run()
