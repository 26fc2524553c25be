"""The namespace of one machine's databases: made where it is missing, and taken away only if it was made here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from shared.adapters.k8s.answers import Refusal, refused
from shared.adapters.k8s.api import Object, ObjectConflict
from shared.adapters.k8s.client import KubernetesApi
from shared.adapters.k8s.fences import TRIES
from shared.adapters.k8s.namespaces import ensure_namespace
from shared.adapters.k8s.watching import everything
from shared.domain.errors import ClusterRefused, PlaygroundError

MADE_BY = "playground.dev/made-by"
RUN = "playground-run"
PATH = "/api/v1/namespaces/{namespace}"
COMPONENT = "app.kubernetes.io/component"
OURS = "app.kubernetes.io/managed-by=playground"
# What the databases of a namespace have in common, by kind and component.
SHARED = (("ConfigMap", "init-scripts"), ("NetworkPolicy", "tasks"))
ARCHIVES = "archives"  # component of the claim they are on: it goes with a namespace of ours, and never else
GIVEN = "kube-root-ca.crt"  # the ConfigMap that Kubernetes puts into every namespace
CONTENTS = ("StatefulSet", "Pod", "PersistentVolumeClaim", "Service", "Secret", "NetworkPolicy", "ConfigMap")


class NamespaceApi(KubernetesApi):
    """The verbs on the namespace itself, besides those on what is in it."""

    async def get_namespace(self) -> Object | None:
        return await self._of_namespace("GET")

    async def replace_namespace(self, manifest: Object) -> None:
        """Raises ObjectConflict if it is not what was read."""
        await self._of_namespace("PUT", manifest)

    async def delete_namespace(self, uid: str) -> None:
        """Begin its deletion if it still has that UID. Raises ObjectConflict."""
        await self._of_namespace("DELETE", {"preconditions": {"uid": uid}})

    async def _of_namespace(self, method: str, body: Object | None = None) -> Object | None:
        try:
            return await self._ask(method, PATH, [], body)
        except Refusal as refusal:
            if refusal.code == 404 and refusal.reason == "NotFound":  # a proxy's 404 proves nothing
                return None
            if refusal.code == 409:
                raise ObjectConflict from None
            raise refused(refusal) from refusal


@asynccontextmanager
async def opened(configuration: Any, name: str) -> AsyncIterator[NamespaceApi]:
    """The verbs on a namespace, there or not, of the cluster that is configured so."""
    api = NamespaceApi(configuration, name)
    try:
        yield api
    finally:
        await api.close()


async def prepare(configuration: Any, name: str) -> None:
    """See that the namespace is there; one that is made here says so. Raises ClusterRefused, ClusterUnavailable."""
    if not await ensure_namespace(configuration, name):
        return
    async with opened(configuration, name) as api:
        for _ in range(TRIES):
            with suppress(ObjectConflict, PlaygroundError):  # whoever may make one, but not change it, keeps it
                if found := await api.get_namespace():
                    found["metadata"]["labels"][MADE_BY] = RUN
                    await api.replace_namespace(found)
                return


async def tidy(api: NamespaceApi) -> str:
    """Remove what databases share, and the namespace if it was made here and holds nothing else.

    Returns why something stays, "" if nothing does. Raises ClusterUnavailable.
    """
    try:
        for kind in ("StatefulSet", "PersistentVolumeClaim"):
            if (await everything(api, kind, f"{OURS},{COMPONENT}=database"))[0]:
                return f"namespace {api.namespace} stays: another control plane has databases there"
        for kind, component in SHARED:
            for item in (await everything(api, kind, f"{OURS},{COMPONENT}={component}"))[0]:
                with suppress(ObjectConflict):  # somebody else was here
                    metadata = item["metadata"]
                    await api.delete(kind, metadata["name"], metadata["uid"], metadata["resourceVersion"])
        found = await api.get_namespace()
        if found is None or found["metadata"].get("labels", {}).get(MADE_BY) != RUN:
            return ""
        for kind in CONTENTS:
            for item in (await everything(api, kind))[0]:
                metadata = item["metadata"]
                if (metadata.get("labels") or {}).get(COMPONENT) == ARCHIVES:
                    continue
                if metadata["name"] != GIVEN and "deletionTimestamp" not in metadata:
                    return f"namespace {api.namespace} stays: it holds {kind} {item['metadata']['name']}"
        await api.delete_namespace(found["metadata"]["uid"])
        while left := await api.get_namespace():
            if left["metadata"]["uid"] != found["metadata"]["uid"]:
                break
            await asyncio.sleep(0.5)
    except (ClusterRefused, ObjectConflict) as error:
        return f"what databases share in namespace {api.namespace} stays: {error}"
    return ""
