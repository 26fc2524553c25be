"""Archives as blobs of Azure Storage, by a URL that holds the right to one of them. No error tells it."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient

from archiver.errors import Missing, Unreachable, WrongSettings
from archiver.sealed import Counted

BLOCK = 4 << 20
MOST = 50_000  # blocks that a blob can have
RETRIES = 3  # of each request, over some 80 s; kubelet tries everything again after that


def put(url: str, sealed: Counted, size: int) -> None:
    """Store an archive of about `size` bytes; nobody sees it, or sees any of it change, before it is whole.

    Its checksum goes with it, as metadata. Raises Unreachable, WrongSettings.
    """
    # Of a name that no other try has: blocks of the same name would replace each other before either is whole.
    this = secrets.token_hex(8)
    names: list[str] = []
    with _told(), _client(url) as blob:
        for block in _blocks(sealed, block_size(size)):
            names.append(f"{this}-{len(names):08}")
            blob.stage_block(names[-1], block, validate_content="md5")
        metadata = {"sha256": sealed.outcome().sha256}
        blob.commit_block_list([BlobBlock(name) for name in names], metadata=metadata)


def get(url: str) -> Iterator[bytes]:
    """An archive in pieces. Raises Missing, Unreachable, WrongSettings."""
    with _told(), _client(url) as blob:
        yield from blob.download_blob(max_concurrency=1).chunks()


def block_size(size: int) -> int:
    """Of an archive of so many bytes: what Azure takes is limited in number."""
    return max(BLOCK, -(-size // MOST))


def _client(url: str) -> BlobClient:
    try:
        return BlobClient.from_blob_url(url, retry_total=RETRIES, max_single_get_size=BLOCK, max_chunk_get_size=BLOCK)
    except ValueError:
        raise WrongSettings("ARCHIVE_URL is not the URL of a blob") from None


@contextmanager
def _told() -> Iterator[None]:
    """What the service answers, as an error of ours: its own code, as its texts may have the URL in them."""
    try:
        yield
    except ResourceNotFoundError as error:
        raise Missing(f"there is no such blob: {_code(error)}") from None
    except HttpResponseError as error:
        raise Unreachable(f"the storage account refused: {_code(error)}, status {error.status_code}") from None
    except AzureError as error:
        raise Unreachable(f"the storage account does not answer: {type(error).__name__}") from None


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "no code")


def _blocks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in blocks of one size, the last one smaller."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
