"""The policy of this process."""

import os

from shared.domain.policy import Policy
from shared.edge import settings
from shared.wiring.once import Once


async def _read() -> Policy:
    return settings.policy(os.environ)


policy = Once(_read)
