"""How this process posts looks, picked by PLAYGROUND_LOOKS."""

import os
from typing import Protocol

from shared.domain.leases import Owner
from shared.domain.look import look_now
from shared.edge import settings
from shared.edge.config import SettingError
from shared.ports.looks import Looks
from shared.wiring import serving
from shared.wiring.once import Once


class ClosableLooks(Looks, Protocol):
    async def close(self) -> None: ...


async def _make() -> ClosableLooks:
    via, _, url = settings.LOOKS_VIA.read(os.environ).partition(":")
    if via == "inprocess":
        from shared.adapters.looks_inprocess import InProcessLooks

        return InProcessLooks(_look if serving.uses_cluster() else _leave)
    from shared.adapters.looks_queue import QueueLooks

    try:
        return await QueueLooks.open(url, settings.LOOKS_QUEUE.read(os.environ))
    except ValueError:  # its text would repeat the value
        raise SettingError(f"{settings.LOOKS_VIA.name}: not the https URL of a queue service") from None


async def _look(owner: Owner, id: str) -> None:
    from shared.wiring.control import control  # not before a look: a beat alone needs no cluster

    await look_now(await control.get(), owner, id)


async def _leave(owner: Owner, id: str) -> None:
    """No cluster is used here: the lease is due, so the next pass of whoever uses it finds it."""


looks: Once[ClosableLooks] = Once(_make, lambda made: made.close())
