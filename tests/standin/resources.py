"""The table of resources, how stored objects are shown in each API version, and the discovery documents."""
from dataclasses import dataclass

import service
import strategies
from store import encode


@dataclass(eq=False)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple = ()
    status: bool = False            # has a /status subresource
    generation: bool = False        # metadata.generation counts changes outside metadata and status
    labels_count: bool = False      # and changes of the labels
    unconditional: bool = True      # PUT without resourceVersion is allowed
    put_creates: bool = False       # PUT of a missing object creates it
    fields: tuple = ()              # selectable fields beside metadata.name and metadata.namespace
    cached: bool = True             # has a watch cache: bookmarks, and a 410 for old versions
    returns_deleted: bool = False   # DELETE answers with the object rather than a Status
    strategy: type = strategies.Plain
    custom: bool = False            # comes from a CustomResourceDefinition
    schema: dict = None             # that definition's openAPIV3Schema
    shares: tuple = None            # storage of another resource that shows the same objects
    view: object = None             # (to stored form, from stored form) when shown differently than stored
    filler: dict = None             # what an empty object of the Go type encodes to, seen in bookmarks

    @property
    def api_version(self):
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self):
        return self.shares or (self.group, self.plural)


def move(names, source):
    return {names.get(key, key): value for key, value in source.items()}


# core/v1 and events.k8s.io/v1 are two spellings of the same stored events.
TO_NEW = {"involvedObject": "regarding", "message": "note", "source": "deprecatedSource", "count": "deprecatedCount",
          "firstTimestamp": "deprecatedFirstTimestamp", "lastTimestamp": "deprecatedLastTimestamp",
          "reportingComponent": "reportingController"}
EVENT_VIEW = (lambda data: move({v: k for k, v in TO_NEW.items()}, data), lambda data: move(TO_NEW, data))
EVENT_FIELDS = ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
                "reason", "type", "source", "reportingComponent")
WORKLOAD = {"group": "apps", "version": "v1", "status": True, "generation": True}
RBAC = {"group": "rbac.authorization.k8s.io", "version": "v1"}

BUILTIN = [
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), True, fields=("status.phase",),
             strategy=strategies.Namespace, returns_deleted=True, filler={"spec": {}, "status": {}}),
    Resource("", "v1", "nodes", "Node", False, ("no",), True, fields=("spec.unschedulable",),
             strategy=strategies.Node,
             filler={"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {}}}),
    Resource("", "v1", "services", "Service", True, ("svc",), True, put_creates=True, returns_deleted=True,
             fields=("spec.clusterIP", "spec.type"), strategy=service.Service,
             filler={"spec": {}, "status": {"loadBalancer": {}}}),
    Resource("", "v1", "pods", "Pod", True, ("po",), True, returns_deleted=True, strategy=strategies.Pod,
             fields=("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                     "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"),
             filler={"spec": {"containers": None}, "status": {}}),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "secrets", "Secret", fields=("type",), strategy=strategies.Secret),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), returns_deleted=True),
    Resource("", "v1", "events", "Event", True, ("ev",), put_creates=True, cached=False, fields=EVENT_FIELDS,
             strategy=strategies.CoreEvent),
    Resource("events.k8s.io", "v1", "events", "Event", True, ("ev",), put_creates=True, cached=False,
             fields=EVENT_FIELDS, strategy=strategies.NewEvent, shares=("", "events"), view=EVENT_VIEW),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True, labels_count=True,
             strategy=strategies.EndpointSlice, filler={"addressType": "", "endpoints": None, "ports": None}),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False, put_creates=True,
             strategy=strategies.Lease, filler={"spec": {}}),
    Resource(plural="deployments", kind="Deployment", short=("deploy",), strategy=strategies.Workload, **WORKLOAD),
    Resource(plural="daemonsets", kind="DaemonSet", short=("ds",), strategy=strategies.Workload, **WORKLOAD),
    Resource(plural="roles", kind="Role", **RBAC),
    Resource(plural="rolebindings", kind="RoleBinding", **RBAC),
    Resource(plural="clusterroles", kind="ClusterRole", namespaced=False, **RBAC),
    Resource(plural="clusterrolebindings", kind="ClusterRoleBinding", namespaced=False, **RBAC),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
             ("crd", "crds"), True, generation=True, unconditional=False, strategy=strategies.Definition),
]


class Registry:
    """Which resources exist right now: the built-in ones and those of established definitions."""

    def __init__(self):
        self.resources = {}
        for res in BUILTIN:
            self.add(res)
        self.builtin_groups = {res.group for res in BUILTIN}

    def add(self, res):
        self.resources[(res.group, res.version, res.plural)] = res

    def find(self, group, version, plural):
        return self.resources.get((group, version, plural))

    def named(self, group, plural):
        return next(r for r in self.resources.values() if r.group == group and r.plural == plural)

    def define(self, crd):
        """Serve (or re-serve, after a change) what a CustomResourceDefinition asks for."""
        spec = crd["spec"]
        self.undefine(crd)
        for version in spec["versions"]:
            if not version.get("served"):
                continue
            self.add(Resource(
                spec["group"], version["name"], spec["names"]["plural"], spec["names"]["kind"],
                spec["scope"] == "Namespaced", tuple(spec["names"].get("shortNames", ())),
                "status" in (version.get("subresources") or {}), generation=True, unconditional=False,
                fields=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields", ())),
                strategy=strategies.Custom, custom=True,
                schema=(version.get("schema") or {}).get("openAPIV3Schema")))

    def undefine(self, crd):
        spec = crd["spec"]
        gone = [k for k, r in self.resources.items()
                if r.custom and r.group == spec["group"] and r.plural == spec["names"]["plural"]]
        for key in gone:
            del self.resources[key]

    def groups(self):
        out = {}
        for res in self.resources.values():
            if res.group and res.version not in out.setdefault(res.group, []):
                out[res.group].append(res.version)
        return out


# --- showing objects -------------------------------------------------------------------------------------------

def shown(res, data):
    """The object as the API version `res` presents it, with kind and apiVersion in front."""
    body = {k: v for k, v in data.items() if k not in ("kind", "apiVersion")}
    if res.view:
        body = res.view[1](body)
    if res.custom:
        return {"apiVersion": res.api_version, "kind": res.kind, **body}
    return {"kind": res.kind, "apiVersion": res.api_version, **body}


def render(res, stored):
    """Bytes of a single object."""
    form = stored.forms.get((res.api_version, "full"))
    if form is None:
        form = stored.forms[(res.api_version, "full")] = encode(shown(res, stored.data))
    return form


def render_item(res, stored):
    """Bytes of an object inside a list: Go-typed items lose kind and apiVersion, custom ones keep them."""
    if res.custom:
        return render(res, stored)
    form = stored.forms.get((res.api_version, "item"))
    if form is None:
        body = shown(res, stored.data)
        del body["kind"], body["apiVersion"]
        form = stored.forms[(res.api_version, "item")] = encode(body)
    return form


def render_list(res, items, meta):
    head = encode({"kind": res.kind + "List", "apiVersion": res.api_version, "metadata": meta})
    if res.custom:
        head = encode({"apiVersion": res.api_version, "kind": res.kind + "List", "metadata": meta})
    return b"".join((head[:-1], b',"items":[', b",".join(render_item(res, s) for s in items), b"]}\n"))


def bookmark(res, rv, initial_end=False):
    meta = {"resourceVersion": str(rv)}
    if initial_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = {"kind": res.kind, "apiVersion": res.api_version, "metadata": meta, **(res.filler or {})}
    return encode({"type": "BOOKMARK", "object": body})


# --- discovery -------------------------------------------------------------------------------------------------

IN_ALL = ("pods", "services", "deployments", "daemonsets")  # what `kubectl get all` asks for
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "0" * 40, "gitTreeState": "clean",
           "buildDate": "2026-11-10T00:00:00Z", "goVersion": "go1.26.8", "compiler": "gc", "platform": "linux/amd64"}


def api_versions(address):
    return {"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}


def group_document(name, versions):
    entries = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def group_list(registry):
    return {"kind": "APIGroupList", "apiVersion": "v1",
            "groups": [group_document(name, versions) for name, versions in registry.groups().items()]}


def resource_list(registry, group, version):
    entries = []
    for res in registry.resources.values():
        if (res.group, res.version) != (group, version):
            continue
        entry = {"name": res.plural, "singularName": res.kind.lower(), "namespaced": res.namespaced,
                 "kind": res.kind, "verbs": VERBS}
        if res.short:
            entry["shortNames"] = list(res.short)
        if res.plural in IN_ALL and not res.custom:
            entry["categories"] = ["all"]
        entries.append(entry)
        if res.status:
            entries.append({"name": res.plural + "/status", "singularName": "", "namespaced": res.namespaced,
                            "kind": res.kind, "verbs": ["get", "patch", "update"]})
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def metallb_definitions():
    """Open-schema definitions of the metallb.io resources, for --crds without a file."""
    for kind, plural in (("IPAddressPool", "ipaddresspools"), ("L2Advertisement", "l2advertisements"),
                         ("ServiceL2Status", "servicel2statuses"), ("ConfigurationState", "configurationstates")):
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        yield {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
               "metadata": {"name": plural + ".metallb.io"},
               "spec": {"group": "metallb.io", "scope": "Namespaced",
                        "names": {"kind": kind, "listKind": kind + "List", "plural": plural,
                                  "singular": kind.lower()},
                        "versions": [{"name": "v1beta1", "served": True, "storage": True,
                                      "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema}}]}}
