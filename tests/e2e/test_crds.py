"""The CRDs of deploy/ on the real kube-apiserver: what it accepts and refuses, next to what l2lb itself says (configcheck),
and how they come over MetalLB's."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.cluster import RealCluster
from lab.kube import ApiError, path, wait

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CONFIGCHECK = os.environ.get("CONFIGCHECK", ROOT / "build" / "configcheck")
NAMESPACE = "metallb-system"
OURS = ("ipaddresspools", "l2advertisements", "servicel2statuses", "configurationstates")
ANY_ADDRESS = {"addresses": ["1.2.3.0/24"]}


def obj(kind, spec=None, name="x", **fields):
    made = {"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **fields}
    return made if spec is None else {**made, "spec": spec}


def addresses(*entries):
    return {"addresses": list(entries)}


def allocation(**fields):
    return {**ANY_ADDRESS, "serviceAllocation": fields}


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


def preferred(weight, **preference):
    return {"preferredNodeSelectors": [{"weight": weight, "preference": preference}]}


# ---- the table ----

# Accepted by both, as MetalLB accepts them.
GOOD_POOLS = [
    addresses("192.168.1.0/24"), addresses("192.168.10.100/24"), addresses("1.2.3.4/32"), addresses("0.0.0.0/0"), addresses("::/0"),
    addresses("fd00::/64"), addresses("FD00::ABCD/128"), addresses("::1.2.3.4/120"), addresses("1.2.3.0/024"), addresses("::/0128"),
    addresses("::ffff:1.2.3.0/120"), addresses("0:0:0:0:0:FFFF:0102:0304/128"),
    addresses("1.2.3.4-1.2.3.9"), addresses("1.2.3.4-1.2.3.4"), addresses("9.255.255.255-10.0.0.0"), addresses("1.2.3.4 - 1.2.3.9"),
    addresses(" 1.2.3.4\t-\n1.2.3.9 "), addresses("1.2.3.4\u00a0-\u20031.2.3.9"), addresses("::ffff:1.2.3.4-1.2.3.9"),
    addresses("1.2.3.4-::ffff:1.2.3.9"), addresses("fd00::9-fd00::a"), addresses("fd00::ff-fd00::100"), addresses("fd00::-fd00::1"),
    addresses("FD00::A-fd00::b"), addresses("fd00::0a - fd00::b"), addresses("fd00::1-fd01::"), addresses("::1.2.3.4-::1.2.3.9"),
    addresses("1:2:3:4:5:6:7::-1:2:3:4:5:6:7:8"),
    addresses("192.168.1.0/24", "10.0.0.1-10.0.0.9", "fd00::/120", "fd01::1-fd01::9"),
    addresses(*(f"10.0.{n // 250}.{n % 250}/32" for n in range(1000))),
    addresses(*(f"fd00::{n:x}-fd00::{n:x}" for n in range(1000))),
    {**ANY_ADDRESS, "autoAssign": False, "avoidBuggyIPs": True}, {**ANY_ADDRESS, "autoAssign": None, "serviceAllocation": None},
    allocation(), allocation(priority=50), allocation(priority=-1), allocation(priority=1 << 40),
    allocation(namespaces=["a", "b", "", "Not_A_Name"]), allocation(namespaces=[f"namespace-{n}" for n in range(500)]),
    allocation(namespaceSelectors=[{"matchLabels": {"kubernetes.io/metadata.name": "a"}}, {}], serviceSelectors=[]),
    allocation(serviceSelectors=[expression("a", "In", "x", "y"), expression("a", "NotIn", "x"), expression("a", "Exists"),
                                 expression("a.b/c", "DoesNotExist"), {"matchExpressions": [], "matchLabels": {"a": ""}}]),
    allocation(namespaceSelectors=[{"matchLabels": {"kubernetes.io/metadata.name": f"namespace-{n}"}} for n in range(1000)]),
]
GOOD_ADVERTISEMENTS = [
    None, {}, {"ipAddressPools": ["a", "b"]}, {"ipAddressPools": [f"pool-{n}" for n in range(300)]},
    {"ipAddressPoolSelectors": [{"matchLabels": {"a": "b"}}]}, {"interfaces": ["eth0", "eth0", "a-name-that-no-link-can-have"]},
    {"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": f"worker-{n}"}} for n in range(1000)]},
    {"nodeSelectors": [expression("kubernetes.io/hostname", "In", *(f"worker-{n}" for n in range(1000)))]},
    {"serviceSelectors": [expression("a", "NotIn", "x")]}, preferred(1), preferred(100, **expression("a", "In", "x", "x")),
    {"preferredNodeSelectors": [preferred(5)["preferredNodeSelectors"][0]] * 2},
]
# Refused by both; with what the server's answer has to contain and, if it says it otherwise, what ours has to.
DUPLICATE = "duplicate definition"
BAD_POOLS = [
    (None, "spec: Required value", "pool has no prefixes defined"), ({}, "spec.addresses: Required value", "pool has no prefixes defined"),
    (addresses(), "at least 1 items", "pool has no prefixes defined"), ({"addresses": "1.2.3.0/24"}, "must be of type array", "must be a list of strings"),
    (addresses(7), "must be of type string", "must be a list of strings"), (addresses(""), "has no prefix length"),
    (addresses("1.2.3.4"), 'invalid CIDR "1.2.3.4": it has no prefix length; write 1.2.3.4/32 for that one address'),
    (addresses("fd00::1"), "write fd00::1/128 for that one address"), (addresses("hello"), "has no prefix length; write a CIDR such as 192.168.1.0/24"),
    *((addresses(text), f'invalid CIDR "{text}": write an address, a slash and a prefix length', f'invalid CIDR "{text}"') for text in (
        " 1.2.3.0/24", "1.2.3.0/24 ", "01.2.3.0/24", "1.2.3.0/33", "fd00::/129", "1.2.3.0/+24", "1.2.3.0/", "/24", "1.2.3/24", "1.2.3.0/24/8",
        "fe80::1%eth0/64", "1.2.3.0/16777239", "1:2:3:4:5:6:7:8::/64", "1.2.3.256/24")),
    *((addresses(text), "invalid start IP; write it as 192.168.1.10-192.168.1.20") for text in (
        "-1.2.3.4", "1.2.3.04-1.2.3.5", "1.2.3.0/24-1.2.4.0/24", "fe80::1%eth0-fe80::2", "\u200b1.2.3.4-1.2.3.9", "a-b")),
    *((addresses(text), "invalid end IP; write it as 192.168.1.10-192.168.1.20") for text in ("1.2.3.4-", "1.2.3.4-9", "1.2.3.4-1.2.3.5-1.2.3.6")),
    *((addresses(f"{start}-{end}"), f"start IP {start} is after the end IP {end}; swap them") for start, end in (
        ("1.2.3.9", "1.2.3.4"), ("1.2.4.1", "1.2.3.4"), ("10.0.0.0", "9.255.255.255"), ("200.0.0.0", "100.0.0.0"),
        ("fd00::b", "fd00::a"), ("fd00::100", "fd00::ff"), ("fd00::1", "fd00::"), ("FD00::B", "fd00::a"))),
    (addresses("1.2.3.4-fd00::1"), "different families"), (addresses("::1-1.2.3.4"), "different families"),
    ({**ANY_ADDRESS, "autoAssign": "yes"}, "must be of type boolean", "must be true or false"),
    ({**ANY_ADDRESS, "avoidBuggyIPs": 1}, "must be of type boolean", "must be true or false"),
    ({**ANY_ADDRESS, "serviceAllocation": []}, "must be of type object", "must be an object"),
    (allocation(priority="5"), "must be of type integer", "must be a whole number"), (allocation(priority=1.5), "must be of type integer", "whole number"),
    (allocation(namespaces=["a", "b", "a"]), DUPLICATE), (allocation(namespaces="a"), "must be of type array", "must be a list of strings"),
    (allocation(namespaceSelectors=[{}, {}]), DUPLICATE),
    (allocation(serviceSelectors=[{"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b"}}]), DUPLICATE),
    (allocation(serviceSelectors=[expression("a", "in", "x")]), 'supported values: "In", "NotIn", "Exists", "DoesNotExist"', "write In, NotIn, Exists"),
    (allocation(serviceSelectors=[expression("a", "In")]), "needs values"), (allocation(serviceSelectors=[expression("a", "Exists", "x")]), "takes no values"),
    (allocation(serviceSelectors=[expression("a b", "Exists")]), "key in body should match", '"a b" is not a label key'),
    (allocation(serviceSelectors=[expression("a", "In", "x y")]), "values[0] in body should match", '"x y" is not a label value'),
    (allocation(serviceSelectors=[{"matchLabels": {"a/b/c": "x"}}]), "is not a label key; write it as name or example.com/name"),
    (allocation(serviceSelectors=[{"matchLabels": {"a": "x y"}}]), "matchLabels.a in body should match", '"x y" is not a label value'),
    (allocation(serviceSelectors=[{"matchLabels": {"a": 1}}]), "must be of type string", "must be a string"),
    (allocation(serviceSelectors=[{"matchExpressions": [{"key": "a"}]}]), "operator: Required value", "need key and operator"),
]
BAD_ADVERTISEMENTS = [
    ([], "must be of type object", "must be an object"), ({"ipAddressPools": "a"}, "must be of type array", "must be a list of strings"),
    ({"ipAddressPools": ["a", "b", "a"]}, DUPLICATE), ({"interfaces": ["eth0", 7]}, "must be of type string", "must be a list of strings"),
    ({"ipAddressPoolSelectors": [{}, {}]}, DUPLICATE), ({"nodeSelectors": [expression("a", "Exists"), expression("a", "Exists")]}, DUPLICATE),
    ({"serviceSelectors": {}}, "must be of type array", "must be a list"), ({"serviceSelectors": [None]}, "must be of type object", "must be an object"),
    ({"nodeSelectors": [expression("a", "Like", "x")]}, "supported values", "not a valid label selector operator"),
    ({"nodeSelectors": [expression("a", "NotIn")]}, "needs values"), (preferred(0), "greater than or equal to 1", "from 1 to 100"),
    (preferred(101), "less than or equal to 100", "from 1 to 100"), (preferred("5"), "must be of type integer", "from 1 to 100"),
    ({"preferredNodeSelectors": [{"weight": 5}]}, "preference: Required value", "must be an object"),
    ({"preferredNodeSelectors": [{"preference": {}}]}, "weight: Required value", "from 1 to 100"),
    (preferred(5, **expression("a", "x")), "supported values", "not a valid label selector operator"),
]
# What the schema cannot see: refused by l2lb only.
LATE_POOLS = [
    (addresses("1.2.3.0/24", "1.2.3.7-1.2.3.9"), "overlaps with already defined CIDR"), (addresses("1.2.3.0/24", "1.2.3.0/24"), "overlaps with"),
    (addresses("fd01::1-fd00::1"), "start IP fd01::1 is after the end IP fd00::1; swap them"), (addresses("::ffff:1.2.3.9-1.2.3.4"), "is after the end IP"),
    (addresses("0::ffff:1.2.3/120"), "invalid CIDR"),
    (allocation(serviceSelectors=[expression("a", "In", "x", "x")]), DUPLICATE),
    (allocation(serviceSelectors=[{"matchExpressions": expression("a", "Exists")["matchExpressions"] * 2}]), DUPLICATE),
    (allocation(namespaceSelectors=[expression("a", "In", "x", "y"), expression("a", "In", "y", "x")]), DUPLICATE),
    (allocation(namespaceSelectors=[{}, {"matchLabels": {}}]), DUPLICATE),
]

TABLE = [(obj("IPAddressPool", spec), None, None) for spec in GOOD_POOLS]
TABLE += [(obj("L2Advertisement", spec), None, None) for spec in GOOD_ADVERTISEMENTS]
TABLE += [(obj("IPAddressPool", row[0]), row[1], row[-1]) for row in BAD_POOLS]
TABLE += [(obj("L2Advertisement", row[0]), row[1], row[-1]) for row in BAD_ADVERTISEMENTS]
TABLE += [(obj("IPAddressPool", spec), None, ours) for spec, ours in LATE_POOLS]


# ---- fixtures ----

@pytest.fixture(scope="module")
def server(assets, tmp_path_factory):
    """A control plane of its own: these tests take CRDs away."""
    with RealCluster(tmp_path_factory.mktemp("crds"), assets) as made:
        made.kube = made.client()
        yield made


def kubectl(server, *args, text=None):
    done = server.kubectl(*args, input=text)
    assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.stderr}"
    return done.stdout


def established(server, *names):
    kubectl(server, "wait", "--for=condition=Established", "--timeout=90s", *(f"crd/{name}" for name in names))


@pytest.fixture(scope="module")
def installed(server):
    """server, with deploy/ applied as README.md says."""
    kubectl(server, "apply", "-k", DEPLOY)
    established(server, *(f"{plural}.metallb.io" for plural in OURS))
    return server


@pytest.fixture
def kube(installed):
    """The administrator; objects a test leaves go."""
    yield installed.kube
    for kind in ("IPAddressPool", "L2Advertisement", "ServiceL2Status", "ConfigurationState"):
        installed.kube.delete(path(kind, NAMESPACE))


def says(kube, made):
    """The server's refusal, or None."""
    try:
        kube.create(path(made["kind"], NAMESPACE) + "?dryRun=All&fieldValidation=Strict", made)
    except ApiError as refusal:
        assert refusal.status == 422, refusal
        return refusal.body["message"]
    return None


def verdicts(objects):
    """What l2lb says to each: its error, or None."""
    done = subprocess.run([CONFIGCHECK], input="".join(json.dumps(made) + "\n" for made in objects), capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) == len(objects), done.stdout
    return [None if line == "ok" else line for line in lines]


def wrong(said, expected):
    return said is not None if expected is None else said is None or expected not in said


# ---- what is accepted ----

def test_table(kube):
    """Each row as it stands there, on the server and in l2lb; all that differ are shown."""
    ours = verdicts([made for made, *_ in TABLE])
    off = []
    for (made, server_says, we_say), verdict in zip(TABLE, ours):
        refusal = says(kube, made)
        row = f"{made['kind']} {json.dumps(made.get('spec'))[:200]}"
        if wrong(refusal, server_says):
            off.append(f"{row}: the server says {refusal!r}, not {server_says!r}")
        if wrong(verdict, we_say) or (verdict and f"{made['kind']} x: " not in verdict):
            off.append(f"{row}: l2lb says {verdict!r}, not {we_say!r}")
    assert not off, "\n".join(off)


def random_entry(dice):
    """Something like an address entry: pieces that are mostly right."""
    v4 = lambda: ".".join(str(dice.choice((0, 1, 9, 10, 99, 100, 255, dice.randrange(256)))) for _ in range(4))
    groups = lambda n: ":".join(f"{dice.choice((0, 1, 0xf, 0x10, 0xff, 0xabcd)):{dice.choice(('x', 'X', '04x'))}}" for _ in range(n))
    v6 = lambda: dice.choice((f"{groups(dice.randrange(1, 4))}::{groups(dice.randrange(1, 4))}", groups(8), "::", f"{groups(2)}::", f"fd00::{groups(1)}",
                              f"::ffff:{v4()}", f"::{v4()}"))
    blank = lambda: dice.choice(("", "", "", " ", "\t", "\u00a0"))
    make = dice.choice((v4, v6))
    if dice.random() < 0.4:
        return f"{make()}/{dice.choice(('0', '8', '24', '024', '32', '33', '96', '128', '129', '', 'x'))}"
    other = dice.choice((make, make, make, v4, v6))
    return f"{blank()}{make()}{blank()}-{blank()}{other()}{blank()}"


def test_agreement(kube):
    """The server never refuses what l2lb takes: entries of all sorts, the same ones in each run."""
    dice = random.Random(4)
    pools = [obj("IPAddressPool", addresses(random_entry(dice))) for _ in range(600)]
    ours = verdicts(pools)
    assert 200 < ours.count(None) < 500
    seen = [(made["spec"]["addresses"], says(kube, made), verdict) for made, verdict in zip(pools, ours)]
    assert not [row for row in seen if row[1] and not row[2]]
    caught = sum(1 for row in seen if row[1])
    assert caught > 0.6 * (len(pools) - ours.count(None)), f"{caught} of those that l2lb refuses"


def test_kubectl_says_what_is_wrong(kube, installed):
    """What a person sees."""
    done = installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(obj("IPAddressPool", addresses("1.2.3.0/24", "192.168.1.20-192.168.1.10"))))
    assert done.returncode == 1
    assert "spec.addresses[1]" in done.stderr and "start IP 192.168.1.20 is after the end IP 192.168.1.10; swap them" in done.stderr


def test_defaults(kube):
    made = kube.create(path("IPAddressPool", NAMESPACE), obj("IPAddressPool", ANY_ADDRESS))
    assert made["spec"] == {**ANY_ADDRESS, "autoAssign": True, "avoidBuggyIPs": False}


def test_lists_stay_atomic(kube, installed):
    """Two who apply server-side: the list is the second one's, as with MetalLB's CRDs, and not a union."""
    for manager, entry in (("one", "1.2.3.0/24"), ("two", "1.2.4.0/24")):
        made = obj("IPAddressPool", {**addresses(entry), "serviceAllocation": {"namespaces": [manager], "serviceSelectors": [expression("a", "In", manager)]}})
        kubectl(installed, "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-", text=yaml.safe_dump(made))
    spec = kube.get(path("IPAddressPool", NAMESPACE, "x"))["spec"]
    assert spec["addresses"] == ["1.2.4.0/24"]
    assert spec["serviceAllocation"] == {"namespaces": ["two"], "serviceSelectors": [expression("a", "In", "two")]}


# ---- status and columns ----

def test_columns(kube, installed):
    kube.create(path("IPAddressPool", NAMESPACE), obj("IPAddressPool", addresses("192.168.122.100-192.168.122.150", "fd00::/120")))
    kube.create(path("L2Advertisement", NAMESPACE), obj("L2Advertisement", {"ipAddressPools": ["x"], "interfaces": ["eth0"], "nodeSelectors": [{}]}))
    for kind, status in (("ServiceL2Status", {"node": "worker-1", "serviceName": "web", "serviceNamespace": "default"}),
                         ("ConfigurationState", {"result": "Invalid", "errorSummary": "bad"})):
        kube.create(path(kind, NAMESPACE), obj(kind))
        kube.patch(path(kind, NAMESPACE, "x", "status"), {"status": status})
    for plural, columns, cells in (
            ("ipaddresspools", "NAME AUTO ASSIGN AVOID BUGGY IPS ADDRESSES", 'x true false ["192.168.122.100-192.168.122.150","fd00::/120"]'),
            ("l2advertisements", "NAME IPADDRESSPOOLS IPADDRESSPOOL SELECTORS INTERFACES", 'x ["x"] ["eth0"]'),
            ("servicel2statuses", "NAME ALLOCATED NODE SERVICE NAME SERVICE NAMESPACE", "x worker-1 web default"),
            ("configurationstates", "NAME RESULT ERRORSUMMARY AGE", "x Invalid bad ")):
        head, row = kubectl(installed, "get", plural, "-n", NAMESPACE).splitlines()
        assert " ".join(head.split()) == columns
        assert " ".join(row.split()).startswith(cells), row
    assert "NODE SELECTORS" in kubectl(installed, "get", "l2advertisements", "-n", NAMESPACE, "-o", "wide")
    assert "No address may be in two entries" in kubectl(installed, "explain", "ipaddresspools.spec.addresses")


def test_status_of_pools(kube):
    """A subresource; all four counters or none, up to the largest."""
    kube.create(path("IPAddressPool", NAMESPACE), obj("IPAddressPool", ANY_ADDRESS, status={"assignedIPv4": 7}))
    assert "status" not in kube.get(path("IPAddressPool", NAMESPACE, "x"))
    target = path("IPAddressPool", NAMESPACE, "x", "status")
    with pytest.raises(ApiError, match="availableIPv6: Required value"):
        kube.patch(target, {"status": {"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 255}})
    status = {"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 255, "availableIPv6": (1 << 63) - 1}
    made = kube.patch(target, {"status": status, "spec": {"autoAssign": False}})
    assert made["status"] == status and made["spec"]["autoAssign"]


def test_servicel2status_is_immutable(kube):
    made = kube.create(path("ServiceL2Status", NAMESPACE), {"apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
                                                            "metadata": {"generateName": "l2-", "namespace": NAMESPACE}})
    target = path("ServiceL2Status", NAMESPACE, made["metadata"]["name"], "status")
    kube.patch(target, {"status": {"node": "worker-1", "serviceName": "web", "serviceNamespace": "default", "interfaces": [{"name": "eth0"}]}})
    for field in ("node", "serviceName", "serviceNamespace"):
        with pytest.raises(ApiError, match=f"status.{field}: Invalid value: .*Value is immutable") as refused:
            kube.patch(target, {"status": {field: "other"}})
        assert refused.value.status == 422
    assert kube.patch(target, {"status": {"node": "worker-1", "interfaces": []}})["status"]["interfaces"] == []


def test_configurationstate(kube, installed):
    """Conditions are a map by type: each part applies its own."""
    made = obj("ConfigurationState", name="speaker-worker-1")
    kube.create(path("ConfigurationState", NAMESPACE), made)
    for manager, kind in (("one", "poolReconcilerValid"), ("two", "configReconcilerValid")):
        condition = {"type": kind, "status": "True", "reason": "Reconciled", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
        kubectl(installed, "apply", "--server-side", "--subresource=status", f"--field-manager={manager}", "-f", "-",
                text=yaml.safe_dump({**made, "status": {"conditions": [condition]}}))
    target = path("ConfigurationState", NAMESPACE, "speaker-worker-1", "status")
    assert [c["type"] for c in kube.get(target)["status"]["conditions"]] == ["poolReconcilerValid", "configReconcilerValid"]
    with pytest.raises(ApiError, match='supported values: "Valid", "Invalid", "Unknown"'):
        kube.patch(target, {"status": {"result": "Good"}})


# ---- over MetalLB ----

def old_crd(kind, plural, spec, **more):
    """An imitation of what MetalLB installs: the same names and nearly no checks."""
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    version = {"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.metallb.io", "annotations": {"controller-gen.kubebuilder.io/version": "v0.19.0"}},
            "spec": {"group": "metallb.io", "scope": "Namespaced", "versions": [version], **more,
                     "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}}}


def listed(item):
    return {"type": "array", "items": item}


def typed(**properties):
    return {"type": "object", "properties": properties}


STRING, BOOLEAN, INTEGER = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
SELECTOR = typed(matchLabels={"type": "object", "additionalProperties": STRING},
                 matchExpressions=listed(typed(key=STRING, operator=STRING, values=listed(STRING))))
OLD = [
    old_crd("IPAddressPool", "ipaddresspools", typed(
        addresses=listed(STRING), autoAssign={**BOOLEAN, "default": True}, avoidBuggyIPs={**BOOLEAN, "default": False},
        serviceAllocation=typed(priority=INTEGER, namespaces=listed(STRING), namespaceSelectors=listed(SELECTOR), serviceSelectors=listed(SELECTOR)))),
    old_crd("L2Advertisement", "l2advertisements", typed(
        ipAddressPools=listed(STRING), ipAddressPoolSelectors=listed(SELECTOR), nodeSelectors=listed(SELECTOR), serviceSelectors=listed(SELECTOR),
        interfaces=listed(STRING), preferredNodeSelectors=listed(typed(weight=INTEGER, preference=SELECTOR)))),
    old_crd("ServiceL2Status", "servicel2statuses", typed()),
    old_crd("BGPPeer", "bgppeers", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, conversion={
        "strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1beta1"], "clientConfig": {
            "service": {"name": "metallb-webhook-service", "namespace": NAMESPACE, "path": "/convert"}}}}),
]
# What MetalLB would serve, what it would not (it was switched off, or it is from an older version), and what is beyond our limits.
ODD = [obj("IPAddressPool", spec, f"good-{n}") for n, spec in enumerate(GOOD_POOLS)]
ODD += [obj("L2Advertisement", spec, f"good-{n}") for n, spec in enumerate(GOOD_ADVERTISEMENTS) if spec is not None]
ODD += [obj("IPAddressPool", spec, f"odd-{n}") for n, spec in enumerate((
    addresses("1.2.3.4-fd00::1"), addresses("1.2.3.4"), addresses(), addresses(*(f"1.{n // 250}.{n % 250}.1/32" for n in range(2000))),
    addresses(f"1.2.3.4{' ' * 200}-1.2.3.9"), allocation(namespaces=["a", "a"]), allocation(namespaces=["x" * 100]),
    allocation(namespaces=[f"namespace-{n}" for n in range(700)]), allocation(serviceSelectors=[expression("a b", "in", "x y"), {}, {}])))]
ODD += [obj("L2Advertisement", spec, f"odd-{n}") for n, spec in enumerate((
    {"ipAddressPools": [f"pool-{n}" for n in range(500)]}, {"ipAddressPools": ["p" * 200]}, {"nodeSelectors": [{}, {}]}, preferred(0),
    {"nodeSelectors": [{"matchLabels": {"a/b/c": str(n)}} for n in range(1100)]}))]

WAYS = {"client side, as MetalLB was": ("apply", ["apply"]), "server side": ("apply", ["apply", "--server-side", "--force-conflicts"]),
        "over a chart": ("create", ["apply"]), "server side over a chart": ("create", ["apply", "--server-side", "--force-conflicts"])}


def replace_crds(server, verb):
    names = [crd["metadata"]["name"] for crd in [*OLD, old_crd("ConfigurationState", "configurationstates", typed())]]
    there = [name for name in names if server.kube.exists(path("CustomResourceDefinition", name=name))]
    if there:
        kubectl(server, "delete", "crd", *there)
    kubectl(server, verb, "-f", "-", text="---\n".join(yaml.safe_dump(crd) for crd in OLD))
    established(server, *(crd["metadata"]["name"] for crd in OLD))


@pytest.mark.parametrize("way", WAYS)
def test_over_metallb(installed, kube, way):
    """All objects are as they were and stay editable; BGP's definitions are left alone."""
    verb, apply = WAYS[way]
    replace_crds(installed, verb)
    before = {}
    for made in ODD:
        saved = wait(lambda new=made: kube.create(path(new["kind"], NAMESPACE), new), 40, "the old CRD to serve")
        before[made["kind"], made["metadata"]["name"]] = saved
    bgp = kube.get(path("CustomResourceDefinition", name="bgppeers.metallb.io"))
    kubectl(installed, *apply, "-k", DEPLOY)
    # The new definition is there when it refuses.
    wait(lambda: says(kube, obj("IPAddressPool", addresses("1.2.3.4"))) and says(kube, obj("L2Advertisement", preferred(0))), 60, "the new CRDs to serve")
    for (kind, name), saved in before.items():
        assert kube.get(path(kind, NAMESPACE, name)) == saved
    for (kind, name), saved in before.items():
        target = path(kind, NAMESPACE, name)
        change = {"autoAssign": False} if kind == "IPAddressPool" else {"interfaces": ["eth9"]}
        made = kube.patch(target, {"metadata": {"labels": {"edited": "yes"}}, "spec": change})
        assert made["spec"] == {**saved["spec"], **change}
        assert kube.put(target, {**made, "spec": saved["spec"]})["spec"] == saved["spec"]
    counters = {"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 0, "availableIPv6": 0}
    for n in range(3):
        assert kube.patch(path("IPAddressPool", NAMESPACE, f"odd-{n}", "status"), {"status": counters})["status"] == counters
    assert kube.get(path("CustomResourceDefinition", name="bgppeers.metallb.io")) == bgp
    crd = kube.get(path("CustomResourceDefinition", name="ipaddresspools.metallb.io"))
    ours = yaml.safe_load((DEPLOY / "crds" / "ipaddresspools.yaml").read_text())["spec"]["versions"][0]
    assert crd["spec"]["versions"] == [ours] and crd["status"]["storedVersions"] == ["v1beta1"]
    kubectl(installed, "delete", "crd", "bgppeers.metallb.io")


def test_good_after_odd(kube, installed):
    """Correcting an odd object takes one edit, and back is refused."""
    kube.create(path("IPAddressPool", NAMESPACE), obj("IPAddressPool", ANY_ADDRESS))
    target = path("IPAddressPool", NAMESPACE, "x")
    assert kube.patch(target, {"spec": addresses("1.2.3.0/25")})["spec"]["addresses"] == ["1.2.3.0/25"]
    with pytest.raises(ApiError, match="has no prefix length"):
        kube.patch(target, {"spec": addresses("1.2.3.0/25", "1.2.4.5")})


def test_bgp_kinds(installed, kube):
    """The optional CRDs take the BGP objects as they are, in both versions of BGPPeer."""
    kubectl(installed, "apply", "-k", DEPLOY / "crds-bgp")
    plurals = ("bgppeers", "bgpadvertisements", "bfdprofiles", "communities", "servicebgpstatuses")
    established(installed, *(f"{plural}.metallb.io" for plural in plurals))
    for version, kind, plural, spec in (
            ("v1beta2", "BGPPeer", "bgppeers", {"myASN": 64500, "peerASN": 64501, "peerAddress": "10.0.0.1", "holdTime": "90s"}),
            ("v1beta1", "BGPPeer", "bgppeers", {"myASN": 64500, "nodeSelectors": [{"matchLabels": {"a": "b"}}]}),
            ("v1beta1", "BGPAdvertisement", "bgpadvertisements", {"communities": ["65535:65282"], "localPref": 100}),
            ("v1beta1", "BFDProfile", "bfdprofiles", {"receiveInterval": 380}),
            ("v1beta1", "Community", "communities", {"communities": [{"name": "no", "value": "65535:65282"}]})):
        made = {**obj(kind, spec, f"x-{version}"), "apiVersion": f"metallb.io/{version}"}
        kubectl(installed, "apply", "-f", "-", text=yaml.safe_dump(made))
        assert json.loads(kubectl(installed, "get", plural, "-n", NAMESPACE, f"x-{version}", "-o", "json"))["spec"] == spec
    kubectl(installed, "delete", "crd", *(f"{plural}.metallb.io" for plural in plurals))
