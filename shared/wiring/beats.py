"""What a beat needs: the store and the way to post looks, nothing of the cluster."""

import logging

from shared.domain.beats import RecentBeats
from shared.domain.databases import UNKNOWN, Beat, beat
from shared.domain.errors import StoreUnavailable
from shared.domain.leases import Owner
from shared.wiring import clocks
from shared.wiring.looks import looks
from shared.wiring.policies import policy
from shared.wiring.store import store

log = logging.getLogger("playground.beats")

recent = RecentBeats(clocks.clock)


async def write(owner: Owner) -> Beat:
    """Renew the owner's lease; never raises: its plugin answers an error by beating without pause."""
    try:
        return await beat(await store.get(), await looks.get(), clocks.clock, await policy.get(), owner)
    except StoreUnavailable:
        return UNKNOWN
    except Exception:  # a wrong setting, or a bug of ours
        log.exception("a beat of %s failed", owner.key)
        return UNKNOWN
