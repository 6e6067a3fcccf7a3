"""Services: cluster addresses, node ports, and the rules of load balancer fields."""
import ipaddress

import strategies


def has_cluster_ip(spec):
    return spec["type"] != "ExternalName" and spec.get("clusterIP") != "None"


def wants_node_ports(spec):
    return spec["type"] == "NodePort" or (
        spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))


def wants_health_port(spec):
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec):
    return spec["type"] in ("NodePort", "LoadBalancer")


class Service(strategies.Plain):
    @staticmethod
    def prepare(obj, old, cluster):
        spec = obj.setdefault("spec", {})
        defaults(spec)
        strategies.keep_status(obj, old, {"loadBalancer": {}})
        if old is not None:
            carry_over(spec, old["spec"])
            drop_for_type(spec, old["spec"])
            if spec["type"] != "LoadBalancer":
                obj["status"] = {**obj["status"], "loadBalancer": {}}
        if cluster:
            allocate_addresses(spec, old and old["spec"], cluster)
            allocate_ports(spec, cluster)
        default_ip_mode(obj)

    @staticmethod
    def prepare_status(obj, old):
        balancer = obj.setdefault("status", {}).setdefault("loadBalancer", {})
        if not balancer.get("ingress"):  # omitempty
            balancer.pop("ingress", None)
        default_ip_mode(obj)
        strategies.Plain.prepare_status(obj, old)

    @staticmethod
    def problems(obj, old):
        spec = obj["spec"]
        yield from spec_problems(spec)
        if old is not None:
            yield from change_problems(spec, old["spec"])
        yield from ingress_problems(obj)


def defaults(spec):
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if is_external(spec):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def carry_over(spec, old):
    """Allocated values the client left out of an update stay as they were."""
    if has_cluster_ip(spec) and has_cluster_ip(old):
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(name) and old.get(name):
                spec[name] = old[name]
    if wants_node_ports(spec) and wants_node_ports(old):
        known = {port.get("name", ""): port.get("nodePort") for port in old.get("ports") or ()}
        for port in spec.get("ports") or ():
            if not port.get("nodePort") and known.get(port.get("name", "")):
                port["nodePort"] = known[port.get("name", "")]
    if wants_health_port(spec) and wants_health_port(old) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]


def drop_for_type(spec, old):
    """A type change wipes the fields that only made sense before, when the client left them untouched."""
    def drop(name):
        if spec.get(name) == old.get(name):
            spec.pop(name, None)

    if has_cluster_ip(old) and not has_cluster_ip(spec) and spec["type"] == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            drop(name)
    # an explicit allocateLoadBalancerNodePorts=false keeps existing ports, only a type change releases them
    if is_external(old) and not is_external(spec):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
        drop("externalTrafficPolicy")
    if wants_health_port(old) and not wants_health_port(spec):
        drop("healthCheckNodePort")
    if old["type"] == "LoadBalancer" and spec["type"] != "LoadBalancer":
        drop("allocateLoadBalancerNodePorts")
        drop("loadBalancerClass")


def allocate_addresses(spec, old, cluster):
    if spec["type"] == "ExternalName":
        return
    own = list(cluster.ranges)
    policy = spec.setdefault("ipFamilyPolicy", "SingleStack")
    families = spec.get("ipFamilies") or [own[0]]
    if policy in ("PreferDualStack", "RequireDualStack"):
        families = families + [family for family in own if family not in families]
    spec["ipFamilies"] = families[:2] if policy != "SingleStack" else families[:1]
    if spec.get("clusterIP") == "None":
        spec["clusterIPs"] = ["None"]
        return
    if old and old["type"] != "ExternalName" and not spec.get("clusterIP"):
        return  # made by a PUT to /status, it never got any
    have = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    have = have[:len(spec["ipFamilies"])]
    for family in spec["ipFamilies"][len(have):]:
        if family in cluster.ranges:  # otherwise validation has the word
            have = have + [cluster.free_ip(family)]
    if have:
        spec["clusterIPs"], spec["clusterIP"] = have, have[0]


def allocate_ports(spec, cluster):
    used = set()
    if wants_node_ports(spec):
        for port in spec.get("ports") or ():
            while not port.get("nodePort") or port["nodePort"] in used:
                port["nodePort"] = cluster.free_port()
            used.add(port["nodePort"])
    if wants_health_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = cluster.free_port()


def default_ip_mode(obj):
    """Defaulting happens on decode, so it touches whatever is in status whenever the type sent is LoadBalancer."""
    if (obj.get("spec") or {}).get("type") != "LoadBalancer":
        return
    for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def spec_problems(spec):
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec["type"] not in kinds:
        names = ", ".join(f'"{kind}"' for kind in kinds)
        yield "spec.type", "Unsupported value", f'"{spec["type"]}": supported values: {names}'
    if not spec.get("ports") and has_cluster_ip(spec):
        yield "spec.ports", "Required value", ""
    if spec.get("ipFamilyPolicy") == "RequireDualStack" and len(spec.get("clusterIPs") or ()) < 2:
        yield ("spec.ipFamilyPolicy", "Invalid value",
               '"RequireDualStack": this cluster is not configured for dual-stack services')
    if spec.get("loadBalancerClass") and spec["type"] != "LoadBalancer":
        yield "spec.loadBalancerClass", "Forbidden", "may only be used when `type` is 'LoadBalancer'"
    if spec.get("allocateLoadBalancerNodePorts") is not None and spec["type"] != "LoadBalancer":
        yield "spec.allocateLoadBalancerNodePorts", "Forbidden", "may only be used when `type` is 'LoadBalancer'"
    if spec.get("externalTrafficPolicy") and not is_external(spec):
        yield ("spec.externalTrafficPolicy", "Invalid value",
               f'"{spec["externalTrafficPolicy"]}": may only be set for externally-accessible services')


def change_problems(spec, old):
    both_balancers = spec["type"] == old["type"] == "LoadBalancer"
    if both_balancers and spec.get("loadBalancerClass") != old.get("loadBalancerClass"):
        value = f'"{spec["loadBalancerClass"]}"' if spec.get("loadBalancerClass") else "null"
        yield "spec.loadBalancerClass", "Invalid value", f"{value}: may not change once set"
    if has_cluster_ip(old) and has_cluster_ip(spec) and old.get("clusterIP") != spec.get("clusterIP"):
        yield "spec.clusterIPs[0]", "Invalid value", f'["{spec.get("clusterIP")}"]: may not change once set'


def ingress_problems(obj):
    ingresses = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if ingresses and obj["spec"]["type"] != "LoadBalancer":
        yield ("status.loadBalancer.ingress", "Forbidden",
               "may only be used when `spec.type` is \"LoadBalancer\"")
    for index, ingress in enumerate(ingresses):
        path = f"status.loadBalancer.ingress[{index}]"
        ip, mode = ingress.get("ip"), ingress.get("ipMode")
        if ip:
            try:
                ipaddress.ip_address(ip)
            except ValueError:
                yield path + ".ip", "Invalid value", f'"{ip}": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
            if not mode:
                yield path + ".ipMode", "Required value", "must be specified when `ip` is set"
        elif mode:
            yield path + ".ipMode", "Forbidden", "may not be specified when `ip` is not set"
        if mode and mode not in ("VIP", "Proxy"):
            yield path + ".ipMode", "Unsupported value", f'"{mode}": supported values: "Proxy", "VIP"'
