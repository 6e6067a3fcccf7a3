"""A real Kubernetes control plane for the tests: etcd and kube-apiserver.

    cluster = RealCluster("/tmp/x", assets)
    cluster.start()
    kubeconfig = cluster.kubeconfig("system:serviceaccount:l2lb-system:controller")

assets is the folder tests/cluster/build.sh prints.
"""

import base64
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import yaml

from cluster.certs import Authority, signing_key
from lab import proc
from lab.kube import Kube, wait

_SHM = Path("/dev/shm")
_SERVICE_RANGE = "10.96.0.0/12"
_FIRST_SERVICE_IP = "10.96.0.1"


def build():
    """Runs build.sh (its progress is seen on stderr); the folder with the programs."""
    script = Path(__file__).with_name("build.sh")
    running = proc.spawn([str(script)], stdout=subprocess.PIPE, text=True)
    try:
        output, _ = running.communicate()
    finally:
        proc.end(running, signal.SIGTERM)
    if running.returncode != 0:
        raise RuntimeError(f"{script} failed with {running.returncode}")
    return Path(output.splitlines()[-1])


def _sweep_data_folders():
    """Removes what a killed test process left on the tmpfs."""
    for folder in _SHM.glob("l2lb-etcd-*"):
        owner = re.match(r"l2lb-etcd-(\d+)-", folder.name)
        if owner and not proc.pid_alive(owner[1]):
            shutil.rmtree(folder, ignore_errors=True)


class RealCluster:
    """etcd and kube-apiserver, in a network namespace if one is given.

    The API server listens on `address`:`port`; in a namespace the usual port
    is free, outside of one a free port is taken. `flags` are added to
    kube-apiserver's. Attributes: url, ca_pem, ca (the Authority), netns.
    """

    def __init__(self, workdir, assets, netns=None, address="127.0.0.1", port=None,
                 flags=(), audit_level="Metadata"):
        self.workdir = Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.netns, self.address = netns, address
        self._assets, self._flags, self._audit_level = Path(assets), list(flags), audit_level
        usual = [6443, 2379, 2380] if netns else proc.free_ports(3)
        self.port, self._etcd_port, self._peer_port = port or usual[0], *usual[1:]
        self.url = f"https://{address}:{self.port}"
        self._serial = itertools.count(1)
        self._data = None
        self._etcd = self._apiserver = None
        self._authorities()

    # Life

    def start(self, timeout=180):
        """Returns when the API server is ready and namespace default exists."""
        proc.close_at_exit(self)
        self._start_etcd()
        self.start_apiserver(timeout)
        return self

    def start_apiserver(self, timeout=180):
        self._apiserver = self._spawn("kube-apiserver", self._apiserver_flags())
        self._wait_ready(timeout)

    def stop_apiserver(self, sig=signal.SIGTERM):
        # 90 s: on SIGTERM it waits up to a minute for requests under way, and
        # its clients may hold watches for as long.
        proc.end(self._apiserver, sig, timeout=90)

    def pause(self):
        """The API server hangs: connections are made, nothing is answered."""
        proc.pause(self._apiserver)

    def resume(self):
        self._apiserver.send_signal(signal.SIGCONT)

    def compact(self):
        """etcd forgets all revisions but the last: who comes back with an older one must list anew."""
        with proc.inside(self.netns):
            etcd = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=10)
            etcd.connect()
        revision = self._etcd_call(etcd, "range", key=base64.b64encode(b"x").decode())["header"]["revision"]
        self._etcd_call(etcd, "compaction", revision=revision, physical=True)
        etcd.close()

    def close(self):
        for process in (self._apiserver, self._etcd):
            if process:
                proc.end(process)
        self._apiserver = self._etcd = None
        if self._data:
            shutil.rmtree(self._data, ignore_errors=True)
        proc.forget_at_exit(self)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exception):
        self.close()

    # Access

    def admin(self):
        """Path of a kubeconfig which may do everything."""
        return self._admin

    def kubeconfig(self, user, groups=(), namespace=None, path=None, cert=None):
        """Path of a new kubeconfig for a user, with a client certificate in it.

        cert: another (certificate, key) than a fresh good one.
        """
        path = Path(path or self.workdir / f"kubeconfig-{next(self._serial)}")
        cert_file, key_file = cert or self.make_client_cert(user, groups)
        context = {"cluster": "test", "user": user}
        if namespace:
            context["namespace"] = namespace
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": self.url, "certificate-authority-data": _base64_of(self.ca.cert)}}],
            "contexts": [{"name": "test", "context": context}],
            "users": [{"name": user, "user": {
                "client-certificate-data": _base64_of(cert_file),
                "client-key-data": _base64_of(key_file)}}],
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def make_client_cert(self, user, groups=(), days=365, expired=False, authority=None):
        """(certificate, key) paths; `authority` other than the cluster's for a bad one."""
        return (authority or self.ca).client(user, groups, days, expired)

    def other_authority(self):
        """A certificate authority this cluster does not trust."""
        return Authority(self.workdir / f"other-ca-{next(self._serial)}", "not-the-cluster")

    def client(self, kubeconfig=None, **options):
        """A Kube client which reaches the server in its namespace; admin by default."""
        return Kube(kubeconfig or self._admin, netns=self.netns, **options)

    def kubectl(self, *args, kubeconfig=None, **options):
        """Runs kubectl where the server is; a CompletedProcess with text output."""
        argv = [self._assets / "kubectl", "--kubeconfig", kubeconfig or self._admin, *args]
        with proc.spawn([str(arg) for arg in argv], self.netns, text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        stdin=subprocess.PIPE) as running:
            out, err = running.communicate(**options)
        return subprocess.CompletedProcess(argv, running.returncode, out, err)

    def program(self, name):
        """Path of kube-proxy, kubectl, ..."""
        return self._assets / name

    def audit(self, user=None):
        """The audit events so far, oldest first, of one user if given.

        A watch makes two: stage ResponseStarted and ResponseComplete.
        """
        with self._audit_lock, open(self._audit_log, "rb") as log:
            log.seek(self._audit_at)
            # The last line may be half written while the server runs.
            fresh = log.read().rpartition(b"\n")
            self._audit_at += len(fresh[0]) + len(fresh[1])
            self._audited += [json.loads(line) for line in fresh[0].splitlines()]
        return [event for event in self._audited if user in (None, event["user"].get("username"))]

    # Inside

    def _authorities(self):
        self.ca = Authority(self.workdir / "ca")
        self.ca_pem = self.ca.cert.read_text()
        addresses = {self.address, "127.0.0.1", _FIRST_SERVICE_IP}
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        sans = [f"IP:{ip}" for ip in sorted(addresses)] + [f"DNS:{name}" for name in names]
        self._server_cert, self._server_key = self.ca.server("kube-apiserver", sans)
        self._token_key = signing_key(self.workdir / "service-account.key")
        self._admin = self.kubeconfig("admin", ["system:masters"],
                                      path=self.workdir / "admin.kubeconfig")
        self._audit_log = self.workdir / "audit.log"
        self._audited, self._audit_at, self._audit_lock = [], 0, threading.Lock()
        self._audit_log.touch()
        self._audit_policy = self.workdir / "audit-policy.yaml"
        self._audit_policy.write_text(yaml.safe_dump({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived"], "rules": [{"level": self._audit_level}]}))

    def _spawn(self, program, flags):
        # Output is kept over restarts: the reason of a failure is in there.
        with open(self.workdir / f"{program}.log", "ab") as log:
            return proc.spawn([str(self._assets / program), *flags], self.netns,
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _start_etcd(self):
        _sweep_data_folders()
        self._data = tempfile.mkdtemp(prefix=f"l2lb-etcd-{os.getpid()}-",
                                      dir=_SHM if _SHM.is_dir() else self.workdir)
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._etcd = self._spawn("etcd", [
            f"--data-dir={self._data}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls=http://127.0.0.1:{self._peer_port}"])

    def _apiserver_flags(self):
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--secure-port={self.port}", f"--advertise-address={self.address}",
            # In a namespace its loopback is wanted too; outside of one nothing
            # may listen where the machine's network can reach it.
            f"--bind-address={'0.0.0.0' if self.netns else '127.0.0.1'}",
            f"--tls-cert-file={self._server_cert}", f"--tls-private-key-file={self._server_key}",
            f"--client-ca-file={self.ca.cert}", "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._token_key}",
            f"--service-account-signing-key-file={self._token_key}",
            # No controller makes the default ServiceAccounts or the endpoints.
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
            "--allow-privileged=true", f"--audit-log-path={self._audit_log}",
            f"--audit-policy-file={self._audit_policy}", "--audit-log-mode=blocking", "--audit-log-maxsize=4000",
            *self._flags]

    @staticmethod
    def _etcd_call(etcd, what, **body):
        etcd.request("POST", f"/v3/kv/{what}", json.dumps(body))
        response = etcd.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"etcd: {what}: {answer}")
        return answer

    def _wait_ready(self, timeout):
        client = self.client(timeout=5)
        deadline = time.monotonic() + timeout

        def ready():
            for name, process in (("etcd", self._etcd), ("kube-apiserver", self._apiserver)):
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {self._tail(name)}")
            return client.request("GET", "/readyz") and client.get("/api/v1/namespaces/default")

        wait(ready, deadline - time.monotonic(), "the API server to be ready")

    def _tail(self, program):
        return "\n".join((self.workdir / f"{program}.log").read_text().splitlines()[-15:])


def _base64_of(path):
    return base64.b64encode(Path(path).read_bytes()).decode()
