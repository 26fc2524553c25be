"""`playground down`: the server stopped, and everything it made on the cluster taken away."""

import asyncio
import os

from selfhost.errors import CannotStart
from selfhost.lock import taken_over
from selfhost.setup import Files, server_settings
from shared.edge import settings

LAST = 1 << 30  # a step above any lease's: nothing is to win against this
PATIENCE = 120.0  # seconds for the pods to end


async def down(files: Files) -> None:
    """Stop the server of these files; delete its databases, data included, if it had a cluster of its own choice.

    The development cluster goes as a whole. Raises CannotStart, ClusterUnavailable, ClusterRefused.
    """
    if not files.folder.is_dir():
        return
    async with taken_over(files.folder) as stopped:
        if stopped:
            print(f"  stopped the server (process {stopped[0]})")
        await _clean(files)


async def _clean(files: Files) -> None:
    if not os.environ.get(settings.KUBECONFIG.name) or not files.has_leases:
        return
    os.environ.update(server_settings(files, "https://127.0.0.1", os.environ))
    from shared.wiring import startup
    from shared.wiring.cluster import cluster

    try:
        async with asyncio.timeout(PATIENCE):
            databases = await cluster.get()
            left = {workload.generation async for workload in databases.workloads()}
            print(f"  deleting {len(left)} databases in namespace {settings.NAMESPACE.read(os.environ)}")
            while left:
                gone = {generation for generation in left if await databases.delete(generation, LAST, "")}
                left -= gone
                if left and not gone:
                    await asyncio.sleep(0.5)
    except TimeoutError:
        raise CannotStart(f"{len(left)} databases are still being deleted; run it again") from None
    finally:
        await startup.end()
