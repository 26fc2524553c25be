"""The program with a blob: what a URL allows, what becomes of two at once, and what is told when it fails."""

import hashlib
import io
import os
import signal
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from azure.storage.blob import BlobSasPermissions, ContainerClient, generate_blob_sas

from archiver import blob
from archiver.errors import Missing, Unreachable
from archiver.sealed import CHUNK, Counted, seal, size_of, unseal
from tests import azurite
from tests.archiver.program import CONTEXT, MIB, Pod

DATA_KEY = bytes(range(32))
DUMP = os.urandom(6 * MIB + 17)
WRITE, READ = BlobSasPermissions(create=True, write=True), BlobSasPermissions(read=True)


@pytest.fixture(scope="module")
def container() -> Iterator[ContainerClient]:
    with azurite.running(service="blob") as url:
        with ContainerClient(url, "archives", azurite.CREDENTIAL) as container:
            container.create_container()
            yield container


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pod = Pod(tmp_path, {"ARCHIVE_FILE": ""})
    pod.dump.write_bytes(DUMP)
    return pod


class Archive:
    """One blob, and URLs that allow this or that with it."""

    def __init__(self, container: ContainerClient):
        self.client = container.get_blob_client(f"{uuid.uuid4().hex}.archive")

    def url(self, permission: BlobSasPermissions, hours: float = 1) -> str:
        sas = generate_blob_sas(
            azurite.ACCOUNT,
            self.client.container_name,
            self.client.blob_name,
            account_key=azurite.KEY,
            permission=permission,
            start=datetime.now(UTC) - timedelta(hours=2),
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )
        return f"{self.client.url}?{sas}"

    @property
    def to_write(self) -> str:
        return self.url(WRITE)

    @property
    def to_read(self) -> str:
        return self.url(READ)

    def data(self) -> bytes:
        return self.client.download_blob().readall()


@pytest.fixture
def archive(container: ContainerClient) -> Archive:
    return Archive(container)


def put(url: str, plain: bytes) -> Counted:
    counted = Counted(seal(io.BytesIO(plain), DATA_KEY, CONTEXT))
    blob.put(url, counted, size_of(len(plain)))
    return counted


def got(url: str) -> bytes:
    return b"".join(unseal(blob.get(url), DATA_KEY, CONTEXT))


# Storing and fetching


@pytest.mark.slow
def test_what_was_stored_is_fetched(pod: Pod, archive: Archive) -> None:
    stored = pod.store(ARCHIVE_URL=archive.to_write).outcome
    data = archive.data()
    assert stored == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert archive.client.get_blob_properties().metadata == {"sha256": stored["sha256"]}
    assert pod.fetch(stored, ARCHIVE_URL=archive.to_read).outcome == stored
    assert pod.back.read_bytes() == DUMP


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, CHUNK, blob.BLOCK - 48, blob.BLOCK, 2 * blob.BLOCK + 1])
def test_so_it_is_around_the_size_of_a_block(archive: Archive, size: int) -> None:
    plain = os.urandom(size)
    put(archive.to_write, plain)
    assert got(archive.to_read) == plain


@pytest.mark.slow
def test_a_later_try_replaces_an_earlier_one(archive: Archive) -> None:
    put(archive.to_write, b"an earlier dump")
    later = put(archive.to_write, b"a later dump")
    assert got(archive.to_read) == b"a later dump"
    assert archive.client.get_blob_properties().metadata == {"sha256": later.outcome().sha256}


@pytest.mark.slow
def test_of_two_at_once_one_is_stored_whole_and_the_other_fails(archive: Archive) -> None:
    url = archive.to_write
    plain = os.urandom(2 * blob.BLOCK)

    def slowly() -> Iterator[bytes]:
        for number, piece in enumerate(seal(io.BytesIO(plain), DATA_KEY, CONTEXT)):
            yield piece
            if number == 6:  # one block is on its way
                put(url, DUMP)

    with pytest.raises(Unreachable, match="InvalidBlockList"):
        blob.put(url, Counted(slowly()), size_of(len(plain)))
    assert got(archive.to_read) == DUMP


def test_what_is_too_large_for_blocks_of_4_mib_has_larger_ones() -> None:
    assert blob.block_size(0) == blob.block_size(50_000 * blob.BLOCK) == blob.BLOCK
    for size in (50_000 * blob.BLOCK + 1, 10**13):
        assert -(-size // blob.block_size(size)) <= 50_000


# What a URL allows


@pytest.mark.slow
def test_the_url_of_one_blob_writes_no_other(archive: Archive, container: ContainerClient) -> None:
    other = Archive(container)
    url = archive.to_write.replace(str(archive.client.blob_name), str(other.client.blob_name))
    with pytest.raises(Unreachable, match=r"Authoriz|Authentic"):
        put(url, b"dump")
    assert not other.client.exists()


@pytest.mark.slow
def test_a_url_to_write_does_not_read_and_one_to_read_does_not_write(archive: Archive) -> None:
    put(archive.to_write, b"dump")
    with pytest.raises(Unreachable, match="Authoriz"):
        got(archive.to_write)
    with pytest.raises(Unreachable, match="Authoriz"):
        put(archive.to_read, b"another")
    assert got(archive.to_read) == b"dump"


# Failures, and what is told of them


@pytest.mark.slow
def test_a_byte_that_was_changed_is_found(pod: Pod, archive: Archive) -> None:
    stored = pod.store(ARCHIVE_URL=archive.to_write).outcome
    data = bytearray(archive.data())
    data[5 * MIB] ^= 1
    archive.client.upload_blob(bytes(data), overwrite=True)
    ended = pod.fetch(stored, ARCHIVE_URL=archive.to_read)
    assert (ended.code, ended.told) == (1, "Changed: chunk 5 is not what was sealed there\n")
    assert not pod.back.exists()


@pytest.mark.slow
def test_a_blob_that_is_missing_is_told(archive: Archive) -> None:
    with pytest.raises(Missing, match="there is no such blob: BlobNotFound"):
        got(archive.to_read)


@pytest.mark.slow
def test_nothing_of_the_url_is_told_whatever_happens(pod: Pod, archive: Archive) -> None:
    over, write, read = archive.url(WRITE, hours=-1), archive.to_write, archive.to_read
    absent = {"sha256": "0" * 64, "size": 1}
    runs = [
        (write, pod.store(ARCHIVE_URL=write), "{"),
        (over, pod.store(ARCHIVE_URL=over), "Unreachable: the storage account refused: "),
        (over, pod.store(ARCHIVE_URL=over, ARCHIVE_DUMP=f"/{over}"), "/http"),
        (read, pod.fetch(absent, ARCHIVE_URL=read), "Differs: "),
    ]
    for url, ended, begin in runs:
        assert ended.told.startswith(begin)
        signature = url.partition("sig=")[2].partition("&")[0]
        assert len(signature) > 40
        for form in (signature, unquote(signature), quote(signature, safe="")):
            assert form not in ended.told + ended.printed


def test_a_server_that_is_down_is_told_without_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob, "RETRIES", 0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{azurite.ACCOUNT}/archives/x.archive?sig=secret"
        for use in (lambda: put(url, b"dump"), lambda: got(url)):
            with pytest.raises(Unreachable) as caught:
                use()
            assert str(caught.value) == "the storage account does not answer: ServiceRequestError"


def test_a_signal_ends_it_while_a_server_does_not_answer(pod: Pod) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        url = f"http://127.0.0.1:{port}/{azurite.ACCOUNT}/archives/x.archive?sig=secret"
        process = pod.begin("store", ARCHIVE_URL=url)
        connection, _ = server.accept()
        with connection:
            ended = pod.end(process, signal.SIGTERM)
    assert (ended.code, ended.told) == (1, "ended by SIGTERM before it was done\n")


@pytest.mark.slow
def test_memory_stays_the_same_whatever_the_size(pod: Pod, container: ContainerClient) -> None:
    peaks = []
    for size in (16 * MIB, 160 * MIB):
        archive = Archive(container)
        with open(pod.dump, "wb") as dump:
            dump.truncate(size)
        stored = pod.store(ARCHIVE_URL=archive.to_write)
        fetched = pod.fetch(stored.outcome, ARCHIVE_URL=archive.to_read)
        assert fetched.outcome == stored.outcome
        peaks.append((stored.peak, fetched.peak))
        archive.client.delete_blob()
    small, large = peaks
    assert large[0] - small[0] < 32 * MIB
    assert large[1] - small[1] < 32 * MIB
