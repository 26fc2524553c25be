"""The port `Holders` in memory, as a part of `MemoryStore`."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.adapters.items import holder_from, to_item
from shared.domain.errors import Conflict
from shared.domain.holders import Holder
from shared.domain.leases import Event, Owner


class MemoryHolders:
    """`passed(name, moment)` is the store's gate, `told(name, how)` whether it was told to fail, `etag()` a new one."""

    def __init__(self, passed: Callable[[str, Any], Awaitable[None]], told: Callable[[str, str], bool],
                 etag: Callable[[], str], write: Callable[[Sequence[Event]], None]):  # fmt: skip
        self._pass, self._told, self._etag = passed, told, etag
        self._write = write
        self._holders: dict[Owner, Holder] = {}

    async def holder(self, owner: Owner) -> Holder | None:
        await self._pass("holder", "before")
        found = self._holders.get(owner)
        await self._pass("holder", "after")
        return found

    async def keep(self, holder: Holder, events: Sequence[Event] = ()) -> Holder:
        await self._pass("keep", "before")
        stored = self._holders.get(holder.owner)
        if self._told("keep", "conflict") or (stored.etag if stored else "") != holder.etag:
            raise Conflict(f"the certificates of {holder.owner} were written by somebody else")
        self._write(events)
        kept = holder_from({**json.loads(json.dumps(to_item(holder))), "_etag": self._etag()})
        self._holders[holder.owner] = kept
        await self._pass("keep", "after")
        return replace(holder, etag=kept.etag)

    async def revoked(self, since: float) -> Sequence[Holder]:
        await self._pass("revoked", "before")
        found = [holder for holder in self._holders.values() if holder.revoked_at > since]
        await self._pass("revoked", "after")
        return found
