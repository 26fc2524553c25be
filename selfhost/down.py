"""`playground down`: the server stopped, what it made on the cluster taken away, its files removed."""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

from selfhost.errors import CannotStart
from selfhost.lock import NAME as LOCK
from selfhost.lock import taken_over
from selfhost.remembered import kubeconfigs, remembered
from selfhost.setup import Files, server_settings
from selfhost.steps import short, step
from shared.domain.errors import PlaygroundError
from shared.edge import settings
from shared.edge.config import SettingError
from shared.ports.cluster import Cluster

LAST = 1 << 30  # a step above any lease's: nothing is to win against this
PATIENCE = 120.0  # seconds for the pods to end


async def down(files: Files) -> None:
    """Stop the server of these files; delete its databases, data included; remove the files.

    The development cluster goes as a whole, which is not done here. Raises CannotStart, OSError.
    """
    if not (files.folder / LOCK).exists():
        return  # nobody ever ran here
    async with taken_over(files.folder) as stopped:
        if stopped:
            print(f"  stopped the server (process {stopped[0]})")
        kept = remembered(files)
        cluster = _cluster(kept.get(settings.KUBECONFIG.name, ""), os.environ.get(settings.KUBECONFIG.name, ""))
        if cluster and not _goes_as_a_whole(files, cluster):
            os.environ.update(server_settings(files, "https://127.0.0.1", os.environ) | kept)
            os.environ[settings.KUBECONFIG.name] = cluster
            try:
                async with asyncio.timeout(PATIENCE):
                    await _clean(files)
            except TimeoutError:
                raise CannotStart("something on the cluster is still being deleted; run it again") from None
            except (PlaygroundError, SettingError) as error:
                hint = f"if the cluster of {cluster} is no more, remove {short(files.folder)} yourself"
                raise CannotStart(f"its databases cannot be deleted: {error}; {hint}") from error
        remove(files)


def _cluster(kept: str, given: str) -> str:
    """The kubeconfig of the cluster that the server used; where that file is gone, the one that is given."""
    return given if given and not any(path.is_file() for path in kubeconfigs(kept)) else kept


def _goes_as_a_whole(files: Files, cluster: str) -> bool:
    """Whether it is the development cluster that `make down` takes down."""
    folder = Path(os.environ.get("DEVCLUSTER_DIR") or files.folder / "devcluster").absolute()
    own = all(path.is_relative_to(folder) for path in kubeconfigs(cluster))
    return own and not os.environ.get(settings.KUBECONFIG.name)


async def _clean(files: Files) -> None:
    """Delete what this control plane, and its probe, have on the cluster. Raises PlaygroundError, SettingError."""
    from selfhost.namespaces import opened, tidy
    from shared.adapters.k8s import configurations
    from shared.adapters.k8s.databases import Databases
    from shared.domain.plane import plane_id
    from shared.wiring import cluster, startup, store

    namespace, spec = settings.NAMESPACE.read(os.environ), cluster.spec()
    try:
        connected = await cluster.api.get()
        if settings.STORE_URL.read(os.environ) != f"sqlite:///{files.store}" or files.has_leases:
            plane = await plane_id(await store.store.get())
            for each in (plane, f"{plane}-probe"):  # see shared.adapters.k8s.probe
                await _delete_all(Databases(connected, spec, each), f"of {each} in namespace {namespace}")
        configuration = await configurations.from_kubeconfig(settings.KUBECONFIG.read(os.environ))
        async with opened(configuration, namespace) as api:
            stays = await tidy(api)
        if stays:
            print(f"  {stays}")
    finally:
        await startup.end()


async def _delete_all(databases: Cluster, which: str) -> None:
    left = {workload.generation async for workload in databases.workloads()}
    if not left:
        return
    with step(f"deleting {len(left)} database{'s' * (len(left) > 1)} {which}"):
        while left:
            gone = {generation for generation in left if await databases.delete(generation, LAST, "")}
            left -= gone
            if left and not gone:
                await asyncio.sleep(0.5)


def remove(files: Files) -> None:
    """Remove what `run` has made in the folder, whose lock is held, and the folder unless it holds more."""
    shutil.rmtree(files.key_store, ignore_errors=True)
    store = [files.store.with_name(files.store.name + end) for end in ("", "-wal", "-shm", ".lock")]
    partial = [file.with_suffix(".part") for file in (files.notebook, files.settings)]
    lock = files.folder / LOCK  # the last to go
    for file in (*store, files.seal_keys, files.log, files.notebook, files.settings, *partial, lock):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # it may hold more, such as the development cluster
        files.folder.rmdir()
