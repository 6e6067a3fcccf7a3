"""Not ARP alone: a client's connection to the address of a Service reaches what serves it."""

import socket
import sys
import time

import pytest
import yaml

from lab import proc
from lab.kube import wait

# Answers each connection with its argument, as HTTP for those who speak it.
SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
body = sys.argv[3].encode()
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
"""
PROXY = {
    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
    "clusterCIDR": "10.244.0.0/16", "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
}


@pytest.fixture(scope="module")
def home_cluster(own_home_cluster):
    """The nodes get kube-proxy's rules."""
    return own_home_cluster


def ask_http(ns, ip, port=80, target="/", timeout=5):
    """(status, body) of a GET from a namespace; OSError when there is no connection."""
    with proc.inside(ns), socket.socket() as connection:
        connection.settimeout(timeout)
        connection.connect((ip, port))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def serve_http(home, node, address, port, text):
    """A server on a node, up when this returns."""
    home.lab.exec(node, [sys.executable, "-c", SERVER, address, port, text])
    wait(lambda: ask_http(home.lab.ns(node), "127.0.0.1" if address == "0.0.0.0" else address, port), 30, f"the server on {node}")


def test_connections_reach_the_owner(home):
    """Each node takes packets for the address, as kube-proxy has it do; the client's go to the owner, also after it moved."""
    ip, owner = home.announced("web")
    for node in home.nodes:
        home.lab.accept_vip(node, ip)
        serve_http(home, node, "0.0.0.0", 80, node)
    assert ask_http(home.client, ip) == (200, owner)
    home.lab.cut(owner)   # not its speaker alone: then a neighbour would guard the address, and the packets go on to it
    heir = wait(lambda: home.holder(ip) not in ("", owner) and home.holder(ip), 20, "another owner")
    # The client has the old one in its neighbour table: the announcement replaces it.
    assert wait(lambda: ask_http(home.client, ip)[1] == heir and heir, 20, "the client to reach the new owner")


@pytest.fixture(scope="module")
def proxied(home_cluster):
    """kube-proxy on each node: the real one, in nftables mode."""
    home = home_cluster
    config = home.cluster.kubeconfig("system:kube-proxy")
    logs = {}
    for node in home.nodes:
        file = home.folder / f"kube-proxy-{node}.yaml"
        file.write_text(yaml.safe_dump({**PROXY, "hostnameOverride": node, "clientConnection": {"kubeconfig": str(config)}}))
        home.lab.run(node, ["sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
        logs[node] = home.folder / f"kube-proxy-{node}.log"
        with open(logs[node], "wb") as log:
            home.lab.exec(node, [home.cluster.program("kube-proxy"), "--config", file], stdout=log, stderr=log)
    for node in home.nodes:
        wait(lambda name=node: ask_http(home.lab.ns(name), "127.0.0.1", 10249, "/healthz")[0] == 200, 60, f"kube-proxy on {node}")
    return home


@pytest.fixture
def web_servers(proxied):
    """An HTTP server on each node, as a pod with hostNetwork would be: port 8080, says its node's name."""
    if not hasattr(proxied, "web_servers"):
        for node in proxied.nodes:
            serve_http(proxied, node, proxied.lab.ip(node), 8080, node)
        proxied.web_servers = True
    return proxied


def endpoint(home, node):
    return [(home.lab.ip(node), node, True)]


@pytest.mark.parametrize("pod_on", ["k8s-control", "worker-1", "worker-2"])
def test_through_kube_proxy(home, web_servers, pod_on):
    """Wherever the pod runs, the client reaches it through the node that has the address."""
    home.serve("web", endpoints=endpoint(home, pod_on), port=8080, loadBalancerIP="192.168.122.120",
               ports=[{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    ip = home.address("web")
    home.answered_by(ip, home.owner(ip))
    assert wait(lambda: ask_http(home.client, ip), 40, "an answer through the address") == (200, pod_on)
    # kube-proxy's nodes forward the address: they must still not answer ARP for it.
    time.sleep(0.2)
    assert home.macs(ip, timeout=2) == {home.lab.mac(home.holder(ip))}


def test_local_policy_and_health_check(home, web_servers):
    """externalTrafficPolicy Local: only the node with the endpoint has the address, and says so on its health check port."""
    home.serve("web", endpoints=endpoint(home, "worker-2"), port=8080, externalTrafficPolicy="Local", loadBalancerIP="192.168.122.121",
               ports=[{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    ip = home.address("web")
    home.answered_by(ip, "worker-2")
    assert wait(lambda: ask_http(home.client, ip), 40, "an answer through the address") == (200, "worker-2")
    port = home.service("web")["spec"]["healthCheckNodePort"]

    def healthy():
        return [node for node in home.nodes if ask_http(home.client, home.lab.ip(node), port)[0] == 200]
    assert wait(healthy, 40, "a health check port") == ["worker-2"]
    # The pod moves: so do the address and the health.
    home.kube.make_slice("default", "web", endpoint(home, "worker-1"), port=8080)
    home.answered_by(ip, "worker-1")
    wait(lambda: healthy() == ["worker-1"], 40, "the health check to move")
    assert wait(lambda: ask_http(home.client, ip)[1] == "worker-1", 40, "the client to reach it there")
