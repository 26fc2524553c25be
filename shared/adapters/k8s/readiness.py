"""What a life's objects say about it: ready, or why not. Pure; `databases` reads and watches them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.adapters.k8s.addresses import address, led_to
from shared.adapters.k8s.api import Object
from shared.manifests import database
from shared.manifests.tasks import TASK
from shared.ports.cluster import Status

MANAGER = "playground"  # our name in managedFields

CRASHES = "CrashLoopBackOff"
# What a container's `waiting.reason` may be that does not pass by itself.
WAITING = {
    "ErrImagePull": "the image cannot be pulled",
    "ImagePullBackOff": "the image cannot be pulled",
    "ErrImageNeverPull": "the image cannot be pulled",
    "InvalidImageName": "the image's name is not valid",
    "CreateContainerConfigError": "the container cannot be configured",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be run",
    CRASHES: "the database server keeps stopping",
}


@dataclass(slots=True)
class View:
    """The objects of one life.

    `news` names the events that appeared while we watched, `answered` the start of a server that has
    told us itself that it takes connections: kubelet notices up to two seconds later.
    """

    workload: Object | None = None
    volume: Object | None = None
    service: Object | None = None
    slices: Mapping[str, Object] = field(default_factory=dict)
    pods: Mapping[str, Object] = field(default_factory=dict)
    events: Mapping[str, Object] = field(default_factory=dict)
    news: frozenset[str] = frozenset()
    answered: str = ""


def judge(view: View, domain: str = "cluster.local") -> Status:
    """The status. Ready needs a controller that knows what is wanted, which then takes no pod away, and a way to it."""
    pod = standing(view.pods.values())
    status = Status(
        exists=view.workload is not None,
        pods=len(view.pods),
        volume=view.volume["metadata"]["uid"] if view.volume else "",
        address=address(view.service, pod, domain),
    )
    if view.workload is None:
        return status
    step = (view.workload["metadata"].get("annotations") or {}).get(database.STEP, "0")
    status = replace(
        status, replicas=view.workload["spec"].get("replicas", 1), step=int(step) if step.isdecimal() else 0
    )
    if status.replicas == 0:
        return status
    if pod is None:
        return replace(status, failure=_refused(view) if not view.pods else "")
    if not started(pod) and (not view.answered or view.answered != server(pod)):
        return replace(status, failure=waiting(pod) or unschedulable(pod))
    ready = observed(view.workload) and status.address != "" and led_to(view.slices.values(), pod)
    return replace(status, ready=ready, server=server(pod))


def observed(workload: Object) -> bool:
    """Whether its controller knows what is wanted of it."""
    return bool(workload.get("status", {}).get("observedGeneration") == workload["metadata"]["generation"])


def standing(pods: Iterable[Object]) -> Object | None:
    """The pod that is not on its way out."""
    return next((pod for pod in pods if "deletionTimestamp" not in pod["metadata"]), None)


def server(pod: Object) -> str:
    """Names this start of the server: another container is another start, even in the same pod."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("containerID"):
            return f"{pod['metadata']['uid']}/{container['containerID'].rpartition('/')[2][:12]}"
    return ""


def running(pod: Object) -> bool:
    """Whether the server's container runs, so that it can be asked."""
    return TASK not in (pod["metadata"].get("labels") or {}) and _runs(pod)


def _runs(pod: Object) -> bool:
    return any(
        "running" in container.get("state", {}) for container in pod.get("status", {}).get("containerStatuses", ())
    )


def started(pod: Object) -> bool:
    """Whether kubelet knows that the server takes connections (see `manifests.mariadb.STARTED`).

    Not the condition Ready: that follows half a second later and says no more. A task's pod serves nobody.
    """
    return TASK not in (pod["metadata"].get("labels") or {}) and up(pod)


def up(pod: Object) -> bool:
    """Whether all containers run and have passed their startup probes."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return _runs(pod) and all(container.get("started") for container in statuses)


def waiting(pod: Object, *, crashes: bool = True) -> str:
    """What keeps a container from running, if it does not pass by itself; that it keeps stopping, if `crashes`."""
    for container in containers(pod):
        state = container.get("state", {}).get("waiting", {})
        if state.get("reason") in WAITING and (crashes or state["reason"] != CRASHES):
            code = container.get("lastState", {}).get("terminated", {}).get("exitCode")
            detail = state.get("message", "") if code is None else f"exit code {code}"
            return sentence(WAITING[state["reason"]], detail)
    return ""


def containers(pod: Object) -> Iterator[Object]:
    """What is told of each, those that come first included."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def unschedulable(pod: Object) -> str:
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
        return sentence("no node has room for it", condition.get("message", ""))
    return ""


def sentence(what: str, detail: str) -> str:
    """At most 300 characters on one line. Kubernetes' messages name objects and amounts, no secrets."""
    return " ".join(f"{what}: {detail}".split())[:300] if detail else what


def seconds(timestamp: str | None) -> float:
    """An RFC 3339 instant as seconds since the epoch; 0 if there is none."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0


def _condition(pod: Object, kind: str) -> Object:
    conditions: list[Object] = pod.get("status", {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _refused(view: View) -> str:
    """Why the controller cannot make the pod: its newest complaint, if it is younger than this start.

    Both instants are the control plane's own, in whole seconds: within the second of the start only
    what appeared while we watched counts (the controller repeats itself, so that nothing is missed).
    """
    assert view.workload is not None
    metadata = view.workload["metadata"]
    ours = [entry for entry in metadata.get("managedFields", ()) if entry.get("manager") == MANAGER]
    started = max((seconds(entry.get("time")) for entry in ours), default=0.0)
    complaints = [
        (_when(event), event.get("message", ""))
        for name, event in view.events.items()
        if event.get("reason") == "FailedCreate"
        and event.get("involvedObject", {}).get("uid") == metadata["uid"]
        and (name in view.news or _when(event) > started)
    ]
    return sentence("the cluster does not take the pod", max(complaints)[1]) if complaints else ""


def _when(event: Object) -> float:
    series = event.get("series") or {}
    return max(seconds(event.get("lastTimestamp")), seconds(event.get("eventTime")),
               seconds(series.get("lastObservedTime")))  # fmt: skip
