"""The contract of the mariadb image: settings, secrets, sockets, signals, crashes."""

import contextlib
import itertools
import pathlib
import secrets
import threading
import time

import pymysql
import pytest
from harness import IMAGES, NAMESPACE, Api, Cluster, sql, until

ROOT_PASSWORD = secrets.token_urlsafe(12)
PASSWORD = secrets.token_urlsafe(12)
SETTINGS = {
    "MARIADB_ROOT_PASSWORD_FILE": "/secrets/root",
    "MARIADB_ROOT_HOST": "localhost",
    "MARIADB_DATABASE": "app",
    "MARIADB_USER": "app",
    "MARIADB_PASSWORD_FILE": "/secrets/app",
}
SCRIPTS = {
    "10-table.sql": "CREATE TABLE numbers (n INT PRIMARY KEY); INSERT INTO numbers VALUES (0);",
    # As in the public image: root's password is set by now, and in the environment.
    "20-account.sh": 'mariadb -uroot -p"$MARIADB_ROOT_PASSWORD" app -e "INSERT INTO numbers VALUES (-1)"\n'
    "touch /shared/reached\n"
    "until [ -e /shared/go ]; do sleep 0.05; done\n"
    'printf %s "$MARIADB_ROOT_PASSWORD" >/shared/root-password\n',
}


class Database:
    """One pod with a claim, started and ended as a test likes."""

    def __init__(self, cluster: Cluster, api: Api, name: str):
        self.cluster, self.api, self.name = cluster, api, name
        metadata = {"name": name}
        api.core.create_namespaced_secret(
            NAMESPACE, {"metadata": metadata, "stringData": {"root": ROOT_PASSWORD, "app": PASSWORD}}
        )
        api.core.create_namespaced_config_map(NAMESPACE, {"metadata": metadata, "data": SCRIPTS})
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        api.core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": metadata, "spec": claim})

    def start(
        self, settings: dict[str, str] | None = None, args: tuple[str, ...] = (), run_volume: bool = False
    ) -> None:
        volumes = {
            "data": ("/var/lib/mysql", {"persistentVolumeClaim": {"claimName": self.name}}),
            "init": ("/docker-entrypoint-initdb.d", {"configMap": {"name": self.name}}),
            "secrets": ("/secrets", {"secret": {"secretName": self.name}}),
            "shared": ("/shared", {"emptyDir": {}}),
        }
        if run_volume:
            volumes["run"] = ("/run/mysqld", {"emptyDir": {}})
        environment = SETTINGS if settings is None else settings
        container = {
            "name": "mariadb",
            "image": f"{IMAGES}mariadb:10.11",
            "args": list(args),
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "volumeMounts": [{"name": name, "mountPath": path} for name, (path, _) in volumes.items()],
            "readinessProbe": {"tcpSocket": {"port": 3306}, "periodSeconds": 1},
            "securityContext": {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        confined = {"runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999}
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 60,
            "automountServiceAccountToken": False,
            "securityContext": {**confined, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
        }
        self.api.core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": self.name}, "spec": spec})

    def pod(self):
        return self.api.core.read_namespaced_pod(self.name, NAMESPACE)

    def runs(self) -> bool:
        """Whether its container does; a young pod says nothing of its containers."""
        return any(status.state.running for status in self.pod().status.container_statuses or ())

    def shell(self, script: str) -> str:
        return self.api.execute(self.name, "sh", "-c", script)

    def reach_script(self) -> None:
        """Until the first start is in the middle of its last script."""
        until(lambda: "yes" in self.shell("[ -e /shared/reached ] && echo yes"))

    def go(self) -> None:
        """Let the first start end, and wait for the server."""
        self.reach_script()
        self.shell("touch /shared/go")
        self.wait()

    def wait(self) -> None:
        until(lambda: self.query("SELECT 1"))

    def query(self, statement: str) -> tuple:
        return sql(self.pod().status.pod_ip or "", statement, "app", PASSWORD, "app")

    def root(self, statement: str) -> str:
        """As somebody would in a shell of the pod: no socket named, none needed."""
        return self.api.execute(self.name, "mariadb", "-uroot", f"-p{ROOT_PASSWORD}", "-Ne", statement)

    def numbers(self) -> list[int]:
        return [n for (n,) in self.query("SELECT n FROM numbers ORDER BY n")]

    def data(self) -> pathlib.Path:
        """The data directory, as this machine sees it."""
        volume = self.api.core.read_namespaced_persistent_volume_claim(self.name, NAMESPACE).spec.volume_name
        return self.cluster.folder / "volumes" / volume if volume else pathlib.Path("/nonexistent")

    def kill(self) -> None:
        """SIGKILL, and no pod left."""
        self.cluster.kill_container(self.pod())
        until(lambda: self.pod().status.phase == "Failed")
        self.api.delete_pod(self.name)

    def stop(self) -> float:
        """SIGTERM; the seconds until the pod was gone."""
        began = time.monotonic()
        self.api.delete_pod(self.name, grace=60)
        return time.monotonic() - began

    def remove(self) -> None:
        self.api.delete_pod(self.name)
        self.api.core.delete_namespaced_persistent_volume_claim(self.name, NAMESPACE)
        self.api.core.delete_namespaced_config_map(self.name, NAMESPACE)
        self.api.core.delete_namespaced_secret(self.name, NAMESPACE)


@pytest.fixture
def database(cluster: Cluster, robot: Api, request: pytest.FixtureRequest):
    database = Database(cluster, robot, f"db-{secrets.token_hex(4)}")
    yield database
    database.remove()


def test_arguments_reach_the_server_and_passwords_come_from_files(database: Database) -> None:
    database.start(args=("--userstat=1", "--max-connections=17", "--innodb-log-file-size=32M"))
    database.go()
    settings = database.query("SELECT @@userstat, @@max_connections, @@innodb_log_file_size")
    assert settings == ((1, 17, 32 << 20),)
    assert database.numbers() == [-1, 0]


def test_with_a_root_of_localhost_root_has_no_account_for_the_network(database: Database) -> None:
    database.start()
    database.go()
    assert database.root("SELECT Host FROM mysql.user WHERE User = 'root'") == "localhost\n"
    assert database.root("SELECT count(*) FROM mysql.user WHERE User = ''") == "0\n"
    with pytest.raises(pymysql.err.OperationalError) as denied:
        sql(database.pod().status.pod_ip, "SELECT 1", "root", ROOT_PASSWORD)
    assert denied.value.args[0] in (1045, 1130)


def test_nothing_of_the_servers_own_is_seen_as_a_database(database: Database) -> None:
    database.start(args=("--ignore-db-dirs=lost+found",))
    database.go()
    shown = set(database.root("SHOW DATABASES").split())
    assert shown == {"app", "information_schema", "mysql", "performance_schema", "sys"}


@pytest.mark.parametrize("run_volume", [False, True], ids=["no-volume", "volume-at-run"])
def test_the_client_in_the_pod_finds_the_socket(database: Database, run_volume: bool) -> None:
    database.start(run_volume=run_volume)
    database.go()
    assert database.root("SELECT 'found'") == "found\n"
    with_path = f"mariadb --socket=/run/mysqld/mysqld.sock -uroot -p{ROOT_PASSWORD} -Ne \"SELECT 'by path'\""
    assert database.shell(with_path) == "by path\n"


def test_a_random_root_password_is_told_to_the_scripts_and_never_to_the_log(database: Database) -> None:
    settings = {k: v for k, v in SETTINGS.items() if not k.startswith("MARIADB_ROOT_PASSWORD")}
    database.start(settings | {"MARIADB_RANDOM_ROOT_PASSWORD": "1"})
    database.go()
    password = database.shell("cat /shared/root-password")
    assert len(password) >= 32
    login = database.api.execute(database.name, "mariadb", "-uroot", f"-p{password}", "-Ne", "SELECT 'right'")
    assert login == "right\n"
    log = database.api.log(database.name)
    assert password not in log
    assert PASSWORD not in log
    assert "ready for connections" in log


def test_without_any_root_password_it_refuses_to_start(database: Database) -> None:
    database.start({})
    until(lambda: database.pod().status.phase == "Failed")
    assert "set MARIADB_ROOT_PASSWORD" in database.api.log(database.name)


def test_sigterm_ends_it_at_once_while_it_serves_and_in_its_first_start(database: Database) -> None:
    database.start()
    database.reach_script()
    assert database.stop() < 10
    database.start()
    database.go()
    assert database.numbers() == [-1, 0]
    assert database.stop() < 10
    database.start()
    database.wait()
    log = database.api.log(database.name)
    assert "crash recovery" not in log


def test_killed_at_any_point_of_its_first_start_it_begins_anew(database: Database) -> None:
    points = (
        lambda: (database.data() / ".initializing").exists(),  # copying the empty database
        lambda: (database.data() / ".run/mysqld.sock").exists(),  # the server is up
        lambda: "yes" in database.shell("[ -e /shared/reached ] && echo yes"),  # in a script
    )
    for reached in points:
        (database.data() / ".run/mysqld.sock").unlink(missing_ok=True)  # the last server's
        database.start()
        until(database.runs)
        until(reached)
        database.kill()
        assert (database.data() / ".initializing").exists()
    database.start()
    database.go()
    assert database.numbers() == [-1, 0]
    assert not (database.data() / ".initializing").exists()


def test_killed_while_it_works_it_has_all_that_it_acknowledged(database: Database) -> None:
    database.start()
    database.go()
    acknowledged: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with contextlib.suppress(pymysql.Error, OSError):
            connection = pymysql.connect(
                host=address, user="app", password=PASSWORD, database="app", autocommit=True, read_timeout=30
            )
            with contextlib.closing(connection), connection.cursor() as cursor:
                for number in itertools.count(1):
                    cursor.execute("INSERT INTO numbers VALUES (%s)", (number,))
                    acknowledged.append(number)
                    if number == 100:
                        enough.set()

    address = database.pod().status.pod_ip
    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    database.kill()
    writer.join(60)
    assert not writer.is_alive()
    database.start()
    database.wait()
    # One more may have been written, whose acknowledgement got lost.
    assert database.numbers()[: len(acknowledged) + 2] == [-1, 0, *acknowledged]
    assert "crash recovery" in database.api.log(database.name)
