"""`store` and `fetch`, from settings to outcome. The SDK is imported where a blob is wanted: it takes half a second."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from archiver import volume
from archiver.errors import Differs, Refused
from archiver.files import Part
from archiver.packed import Packed
from archiver.sealed import Counted, Outcome, seal, size_of, unseal
from archiver.settings import Settings


def store(settings: Settings) -> Outcome:
    """Seal the packed folder and store it, unless an earlier run did. Raises ArchiverError, OSError.

    An earlier run in this pod left its outcome; one in another pod left a file, if it was to a volume.
    """
    if settings.done and (before := _earlier(settings.done)):
        return before
    if settings.file and settings.keep_days:
        volume.clear(settings.file)  # first: there may be no room
    outcome = _there(settings) or _stored(settings)
    if settings.done:
        with Part(settings.done) as part:
            part.write(f"{line(outcome)}\n".encode())
            part.keep()
    return outcome


def fetch(settings: Settings) -> Outcome:
    """Make the packed folder anew, if the archive is the one that must be found. Raises ArchiverError, OSError."""
    archive = Counted(_get(settings))
    with Part(settings.dump) as part:
        for piece in unseal(archive, settings.key, settings.context):
            part.write(piece)
        found, wanted = archive.outcome(), settings.found
        if found != wanted:
            raise Differs(f"another archive was to be found: {line(found)} is here, not {wanted and line(wanted)}")
        part.keep()
    return found


def line(outcome: Outcome | Packed) -> str:
    """As it is told, and kept."""
    return json.dumps(asdict(outcome))


def _earlier(done: Path) -> Outcome | None:
    try:
        kept = json.loads(done.read_text())
        return Outcome(str(kept["sha256"]), int(kept["size"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{done} is there and holds no outcome") from None


def _there(settings: Settings) -> Outcome | None:
    if not settings.file:
        return None
    return volume.stored(settings.file, settings.key, settings.context, settings.keep_days)


def _stored(settings: Settings) -> Outcome:
    with open(settings.dump, "rb") as dump:
        plain = os.fstat(dump.fileno()).st_size
        if not plain:
            raise Refused("the dump is empty")
        size = size_of(plain)
        sealed = Counted(_of_size(seal(dump, settings.key, settings.context), size))
        if settings.file:
            return volume.put(settings.file, sealed, settings.key, settings.context, settings.keep_days)
        from archiver import blob

        blob.put(settings.url, sealed, size)
        return sealed.outcome()


def _of_size(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same; Refused at the end, before it has a name anywhere, if it came to another size."""
    came = 0
    for piece in pieces:
        came += len(piece)
        yield piece
    if came != size:
        raise Refused("the dump changed while it was read")


def _get(settings: Settings) -> Iterator[bytes]:
    if settings.file:
        return volume.get(settings.file)
    from archiver import blob

    return blob.get(settings.url)
