"""Coming up, staying beside another cluster, dying and coming up again."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest
from harness import Api, Cluster, until


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster):
    """A state directory beside the running cluster; its name is long, as those of some checkouts are."""
    second = Cluster(tmp_path_factory.mktemp("second") / ("long-" * 20) / "state")
    yield second
    second.run("down")


def route_to(address: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", "route", "get", address], capture_output=True, text=True)


def test_the_status_tells_where_everything_is(cluster: Cluster) -> None:
    status = cluster.status()
    number = status["net"]
    assert status["running"] and status["node_ready"]
    assert status["node"] == f"10.98.{number}.2"
    assert status["host_as_seen_by_pods"] == f"10.98.{number}.1"
    assert status["services"] == f"10.{112 + number}.0.0/16"
    assert pathlib.Path(status["kubeconfig"]).is_file()
    assert all(c["running"] for c in status["components"].values())


def test_up_of_a_running_cluster_finds_it_running(cluster: Cluster) -> None:
    before = cluster.init()
    cluster.run("up")
    assert cluster.init() == before


def test_a_second_cluster_comes_up_beside_the_first_without_a_setting(cluster: Cluster, second: Cluster) -> None:
    second.run("up")
    assert cluster.whole() and second.whole()
    assert cluster.status()["net"] != second.status()["net"]


def test_a_net_that_is_taken_is_refused_with_its_owner(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    third = Cluster(tmp_path / "state", DEVCLUSTER_NET=str(cluster.status()["net"]))
    said = third.run("up", check=False)
    third.run("down")
    assert "no free set of addresses" in said
    assert str(cluster.folder) in said
    assert cluster.whole()


def test_after_kill_9_of_init_nothing_is_left_and_the_next_up_works(cluster: Cluster, second: Cluster) -> None:
    second.run("up")
    init, net = second.init(), second.status()["net"]
    assert pathlib.Path(f"/sys/class/net/dc{net}").exists()
    os.kill(init, signal.SIGKILL)
    until(lambda: not pathlib.Path(f"/proc/{init}").exists())
    until(lambda: not pathlib.Path(f"/sys/class/net/dc{net}").exists())
    assert not second.status()["running"]
    second.run("up")
    assert second.whole()
    assert cluster.whole()


def test_an_up_that_is_interrupted_leaves_nothing_in_the_way_of_the_next(second: Cluster) -> None:
    for seen in ("namespaces", "API server"):
        second.run("down")
        process = second.start("up")
        until(lambda said=seen, p=process: said in p.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130
    second.run("up")
    assert second.whole()


def test_after_down_its_addresses_are_unreachable_and_the_other_cluster_is_whole(
    cluster: Cluster, second: Cluster, tmp_path: pathlib.Path
) -> None:
    second.run("up")
    status = second.status()
    service = status["services"].replace("0.0/16", "0.1")
    addresses = (status["node"], status["pods"].replace(".0/24", ".5"), service)
    assert all(route_to(address).returncode == 0 for address in addresses)
    second.run("down")
    assert not second.folder.exists()
    for address in addresses:
        assert "No route to host" in route_to(address).stderr
    with pytest.raises(OSError, match="No route to host"):
        socket.create_connection((status["node"], 6443), 5)
    assert cluster.whole()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "letter").write_text("dear")
    for command in ("up", "down"):
        said = Cluster(tmp_path).run(command, check=False)
        assert "not empty and not a cluster's" in said
    assert (tmp_path / "letter").read_text() == "dear"


def test_cut_makes_clients_time_out_and_heal_lets_them_in_again(cluster: Cluster, admin: Api, node: str) -> None:
    for _ in range(2):  # twice is as good as once
        cluster.run("cut")
    with pytest.raises(TimeoutError):
        socket.create_connection((node, 6443), 1)
    for _ in range(2):
        cluster.run("heal")
    socket.create_connection((node, 6443), 5).close()
    assert admin.core.read_node("node1")


def test_killed_components_are_seen_and_started_again(cluster: Cluster) -> None:
    cluster.run("kill", "kube-scheduler")
    until(lambda: not cluster.status()["components"]["kube-scheduler"]["running"])
    assert cluster.status()["components"]["kube-scheduler"]["exit"] == -signal.SIGKILL
    cluster.run("start", "kube-scheduler")
    cluster.run("kill", "kube-proxy", "TERM")
    until(lambda: not cluster.status()["components"]["kube-proxy"]["running"])
    cluster.run("up")
    until(cluster.whole)


def test_a_stopped_api_server_hangs_and_goes_on(cluster: Cluster, admin: Api, node: str) -> None:
    cluster.run("kill", "kube-apiserver", "STOP")
    with socket.create_connection((node, 6443), 1) as connection:  # its kernel accepts
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    cluster.run("kill", "kube-apiserver", "CONT")
    until(lambda: admin.core.read_node("node1"))


def test_an_etcd_that_was_killed_keeps_its_data(cluster: Cluster, admin: Api) -> None:
    admin.core.create_namespaced_config_map("default", {"metadata": {"name": "kept"}, "data": {"a": "b"}})
    cluster.run("kill", "etcd")
    until(lambda: not cluster.status()["components"]["etcd"]["running"])
    cluster.run("start", "etcd")
    assert until(lambda: admin.core.read_namespaced_config_map("kept", "default")).data == {"a": "b"}
    until(lambda: admin.core.delete_namespaced_config_map("kept", "default"))
    until(cluster.whole)


def test_mistakes_are_told_and_not_thrown(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    assert "there is no component nonsense" in cluster.run("start", "nonsense", check=False)
    assert "not running" in cluster.run("kill", "nonsense", check=False)
    assert "there is no signal" in cluster.run("kill", "etcd", "NONSENSE", check=False)
    assert "there is no log of nonsense" in cluster.run("logs", "nonsense", check=False)
    nothing = Cluster(tmp_path / "nothing")
    for command in (("kubectl", "get", "pods"), ("exec", "true"), ("kill", "etcd"), ("start", "etcd"), ("cut",)):
        said = nothing.run(*command, check=False)
        assert "the cluster is not running" in said
        assert "devcluster.py up" in said
    assert "was not running" in nothing.run("down")
