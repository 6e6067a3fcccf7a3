"""Allocation while things fail or others interfere, on the real API server: two controllers, foreign writers, broken pools,
bursts, an API server that says "later". What must never happen is looked for at every moment, by a watch."""

import contextlib
import datetime
import itertools
import threading
import time

import pytest
import yaml

from contract import Standin
from home import FROM_POOL, LEADER, NAMESPACE, VIP, StatusWatch, addresses, vip
from lab import l2lb
from lab.kube import ApiError, path, wait
from test_metrics import scrape, value

POOL = 51
IPS, SHARE = "metallb.io/loadBalancerIPs", "metallb.io/allow-shared-ip"
CONTROLLER = f"system:serviceaccount:{NAMESPACE}:controller"
WRITES = ("create", "update", "patch", "delete")
ELSEWHERE = ["--port=0", "--health-probe-port=0"]   # of a second controller, at a member that has no need for it


class Storm:
    """Somebody who writes to the newest Services all the time, so that a write which is guarded by a version meets 409."""

    def __init__(self, home, names):
        self._kube, self._names, self._over = home.cluster.client(), names, threading.Event()
        self._threads = [threading.Thread(target=self._blow, args=(write,), daemon=True) for write in (self._annotation, self._condition)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception):
        self._over.set()
        for thread in self._threads:
            thread.join(10)

    def _blow(self, write):
        for number in itertools.count():
            for name in self._names[-3:] or [None]:
                if self._over.wait(0.002 if name else 0.01):
                    return
                with contextlib.suppress(ApiError):   # it is not there yet, or not any more
                    write(name, str(number)) if name else None

    def _annotation(self, name, number):
        self._kube.patch(path("Service", "default", name), {"metadata": {"annotations": {"example.com/storm": number}}})

    def _condition(self, name, number):
        self._kube.patch(path("Service", "default", name, "status"), {"status": {"conditions": [
            {"type": "Storm", "status": "True", "reason": "Blows", "message": number, "lastTransitionTime": "2026-01-02T03:04:05Z"}]}})


class Burst:
    """Services, made in quick succession."""

    def __init__(self, home):
        self._home, self.names = home, []

    def make(self, prefix, count):
        for n in range(count):
            self.names.append(f"{prefix}-{n}")
            self._home.serve(self.names[-1])

    def keys(self):
        return [f"default/{name}" for name in self.names]


def agree(home, served):
    """So many Services have addresses, and the records say just what their statuses do."""
    wait(lambda: len(home.shown()) == served, 60, f"{served} addresses")
    wait(lambda: home.recorded() == home.shown(), 30, "the records to say what the statuses do")


def seen(home, user=CONTROLLER, since=()):
    """The audit log of a user: the last event of each request."""
    return {event["auditID"]: event for event in home.cluster.audit(user) if event["auditID"] not in since}


def written(home, since):
    """What both roles wrote: (verb, resource, name)."""
    found = []
    for role in ("controller", "speaker"):
        for event in seen(home, f"system:serviceaccount:{NAMESPACE}:{role}", since).values():
            what = event.get("objectRef", {})
            if event["verb"] in WRITES and what.get("resource") != "selfsubjectaccessreviews":
                found.append((event["verb"], what.get("resource"), what.get("name")))
    return found


def audited(home):
    return {event["auditID"] for event in home.cluster.audit()}


# Two controllers

@pytest.mark.parametrize("fault", ["cut off", "stopped"])
def test_a_leader_that_comes_back(home, fault):
    """In the middle of its work, for longer than its Lease lasts, while others write to the same Services: nothing twice."""
    watch, burst = StatusWatch(home.kube), Burst(home)
    first = home.controllers["controller"]
    before = audited(home)
    with Storm(home, burst.names):
        second = home.start_controller("other", ELSEWHERE, member="client")
        second.wait_log(event="starting")
        burst.make("early", 10)
        if fault == "cut off":
            home.lab.cut("ctl", quiet=True)   # what it has sent arrives when the network is back, if it ever does
        else:
            first.pause()
        burst.make("meanwhile", 10)
        second.wait_log(event="leading", timeout=60)
        for name in burst.names:
            home.address(name, 20)
        # Room for mistakes: addresses that were given back while the old one could not see it.
        for gone in ("early-0", "early-5"):
            home.delete(gone)
            burst.names.remove(gone)
        burst.make("reused", 2)
        for name in ("reused-0", "reused-1"):
            home.address(name)
        if fault == "cut off":
            home.lab.restore("ctl")
        else:
            first.resume()
        burst.make("late", 10)
        first.wait_log(event="leadershipLost", timeout=60)
        for name in burst.names:
            home.address(name, 20)
    agree(home, len(burst.names))
    assert home.holder_of(LEADER).startswith("other_")
    # It can lead again, with what has changed since.
    lines = len(first.logs())
    home.stop(second)
    first.wait_log(event="leading", skip=lines, timeout=60)
    burst.make("again", 3)
    agree(home, len(burst.names))
    watch.only_one_each(burst.keys())
    refused = [event for event in seen(home, since=before).values() if event.get("responseStatus", {}).get("code") == 409]
    assert [event for event in refused if event["objectRef"]["resource"] == "services"], "the storm was none"


def test_killed_in_a_burst(home):
    """51 Services at once; the leader is killed four times on the way, another one waits, and somebody writes to the same Services."""
    watch, burst = StatusWatch(home.kube), Burst(home)
    home.start_controller("other", ELSEWHERE, member="client").wait_log(event="starting")
    with Storm(home, burst.names):
        for part in range(5):
            burst.make(f"part{part}", POOL // 5 + (part == 0))
            if part < 4:
                controller = home.controllers["controller"]
                home.kill9(controller)
                home.start_controller(uid=controller.uid)
        wait(lambda: len(home.shown()) == POOL, 60, "51 addresses")
    agree(home, POOL)
    assert set(home.shown()) == {vip(n) for n in range(100, 151)}
    # The pool is full: the next ones are told, and get what becomes free.
    burst.make("late", 2)
    assert "no free address" in home.wait_event(home.service("late-1"), "AllocationFailed")["note"]
    agree(home, POOL)
    for gone in ("part0-3", "part4-3"):
        home.delete(gone)
        burst.names.remove(gone)
    for name in ("late-0", "late-1"):
        home.address(name)
    agree(home, POOL)
    watch.only_one_each(burst.keys())


# Foreign writes

def scribble(home, name, manager="somebody", **status):
    """Somebody writes a Service's status: the object as they left it."""
    return home.kube.patch(path("Service", "default", name, "status") + f"?fieldManager={manager}", {"status": status})


def test_foreign_writes(home):
    """A status that somebody changes is put right at once, three times; then l2lb backs off and says who it is."""
    ip, _ = home.announced("web")
    for ingress in ([{"ip": "10.9.9.9"}], [], [{"ip": ip}, {"ip": "10.9.9.9"}]):
        scribble(home, "web", loadBalancer={"ingress": ingress})
        wait(lambda: addresses(home.service("web")) == [ip], 20, f"{ingress} to be put right")
    service = home.service("web")
    assert home.events(service, "ForeignWrite") == []
    left = scribble(home, "web", loadBalancer={"ingress": [{"ip": "10.9.9.9"}]})
    event = home.wait_event(service, "ForeignWrite")
    assert event["type"] == "Warning" and "somebody" in event["note"] and "default/web" in event["note"]
    line = home.controllers["controller"].wait_log(event="ForeignWrite", service="default/web")
    assert line["level"] == "warn" and "somebody" in line["msg"]
    # No fight: not one write in 5 s. What it has stays its own, is answered for, and the others are served.
    home.serve("other")
    assert home.address("other") != ip
    time.sleep(5)
    assert home.service("web")["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    assert home.recorded()[ip] == ["default/web"]
    assert len(home.events(service, "ForeignWrite")) == 1


def test_annotation_removed(home):
    """The pool's name beside the status is ours as well."""
    ip, _ = home.announced("web")
    for wrong in (None, "another-pool"):
        home.kube.patch(path("Service", "default", "web"), {"metadata": {"annotations": {FROM_POOL: wrong}}})
        wait(lambda: home.service("web")["metadata"].get("annotations", {}).get(FROM_POOL) == "default-pool", 20, "the annotation to be put right")
    assert addresses(home.service("web")) == [ip]


def test_another_class_talks_nonsense(home):
    """Whatever is in the status of a Service that is not ours stays there, and an address of ours that it shows is given to nobody."""
    home.kube.make_service("default", "theirs", loadBalancerClass="example.com/other")
    left = scribble(home, "theirs", loadBalancer={"ingress": [{"ip": VIP}, {"ip": "10.9.9.9"}, {"hostname": "nonsense"}, {"ip": "fd00::1"}]})
    home.serve("ours")
    assert home.address("ours") == vip(101)
    left = scribble(home, "theirs", "somebody-else", loadBalancer={"ingress": [{"ip": vip(101)}]})
    home.serve("next")
    assert home.address("next") == VIP
    home.delete("next")
    wait(lambda: home.record(VIP) is None, 20, "the record to go")
    now = home.service("theirs")
    assert now["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"] and home.events(now) == []
    assert addresses(home.service("ours")) == [vip(101)] and home.recorded()[vip(101)] == ["default/ours"]


# The pools' counters

def counters(home, pool="default-pool"):
    status = home.kube.get(path("IPAddressPool", NAMESPACE, pool)).get("status", {})
    return tuple(status.get(field) for field in ("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"))


def counts(home, *expected):
    wait(lambda: counters(home) == expected, 20, f"the counters to be {expected}")


def test_pool_counters(home):
    """assigned and available of both families, right after each change, and when somebody else has written them."""
    pool = path("IPAddressPool", NAMESPACE, "default-pool")
    counts(home, 0, 0, 51, 0)
    for n in range(3):
        home.serve(f"web{n}")
        home.address(f"web{n}")
        counts(home, n + 1, 0, 50 - n, 0)
    home.delete("web1")
    counts(home, 2, 0, 49, 0)
    home.kube.patch(pool, {"spec": {"addresses": ["192.168.122.100-192.168.122.150", "192.168.77.0/24", "fd00:122::/120"]}})
    counts(home, 2, 0, 305, 256)
    home.kube.patch(pool, {"spec": {"avoidBuggyIPs": True}})
    counts(home, 2, 0, 303, 256)
    home.serve("both", ipFamilyPolicy="RequireDualStack")
    assert wait(lambda: addresses(home.service("both")), 20, "addresses") == [vip(101), "fd00:122::"]
    counts(home, 3, 1, 302, 255)
    # Two that share an address count once.
    for n, port in enumerate((81, 82)):
        home.serve(f"shared{n}", annotations={IPS: vip(130), SHARE: "key"}, ports=[{"port": port, "protocol": "TCP"}])
        home.address(f"shared{n}")
    counts(home, 4, 1, 301, 255)
    for wrong in ({"assignedIPv4": 4000}, {"assignedIPv6": 7, "availableIPv6": 0}):
        home.kube.patch(f"{pool}/status", {"status": wrong})
        counts(home, 4, 1, 301, 255)
    shown = home.cluster.kubectl("get", "ipaddresspool", "-n", NAMESPACE, "-o", "yaml")
    assert shown.returncode == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["items"][0]["status"] == {
        "assignedIPv4": 4, "assignedIPv6": 1, "availableIPv4": 301, "availableIPv6": 255}


# A broken pool

def stale(home):
    return value(scrape(home, "ctl")[0], "metallb_k8s_client_config_stale_bool")


def test_one_bad_pool(home):
    """Its Services keep their addresses, over a restart as well; it is named everywhere; the others serve on; corrected, all is well."""
    pool, second = (path("IPAddressPool", NAMESPACE, name) for name in ("default-pool", "second"))
    home.kube.apply("apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: second, namespace: metallb-system}\n"
                    "spec: {addresses: [192.168.122.170-192.168.122.180]}\n")
    watch = StatusWatch(home.kube)
    ip, owner = home.announced("web")
    assert ip == VIP and stale(home) == 0
    home.kube.patch(pool, {"spec": {"addresses": ["192.168.122.100-192.168.122.150", "192.168.122.110/32"]}})   # it overlaps itself
    told = home.wait_event(home.kube.get(pool), "InvalidConfiguration")
    assert told["type"] == "Warning" and "default-pool" in told["note"] and "192.168.122.110" in told["note"]
    assert home.controllers["controller"].wait_log(event="invalidConfiguration")["level"] == "error"
    wait(lambda: stale(home) == 1, 20, "the metric to say so")
    home.serve("next")
    assert home.address("next") == vip(101), "as it last was good it serves on"
    # Restarted, it knows only what the cluster says.
    home.stop(home.controllers["controller"])
    home.start_controller().wait_log(event="leading")
    home.serve("after")
    assert home.address("after") == vip(170)
    assert stale(home) == 1
    home.answered_by(ip, owner)
    home.stop(home.speakers[owner])
    home.up(home.start_speaker(owner))
    home.answered_by(ip, owner)
    home.serve("wants", annotations={"metallb.io/address-pool": "default-pool"})
    assert "default-pool" in home.wait_event(home.service("wants"), "AllocationFailed")["note"]
    home.kube.patch(pool, {"spec": {"addresses": ["192.168.122.100-192.168.122.150"]}})
    assert home.address("wants") == vip(102)
    wait(lambda: stale(home) == 0, 20, "the metric to say so")
    counts(home, 3, 0, 48, 0)
    # Another way: a new one that overlaps the older.
    home.kube.patch(second, {"spec": {"addresses": ["192.168.122.150-192.168.122.180"]}})
    assert "default-pool" in home.wait_event(home.kube.get(second), "InvalidConfiguration")["note"]
    home.serve("last")
    assert home.address("last") == vip(103)
    wait(lambda: stale(home) == 1, 20, "the metric to say so")
    home.kube.patch(second, {"spec": {"addresses": ["192.168.122.151-192.168.122.180"]}})
    home.serve("very-last", annotations={"metallb.io/address-pool": "second"})
    assert home.address("very-last") == vip(151)
    wait(lambda: stale(home) == 0, 20, "the metric to say so")
    watch.only_one_each([f"default/{name}" for name in ("web", "next", "after", "wants", "last", "very-last")])


# Many

def in_flight(events):
    """The most of these requests that were under way at once."""
    at = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    steps = sorted(step for event in events for step in ((at(event["requestReceivedTimestamp"]), 1), (at(event["stageTimestamp"]), -1)))
    return max(itertools.accumulate(change for _, change in steps))


def test_two_hundred_services(home):
    """All at once: patched several at a time. A restart writes nothing but the leader's Lease. After a crash it goes on at once."""
    home.kube.patch(path("IPAddressPool", NAMESPACE, "default-pool"), {"spec": {"addresses": ["192.168.122.100-192.168.122.150", "10.77.0.0/24"]}})
    counts(home, 0, 0, 307, 0)
    watch, before, names = StatusWatch(home.kube), audited(home), [f"web{n}" for n in range(200)]
    # They are there already when the controller comes: it has everything to do at once.
    home.stop(home.controllers["controller"])
    for name in names:
        home.kube.make_service("default", name)
    home.start_controller()
    wait(lambda: len(home.shown()) == 200, 90, "200 addresses")
    patches = [event for event in seen(home, since=before).values() if event["verb"] == "patch" and event["objectRef"]["resource"] == "services"]
    assert len(patches) == 200, "one write each"
    assert in_flight(patches) > 2
    agree(home, 200)
    counts(home, 200, 0, 107, 0)
    wait(lambda: [r for r in home.records() if r["spec"].get("holderIdentity")] == [], 30, "no owner: there are no endpoints")
    # A restart. What the next Service needs is written when everything else has been looked at.
    before = audited(home)
    home.stop(home.controllers["controller"])
    controller = home.start_controller()
    controller.wait_log(event="leading")
    home.kube.make_service("default", "next")
    ip = home.address("next")
    counts(home, 201, 0, 106, 0)
    others = [write for write in written(home, before) if write[1] in ("services", "leases") and write[2] not in (LEADER, "next", f"ip-{ip}")]
    assert others == []
    # A crash.
    home.kill9(controller)
    started = time.monotonic()
    home.start_controller(uid=controller.uid)
    home.kube.make_service("default", "after")
    home.address("after")
    assert time.monotonic() - started < 10, "at once: the Lease, were it another's, would last for 15 s"
    watch.only_one_each([f"default/{name}" for name in [*names, "next", "after"]])


# An API server that says "later"

def test_later(tmp_path):
    """429 with Retry-After, to the creation of a record and to a status: waited out, not asked again, and the other Services go on."""
    server = Standin(tmp_path)
    try:
        server.kube.make_namespace(NAMESPACE)
        running = l2lb.start(None, None, ["run", "--role", "controller", "--kubeconfig", server.kubeconfig("controller"), "--pool",
                                          "192.168.122.100-192.168.122.150", *ELSEWHERE], {"ASAN_OPTIONS": "detect_leaks=0"}, tmp_path / "log")
        running.wait_log(event="leading")
        place = path("Service", "default", "web")
        server.fault(kind="status", match=f"^{place}/status", method="PATCH", code=429, times=2, headers={"Retry-After": "2"})
        server.fault(kind="status", match="/leases", method="POST", code=429, times=1, headers={"Retry-After": "1"})
        server.kube.make_service("default", "web")
        wait(lambda: len([r for r in server.requests("controller") if "/services/web/status" in r[1]]) >= 1, 20, "the first try")
        server.kube.make_service("default", "other")
        wait(lambda: addresses(server.kube.get(path("Service", "default", "other"))), 20, "an address for the other one")
        assert addresses(server.kube.get(place)) == [], "the other one did not wait for this one"
        wait(lambda: addresses(server.kube.get(place)), 30, "an address")
        asked = {"status": [r for r in server.requests("controller") if "/services/web/status" in r[1]],
                 "record": [r for r in server.requests("controller") if r[0] == "create" and r[1].endswith("/leases")][1:]}   # the leader's
        assert [r[2] for r in asked["status"]] == [429, 429, 200]
        assert [r[2] for r in asked["record"]] == [429, 201, 201]
        for kind, tries, seconds in (("status", 3, 2), ("record", 2, 1)):
            for early, late in itertools.pairwise(asked[kind][:tries]):
                assert seconds <= late[3] - early[3] < 10, (kind, asked[kind])
        assert running.stop() == 0
    finally:
        server.close()


# Shared addresses

def share(home, name, port, key="key", **more):
    return home.serve(name, port=port, annotations={SHARE: key, **more}, ports=[{"name": "p", "port": port, "protocol": "TCP"}])


def test_shared_address(home):
    """One address, one record that names both; a port twice or another key is refused; the last one to go takes the record along."""
    watch = StatusWatch(home.kube)
    share(home, "http", 80)
    ip = home.address("http")
    owner = home.owner(ip)
    share(home, "https", 443, **{IPS: ip})
    assert home.address("https") == ip
    wait(lambda: home.recorded() == {ip: ["default/http", "default/https"]}, 20, "one record that names both")
    for name, port, key, why in (("clash", 443, "key", "port TCP/443 is already in use"), ("stranger", 8080, "other", "sharing key")):
        refused = share(home, name, port, key, **{IPS: ip})
        note = home.wait_event(refused, "AllocationFailed")["note"]
        assert why in note and ip in note
        assert addresses(home.service(name)) == []
    home.answered_by(ip, owner)
    asker = home.asker(ip, hz=100)
    home.delete("http")
    wait(lambda: home.recorded() == {ip: ["default/https"]}, 20, "the record to keep the other")
    assert home.address("https") == ip
    home.answered_by(ip, owner)
    told = asker.stop()[ip]
    assert told["unanswered"] == 0 and len(told["changes"]) == 1, told
    # The port that clashed is free when its owner goes; so it is not another address that the waiting one gets.
    home.delete("https")
    assert home.address("clash") == ip
    wait(lambda: home.recorded() == {ip: ["default/clash"]}, 20, "the record to name the one that waited")
    home.delete("clash")
    assert home.address("stranger") == ip
    home.delete("stranger")
    wait(lambda: home.record(ip) is None, 20, "the record to go")
    home.silent(ip)
    watch.only_one_each([f"default/{name}" for name in ("http", "https", "clash", "stranger")])
