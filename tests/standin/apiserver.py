#!/usr/bin/python3
"""A quick stand-in for kube-apiserver, for tests that need the API but not a cluster.

    python3 tests/standin/apiserver.py --listen 192.168.122.10:6443 --dir DIR

DIR gets the certificates, DIR/kubeconfig (admin), and one NAME.kubeconfig per --user. README of the fault interface:
control.py. It behaves as kube-apiserver 1.37 in what a client of ours can see.
"""
import argparse
import asyncio
import json
import os
import signal
import ssl
from pathlib import Path

import resources
import strategies
from api import Api
from certs import Certificates, write_kubeconfig
from control import Control, Faults, Log
from httpd import Server, User, Users
from store import Store

X509_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", default="127.0.0.1:6443", metavar="ADDRESS:PORT", help="port 0 picks a free one")
    parser.add_argument("--dir", required=True, type=Path, help="certificates, kubeconfigs, tokens, state")
    parser.add_argument("--token", action="append", default=[], metavar="TOKEN[,USER[,GROUP...]]",
                        help="accept this bearer token, besides those of DIR/tokens.csv (default user: admin)")
    parser.add_argument("--user", action="append", default=[], metavar="NAME[,GROUP...]",
                        help="make a client certificate and DIR/NAME.kubeconfig for this user")
    parser.add_argument("--plain", action="store_true", help="http; requests without credentials are admin's")
    parser.add_argument("--anonymous", action="store_true",
                        help="requests without credentials are system:anonymous rather than 401")
    parser.add_argument("--crds", nargs="*", metavar="FILE",
                        help="pre-install CRDs from JSON files, or open-schema metallb.io ones without a file")
    parser.add_argument("--persist", action="store_true", help="load DIR/state.json at start, write it at SIGTERM")
    parser.add_argument("--history", type=int, default=10000, help="events kept per resource (default 10000)")
    parser.add_argument("--bookmark-interval", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--service-cluster-ip-range", default="10.96.0.0/12", metavar="CIDR[,CIDR]")
    return parser.parse_args()


def first_objects(store, registry):
    """What exists in every cluster before anybody does anything."""
    stamp = {"creationTimestamp": "2026-11-01T00:00:00Z"}
    namespaces, services = registry.named("", "namespaces"), registry.named("", "services")
    for name in NAMESPACES:
        store.put(namespaces, {"kind": "Namespace", "metadata": {
            "name": name, "uid": f"00000000-0000-4000-8000-{NAMESPACES.index(name):012d}", **stamp,
            "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
    store.put(services, {"kind": "Service", "metadata": {
        "name": "kubernetes", "namespace": "default", "uid": "00000000-0000-4000-8000-000000000099", **stamp,
        "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4"],
                 "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                 "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        "status": {"loadBalancer": {}}})


def install_definitions(api, files):
    """Put --crds in place as already established."""
    res = api.registry.named("apiextensions.k8s.io", "customresourcedefinitions")
    documents = list(resources.metallb_definitions()) if not files else []
    for name in files:
        document = json.loads(Path(name).read_text())
        documents += document["items"] if document.get("kind") == "List" else [document]
    for number, document in enumerate(documents):
        document["metadata"].update(uid=f"00000000-0000-4000-8000-0000000c{number:04d}", generation=1,
                                    creationTimestamp="2026-11-01T00:00:00Z")
        document.pop("apiVersion")
        strategies.Definition.prepare(document, None, api.cluster)
        if api.store.get(res, "", document["metadata"]["name"]) is None:
            api.establish(api.store.put(res, document).key)


def build(options, state):
    registry, store = resources.Registry(), Store(options.history)
    cluster = strategies.Cluster(options.service_cluster_ip_range.split(","))
    services = registry.named("", "services")
    cluster.services = lambda: [s.data for s in store.table(services).objects.values()]
    faults, log = Faults(store), Log()
    settings = {"bookmark_interval": options.bookmark_interval}
    api = Api(registry, store, cluster, faults, settings)
    if options.persist and state.exists():
        store.load(state)
        definitions = registry.named("apiextensions.k8s.io", "customresourcedefinitions")
        for stored in store.table(definitions).objects.values():
            registry.define(stored.data)
    else:
        first_objects(store, registry)
    if options.crds is not None:
        install_definitions(api, options.crds)
    return api, Control(faults, log, store, settings), faults, log


def known_users(options):
    anonymous = User("system:anonymous", ("system:unauthenticated",)) if options.anonymous else None
    if options.plain:
        anonymous = User("admin", ("system:masters",))  # kubectl sends no credentials over http
    users = Users(options.dir / "tokens.csv", anonymous)
    for text in options.token:
        token, name, *groups = (text.split(",") + ["admin"])[:max(2, text.count(",") + 1)]
        users.fixed[token] = User(name, tuple(groups) or ("system:masters",) * (name == "admin"))
    return users


def end(store, state, persist):
    """At once: open watches are reset, as when the process is killed, but with the state on disk."""
    if persist:
        store.save(state)
    os._exit(0)


async def main():
    options = arguments()
    options.dir.mkdir(parents=True, exist_ok=True)
    host, _, port = options.listen.rpartition(":")
    host = host.strip("[]")
    state = options.dir / "state.json"
    api, control, faults, log = build(options, state)
    server = Server(api, control, faults, log, known_users(options), options.listen)
    context, certificates = None, None
    if not options.plain:
        certificates = Certificates(options.dir, host)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.path("ca.crt"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= X509_NO_CHECK_TIME  # an expired certificate is a 401, not a TLS alert
        context.load_cert_chain(certificates.path("server.crt"), certificates.path("server.key"))
    listener = await asyncio.start_server(server.connection, host, int(port), ssl=context, limit=2 ** 20, backlog=256)
    port = listener.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    url = f"{'http' if options.plain else 'https'}://{shown}:{port}"
    for text in ["admin,system:masters"] + options.user:
        name, *groups = text.split(",")
        target = "kubeconfig" if name == "admin" else name.replace(":", "_") + ".kubeconfig"
        write_kubeconfig(options.dir / target, url, name, groups, certificates)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end, api.store, state, options.persist)
    print(f"standin: serving on {url}", flush=True)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
