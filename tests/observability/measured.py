"""The real server with all functions, told of to Prometheus; the cluster is a double, the store SQLite.

`python -m tests.observability.measured <the server's own options>`.
"""

import asyncio
import sys
from typing import Any

from selfhost import server
from shared.adapters.k8s.databases import Databases
from shared.domain.plane import plane_id
from shared.manifests.mariadb import Spec
from shared.wiring import cluster, startup, store, telemetry
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request


async def _pass(request: Request) -> Fate | None:
    await asyncio.sleep(0)
    return None


def main() -> int:
    begin = startup.begin

    async def begin_on_a_double() -> None:
        startup.check()
        api: Any = telemetry.observed_api(Kubernetes(gate=_pass, auto=True))
        cluster.cluster.set(Databases(api, Spec(image="mariadb"), await plane_id(await store.store.get())))
        await begin()

    startup.begin = begin_on_a_double
    return server.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
