"""What a tenant of the cluster does all day: pods, jobs, limits, names, watching, deleting."""

import contextlib

import pytest
from harness import IMAGES, NAMESPACE, Api, Cluster, busybox, http, until
from kubernetes import client, watch

PODS = 20


@pytest.fixture
def quota(admin: Api):
    """A namespace with room for one pod."""
    name = "quota"
    admin.core.create_namespace({"metadata": {"name": name}})
    hard = {"pods": "1", "limits.memory": "128Mi", "requests.cpu": "1"}
    admin.core.create_namespaced_resource_quota(name, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    limit = {
        "type": "Container",
        "default": {"memory": "64Mi", "cpu": "100m"},
        "defaultRequest": {"memory": "16Mi", "cpu": "10m"},
    }
    admin.core.create_namespaced_limit_range(name, {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
    until(lambda: admin.core.read_namespaced_resource_quota("q", name).status.hard)
    until(lambda: admin.core.read_namespaced_service_account("default", name))
    yield name
    admin.core.delete_namespace(name)


def test_a_job_completes(robot: Api) -> None:
    job = {"metadata": {"name": "j"}, "spec": {"template": {"spec": busybox("x", ["echo", "done"])["spec"]}}}
    robot.batch.create_namespaced_job(NAMESPACE, job)
    until(lambda: robot.batch.read_namespaced_job("j", NAMESPACE).status.succeeded)
    robot.batch.delete_namespaced_job("j", NAMESPACE, propagation_policy="Background")


def test_a_container_over_its_memory_limit_is_killed(robot: Api) -> None:
    pod, _ = robot.run_pod(busybox("oom", ["sh", "-c", "x=a; while :; do x=$x$x; done"], memory="32Mi"))
    assert pod.status.container_statuses[0].state.terminated.reason == "OOMKilled"


def test_an_image_that_is_nowhere_fails_soon(robot: Api) -> None:
    pod = busybox("noimage", ["x"])
    pod["spec"]["containers"][0]["image"] = "registry.example/none:1"
    robot.core.create_namespaced_pod(NAMESPACE, pod)

    def failed() -> bool:
        statuses = robot.core.read_namespaced_pod("noimage", NAMESPACE).status.container_statuses
        waiting = statuses and statuses[0].state.waiting
        return bool(waiting) and waiting.reason in ("ErrImagePull", "ImagePullBackOff")

    until(failed, 20)
    robot.delete_pod("noimage")


def test_pod_security_refuses_the_network_of_the_node(robot: Api) -> None:
    with pytest.raises(client.ApiException) as refused:
        robot.core.create_namespaced_pod(NAMESPACE, busybox("privileged", ["true"], hostNetwork=True))
    assert refused.value.status == 403


def test_the_robot_sees_no_other_namespace(robot: Api) -> None:
    with pytest.raises(client.ApiException) as refused:
        robot.core.list_namespaced_secret("kube-system")
    assert refused.value.status == 403


def test_limits_are_filled_in_and_a_quota_refuses_one_pod_more(admin: Api, quota: str) -> None:
    first = busybox("a", ["sleep", "600"])
    del first["spec"]["containers"][0]["resources"]
    admin.core.create_namespaced_pod(quota, first)
    assert admin.core.read_namespaced_pod("a", quota).spec.containers[0].resources.limits["memory"] == "64Mi"
    with pytest.raises(client.ApiException) as refused:
        admin.core.create_namespaced_pod(quota, busybox("b", ["sleep", "600"]))
    assert refused.value.status == 403
    assert "exceeded quota" in refused.value.body


def test_names_of_services_resolve_and_others_are_refused_at_once(robot: Api) -> None:
    service = {"metadata": {"name": "named"}, "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}}
    address = robot.core.create_namespaced_service(NAMESPACE, service).spec.cluster_ip
    own, other = f"named.{NAMESPACE}.svc.cluster.local", "example.org"
    # Busybox asks for an AAAA as well, which does not exist, and so ends with an error: only its output counts.
    script = f"until nslookup {own} | grep {address}; do :; done; timeout 3 nslookup {other}; echo ended $?"
    _, log = robot.run_pod(busybox("dns", ["sh", "-c", script]))
    robot.core.delete_namespaced_service("named", NAMESPACE)
    assert address in log
    assert "ended 1" in log  # of its own, and not because the three seconds were over


def test_a_service_without_endpoints_refuses_at_once_and_every_time(robot: Api) -> None:
    service = {"metadata": {"name": "empty"}, "spec": {"selector": {"app": "none"}, "ports": [{"port": 80}]}}
    address = robot.core.create_namespaced_service(NAMESPACE, service).spec.cluster_ip

    def refused() -> bool:
        try:
            http(f"http://{address}/")
        except OSError as error:
            return isinstance(getattr(error, "reason", error), ConnectionRefusedError)
        return False

    until(refused, 10)
    assert all(refused() for _ in range(20))
    robot.core.delete_namespaced_service("empty", NAMESPACE)


def test_deleting_asks_for_the_uid_and_a_watch_tells(robot: Api) -> None:
    robot.core.create_namespaced_pod(NAMESPACE, busybox("deleted", ["sleep", "600"]))
    until(lambda: robot.phase("deleted") == "Running")
    with pytest.raises(client.ApiException) as conflict:
        robot.core.delete_namespaced_pod("deleted", NAMESPACE, body={"preconditions": {"uid": "0" * 8}})
    assert conflict.value.status == 409
    listed = robot.core.list_namespaced_pod(NAMESPACE)
    uid = robot.core.read_namespaced_pod("deleted", NAMESPACE).metadata.uid
    robot.core.delete_namespaced_pod("deleted", NAMESPACE, body={"preconditions": {"uid": uid}})
    events = watch.Watch().stream(
        robot.core.list_namespaced_pod,
        NAMESPACE,
        resource_version=listed.metadata.resource_version,
        field_selector="metadata.name=deleted",
        timeout_seconds=20,
    )
    with contextlib.closing(events):  # a collector might end its socket before itself
        assert "DELETED" in (event["type"] for event in events)


def test_many_pods_run_and_go_with_their_namespace(admin: Api) -> None:
    name = "many"
    admin.core.create_namespace({"metadata": {"name": name}})
    until(lambda: admin.core.read_namespaced_service_account("default", name))
    for number in range(PODS):
        container = {"name": "c", "image": f"{IMAGES}pause:3.10"}
        spec = {"containers": [container], "automountServiceAccountToken": False}
        admin.core.create_namespaced_pod(name, {"metadata": {"name": f"p{number}"}, "spec": spec})

    def running() -> int:
        return sum(p.status.phase == "Running" for p in admin.core.list_namespaced_pod(name).items)

    until(lambda: running() == PODS)
    admin.core.delete_namespace(name)
    until(lambda: name not in [n.metadata.name for n in admin.core.list_namespace().items])


def test_an_image_of_ones_own_is_loaded_and_run(cluster: Cluster, robot: Api) -> None:
    from cluster.artefacts import image_archive

    assert "pushed" in cluster.run("load", image_archive("busybox"), "mine:7")
    assert "is there" in cluster.run("load", image_archive("busybox"), "mine:7")
    pod = busybox("mine", ["echo", "it runs"])
    pod["spec"]["containers"][0] |= {"image": f"{IMAGES}mine:7", "imagePullPolicy": "Always"}
    assert robot.run_pod(pod)[1] == "it runs\n"
