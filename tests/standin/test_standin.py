"""The stand-in checked over the wire: what a client of kube-apiserver relies on, and the fault interface.

    /usr/bin/python3 -m pytest tests/standin
"""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
MERGE = "application/merge-patch+json"
SERVICES = "/api/v1/namespaces/default/services"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
POOLS = "/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools"


class Standin:
    """A running stand-in and an admin's requests to it."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "apiserver.py"), "--listen", "127.0.0.1:0", "--dir", str(folder), *options],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.cpu_at_start = self.cpu()
        self.port = int(re.fullmatch(r"standin: serving on https?://127\.0\.0\.1:(\d+)\n", line).group(1))
        self.context = None
        if "--plain" not in options:
            self.context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
            self.context.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def cpu(self):
        """Seconds of processor that it has used: they do not depend on what else runs."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def connect(self, context=None):
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context or self.context)

    def call(self, method, path, body=None, kind="application/json", headers=None, context=None):
        """(code, decoded answer)"""
        link = self.connect(context)
        sent = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        link.request(method, path, sent, {"Content-Type": kind, **(headers or {})} if sent else headers or {})
        answer = link.getresponse()
        data = answer.read()
        link.close()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(data) if is_json and data else data.decode()

    def get(self, path):
        return self.call("GET", path)[1]

    def post(self, path, body):
        code, answer = self.call("POST", path, body)
        assert code == 201, answer
        return answer

    def patch(self, path, body):
        return self.call("PATCH", path, body, MERGE)

    def watch(self, path):
        return WatchStream(self, path)

    def fault(self, **spec):
        return self.post("/_standin/faults", spec)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        self.process.stdout.close()


class WatchStream:
    def __init__(self, standin, path):
        self.link = standin.connect()
        self.link.request("GET", path)
        self.answer = self.link.getresponse()

    def line(self):
        return self.answer.readline()

    def next(self):
        event = json.loads(self.line())
        return event["type"], event["object"]

    def names(self, count):
        return [(kind, obj["metadata"]["name"]) for kind, obj in (self.next() for _ in range(count))]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    standin = Standin(tmp_path_factory.mktemp("standin"), "--token", "sesame,robot")
    yield standin
    standin.stop()


@pytest.fixture
def api(shared):
    """The shared stand-in, cleaned between tests."""
    shared.call("DELETE", "/_standin/faults")
    shared.call("DELETE", "/_standin/requests")
    for path in (SERVICES, LEASES, "/api/v1/namespaces/default/configmaps", "/api/v1/nodes"):
        shared.call("DELETE", path)
    return shared


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}}


def config(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


CONFIGS = "/api/v1/namespaces/default/configmaps"


# --- start, users, errors --------------------------------------------------------------------------------------

def test_certificates_are_made_once_and_start_is_quick(api, tmp_path):
    first = Standin(tmp_path)
    first.stop()
    made = (tmp_path / "server.crt").read_bytes()
    second = Standin(tmp_path)
    second.stop()
    assert (tmp_path / "server.crt").read_bytes() == made
    assert second.cpu_at_start < 1  # 0.2 s; the bound only catches something silly
    text = (tmp_path / "kubeconfig").read_text()
    inline = re.search("client-certificate-data: (.*)", text).group(1)
    assert base64.b64decode(inline) == (tmp_path / "admin.crt").read_bytes()


def test_credentials(api):
    nobody = ssl.create_default_context(cafile=str(api.folder / "ca.crt"))
    code, status = api.call("GET", SERVICES, context=nobody)
    assert (code, status["reason"], status["kind"]) == (401, "Unauthorized", "Status")
    assert api.call("GET", SERVICES, headers={"Authorization": "Bearer wrong"}, context=nobody)[0] == 401
    assert api.call("GET", SERVICES, headers={"Authorization": "Bearer sesame"}, context=nobody)[0] == 200
    (api.folder / "tokens.csv").write_text('abc,alice,1,"dev,ops"\n')
    assert api.call("GET", SERVICES, headers={"Authorization": "Bearer abc"}, context=nobody)[0] == 200
    users = [entry["user"] for entry in api.get("/_standin/requests")["requests"]]
    assert users[-2:] == ["robot", "alice"]


def test_not_found_forms(api):
    code, status = api.call("GET", SERVICES + "/none")
    assert (code, status["message"]) == (404, 'services "none" not found')
    assert status["details"] == {"name": "none", "kind": "services"}
    assert api.call("GET", "/apis/metallb.io/v1beta1/ipaddresspools") == (404, "404 page not found\n")
    assert api.call("GET", "/api/v1/nonsense")[1]["message"] == "the server could not find the requested resource"
    code, status = api.call("POST", "/api/v1/namespaces/nowhere/configmaps", config("x"))
    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')
    assert api.call("GET", "/version")[1]["gitVersion"] == "v1.37.2"
    assert api.call("GET", "/readyz") == (200, "ok")


# --- lists -----------------------------------------------------------------------------------------------------

def test_list_items_carry_no_kind(api):
    empty = api.get(CONFIGS)
    assert empty["items"] == [] and empty["kind"] == "ConfigMapList"
    made = api.post(CONFIGS, config("one"))
    assert made["kind"] == "ConfigMap" and made["metadata"]["uid"]
    listed = api.get(CONFIGS)
    assert "kind" not in listed["items"][0] and "apiVersion" not in listed["items"][0]
    assert int(listed["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])


def test_paging_shows_one_version(api):
    for number in range(5):
        api.post(CONFIGS, config(f"c{number}"))
    first = api.get(CONFIGS + "?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    api.post(CONFIGS, config("c9"))
    api.call("DELETE", CONFIGS + "/c3")
    names, page = [], first
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        if not page["metadata"].get("continue"):
            break
        page = api.get(CONFIGS + "?limit=2&continue=" + page["metadata"]["continue"])
    assert names == ["c0", "c1", "c2", "c3", "c4"]
    assert len(api.get(CONFIGS + "?limit=2&resourceVersion=0")["items"]) == 5  # the watch cache does not page


def test_expired_continue(api):
    for number in range(3):
        api.post(CONFIGS, config(f"c{number}"))
    token = api.get(CONFIGS + "?limit=1")["metadata"]["continue"]
    api.fault(kind="compact")
    code, status = api.call("GET", CONFIGS + "?limit=1&continue=" + token)
    assert (code, status["reason"]) == (410, "Expired")
    rest = api.get(CONFIGS + "?continue=" + status["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c1", "c2"]


@pytest.mark.parametrize("selector, names", [
    ("app=web", "a"), ("app==web,tier=1", "a"), ("app!=web", "bc"), ("app", "ab"), ("!app", "c"),
    ("app in (web, db)", "ab"), ("app notin (web)", "bc"), ("tier,app in (db)", "")])
def test_label_selectors(api, selector, names):
    api.post(CONFIGS, config("a", app="web", tier="1"))
    api.post(CONFIGS, config("b", app="db"))
    api.post(CONFIGS, config("c"))
    found = api.get(CONFIGS + "?labelSelector=" + selector.replace(" ", "%20"))["items"]
    assert "".join(item["metadata"]["name"] for item in found) == names


def test_field_selectors(api):
    api.post(SERVICES, service("lb"))
    api.post(SERVICES, service("plain", type="ClusterIP"))
    found = api.get("/api/v1/services?fieldSelector=spec.type=LoadBalancer")["items"]
    assert [item["metadata"]["name"] for item in found] == ["lb"]
    assert api.call("GET", SERVICES + "?fieldSelector=spec.foo=1")[0] == 400


# --- watches ---------------------------------------------------------------------------------------------------

def test_watch_from_version_and_deletion(api):
    version = api.get(CONFIGS)["metadata"]["resourceVersion"]
    made = api.post(CONFIGS, config("w"))
    stream = api.watch(f"{CONFIGS}?watch=1&resourceVersion={version}")
    assert stream.next()[1]["metadata"]["name"] == "w"
    api.patch(CONFIGS + "/w", {"data": {"a": "2"}})
    assert stream.next()[0] == "MODIFIED"
    api.call("DELETE", CONFIGS + "/w")
    kind, obj = stream.next()
    assert kind == "DELETED" and obj["data"] == {"a": "2"} and obj["kind"] == "ConfigMap"
    assert int(obj["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"]) + 1


def test_watch_unset_starts_with_state(api):
    api.post(CONFIGS, config("x"))
    api.post(CONFIGS, config("y"))
    assert api.watch(CONFIGS + "?watch=true").names(2) == [("ADDED", "x"), ("ADDED", "y")]


def test_watch_selector_transitions(api):
    api.post(CONFIGS, config("t", on="no"))
    version = api.get(CONFIGS)["metadata"]["resourceVersion"]
    stream = api.watch(f"{CONFIGS}?watch=1&resourceVersion={version}&labelSelector=on=yes")
    for value in ("yes", "yes", "no"):
        api.patch(CONFIGS + "/t", {"metadata": {"labels": {"on": value}}, "data": {"a": value + str(time.time())}})
    events = [stream.next() for _ in range(3)]
    assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[2][1]["metadata"]["labels"] == {"on": "yes"}  # the content before, the version of the change
    assert int(events[2][1]["metadata"]["resourceVersion"]) > int(events[1][1]["metadata"]["resourceVersion"])


def test_bookmark_before_the_deadline_and_clean_end(api):
    version = api.get(CONFIGS)["metadata"]["resourceVersion"]
    start = time.monotonic()
    stream = api.watch(f"{CONFIGS}?watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=3")
    kind, obj = stream.next()
    assert kind == "BOOKMARK" and obj["kind"] == "ConfigMap" and list(obj["metadata"]) == ["resourceVersion"]
    assert 0.8 < time.monotonic() - start
    assert stream.line() == b"" and 2.8 < time.monotonic() - start < 30
    stream.link.request("GET", CONFIGS)  # the connection lives on
    assert stream.link.getresponse().status == 200


def test_streaming_list(api):
    api.post(CONFIGS, config("s"))
    stream = api.watch(CONFIGS + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                       "&allowWatchBookmarks=true&resourceVersion=")
    assert stream.next()[0] == "ADDED"
    kind, obj = stream.next()
    assert kind == "BOOKMARK" and obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_too_old_version_both_forms(api):
    api.fault(kind="compact")
    stream = api.watch(CONFIGS + "?watch=1&resourceVersion=1")
    kind, status = stream.next()
    assert stream.answer.status == 200 and kind == "ERROR"
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert stream.line() == b""
    api.fault(kind="http410")
    assert api.call("GET", CONFIGS + "?watch=1&resourceVersion=1")[0] == 410


# --- writes ----------------------------------------------------------------------------------------------------

def test_create_conflicts_and_generate_name(api):
    api.post(CONFIGS, config("one"))
    code, status = api.call("POST", CONFIGS, config("one"))
    assert (code, status["reason"]) == (409, "AlreadyExists")
    made = api.post(CONFIGS, {"metadata": {"generateName": "l2-"}})
    assert re.fullmatch("l2-[a-z0-9]{5}", made["metadata"]["name"])


def test_update_conflict_and_no_change(api):
    made = api.post(CONFIGS, config("u"))
    assert api.call("PUT", CONFIGS + "/u", made)[1]["metadata"] == made["metadata"]  # nothing changed: no new version
    made["data"] = {"b": "2"}
    assert api.call("PUT", CONFIGS + "/u", made)[0] == 200
    code, status = api.call("PUT", CONFIGS + "/u", made)
    assert (code, status["reason"]) == (409, "Conflict") and "object has been modified" in status["message"]
    assert api.call("PUT", CONFIGS + "/v", config("v"))[0] == 404


def test_merge_patch_guards(api):
    made = api.post(CONFIGS, config("p", x="1"))
    version, uid = made["metadata"]["resourceVersion"], made["metadata"]["uid"]
    code, after = api.patch(CONFIGS + "/p", {"metadata": {"resourceVersion": version, "uid": uid,
                                                          "labels": {"x": None, "y": "2"}}})
    assert code == 200 and after["metadata"]["labels"] == {"y": "2"}
    assert api.patch(CONFIGS + "/p", {"metadata": {"resourceVersion": version}})[0] == 409
    code, status = api.patch(CONFIGS + "/p", {"metadata": {"uid": "other"}})
    assert code == 422 and "field is immutable" in status["message"]  # 422 is what the real server says here


def test_delete_preconditions(api):
    made = api.post(CONFIGS, config("d"))
    wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    assert api.call("DELETE", CONFIGS + "/d", wrong)[0] == 409
    code, status = api.call("DELETE", CONFIGS + "/d", {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert (code, status["status"]) == (200, "Success")


def test_finalizer_holds_the_object(api):
    body = config("f")
    body["metadata"]["finalizers"] = ["example.org/hold"]
    api.post(CONFIGS, body)
    assert api.call("DELETE", CONFIGS + "/f")[1]["metadata"]["deletionTimestamp"]
    assert api.call("GET", CONFIGS + "/f")[0] == 200
    code, status = api.patch(CONFIGS + "/f", {"metadata": {"finalizers": ["example.org/other"]}})
    assert code == 422 and "no new finalizers can be added" in status["message"]
    api.patch(CONFIGS + "/f", {"metadata": {"finalizers": None}})
    assert api.call("GET", CONFIGS + "/f")[0] == 404


def test_lease_rules(api):
    good = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15,
            "renewTime": "2026-01-01T00:00:00.000000Z", "surprise": 1}}
    made = api.post(LEASES, good)
    assert "surprise" not in made["spec"]
    for stamp in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.1234567Z"):
        bad = {"metadata": {"name": "m"}, "spec": {"renewTime": stamp}}
        assert api.call("POST", LEASES, bad)[0] == 400
    code, status = api.call("PUT", LEASES + "/l", good)
    assert code == 422 and "must be specified for an update" in status["message"]
    assert api.call("PUT", LEASES + "/fresh", {"metadata": {"name": "fresh"}, "spec": {}})[0] == 201


def test_service_allocation_and_status(api):
    made = api.post(SERVICES, service("lb", externalTrafficPolicy="Local"))
    spec = made["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]] and spec["ipFamilies"] == ["IPv4"]
    assert spec["ipFamilyPolicy"] == "SingleStack" and spec["ports"][0]["nodePort"] and spec["healthCheckNodePort"]
    assert made["status"] == {"loadBalancer": {}}
    code, after = api.patch(SERVICES + "/lb/status", {
        "metadata": {"annotations": {"k": "v"}}, "spec": {"sessionAffinity": "ClientIP"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.168.122.240"}]}}})
    assert code == 200 and after["spec"] == spec and after["metadata"]["annotations"] == {"k": "v"}
    assert after["status"]["loadBalancer"]["ingress"] == [{"ip": "192.168.122.240", "ipMode": "VIP"}]
    code, after = api.patch(SERVICES + "/lb", {"status": {"loadBalancer": None}, "metadata": {"labels": {"a": "b"}}})
    assert after["status"]["loadBalancer"]["ingress"]
    code, after = api.patch(SERVICES + "/lb", {"spec": {"type": "ClusterIP"}})
    assert code == 200 and after["status"] == {"loadBalancer": {}} and "nodePort" not in after["spec"]["ports"][0]
    without = api.post(SERVICES, service("n", allocateLoadBalancerNodePorts=False, loadBalancerClass="a.b/c"))
    assert "nodePort" not in without["spec"]["ports"][0]
    assert api.patch(SERVICES + "/n", {"spec": {"loadBalancerClass": "d.e/f"}})[0] == 422


def test_events_have_two_spellings(api):
    new = {"metadata": {"name": "e.1"}, "eventTime": "2026-01-01T00:00:00.000001Z", "action": "Assign", "type": "Normal",
           "reason": "Assigned", "reportingController": "x.y/z", "reportingInstance": "i", "note": "hello",
           "regarding": {"kind": "Service", "namespace": "default", "name": "s"}}
    api.post("/apis/events.k8s.io/v1/namespaces/default/events", new)
    old = api.get("/api/v1/namespaces/default/events/e.1")
    assert old["message"] == "hello" and old["involvedObject"]["name"] == "s" and old["firstTimestamp"] is None
    del new["action"]
    new["metadata"]["name"] = "e.2"
    assert api.call("POST", "/apis/events.k8s.io/v1/namespaces/default/events", new)[0] == 422


def test_custom_resources_appear_with_their_definition(api):
    schema = {"type": "object", "properties": {
        "spec": {"type": "object", "required": ["addresses"], "properties": {
            "addresses": {"type": "array", "items": {"type": "string"}},
            "autoAssign": {"type": "boolean", "default": True}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    names = {"kind": "IPAddressPool", "plural": "ipaddresspools"}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                  "metadata": {"name": "ipaddresspools.metallb.io"},
                  "spec": {"group": "metallb.io", "scope": "Namespaced", "names": names, "versions": [
                      {"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}},
                       "schema": {"openAPIV3Schema": schema}}]}}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert api.call("GET", POOLS)[0] == 404
    api.post(crds, definition)
    deadline = time.monotonic() + 60
    while api.call("GET", POOLS)[0] == 404 and time.monotonic() < deadline:
        time.sleep(0.01)
    pool = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"},
            "spec": {"addresses": ["192.168.122.240/28"], "unknown": 1}, "status": {"a": 1}}
    made = api.post(POOLS, pool)
    assert made["spec"] == {"addresses": ["192.168.122.240/28"], "autoAssign": True} and "status" not in made
    code, after = api.patch(POOLS + "/p/status", {"metadata": {"labels": {"no": "no"}}, "status": {"assignedIPv4": 1}})
    assert code == 200 and after["status"] == {"assignedIPv4": 1} and "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 1
    assert api.get(POOLS)["items"][0]["kind"] == "IPAddressPool"  # custom items do keep their kind
    pool["metadata"]["name"], pool["spec"] = "q", {}
    assert api.call("POST", POOLS, pool)[0] == 422
    api.call("DELETE", crds + "/ipaddresspools.metallb.io")
    deadline = time.monotonic() + 60
    while api.call("GET", POOLS)[0] != 404 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert api.call("GET", POOLS) == (404, "404 page not found\n")


def test_our_own_definitions(api):
    """Those of deploy/, but for their CEL rules: defaults, bounds, enums and patterns hold."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    files = sorted((HERE.parents[1] / "deploy").glob("crds*/*s.yaml"))
    assert len(files) == 9
    for file in files:
        api.post(crds, yaml.safe_load(file.read_text()))
    made = {"apiVersion": "metallb.io/v1beta1", "metadata": {"name": "x"}}
    pool = lambda **spec: {**made, "kind": "IPAddressPool", "spec": {"addresses": ["1.2.3.0/24"], **spec}}
    selector = lambda operator, value: [{"matchLabels": {"a": value}, "matchExpressions": [{"key": "a", "operator": operator}]}]
    ads = POOLS.replace("ipaddresspools", "l2advertisements")
    deadline = time.monotonic() + 60
    while 404 in (api.call("GET", POOLS)[0], api.call("GET", ads)[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    for target, bad in ((POOLS, pool(addresses=[])), (POOLS, pool(serviceAllocation={"serviceSelectors": selector("in", "b")})),
                        (POOLS, pool(serviceAllocation={"serviceSelectors": selector("Exists", "b c")})), (POOLS, pool(autoAssign="yes")),
                        (ads, {**made, "kind": "L2Advertisement", "spec": {"preferredNodeSelectors": [{"weight": 101, "preference": {}}]}})):
        assert api.call("POST", target, bad)[0] == 422, bad
    good = pool(serviceAllocation={"serviceSelectors": selector("Exists", "b")})
    assert api.post(POOLS, good)["spec"] == {**good["spec"], "autoAssign": True, "avoidBuggyIPs": False}
    assert api.patch(POOLS + "/x/status", {"status": {"assignedIPv4": 1}})[0] == 422
    api.post(ads, {**made, "kind": "L2Advertisement"})
    for file in files:
        api.call("DELETE", f"{crds}/{file.stem}.metallb.io")


# --- faults ----------------------------------------------------------------------------------------------------

def test_deny(api):
    api.fault(kind="deny", user="admin", verb="list", resource="services")
    code, status = api.call("GET", "/api/v1/services")
    assert code == 403 and status["message"] == ('services is forbidden: User "admin" cannot list resource '
                                                 '"services" in API group "" at the cluster scope')
    assert api.call("GET", SERVICES + "/none")[0] == 404
    api.fault(kind="deny", user="admin", verb="patch", resource="services/status")
    assert api.patch(SERVICES + "/x/status", {})[1]["message"] == (
        'services "x" is forbidden: User "admin" cannot patch resource "services/status" in API group "" '
        'in the namespace "default"')


def test_status_fault_is_used_up(api):
    api.fault(kind="status", match="/services", method="GET", code=429, headers={"Retry-After": "1"},
              body="Too many requests, please try again later.\n", times=2)
    assert [api.call("GET", SERVICES)[0] for _ in range(3)] == [429, 429, 200]
    api.fault(kind="status", match="/services", code=500, reason="InternalError", message="broken")
    assert api.call("GET", SERVICES)[1]["reason"] == "InternalError"


def test_delay_and_drop_after_the_effect(api):
    api.fault(kind="delay", match="configmaps", ms=200, times=1)
    start = time.monotonic()
    api.get(CONFIGS)
    assert time.monotonic() - start >= 0.2
    api.fault(kind="drop", match="configmaps", method="POST", when="after", times=1)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        api.call("POST", CONFIGS, config("lost"))
    assert api.call("GET", CONFIGS + "/lost")[0] == 200


def test_cut(tmp_path):
    plain = Standin(tmp_path, "--plain")  # over TLS, Python's ssl module shows a reset as a plain end
    stream = plain.watch(CONFIGS + "?watch=1")
    assert plain.fault(kind="cut", match="configmaps.*watch")["watches"] == 1
    with pytest.raises(ConnectionResetError):
        stream.line()
    stream = plain.watch(CONFIGS + "?watch=1")
    plain.fault(kind="cut", how="eof")
    assert stream.line() == b""
    plain.stop()


def test_stall_holds_events_back(api):
    stream = api.watch(CONFIGS + "?watch=1&resourceVersion=0")
    api.fault(kind="stall", match="configmaps.*watch")
    api.post(CONFIGS, config("late"))
    stream.link.sock.settimeout(0.3)
    with pytest.raises(OSError):
        stream.line()
    api.call("DELETE", "/_standin/faults")
    assert api.get("/_standin/watches")["watches"]


def test_half_line_and_garbage(api):
    stream = api.watch(CONFIGS + "?watch=1&resourceVersion=0")
    api.fault(kind="garbage", match="configmaps")
    with pytest.raises(ValueError):
        stream.next()
    api.post(CONFIGS, config("g"))
    assert stream.next()[0] == "ADDED"
    api.fault(kind="half-line", match="configmaps")
    api.post(CONFIGS, config("h"))
    half = stream.answer.read1(65536)
    assert half.startswith(b'{"type":"ADDED"') and not half.endswith(b"\n")
    stream.link.sock.settimeout(0.2)
    api.post(CONFIGS, config("i"))
    with pytest.raises(OSError):
        stream.answer.read1(65536)


def test_request_log(api):
    api.call("GET", SERVICES + "?limit=1", headers={"User-Agent": "tester/1"})
    entry = api.get("/_standin/requests")["requests"][-1]
    assert (entry["user"], entry["verb"], entry["path"], entry["code"], entry["userAgent"]) == (
        "admin", "list", SERVICES + "?limit=1", 200, "tester/1")


# --- a life of its own -----------------------------------------------------------------------------------------

def test_restart_keeps_objects_and_versions(tmp_path):
    before = Standin(tmp_path, "--plain", "--persist", "--crds")
    made = before.post(CONFIGS, config("kept"))
    before.post(POOLS, {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"}})
    before.stop()
    after = Standin(tmp_path, "--plain", "--persist")
    assert after.get(CONFIGS + "/kept") == made
    assert after.get(POOLS)["items"][0]["metadata"]["name"] == "p"
    new = after.post(CONFIGS, config("new"))
    assert int(new["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    after.stop()


def test_speed(tmp_path):
    """Bounds ten times the measured values, so that only a change of kind fails; of processor time, which others do not take."""
    standin = Standin(tmp_path)
    watches = [standin.watch(CONFIGS + "?watch=1&resourceVersion=0") for _ in range(30)]
    link, start = standin.connect(), standin.cpu()
    for number in range(200):
        link.request("POST", CONFIGS, json.dumps(config(f"c{number}")), {"Content-Type": "application/json"})
        assert link.getresponse().read()
    write = (standin.cpu() - start) / 200
    for stream in watches:
        assert len(stream.names(200)) == 200
    start = standin.cpu()
    link.request("GET", CONFIGS)
    link.getresponse().read()
    listing = standin.cpu() - start
    print(f"write with 30 watches {write * 1000:.2f} ms, list of 200 {listing * 1000:.2f} ms")
    assert write < 0.05 and listing < 0.1
    standin.stop()


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl")
def test_kubectl(api, tmp_path):
    def kubectl(*words, text=None):
        return subprocess.run(["kubectl", "--kubeconfig", str(api.folder / "kubeconfig"), "--cache-dir",
                               str(tmp_path), *words], input=text, capture_output=True, text=True, timeout=120)
    manifest = json.dumps(service("k"))
    assert "service/k created" in kubectl("apply", "--validate=false", "-f", "-", text=manifest).stdout
    manifest = manifest.replace('"port": 80', '"port": 81')
    assert "service/k configured" in kubectl("apply", "--validate=false", "-f", "-", text=manifest).stdout
    assert [p["port"] for p in api.get(SERVICES + "/k")["spec"]["ports"]] == [81]
    assert re.search(r"default +k ", kubectl("get", "svc,leases", "-A").stdout)
