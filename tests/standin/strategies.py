"""What the server does to each kind of object on its way in: decoding checks, defaults, allocation, validation.

A strategy has four steps, in the order the real server takes them:
  decode(res, obj)             400 when a field does not fit its Go type; drops or reshapes what decoding would
  prepare(obj, old, cluster)   defaults and allocated values; `old` is None on create
  prepare_status(obj, old)     what a write to /status may change
  problems(obj, old)           (field, type, text) for a 422
"""
import ipaddress
import random
import re
from datetime import datetime, timezone

import apierrors
import schema as schemas

MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def micro_time(res, value):
    """MicroTime as the real server reads it: exactly six digits. Returned in UTC, as it is written back."""
    if value is None:
        return None
    if not isinstance(value, str) or not MICRO.fullmatch(value):
        if not isinstance(value, str):
            raise apierrors.cannot_handle(res, "json: cannot unmarshal number into Go value of type string")
        rest = value[19:] if len(value) >= 19 else value
        raise apierrors.cannot_handle(res, f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00": '
                                           f'cannot parse "{rest}" as ".000000"')
    moment = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Cluster:
    """What strategies need to know about the cluster: address ranges and what is taken."""

    def __init__(self, ranges):
        self.ranges = {f"IPv{net.version}": net for net in map(ipaddress.ip_network, ranges)}
        self.services = lambda: ()  # set by the server: the stored services

    def free_ip(self, family):
        net = self.ranges[family]
        taken = {ip for s in self.services() for ip in s["spec"].get("clusterIPs") or ()}
        while True:
            # from the upper part, as the real allocator does while it has room there
            ip = str(net[random.randrange(512, min(net.num_addresses - 1, 65536))])
            if ip not in taken:
                return ip

    def free_port(self):
        taken = set()
        for service in self.services():
            taken.add(service["spec"].get("healthCheckNodePort"))
            taken.update(port.get("nodePort") for port in service["spec"].get("ports") or ())
        while True:
            port = random.randrange(30086, 32768)
            if port not in taken:
                return port


class Plain:
    """Objects the server stores as they come; all others start from this."""

    @staticmethod
    def decode(res, obj):
        pass

    @staticmethod
    def prepare(obj, old, cluster):
        pass

    @staticmethod
    def prepare_status(obj, old):
        """The built-in status strategies put back the spec and let metadata through."""
        if "spec" in old:
            obj["spec"] = old["spec"]
        else:
            obj.pop("spec", None)

    @staticmethod
    def problems(obj, old):
        return ()


def keep_status(obj, old, empty):
    """Writes outside /status never change status."""
    if old is not None and "status" in old:
        obj["status"] = old["status"]
    elif empty is None:
        obj.pop("status", None)
    else:
        obj["status"] = empty


class Namespace(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        keep_status(obj, old, {"phase": "Active"})
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        labels = obj["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


class Node(Plain):
    INFO = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
            "kubeProxyVersion", "operatingSystem", "architecture")

    @staticmethod
    def prepare(obj, old, cluster):
        # nodes are the exception: the kubelet registers with its status in the POST
        if old is not None:
            keep_status(obj, old, {})
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
        info = status.setdefault("nodeInfo", {})
        for name in Node.INFO:
            info.setdefault(name, "")
        if old is None:
            # admission holds every new Node for not ready
            obj["spec"].setdefault("taints", [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])


class Secret(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        obj.setdefault("type", "Opaque")


class Pod(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        keep_status(obj, old, {"phase": "Pending", "qosClass": "BestEffort"})
        spec = obj.setdefault("spec", {})
        for name, value in (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("securityContext", {}),
                            ("terminationGracePeriodSeconds", 30), ("schedulerName", "default-scheduler"),
                            ("enableServiceLinks", True)):
            spec.setdefault(name, value)

    @staticmethod
    def problems(obj, old):
        if not obj["spec"].get("containers"):
            yield "spec.containers", "Required value", ""


class Workload(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        keep_status(obj, old, {})
        if obj["kind"] == "Deployment":
            obj.setdefault("spec", {}).setdefault("replicas", 1)

    @staticmethod
    def problems(obj, old):
        if not (obj.get("spec") or {}).get("selector"):
            yield "spec.selector", "Required value", ""


class EndpointSlice(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        obj["endpoints"] = obj.get("endpoints") or None
        obj.setdefault("ports", None)
        for endpoint in obj["endpoints"] or ():
            endpoint.setdefault("conditions", {})
        for port in obj["ports"] or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    @staticmethod
    def problems(obj, old):
        kinds = ("FQDN", "IPv4", "IPv6")
        kind = obj.get("addressType")
        if not kind:
            yield "addressType", "Required value", ""
        elif kind not in kinds:
            yield "addressType", "Unsupported value", f'"{kind}": supported values: "FQDN", "IPv4", "IPv6"'
        if old and old.get("addressType") != kind:
            yield "addressType", "Invalid value", f'"{kind}": field is immutable'
        yield from EndpointSlice.address_problems(obj, kind)

    @staticmethod
    def address_problems(obj, kind):
        for index, endpoint in enumerate(obj.get("endpoints") or ()):
            addresses = endpoint.get("addresses") or ()
            if not addresses:
                yield f"endpoints[{index}].addresses", "Required value", "must contain at least 1 address"
            for address in addresses if kind in ("IPv4", "IPv6") else ():
                try:
                    good = f"IPv{ipaddress.ip_address(address).version}" == kind
                except ValueError:
                    good = False
                if not good:
                    yield f"endpoints[{index}].addresses", "Invalid value", f'"{address}": must be an {kind} address'


class Lease(Plain):
    SPEC = {"holderIdentity": str, "leaseDurationSeconds": int, "acquireTime": "time", "renewTime": "time",
            "leaseTransitions": int, "strategy": str, "preferredHolder": str}
    NAMES = {str: "string", int: "int32"}
    JSON_NAMES = {str: "string", int: "number", float: "number", bool: "bool", dict: "object", list: "array"}

    @staticmethod
    def decode(res, obj):
        spec = {}
        for name, kind in Lease.SPEC.items():
            value = (obj.get("spec") or {}).get(name)
            if value is None:
                continue
            if kind == "time":
                value = micro_time(res, value)
            elif type(value) is not kind:
                raise apierrors.cannot_handle(
                    res, f"json: cannot unmarshal {Lease.JSON_NAMES[type(value)]} into Go struct field "
                         f"LeaseSpec.spec.{name} of type {Lease.NAMES[kind]}")
            spec[name] = value
        obj["spec"] = spec  # a Go struct: fields it does not know are gone

    @staticmethod
    def problems(obj, old):
        spec = obj["spec"]
        if spec.get("leaseDurationSeconds", 1) <= 0:
            yield ("spec.leaseDurationSeconds", "Invalid value",
                   f"{spec['leaseDurationSeconds']}: must be greater than 0")
        if spec.get("leaseTransitions", 0) < 0:
            yield ("spec.leaseTransitions", "Invalid value",
                   f"{spec['leaseTransitions']}: must be greater than or equal to 0")


class CoreEvent(Plain):
    @staticmethod
    def decode(res, obj):
        decode_event_times(res, obj)

    @staticmethod
    def prepare(obj, old, cluster):
        # Go structs without omitempty: always present, null or empty
        for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(name, None)
        obj.setdefault("source", {})
        obj.setdefault("involvedObject", {})
        obj.setdefault("reportingComponent", "")
        obj.setdefault("reportingInstance", "")

    @staticmethod
    def problems(obj, old):
        namespace = obj["involvedObject"].get("namespace", "")
        if namespace != obj["metadata"]["namespace"] and not (
                namespace == "" and obj["metadata"]["namespace"] in ("default", "kube-system")):
            yield ("involvedObject.namespace", "Invalid value",
                   f'"{namespace}": does not match event.namespace')


class NewEvent(CoreEvent):
    """events.k8s.io/v1 is strict. It gets objects in stored (core) spelling; messages use its own."""

    @staticmethod
    def problems(obj, old):
        if old is not None:
            yield from NewEvent.immutable(obj, old)
            return
        if not obj.get("eventTime"):
            yield "eventTime", "Required value", ""
        for name, shown in (("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance"),
                            ("action", "action"), ("reason", "reason")):
            value = obj.get(name) or ""
            if not value:
                yield shown, "Required value", ""
            elif len(value) > 128 and shown != "reportingController":
                yield shown, "Invalid value", f'"{value}": can have at most 128 characters'
        if obj.get("type") not in ("Normal", "Warning"):
            yield "type", "Invalid value", f'"{obj.get("type", "")}": has invalid value'
        if len((obj.get("message") or "").encode()) > 1024:
            yield "message", "Invalid value", '"": can have at most 1024 characters'
        series = obj.get("series")
        if series is not None and series.get("count", 0) < 2:
            yield "series.count", "Invalid value", f'{series.get("count", 0)}: should be at least 2'
        yield from CoreEvent.problems(obj, old)

    @staticmethod
    def immutable(obj, old):
        for name in ("involvedObject", "reason", "message", "type", "action", "eventTime", "reportingComponent",
                     "reportingInstance", "related"):
            if obj.get(name) != old.get(name):
                yield {"involvedObject": "regarding", "message": "note",
                       "reportingComponent": "reportingController"}.get(name, name), "Invalid value", \
                    "field is immutable"


def decode_event_times(res, obj):
    if obj.get("eventTime") is not None:
        obj["eventTime"] = micro_time(res, obj["eventTime"])
    series = obj.get("series")
    if series and series.get("lastObservedTime") is not None:
        series["lastObservedTime"] = micro_time(res, series["lastObservedTime"])


class Definition(Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        names = obj["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        obj["spec"].setdefault("conversion", {"strategy": "None"})
        stored = [v["name"] for v in obj["spec"]["versions"] if v.get("storage")]
        keep_status(obj, old, {"conditions": [], "acceptedNames": {"plural": "", "kind": ""},
                               "storedVersions": stored})

    @staticmethod
    def decode(res, obj):
        try:
            spec = obj["spec"]
            assert spec["group"] and spec["names"]["plural"] and spec["names"]["kind"] and spec["scope"]
            assert all(v["name"] for v in spec["versions"])
        except (KeyError, TypeError, AssertionError):
            raise apierrors.invalid(res, obj["metadata"].get("name", ""),
                                    [("spec", "Required value", "")]) from None

    @staticmethod
    def problems(obj, old):
        want = f"{obj['spec']['names']['plural']}.{obj['spec']['group']}"
        if obj["metadata"]["name"] != want:
            yield ("metadata.name", "Invalid value",
                   f'"{obj["metadata"]["name"]}": must be spec.names.plural+"."+spec.group')


class Custom(Plain):
    @staticmethod
    def decode(res, obj):
        if res.schema:
            core = {k: obj.pop(k) for k in ("apiVersion", "kind", "metadata") if k in obj}
            body = schemas.prune(obj, res.schema)
            obj.clear()
            obj.update(core, **body)
            schemas.default(obj, res.schema)

    @staticmethod
    def prepare_status(obj, old):
        """Of a custom resource, /status changes status and nothing else: no labels, no annotations."""
        status, meta = obj.get("status"), obj["metadata"]
        kept = {k: v for k, v in old.items() if k != "status"}
        obj.clear()
        obj.update(kept)
        obj["metadata"] = dict(old["metadata"])
        for name in ("resourceVersion", "uid"):  # these still guard the write
            if name in meta:
                obj["metadata"][name] = meta[name]
        if status is not None:
            obj["status"] = status

    @staticmethod
    def validate(res, obj):
        return schemas.problems(obj, res.schema) if res.schema else ()
