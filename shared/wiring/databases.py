"""A create_db, in the time that its answer has: what this process still has to make for it counts, too."""

import asyncio

from shared.domain import databases
from shared.domain.errors import NotReady
from shared.domain.leases import Owner
from shared.wiring.control import control
from shared.wiring.policies import policy


async def create(owner: Owner) -> str:
    """The data source of this owner's database. Raises what `databases.create` does, and SettingError."""
    try:
        async with asyncio.timeout((await policy.get()).answer):
            return await databases.create(await control.get(), owner)
    except TimeoutError as error:
        raise NotReady("the database is not ready yet; ask again", retry_after=5) from error
