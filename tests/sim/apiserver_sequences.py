"""Random sequences of operations on an API server, in words that mean the same on every server.

An operation names no resourceVersion or uid, as these differ between servers: it says "right", "stale", "none" or "other",
and the runner (apiserver_compare.py) puts in what this server has given before. A sequence has two parts: between them
the servers forget their history.
"""

import random

GUARDS = ("right", "right", "right", "right", "none", "none", "none", "stale", "stale", "other")
UIDS = ("none", "none", "none", "none", "right", "right", "right", "other", "old")
# Weights: what the simulation lives on comes first.
KINDS = {"Lease": 12, "Service": 5, "EndpointSlice": 3, "Node": 2, "IPAddressPool": 2, "ConfigMap": 1}
SELECTORS = ("", "", "", "labelSelector=x%3D1", "labelSelector=x", "labelSelector=x!%3D2", "labelSelector=x+in+(1,2)", "labelSelector=!y",
             "labelSelector=x%3D1", "labelSelector=x,!y", "fieldSelector=metadata.name!%3Da")   # an object with x=1 and a name of its own fits all of them
MORE_SELECTORS = ("labelSelector=!x", "labelSelector=x+notin+(1)", "labelSelector=x%3D%3D2", "fieldSelector=metadata.name%3Da",
                  "labelSelector=x+in+(1", "labelSelector=%3D1", "fieldSelector=spec.nonsense%3D1")
TIMES = ("2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:06.120000Z")


class Sequence:
    """before, after: the operations on both sides of the compaction."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = self.random.choices(list(KINDS), KINDS.values(), k=self.random.choice((1, 1, 2)))
        self.before = [self.create(kind, name) for kind in dict.fromkeys(self.kinds) for name in self.pick("a", "ab", "ab")]
        if self.chance(0.6):
            self.before.append(self.watch(self.kinds[0], None))
        self.before += [self.operation(False) for _ in range(self.random.randint(3, 8))]
        self.after = [self.operation(True) for _ in range(self.random.randint(1, 4))]

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *choices):
        return self.random.choice(choices)

    # Operations

    def operation(self, after):
        kind, name = self.random.choice(self.kinds), self.pick("a", "a", "a", "a", "b", "b", "c")
        read = 3 if after else 1
        makers = {self.create: 2, self.patch: 8, self.update: 3, self.delete: 2, self.get: 1, self.list: 2 * read, self.page: read,
                  self.resume: 2 * read, self.watch: 3 * read, self.odd: 1}
        return self.random.choices(list(makers), makers.values())[0](kind, name)

    def create(self, kind, name):
        return {"do": "create", "kind": kind, "name": name, "body": self.body(kind, name)}

    def get(self, kind, name):
        return {"do": "get", "kind": kind, "name": name}

    def patch(self, kind, name):
        status = kind in ("Service", "Node") and self.chance(0.5)
        return {"do": "patch", "kind": kind, "name": name, "sub": "status" if status else None, "version": self.pick(*GUARDS),
                "uid": self.pick(*UIDS), "change": self.change(kind, status), "dry": self.chance(0.03)}

    def update(self, kind, name):
        """A PUT: of what was seen last with a change merged into it, or of a body made anew."""
        status = kind in ("Service", "Node") and self.chance(0.3)
        fresh = self.chance(0.3) and not status
        return {"do": "update", "kind": kind, "name": name, "sub": "status" if status else None, "version": self.pick(*GUARDS),
                "uid": self.pick(*UIDS), "body": self.body(kind, name) if fresh else None, "change": self.change(kind, status)}

    def delete(self, kind, name):
        return {"do": "delete", "kind": kind, "name": name, "version": self.pick("none", "none", "right", "stale"),
                "uid": self.pick("none", "none", "right", "right", "other", "old"), "body": self.chance(0.8)}

    def list(self, kind, _name):
        """how: consistent; what the cache has; not older than, or exactly, a version seen before."""
        return {"do": "list", "kind": kind, "how": self.pick("now", "now", "cached", "not older", "exact", "exact", "unmatched"),
                "selector": self.pick(*SELECTORS, *MORE_SELECTORS), "back": self.random.randint(0, 6), "limit": self.pick(0, 0, 1, 2) if kind != "Node" else 0}

    def page(self, kind, name):
        if kind == "Node":   # whether there is more depends on the Nodes of other sequences
            return self.get(kind, name)
        return {"do": "page", "kind": kind, "limit": self.pick(1, 1, 2), "selector": self.pick("", "", "labelSelector=x")}

    def resume(self, kind, _name):
        """Goes on with a continue token of before."""
        return {"do": "resume", "kind": kind}

    def watch(self, kind, _name):
        """back: how many versions seen ago it starts; None: with what is there."""
        return {"do": "watch", "kind": kind, "selector": self.pick(*SELECTORS), "back": self.pick(None, 0, 1, 2, 3, 5, 8, 100)}

    def odd(self, kind, name):
        """What a server refuses."""
        return {"do": "odd", "kind": kind, "name": name, "how": self.pick(
            "no such place", "post on a name", "put on a collection", "media type", "name of another", "namespace of another", "kind of another",
            "version of another", "bad name", "label number", "no name", "create with version", "patch is a list", "get nothing", "match alone",
            "version no number", "token and version", "bad token", "watch unknown field")}

    # Objects

    def metadata(self, name):
        metadata = {"name": name}
        if self.chance(0.6):
            metadata["labels"] = {"x": self.pick("1", "1", "2"), **({"y": "1"} if self.chance(0.2) else {})}
        if self.chance(0.3):
            metadata["annotations"] = {"n": self.pick("1", "2")}
        if self.chance(0.12):
            metadata["finalizers"] = ["l2lb.test/hold"]
        return metadata

    def body(self, kind, name):
        return {"metadata": self.metadata(name), **getattr(self, kind.lower())()}

    def lease(self):
        spec = {}
        for field, values in (("holderIdentity", ("n1", "n2", "")), ("leaseDurationSeconds", (15, 40, 15, 40, 15, 0)), ("acquireTime", TIMES),
                              ("renewTime", TIMES), ("leaseTransitions", (0, 1, 2, 2, 1, -1))):
            if self.chance(0.4):
                spec[field] = self.pick(*values)
        if self.chance(0.1):
            spec["unknown"] = 1
        if self.chance(0.04):
            spec.update(self.pick({"leaseTransitions": "1"}, {"renewTime": "2026-01-02T03:04:05Z"}, {"holderIdentity": 3}, {"renewTime": 4}))
        return {"spec": spec} if self.chance(0.9) else {}

    def service(self):
        kind = self.pick("LoadBalancer", "LoadBalancer", "LoadBalancer", "ClusterIP", "NodePort", "Strange" if self.chance(0.1) else "ClusterIP")
        spec = {"type": kind, "ports": [{"name": "http", "port": 80}] if self.chance(0.95) else []}
        if self.chance(0.3):
            spec["externalTrafficPolicy"] = self.pick("Local", "Cluster")
        if self.chance(0.2):
            spec["loadBalancerClass"] = self.pick("l2lb.io/one", "l2lb.io/two")
        if self.chance(0.2):
            spec["allocateLoadBalancerNodePorts"] = False
        if self.chance(0.3):
            spec["selector"] = {"app": self.pick("p", "q")}
        if self.chance(0.2):
            spec["loadBalancerIP"] = "192.0.2.7"
        return {"spec": spec}

    def endpointslice(self):
        endpoints = [{"addresses": [f"10.0.0.{number}"], **({"nodeName": "n1"} if self.chance(0.5) else {}),
                      **({"conditions": {"ready": self.chance(0.5)}} if self.chance(0.7) else {})} for number in range(1, self.random.randint(1, 3) + 1)]
        body = {"addressType": "IPv4", "endpoints": endpoints}
        if self.chance(0.8):
            body["ports"] = [{"name": "http", "port": 80}]
        if self.chance(0.05):
            body["addressType"] = self.pick("IPv6", "IPvX", "")
        return body

    def node(self):
        body = {"spec": {"unschedulable": True}} if self.chance(0.2) else {}
        if self.chance(0.3):
            body["status"] = self.node_status()
        return body

    def node_status(self):
        return {"conditions": [{"type": "Ready", "status": self.pick("True", "False"), "reason": "r", "message": "m",
                                "lastHeartbeatTime": "2026-01-02T03:04:05Z", "lastTransitionTime": "2026-01-02T03:04:05Z"}],
                "addresses": [{"type": "InternalIP", "address": self.pick("192.0.2.1", "192.0.2.2")}]}

    def configmap(self):
        return {"data": {"k": self.pick("1", "2", "<&>")}}

    def ipaddresspool(self):
        spec = {"addresses": self.pick(["192.0.2.0/28"], ["192.0.2.0/28", "192.0.2.32-192.0.2.40"])}
        for name in ("autoAssign", "avoidBuggyIPs"):
            if self.chance(0.3):
                spec[name] = self.chance(0.5)
        return {"spec": spec} if self.chance(0.95) else {}

    # Changes, as merge patches

    def change(self, kind, status):
        change = {}
        if self.chance(0.12):
            return change
        if self.chance(0.5):
            change["metadata"] = self.metadata_change()
        if status:
            change["status"] = getattr(self, kind.lower() + "_status")()
            if self.chance(0.2):
                change.update(self.spec_change(kind))   # which /status does not change
        elif self.chance(0.8):
            change.update(self.spec_change(kind))
            if kind == "Service" and self.chance(0.15):
                change["status"] = self.service_status()   # which only /status changes
        return change

    def metadata_change(self):
        change = {}
        if self.chance(0.7):
            change["labels"] = {"x": self.pick("1", "2", "2", None), **({"y": self.pick("1", None)} if self.chance(0.3) else {})}
        if self.chance(0.5):
            change["annotations"] = self.pick({"n": "1"}, {"n": "2"}, {"n": None}, {"m": "<&>\u20ac"}, None)
        if self.chance(0.2):
            change["finalizers"] = self.pick(None, None, ["l2lb.test/hold"], ["l2lb.test/other"], [])
        if self.chance(0.03):
            change.update(self.pick({"creationTimestamp": "2020-01-01T00:00:00Z"}, {"generation": 77}, {"labels": {"x": 1}}))
        return change

    def spec_change(self, kind):
        if kind in ("EndpointSlice", "ConfigMap"):
            return getattr(self, kind.lower())()
        spec = getattr(self, kind.lower())().get("spec", {})
        if kind == "Service":
            spec = {key: value for key, value in spec.items() if self.chance(0.5)}
            if spec and self.chance(0.2):
                spec[self.pick(*spec)] = None
        elif kind == "Lease" and spec and self.chance(0.2):
            spec[self.pick(*spec)] = None
        return {"spec": spec}

    def service_status(self):
        ingress = self.pick([{"ip": "192.0.2.1"}], [{"ip": "192.0.2.1"}], [{"ip": "192.0.2.2"}], [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}],
                            [{"ip": "192.0.2.1", "ipMode": "Proxy"}], [], None, [{"hostname": "h.example"}],
                            *([[{"ip": "nonsense"}], [{"hostname": "h", "ipMode": "VIP"}]] if self.chance(0.2) else ()))
        return {"loadBalancer": {"ingress": ingress}}
