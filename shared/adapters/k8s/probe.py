"""Finds out at the start whether databases can be had here, and says what to set where they cannot.

A whole life is made under a plane of its own (so that neither reconcile nor any lease sees it) and
taken away again; what a crash leaves, the next probe removes.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from shared.adapters.k8s.api import AlreadyExists, Api
from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.readiness import standing
from shared.adapters.k8s.rights import missing_rights
from shared.adapters.k8s.watching import everything, follow
from shared.domain.errors import PlaygroundError
from shared.domain.leases import Owner, new_generation
from shared.manifests import database
from shared.manifests.mariadb import AddressKind, Spec
from shared.manifests.probe import admission, caller
from shared.ports.cluster import Life, Status

log = logging.getLogger(__name__)

READY = 120.0  # seconds for the first pull of an image, too
CALL = 30.0  # for the pods that call
STALE = 600.0  # older than this, a probe's life belongs to nobody
LAST = 1 << 30  # a step above all of a probe's
REFUSED = ("ERROR 1045", "ERROR 1130", "ERROR 1129", "ERROR 1698")  # said by a server that was reached
UNREACHED = ("ERROR 2002", "ERROR 2003")  # said by a client that reached none


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found; a sentence is "" where nothing is wrong.

    `policy_enforced` is None where it could not be found out.
    """

    rights: str = ""
    database: str = ""
    address: str = ""
    policy: str = ""
    policy_enforced: bool | None = None

    @property
    def sentences(self) -> list[str]:
        return [sentence for sentence in (self.rights, self.database, self.address, self.policy) if sentence]


class Probe:
    """One probe. `reach` tries to reach `host:port` and returns why not ("" if it was reached)."""

    def __init__(
        self, api: Api, spec: Spec, plane: str, namespace: str, *, reach: Callable[[str], Awaitable[str]] | None = None
    ):
        self._api = api
        self._spec = spec
        self._plane = f"{plane}-probe"
        self._namespace = namespace
        self._reach = reach or reach_tcp
        self._databases = Databases(api, spec, self._plane)

    async def run(self, now: float) -> Findings:
        """All of it; `now` is the wall clock. Never raises for what the cluster does."""
        generation = new_generation()
        try:
            missing = await missing_rights(self._api, self._namespace)
            if missing:
                return Findings(rights=f"the control plane may not: {', '.join(missing)}; grant it its role")
            await self._sweep(now)
            return await self._try(generation)
        except PlaygroundError as error:
            return Findings(database=f"no database can be made here: {error.detail}")
        finally:
            try:
                await self._remove(generation)
            except PlaygroundError as error:
                log.warning("a probe's database is left for the next probe: %s", error.detail)

    async def _try(self, generation: str) -> Findings:
        life = Life(Owner("playground", "probe"), "probe", generation, new_generation(), new_generation())
        await self._databases.start(life, 1)
        try:
            async with asyncio.timeout(READY):
                status = await self._databases.wait_ready(generation)
        except TimeoutError:
            status = await self._databases.status(generation)
        if not status.ready:
            why = status.failure or f"it was not ready after {READY:.0f} s"
            return Findings(database=f"no database can be had here: {why}")
        address = await self._address(status)
        enforced = await self._enforced(generation, status)
        policy = {
            True: "",
            False: "network policies are not enforced on this cluster: whoever reaches a database may try to log in",
            None: "whether network policies are enforced here could not be found out: pods do not reach each other",
        }[enforced]
        return Findings(address=address, policy=policy, policy_enforced=enforced)

    async def _address(self, status: Status) -> str:
        why = await self._reach(status.address)
        if not why:
            return ""
        inside = self._spec.address in (AddressKind.CLUSTER_IP, AddressKind.DNS)
        hint = "set PLAYGROUND_ADDRESS=node-port or load-balancer if this is outside of the cluster, and " * inside
        networks = ", ".join(self._spec.client_networks) or "none"
        return (
            f"{status.address} cannot be reached from here ({why}): {hint}have the clients' networks in"
            f" PLAYGROUND_CLIENT_NETWORKS (now: {networks})"
        )

    async def _enforced(self, generation: str, status: Status) -> bool | None:
        """One pod calls that may, one that may not; they call the pod itself, past every proxy."""
        pods, _ = await everything(self._api, "Pod", f"{database.GENERATION}={generation}")
        pod = standing(pods)
        if pod is None:
            return None
        host = pod["status"]["podIP"]
        await self._make(admission(self._plane, generation, status.volume))
        friend, stranger = new_generation(), new_generation()
        try:
            await self._make(caller(self._plane, friend, self._spec, host, allowed=True))
            await self._make(caller(self._plane, stranger, self._spec, host, allowed=False))
            reached = await asyncio.gather(self._reached(friend), self._reached(stranger))
        finally:
            await asyncio.gather(self._remove(friend), self._remove(stranger))
        return not reached[1] if reached[0] and reached[1] is not None else None

    async def _reached(self, generation: str) -> bool | None:
        """Whether the pod that calls got through, by its first words; None if it said nothing we know."""
        try:
            async with asyncio.timeout(CALL), aclosing(self._words(generation)) as words:
                async for said in words:
                    if any(code in said for code in REFUSED):
                        return True
                    if any(code in said for code in UNREACHED):
                        return False
        except TimeoutError:
            pass
        return None

    async def _words(self, generation: str) -> AsyncGenerator[str]:
        async with aclosing(follow(self._api, "Pod", f"{database.GENERATION}={generation}")) as states:
            async for seen in states:
                for pod in seen.objects.values():
                    for container in pod.get("status", {}).get("containerStatuses", ()):
                        for state in (container.get("state", {}), container.get("lastState", {})):
                            yield state.get("terminated", {}).get("message", "")

    async def _make(self, manifest: database.Manifest) -> None:
        try:
            await self._api.create(manifest)
        except AlreadyExists:
            pass

    async def _sweep(self, now: float) -> None:
        """What an older probe left. A younger one may be another process's."""
        async for workload in self._databases.workloads():
            if now - workload.created_at > STALE:
                await self._remove(workload.generation)

    async def _remove(self, generation: str) -> None:
        for _ in range(60):
            if await self._databases.delete(generation, LAST, ""):
                return
            await asyncio.sleep(0.5)
        log.warning("a probe's database is left for the next probe: %s", database.name(generation))


async def reach_tcp(address: str) -> str:
    """Why a MariaDB server at `host:port` does not greet us within 5 s ("" if it does)."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                greeting = await reader.read(1)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        return "no answer" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)
    return "" if greeting else "the connection was closed"
