"""The cluster of this process. Only who calls `cluster.get()` loads Kubernetes' library."""

import os
from math import ceil
from typing import TYPE_CHECKING

from shared.domain.plane import plane_id
from shared.domain.policy import DAY
from shared.edge import settings
from shared.edge.config import SettingError
from shared.manifests.mariadb import AddressKind, Spec
from shared.ports.cluster import Cluster
from shared.wiring import telemetry
from shared.wiring.once import Once
from shared.wiring.store import store

if TYPE_CHECKING:
    from shared.adapters.k8s.client import KubernetesApi


def spec() -> Spec:
    """What databases are made like. Raises SettingError, also where they would be open to everybody."""
    env = os.environ
    chosen = Spec(
        image=settings.DATABASE_IMAGE.read(env),
        cpu_limit=settings.DATABASE_CPU.read(env),
        memory=settings.DATABASE_MEMORY.read(env),
        storage=settings.DATABASE_STORAGE.read(env),
        storage_class=settings.STORAGE_CLASS.read(env),
        client_networks=settings.CLIENT_NETWORKS.read(env),
        address=AddressKind(settings.ADDRESS.read(env)),
        service_annotations=settings.SERVICE_ANNOTATIONS.read(env),
        archiver=settings.ARCHIVER_IMAGE.read(env),
        archives_at_once=settings.ARCHIVES_AT_ONCE.read(env),
        archive_storage=settings.ARCHIVE_STORAGE.read(env),
        archive_days=ceil(settings.ARCHIVE_KEPT.read(env) / DAY) + 1,
    )
    if settings.ARCHIVE_AT.read(env) != "none" and not chosen.archiver:
        raise SettingError(f"{settings.ARCHIVER_IMAGE.name} must be set where {settings.ARCHIVE_AT.name} is")
    if chosen.address is AddressKind.LOAD_BALANCER and not chosen.client_networks:
        raise SettingError(  # a balancer without source ranges lets the whole world in
            f"{settings.ADDRESS.name} is {chosen.address}, so {settings.CLIENT_NETWORKS.name} must name the networks"
            " from which databases may be reached"
        )
    return chosen


def _any_exists(paths: str) -> bool:
    """Whether there is one of a kubeconfig's files, as kubectl separates them."""
    return any(os.path.isfile(os.path.expanduser(path)) for path in paths.split(os.pathsep))


async def _connect() -> "KubernetesApi":
    from shared.adapters.k8s import configurations
    from shared.adapters.k8s.client import KubernetesApi

    path, namespace = settings.KUBECONFIG.read(os.environ), settings.NAMESPACE.read(os.environ)
    if path and not _any_exists(path):
        raise SettingError(f"{settings.KUBECONFIG.name} names no file that is there")
    try:
        configuration = await configurations.from_kubeconfig(path) if path else configurations.in_cluster()
        return KubernetesApi(configuration, namespace)
    except Exception as error:  # anybody wrote that file, and the library has a dozen ways to say no
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        what = "names no cluster that can be used" if path else "is not set, and this is no pod of a cluster"
        raise SettingError(f"{settings.KUBECONFIG.name} {what} ({why})") from error


api: "Once[KubernetesApi]" = Once(_connect, lambda connected: connected.close())


async def _make() -> Cluster:
    from shared.adapters.k8s.databases import Databases

    return Databases(telemetry.observed_api(await api.get()), spec(), await plane_id(await store.get()))


cluster: Once[Cluster] = Once(_make)
