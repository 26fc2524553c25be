"""The control plane of this process: everything that functions which touch the cluster need."""

from shared.domain.control import Control
from shared.wiring import clocks, probing
from shared.wiring.archives import archives
from shared.wiring.cluster import cluster
from shared.wiring.looks import looks
from shared.wiring.once import Once
from shared.wiring.policies import policy
from shared.wiring.sealing import sealer
from shared.wiring.store import store


async def _assemble() -> Control:
    made = Control(
        await store.get(), await cluster.get(), await looks.get(), await sealer.get(), clocks.clock, await policy.get(),
        await archives.get(),
    )  # fmt: skip
    if probing.required:
        await probing.proof.get()
    return made


control = Once(_assemble)
