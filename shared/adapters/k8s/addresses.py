"""Where a client reaches a database, read off its Service and its pod."""

from collections.abc import Iterable

from shared.adapters.k8s.api import Object
from shared.manifests.mariadb import PORT, AddressKind


def address(kind: AddressKind, service: Object | None, pods: Iterable[Object], domain: str = "cluster.local") -> str:
    """`host:port`, or "" while nobody knows it.

    A node port answers on the node of the pod only (`externalTrafficPolicy: Local`, so that the
    network policy sees the client's own address); it is stable where the pod cannot move.
    """
    if service is None:
        return ""
    spec = service["spec"]
    match kind:
        case AddressKind.CLUSTER_IP:
            return _join(spec.get("clusterIP", ""), PORT)
        case AddressKind.DNS:
            metadata = service["metadata"]
            return _join(f"{metadata['name']}.{metadata['namespace']}.svc.{domain}", PORT)
        case AddressKind.NODE_PORT:
            hosts = [pod["status"]["hostIP"] for pod in pods if pod.get("status", {}).get("hostIP")]
            return _join(hosts[0] if hosts else "", spec["ports"][0].get("nodePort", 0))
        case AddressKind.LOAD_BALANCER:
            entries = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
            return _join(entries[0].get("ip") or entries[0].get("hostname", ""), PORT)


def _join(host: str, port: int) -> str:
    if not host or not port:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
