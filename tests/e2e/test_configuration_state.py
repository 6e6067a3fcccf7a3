"""ConfigurationState: whether controller and speakers can use the configuration, as `kubectl get configurationstates` shows it."""

from home import NAMESPACE
from lab.kube import path, wait

POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: {name}, namespace: metallb-system}}
spec: {{addresses: ["{addresses}"]}}
"""
NAMES = ("controller", "speaker-worker-1")


def state(home, name):
    found = home.kube.exists(f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/configurationstates/{name}")
    return (found or {}).get("status", {})


def test_configuration_state(home):
    """Valid; an overlap makes it Invalid with the words of the log; mended it is Valid again. Nothing else is written."""
    for name in NAMES:
        wait(lambda: state(home, name).get("result") == "Valid", 30, f"{name} to be valid")
        assert state(home, name)["errorSummary"] == ""
    home.kube.apply(POOL.format(name="z-overlap", addresses="192.168.122.140-192.168.122.160"))
    for name in NAMES:
        wait(lambda: state(home, name).get("result") == "Invalid", 30, f"{name} to say what is wrong")
        assert "IPAddressPool z-overlap: overlaps with the older pool default-pool" in state(home, name)["errorSummary"]
    condition = state(home, "controller")["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("poolReconcilerValid", "False", "ConfigurationError")
    assert state(home, "speaker-worker-1")["conditions"][0]["type"] == "configReconcilerValid"
    shown = home.cluster.kubectl("get", "configurationstates", "-n", NAMESPACE)
    assert "RESULT" in shown.stdout and "Invalid" in shown.stdout, shown
    home.kube.apply(POOL.format(name="z-overlap", addresses="192.168.122.160-192.168.122.170"))
    for name in NAMES:
        wait(lambda: state(home, name).get("result") == "Valid", 30, f"{name} to be valid again")
    home.kube.delete(path("IPAddressPool", NAMESPACE, "z-overlap"))
    labels = home.kube.get(f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/configurationstates/speaker-worker-1")["metadata"]["labels"]
    assert labels == {"metallb.io/component-type": "speaker", "metallb.io/node-name": "worker-1"}
