"""Storing a database's content and beginning one with it: the pods that do it, in the StatefulSet's own place.

So Kubernetes itself never lets one of them be at a volume beside the database or another of them.
"""

import copy
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from shared.manifests.database import PLANE, Manifest, labels, name
from shared.manifests.mariadb import CONTAINER, USER, Spec
from shared.ports.cluster import Life, Task

TASK = "playground.dev/task"  # on pods: which kind; as an annotation, on the StatefulSet too: `<kind>.<archive>`
RESTORED = "playground.dev/restored"  # on the volume claim: the archive that it holds
PACK, ARCHIVER, FETCH, UNPACK = "pack", "archiver", "fetch", "unpack"  # containers
DATA, WORK, KEPT, ACCOUNTS = "/var/lib/mysql", "/archive", "/kept", "/run/playground"
PACKED = f"{WORK}/data.tar.gz"


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


def secret_name(generation: str, mark: str) -> str:
    """Of one task alone: who is late with an earlier one's replaces nothing."""
    return f"{name(generation)}-{hashlib.sha256(mark.encode()).hexdigest()[:10]}"


def secret(metadata: Manifest, life: Life, job: Job) -> Manifest:
    """The data key, the URL with its credential, and what makes restored accounts this life's.

    `metadata` is what all of a life has.
    """
    metadata = metadata | {"name": secret_name(life.generation, job.mark)}
    # Passwords hold [A-Za-z0-9] only; each statement of an --init-file is a line.
    accounts = (
        f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{life.root_password}';\n"
        f"ALTER USER '{USER}'@'%' IDENTIFIED BY '{life.password}';\n"
    )
    data = {"key": job.task.key, "url": job.task.place.url, "accounts.sql": accounts}
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
    made["metadata"]["annotations"] = {TASK: job.mark}
    pod = made["spec"]
    [server] = pod["containers"]
    pod["volumes"].append({"name": "work", "emptyDir": {"sizeLimit": spec.storage}})
    if job.task.place.claim:
        claim = {"claimName": job.task.place.claim}
        pod["volumes"].append({"name": "kept", "persistentVolumeClaim": claim})
    security = server["securityContext"]
    archiver = _archiver(life, spec, job) | {"securityContext": security}
    if job.kind is Kind.STORE:
        packs = _packs(PACK, spec, read_only=True) | {"securityContext": security}
        pod["initContainers"], pod["containers"] = [packs], [archiver]
    else:
        accounts = {"secretName": secret_name(life.generation, job.mark), "items": [_ACCOUNTS], "defaultMode": 0o440}
        pod["volumes"].append({"name": "accounts", "secret": accounts})
        unpacks = _packs(UNPACK, spec, read_only=False) | {"securityContext": security}
        pod["initContainers"], pod["containers"] = [archiver, unpacks], [_restored(server)]
    return made


_ACCOUNTS = {"key": "accounts.sql", "path": "accounts.sql"}


def _packs(command: str, spec: Spec, *, read_only: bool) -> Manifest:
    """From the data directory to a file, or back; no server is at it."""
    return _program(command, command, spec) | {
        "env": [{"name": "ARCHIVE_FOLDER", "value": DATA}, {"name": "ARCHIVE_DUMP", "value": PACKED}],
        "volumeMounts": [
            {"name": "data", "mountPath": DATA} | ({"readOnly": True} if read_only else {}),
            {"name": "work", "mountPath": WORK},
        ],
    }


def _restored(server: Manifest) -> Manifest:
    """The server that gives the accounts this life's passwords: nobody reaches it, as its pod has a way out."""
    assert server["name"] == CONTAINER
    mount = {"name": "accounts", "mountPath": ACCOUNTS, "readOnly": True}
    arguments = ["--bind-address=127.0.0.1", f"--init-file={ACCOUNTS}/accounts.sql"]
    return server | {"args": [*server["args"], *arguments], "volumeMounts": [*server["volumeMounts"], mount]}


def _program(name: str, command: str, spec: Spec) -> Manifest:
    return {
        "name": name,
        "image": spec.archiver,
        "args": [command],
        "resources": {
            "requests": {"cpu": spec.cpu, "memory": "64Mi"},
            "limits": {"cpu": spec.cpu_limit, "memory": "256Mi"},
        },
    }


def _archiver(life: Life, spec: Spec, job: Job) -> Manifest:
    task, storing = job.task, job.kind is Kind.STORE

    def secret_key(key: str) -> Manifest:
        return {"secretKeyRef": {"name": secret_name(life.generation, job.mark), "key": key}}

    env: list[Manifest] = [
        {"name": "ARCHIVE_KEY", "valueFrom": secret_key("key")},
        {"name": "ARCHIVE_CONTEXT", "value": task.context},
        {"name": "ARCHIVE_DUMP", "value": PACKED},
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
    name, command = (ARCHIVER, "store") if storing else (FETCH, "fetch")
    return _program(name, command, spec) | {"env": env, "volumeMounts": mounts}


def _shared(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "playground",
        "app.kubernetes.io/managed-by": "playground",
    }
