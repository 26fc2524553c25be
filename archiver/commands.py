"""`store` and `fetch`, from settings to outcome. The SDK is imported where a blob is wanted: it takes half a second."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from archiver import volume
from archiver.errors import Differs, Refused
from archiver.files import Part
from archiver.sealed import Counted, Outcome, seal, size_of, unseal
from archiver.settings import Settings


def store(settings: Settings) -> Outcome:
    """Seal the dump and store it, unless an earlier run in this pod did. Raises ArchiverError, OSError."""
    if settings.done and (before := _earlier(settings.done)):
        return before
    with open(settings.dump, "rb") as dump:
        plain = os.fstat(dump.fileno()).st_size
        if not plain:
            raise Refused("the dump is empty")
        sealed = Counted(seal(dump, settings.key, settings.context))
        _put(settings, sealed, size_of(plain))
    outcome = sealed.outcome()
    if outcome.size != size_of(plain):
        raise Refused("the dump changed while it was read")
    if settings.done:
        with Part(settings.done) as part:
            part.write(f"{line(outcome)}\n".encode())
            part.keep()
    if settings.file and settings.keep_days:
        volume.clear(settings.file, settings.keep_days)
    return outcome


def fetch(settings: Settings) -> Outcome:
    """Make the dump anew, if the archive is the one that must be found. Raises ArchiverError, OSError."""
    archive = Counted(_get(settings))
    with Part(settings.dump) as part:
        for piece in unseal(archive, settings.key, settings.context):
            part.write(piece)
        found, wanted = archive.outcome(), settings.found
        if found != wanted:
            raise Differs(f"another archive was to be found: {line(found)} is here, not {wanted and line(wanted)}")
        part.keep()
    return found


def line(outcome: Outcome) -> str:
    """As it is told, and kept."""
    return json.dumps({"sha256": outcome.sha256, "size": outcome.size})


def _earlier(done: Path) -> Outcome | None:
    try:
        kept = json.loads(done.read_text())
        return Outcome(str(kept["sha256"]), int(kept["size"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{done} is there and holds no outcome") from None


def _put(settings: Settings, sealed: Counted, size: int) -> None:
    if settings.file:
        volume.put(settings.file, sealed, settings.key, settings.context)
    else:
        from archiver import blob

        blob.put(settings.url, sealed, size)


def _get(settings: Settings) -> Iterator[bytes]:
    if settings.file:
        return volume.get(settings.file)
    from archiver import blob

    return blob.get(settings.url)
