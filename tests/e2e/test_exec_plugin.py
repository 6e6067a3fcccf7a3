"""Exec plugins of kubeconfigs, on the real API server: l2lb and its client with credentials that a program gives."""

import base64
import concurrent.futures
import functools
import json
import os
import time
from pathlib import Path

import pytest

from contract import Probe, Real, Room, ask
from home import binary_is_sanitized
from lab import l2lb
from lab.kube import wait
from test_contract import VALGRIND, new_token, one_line, revoke_token

V1 = "client.authentication.k8s.io/v1"
HINT = "Install it:\n\n  apt install plugin"


class Plugin:
    """A plugin whose behaviour (a shell script) can be changed between runs; it notes each run and what it was told."""

    def __init__(self, folder, name="plugin"):
        self.folder, self.name = Path(folder), name
        self.folder.mkdir(exist_ok=True)
        self.path = self.folder / name
        self._runs = self.folder / "runs"
        self.path.write_text('#!/bin/sh\nhere=$(dirname "$0")\necho "$$ $MARK $KUBERNETES_EXEC_INFO" >> "$here/runs"\n'
                             'run=$(wc -l < "$here/runs")\n. "$here/behaviour"\n')
        self.path.chmod(0o755)
        self.behave("exit 1")

    def behave(self, script):
        fresh = self.folder / "behaviour.new"
        fresh.write_text(script + "\n")
        fresh.replace(self.folder / "behaviour")

    @staticmethod
    def giving(lives=None, version=V1, **status):
        """The script that answers so; lives: seconds from the run on."""
        if lives is not None:
            status["expirationTimestamp"] = f"$(date -u -d '+{lives} seconds' +%Y-%m-%dT%H:%M:%SZ)"
        answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
        return f"cat <<EOF\n{answer}\nEOF"

    def runs(self):
        return self._runs.read_text().splitlines() if self._runs.exists() else []

    def told(self):
        """(MARK, KUBERNETES_EXEC_INFO) of the last run."""
        _, mark, info = self.runs()[-1].split(" ", 2)
        return mark, json.loads(info)

    def pid(self):
        return int(self.runs()[-1].split()[0])


def exec_of(command, **more):
    return {"apiVersion": V1, "command": str(command), "interactiveMode": "IfAvailable", "installHint": HINT,
            "env": [{"name": "MARK", "value": "marked"}], "args": None, "provideClusterInfo": False, **more}


def certificate_of(room, user):
    certificate, key = room.server.ca.client(user, ["system:masters"])
    return {"clientCertificateData": certificate.read_text(), "clientKeyData": key.read_text()}


def config_of(room, plugin):
    """A kubeconfig that names the plugin by a path relative to itself."""
    return room.server.kubeconfig(port=room.link.port, exec=exec_of(f"{plugin.folder.name}/plugin"))


@pytest.fixture
def room(cluster):
    made = Room(Real(cluster))
    yield made
    made.close()


@pytest.fixture
def plugin(room):
    return Plugin(room.server.folder / f"plugins-{room.namespace}")


@pytest.fixture
def config(room, plugin):
    return config_of(room, plugin)


# ---- what works ----

def test_token(room, plugin):
    room.make("a")
    token, user = new_token(room, room.namespace)
    plugin.behave(plugin.giving(token=token))
    config = room.server.kubeconfig(port=room.link.port, exec=exec_of(f"{plugin.folder.name}/plugin", provideClusterInfo=True))
    probe = room.watch(kubeconfig=config)
    assert probe.keys("object") == ["a"]
    room.make("b")
    probe.until("object", key=f"{room.namespace}/b")
    assert room.server.requests(user)
    mark, info = plugin.told()
    assert mark == "marked" and (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (V1, "ExecCredential", False)
    assert info["spec"]["cluster"]["server"] == f"https://127.0.0.1:{room.link.port}"
    assert base64.b64decode(info["spec"]["cluster"]["certificate-authority-data"]) == room.server.ca.cert.read_bytes()
    room.link.cut()
    room.make("c")
    probe.until("object", key=f"{room.namespace}/c")
    assert len(plugin.runs()) == 1   # kept
    probe.end()


def test_certificate(room, plugin):
    user = room.server.new_user()
    plugin.behave(plugin.giving(version="client.authentication.k8s.io/v1beta1", **certificate_of(room, user)))
    config = room.server.kubeconfig(port=room.link.port, exec=exec_of(plugin.path, apiVersion="client.authentication.k8s.io/v1beta1"))
    answer = ask(config, "GET", room.path)
    assert answer["status"] == 200 and room.server.requests(user)
    assert len(plugin.runs()) == 1


def test_slow_plugin(room, plugin, config):
    """Requests wait for it, within their own time."""
    user = room.server.new_user()
    plugin.behave("sleep 1.5\n" + plugin.giving(**certificate_of(room, user)))
    probe = room.watch(kubeconfig=config)
    assert not [line for line in probe.lines if line["event"] == "trouble"]
    probe.end()


def _new_one_before_the_old_one_ends(room, plugin, config, _tmp_path):
    """A credential that lives for 4 s is replaced after about 2 s, behind the back of all requests."""
    first, second = room.server.new_user(), room.server.new_user()
    answers = [plugin.giving(lives=4, **certificate_of(room, user)) for user in (first, second)]
    plugin.behave(f"if [ $run = 1 ]; then\n{answers[0]}\nelse\n{answers[1]}\nfi")
    started = time.monotonic()
    probe = room.watch(kubeconfig=config)
    wait(lambda: len(plugin.runs()) >= 2, 30, "the second run")
    assert time.monotonic() - started > 1
    room.link.cut(reset=False)   # a watch goes on with what it began with
    wait(lambda: room.server.requests(second), 30, "a request as the second user")
    room.make("a")
    probe.until("object", key=f"{room.namespace}/a")
    count, since = len(plugin.runs()), time.monotonic()
    time.sleep(3)
    assert len(plugin.runs()) - count <= (time.monotonic() - since) / 1.4 + 1
    assert all(code < 400 for _, _, code, _ in room.server.requests(first) + room.server.requests(second) if code)
    assert "401" not in probe.log.read_text()
    probe.end()


def test_run_again_after_401(room, plugin, config):
    room.make("a")
    user = room.server.new_user()
    good = plugin.giving(**certificate_of(room, user))
    plugin.behave(f"if [ $run = 1 ]; then\n{plugin.giving(token='nonsense')}\nelse\n{good}\nfi")
    probe = room.watch(kubeconfig=config)
    assert probe.keys("object") == ["a"]
    troubles = [line["why"] for line in probe.lines if line["event"] == "trouble" and line["why"]]
    assert len(troubles) == 1 and "401 Unauthorized" in troubles[0]
    assert len(plugin.runs()) == 2
    probe.end()


def _refused_again_and_again(room, plugin, config, _tmp_path):
    """No storm of runs, however often it is refused."""
    plugin.behave(plugin.giving(token="nonsense"))
    probe = room.watch(kubeconfig=config, synced=False, retry_first=1, retry_max=1, denied=50)
    one_line(probe, probe.until("trouble", why="401")["why"])
    wait(lambda: len(plugin.runs()) >= 2, 30, "another run")
    time.sleep(5)
    assert len(plugin.runs()) <= 6
    plugin.behave(plugin.giving(**certificate_of(room, room.server.new_user())))
    probe.until("synced", timeout=120)
    probe.end()


def test_request_fails_with_its_words(plugin, config, room):
    plugin.behave("echo 'please log in' >&2; exit 7")
    answer = ask(config, "GET", room.path)
    assert (answer["status"], answer["error"]) == (0, -126)   # ENOKEY
    assert answer["message"] == f'GET {room.path}: exec plugin "{plugin.path}": it failed with exit code 7; what it said is on stderr'


def _request_does_not_wait_for_ever(room, plugin, config, _tmp_path):
    plugin.behave("sleep 1000")
    answer = ask(config, "GET", room.path)
    assert (answer["status"], answer["error"]) == (0, -110)   # ETIMEDOUT
    assert answer["message"] == f"GET {room.path}: no credentials yet: the exec plugin is still running"


def _valgrind(room, plugin, config, tmp_path):
    good = plugin.giving(lives=3, **certificate_of(room, room.server.new_user()))
    plugin.behave(f"case $run in 1) exit 1;; 2) echo garbage;; 3)\n{plugin.giving(token='nonsense')}\n;; 4) yes;; *)\n{good}\n;; esac")
    probe = Probe(config, "watch", room.path, under=VALGRIND)
    room.probes.append(probe)
    probe.until("synced", timeout=120)
    count = len(plugin.runs())
    wait(lambda: len(plugin.runs()) > count + 1, 60, "more runs")
    hangs = tmp_path / "hangs"   # it may have begun before anybody counts
    plugin.behave(f"touch {hangs}; sleep 1000")
    wait(hangs.exists, 60, "a run that hangs")
    probe.end()
    assert "==" not in probe.log.read_text()


# ---- the daemon ----

def daemon(room, tmp_path, config, **env):
    environment = {"ASAN_OPTIONS": "detect_leaks=0", **env}
    return l2lb.start(None, None, ["run", "--role", "controller", "--port", "0", "--health-probe-port", "0", "--kubeconfig", config, "--namespace", room.namespace,
                                   "--pool", "192.0.2.1-192.0.2.9"], environment, tmp_path / "log")


def lines_of(running):
    return [line for line in running.text().splitlines() if line.strip()]


def ends_well(running):
    started = time.monotonic()
    assert running.stop() == 0, running.text()
    assert time.monotonic() - started < 8   # 2 s are promised, at rest
    assert not any(word in running.text() for word in ("Sanitizer", "runtime error", "handlesOpen"))


def _missing(room, plugin, _config, tmp_path):
    """Said in one line with the hint; found in PATH once it is there."""
    name = f"l2lb-test-{room.namespace}"
    config = room.server.kubeconfig(port=room.link.port, exec=exec_of(name))
    running = daemon(room, tmp_path, config, PATH=f"{plugin.folder}:{os.environ['PATH']}")
    line = running.wait_log(event="execPluginFailed")
    assert line["level"] == "warn"
    assert line["msg"] == f'exec plugin "{name}": there is no such program in PATH; Install it: apt install plugin; trying again'
    time.sleep(5)
    assert len(lines_of(running)) == 1, running.text()
    plugin.behave(plugin.giving(**certificate_of(room, room.server.new_user())))
    plugin.path.rename(plugin.folder / name)
    running.wait_log(event="leading", timeout=60)
    assert [entry["event"] for entry in running.logs()][1:3] == ["execPluginRestored", "starting"]
    ends_well(running)


def _bad_output(script, why, room, plugin, config, tmp_path):
    plugin.behave(script)
    running = daemon(room, tmp_path, config)
    line = running.wait_log(event="execPluginFailed")
    assert line["msg"] == f'exec plugin "{plugin.path}": {why}; trying again'
    wait(lambda: len(plugin.runs()) >= 2, 40, "another try")
    assert len(lines_of(running)) == 1, running.text()
    plugin.behave(plugin.giving(**certificate_of(room, room.server.new_user())))
    running.wait_log(event="leading", timeout=60)
    ends_well(running)


def _hangs(room, plugin, config, tmp_path):
    """SIGTERM ends both at once, also what the plugin had started."""
    plugin.behave("sleep 1000 &\necho $! > \"$here/child\"\nwait")
    running = daemon(room, tmp_path, config)
    child = int(wait((plugin.folder / "child").read_text, 30, "the plugin"))
    time.sleep(1)
    assert lines_of(running) == []
    ends_well(running)
    assert len(lines_of(running)) == 1 and len(plugin.runs()) == 1
    wait(lambda: not alive(child) and not alive(plugin.pid()), 20, "the plugin's end")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _fails_while_all_is_well(room, plugin, config, tmp_path):
    """The old credential stays in use: nobody else notices."""
    user = room.server.new_user()
    plugin.behave(f"[ $run = 1 ] || exit 5\n{plugin.giving(lives=4, **certificate_of(room, user))}")
    running = daemon(room, tmp_path, config)
    running.wait_log(event="leading")
    line = running.wait_log(event="execPluginFailed")
    assert line["msg"].endswith("it failed with exit code 5; what it said is on stderr; the old credential stays in use, trying again")
    time.sleep(6)   # beyond its end: the server decides, not our clock
    assert len([line for line in running.logs() if line["level"] != "info"]) == 1, running.text()
    plugin.behave(plugin.giving(**certificate_of(room, user)))
    running.wait_log(event="execPluginRestored", timeout=60)
    ends_well(running)


def _token_revoked_under_way(room, plugin, config, tmp_path):
    """The leader's next renewal meets a 401: the plugin is asked again and it goes on leading. Then the plugin hangs, and
    SIGTERM is not held up by the Lease that cannot be released."""
    tokens = [new_token(room, f"{room.namespace}-{number}")[0] for number in range(2)]
    plugin.behave(plugin.giving(token=tokens[0]))
    running = daemon(room, tmp_path, config)
    running.wait_log(event="leading")
    plugin.behave(plugin.giving(token=tokens[1]))
    revoke_token(room, f"{room.namespace}-0")
    wait(lambda: len(plugin.runs()) == 2, 60, "the second run")   # the real server believes the old one for 10 s more
    time.sleep(3)
    assert len(plugin.runs()) == 2
    assert "leadershipLost" not in running.text()
    plugin.behave("sleep 1000")
    revoke_token(room, f"{room.namespace}-1")
    wait(lambda: len(plugin.runs()) == 3, 60, "the third run")
    ends_well(running)
    wait(lambda: not alive(plugin.pid()), 20, "the plugin to be gone")   # a kill is over when the kernel has come to it


# ---- all that waits ----

BAD_OUTPUT = {
    "garbage": ("echo garbage", "its output is not JSON (line 1, column 7)"),
    "10 MB": ("head -c 10000000 /dev/zero | tr '\\0' x", "it wrote more than 1 MiB and was killed"),
    "nothing": ("exit 0", "it printed nothing"),
    "empty token": (Plugin.giving(token=""), "neither a token nor a client certificate is in it"),
    "another version": (
        Plugin.giving(token="t", version="client.authentication.k8s.io/v1beta1"),
        f'it answers in apiVersion "client.authentication.k8s.io/v1beta1", asked for was {V1}; write in the kubeconfig what the plugin knows'),
}
WAITING = {
    **{body.__name__.strip("_").replace("_", " "): body for body in (
        _token_revoked_under_way, _fails_while_all_is_well, _missing, _hangs, _request_does_not_wait_for_ever, _new_one_before_the_old_one_ends,
        _refused_again_and_again, _valgrind)},
    **{f"bad output: {name}": functools.partial(_bad_output, *case) for name, case in BAD_OUTPUT.items()},
}


@pytest.fixture(scope="module")
def outcomes(request, cluster, tmp_path_factory):
    """name -> Future of that body; those that are chosen run at once, as they wait for seconds of the server's and of the product's."""
    chosen = [item.callspec.params["name"] for item in request.session.items
              if getattr(item, "function", None) is test_waiting and not item.get_closest_marker("skipif").args[0]]

    def run(name, folder):
        room = Room(Real(cluster))
        try:
            plugin = Plugin(room.server.folder / f"plugins-{room.namespace}")
            WAITING[name](room, plugin, config_of(room, plugin), folder)
        finally:
            room.close()
    with concurrent.futures.ThreadPoolExecutor(len(WAITING)) as pool:
        yield {name: pool.submit(run, name, tmp_path_factory.mktemp("waiting")) for name in chosen}


def _unless_sanitized(name):
    return pytest.mark.skipif(name == "valgrind" and binary_is_sanitized(), reason="valgrind cannot run a binary built with ASan")


@pytest.mark.parametrize("name", [pytest.param(name, marks=_unless_sanitized(name)) for name in WAITING])
def test_waiting(outcomes, name):
    outcomes[name].result(600)


# ---- what is refused ----

@pytest.mark.parametrize("fields, part", [
    ({"command": ""}, "has no command; name the program"),
    ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "removed it in 1.24"),
    ({"apiVersion": "v9"}, "is not known; write"),
    ({"interactiveMode": "Always"}, "wants a terminal"),
])
def test_refused(room, tmp_path, fields, part):
    config = room.server.kubeconfig(exec={**exec_of("x"), **fields})
    running = daemon(room, tmp_path, config)
    assert running.process.wait(60) == 2
    lines = lines_of(running)
    assert len(lines) == 1 and part in lines[0] and lines[0].startswith(f"l2lb: --kubeconfig: kubeconfig {config}: user \"u\": exec"), lines
