"""A small Kubernetes REST client: as much as the tests need, nothing hidden.

Works with the real server and with a stand-in: https with a client
certificate or a token, or plain http. Objects are dicts as the API has them.
"""

import base64
import http.client
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from urllib.parse import quote, urlencode, urlsplit

import yaml

from lab import proc

# kind: (path of its API group and version, plural, whether it is in a namespace)
KINDS = {
    "Namespace": ("/api/v1", "namespaces", False),
    "Node": ("/api/v1", "nodes", False),
    "Service": ("/api/v1", "services", True),
    "Pod": ("/api/v1", "pods", True),
    "ConfigMap": ("/api/v1", "configmaps", True),
    "Secret": ("/api/v1", "secrets", True),
    "ServiceAccount": ("/api/v1", "serviceaccounts", True),
    "Deployment": ("/apis/apps/v1", "deployments", True),
    "DaemonSet": ("/apis/apps/v1", "daemonsets", True),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "CustomResourceDefinition":
        ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "IPAddressPool": ("/apis/metallb.io/v1beta1", "ipaddresspools", True),
    "L2Advertisement": ("/apis/metallb.io/v1beta1", "l2advertisements", True),
    "ServiceL2Status": ("/apis/metallb.io/v1beta1", "servicel2statuses", True),
    "ConfigurationState": ("/apis/metallb.io/v1beta1", "configurationstates", True),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices", True),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", True),
    # Both event APIs show the same objects; kubectl names the newer one like this.
    "Event": ("/api/v1", "events", True),
    "Event.events.k8s.io": ("/apis/events.k8s.io/v1", "events", True),
}

MERGE_PATCH = "application/merge-patch+json"
# What http.client raises when the server closed a kept connection meanwhile.
_CONNECTION_GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError,
                    ssl.SSLEOFError, ssl.SSLZeroReturnError)


class ApiError(Exception):
    """An answer of 400 or above; `status` is the HTTP code, `body` the Status object."""

    def __init__(self, method, path, status, body):
        message = body.get("message") if isinstance(body, dict) else body
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status
        self.body = body


def path(kind, namespace=None, name=None, subresource=None):
    """path("Service", "default", "web", "status"); without a name the collection,
    without a namespace the collection over all namespaces."""
    base, plural, _ = KINDS[kind]
    parts = [base]
    if namespace:
        parts += ["namespaces", quote(namespace)]
    parts.append(plural)
    parts += [quote(part) for part in (name, subresource) if part]
    return "/".join(parts)


def wait(condition, timeout=30, what="the condition", interval=0.05):
    """Polls until condition() is true and returns its value.

    A refused connection or an API error means "not yet": servers start and
    objects appear while we wait.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            last = condition()
            if last:
                return last
        except (ApiError, OSError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}; last seen: {last!r}")
        time.sleep(interval)


class Kube:
    """A client from a kubeconfig's current context, or from a URL (stand-in).

    netns: the network namespace the server is reached from.
    """

    def __init__(self, kubeconfig=None, url=None, token=None, netns=None, timeout=10):
        self._netns, self._timeout, self._token = netns, timeout, token
        self._tls = None
        self._local = threading.local()
        self.namespace = "default"
        if kubeconfig:
            url = self._read_kubeconfig(kubeconfig)
        self.url = url
        self._server = urlsplit(url)
        if self._server.scheme == "https" and self._tls is None:
            raise ValueError("https needs a kubeconfig: it has the certificate authority")

    # Verbs

    def request(self, method, target, body=None, content_type="application/json"):
        """The decoded answer (text if it is not JSON); ApiError from 400 on."""
        headers = self._headers()
        payload = None
        if body is not None:
            payload = json.dumps(body)
            headers["Content-Type"] = content_type
        deadline = time.monotonic() + 30
        while True:
            response, data = self._round_trip(method, target, payload, headers)
            answer = _decode(response, data)
            if response.status < 400:
                return answer
            error = ApiError(method, target, response.status, answer)
            # So the real server refuses the first requests for a kind of a CRD: later, please.
            if response.status != 429 or "storage is (re)initializing" not in str(error) or time.monotonic() > deadline:
                raise error
            time.sleep(0.1)

    def get(self, target):
        return self.request("GET", target)

    def list(self, target, **query):
        """The items; query like labelSelector="a=b"."""
        return self.get(_with_query(target, query))["items"]

    def create(self, target, obj):
        """target is the collection's path."""
        return self.request("POST", target, obj)

    def put(self, target, obj):
        return self.request("PUT", target, obj)

    def patch(self, target, change):
        """A merge patch; null (None) removes a field."""
        return self.request("PATCH", target, change, MERGE_PATCH)

    def delete(self, target):
        return self.request("DELETE", target)

    def exists(self, target):
        try:
            return self.get(target)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def watch(self, target, resource_version=None, timeout=10):
        """(type, object) pairs until the server ends the watch after `timeout` s."""
        query = {"watch": "true", "timeoutSeconds": int(timeout), "allowWatchBookmarks": "true"}
        if resource_version is not None:
            query["resourceVersion"] = resource_version
        connection = self._connect(timeout + self._timeout)
        try:
            connection.request("GET", _with_query(target, query), headers=self._headers())
            response = connection.getresponse()
            if response.status >= 400:
                answer = _decode(response, response.read())
                raise ApiError("WATCH", target, response.status, answer)
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()

    # Objects

    def save(self, obj):
        """Creates an object, or replaces the one of that name."""
        meta, kind = obj["metadata"], _kind_of(obj)
        namespace = meta.get("namespace", self.namespace) if KINDS[kind][2] else None
        try:
            return self.create(path(kind, namespace), obj)
        except ApiError as error:
            if error.status != 409:
                raise
        target = path(kind, namespace, meta["name"])
        for attempt in range(10):
            version = self.get(target)["metadata"]["resourceVersion"]
            try:
                return self.put(target, {**obj, "metadata": {**meta, "resourceVersion": version}})
            except ApiError as error:
                # A controller wrote its status in between.
                if error.status != 409 or attempt == 9:
                    raise

    def apply(self, text):
        """Saves each document of a YAML text; CRDs are usable on return."""
        documents = [document for document in yaml.safe_load_all(text) if document]
        saved = []
        for document in documents:
            saved.append(self.save(document))
            if document["kind"] == "CustomResourceDefinition":
                self._wait_established(document["metadata"]["name"])
        return saved

    def make_namespace(self, name):
        return self.save(_object("v1", "Namespace", name))

    def make_node(self, name, ip, ready=True, labels=None):
        """A Node as a kubelet would register it."""
        node = _object("v1", "Node", name, labels={"kubernetes.io/hostname": name,
                                                   **(labels or {})})
        self.save(node)
        self.patch(path("Node", name=name, subresource="status"), {"status": {"addresses": [
            {"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]}})
        return self.set_ready(name, ready)

    def set_ready(self, name, ready):
        """ready: True, False, or None for Unknown, as when the kubelet is gone."""
        status = {True: "True", False: "False", None: "Unknown"}[ready]
        # Admission taints every new Node as not ready, and the controller
        # which takes that away is not running here.
        taints = None if ready else [{"key": "node.kubernetes.io/not-ready",
                                      "effect": "NoSchedule"}]
        self.patch(path("Node", name=name), {"spec": {"taints": taints}})
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return self.patch(path("Node", name=name, subresource="status"), {"status": {
            "conditions": [{"type": "Ready", "status": status, "reason": "Test", "message": "",
                            "lastHeartbeatTime": now, "lastTransitionTime": now}]}})

    def make_service(self, namespace, name, annotations=None, labels=None, **spec):
        """A LoadBalancer with TCP port 80; spec's fields add to that or replace it."""
        service = _object("v1", "Service", name, namespace, labels, annotations)
        service["spec"] = {"type": "LoadBalancer",
                           "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec}
        return self.save(service)

    def make_slice(self, namespace, service, endpoints=(), port=80, name=None):
        """Endpoints of a Service, written by hand: (ip, node name, ready) each."""
        entries = [{"addresses": [ip], "nodeName": node,
                    "conditions": {"ready": ready, "serving": ready, "terminating": False}}
                   for ip, node, ready in endpoints]
        made = _object("discovery.k8s.io/v1", "EndpointSlice", name or f"{service}-test",
                       namespace, {"kubernetes.io/service-name": service,
                                   "endpointslice.kubernetes.io/managed-by": "l2lb-test"})
        made["addressType"] = "IPv6" if endpoints and ":" in endpoints[0][0] else "IPv4"
        made["ports"] = [{"name": "http", "port": port, "protocol": "TCP"}]
        made["endpoints"] = entries
        return self.save(made)

    # Inside

    def _wait_established(self, name):
        def established():
            status = self.get(path("CustomResourceDefinition", name=name)).get("status", {})
            return any(condition["type"] == "Established" and condition["status"] == "True"
                       for condition in status.get("conditions") or [])
        wait(established, 15, f"CRD {name} to be established")

    def _headers(self):
        headers = {"Accept": "application/json", "User-Agent": "l2lb-test"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _connect(self, timeout):
        host, port = self._server.hostname, self._server.port
        if self._tls:
            connection = http.client.HTTPSConnection(host, port, timeout=timeout,
                                                     context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        with proc.inside(self._netns):
            connection.connect()
        # Small requests on a kept connection: never wait to fill a segment.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _round_trip(self, method, target, payload, headers):
        kept = getattr(self._local, "connection", None)
        if kept:
            try:
                return self._send(kept, method, target, payload, headers)
            except _CONNECTION_GONE:
                # The server was restarted or tired of the idle connection.
                pass
        return self._send(self._connect(self._timeout), method, target, payload, headers)

    def _send(self, connection, method, target, payload, headers):
        self._local.connection = None
        try:
            connection.request(method, target, payload, headers)
            response = connection.getresponse()
            data = response.read()
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._local.connection = connection
        return response, data

    def _read_kubeconfig(self, file):
        with open(file) as handle:
            config = yaml.safe_load(handle)
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self.namespace = context.get("namespace", "default")
        self._token = user.get("token", self._token)
        if cluster["server"].startswith("https:"):
            self._tls = _tls_context(cluster, user)
        return cluster["server"].rstrip("/")


def _kind_of(obj):
    """An object's key in KINDS."""
    kind, group = obj["kind"], obj["apiVersion"].rpartition("/")[0]
    return f"{kind}.{group}" if f"{kind}.{group}" in KINDS else kind


def _named(entries, name):
    return next(entry for entry in entries if entry["name"] == name)


def _tls_context(cluster, user):
    authority = _pem(cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    cert, key = _pem(user, "client-certificate"), _pem(user, "client-key")
    if cert:
        # The ssl module takes a client certificate from a file only.
        with tempfile.NamedTemporaryFile() as both:
            both.write(cert + b"\n" + key)
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _pem(section, key):
    """A PEM text which a kubeconfig holds as data or as a file's name."""
    if f"{key}-data" in section:
        return base64.b64decode(section[f"{key}-data"])
    if key in section:
        with open(os.path.expanduser(section[key]), "rb") as handle:
            return handle.read()
    return None


def _decode(response, data):
    if "json" in response.getheader("Content-Type", ""):
        return json.loads(data)
    return data.decode()


def _with_query(target, query):
    return f"{target}?{urlencode(query)}" if query else target


def _object(version, kind, name, namespace=None, labels=None, annotations=None):
    optional = {"namespace": namespace, "labels": labels, "annotations": annotations}
    metadata = {"name": name, **{key: value for key, value in optional.items() if value}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
