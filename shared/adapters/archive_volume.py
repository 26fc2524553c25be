"""Archives as files on a volume claim, which only pods see."""

import re

from shared.ports.archives import Place

NAME = re.compile(r"[a-z0-9-]{1,200}(/[a-z0-9-]{1,200})*")


class VolumeArchives:
    """The port `Archives` on one claim, which is in the namespace of the pods that use it."""

    def __init__(self, claim: str):
        self._claim = claim

    async def to_write(self, name: str) -> Place:
        return Place(claim=self._claim, path=file_name(name))

    async def to_read(self, name: str) -> Place:
        return Place(claim=self._claim, path=file_name(name))

    async def holds(self, name: str, sha256: str, size: int) -> bool:
        """True: nobody can look from here, and the pod that stored it had it on the disk before it said so."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


def file_name(name: str) -> str:
    """What an archive of that name is called where it is kept. Raises ValueError for what is no name."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r}: an archive's name holds a-z, 0-9, '-', and '/' between other characters")
    return f"{name}.archive"
