"""A database stored as a blob and begun with one, by pods that alone have a way to where blobs are."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.archive_blob import BlobArchives
from shared.manifests.mariadb import CONTAINER
from shared.ports.cluster import Outcome, Task
from tests import azurite
from tests.cluster_fixture import RealCluster
from tests.contract.cluster_real import Real, real_world
from tests.contract.cluster_worlds import life, ready

pytestmark = pytest.mark.cluster


@pytest.fixture
async def world(real_cluster: RealCluster) -> AsyncIterator[Real]:
    async with real_world(real_cluster) as world:
        yield world


@pytest.fixture
def account(real_cluster: RealCluster) -> Iterator[str]:
    """Azurite where the cluster's pods can reach it: on this machine's address towards the cluster."""
    if real_cluster.devcluster is None:
        pytest.skip("pods of somebody else's cluster do not reach this machine")
    host = real_cluster.client_networks[0].partition("/")[0]
    with azurite.running(service="blob", host=host) as url:
        yield url


@pytest.fixture
async def archives(account: str) -> AsyncIterator[BlobArchives]:
    async with BlobServiceClient(account, azurite.CREDENTIAL) as client:
        await client.create_container("archives")
    opened = await BlobArchives.open(f"{account}/archives", credential=azurite.CREDENTIAL)
    yield opened
    await opened.close()


async def test_what_was_stored_as_a_blob_is_what_the_next_database_begins_with(world: Real, archives: BlobArchives):
    cluster, alice, bob = world.databases(), life(), life()
    await world.write(await ready(world, cluster, alice, 1), alice.generation, "a row")
    name = f"{alice.generation}-2"
    place = await archives.to_write(name)
    task = Task(name, base64.b64encode(secrets.token_bytes(32)).decode(), f"acme/alice {name}", place)

    async def outcome() -> Outcome | None:
        found = await cluster.store(alice, 2, task)
        return found if found != Outcome() else None

    stored = await world.until(outcome)
    assert stored.done and await archives.holds(name, stored.sha256, stored.size)

    task = replace(task, place=await archives.to_read(name), sha256=stored.sha256, size=stored.size)
    async with asyncio.timeout(60):
        while not (found := await cluster.restore(bob, 1, task, wait=True)).done:
            assert found == Outcome()
    await cluster.start(bob, 2)
    async with asyncio.timeout(60):
        status = await cluster.wait_ready(bob.generation)
    assert await world.read(status, bob.generation) == ["a row"]

    host, port = place.url.split("/")[2].split(":")
    way_out = ["bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]
    closed = await world.api.run(f"pg-{bob.generation}-0", CONTAINER, ["timeout", "3", *way_out])
    assert closed.code != 0, "a database itself has no way out, to there or anywhere"
