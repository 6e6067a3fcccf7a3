"""Fixtures of the end to end tests. Needs root (namespaces) and ip, openssl."""

import contextlib
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


@contextlib.contextmanager
def _world(assets, folder):
    """The home network and a real API server in it: (lab, cluster). Services may have IPv6 addresses."""
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        flags = ["--service-cluster-ip-range=10.96.0.0/12,fd00:96::/112"]
        with RealCluster(folder, assets, control.ns, control.ip, flags=flags) as made:
            yield lab, made


@pytest.fixture(scope="session")
def home_world(assets, tmp_path_factory):
    """One for all files: to start an API server takes seconds of all processors."""
    with _world(assets, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def home_cluster(home_world, tmp_path_factory):
    """The home network with the real API server and everything of deploy/ in it, and l2lb as it says there: processes of its own
    for each file, which leaves nothing behind. One that changes the network for good replaces this by own_home_cluster."""
    lab, made = home_world
    home = Home(made, lab, tmp_path_factory.mktemp("home"))
    yield home
    home.end()


@pytest.fixture(scope="module")
def own_home_cluster(assets, tmp_path_factory):
    """As home_cluster, in a world that no other file sees."""
    folder = tmp_path_factory.mktemp("own-home")
    with _world(assets, folder) as (lab, made):
        home = Home(made, lab, folder)
        yield home
        home.end()


@pytest.fixture
def home(home_cluster):
    """home_cluster with a controller that leads, a speaker on each node and no Service; cleaned up behind the test."""
    home_cluster.ready()
    yield home_cluster
    home_cluster.clean()
