"""MetalLB in our place in the home lab, beside us in bench-failover and bench-service: its own controller and speakers, as
metallb-native.yaml runs them, with memberlist.

    make bench-failover METALLB=1                                                       built from its Go module, once (metallb_build.sh)
    METALLB_SPEAKER=/path/speaker METALLB_CONTROLLER=/path/controller make bench-failover          these binaries instead
    METALLB_MANIFEST=/path/metallb-native.yaml   with them: the CRDs are taken from it; without it ours are used, and those of BGP's
                                                 kinds that some versions of the speaker do not start without
"""

import os
import subprocess
import time
from pathlib import Path

import yaml
from home import DEPLOY, NAMESPACE, Home

from lab import l2lb
from lab.kube import path, wait

LABELS = {"app": "metallb", "component": "speaker"}   # by which the peers find each other's Pods
# One of the lines that it writes when it is at work.
_UP = ("config reloaded", "force service reload", "serviceAnnounced", "event - start service reload")


def programs():
    """(controller, speaker, its CRDs as YAML), or None: MetalLB is not wanted."""
    named = [os.environ.get(f"METALLB_{role}") for role in ("CONTROLLER", "SPEAKER")]
    if all(named):
        manifest = os.environ.get("METALLB_MANIFEST")
        return *named, Path(manifest).read_text() if manifest else _crds(DEPLOY / "crds-bgp")
    if any(named):
        raise SystemExit("METALLB_CONTROLLER and METALLB_SPEAKER are wanted together")
    if not os.environ.get("METALLB"):
        return None
    script = Path(__file__).with_name("metallb_build.sh")
    made = Path(subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    return made / "controller", made / "speaker", _crds(made / "crds")


def _crds(folder):
    return "\n---\n".join(file.read_text() for file in sorted(folder.glob("*.yaml")))


class MetalLBHome(Home):
    LASTS = 15   # s: until it is over what a fault does to it

    def set_up(self):
        self._controller, self._speaker, crds = programs()
        super().set_up()
        for made in yaml.safe_load_all(crds):
            if made and made["kind"] == "CustomResourceDefinition":
                # Nobody serves its webhooks here.
                made["spec"].pop("conversion", None)
                self.kube.apply(yaml.safe_dump(made))
        self._admin = self.cluster.admin()

    def start_controller(self, name="controller", flags=(), uid=None, member="ctl"):
        self._pod(name, member, {"app": "metallb", "component": "controller"})
        argv = ["--port=0", "--webhook-mode=disabled", "--log-level=info", "--namespace", NAMESPACE, "--health-probe-port=17473", *flags]
        self.controllers[name] = self._run(member, self._controller, argv, name,
                                           {"METALLB_POD_NAME": name, "METALLB_BGP_TYPE": "native"})
        return self.controllers[name]

    def start_speaker(self, node, flags=()):
        self._pod(f"speaker-{node}", node, LABELS)
        argv = ["--port=0", "--log-level=info", "--namespace", NAMESPACE, *flags]
        env = {"METALLB_NODE_NAME": node, "METALLB_POD_NAME": f"speaker-{node}", "METALLB_HOST": self.lab.ip(node),
               "METALLB_ML_BIND_ADDR": self.lab.ip(node), "METALLB_ML_BIND_PORT": "7946", "METALLB_BGP_TYPE": "native",
               "METALLB_ML_LABELS": ",".join(f"{key}={value}" for key, value in LABELS.items())}
        self.speakers[node] = self._run(node, self._speaker, argv, node, env)
        return self.speakers[node]

    def up(self, speaker):
        wait(lambda: any(word in speaker.text() for word in _UP), 20, "MetalLB's speaker to be at work")

    def stop(self, running, timeout=10):
        """Its exit code after SIGTERM is its own affair."""
        self.forget(running)
        started = time.monotonic()
        running.stop(timeout)
        return time.monotonic() - started

    def end(self):
        for running in [*self.controllers.values(), *self.speakers.values()]:
            self.stop(running)
        self._leave_nothing()
        for made in self.kube.list(path("Pod", NAMESPACE)):
            self.kube.delete(path("Pod", NAMESPACE, made["metadata"]["name"]) + "?gracePeriodSeconds=0")

    def ready(self):
        fresh = [self.start_speaker(node) for node in self.nodes if node not in self.speakers]
        if "controller" not in self.controllers:
            self.start_controller()
        for speaker in fresh:
            self.up(speaker)
        if fresh:
            time.sleep(8)   # until memberlist has found a speaker that came back

    def wait_no_records(self):
        """It has none; withdrawing takes a moment."""
        time.sleep(1)

    def record(self, ip):
        return None

    def owner(self, ip, timeout=15):
        """By the wire."""
        return self.node_of(wait(lambda: self.macs(ip, 1) - {"nobody"}, timeout, f"an answer for {ip}").pop())

    def put_on(self, ip, node):
        """Where its hash puts it, once memberlist knows the node."""
        self.answered_by(ip, node, 90)

    def check_logs(self):
        """Its log is its own affair."""

    def _run(self, member, program, argv, name, env):
        env = {**env, "KUBECONFIG": str(self._admin)}
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        # l2lb.start() takes KUBECONFIG from our own environment away, not from what is set here.
        return l2lb.start(self.lab, member, argv, env, log, binary=program)

    def _pod(self, name, member, labels):
        """As a kubelet would have made it: each looks for its own, the speakers for each other's."""
        if self.kube.exists(path("Pod", NAMESPACE, name)):
            return
        ip = self.lab.members[member].ip
        self.kube.create(path("Pod", NAMESPACE), {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {"nodeName": member, "hostNetwork": True, "containers": [{"name": name, "image": name}]}})
        self.kube.patch(path("Pod", NAMESPACE, name, "status"), {"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": ip}})
