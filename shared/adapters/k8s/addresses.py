"""Where a client reaches a database, read off its Service, its pod, and where its Service leads."""

from collections.abc import Iterable

from shared.adapters.k8s.api import Object
from shared.manifests.database import ADDRESS, name
from shared.manifests.mariadb import PORT, AddressKind

TYPES = {"NodePort": AddressKind.NODE_PORT, "LoadBalancer": AddressKind.LOAD_BALANCER}


def kind_of(service: Object) -> AddressKind:
    """The kind of address its database was last started with, whatever is set by now."""
    marked = (service["metadata"].get("annotations") or {}).get(ADDRESS, "")
    if marked in AddressKind:
        return AddressKind(marked)
    return TYPES.get(service["spec"].get("type", ""), AddressKind.CLUSTER_IP)


def address(service: Object | None, pod: Object | None, domain: str = "cluster.local") -> str:
    """`host:port`, or "" while nobody knows it; `pod` is the one that is not on its way out.

    A node port answers on the node of the pod only (`externalTrafficPolicy: Local`, so that the
    network policy sees the client's own address); its host changes when the pod moves.
    """
    if service is None:
        return ""
    spec = service["spec"]
    match kind_of(service):
        case AddressKind.CLUSTER_IP:
            return _join(spec.get("clusterIP", ""), PORT)
        case AddressKind.DNS:
            metadata = service["metadata"]
            return _join(f"{metadata['name']}.{metadata['namespace']}.svc.{domain}", PORT)
        case AddressKind.NODE_PORT:
            host = pod.get("status", {}).get("hostIP", "") if pod is not None else ""
            return _join(host, spec["ports"][0].get("nodePort", 0))
        case AddressKind.LOAD_BALANCER:
            entries = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
            return _join(entries[0].get("ip") or entries[0].get("hostname", ""), PORT)


def slices_of(generation: str) -> str:
    """The labels of the slices that say where the Service of a life leads."""
    return f"kubernetes.io/service-name={name(generation)}"


def led_to(slices: Iterable[Object], pod: Object) -> bool:
    """Whether they lead to this pod, at a port: without that an address refuses whoever comes.

    They do long before a server is up, unless their controller was away, or a task's pod was there before.
    """
    return any(
        one.get("ports") and endpoint.get("targetRef", {}).get("uid") == pod["metadata"]["uid"]
        for one in slices
        for endpoint in one.get("endpoints") or ()
    )


def _join(host: str, port: int) -> str:
    if not host or not port:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
