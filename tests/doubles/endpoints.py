"""The controller that says where a Service leads: to each pod that it selects, once that has an address."""

from typing import TYPE_CHECKING

from shared.adapters.k8s.api import Object
from shared.manifests.tasks import TASK

if TYPE_CHECKING:
    from tests.doubles.kubernetes import Kubernetes


def lead(cluster: "Kubernetes", service: Object) -> bool:
    """Write the slice of this Service; False where it says so already."""
    name = f"{service['metadata']['name']}-slice"
    pods = [pod for pod in cluster.find("Pod") if _leads(service, pod)]
    # A task has no port of the name that the Service wants.
    open_at = any(TASK not in pod["metadata"]["labels"] for pod in pods)
    wanted = {
        "endpoints": [
            {"addresses": [pod["status"]["podIP"]], "targetRef": {"kind": "Pod", "uid": pod["metadata"]["uid"]}}
            for pod in pods
        ],
        "ports": [{"name": "mysql", "port": 3306}] if open_at else [],
    }
    found = cluster.objects.get(("EndpointSlice", name))
    if found is None:
        metadata = service["metadata"]
        owner = {"kind": "Service", "name": metadata["name"], "uid": metadata["uid"]}
        labels = {"kubernetes.io/service-name": metadata["name"]}
        new = {"name": name, "uid": f"slice-of-{metadata['uid']}", "labels": labels, "ownerReferences": [owner]}
        cluster.store({"kind": "EndpointSlice", "metadata": new} | wanted, "ADDED")
        return True
    if found["endpoints"] == wanted["endpoints"] and found["ports"] == wanted["ports"]:
        return False
    cluster.store(found | wanted)
    return True


def _leads(service: Object, pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    wanted = service["spec"]["selector"].items()
    return "podIP" in pod["status"] and all(labels.get(key) == value for key, value in wanted)
