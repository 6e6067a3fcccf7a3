"""The table: what tests/allocation/cases/*.yaml say, as API objects and expectations. README.md there has the words.

The same case runs on the pure core and on a real API server. There all cases run at once, so each has namespaces,
addresses and a loadBalancerClass of its own: Names translates.
"""

import copy
import ipaddress
import json
import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parent
NAMESPACE = "metallb-system"
SHOP = "shop"                       # where Services are that name no namespace
FROM_POOL = "metallb.io/ip-allocated-from-pool"
NEW, OLD = "metallb.io", "metallb.universe.tf"
FAMILIES = {4: ("IPv4", "10.96.0.10"), 6: ("IPv6", "fd96::10")}
POLICIES = {"Single": "SingleStack", "Prefer": "PreferDualStack", "Require": "RequireDualStack"}
# Said beside what the table is about: of advertisements, and that IPv6 is not answered for.
UNRELATED = {"noMatchingAdvertisement", "ipv6NotAnnounced"}
STEP_KEYS = {"apply", "edit", "delete", "pools", "namespaces", "status", "away", "restart", "expect", "says", "counters",
             "problems", "note"}
CASE_KEYS = {"name", "proves", "note", "pools", "namespaces", "flag", "steps", "cluster", "server"}
_INPUTS = {"ips": "loadBalancerIPs", "pool": "address-pool", "share": "allow-shared-ip"}
_SERVICE_KEYS = {*_INPUTS, "old-ips", "old-pool", "old-share", "lbip", "families", "policy", "class", "type", "ports", "selector", "local",
                 "labels", "annotations", "finalizers", "clusterIPs", "spec", "from", "status"}


# Reading

def load():
    """All cases, in the order of files and lines."""
    cases = []
    for file in sorted((FOLDER / "cases").glob("*.yaml")):
        for raw in yaml.safe_load(file.read_text()):
            cases.append(Case(raw, file.stem, len(cases)))
    return cases


def load_anchors():
    """"2.4: lowest first": what it says and where, as anchors.yaml has it."""
    return {f"{section}: {key}": anchor
            for section, anchors in yaml.safe_load((FOLDER / "anchors.yaml").read_text()).items() for key, anchor in anchors.items()}


class Case:
    def __init__(self, raw, file, number):
        self.name, self.file, self.number = raw["name"], file, number
        self.id = f"{file}: {self.name}"
        self.proves = raw["proves"]
        self.pools = raw.get("pools", {})
        self.namespaces = raw.get("namespaces", {})
        self.flag = raw.get("flag")            # --lb-class; None: any will do
        self.cluster = raw.get("cluster", "dual")
        # "refuses": the API server takes no such object. "core only": what happens before cannot be had there.
        self.server = raw.get("server")
        one = {key: raw[key] for key in STEP_KEYS if key in raw and key not in ("pools", "namespaces", "note")}
        self.steps = raw.get("steps") or [one]
        self._check(raw)

    def _check(self, raw):
        known = CASE_KEYS if "steps" in raw else CASE_KEYS | STEP_KEYS
        assert set(raw) <= known, f"{self.id}: {set(raw) - known}"
        assert self.server in (None, "refuses", "core only") and self.cluster in ("dual", "single"), self.id
        for step in self.steps:
            assert set(step) <= STEP_KEYS, f"{self.id}: {set(step) - STEP_KEYS}"
        for _, words in self.services():
            assert set(words or {}) <= _SERVICE_KEYS, f"{self.id}: {set(words) - _SERVICE_KEYS}"

    def services(self):
        """All it ever says of Services: (key, words)."""
        return [item for step in self.steps for part in ("apply", "edit") for item in step.get(part, {}).items()]

    def needs_no_class(self):
        """There are Services without a class, or a controller that serves such: only one case at a time on a server."""
        return self.flag == "" or any("class" in (words or {}) and words["class"] is None for _, words in self.services())


def space_of(service):
    """The namespace of a Service as the table writes it."""
    return service.rpartition("/")[0] or SHOP


# Names

class Names:
    """As the table has them: the pure core's."""

    namespace = NAMESPACE
    own_class = None

    def space(self, name):
        return name

    def lb_class(self, name):
        return name

    def text(self, text):
        return text

    def everywhere(self, value):
        """All texts in a value."""
        return json.loads(self.text(json.dumps(value)))

    def key(self, service):
        return f"{self.space(space_of(service))}/{service.rpartition('/')[2]}"


class CaseNames(Names):
    """Those of one case on a server that has many: 10.0.x.y and fd00::x are its own, and so on."""

    def __init__(self, case):
        n = case.number
        self.prefix = f"t{n}"
        self.namespace = f"{self.prefix}-{NAMESPACE}"
        self.own_class = None if case.flag is not None else f"table.l2lb.io/{self.prefix}"
        self._v4, self._v6 = f"{20 + n // 256}.{n % 256}.", f"{0xe000 + n:x}:"

    def space(self, name):
        return f"{self.prefix}-{name}"

    def lb_class(self, name):
        return f"{name}-{self.prefix}" if name else name

    def text(self, text):
        return re.sub(r"\bfd00:", self._v6, re.sub(r"\b10\.0\.", self._v4, text))


# Objects

def namespace_object(name, labels, names):
    name = names.space(name)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **(labels or {})}}}


def pool_object(name, spec, names):
    """spec: that of the object, or its addresses alone; metadata's labels in `labels`."""
    spec = {"addresses": spec} if isinstance(spec, list) else copy.deepcopy(spec)
    admits = spec.get("serviceAllocation")
    if isinstance(admits, dict) and isinstance(admits.get("namespaces"), list):
        admits["namespaces"] = [names.space(space) for space in admits["namespaces"]]
    return {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "namespace": names.namespace},
            "spec": names.everywhere(spec)}


def service_object(key, words, names, new=True):
    """A new Service, or (merge-patch) a change of one."""
    space, name = names.key(key).split("/")
    words = words or {}
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": {}}
    if new:
        # Their node ports come from one small range.
        made["spec"] = {"type": "LoadBalancer", "ports": _ports([80]), "selector": {"app": name}}
        words = {"families": [4], **words}
    meta, spec = made["metadata"], made["spec"]
    annotations = {**_annotations(words), **words.get("annotations", {})}
    for key, value in (("annotations", annotations), ("labels", words.get("labels")), ("finalizers", words.get("finalizers"))):
        if value:
            meta[key] = value
    spec.update({field: words[word] for word, field in (("type", "type"), ("lbip", "loadBalancerIP")) if word in words})
    _set_class(spec, words, names, new)
    if "ports" in words:
        spec["ports"] = _ports(words["ports"])
    if "selector" in words:
        spec["selector"] = words["selector"]
    if "local" in words:
        spec["externalTrafficPolicy"] = "Local" if words["local"] else "Cluster"
    _set_families(spec, words)
    spec.update(words.get("spec", {}))
    return names.everywhere(made)


def _annotations(words):
    made = {f"{NEW}/{key}": words[word] for word, key in _INPUTS.items() if word in words}
    made.update({f"{OLD}/{key}": words[f"old-{word}"] for word, key in _INPUTS.items() if f"old-{word}" in words})
    if "from" in words:
        made[FROM_POOL] = words["from"]
    return made


def _set_class(spec, words, names, new):
    becomes_ours = not new and words.get("type") == "LoadBalancer"
    if "class" in words:
        spec["loadBalancerClass"] = names.lb_class(words["class"])
    elif names.own_class and spec.get("type") == "LoadBalancer" and (new or becomes_ours):
        spec["loadBalancerClass"] = names.own_class


def _ports(ports):
    """80, "53/UDP"."""
    made = []
    for port in ports:
        number, _, protocol = str(port).partition("/")
        made.append({"name": f"p{number}-{(protocol or 'TCP').lower()}", "port": int(number), "protocol": protocol or "TCP"})
    return made


def _set_families(spec, words):
    families = words.get("families")
    if families:
        policy = words.get("policy", "Single" if len(families) == 1 else "Require")
        spec["ipFamilyPolicy"] = POLICIES[policy]
        spec["ipFamilies"] = [FAMILIES[family][0] for family in families]
        # The server's part; for_server takes them out again.
        spec["clusterIPs"] = [FAMILIES[family][1] for family in families]
    if "clusterIPs" in words:
        spec["clusterIPs"] = words["clusterIPs"]


def for_server(service, words):
    """A server chooses cluster addresses itself, unless they are what a case is about."""
    spec = {key: value for key, value in service["spec"].items() if key != "clusterIPs" or "clusterIPs" in (words or {})}
    return {**service, "spec": spec}


def status_object(key, ips, names):
    """A foreign write to the status: addresses, or entries as they stand."""
    space, name = names.key(key).split("/")
    entries = [ip if isinstance(ip, dict) else {"ip": ip} for ip in ips]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space},
            "status": {"loadBalancer": {"ingress": names.everywhere(entries)}}}


# Expectations

class Expected:
    """What is there after a step. A Service that the step does not name is as it was, and nothing is said of it."""

    def __init__(self, case, names):
        self._names = names
        self._shown = {}       # key -> (ips, pool)
        self.events = {}       # key -> set of reasons; "(reason)": may be said
        self.says = {}
        self.counters, self.problems = {}, None

    def step(self, step):
        self.events = {}
        for service in step.get("delete", []):
            self._shown.pop(self._names.key(service), None)
        for service in step.get("apply", {}):
            self._shown.setdefault(self._names.key(service), ([], None))
        for service, text in step.get("expect", {}).items():
            key = self._names.key(service)
            if text == "gone":
                self._shown.pop(key, None)
            else:
                self._shown[key], self.events[key] = self._read(text)
        self.says = {self._names.key(service): self._names.text(text) for service, text in step.get("says", {}).items()}
        self.counters = step.get("counters", {})
        self.problems = step.get("problems", self.problems)
        return self

    def _read(self, text):
        """"10.0.0.1, fd00::1 of p; IPAllocated" or "none; AllocationFailed"."""
        has, _, reasons = self._names.text(text).partition(";")
        ips, _, pool = has.strip().partition(" of ")
        ips = [] if ips == "none" else [ip.strip() for ip in ips.split(",")]
        return (ips, pool.strip() or None), {reason.strip() for reason in reasons.split(",") if reason.strip()}

    def faults(self, services, events):
        """One line for each difference. services: key -> (ips, pool); events: (key, reason, text) of this step."""
        lines = [f"{key}: has {services.get(key)}, expected {want}" for key, want in self._shown.items() if services.get(key) != want]
        lines += [f"{key}: is there" for key in services if key not in self._shown]
        said = {}
        for key, reason, _ in events:
            if reason not in UNRELATED:
                said.setdefault(key, set()).add(reason)
        for key in sorted({*said, *self.events}):
            if not _agree(said.get(key, set()), self.events.get(key, set())):
                texts = [text for at, _, text in events if at == key]
                lines.append(f"{key}: said {sorted(said.get(key, []))}, expected {sorted(self.events.get(key, []))}: {texts}")
        for key, part in self.says.items():
            if not any(at == key and part in text for at, _, text in events):
                lines.append(f"{key}: nobody said {part!r}: {[text for at, _, text in events if at == key]}")
        return lines + _doubles(services)


def _agree(said, expected):
    allowed = {reason.strip("()") for reason in expected}
    return said <= allowed and {reason for reason in expected if not reason.startswith("(")} <= said


def _doubles(services):
    """An address never has two spellings: it is written as Go and inet_ntop do."""
    return [f"{key}: {ip} is not how it is written" for key, (ips, _) in services.items() for ip in ips
            if _is_address(ip) and str(ipaddress.ip_address(ip)) != ip]


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
