"""Where archives are kept, picked by PLAYGROUND_ARCHIVE."""

import os

from shared.edge import settings
from shared.edge.config import SettingError
from shared.ports.archives import Archives
from shared.wiring import clocks
from shared.wiring.once import Once


async def _open() -> Archives | None:
    kind, _, where = settings.ARCHIVE_AT.read(os.environ).partition(":")
    if kind == "none":
        return None
    if kind == "volume":
        from shared.adapters.archive_volume import VolumeArchives

        return VolumeArchives(where)
    from shared.adapters.archive_blob import BlobArchives

    try:
        return await BlobArchives.open(where, clock=clocks.clock)
    except ValueError as error:
        raise SettingError(f"{settings.ARCHIVE_AT.name}: {error}") from None


async def _close(opened: Archives | None) -> None:
    if opened is not None:
        await opened.close()


archives: Once[Archives | None] = Once(_open, _close)
