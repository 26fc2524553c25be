"""Kubernetes' controllers in memory, each as small as what depends on it here.

StatefulSets make and take their pod, kubelet starts and ends it, Services lead to it, the garbage
collector takes what an owner left, and a claim in use stays until no pod uses it.
"""

from typing import TYPE_CHECKING

from shared.adapters.k8s.api import Object
from shared.manifests import database
from shared.manifests.probe import CALLER
from shared.manifests.tasks import TASK
from tests.doubles import endpoints, tasks
from tests.doubles.mariadb import Server

if TYPE_CHECKING:
    from tests.doubles.kubernetes import Kubernetes


class Controllers:
    """All of them; what a test wants to go wrong is said here.

    `refuse_pods`: what the API server says to a StatefulSet's pod ("" takes it). `waiting`: reason
    and message why a container does not run. `full`: why no node has room. `asleep`: kubelet does
    nothing, so that pods neither start nor end. `unled`: nobody says where Services lead. `unnoticed`:
    kubelet has not noticed yet that a server runs. `policies`: network policies are enforced.
    `broken_tasks`: why what stores or fetches archives fails.
    `pod_network`: pods reach each other. `node`: the address of the node that pods start on.
    """

    def __init__(self, cluster: "Kubernetes"):
        self._cluster = cluster
        self.refuse_pods = ""
        self.waiting: tuple[str, str] | None = None
        self.full = ""
        self.asleep = False
        self.unled = False
        self.unnoticed = False
        self.broken_tasks = ""
        self.policies = True
        self.pod_network = True
        self.node = "192.0.2.1"
        self._events = 0
        self._containers = 0
        self._refused: set[tuple[str, str]] = set()

    def step(self) -> bool:
        """One change by one of them."""
        return (
            any(self._stateful_set(item) for item in self._cluster.find("StatefulSet"))
            or (not self.asleep and any(self._kubelet(item) for item in self._cluster.find("Pod")))
            or (not self.unled and any(endpoints.lead(self._cluster, item) for item in self._cluster.find("Service")))
            or any(self._garbage(item) for item in list(self._cluster.objects.values()))
            or any(self._protection(item) for item in self._cluster.find("PersistentVolumeClaim"))
        )

    def server(self, generation: str) -> Server:
        """The running server of a life. Raises LookupError."""
        pod = self._cluster.objects.get(("Pod", f"{database.name(generation)}-0"))
        if pod is None or pod["metadata"]["uid"] not in self._cluster.servers:
            raise LookupError(f"no server of {generation} runs")
        return self._cluster.servers[pod["metadata"]["uid"]]

    def notice(self, generation: str) -> None:
        """Kubelet notices that the server runs."""
        pod = self._cluster.objects["Pod", f"{database.name(generation)}-0"]
        status = {**pod["status"], "conditions": [{"type": "Ready", "status": "True"}]}
        self._put(pod, status | {"containerStatuses": [status["containerStatuses"][0] | {"started": True}]})

    def restart(self, generation: str) -> None:
        """The container ends and starts again: connections and counters are gone."""
        pod = self._cluster.objects["Pod", f"{database.name(generation)}-0"]
        self._run(pod)

    def _stateful_set(self, item: Object) -> bool:
        metadata, name = item["metadata"], f"{item['metadata']['name']}-0"
        if item["status"].get("observedGeneration") != metadata["generation"]:
            item["status"]["observedGeneration"] = metadata["generation"]
            self._cluster.store(item)
            return True
        pod = self._cluster.objects.get(("Pod", name))
        if item["spec"]["replicas"] == 0:
            if pod is None or "deletionTimestamp" in pod["metadata"]:
                return False
            self._cluster.remove(pod)
            return True
        return pod is None and self._make_pod(item, name)

    def _make_pod(self, item: Object, name: str) -> bool:
        metadata = item["metadata"]
        if self.refuse_pods:
            key = (metadata["uid"], metadata["resourceVersion"])
            if key in self._refused:
                return False
            self._refused.add(key)
            message = f"create Pod {name} in StatefulSet {metadata['name']} failed error: {self.refuse_pods}"
            self._event(item, "FailedCreate", message)
            return True
        self._containers += 1
        template = item["spec"]["template"]
        owner = {"kind": "StatefulSet", "name": metadata["name"], "uid": metadata["uid"]}
        pod = {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "uid": f"pod-{self._containers}",
                "labels": dict(template["metadata"]["labels"]),
                "annotations": dict(template["metadata"].get("annotations") or {}),
                "ownerReferences": [owner],
                "creationTimestamp": self._cluster.now(),
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }
        self._cluster.store(pod, "ADDED")
        return True

    def _kubelet(self, pod: Object) -> bool:
        metadata, status = pod["metadata"], pod["status"]
        if "deletionTimestamp" in metadata:
            self._cluster.servers.pop(metadata["uid"], None)
            self._cluster.store(pod, "DELETED")
            return True
        if status["phase"] == "Running":
            return False
        if "command" in pod["spec"]["containers"][0] and TASK not in metadata["labels"]:
            return self._call(pod)
        claim = self._claim(pod)
        full = self.full or ("" if claim is not None else "persistentvolumeclaim not found")
        if full:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": full}
            return self._put(pod, {"phase": "Pending", "conditions": [condition]})
        if self.waiting:
            state = {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
            return self._put(pod, {"phase": "Pending", "containerStatuses": [{"name": "mariadb", "state": state}]})
        if status_of_task := tasks.run(self._cluster, pod, self.broken_tasks):
            return self._put(pod, status_of_task)
        self._run(pod)
        return True

    def _run(self, pod: Object) -> None:
        claim = self._claim(pod)
        assert claim is not None
        self._containers += 1
        self._cluster.servers[pod["metadata"]["uid"]] = Server(self._cluster.volumes[claim["metadata"]["uid"]])
        container = {
            "name": "mariadb",
            "containerID": f"containerd://{self._containers:012d}",
            "state": {"running": {}},
            "started": not self.unnoticed,
        }
        self._put(
            pod,
            {
                "phase": "Running",
                "hostIP": self.node,
                "podIP": "192.0.2.100",
                "conditions": [{"type": "Ready", "status": str(not self.unnoticed)}],
                "containerStatuses": [container],
            },
        )

    def _call(self, pod: Object) -> bool:
        """A pod of the probe: its client's last words."""
        through = self.pod_network and (not self.policies or pod["metadata"]["labels"].get(CALLER) == "true")
        words = "ERROR 1045 (28000): Access denied" if through else "ERROR 2002 (HY000): Can't connect (110)"
        state = {"terminated": {"exitCode": 1, "message": words}}
        return self._put(pod, {"phase": "Pending", "containerStatuses": [{"name": "mariadb", "state": state}]})

    def _put(self, pod: Object, status: Object) -> bool:
        if pod["status"] == status:
            return False
        pod["status"] = status
        self._cluster.store(pod)
        return True

    def _claim(self, pod: Object) -> Object | None:
        claim = self._cluster.objects.get(("PersistentVolumeClaim", _claim_name(pod)))
        return None if claim is None or "deletionTimestamp" in claim["metadata"] else claim

    def _garbage(self, item: Object) -> bool:
        owners = item["metadata"].get("ownerReferences") or []
        alive = {other["metadata"].get("uid") for other in self._cluster.objects.values()}
        if not owners or "deletionTimestamp" in item["metadata"] or any(o["uid"] in alive for o in owners):
            return False
        self._cluster.remove(item)
        return True

    def _protection(self, claim: Object) -> bool:
        metadata = claim["metadata"]
        if "deletionTimestamp" not in metadata:
            return False
        if any(_claim_name(pod) == metadata["name"] for pod in self._cluster.find("Pod")):
            return False
        metadata["finalizers"] = []
        self._cluster.lose_volume(claim)
        return True

    def _event(self, item: Object, reason: str, message: str) -> None:
        self._events += 1
        metadata = item["metadata"]
        event = {
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{self._events}", "uid": f"event-{self._events}"},
            "involvedObject": {"kind": item["kind"], "name": metadata["name"], "uid": metadata["uid"]},
            "reason": reason,
            "message": message,
            "lastTimestamp": self._cluster.now(),
        }
        self._cluster.store(event, "ADDED")


def _claim_name(pod: Object) -> str:
    for volume in pod["spec"].get("volumes", ()):
        if "persistentVolumeClaim" in volume:
            return str(volume["persistentVolumeClaim"]["claimName"])
    return ""
