"""Storing a database's content and beginning one with it: the pods that do it, in the StatefulSet's own place.

So Kubernetes itself never lets one of them be at a volume beside the database or another of them.
"""

import copy
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from urllib.parse import urlsplit

from shared.manifests import mariadb
from shared.manifests.database import PLANE, Manifest, labels, name
from shared.manifests.mariadb import CONTAINER, SOCKET, Spec
from shared.ports.cluster import Life, Task

TASK = "playground.dev/task"  # on pods: which kind; on the StatefulSet: `<kind>.<archive>`
RESTORED = "playground.dev/restored"  # on the volume claim: the archive that it holds
ARCHIVER = "archiver"
DUMP, FETCH = "dump", "fetch"  # containers that come first
WORK, KEPT = "/archive", "/kept"
FILES = {
    "dump.sh": (resources.files(__package__) / "dump.sh").read_text(),
    "client.cnf": "[mariadb-client]\nmax-allowed-packet = 1G\n",  # a row may be as large as a server takes
}
ACCOUNTS = "20-accounts.sql"
LARGE_ROWS = "--max-allowed-packet=1G"


class Kind(StrEnum):
    """What a task's pod does."""

    STORE = "store"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Job:
    """A task and its kind."""

    kind: Kind
    task: Task

    @property
    def mark(self) -> str:
        """What its StatefulSet carries."""
        return f"{self.kind}.{self.task.name}"


def secret_name(generation: str) -> str:
    return f"{name(generation)}-task"


def files() -> Manifest:
    """What the images do not bring. Named after its content, shared by all, never changed."""
    digest = hashlib.sha256("".join(f"{file}\0{FILES[file]}\0" for file in sorted(FILES)).encode()).hexdigest()
    metadata = {"name": f"playground-tasks-{digest[:12]}", "labels": _shared("task-files")}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(FILES), "immutable": True}


def secret(metadata: Manifest, generation: str, job: Job) -> Manifest:
    """The data key, and the URL with its credential; `metadata` is what all of a life has."""
    metadata = metadata | {"name": secret_name(generation), "annotations": metadata["annotations"] | {TASK: job.mark}}
    data = {"key": job.task.key, "url": job.task.place.url}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}


def network_policy(plane: str, url: str) -> Manifest:
    """The way out to where archives are, which no database has: for all tasks of a control plane."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    ports: list[Manifest] = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    ports.append({"protocol": "TCP", "port": port})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"playground-tasks-{plane[:12]}-{port}", "labels": _shared("tasks")},
        "spec": {
            "podSelector": {
                "matchLabels": {PLANE: plane},
                "matchExpressions": [{"key": TASK, "operator": "Exists"}],
            },
            "policyTypes": ["Egress"],
            "egress": [{"ports": ports}],
        },
    }


def archive_claim(claim: str, spec: Spec) -> Manifest:
    """The volume on which archives are kept, on one machine."""
    wanted: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": spec.archive_storage}}}
    if spec.storage_class:
        wanted["storageClassName"] = spec.storage_class
    metadata = {"name": claim, "labels": _shared("archives")}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wanted}


def template(life: Life, spec: Spec, plane: str, job: Job, ordinary: Manifest) -> Manifest:
    """The pod template of a task, from that of the database (`ordinary`)."""
    made = copy.deepcopy(ordinary)
    made["metadata"]["labels"] = labels(plane, life.generation) | {TASK: str(job.kind)}
    pod = made["spec"]
    [server] = pod["containers"]
    archiver = _archiver(life, spec, job, server["securityContext"])
    pod["volumes"].append({"name": "work", "emptyDir": {"sizeLimit": spec.storage}})
    pod["volumes"].append({"name": "files", "configMap": {"name": files()["metadata"]["name"]}})
    if job.task.place.claim:
        claim = {"claimName": job.task.place.claim}
        pod["volumes"].append({"name": "kept", "persistentVolumeClaim": claim})
    if job.kind is Kind.STORE:
        pod["terminationGracePeriodSeconds"] = 10  # only reading: a server that is killed recovers
        pod["initContainers"], pod["containers"] = [_dump(server, spec)], [archiver]
    else:
        pod["initContainers"], pod["containers"] = [archiver], [_restored(server)]
    return made


def _dump(server: Manifest, spec: Spec) -> Manifest:
    made = {key: server[key] for key in ("image", "resources", "securityContext")}
    env = [item for item in server["env"] if item["name"] == "MARIADB_ROOT_PASSWORD"]
    mounts = [mount for mount in server["volumeMounts"] if mount["name"] != "init"]
    return made | {
        "name": DUMP,
        "command": ["bash", "/playground/dump.sh", f"{WORK}/dump.sql.gz", *mariadb.arguments(spec), LARGE_ROWS],
        "env": [*env, {"name": "SOCKET", "value": SOCKET}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *mounts,
            {"name": "work", "mountPath": WORK},
            {"name": "files", "mountPath": "/playground", "readOnly": True},
        ],
    }


def _restored(server: Manifest) -> Manifest:
    """The server that begins with the dump: nobody reaches it, as its pod has a way out."""
    assert server["name"] == CONTAINER
    scripts = "/docker-entrypoint-initdb.d"
    files = (
        ("work", "dump.sql.gz", f"{scripts}/15-archive.sql.gz"),
        ("init", ACCOUNTS, f"{scripts}/{ACCOUNTS}"),  # samples are in the dump, unless its owner wanted none
        ("files", "client.cnf", "/etc/mysql/conf.d/playground.cnf"),
    )
    mounts = [mount for mount in server["volumeMounts"] if mount["name"] != "init"]
    mounts += [{"name": volume, "mountPath": path, "subPath": file, "readOnly": True} for volume, file, path in files]
    return server | {"args": [*server["args"], LARGE_ROWS, "--bind-address=127.0.0.1"], "volumeMounts": mounts}


def _archiver(life: Life, spec: Spec, job: Job, security: Manifest) -> Manifest:
    task, storing = job.task, job.kind is Kind.STORE

    def secret_key(key: str) -> Manifest:
        return {"secretKeyRef": {"name": secret_name(life.generation), "key": key}}

    env: list[Manifest] = [
        {"name": "ARCHIVE_KEY", "valueFrom": secret_key("key")},
        {"name": "ARCHIVE_CONTEXT", "value": task.context},
        {"name": "ARCHIVE_DUMP", "value": f"{WORK}/dump.sql.gz"},
    ]
    mounts: list[Manifest] = [{"name": "work", "mountPath": WORK}, {"name": "tmp", "mountPath": "/tmp"}]
    if task.place.claim:
        env.append({"name": "ARCHIVE_FILE", "value": f"{KEPT}/{task.place.path}"})
        mounts.append({"name": "kept", "mountPath": KEPT} | ({} if storing else {"readOnly": True}))
    else:
        env.append({"name": "ARCHIVE_URL", "valueFrom": secret_key("url")})
    if storing:
        env.append({"name": "ARCHIVE_DONE", "value": f"{WORK}/done.json"})
        if task.place.claim:
            env.append({"name": "ARCHIVE_KEEP_DAYS", "value": str(spec.archive_days)})
    else:
        env += [{"name": "ARCHIVE_SHA256", "value": task.sha256}, {"name": "ARCHIVE_SIZE", "value": str(task.size)}]
    return {
        "name": ARCHIVER if storing else FETCH,
        "image": spec.archiver,
        "args": ["store" if storing else "fetch"],
        "env": env,
        "resources": {
            "requests": {"cpu": spec.cpu, "memory": "64Mi"},
            "limits": {"cpu": spec.cpu_limit, "memory": "256Mi"},
        },
        "securityContext": security,
        "volumeMounts": mounts,
    }


def _shared(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "playground",
        "app.kubernetes.io/managed-by": "playground",
    }
