"""Fixtures of the end to end tests. Needs root (namespaces) and ip, openssl."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from cluster.cluster import RealCluster, build  # noqa: E402
from home import Home  # noqa: E402
from lab.netlab import HomeLab  # noqa: E402


@pytest.fixture(scope="session")
def assets():
    """The folder with etcd, kube-apiserver, kubectl, kube-proxy; built if need be."""
    return build()


@pytest.fixture
def lab():
    with HomeLab() as made:
        yield made


@pytest.fixture(scope="session")
def cluster(assets, tmp_path_factory):
    """A control plane on this machine's loopback, shared by all tests."""
    with RealCluster(tmp_path_factory.mktemp("cluster"), assets) as made:
        yield made


@pytest.fixture(scope="module")
def labcluster(assets, tmp_path_factory):
    """A home lab (labcluster.lab) with the control plane on its control plane
    node, Node objects, l2lb's CRDs, and labcluster.kube as its administrator."""
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        folder = tmp_path_factory.mktemp("labcluster")
        with RealCluster(folder, assets, control.ns, control.ip) as made:
            made.lab, made.kube = lab, made.client()
            for node in lab.nodes:
                made.kube.make_node(node, lab.ip(node))
            for crds in sorted((TESTS.parent / "deploy" / "crds").glob("*.yaml")):
                made.kube.apply(crds.read_text())
            yield made


@pytest.fixture(scope="module")
def home_cluster(assets, tmp_path_factory):
    """The home network with the real API server and everything of deploy/ in it, and l2lb as it says there."""
    folder = tmp_path_factory.mktemp("home")
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        with RealCluster(folder, assets, control.ns, control.ip) as made:
            home = Home(made, lab, folder)
            yield home
            home.end()


@pytest.fixture
def home(home_cluster):
    """home_cluster with a controller that leads, a speaker on each node and no Service; cleaned up behind the test."""
    home_cluster.ready()
    yield home_cluster
    home_cluster.clean()
