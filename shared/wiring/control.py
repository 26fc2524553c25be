"""The control plane of this process: everything that functions which touch the cluster need."""

import os

from shared.domain.control import Control, Pool
from shared.domain.starts import Places, Starts
from shared.edge import observing, settings
from shared.manifests.mariadb import fingerprint
from shared.wiring import clocks, probing
from shared.wiring.archives import archives
from shared.wiring.cluster import cluster
from shared.wiring.cluster import spec as cluster_spec
from shared.wiring.looks import looks
from shared.wiring.once import Once
from shared.wiring.policies import policy
from shared.wiring.sealing import sealer
from shared.wiring.store import store


async def _assemble() -> Control:
    made = Control(
        await store.get(), await cluster.get(), await looks.get(), await sealer.get(), clocks.clock, await policy.get(),
        await archives.get(), Pool(settings.SPARES.read(os.environ), fingerprint(cluster_spec())),
        Starts(Places(settings.STARTS.read(os.environ), settings.TENANT_STARTS.read(os.environ))), observing.telemetry,
    )  # fmt: skip
    if probing.required:
        await probing.proof.get()
    return made


control = Once(_assemble)
