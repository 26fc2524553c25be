"""Where archives are kept. Adapters: `adapters.archive_blob`, `adapters.archive_volume`.

What is kept there is sealed (`archiver.sealed`), by a pod of the cluster; a control plane only says where.
Every method may raise ArchiveUnavailable.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod writes or reads one archive: at `url`, or in the file `path` of the volume claim `claim`.

    The URL has a credential in it, for that archive alone and for an hour.
    """

    url: str = field(default="", repr=False)
    claim: str = ""
    path: str = ""


class Archives(Protocol):
    """Names hold [a-z0-9-] only."""

    async def to_write(self, name: str) -> Place:
        """Where to store it."""

    async def to_read(self, name: str) -> Place:
        """Where to fetch it."""

    async def holds(self, name: str, sha256: str, size: int) -> bool:
        """Whether it is there as it was stored. True of a volume, which only its pods can see."""

    async def close(self) -> None:
        """Nothing can be asked afterwards."""
