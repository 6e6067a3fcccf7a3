"""MetalLB in our place in the home lab, for the comparison in bench-failover: its own controller and speakers, as metallb-native.yaml
runs them, with memberlist.

    METALLB_SPEAKER=/path/speaker METALLB_CONTROLLER=/path/controller [METALLB_MANIFEST=/path/metallb-native.yaml] make bench-failover

METALLB_MANIFEST: the CRDs are taken from it; without it ours are used and those that we do not have are left out, which some
versions of the speaker do not start without.
"""

import os
import time
from pathlib import Path

import yaml
from home import NAMESPACE, Home

from lab import l2lb
from lab.kube import path, wait

LABELS = {"app": "metallb", "component": "speaker"}
# One of the lines that it writes when it is at work.
_UP = ("config reloaded", "force service reload", "serviceAnnounced", "event - start service reload")


def wanted():
    return "METALLB_SPEAKER" in os.environ and "METALLB_CONTROLLER" in os.environ


class MetalLBHome(Home):
    def set_up(self):
        super().set_up()
        if "METALLB_MANIFEST" in os.environ:
            for made in yaml.safe_load_all(Path(os.environ["METALLB_MANIFEST"]).read_text()):
                if made and made["kind"] == "CustomResourceDefinition":
                    # Nobody serves its webhooks here.
                    made["spec"].pop("conversion", None)
                    self.kube.apply(yaml.safe_dump(made))
        self._admin = self.cluster.admin()

    def start_controller(self, name="controller", flags=(), uid=None, member="ctl"):
        argv = ["--port=0", "--webhook-mode=disabled", "--log-level=info", "--namespace", NAMESPACE, "--health-probe-port=17473", *flags]
        self.controllers[name] = self._run(member, os.environ["METALLB_CONTROLLER"], argv, name,
                                           {"METALLB_POD_NAME": name, "METALLB_BGP_TYPE": "native"})
        return self.controllers[name]

    def start_speaker(self, node, flags=()):
        """Peers find each other by the Pod objects, which a kubelet would have made."""
        self._pod(node)
        argv = ["--port=0", "--log-level=info", "--namespace", NAMESPACE, *flags]
        env = {"METALLB_NODE_NAME": node, "METALLB_POD_NAME": f"speaker-{node}", "METALLB_HOST": self.lab.ip(node),
               "METALLB_ML_BIND_ADDR": self.lab.ip(node), "METALLB_ML_BIND_PORT": "7946", "METALLB_BGP_TYPE": "native",
               "METALLB_ML_LABELS": ",".join(f"{key}={value}" for key, value in LABELS.items())}
        self.speakers[node] = self._run(node, os.environ["METALLB_SPEAKER"], argv, node, env)
        return self.speakers[node]

    def up(self, speaker):
        wait(lambda: any(word in speaker.text() for word in _UP), 20, "MetalLB's speaker to be at work")

    def stop(self, running, timeout=10):
        """Its exit code after SIGTERM is its own affair."""
        self.forget(running)
        started = time.monotonic()
        running.stop(timeout)
        return time.monotonic() - started

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
        self.answered_by(ip, node, 15)

    def check_logs(self):
        """Its log is its own affair."""

    def _run(self, member, program, argv, name, env):
        env = {**env, "KUBECONFIG": str(self._admin)}
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        # l2lb.start() takes KUBECONFIG from our own environment away, not from what is set here.
        return l2lb.start(self.lab, member, argv, env, log, binary=program)

    def _pod(self, node):
        name = f"speaker-{node}"
        if self.kube.exists(path("Pod", NAMESPACE, name)):
            return
        self.kube.create(path("Pod", NAMESPACE), {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE, "labels": LABELS},
            "spec": {"nodeName": node, "hostNetwork": True, "containers": [{"name": "speaker", "image": "speaker"}]}})
        self.kube.patch(path("Pod", NAMESPACE, name, "status"), {"status": {
            "phase": "Running", "podIP": self.lab.ip(node), "podIPs": [{"ip": self.lab.ip(node)}], "hostIP": self.lab.ip(node)}})
