"""A namespace on the cluster, made as an operator is told to make it, and seen by an administrator."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.stream import stream

from shared.manifests.database import GENERATION, PLANE
from tests.cluster_fixture import NAMESPACE_PREFIX, ROOT, RealCluster
from tests.end_to_end.conditions import until

KINDS = ("stateful_set", "persistent_volume_claim", "service", "secret", "network_policy")


class Namespace:
    """What an administrator sees and does there; `kubeconfig` is the control plane's, with its role and no more."""

    def __init__(self, name: str, api: client.ApiClient, cluster: RealCluster, kubeconfig: Path):
        self.name, self.cluster, self.kubeconfig = name, cluster, kubeconfig
        self.core, self.apps = client.CoreV1Api(api), client.AppsV1Api(api)
        self.networking = client.NetworkingV1Api(api)

    def every(self, kind: str, plane: str = "") -> list[Any]:
        """The objects of a kind (`stateful_set`) that a control plane made, or that any did."""
        api = {"stateful_set": self.apps, "network_policy": self.networking}.get(kind, self.core)
        selector = f"{PLANE}={plane}" if plane else f"{PLANE},{GENERATION}"
        found: list[Any] = getattr(api, f"list_namespaced_{kind}")(self.name, label_selector=selector).items
        return found

    def standing(self, plane: str = "") -> dict[str, set[str]]:
        """The kinds of objects there are of each life, by generation; pods apart."""
        lives: dict[str, set[str]] = {}
        for kind in KINDS:
            for item in self.every(kind, plane):
                lives.setdefault(item.metadata.labels[GENERATION], set()).add(kind)
        return lives

    def going(self) -> bool:
        """Whether anything of any life is being deleted, and something still holds it."""
        return any(item.metadata.deletion_timestamp for kind in (*KINDS, "pod") for item in self.every(kind))

    def fingerprint(self, plane: str) -> dict[str, Any]:
        """Everything anybody may want of the objects of a control plane; a status may change."""
        return {
            f"{kind}/{item.metadata.name}": (
                item.metadata.uid,
                item.metadata.labels,
                item.metadata.annotations,
                item.metadata.deletion_timestamp,
                getattr(item, "spec", None) and item.spec.to_dict(),
            )
            for kind in (*KINDS, "pod")
            for item in self.every(kind, plane)
        }

    def pods(self, generation: str) -> list[Any]:
        found: list[Any] = self.core.list_namespaced_pod(self.name, label_selector=f"{GENERATION}={generation}").items
        return found

    def workload(self, generation: str) -> Any:
        return self.apps.read_namespaced_stateful_set(f"pg-{generation}", self.name)

    def started(self, generation: str) -> bool:
        """Whether kubelet knows that its server takes connections."""
        return any(
            status.started
            for pod in self.pods(generation)
            if pod.metadata.deletion_timestamp is None
            for status in pod.status.container_statuses or ()
        )

    def answers(self, generation: str) -> bool:
        """Whether its kubelet runs a command in its pod. Raises ApiException if not yet."""
        act, name = self.core.connect_get_namespaced_pod_exec, self.pods(generation)[0].metadata.name
        stream(act, name, self.name, command=["true"], stdout=True, _preload_content=False).close()
        return True

    def volumes(self) -> list[Any]:
        """The volumes that claims of this namespace are, or were, bound to."""
        volumes: list[Any] = self.core.list_persistent_volume().items
        return [v for v in volumes if v.spec.claim_ref and v.spec.claim_ref.namespace == self.name]

    def run_pod(self, name: str, image: str, argv: list[str], labels: dict[str, str]) -> str:
        """What a program says in a pod of its own, once it has ended."""
        self.core.create_namespaced_pod(self.name, restricted_pod(name, image, argv, labels))
        until(lambda: self.core.read_namespaced_pod(name, self.name).status.phase in ("Succeeded", "Failed"))
        said: str = self.core.read_namespaced_pod_log(name, self.name)
        self.core.delete_namespaced_pod(name, self.name, grace_period_seconds=0)
        return said


def restricted_pod(name: str, image: str, argv: list[str], labels: dict[str, str]) -> dict[str, Any]:
    """A pod that the standard `restricted` lets in."""
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "c",
                    "image": image,
                    "command": argv,
                    "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


@contextmanager
def namespace(cluster: RealCluster, folder: Path, labels: dict[str, str] | None = None) -> Iterator[Namespace]:
    """Made with infra/kubernetes/namespace.yaml and role.yaml; its deletion is begun at the end, not waited for."""
    with config.new_client_from_config(cluster.kubeconfig, persist_config=False) as api:
        core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
        [manifest] = yaml.safe_load_all((ROOT / "infra/kubernetes/namespace.yaml").read_text())
        name = manifest["metadata"]["name"] = f"{NAMESPACE_PREFIX}{secrets.token_hex(4)}"
        manifest["metadata"]["labels"] |= labels or {}
        core.create_namespace(manifest)
        try:
            account, role, binding = yaml.safe_load_all((ROOT / "infra/kubernetes/role.yaml").read_text())
            binding["subjects"][0]["namespace"] = name
            core.create_namespaced_service_account(name, account)
            rbac.create_namespaced_role(name, role)
            rbac.create_namespaced_role_binding(name, binding)
            request = {"spec": {"expirationSeconds": 7200}}
            token = core.create_namespaced_service_account_token("playground", name, request).status.token
            kubeconfig = folder / f"{name}.kubeconfig"
            kubeconfig.write_text(yaml.safe_dump(_kubeconfig(cluster, token)))
            yield Namespace(name, api, cluster, kubeconfig)
        finally:
            until(lambda: core.delete_namespace(name))


def _kubeconfig(cluster: RealCluster, token: str) -> dict[str, Any]:
    """The administrator's, as the control plane's account."""
    given = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    current = next(c for c in given["contexts"] if c["name"] == given["current-context"])
    [server] = [c for c in given["clusters"] if c["name"] == current["context"]["cluster"]]
    return given | {
        "clusters": [server],
        "users": [{"name": "playground", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": server["name"], "user": "playground"}}],
        "current-context": "test",
    }
