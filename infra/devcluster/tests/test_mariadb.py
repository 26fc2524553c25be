"""MariaDB as a StatefulSet with a claim: the workload this cluster is for."""

import secrets
import socket

import pymysql
import pytest
from harness import HERE, NAMESPACE, Api, Cluster, sql, until

PASSWORD = secrets.token_urlsafe(12) + "'\\x"  # what quoting must survive
ROOT_PASSWORD = secrets.token_urlsafe(12)


def answers(address: str) -> bool:
    socket.create_connection((address, 3306), 1).close()
    return True


@pytest.fixture(scope="module")
def address(cluster: Cluster, robot: Api, admin: Api):
    """Of the Service of a database that answers."""
    data = {"password": PASSWORD, "root-password": ROOT_PASSWORD}
    robot.core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "db"}, "stringData": data})
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", HERE / "mariadb.yaml")
    address = robot.core.read_namespaced_service("db", NAMESPACE).spec.cluster_ip
    until(lambda: answers(address))
    yield address
    cluster.kubectl("delete", "-n", NAMESPACE, "-f", HERE / "mariadb.yaml")
    robot.core.delete_namespaced_secret("db", NAMESPACE)
    volume = robot.core.read_namespaced_persistent_volume_claim("data-db-0", NAMESPACE).spec.volume_name
    robot.core.delete_namespaced_persistent_volume_claim("data-db-0", NAMESPACE)
    until(lambda: volume not in [v.metadata.name for v in admin.core.list_persistent_volume().items])
    until(lambda: not (cluster.folder / "volumes" / volume).exists())


def query(address: str, statement: str) -> tuple:
    return sql(address, statement, "app", PASSWORD, "app")


def test_the_user_logs_in_and_finds_what_the_init_scripts_made(address: str) -> None:
    assert ("first",) in query(address, "SELECT body FROM notes")
    assert query(address, "CALL hello()") == (("hello",),)  # made with DELIMITER


def test_root_logs_in_with_the_password_and_not_without(address: str) -> None:
    assert sql(address, "SELECT 1", "root", ROOT_PASSWORD) == ((1,),)
    with pytest.raises(pymysql.err.OperationalError) as denied:
        sql(address, "SELECT 1", "root", "")
    assert denied.value.args[0] == 1045


def test_an_exec_finds_a_confined_process(address: str, robot: Api) -> None:
    script = "id -u; touch /x; grep -E 'Seccomp:|CapEff' /proc/self/status"
    said = robot.execute("db-0", "sh", "-c", script)
    assert "999\n" in said
    assert "Read-only file system" in said
    assert "CapEff:\t0000000000000000" in said
    assert "Seccomp:\t2" in said


def test_the_log_is_read_and_has_no_password(address: str, robot: Api) -> None:
    log = until(lambda: robot.log("db-0"))
    assert "ready for connections" in log
    assert PASSWORD not in log
    assert ROOT_PASSWORD not in log


def test_scaled_to_nothing_and_back_it_keeps_its_data(address: str, robot: Api) -> None:
    query(address, "INSERT INTO notes (body) VALUES ('kept')")
    robot.apps.patch_namespaced_stateful_set_scale("db", NAMESPACE, {"spec": {"replicas": 0}})
    until(lambda: not robot.core.list_namespaced_pod(NAMESPACE, label_selector="app=db").items)
    robot.apps.patch_namespaced_stateful_set_scale("db", NAMESPACE, {"spec": {"replicas": 1}})
    assert until(lambda: query(address, "SELECT body FROM notes ORDER BY id")) == (("first",), ("kept",))
