"""The API client against what API servers do: the same tests on the stand-in and on a real kube-apiserver.

    make tools && /usr/bin/python3 -m pytest tests/e2e/test_contract.py
"""

import json
import re
import shutil
import socket
import ssl
import time

import pytest

from contract import Probe, Real, Room, Script, Standin, ask
from lab.kube import ApiError, Kube, path, wait

VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
            "--errors-for-leak-kinds=definite,indirect,possible")
# In words of the network, not of a library.
NO_CONNECTION = "Failed to connect|Couldn't connect|Connection reset|Broken pipe|unexpected eof|transfer closed"


@pytest.fixture(scope="module")
def standin_server(tmp_path_factory):
    server = Standin(tmp_path_factory.mktemp("standin"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def servers(standin_server, request):
    """By name. The real one is started for the tests that ask for it only."""
    def get(name):
        return standin_server if name == "standin" else Real(request.getfixturevalue("cluster"))
    return get


@pytest.fixture(params=["standin", "real"])
def room(servers, request):
    made = Room(servers(request.param))
    yield made
    made.close()
    if request.param == "standin":
        made.server.calm()


@pytest.fixture
def standin(standin_server):
    """For what a real server cannot be made to do."""
    made = Room(standin_server)
    yield made
    made.close()
    standin_server.calm()


def one_line(probe, why):
    assert "\n" not in why and len(why) < 640, why
    assert probe.log.read_text().count("watchFailed") == 1   # said once, not at each try
    return why


@pytest.fixture
def real(servers):
    made = Room(servers("real"))
    yield made
    made.close()


# ---- what works ----

def test_list(room):
    room.make("a", "b", "c")
    probe = room.watch()
    assert [line["event"] for line in probe.lines] == ["object"] * 3 + ["synced"]
    assert sorted(probe.keys("object")) == ["a", "b", "c"]
    end = probe.end()
    assert (end["lists"], end["watches"]) == (1, 1)


def test_pages(room):
    names = [f"p{number}" for number in range(10)]
    room.make(*names)
    probe = room.watch(page=3)
    assert sorted(probe.keys("object")) == names
    assert probe.end()["lists"] == 4
    assert [re.findall(r"limit=(\d+)", uri) for _, uri, *_ in room.requests("list")] == [["3"]] * 4


def test_empty_list(room):
    probe = room.watch()
    assert [line["event"] for line in probe.lines] == ["synced"]
    probe.end()


def test_events(room):
    room.make("old")
    probe = room.watch()
    room.make("new")
    added = probe.until("object", key=f"{room.namespace}/new")
    version = room.change("new")["metadata"]["resourceVersion"]
    changed = probe.until("object", key=added["key"])
    assert (changed["uid"], changed["resourceVersion"]) == (added["uid"], version)
    room.delete("old")
    probe.until("gone", key=f"{room.namespace}/old", last=True)
    room.delete("new")
    room.make("new")
    probe.until("gone", key=added["key"], last=True)
    assert probe.until("object", key=added["key"])["uid"] != added["uid"]
    end = probe.end()
    assert (end["lists"], end["watches"], end["events"], end["failures"]) == (1, 1, 5, 0)


def test_selector(room):
    room.make("in", labels={"app": "a"})
    room.make("out")
    probe = room.watch("labelSelector=app%3Da")
    assert probe.keys("object") == ["in"]
    room.change("out", labels={"app": "a"})
    probe.until("object", key=f"{room.namespace}/out")
    room.change("in", labels={"app": None})
    probe.until("gone", key=f"{room.namespace}/in", last=True)
    room.change("in")   # nobody's business
    room.delete("in", "out")
    probe.until("gone", key=f"{room.namespace}/out")
    assert (probe.keys("object"), probe.keys("gone")) == (["in", "out"], ["in", "out"])
    probe.end()


def test_bookmarks_move_the_place(room):
    """A quiet resource: its next watch begins where the rest of the cluster has got to."""
    if room.server.name == "standin":
        room.server.control("POST", "settings", {"bookmark_interval": 0.3})
    probe = room.watch(watch_least=3100)   # the real server sends one about 2 s before the end
    other = path("ConfigMap", "default")   # of the same kind: the real server's bookmarks know no other changes

    def places():
        return [int(re.search(r"resourceVersion=(\d+)", uri)[1]) for _, uri, *_ in room.requests("watch")]

    wait(places, 60, "the first watch")   # else its list might know the change that is to be told by a bookmark
    room.kube.create(other, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": room.namespace}})
    wait(lambda: places() and places()[-1] > places()[0], 60, "a watch from a later place")
    end = probe.end()
    assert end["bookmarks"] >= 1 and (end["lists"], end["failures"], end["events"]) == (1, 0, 0)


def test_odd_text(room):
    """What users may write into annotations must not break the list for all."""
    room.make("odd")
    room.change("odd", annotations={"example.com/x": "\0 \u2028 \ud83d\ude00 <&> \\ \"", "example.com/y": "x" * 200000})
    room.make("after")
    probe = room.watch()
    assert sorted(probe.keys("object")) == ["after", "odd"]
    room.change("odd", annotations={"example.com/x": "\0\0"})
    probe.until("object", key=f"{room.namespace}/odd")
    assert probe.end()["failures"] == 0


def test_requests(room):
    made = ask(room.kubeconfig, "POST", room.path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    assert (made["status"], made["message"]) == (201, "")
    assert ask(room.kubeconfig, "GET", f"{room.path}/a")["body"]["metadata"]["uid"] == made["body"]["metadata"]["uid"]
    changed = ask(room.kubeconfig, "PATCH", f"{room.path}/a", {"data": {"x": "y"}})
    assert changed["body"]["data"] == {"x": "y"}
    missing = ask(room.kubeconfig, "GET", f"{room.path}/b?x=1")
    assert (missing["status"], missing["reason"]) == (404, "NotFound")
    assert missing["message"] == f'GET {room.path}/b: 404 configmaps "b" not found'


def test_conflict(room):
    room.make("a")
    stale = room.kube.get(f"{room.path}/a")
    room.change("a")
    for method, body in (("PUT", stale), ("PATCH", {"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}, "data": {"n": "1"}})):
        answer = ask(room.kubeconfig, method, f"{room.path}/a", body)
        assert (answer["status"], answer["reason"]) == (409, "Conflict"), answer
        assert "the object has been modified" in answer["message"]
    again = ask(room.kubeconfig, "POST", room.path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    assert (again["status"], again["reason"]) == (409, "AlreadyExists")


# ---- connections ----

def test_cut_and_back(room):
    """A short gap: the watch goes on from its place, no new list."""
    room.make("a", "b", "twin")
    probe = room.watch()
    twin = probe.keys("object").index("twin")
    for gap in range(3):
        room.link.down()
        room.delete(*(["b", "twin"] if gap == 0 else []))
        room.make(f"new{gap}", *(["twin"] if gap == 0 else []))
        probe.until("trouble", why=NO_CONNECTION)
        room.link.up()
        probe.until("object", key=f"{room.namespace}/new{gap}")
    room.link.cut(reset=False)
    room.change("a")
    probe.until("object", key=f"{room.namespace}/a")
    assert sorted(probe.keys("gone")) == ["b", "twin"]
    twins = [line["uid"] for line in probe.lines if line.get("key") == f"{room.namespace}/twin" and line["event"] == "object"]
    assert len(set(twins)) == 2 and twins[0] == probe.lines[twin]["uid"]
    assert probe.end()["lists"] == 1


def test_refused(room):
    room.link.down()
    room.make("a")
    probe = room.watch(synced=False)
    why = probe.until("trouble", why="connect")["why"]
    assert why.startswith(f"GET {room.path}: ") and "127.0.0.1" in why
    assert why.endswith("; is the API server up and the address right?")
    probe.until("trouble", why="connect")
    one_line(probe, why)
    room.link.up()
    probe.until("trouble", why="")
    probe.until("synced")
    assert probe.keys("object") == ["a"]
    assert "watchRestored" in probe.log.read_text()
    probe.end()
    room.link.down()
    answer = ask(room.kubeconfig, "GET", room.path)
    assert (answer["status"], answer["error"]) == (0, -111) and answer["message"].startswith(f"GET {room.path}: ")
    room.link.up()


def test_wrong_authority(room):
    config = room.server.kubeconfig(room.user, room.link.port, ca=room.server.other_authority())
    probe = room.watch(kubeconfig=config, synced=False)
    why = one_line(probe, probe.until("trouble", why="certificate")["why"])
    assert why.startswith(f"GET {room.path}: SSL certificate problem: ")
    assert why.endswith("; check certificate-authority and the server's certificate")
    assert probe.end()["failures"] < 30
    assert ask(config, "GET", room.path)["error"] == -71   # EPROTO


def test_paused_server(room):
    """SIGSTOP: connections stand, new ones are made by the kernel, nothing is answered."""
    room.make("a")
    probe = room.watch(stall=1000)
    room.watches_open(1)
    room.server.pause()
    try:
        probe.until("trouble", why="no byte", timeout=15)
        probe.until("trouble", why="no byte", timeout=15)   # and so is the next one
    finally:
        room.server.resume()
    probe.until("trouble", why="")
    room.make("b")
    probe.until("object", key=f"{room.namespace}/b")
    assert probe.keys("gone") == []
    end = probe.end()
    assert end["lists"] == 1 and end["watches"] >= 3


def test_frozen_wire(room):
    """A watch that hangs among others that work: only the stall finds it."""
    probe = room.watch(stall=700)
    room.watches_open(1)
    room.link.freeze()
    probe.until("trouble", why="no byte", timeout=15)
    room.link.thaw()
    probe.until("trouble", why="")
    room.make("b")
    probe.until("object", key=f"{room.namespace}/b")
    assert probe.end()["lists"] == 1


def test_restart(room):
    """The server is killed and comes back; with nothing changed nothing is told."""
    room.make("a", "b")
    probe = room.watch()
    room.watches_open(1)
    room.server.restart(lambda: probe.until("trouble", why=NO_CONNECTION))
    probe.until("trouble", why="")
    room.make("c")
    probe.until("object", key=f"{room.namespace}/c")
    assert probe.keys("gone") == []
    room.delete("a")
    probe.until("gone", key=f"{room.namespace}/a")
    assert probe.keys("gone") == ["a"]
    probe.end()


# ---- history that is gone ----

def lose_history(room):
    if room.server.name == "standin":
        room.server.fault(kind="compact")
    else:   # a watch cache that has just begun has no past
        room.server.restart()


def test_expired_while_away(room):
    room.make("kept", "deleted", "twin")
    probe = room.watch()
    room.watches_open(1)
    uid = next(line["uid"] for line in probe.lines if line.get("key") == f"{room.namespace}/twin")
    room.link.down()
    room.delete("deleted", "twin")
    room.make("twin", "added")
    room.change("kept")
    lose_history(room)
    before = len(probe.lines)
    room.link.up()
    probe.until("synced", lists=2)
    told = [(line["event"], line.get("key", "").rpartition("/")[2]) for line in probe.lines[before:] if line["event"] != "trouble"]
    assert sorted(told[:-1]) == [("gone", "deleted"), ("gone", "twin"), ("object", "added"), ("object", "kept"), ("object", "twin")]
    assert told.index(("gone", "twin")) < told.index(("object", "twin"))
    new = [line["uid"] for line in probe.lines if line.get("key") == f"{room.namespace}/twin" and line["event"] == "object"][-1]
    assert new != uid
    room.delete("kept")
    probe.until("gone", key=f"{room.namespace}/kept")
    assert sorted(probe.keys("gone")) == ["deleted", "kept", "twin"]   # each once
    assert "watchExpired" in probe.log.read_text()
    probe.end()


@pytest.mark.parametrize("form", ["answer", "stream"])
def test_both_forms_of_410(standin, form):
    standin.make("a")
    probe = standin.watch()
    standin.watches_open(1)
    if form == "answer":
        standin.server.fault(kind="http410", match=f"{standin.namespace}.*watch=1", times=1)
        standin.server.fault(kind="cut", match=standin.namespace, how="eof")
    else:
        standin.server.fault(kind="stream-error", match=standin.namespace, code=410, reason="Expired", message="too old resource version")
    probe.until("synced", lists=2)
    standin.watches_open(2)
    standin.make("b")
    probe.until("object", key=f"{standin.namespace}/b")
    assert probe.keys("gone") == []
    probe.end()


def test_expired_page(standin):
    """410 on the second page: the list is made anew, in one piece."""
    standin.make(*(f"p{number}" for number in range(6)))
    standin.server.fault(kind="status", match=f"{standin.namespace}.*continue=", code=410, reason="Expired", times=1)
    probe = standin.watch(page=4)
    assert sorted(set(probe.keys("object"))) == [f"p{number}" for number in range(6)]
    lists = [uri for _, uri, *_ in standin.requests("list")]
    assert len(lists) == 3 and "limit=" not in lists[2] and "continue=" not in lists[2]
    assert probe.keys("gone") == []
    probe.end()


def test_500_times_410(standin):
    """Never a leak, never a storm, and it works afterwards."""
    standin.make("a")
    probe = standin.watch(retry_first=1, retry_max=1)
    standin.watches_open(1)
    before = probe.descriptors()
    standin.server.fault(kind="http410", match=f"{standin.namespace}.*watch=1", times=500)
    standin.server.fault(kind="cut", match=standin.namespace, how="eof")
    probe.until("synced", lists=400, timeout=120)
    assert abs(probe.descriptors() - before) <= 2
    probe.until("synced", lists=501, timeout=120)
    standin.watches_open(502)
    standin.make("b")
    probe.until("object", key=f"{standin.namespace}/b")
    assert abs(probe.descriptors() - before) <= 2
    assert probe.keys("gone") == []
    probe.end()


# ---- rights and credentials ----

def let_do_all(room, user):
    room.kube.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]})


def test_denied(room):
    """RBAC: said clearly, tried slowly, works once granted."""
    room.make("a")
    server = room.server
    config = server.kubeconfig(room.user, room.link.port, groups=())
    if server.name == "standin":
        server.fault(kind="deny", user=room.user, verb="list", resource="configmaps")
    began = time.monotonic()
    probe = room.watch(kubeconfig=config, synced=False, retry_first=500, retry_max=500, denied=1000)
    why = probe.until("trouble", why="403")["why"]
    assert why == (f'GET {room.path}: 403 configmaps is forbidden: User "{room.user}" cannot list resource "configmaps" in API group "" '
                   f'in the namespace "{room.namespace}"; apply deploy/rbac.yaml or grant this user the verb')
    one_line(probe, why)
    before = probe.until("trouble", why="403")["time"]
    again = [probe.until("trouble", why="403")["time"] - before for _ in range(2)][-1]
    assert 1.5 < again < 20, "twice the second that `denied` says, not the half that retries take"
    if server.name == "standin":
        server.control("DELETE", "faults")
    else:
        let_do_all(room, room.user)
    probe.until("synced")
    room.make("b")
    probe.until("object", key=f"{room.namespace}/b")
    assert probe.end()["lists"] <= time.monotonic() - began + 3


def test_expired_certificate(room):
    expired = room.server.ca.client(room.user, ["system:masters"], expired=True)
    config = room.server.kubeconfig(room.user, room.link.port, cert=expired)
    probe = room.watch(kubeconfig=config, synced=False)
    why = one_line(probe, probe.until("trouble", why="expired")["why"])
    assert why.startswith(f"GET {room.path}: ")
    assert probe.end()["failures"] < 30


def new_token(room, name):
    """A token that the server takes, and its user."""
    if room.server.name == "standin":
        with open(room.server.folder / "tokens.csv", "a") as file:
            file.write(f"token-{name},user-{name},uid,system:masters\n")
        return f"token-{name}", f"user-{name}"
    account = f"/api/v1/namespaces/{room.namespace}/serviceaccounts"
    room.kube.create(account, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    answer = room.kube.create(f"{account}/{name}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    user = f"system:serviceaccount:{room.namespace}:{name}"
    let_do_all(room, user)
    return answer["status"]["token"], user


def revoke_token(room, name):
    if room.server.name == "standin":
        file = room.server.folder / "tokens.csv"
        file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith(f"token-{name},")))
    else:
        room.kube.delete(f"/api/v1/namespaces/{room.namespace}/serviceaccounts/{name}")


def test_token_file(room):
    """A 401 makes it look at the file again at once; nothing is told as gone meanwhile."""
    room.make("a")
    name = room.namespace
    first, _ = new_token(room, f"{name}-one")
    second, user = new_token(room, f"{name}-two")
    file = room.server.folder / f"{name}.token"
    file.write_text("nonsense\n")
    config = room.server.kubeconfig(port=room.link.port, tokenFile=file.name)
    probe = room.watch(kubeconfig=config, synced=False)
    why = probe.until("trouble", why="401")["why"]
    assert why == f"GET {room.path}: 401 Unauthorized; the credentials are not accepted: check token or certificate (expired?)"
    file.write_text(first + "\n")
    probe.until("synced")
    file.write_text(second)
    revoke_token(room, f"{name}-one")

    def renewed():
        room.link.cut()   # a watch goes on with the token it began with
        return room.server.requests(user)

    wait(renewed, 60, "the new token in use", interval=0.5)   # the real server believes the old one for 10 s more
    probe.until("trouble", why="")
    room.make("b")
    probe.until("object", key=f"{room.namespace}/b")
    assert probe.keys("gone") == []
    probe.end()


# ---- answers that are none ----

def test_too_many_requests(standin):
    """429: Retry-After is waited out, by the list, by the watch and by requests."""
    standin.make("a")
    for part in ("watch=1", "limit=", "/a$"):
        standin.server.fault(kind="status", match=f"{standin.namespace}.*{part}", code=429, times=1, headers={"Retry-After": "1"},
                             body="Too many requests, please try again later.\n")
    probe = standin.watch(retry_first=1, retry_max=1)
    standin.watches_open(2)
    started = time.monotonic()
    assert ask(standin.kubeconfig, "GET", f"{standin.path}/a")["status"] == 200
    assert time.monotonic() - started >= 1
    assert probe.lines[0]["why"] == f"GET {standin.path}: 429 Too many requests, please try again later."
    for verb in ("list", "watch"):
        (_, _, code, refused), (_, _, _, taken) = standin.requests(verb)
        assert code == 429 and 1 <= taken - refused < 10
    probe.end()


def test_priority_and_fairness(real):
    """The real server's own 429: the only seat of a priority level is taken by a request whose body never comes."""
    cert = real.server.ca.client(real.user, ["testers"])   # system:masters is exempt
    config = real.server.kubeconfig(port=real.link.port, cert=cert)
    let_do_all(real, real.user)
    flow = "/apis/flowcontrol.apiserver.k8s.io/v1"
    real.kube.create(f"{flow}/prioritylevelconfigurations", {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": real.user},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
                                                "limitResponse": {"type": "Reject"}}}})
    real.kube.create(f"{flow}/flowschemas", {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": real.user},
        "spec": {"priorityLevelConfiguration": {"name": real.user}, "matchingPrecedence": 2, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": real.user}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]}})
    tls = ssl.create_default_context(cafile=real.server.ca.cert)
    tls.load_cert_chain(*cert)
    limited, sitting = Kube(config), []

    def refused():
        wire = tls.wrap_socket(socket.create_connection(("127.0.0.1", real.server.port)), server_hostname="127.0.0.1")
        wire.sendall(f"POST {real.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n".encode())
        sitting.append(wire)
        try:
            return not limited.get(real.path)
        except ApiError as error:
            return error.status == 429

    wait(refused, 40, "the limit to be in force")
    probe = real.watch(kubeconfig=config, synced=False, retry_first=1, retry_max=1)
    first, second = (probe.until("trouble", why="429 Too many requests, please try again later") for _ in range(2))
    assert second["time"] - first["time"] >= 1
    real.kube.delete(f"{flow}/flowschemas/{real.user}")
    for wire in sitting:
        wire.close()
    probe.until("synced")
    probe.end()


@pytest.mark.parametrize("body, shown", [
    ("upstream connect error\nmore", "502 upstream connect error"),
    ("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n", "502 <html>"),
    ("", "502"),
    ('{"kind":"Status"', '502 {"kind":"Status"'),
    ({"kind": "Status", "message": "one\ntwo", "reason": "BadGateway", "code": 502}, "502 one"),
])
def test_error_bodies(standin, body, shown):
    standin.make("a")
    standin.server.fault(kind="status", match=standin.namespace, code=502, body=body, times=2)
    answer = ask(standin.kubeconfig, "GET", standin.path)
    assert (answer["status"], answer["message"]) == (502, f"GET {standin.path}: {shown}")
    probe = standin.watch(synced=False)
    assert probe.until("trouble", why="502")["why"] == f"GET {standin.path}: {shown}"
    probe.until("synced")
    probe.end()


@pytest.mark.parametrize("body", ["<html>login</html>", "", "[]", '{"kind":"ConfigMap","metadata":{"name":"x"}}'])
def test_200_that_is_no_list(standin, body):
    standin.make("a")
    standin.server.fault(kind="status", match=standin.namespace, code=200, body=body, times=1)
    probe = standin.watch(synced=False)
    assert probe.until("trouble", why="not a list")["why"] == f"GET {standin.path}: the answer is not a list"
    probe.until("synced")
    assert probe.keys("object") == ["a"]
    probe.end()


@pytest.mark.parametrize("code", [400, 405, 500, 503, 504])
def test_watch_refused(standin, code):
    standin.server.fault(kind="status", match=f"{standin.namespace}.*watch=1", code=code, reason="InternalError", times=2)
    probe = standin.watch()
    standin.watches_open(3)
    probe.until("trouble", why="")
    standin.make("a")
    probe.until("object", key=f"{standin.namespace}/a")
    probe.end()


@pytest.mark.parametrize("fault, why", [("half-line", "no byte"), ("garbage", "not an event"), ("stream-error", "ended with an error"),
                                        ("stall", "no byte")])
def test_broken_stream(standin, fault, why):
    """Half an event and silence; a proxy's page among the events; an error in the stream; nothing."""
    probe = standin.watch(stall=600)
    standin.watches_open(1)
    number = standin.server.fault(kind=fault, match=standin.namespace)["id"]
    standin.make("a")
    probe.until("trouble", why=why, timeout=15)
    if fault == "stall":
        standin.server.control("DELETE", f"faults/{number}")
    probe.until("object", key=f"{standin.namespace}/a")
    assert probe.keys("object") == ["a"]   # from its place: nothing is lost, nothing comes twice
    end = probe.end()
    assert end["lists"] == 1 and end["watches"] >= 2


def test_missing_resource(standin):
    """404: an empty set, looked for again; a CRD may be installed later."""
    probe = Probe(standin.kubeconfig, "watch", "/apis/example.com/v1/widgets", missing=500)
    standin.probes.append(probe)
    probe.until("synced")
    assert "resourceMissing" in probe.log.read_text()
    probe.end()


# ---- every split of the stream ----

def test_split_anywhere(tmp_path):
    """The same watch again and again, its answer in two pieces that meet one byte further each time; last, byte by byte."""
    with Script(tmp_path) as script:
        whole = script.watch_answer(0)
        script.cuts = iter([(at,) for at in range(1, len(whole))] + [tuple(range(1, len(whole)))])
        probe = Probe(script.kubeconfig, "watch", script.path, retry_first=1, retry_max=1)
        try:
            assert script.done.wait(300)
        finally:
            end = probe.end()
        watches = len(whole)
        lines = [(line["event"], line.get("key"), line.get("resourceVersion"), line.get("last")) for line in probe.lines
                 if line["event"] != "end"]
        assert lines[0] == ("synced", None, None, None)
        for number in range(watches):
            base = script.base + 10 * number
            assert lines[1 + 3 * number:4 + 3 * number] == [
                ("object", "n/gr\u00fc\u00df\u20ac", str(base + 1), None), ("object", "n/gr\u00fc\u00df\u20ac", str(base + 2), None),
                ("gone", "n/gr\u00fc\u00df\u20ac", None, True)], f"split at {number + 1}"
        assert len(lines) == 1 + 3 * watches
        assert (end["lists"], end["failures"], end["bookmarks"]) == (1, 0, watches)


# ---- memory ----

def test_valgrind(room):
    """Lists, events, cuts, refusals, an end in the middle of it all: no error, no leak."""
    if not shutil.which("valgrind"):
        pytest.fail("valgrind is not installed; apt-get install valgrind")
    room.make(*(f"p{number}" for number in range(5)))
    probe = room.watch(under=VALGRIND, page=2, synced=False, stall=2000)
    probe.until("synced", timeout=120)
    room.watches_open(1)
    for cut in range(2):
        room.link.down()
        room.make(f"new{cut}")
        probe.until("trouble", why=".", timeout=120)
        room.link.up()
        probe.until("object", key=f"{room.namespace}/new{cut}", timeout=120)
    if room.server.name == "standin":
        for fault in ("garbage", "half-line", "stream-error"):
            room.server.fault(kind=fault, match=room.namespace, code=410)
            room.make(fault)
            probe.until("object", key=f"{room.namespace}/{fault}", timeout=120)
    room.link.freeze()
    probe.end()
    assert "ERROR" not in probe.log.read_text() and "lost" not in probe.log.read_text()
