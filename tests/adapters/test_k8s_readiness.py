"""What a life's objects say: literal objects in, a status out."""

import pytest

from shared.adapters.k8s.addresses import address
from shared.adapters.k8s.readiness import View, judge
from shared.manifests.database import ADDRESS

STARTED = "2030-01-01T12:00:00Z"


def workload(replicas: int = 1, observed: int = 2) -> dict:
    fields = [
        {"manager": "playground", "operation": "Update", "time": STARTED},
        {"manager": "kube-controller-manager", "operation": "Update", "time": "2030-01-01T13:00:00Z"},
    ]
    return {
        "metadata": {"name": "pg-x", "uid": "workload-uid", "generation": 2, "managedFields": fields},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": observed},
    }


def service(marked: str = "cluster-ip", **spec: object) -> dict:
    metadata = {"name": "pg-x", "namespace": "playground", "annotations": {ADDRESS: marked}}
    return {"metadata": metadata, "spec": {"clusterIP": "10.0.0.7", **spec}}


def pod(started: bool = True, container: str = "containerd://0123456789abcdef", **metadata: object) -> dict:
    status = {"containerID": container, "state": {"running": {}}, "started": started}
    return {
        "metadata": {"name": "pg-x-0", "uid": "pod-uid", **metadata},
        "status": {"hostIP": "192.0.2.1", "containerStatuses": [status]},
    }


def slices(*pods: str, ports: bool = True) -> dict:
    endpoints = [{"addresses": ["192.0.2.7"], "targetRef": {"kind": "Pod", "uid": uid}} for uid in pods]
    return {"pg-x-1": {"endpoints": endpoints, "ports": [{"name": "mysql", "port": 3306}] if ports else None}}


def complaint(at: str, uid: str = "workload-uid") -> dict:
    involved = {"kind": "StatefulSet", "name": "pg-x", "uid": uid}
    return {"reason": "FailedCreate", "message": "exceeded quota: q", "lastTimestamp": at, "involvedObject": involved}


def view(**parts: object) -> View:
    return View(**({"workload": workload(), "service": service(), "slices": slices("pod-uid")} | parts))  # type: ignore[arg-type]


def status(of: View):
    return judge(of)


def test_a_ready_pod_of_a_settled_workload_is_ready():
    now = status(view(pods={"pg-x-0": pod()}))
    assert (now.ready, now.server, now.address) == (True, "pod-uid/0123456789ab", "10.0.0.7:3306")


def test_a_pod_that_the_controller_may_still_take_away_is_not_ready():
    assert not status(view(workload=workload(observed=1), pods={"pg-x-0": pod()})).ready


def test_a_pod_on_its_way_out_is_counted_but_not_ready():
    now = status(view(pods={"pg-x-0": pod(deletionTimestamp="2030-01-01T12:00:00Z")}))
    assert (now.pods, now.ready, now.server) == (1, False, "")


def test_a_ready_pod_of_a_stopped_workload_is_not_ready():
    assert not status(view(workload=workload(replicas=0), pods={"pg-x-0": pod()})).ready


@pytest.mark.parametrize(
    "leading",
    [
        pytest.param({}, id="nobody said where it leads"),
        pytest.param({"pg-x-1": {"endpoints": None, "ports": None}}, id="nowhere"),
        pytest.param(slices("pod-before"), id="to a pod before it"),
        pytest.param(slices("pod-uid", ports=False), id="to no port"),
        pytest.param({"pg-x-1": {"endpoints": [{"addresses": ["192.0.2.7"]}], "ports": [{}]}}, id="to no pod"),
    ],
)
def test_a_server_to_which_its_address_does_not_lead_is_not_ready(leading):
    now = status(view(pods={"pg-x-0": pod()}, slices=leading))
    assert (now.ready, now.failure) == (False, ""), "it passes by itself"
    assert now.server == "pod-uid/0123456789ab"


def test_a_server_is_ready_whichever_of_its_address_s_slices_leads_to_it():
    leading = {"pg-x-0": {"endpoints": None, "ports": None}} | slices("another", "pod-uid")
    assert status(view(pods={"pg-x-0": pod()}, slices=leading)).ready


def test_a_new_container_in_the_same_pod_is_another_server():
    first, second = (status(view(pods={"pg-x-0": pod(container=f"containerd://{c * 64}")})).server for c in "ab")
    assert first != second


def test_a_server_that_says_so_itself_is_ready_before_kubelet_notices():
    running = {"pg-x-0": pod(started=False)}
    assert not status(view(pods=running)).ready
    assert status(view(pods=running, answered="pod-uid/0123456789ab")).ready


def test_an_answer_of_an_earlier_start_says_nothing():
    assert not status(view(pods={"pg-x-0": pod(started=False)}, answered="pod-uid/earlier")).ready


def test_a_container_that_stopped_is_not_ready_whatever_it_was():
    stopped = pod()
    stopped["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 1}}
    assert not status(view(pods={"pg-x-0": stopped})).ready


def test_a_complaint_younger_than_the_start_is_why():
    now = status(view(events={"e": complaint("2030-01-01T12:00:01Z")}))
    assert now.failure == "the cluster does not take the pod: exceeded quota: q"


@pytest.mark.parametrize("at", ["2030-01-01T11:59:59Z", STARTED])
def test_a_complaint_of_before_the_start_says_nothing(at):
    assert status(view(events={"e": complaint(at)})).failure == ""


def test_a_complaint_that_appeared_while_we_watched_counts_whatever_its_second():
    assert status(view(events={"e": complaint(STARTED)}, news=frozenset({"e"}))).failure != ""


def test_a_complaint_about_an_earlier_workload_of_the_name_says_nothing():
    assert status(view(events={"e": complaint("2030-01-01T12:00:01Z", uid="earlier")})).failure == ""


def test_a_complaint_says_nothing_once_the_pod_is_there():
    assert status(view(events={"e": complaint("2030-01-01T12:00:01Z")}, pods={"p": pod(started=False)})).failure == ""


@pytest.mark.parametrize(
    ("reason", "message", "sentence"),
    [
        ("ErrImagePull", "not found", "the image cannot be pulled: not found"),
        ("ImagePullBackOff", "", "the image cannot be pulled"),
        ("InvalidImageName", "bad", "the image's name is not valid: bad"),
        ("CreateContainerConfigError", 'secret "pg-x" not found',
         'the container cannot be configured: secret "pg-x" not found'),
        ("ContainerCreating", "", ""),
        ("PodInitializing", "", ""),
    ],
)  # fmt: skip
def test_what_a_container_waits_for_is_said_where_it_does_not_pass(reason, message, sentence):
    waiting = pod(started=False)
    waiting["status"]["containerStatuses"] = [{"state": {"waiting": {"reason": reason, "message": message}}}]
    assert status(view(pods={"p": waiting})).failure == sentence


def test_a_server_that_keeps_stopping_tells_its_exit_code():
    crashing = pod(started=False)
    crashing["status"]["containerStatuses"] = [
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}},
            "lastState": {"terminated": {"exitCode": 137}},
        }
    ]
    assert status(view(pods={"p": crashing})).failure == "the database server keeps stopping: exit code 137"


def test_a_long_message_is_cut_and_put_on_one_line():
    full = pod(started=False)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "a\nb " * 500}
    full["status"]["conditions"] = [condition]
    failure = status(view(pods={"p": full})).failure
    assert failure.startswith("no node has room for it: a b a b")
    assert len(failure) == 300


PORTS = [{"nodePort": 30001}]


@pytest.mark.parametrize(
    ("marked", "spec", "expected"),
    [
        ("cluster-ip", {}, "10.0.0.7:3306"),
        ("cluster-ip", {"clusterIP": "fd00::7"}, "[fd00::7]:3306"),
        ("dns", {}, "pg-x.playground.svc.cluster.local:3306"),
        ("node-port", {"ports": PORTS}, "192.0.2.1:30001"),
        ("node-port", {"ports": [{}]}, ""),
        ("load-balancer", {}, ""),
        ("", {"type": "NodePort", "ports": PORTS}, "192.0.2.1:30001"),
        ("", {"type": "ClusterIP"}, "10.0.0.7:3306"),
        ("a kind of tomorrow", {"type": "LoadBalancer"}, ""),
    ],
)
def test_an_address_is_read_off_service_and_pod(marked, spec, expected):
    assert address(service(marked, **spec), pod()) == expected


def test_a_node_s_address_is_not_known_while_no_pod_is_on_it():
    assert address(service("node-port", ports=PORTS), None) == ""
    unscheduled = {"metadata": {"name": "pg-x-0"}, "status": {}}
    assert address(service("node-port", ports=PORTS), unscheduled) == ""


def test_a_node_s_address_is_that_of_the_pod_that_stays():
    leaving, staying = pod(deletionTimestamp="2030-01-01T12:00:00Z"), pod()
    staying["status"]["hostIP"] = "192.0.2.2"
    now = status(view(service=service("node-port", ports=PORTS), pods={"leaving": leaving, "staying": staying}))
    assert (now.address, now.ready) == ("192.0.2.2:30001", True)
    assert status(view(service=service("node-port", ports=PORTS), pods={"leaving": leaving})).address == ""


@pytest.mark.parametrize("entry", [{"ip": "203.0.113.7"}, {"hostname": "203.0.113.7"}])
def test_a_balancer_is_known_by_address_or_name(entry):
    balanced = service("load-balancer") | {"status": {"loadBalancer": {"ingress": [entry]}}}
    assert address(balanced, None) == "203.0.113.7:3306"
