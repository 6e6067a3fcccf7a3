"""What the speaker is allowed to do: raw frames (CAP_NET_RAW), and nothing else. Without it says so, once, and what helps."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from home import DEPLOY, container, vip_of
from lab import l2lb
from lab.kube import path, wait
from test_links import IPS, links

NODE = "worker-1"
NOBODY = 65534
NET_RAW = 1 << 13


def start_as_nobody(home, folder, capabilities):
    """The speaker of NODE as a user without any other right; it replaces the one that runs."""
    home.stop(home.speakers[NODE])
    binary, config = folder / "l2lb", folder / "kubeconfig"
    shutil.copy(l2lb.default_binary(), binary)
    shutil.copy(home.config_of("speaker"), config)
    for file in (folder, binary, config):
        os.chown(file, NOBODY, NOBODY)
    sets = [f"--{name}={','.join(['-all', *('+' + c for c in capabilities)])}" for name in ("inh-caps", "ambient-caps", "bounding-set")]
    argv = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *sets, "--no-new-privs", binary, *container("speaker.yaml")["args"],
            "--kubeconfig", config]
    env = {"METALLB_NODE_NAME": NODE, "METALLB_POD_NAME": f"speaker-{NODE}", "ASAN_OPTIONS": "detect_leaks=0"}
    running = l2lb.start(home.lab, NODE, argv, env, folder / "speaker.log", binary="setpriv")
    home.speakers[NODE] = running
    running.wait_log(event="ready")
    return running


def rights(running):
    """(uid, effective, permitted, bounding capabilities) of the process."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines())
    return int(status["Uid"].split()[1]), *(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd"))


@pytest.fixture
def folder(home):
    """Readable for everybody, unlike pytest's own; the usual speaker is back afterwards."""
    made = Path(tempfile.mkdtemp(prefix="l2lb-rights-"))
    yield made
    if NODE in home.speakers:
        home.stop(home.speakers[NODE])
    shutil.rmtree(made)


def test_the_manifest_asks_for_no_more():
    made = container("speaker.yaml")["securityContext"]
    assert made["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW"]}
    assert made["allowPrivilegeEscalation"] is False and made["readOnlyRootFilesystem"] is True and "privileged" not in made
    controller = container("controller.yaml")["securityContext"]
    assert controller["capabilities"] == {"drop": ["ALL"]}
    pod = yaml.safe_load((DEPLOY / "speaker.yaml").read_text())["spec"]["template"]["spec"]
    assert pod["hostNetwork"] is True and not pod.get("hostPID") and not pod.get("hostIPC")


def test_net_raw_alone(home, folder):
    """An address is taken, answered, handed over when the link fails, and had again; a new link is opened."""
    running = start_as_nobody(home, folder, ["net_raw"])
    assert rights(running) == (NOBODY, NET_RAW, NET_RAW, NET_RAW)
    ip = vip_of(home.nodes, NODE)
    home.announced("web", annotations={IPS: ip})
    home.answered_by(ip, NODE)
    done = home.lab.run("client", ["arping", "-c", "1", "-w", "20", "-I", "eth0", ip])
    assert home.lab.mac(NODE).lower() in done.stdout.lower(), done.stdout
    home.lab.run(NODE, ["ip", "link", "set", "eth0", "down"], check=True)
    heir = wait(lambda: home.holder(ip) not in ("", NODE) and home.holder(ip), 20, "another owner")
    home.answered_by(ip, heir)
    home.lab.run(NODE, ["ip", "link", "set", "eth0", "up"], check=True)
    home.lab.plug(NODE, "extra0", "10.79.0.11/24", "02:00:00:00:06:0b")
    try:
        wait(lambda: links(home) == {"eth0": home.lab.mac(NODE), "extra0": "02:00:00:00:06:0b"}, 30, "the new link to be used")
        again = vip_of(home.nodes, NODE, 1)
        wait(lambda: home.macs(ip, 1) == {home.lab.mac(heir)}, 20, f"only {heir} to answer")
        home.announced("again", annotations={IPS: again})
        home.answered_by(again, NODE)
    finally:
        home.lab.run(NODE, ["ip", "link", "del", "extra0"])


def test_without_it(home, folder):
    """It says once what is missing and where to give it, whatever comes and goes, and takes nothing that it could not answer for."""
    home.lab.plug(NODE, "extra0", "10.79.0.11/24", "02:00:00:00:06:0b")
    try:
        running = start_as_nobody(home, folder, [])
        assert rights(running) == (NOBODY, 0, 0, 0)
        ip = vip_of(home.nodes, NODE)
        home.serve("web", annotations={IPS: ip})
        owner = home.owner(ip)
        assert owner != NODE
        home.answered_by(ip, owner)
        home.lab.run(NODE, ["ip", "link", "set", "eth0", "down"], check=True)
        home.lab.run(NODE, ["ip", "link", "set", "eth0", "up"], check=True)
        home.delete("web")
        wait(lambda: not home.records(), 30, "the record to go")
        wait(lambda: home.kube.get(path("Service", "default", "kubernetes")), 30, "the API server")
        bad = [line for line in running.logs() if line["level"] in ("error", "warn") and "permission" in line["msg"]]
        assert len(bad) == 1, bad
        assert bad[0]["event"] == "rightMissing" and bad[0]["level"] == "error" and "NET_RAW" in bad[0]["msg"], bad
        assert links(home) == {} and running.process.poll() is None
    finally:
        home.lab.run(NODE, ["ip", "link", "del", "extra0"])
