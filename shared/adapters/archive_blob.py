"""Archives as blobs of one container of Azure Storage, which whoever deploys makes.

A pod gets a URL with a SAS for one blob: a credential that is signed here and asks nobody. With an identity it is
signed with a user delegation key, which the service gives to who may have it (Storage Blob Delegator) for a day.
"""

import asyncio
import logging
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import BlobServiceClient

from shared.adapters.archive_volume import file_name
from shared.adapters.looks_queue import Credential, close, identity, reason
from shared.domain.errors import ArchiveUnavailable
from shared.ports.archives import Place
from shared.ports.clock import Clock, SystemClock

CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
HOUR = 3600  # seconds for which a SAS is good, however long the pod takes to begin
SKEW = 300  # seconds: clocks may differ by so much
KEY_LIFE = 24 * HOUR  # of a user delegation key; a SAS ends with the key it is signed with, so none is
KEY_LEAST = HOUR + SKEW  # used with less than this left
PATIENCE = 2.0  # seconds for a connection, and as long again for an answer
LONGEST = 15.0  # seconds for all of a question: the first one has to wait until this process has signed in

WRITE = BlobSasPermissions(create=True, write=True)
READ = BlobSasPermissions(read=True)


class BlobArchives:
    """The port `Archives` on one container. It tries nothing again: whoever asks comes back by itself."""

    def __init__(self, account: BlobServiceClient, container: str, credential: Credential, clock: Clock):
        self._account, self._container, self._credential, self._clock = account, container, credential, clock
        self._key: UserDelegationKey | None = None
        self._key_ends = 0.0
        self._asking = asyncio.Lock()

    @classmethod
    async def open(
        cls, url: str, *, credential: Credential | None = None, clock: Clock | None = None
    ) -> "BlobArchives":
        """Of the container at `url`, `https://<account>.blob.core.windows.net/<container>`; reaches for nothing
        yet. Raises ValueError for a wrong URL.

        Without `credential` the process's own identity is used, over https only; a key is for servers on this
        machine.
        """
        account, container = _parts(url)
        credential = credential or identity(url)
        client = BlobServiceClient(
            account, credential,
            retry_total=0, connection_timeout=PATIENCE, read_timeout=PATIENCE, http_logging_level=logging.DEBUG,
        )  # fmt: skip
        return cls(client, container, credential, clock or SystemClock())

    async def to_write(self, name: str) -> Place:
        return await self._signed(name, WRITE)

    async def to_read(self, name: str) -> Place:
        return await self._signed(name, READ)

    async def holds(self, name: str, sha256: str, size: int) -> bool:
        """By its size and the checksum that the pod put beside it; its content is not read."""
        try:
            async with asyncio.timeout(LONGEST):
                found = await self._account.get_blob_client(self._container, file_name(name)).get_blob_properties()
        except ResourceNotFoundError as error:
            if reason(error) == "BlobNotFound":
                return False
            raise self._unavailable(error) from None
        except (AzureError, TimeoutError) as error:
            raise self._unavailable(error) from None
        return found.size == size and (found.metadata or {}).get("sha256") == sha256

    async def close(self) -> None:
        await self._account.close()
        await close(self._credential)

    async def _signed(self, name: str, permission: BlobSasPermissions) -> Place:
        blob = self._account.get_blob_client(self._container, file_name(name))
        now = self._clock.now()
        key = self._credential.named_key.key if isinstance(self._credential, AzureNamedKeyCredential) else None
        sas = generate_blob_sas(
            str(self._account.account_name), self._container, str(blob.blob_name),
            account_key=key,
            user_delegation_key=None if key else await self._delegation_key(now),
            permission=permission,
            start=_utc(now - SKEW),
            expiry=_utc(now + HOUR),
            protocol="https" if blob.url.startswith("https://") else None,
        )  # fmt: skip
        return Place(url=f"{blob.url}?{sas}")

    async def _delegation_key(self, now: float) -> UserDelegationKey:
        """The one at hand, or a new one shortly before that ends. Raises ArchiveUnavailable."""
        async with self._asking:
            if self._key is None or now + KEY_LEAST > self._key_ends:
                start, ends = now - SKEW, now + KEY_LIFE
                try:
                    async with asyncio.timeout(LONGEST):
                        self._key = await self._account.get_user_delegation_key(_utc(start), _utc(ends))
                except (AzureError, TimeoutError) as error:
                    raise self._unavailable(error) from None
                self._key_ends = ends
            return self._key

    def _unavailable(self, error: Exception) -> ArchiveUnavailable:
        return ArchiveUnavailable(f"the container {self._container}: {reason(error)}")


def _parts(url: str) -> tuple[str, str]:
    """The account's URL and the container's name. Raises ValueError, which shows no credential."""
    parts = urlsplit(url)
    if parts.query or parts.username:
        raise ValueError("a container's URL has no credential in it: this process's identity is used")
    account, _, container = url.rstrip("/").rpartition("/")
    if parts.scheme not in ("https", "http") or not urlsplit(account).hostname or not CONTAINER.fullmatch(container):
        raise ValueError(f"{url}: not the URL of a container, https://<account>.blob.core.windows.net/<container>")
    return account, container


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
