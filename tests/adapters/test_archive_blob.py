"""Archives as blobs: what the credential in a URL allows, what is known to be there, and what an outage costs.

The key of an identity cannot be had from Azurite, which knows no Entra ID: that path is tried with a stand-in for the
SDK's client only, and against no service.
"""

import asyncio
import io
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import UserDelegationKey
from azure.storage.blob.aio import BlobClient, BlobServiceClient

import archiver.blob
from archiver.sealed import Counted, seal, size_of, unseal
from shared.adapters import archive_blob
from shared.adapters.archive_blob import HOUR, KEY_LIFE, SKEW, BlobArchives
from shared.domain.errors import ArchiveUnavailable
from tests import azurite

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    with azurite.running(service="blob") as url:
        yield url


@pytest.fixture
async def container(azure: str) -> str:
    async with BlobServiceClient(azure, azurite.CREDENTIAL) as service:
        name = f"archives-{uuid.uuid4().hex[:12]}"
        await service.create_container(name)
        return f"{azure}/{name}"


@pytest.fixture
async def archives(container: str) -> AsyncIterator[BlobArchives]:
    opened = await BlobArchives.open(container, credential=azurite.CREDENTIAL)
    yield opened
    await opened.close()


async def put(url: str, data: bytes = b"sealed", sha256: str = SHA256) -> None:
    """As the archiver does it, with nothing but the URL."""
    async with BlobClient.from_blob_url(url, retry_total=0) as blob:
        await blob.stage_block("1", data)
        await blob.commit_block_list(["1"], metadata={"sha256": sha256})


async def got(url: str) -> bytes:
    async with BlobClient.from_blob_url(url, retry_total=0) as blob:
        return await (await blob.download_blob()).readall()


def code(error: HttpResponseError) -> tuple[int | None, str]:
    found = getattr(error, "error_code", "")
    return error.status_code, str(getattr(found, "value", found))


def query(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


REFUSED = {(403, "AuthorizationPermissionMismatch"), (403, "AuthenticationFailed"), (403, "AuthorizationFailure")}


# What a place allows


@pytest.mark.slow
async def test_what_is_written_to_a_place_is_read_from_one(archives: BlobArchives, container: str) -> None:
    written, read = await archives.to_write("k3x-7"), await archives.to_read("k3x-7")
    await put(written.url)
    assert await got(read.url) == b"sealed"
    assert urlsplit(written.url)._replace(query="").geturl() == f"{container}/k3x-7.archive"
    assert (written.claim, written.path) == ("", "")


@pytest.mark.slow
async def test_what_the_archiver_stores_there_is_held_and_fetched(archives: BlobArchives) -> None:
    written, read = await archives.to_write("k3x-7"), await archives.to_read("k3x-7")
    sealed = Counted(seal(io.BytesIO(b"dump"), bytes(32), "default/alice k3x-7"))
    await asyncio.to_thread(archiver.blob.put, written.url, sealed, size_of(4))
    outcome = sealed.outcome()
    assert await archives.holds("k3x-7", outcome.sha256, outcome.size)
    pieces = await asyncio.to_thread(lambda: list(archiver.blob.get(read.url)))
    assert b"".join(unseal(pieces, bytes(32), "default/alice k3x-7")) == b"dump"


@pytest.mark.slow
async def test_a_later_try_may_replace_it(archives: BlobArchives) -> None:
    for data in (b"first", b"second"):
        await put((await archives.to_write("k3x-7")).url, data)
    assert await got((await archives.to_read("k3x-7")).url) == b"second"


@pytest.mark.slow
async def test_a_place_to_write_writes_that_archive_alone(archives: BlobArchives) -> None:
    mine, other = await archives.to_write("k3x-7"), await archives.to_write("k3x-8")
    await put(other.url, b"other")
    for name in ("k3x-8", "k3x-9"):
        with pytest.raises(HttpResponseError) as caught:
            await put(mine.url.replace("k3x-7", name))
        assert code(caught.value) in REFUSED
    assert await got((await archives.to_read("k3x-8")).url) == b"other"


@pytest.mark.slow
async def test_a_place_to_write_neither_reads_nor_deletes(archives: BlobArchives) -> None:
    url = (await archives.to_write("k3x-7")).url
    await put(url)
    async with BlobClient.from_blob_url(url, retry_total=0) as blob:
        for use in (blob.download_blob, blob.get_blob_properties, blob.delete_blob):
            with pytest.raises(HttpResponseError) as caught:
                await use()
            assert caught.value.status_code == 403
    assert await archives.holds("k3x-7", SHA256, 6)


@pytest.mark.slow
async def test_a_place_to_read_neither_writes_nor_deletes(archives: BlobArchives) -> None:
    await put((await archives.to_write("k3x-7")).url)
    url = (await archives.to_read("k3x-7")).url
    with pytest.raises(HttpResponseError) as caught:
        await put(url, b"another")
    assert code(caught.value) in REFUSED
    async with BlobClient.from_blob_url(url, retry_total=0) as blob:
        with pytest.raises(HttpResponseError) as caught:
            await blob.delete_blob()
    assert code(caught.value) in REFUSED
    assert await got(url) == b"sealed"


class Clock:
    """Says what it is told."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.slow
async def test_a_place_is_good_for_an_hour(container: str) -> None:
    began = datetime.now(UTC)
    for ago, good in ((HOUR - 60, True), (HOUR + 60, False)):
        clock = Clock(began.timestamp() - ago)
        archives = await BlobArchives.open(container, credential=azurite.CREDENTIAL, clock=clock)
        place = await archives.to_write("k3x-7")
        await archives.close()
        if good:
            await put(place.url)
        else:
            with pytest.raises(HttpResponseError) as caught:
                await put(place.url)
            assert code(caught.value) in REFUSED


async def test_a_place_says_from_when_to_when_it_is_good() -> None:
    clock = Clock(1_900_000_000)
    url = "http://127.0.0.1:1/devstoreaccount1/archives"
    archives = await BlobArchives.open(url, credential=azurite.CREDENTIAL, clock=clock)
    for place, allowed in ((await archives.to_write("a"), "cw"), (await archives.to_read("a"), "r")):
        found = query(place.url)
        assert instant(found["st"]) == datetime.fromtimestamp(clock.seconds - 300, UTC)
        assert instant(found["se"]) == datetime.fromtimestamp(clock.seconds + 3600, UTC)
        assert (found["sp"], found["sr"]) == (allowed, "b")
    await archives.close()


async def test_a_place_does_not_show_its_credential() -> None:
    archives = await BlobArchives.open("https://account.invalid/archives", credential=azurite.CREDENTIAL)
    place = await archives.to_write("a")
    assert query(place.url)["spr"] == "https"
    assert "sig" in place.url
    assert "sig" not in repr(place)
    await archives.close()


# What is there


@pytest.mark.slow
async def test_only_what_is_there_as_it_was_stored_is_held(archives: BlobArchives) -> None:
    await put((await archives.to_write("k3x-7")).url)
    assert await archives.holds("k3x-7", SHA256, 6)
    assert not await archives.holds("k3x-7", SHA256, 7)
    assert not await archives.holds("k3x-7", "cd" * 32, 6)
    assert not await archives.holds("k3x-8", SHA256, 6)


@pytest.mark.slow
async def test_an_archive_without_a_checksum_is_not_held(archives: BlobArchives) -> None:
    async with BlobClient.from_blob_url((await archives.to_write("k3x-7")).url) as blob:
        await blob.upload_blob(b"sealed")
    assert not await archives.holds("k3x-7", SHA256, 6)


@pytest.mark.slow
async def test_a_container_that_is_missing_is_no_proof_that_the_archive_is(azure: str) -> None:
    archives = await BlobArchives.open(f"{azure}/missing", credential=azurite.CREDENTIAL)
    with pytest.raises(ArchiveUnavailable, match="the container missing: ContainerNotFound"):
        await archives.holds("k3x-7", SHA256, 6)
    await archives.close()


# Outages


async def test_a_server_that_is_down_is_told_at_once() -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{azurite.ACCOUNT}/archives"
    archives = await BlobArchives.open(url, credential=azurite.CREDENTIAL)
    async with asyncio.timeout(5):
        with pytest.raises(ArchiveUnavailable, match="the container archives: ServiceRequestError"):
            await archives.holds("k3x-7", SHA256, 6)
    assert (await archives.to_write("k3x-7")).url.startswith(url)
    await archives.close()


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_blob, "PATIENCE", 0.05)
    hanging: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: hanging.append(writer), "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{azurite.ACCOUNT}/archives"
        archives = await BlobArchives.open(url, credential=azurite.CREDENTIAL)
        async with asyncio.timeout(5):
            with pytest.raises(ArchiveUnavailable, match="the container archives: ServiceResponseTimeoutError"):
                await archives.holds("k3x-7", SHA256, 6)
        await archives.close()
        for writer in hanging:
            writer.close()


@pytest.mark.slow
async def test_requests_are_not_logged(archives: BlobArchives, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await archives.to_write("k3x-7")
    assert not await archives.holds("k3x-7", SHA256, 6)
    assert caplog.records == []


# An identity


class Account:
    """Stands in for the SDK's client of an account: gives keys, and counts how many."""

    account_name = "account"

    def __init__(self) -> None:
        self.given: list[tuple[datetime, datetime]] = []
        self.failure: Exception | None = None

    def get_blob_client(self, container: str, name: str) -> BlobClient:
        return BlobClient("https://account.blob.core.windows.net", container, name)

    async def get_user_delegation_key(self, start: datetime, ends: datetime) -> UserDelegationKey:
        if self.failure:
            raise self.failure
        await asyncio.sleep(0)
        self.given.append((start, ends))
        key = UserDelegationKey()
        key.signed_oid, key.signed_tid, key.signed_service, key.signed_version = "who", "tenant", "b", "2025-01-05"
        key.signed_start, key.signed_expiry = start.strftime("%Y-%m-%dT%H:%M:%SZ"), ends.strftime("%Y-%m-%dT%H:%M:%SZ")
        key.value = azurite.KEY
        return key

    async def close(self) -> None:
        """Nothing is open."""


class SignedIn:
    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def clock() -> Clock:
    return Clock(1_900_000_000)


@pytest.fixture
def of_identity(account: Account, clock: Clock) -> BlobArchives:
    credential = cast(AsyncTokenCredential, SignedIn())
    return BlobArchives(cast(BlobServiceClient, account), "archives", credential, clock)


async def test_an_identity_signs_with_a_key_of_its_own_that_outlives_what_is_signed(
    of_identity: BlobArchives, account: Account
) -> None:
    url = (await of_identity.to_write("k3x-7")).url
    found = query(url)
    assert url.startswith("https://account.blob.core.windows.net/archives/k3x-7.archive?")
    assert (found["skoid"], found["sktid"], found["sp"], found["spr"]) == ("who", "tenant", "cw", "https")
    assert instant(found["skt"]) <= instant(found["st"]) < instant(found["se"]) <= instant(found["ske"])
    ((start, ends),) = account.given
    assert ends - start == timedelta(seconds=KEY_LIFE + SKEW)


async def test_a_key_is_kept_until_shortly_before_it_ends(
    of_identity: BlobArchives, account: Account, clock: Clock
) -> None:
    for _ in range(2):
        await asyncio.gather(*(of_identity.to_write(f"k3x-{n}") for n in range(5)))
    assert len(account.given) == 1
    clock.seconds += KEY_LIFE - HOUR - SKEW
    await of_identity.to_read("k3x-7")
    assert len(account.given) == 1
    clock.seconds += 1
    found = query((await of_identity.to_read("k3x-7")).url)
    assert len(account.given) == 2
    assert instant(found["se"]) <= instant(found["ske"])


async def test_who_is_refused_a_key_is_told_and_asks_again_the_next_time(
    of_identity: BlobArchives, account: Account
) -> None:
    account.failure = ClientAuthenticationError("no token\nand how to get one")
    with pytest.raises(ArchiveUnavailable, match=r"the container archives: ClientAuthenticationError: no token$"):
        await of_identity.to_write("k3x-7")
    account.failure = None
    assert (await of_identity.to_write("k3x-7")).url
    await of_identity.close()


# URLs and names


async def test_an_identity_never_goes_over_plain_http() -> None:
    with pytest.raises(ValueError, match="https only"):
        await BlobArchives.open("http://account.blob.core.windows.net/archives")


async def test_opening_reaches_for_nothing() -> None:
    archives = await BlobArchives.open("https://account.invalid/archives")
    await archives.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://account.blob.core.windows.net",
        "https://account.blob.core.windows.net/",
        "https://account.blob.core.windows.net/Archives",
        "https://account.blob.core.windows.net/a",
        "ftp://account.blob.core.windows.net/archives",
        "https:///archives",
    ],
)
async def test_what_is_no_containers_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a container"):
        await BlobArchives.open(url, credential=azurite.CREDENTIAL)


async def test_a_credential_in_the_url_is_refused_and_not_told() -> None:
    with pytest.raises(ValueError, match="no credential in it") as caught:
        await BlobArchives.open("https://account.blob.core.windows.net/archives?sig=secret")
    assert "secret" not in str(caught.value)


async def test_a_name_that_could_lead_elsewhere_is_refused() -> None:
    archives = await BlobArchives.open("https://account.invalid/archives", credential=azurite.CREDENTIAL)
    for use in (archives.to_write, archives.to_read):
        with pytest.raises(ValueError, match="an archive's name"):
            await use("../k3x-7")
    await archives.close()
