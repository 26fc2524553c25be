"""The Cosmos DB SDK, bounded: how long a call may take, what is tried again, what an error means.

The SDK itself tries nothing again. Left to itself it repeats a write whose answer was lost (it
takes a connection that closed for one that was never used) and then reports the first attempt's
success as a conflict. Here a write is repeated only after 429 and 449, which say that nothing was
written; a lost answer is StoreUnavailable: nothing is known of the write, and the caller, who reads
again before it goes on, finds its own generation and step or does not. Reads are repeated once over
a new connection.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.cosmos import exceptions  # noqa: TID251
from azure.cosmos.aio import ContainerProxy, CosmosClient  # noqa: TID251
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from shared.adapters.items import Item
from shared.domain.errors import Conflict, StoreUnavailable

LOOPBACK = ("localhost", "127.0.0.1", "::1")
AGAIN = 3  # how often a call is repeated after 429 (throttled) or 449 (others write in that partition)
PAUSE = 0.05  # seconds before that, where the answer does not say it


class CosmosContainer:
    """One container. Connects at the first call, and again after a connection that failed.

    `patience` is how many seconds a call may take in all, connecting, waiting and trying again
    included. Without `key` the process's managed identity is used (that of `client_id`, if given),
    or whatever else DefaultAzureCredential finds; a key is for servers on this machine only.
    """

    def __init__(self, endpoint: str, database: str, container: str, *, key: str, client_id: str, patience: float):
        url = urlsplit(endpoint)
        if key and url.hostname not in LOOPBACK:
            raise ValueError("an account key is for tests on this machine: give the process an identity")
        if not key and url.scheme != "https":
            raise ValueError(f"{endpoint}: an identity's token goes over https only")
        self._endpoint, self._key, self._client_id = endpoint, key, client_id
        self._database, self._name, self._patience = database, container, patience
        self._connecting = asyncio.Lock()
        self._container: ContainerProxy | None = None
        self._open: tuple[CosmosClient | AsyncTokenCredential | None, ...] = ()
        self._closed = False

    async def read(self, partition: str, id: str) -> Item | None:
        """One item by its partition and id, or None."""

        async def read(container: ContainerProxy) -> Item | None:
            try:
                return dict(await container.read_item(id, partition))
            except exceptions.CosmosResourceNotFoundError as error:
                if error.sub_status:  # not the item: the container, or a replica that lags behind
                    raise
                return None

        return await self._call(read, repeat=True)

    async def query(self, query: str, parameters: dict[str, Any], *, partition: str = "", limit: int = 0) -> list[Item]:
        """What a query finds, in one partition or in all of them, at most `limit` items (0: all)."""
        where: dict[str, Any] = {"partition_key": partition} if partition else {}
        if limit:
            where["max_item_count"] = limit + 1  # the SDK looks one item ahead

        async def read(container: ContainerProxy) -> list[Item]:
            found: list[Item] = []
            named = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
            async for item in container.query_items(query, parameters=named, **where):
                found.append(item)
                if len(found) == limit:
                    break
            return found

        return await self._call(read, repeat=True)

    async def batch(self, partition: str, operations: Sequence[tuple[Any, ...]]) -> list[str]:
        """Do all of it or nothing, within one partition; the etags. Raises Conflict."""

        async def write(container: ContainerProxy) -> list[str]:
            try:
                results = await container.execute_item_batch([(*o[:2], dict(*o[2:])) for o in operations], partition)
            except exceptions.CosmosBatchOperationError as error:
                if error.status_code in (404, 409, 412):
                    raise Conflict(f"the store answered {error.status_code}") from error
                raise
            return [result["eTag"] for result in results]

        return await self._call(write)

    async def patch(self, partition: str, id: str, values: dict[str, Any], condition: str) -> bool:
        """Set top-level properties if the item exists and meets the condition."""
        operations = [{"op": "set", "path": f"/{name}", "value": value} for name, value in values.items()]

        async def write(container: ContainerProxy) -> bool:
            try:
                await container.patch_item(id, partition, operations, filter_predicate=condition, no_response=True)
            except exceptions.CosmosAccessConditionFailedError:
                return False
            except exceptions.CosmosResourceNotFoundError as error:
                if error.sub_status:
                    raise
                return False
            return True

        return await self._call(write)

    async def close(self) -> None:
        """Close the connections."""
        self._closed, self._container = True, None
        await _close(*self._open)

    async def _call[T](self, call: Callable[[ContainerProxy], Awaitable[T]], *, repeat: bool = False) -> T:
        """`call` within the patience. Raises StoreUnavailable for whatever it does not handle."""
        loop, left = asyncio.get_running_loop(), AGAIN
        deadline = loop.time() + self._patience
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        return await call(self._container or await self._connect())
                    except (ServiceRequestError, ServiceResponseError):
                        if not repeat:
                            raise
                        repeat = False
                    except (exceptions.CosmosHttpResponseError, exceptions.CosmosBatchOperationError) as error:
                        pause = _retry_after(error) or PAUSE
                        if error.status_code not in (429, 449) or not left or loop.time() + pause >= deadline:
                            raise
                        left -= 1
                        await asyncio.sleep(pause)
        except (AzureError, TimeoutError) as error:
            raise _unavailable(error, self._patience) from error

    async def _connect(self) -> ContainerProxy:
        async with self._connecting:
            if self._container is not None:
                return self._container
            if self._closed:
                raise StoreUnavailable("Cosmos DB: the connection was closed")
            credential = self._identity()
            # No endpoint discovery: all goes to the account's own name, which is that of its write region.
            client = CosmosClient(
                self._endpoint, credential or self._key, enable_endpoint_discovery=False,
                retry_total=0, retry_connect=0, retry_read=0, retry_status=0, retry_throttle_total=-1,
            )  # fmt: skip
            try:
                await client.__aenter__()
                container = client.get_database_client(self._database).get_container_client(self._name)
                await container.read()  # so that a 404 later is the item's, and 404 here is a wrong setting
            except BaseException:
                await _close(client, credential)
                raise
            self._open, self._container = (client, credential), container
            return container

    def _identity(self) -> AsyncTokenCredential | None:
        if self._key:
            return None
        return ManagedIdentityCredential(client_id=self._client_id) if self._client_id else DefaultAzureCredential()


def _unavailable(error: Exception, patience: float) -> StoreUnavailable:
    status = getattr(error, "status_code", None)
    if status is None:
        what = f"no answer within {patience:g} s" if isinstance(error, TimeoutError) else "cannot be reached"
        return StoreUnavailable(f"Cosmos DB: {what}", retry_after=5)
    sub_status, wait = getattr(error, "sub_status", None), _retry_after(error)
    detail = f"Cosmos DB answered {status}" + (f"/{sub_status}" if sub_status else "")
    return StoreUnavailable(detail, retry_after=5 if wait is None else math.ceil(wait))


def _retry_after(error: Exception) -> float | None:
    """Seconds to wait by the answer's own word."""
    wait = (getattr(error, "headers", None) or {}).get("x-ms-retry-after-ms")
    return int(wait) / 1000 if wait and wait.isdecimal() else None


async def _close(*connections: CosmosClient | AsyncTokenCredential | None) -> None:
    for connection in connections:
        if connection is not None:
            with suppress(AzureError):
                await connection.close()
