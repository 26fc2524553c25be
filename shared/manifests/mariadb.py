"""MariaDB in a pod, and what an operator may choose of it.

The image's contract is the public `mariadb` image's: MARIADB_* variables, scripts in
/docker-entrypoint-initdb.d on an empty data directory, arguments go to the server.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from ipaddress import ip_network
from typing import Any

type Manifest = dict[str, Any]

PORT = 3306
USER = "notebook"
CONTAINER = "mariadb"
SOCKET = "/run/mysqld/mysqld.sock"
UID = 999  # of `mysql` in the public image
# Read at once: whoever makes a database serves others meanwhile.
SCRIPTS = {file.name: file.read_text() for file in resources.files(__package__).iterdir() if file.name.endswith(".sql")}


class AddressKind(StrEnum):
    """How a database is reached; for the last two the client's own address reaches the policy."""

    CLUSTER_IP = "cluster-ip"
    DNS = "dns"
    NODE_PORT = "node-port"
    LOAD_BALANCER = "load-balancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What an operator chooses for all databases. Raises ValueError where it makes no sense.

    Quantities are Kubernetes' own (`cpu` is asked for, `cpu_limit` the most it gets; `memory` is
    both). `storage_class` "" is the cluster's default. `client_networks` are the CIDRs that may
    connect. `service_annotations` go onto every Service, for what a cloud wants said there. `archiver` is the
    image of the program of that name, of whose pods about `archives_at_once` store something (0: any number); where
    archives are kept on a volume, `archive_storage` is its size, and what is older than `archive_days` is removed
    from it.
    """

    image: str
    cpu: str = "100m"
    cpu_limit: str = "2"
    memory: str = "512Mi"
    storage: str = "2Gi"
    storage_class: str = ""
    client_networks: tuple[str, ...] = ()
    address: AddressKind = AddressKind.CLUSTER_IP
    service_annotations: tuple[tuple[str, str], ...] = ()
    archiver: str = ""
    archives_at_once: int = 0
    archive_storage: str = "10Gi"
    archive_days: int = 31

    def __post_init__(self) -> None:
        for network in self.client_networks:
            ip_network(network)
        mebibytes(self.memory)


def mebibytes(quantity: str) -> int:
    """`512Mi` or `2Gi` as a number of MiB. Raises ValueError for any other unit."""
    number, unit = quantity[:-2], quantity[-2:]
    if unit not in ("Mi", "Gi") or not number.isdecimal() or int(number) * (1024 if unit == "Gi" else 1) < 256:
        raise ValueError(f"memory must be like 512Mi or 2Gi, and 256Mi at least: {quantity!r}")
    return int(number) * (1024 if unit == "Gi" else 1)


def init_scripts() -> Manifest:
    """What an empty database runs first. Named after its content, shared by all, never changed."""
    digest = hashlib.sha256("".join(f"{file}\0{SCRIPTS[file]}\0" for file in sorted(SCRIPTS)).encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"playground-init-{digest[:12]}",
            "labels": {
                "app.kubernetes.io/name": "mariadb",
                "app.kubernetes.io/component": "init-scripts",
                "app.kubernetes.io/part-of": "playground",
                "app.kubernetes.io/managed-by": "playground",
            },
        },
        "data": dict(sorted(SCRIPTS.items())),
        "immutable": True,
    }


def fingerprint(spec: Spec) -> str:
    """Names all of a database that is as it was when it was first started, whoever has it: a spare is made with it."""
    made = [pod("", spec), spec.storage, spec.storage_class, init_scripts()["metadata"]["name"]]
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def pod(name: str, spec: Spec) -> Manifest:
    """The pod of the life called `name`: fits the PodSecurity standard `restricted`."""

    def secret_key(key: str) -> Manifest:
        return {"secretKeyRef": {"name": name, "key": key}}

    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": spec.image,
                "args": arguments(spec),
                "env": [
                    {"name": "MARIADB_USER", "value": USER},
                    {"name": "MARIADB_PASSWORD", "valueFrom": secret_key("password")},
                    {"name": "MARIADB_ROOT_PASSWORD", "valueFrom": secret_key("root-password")},
                    {"name": "MARIADB_ROOT_HOST", "value": "localhost"},
                ],
                "ports": [{"name": "mysql", "containerPort": PORT, "protocol": "TCP"}],
                # Ready is what has started: a probe for ever would say no more (the Service does not
                # listen to it) and cost a program each second. An hour, because a crashed server may
                # recover for long.
                "startupProbe": {
                    "exec": {"command": STARTED},
                    "periodSeconds": 1,
                    "timeoutSeconds": 10,
                    "failureThreshold": 720,
                },
                "resources": {
                    "requests": {"cpu": spec.cpu, "memory": spec.memory},
                    "limits": {"cpu": spec.cpu_limit, "memory": spec.memory},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": "/var/lib/mysql"},
                    {"name": "init", "mountPath": "/docker-entrypoint-initdb.d", "readOnly": True},
                    {"name": "run", "mountPath": "/run/mysqld"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": name}},
            {"name": "init", "configMap": {"name": init_scripts()["metadata"]["name"]}},
            {"name": "run", "emptyDir": {"sizeLimit": "16Mi"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }


def arguments(spec: Spec) -> list[str]:
    """The server's own, for a user whose kernel may compute for hours between two statements."""
    return [
        f"--socket={SOCKET}",
        "--userstat=1",
        "--max-connections=100",
        "--max-user-connections=95",  # leaves room for evidence
        "--skip-name-resolve",
        "--local-infile=0",
        "--skip-symbolic-links",
        "--max-allowed-packet=64M",
        "--wait-timeout=86400",
        "--tcp-keepalive-time=120",  # shorter than any balancer's idle time-out
        "--log-warnings=1",  # at 2, a line for every probe of the port
        "--character-set-server=utf8mb4",
        "--ignore-db-dirs=lost+found",
        f"--innodb-buffer-pool-size={mebibytes(spec.memory) // 4}M",
        "--innodb-log-file-size=32M",
    ]


def client_argv(sql: str) -> list[str]:
    """The client inside the container, as the account that only the container's own user has."""
    return ["mariadb", "--no-defaults", f"--socket={SOCKET}", "--user=mysql", "--batch", "--skip-column-names",
            f"--execute={sql}"]  # fmt: skip


# True once the server takes connections from outside (the first start runs the init scripts on one that
# does not) and the first start was not cut short (that account is the last thing it makes). It asks ten
# times a second for five seconds: kubelet asks once a second, which is half a second lost on average.
STARTED = [
    "sh", "-c", 'n=0; until "$@"; do n=$((n + 1)); [ $n -lt 50 ] || exit 1; sleep 0.1; done', "started",
    *client_argv("EXECUTE IMMEDIATE IF(@@skip_networking, 'not yet', 'DO 0')"),
]  # fmt: skip
