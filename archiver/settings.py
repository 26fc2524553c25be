"""What the environment says.

| | |
| --- | --- |
| `ARCHIVE_KEY` | base64 of 32 bytes |
| `ARCHIVE_CONTEXT` | what the archive is bound to: it opens for the same text only |
| `ARCHIVE_URL` | a blob's URL with its SAS, which nothing here ever tells; this or |
| `ARCHIVE_FILE` | a path on a mounted volume |
| `ARCHIVE_DUMP` | the packed folder, a file to read (store, unpack) or to make (fetch, pack) |
| `ARCHIVE_FOLDER` | pack, unpack: the data directory; of all others they need `ARCHIVE_DUMP` only |
| `ARCHIVE_RESULT` | where the outcome is told (default /dev/termination-log, which kubelet reads) |
| `ARCHIVE_DONE` | store: where the outcome is kept for this program's next start in the same pod |
| `ARCHIVE_KEEP_DAYS` | store, volume: how long the archive is kept; others whose time is over go (default: none) |
| `ARCHIVE_SHA256`, `ARCHIVE_SIZE` | fetch: of the archive that must be found |
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from archiver.errors import WrongSettings
from archiver.sealed import Outcome

RESULT = "/dev/termination-log"
LONG = 16  # characters: what is shorter is no secret, and may be in any text


@dataclass(frozen=True)
class Settings:
    """Where something is not set: "", None, 0. `found` is what must be found; of `url` and `file` there is one."""

    key: bytes = field(repr=False)
    context: str
    url: str = field(repr=False)
    file: Path | None
    dump: Path
    done: Path | None
    keep_days: int
    found: Outcome | None

    @classmethod
    def read(cls, command: str, environment: Mapping[str, str]) -> "Settings":
        """Of a command, `store` or `fetch`. Raises WrongSettings."""
        url, file, keep_days = (environment.get(f"ARCHIVE_{name}", "") for name in ("URL", "FILE", "KEEP_DAYS"))
        if bool(url) == bool(file):
            raise WrongSettings("one of ARCHIVE_URL and ARCHIVE_FILE must be set, and not both")
        if url and not _is_web(url):
            raise WrongSettings("ARCHIVE_URL is not the URL of a blob")
        if keep_days and (url or command != "store"):
            raise WrongSettings("ARCHIVE_KEEP_DAYS is for storing on a volume")
        if keep_days and not re.fullmatch("[1-9][0-9]{0,4}", keep_days):
            raise WrongSettings("ARCHIVE_KEEP_DAYS is not a number of days")
        done = environment.get("ARCHIVE_DONE", "")
        return cls(
            key=_key(_needed(environment, "ARCHIVE_KEY")),
            context=_context(_needed(environment, "ARCHIVE_CONTEXT")),
            url=url,
            file=Path(file) if file else None,
            dump=Path(_needed(environment, "ARCHIVE_DUMP")),
            done=Path(done) if done and command == "store" else None,
            keep_days=int(keep_days or 0),
            found=_found(environment) if command == "fetch" else None,
        )


@dataclass(frozen=True)
class FolderSettings:
    """Of `pack` and `unpack`: the data directory, and the file that it is packed in."""

    folder: Path
    dump: Path

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "FolderSettings":
        """Raises WrongSettings."""
        folder, dump = (Path(_needed(environment, f"ARCHIVE_{name}")) for name in ("FOLDER", "DUMP"))
        if dump.absolute().is_relative_to(folder.absolute()):
            raise WrongSettings("ARCHIVE_DUMP is in ARCHIVE_FOLDER")
        return cls(folder, dump)


def result(environment: Mapping[str, str]) -> Path:
    """Where the outcome is told, whatever else is wrong."""
    return Path(environment.get("ARCHIVE_RESULT") or RESULT)


def secrets(environment: Mapping[str, str]) -> list[str]:
    """What must not be told: the key, all that follows the `?` of the URL, and each value in there."""
    _, _, query = environment.get("ARCHIVE_URL", "").partition("?")
    values = (part.partition("=")[2] for part in query.split("&"))
    return [secret for secret in (environment.get("ARCHIVE_KEY", ""), query, *values) if len(secret) >= LONG]


def _needed(environment: Mapping[str, str], name: str) -> str:
    if value := environment.get(name, ""):
        return value
    raise WrongSettings(f"{name} is not set")


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.path.strip("/") != ""
    except ValueError:
        return False


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise WrongSettings("ARCHIVE_KEY is not base64 of 32 bytes")
    return key


def _context(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WrongSettings("ARCHIVE_CONTEXT is not text") from None
    return text


def _found(environment: Mapping[str, str]) -> Outcome:
    sha256, size = _needed(environment, "ARCHIVE_SHA256"), _needed(environment, "ARCHIVE_SIZE")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise WrongSettings("ARCHIVE_SHA256 is not 64 hexadecimal digits")
    if not re.fullmatch("[0-9]{1,18}", size):
        raise WrongSettings("ARCHIVE_SIZE is not a number of bytes")
    return Outcome(sha256, int(size))
