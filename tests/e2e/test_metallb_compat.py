"""l2lb over what a MetalLB 0.16 installation leaves in a cluster: no address changes, nothing is rewritten, each address stays
on the node that MetalLB's order gives it."""

import pytest
import yaml

from cluster.cluster import RealCluster
from home import DEPLOY, FROM_POOL, NAMESPACE, Home, StatusWatch, preferred
from lab.kube import path, wait
from lab.netlab import HomeLab
from test_crds import OLD, old_crd, typed

OLD_FROM_POOL = "metallb.universe.tf/ip-allocated-from-pool"
# What a server keeps of MetalLB's own Deployment: enough for l2lb's manifests to be applied over it.
ACCOUNTS = "".join(f"---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{app: metallb}}}}\n"
                   for name in ("controller", "speaker"))


def workload(kind, name):
    """As metallb-native.yaml has it, in short."""
    labels = {"app": "metallb", "component": name}
    made = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "spec": {
        "revisionHistoryLimit": 3, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [{
                "name": name, "image": f"quay.io/metallb/{name}:v0.16.1", "args": ["--port=9120", "--log-level=info"],
                "env": [{"name": "METALLB_ML_SECRET_NAME", "value": "memberlist"}]}]}}}}
    return yaml.safe_dump(made)


def pool(name, counters, **spec):
    return {"kind": "IPAddressPool", "metadata": {"name": name}, "spec": spec,
            "status": dict(zip(("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"), counters))}


def advertisement(name, **spec):
    return {"kind": "L2Advertisement", "metadata": {"name": name}, "spec": spec}


def state(name, component, condition, **labels):
    return {"kind": "ConfigurationState", "metadata": {"name": name, "labels": {"metallb.io/component-type": component, **labels}}, "status": {
        "result": "Valid", "errorSummary": "", "conditions": [{"type": condition, "status": "True", "reason": "Reconciled", "message": "",
                                                               "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}


def condition(made):
    """What its one condition says, and of what."""
    found, = made["status"]["conditions"]
    return found["type"], found["status"], found["reason"]


def l2_status(service, node):
    return {"kind": "ServiceL2Status", "metadata": {"generateName": "l2-", "labels": {
        "metallb.io/node": node, "metallb.io/service-name": service, "metallb.io/service-namespace": "default"}},
        "status": {"node": node, "serviceName": service, "serviceNamespace": "default"}}


CONFIG = [
    pool("default-pool", (8, 0, 43, 0), addresses=["192.168.122.100-192.168.122.150"]),
    pool("dual", (4, 4, 12, 252), addresses=["192.168.122.192/28", "1000::/120"], autoAssign=False),
    pool("buggy", (1, 0, 253, 0), addresses=["10.77.0.0/24"], avoidBuggyIPs=True, serviceAllocation={"priority": 50, "namespaces": ["shop"]}),
    pool("unused", (0, 0, 4, 0), addresses=["172.20.0.0-172.20.0.3"], serviceAllocation={"serviceSelectors": [{"matchLabels": {"a": "b"}}]}),
    advertisement("all", ipAddressPools=["default-pool", "dual", "unused"]),
    advertisement("workers", ipAddressPools=["buggy"], nodeSelectors=[{"matchLabels": {"kubernetes.io/hostname": f"worker-{n}"}} for n in (1, 2)]),
    state("controller", "controller", "poolReconcilerValid"),
    *(state(f"speaker-{node}", "speaker", "configReconcilerValid", **{"metallb.io/node-name": node}) for node in ("k8s-control", "worker-1", "worker-2")),
    l2_status("ingress", "worker-1"), l2_status("plain", "k8s-control"),
]
OLD_IPS, OLD_SHARE, OLD_POOL = (f"metallb.universe.tf/{key}" for key in ("loadBalancerIPs", "allow-shared-ip", "address-pool"))
PORT = lambda number, protocol="TCP": {"ports": [{"name": f"p{number}", "port": number, "protocol": protocol}]}
BOTH = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}


def given(ips, from_pool="default-pool", annotations=None, nodes=None, first=None, namespace="default", **spec):
    """A Service as MetalLB has served it. nodes: those that may answer, of all; first: the address whose hash decides."""
    ips = ips.split()
    return {"ips": ips, "pool": from_pool, "annotations": annotations or {}, "nodes": nodes, "first": first or ips[0],
            "namespace": namespace, "spec": spec}


SERVICES = {
    # The first user's: an old annotation with the address of its choice, and its pool under both names.
    "ingress": given("192.168.122.100", annotations={OLD_IPS: "192.168.122.100", OLD_FROM_POOL: "default-pool"}),
    "plain": given("192.168.122.101"),
    "by-spec": given("192.168.122.117", loadBalancerIP="192.168.122.117"),
    # Not the lowest free one: its neighbours are gone.
    "late": given("192.168.122.150"),
    "no-ports": given("192.168.122.140", allocateLoadBalancerNodePorts=False),
    "local": given("192.168.122.141", nodes=["worker-2"], externalTrafficPolicy="Local", selector={"app": "local"}),
    "dns-tcp": given("192.168.122.110", annotations={OLD_SHARE: "dns"}, **PORT(53)),
    "dns-udp": given("192.168.122.110", annotations={"metallb.io/allow-shared-ip": "dns"}, **PORT(53, "UDP")),
    "dns-web": given("192.168.122.110", annotations={OLD_SHARE: "other", "metallb.io/allow-shared-ip": "dns"}, **PORT(80)),
    "by-class": given("192.168.122.111", annotations={"metallb.io/loadBalancerIPs": " 192.168.122.111 ", "metallb.io/address-pool": "default-pool"}),
    "dual": given("192.168.122.192 1000::", "dual", {OLD_POOL: "dual"}, **BOTH),
    "dual-prefer": given("192.168.122.193 1000::1", "dual", {"metallb.io/address-pool": "dual"}, ipFamilyPolicy="PreferDualStack"),
    "dual-six-first": given("192.168.122.194 1000::2", "dual", {OLD_POOL: "dual"}, **{**BOTH, "ipFamilies": ["IPv6", "IPv4"]}),
    # Asked for both: MetalLB sorted them as text.
    "dual-sorted": given("1000::77 192.168.122.199", "dual", {OLD_IPS: "192.168.122.199,1000::77"}, **BOTH),
    "shop": given("10.77.0.1", "buggy", namespace="shop", nodes=["worker-1", "worker-2"]),
}
OTHERS = {
    "cluster-ip": {"type": "ClusterIP"}, "node-port": {"type": "NodePort"},
    "other-class": {"loadBalancerClass": "example.com/other"},
}


def shown(ips):
    # What MetalLB wrote, with what the server added to it.
    return {"status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ips]}}}


class Migrated(Home):
    """A cluster that MetalLB served until a moment ago; then deploy/ is applied over it."""

    def set_up(self):
        kube = self.kube
        for node in self.nodes:
            kube.make_node(node, self.lab.ip(node))
        for crd in [*OLD, old_crd("ConfigurationState", "configurationstates", typed())]:
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["x-kubernetes-preserve-unknown-fields"] = True
            kube.apply(yaml.safe_dump(crd))
        kube.make_namespace(NAMESPACE)
        kube.make_namespace("shop")
        kube.apply(ACCOUNTS + "---\n" + workload("Deployment", "controller") + "---\n" + workload("DaemonSet", "speaker"))
        for made in CONFIG:
            self._fill(made)
        for name, was in SERVICES.items():
            self._serve(name, was)
        for name, spec in OTHERS.items():
            kube.make_service("default", name, **spec)
        kube.patch(path("Service", "default", "other-class", "status"), shown(["192.168.122.102"]))
        self.before = self.everything()
        done = self.cluster.kubectl("apply", "-k", DEPLOY)
        assert done.returncode == 0, done.stderr
        for crd in ("ipaddresspools", "l2advertisements", "servicel2statuses", "configurationstates"):
            done = self.cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{crd}.metallb.io")
            assert done.returncode == 0, done.stderr
        # For a moment after that the server reads nothing.
        wait(lambda: self.everything() == self.before, 60, "all to be there as before")

    def _fill(self, made):
        made = {"apiVersion": "metallb.io/v1beta1", **made}
        target = path(made["kind"], NAMESPACE)
        saved = wait(lambda: self.kube.create(target, made), 40, "the CRD to serve")
        if "status" in made:
            self.kube.patch(f"{target}/{saved['metadata']['name']}/status", {"status": made["status"]})

    def _serve(self, name, was):
        namespace = was["namespace"]
        self.kube.make_slice(namespace, name, [("10.244.1.5", "worker-2", True)])
        self.kube.make_service(namespace, name, annotations=was["annotations"], **was["spec"])
        # One PUT of status and annotation, as MetalLB's.
        target = path("Service", namespace, name)
        now = self.kube.get(target)
        now["metadata"].setdefault("annotations", {})[FROM_POOL] = was["pool"]
        self.kube.put(f"{target}/status?fieldManager=controller", {**now, "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in was["ips"]]}}})

    def everything(self):
        """{kind and name: the object} of what MetalLB or its users wrote and l2lb does not take over."""
        return {(kind, made["metadata"]["namespace"], made["metadata"]["name"]): made
                for kind in ("Service", "EndpointSlice", "IPAddressPool", "L2Advertisement")
                for made in self.kube.list(path(kind))}

    def rewritten(self):
        """What is not as it was. ConfigurationStates are each process's word about itself, and of a new one there are new ones."""
        now = self.everything()
        return {key: now.get(key) for key in self.before | now if key[0] != "ConfigurationState" and now.get(key) != self.before.get(key)}


@pytest.fixture(scope="module")
def migrated(assets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("metallb")
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        flags = ["--service-cluster-ip-range=10.96.0.0/12,fd00:96::/112"]
        with RealCluster(folder, assets, control.ns, control.ip, flags=flags) as made:
            home = Migrated(made, lab, folder)
            home.watch = StatusWatch(home.kube)
            # An address goes to whoever is there when its record is made, and stays: so the controller comes last.
            for speaker in [home.start_speaker(node) for node in home.nodes]:
                speaker.wait_log(event="ready")
            home.ready()
            yield home
            home.end()


def record_of(ip):
    """The name of an address in its record's: IPv6 in full, with dashes."""
    return ip if "." in ip else "-".join(f"{group:0>4}" for group in expanded(ip))


def expanded(ip):
    head, _, tail = ip.partition("::")
    before, after = [part.split(":") if part else [] for part in (head, tail)]
    return [*before, *["0"] * (8 - len(before) - len(after)), *after]


def test_nothing_is_rewritten(migrated):
    """A record for each address is all that comes."""
    expected = {}
    for name, was in SERVICES.items():
        for ip in was["ips"]:
            expected.setdefault(record_of(ip), []).append(f"{was['namespace']}/{name}")
    wait(lambda: migrated.recorded() == {ip: sorted(names) for ip, names in expected.items()}, 30, "the records")
    fours = [ip for ip in expected if "." in ip]
    wait(lambda: all(migrated.holder(ip) for ip in fours), 30, "the owners")
    assert migrated.rewritten() == {}


def test_who_announces_is_shown(migrated):
    """One ServiceL2Status for each Service and node that announces it, as MetalLB has them; its own, which go with its pods, are replaced."""
    def shown():
        return sorted((made["metadata"]["labels"]["metallb.io/service-namespace"], made["metadata"]["labels"]["metallb.io/service-name"], made["metadata"]["labels"]["metallb.io/node"])
                      for made in migrated.kube.list(path("ServiceL2Status")) if made.get("status"))
    announced = sorted((was["namespace"], name, migrated.owner(next(ip for ip in was["ips"] if "." in ip))) for name, was in SERVICES.items())
    wait(lambda: shown() == announced, 30, f"the statuses, of {announced}")


def test_each_stays_where_it_is(migrated):
    """The node that answered yesterday answers today."""
    wrong = {}
    for name, was in SERVICES.items():
        ip = next(ip for ip in was["ips"] if "." in ip)
        node = preferred(was["nodes"] or migrated.nodes, was["first"])[0]
        if migrated.owner(ip) != node:
            wrong[name] = (migrated.owner(ip), node)
        else:
            migrated.answered_by(ip, node)
    assert wrong == {}, "(owner now, MetalLB's)"
    assert len({migrated.owner(ip) for was in SERVICES.values() for ip in was["ips"] if "." in ip}) == 3


def test_configuration_states(migrated):
    """The objects of MetalLB's pods, which are about to go, become those of ours: the same objects, and they say the same."""
    states = {made["metadata"]["name"]: made for made in CONFIG if made["kind"] == "ConfigurationState"}
    uid = migrated.controllers["controller"].uid
    place = path("ConfigurationState", NAMESPACE, "controller")
    wait(lambda: migrated.kube.get(place)["metadata"].get("ownerReferences", [{}])[0].get("uid") == uid, 30, "the controller's to be taken over")
    now = {made["metadata"]["name"]: made for made in migrated.kube.list(path("ConfigurationState", NAMESPACE))}
    assert set(now) == set(states)
    for name, made in states.items():
        assert now[name]["metadata"]["labels"] == made["metadata"]["labels"]
        assert now[name]["status"]["result"] == "Valid" and condition(now[name]) == condition(made)


def versions(objects):
    return {made["metadata"]["name"]: made["metadata"]["resourceVersion"] for made in objects}


def test_life_goes_on(migrated):
    """Restarts change nothing; the next Service gets the lowest address that nobody shows."""
    records = versions(migrated.records())
    migrated.stop(migrated.controllers["controller"])
    migrated.start_controller().wait_log(event="leading")
    migrated.serve("new")
    assert migrated.address("new") == "192.168.122.103", ".102 is in the status of somebody else's Service"
    pool_of = path("IPAddressPool", NAMESPACE, "default-pool")
    wait(lambda: migrated.kube.get(pool_of)["status"]["assignedIPv4"] == 9, 20, "the counters")
    migrated.delete("new")
    wait(lambda: versions(migrated.records()) == records, 20, "the records to be as they were")
    node = migrated.nodes[0]
    migrated.stop(migrated.speakers[node])
    migrated.start_speaker(node).wait_log(event="ready")
    wait(lambda: migrated.kube.get(pool_of)["status"] == migrated.before["IPAddressPool", NAMESPACE, "default-pool"]["status"], 20, "the counters")
    assert set(migrated.rewritten()) == {("IPAddressPool", NAMESPACE, "default-pool"), ("EndpointSlice", "default", "new-test")}
    migrated.watch.only_one_each([f"{was['namespace']}/{name}" for name, was in SERVICES.items()])
    migrated.check_logs()
