"""A real Kubernetes for the contract of `Cluster`: a namespace a test, acted in as the role of the control plane."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql
import yaml
from kubernetes.aio import client

from shared.adapters.k8s.client import KubernetesApi
from shared.adapters.k8s.configurations import at, from_kubeconfig
from shared.adapters.k8s.databases import Databases
from shared.manifests.mariadb import USER, Spec
from shared.ports.cluster import Status
from tests.cluster_fixture import NAMESPACE_PREFIX, ROOT, RealCluster
from tests.contract.cluster_worlds import PASSWORD


@dataclass
class Real:
    """A namespace of its own, seen as administrator (`admin`) and as the control plane (`api`, by `role`)."""

    namespace: str
    spec: Spec
    api: KubernetesApi
    role: client.Configuration
    admin: client.ApiClient
    patience: float = 60.0

    def databases(self, plane: str = "plane-a", **changes: Any) -> Databases:
        return Databases(self.api, replace(self.spec, **changes), plane, patience=2.0)

    async def write(self, status: Status, generation: str, text: str) -> None:
        await sql(
            status,
            "CREATE DATABASE IF NOT EXISTS mine",
            "CREATE TABLE IF NOT EXISTS mine.texts (text VARCHAR(99))",
            ("INSERT INTO mine.texts VALUES (%s)", [text]),
        )

    async def read(self, status: Status, generation: str) -> list[str]:
        return [row[0] for row in await sql(status, "SELECT text FROM mine.texts")]

    @asynccontextmanager
    async def connected(self, status: Status, generation: str) -> AsyncIterator[None]:
        connection = await asyncio.to_thread(connect, status.address)
        yield
        await asyncio.to_thread(connection.close)

    async def refuse_pods(self) -> None:
        quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        core = client.CoreV1Api(self.admin)
        await core.create_namespaced_resource_quota(self.namespace, quota)

        async def counted() -> Any:
            return (await core.read_namespaced_resource_quota("none", self.namespace)).status.hard

        await self.until(counted)

    async def no_image(self) -> dict[str, Any]:
        return {"image": f"{self.spec.image.rpartition(':')[0]}:there-is-no-such-tag"}

    async def no_room(self) -> dict[str, Any]:
        return {"cpu": "1000", "cpu_limit": "1000"}

    async def drop_workload(self, generation: str) -> None:
        await client.AppsV1Api(self.admin).delete_namespaced_stateful_set(f"pg-{generation}", self.namespace)

    async def drop_volume(self, generation: str) -> None:
        name, core = f"pg-{generation}", client.CoreV1Api(self.admin)
        await core.delete_namespaced_persistent_volume_claim(name, self.namespace)

        async def gone() -> bool:
            return name not in await self.names("PersistentVolumeClaim")

        await self.until(gone)

    async def names(self, kind: str) -> list[str]:
        """What there is of a kind, seen by the administrator."""
        api = KubernetesApi(self.admin.configuration, self.namespace)
        try:
            return [item["metadata"]["name"] for item in (await api.page(kind)).items]
        finally:
            await api.close()

    async def take_right(self, resource: str, verb: str) -> None:
        """The control plane's role loses one verb."""
        rbac = client.RbacAuthorizationV1Api(self.admin)
        role = await rbac.read_namespaced_role("playground", self.namespace)
        for rule in role.rules:
            if resource in rule.resources:
                rule.verbs.remove(verb)
        await rbac.replace_namespaced_role("playground", self.namespace, role)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(self.patience):
            while not (result := await condition()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return result


@asynccontextmanager
async def real_world(cluster: RealCluster, labels: dict[str, str] | None = None) -> AsyncIterator[Real]:
    """The namespace with the standard's labels and the role of infra/kubernetes; deleted afterwards."""
    configuration = await from_kubeconfig(cluster.kubeconfig)
    namespace = f"{NAMESPACE_PREFIX}{secrets.token_hex(4)}"
    async with client.ApiClient(configuration) as admin:
        core, rbac = client.CoreV1Api(admin), client.RbacAuthorizationV1Api(admin)
        [made] = yaml.safe_load_all((ROOT / "infra/kubernetes/namespace.yaml").read_text())
        made["metadata"]["name"] = namespace
        made["metadata"]["labels"] |= labels or {}
        await core.create_namespace(made)
        account, role, binding = yaml.safe_load_all((ROOT / "infra/kubernetes/role.yaml").read_text())
        binding["subjects"][0]["namespace"] = namespace
        await core.create_namespaced_service_account(namespace, account)
        await rbac.create_namespaced_role(namespace, role)
        await rbac.create_namespaced_role_binding(namespace, binding)
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        answer = await core.create_namespaced_service_account_token("playground", namespace, request)
        spec = Spec(
            image=cluster.image,
            archiver=cluster.archiver,
            archive_storage="256Mi",
            storage="256Mi",
            memory="256Mi",
            client_networks=cluster.client_networks,
        )

        async def token() -> str:
            return str(answer.status.token)

        authority = await asyncio.to_thread(Path(configuration.ssl_ca_cert).read_text)
        role_s = at(configuration.host, authority, token)
        api = KubernetesApi(role_s, namespace)
        try:
            yield Real(namespace, spec, api, role_s, admin)
        finally:
            await api.close()
            await core.delete_namespace(namespace)


def connect(address: str, password: str = PASSWORD, user: str = USER) -> pymysql.Connection:
    host, _, port = address.rpartition(":")
    return pymysql.connect(host=host, port=int(port), user=user, password=password, connect_timeout=5, autocommit=True)


async def sql(status: Status, *statements: str | tuple[str, list[Any]]) -> list[tuple[Any, ...]]:
    """Run statements on one connection as the user; returns the rows of the last."""

    def run() -> list[tuple[Any, ...]]:
        connection = connect(status.address)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(*([statement] if isinstance(statement, str) else statement))
                return list(cursor.fetchall())
        finally:
            connection.close()

    return await asyncio.to_thread(run)
