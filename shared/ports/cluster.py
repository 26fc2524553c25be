"""What a control plane wants of a cluster. Adapter: `adapters.k8s`; in tests the same over `tests.doubles.kubernetes`.

Every act carries the lease's `step` and is fenced by it (Fenced is raised, nothing is changed, if a
higher one was there). Every method may raise ClusterUnavailable; acts may raise ClusterRefused.
Repeating an act changes nothing.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from shared.domain.leases import Owner
from shared.ports.archives import Place


@dataclass(frozen=True, slots=True)
class Life:
    """What one generation of a database is made of. Passwords hold [A-Za-z0-9] only.

    `volume` is the UID of the volume claim that must be there ("": it is made if missing).
    """

    owner: Owner
    lease: str
    generation: str
    password: str
    root_password: str
    volume: str = ""

    def __repr__(self) -> str:
        return f"Life({self.owner}, {self.lease}, {self.generation})"


@dataclass(frozen=True, slots=True)
class Status:
    """What the cluster has of one generation.

    `replicas` is how many are wanted (0 if there is no workload), `pods` how many pods exist,
    `failure` why it will not become ready as it stands ("" if nothing speaks against it), `ready`
    that its server answers at `address`, `volume` the UID of its volume claim ("" if there is
    none), `address` its `host:port` as it is now ("" while not known), `server` names this start of
    its server ("" while not ready), `step` is that of the last act on its workload.

    An address is of the kind that was set when its database was last started. It is stable but for a
    node port's host, which is the node that the pod is on.
    """

    exists: bool = False
    replicas: int = 0
    pods: int = 0
    ready: bool = False
    failure: str = ""
    volume: str = ""
    address: str = ""
    server: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """An archive that a pod is to store at `place`, or to fetch from there.

    `key` is its data key (base64), `context` what it is bound to, `sha256` (hex) and `size` (bytes) are those of
    what must be found ("", 0: it is to be stored).
    """

    name: str
    key: str = field(repr=False)
    context: str
    place: Place
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a task: `done`, or why it failed; under way otherwise. What was stored is named as in `Task`.

    `waits`: nothing was begun, as as many others as may be are under way.
    """

    done: bool = False
    waits: bool = False
    failure: str = ""
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the database server says of its user: see `leases.Sample`. `executing`: at this moment."""

    connections: int
    connected: int
    statements: int
    executing: bool
    server: str


@dataclass(frozen=True, slots=True)
class Workload:
    """An object of ours that reconcile found. `orphan_since` is when it was first marked (None: never)."""

    owner: Owner
    lease: str
    generation: str
    replicas: int
    created_at: float
    orphan_since: float | None


class Cluster(Protocol):
    """Databases on a cluster, by generation."""

    async def start(self, life: Life, step: int) -> None:
        """Make whatever is missing of this life and want one replica. Never touches its data.

        Its kind of address and its clients' networks become those that are set now. Raises
        VolumeGone if the volume claim that must be there is proved not to be.
        """

    async def store(self, life: Life, step: int, task: Task) -> Outcome:
        """Have a pod, the only one on its volume, store what the volume holds; what is known of that by now.

        Where its server still runs it is stopped first. About as many of a control plane's are under way at
        once as its operator allows; the next one waits. Raises VolumeGone as `start` does.
        """

    async def restore(self, life: Life, step: int, task: Task, *, wait: bool) -> Outcome:
        """Have an empty volume made and filled from the archive; what is known of that by now.

        With `wait` it watches until it is done or a failure shows, without a time limit of its own. Once it
        is done it changes nothing any more, whatever became of the volume since.
        """

    async def stop(self, generation: str, step: int) -> None:
        """Want no replica; storage and address stay. No-op where there is no workload."""

    async def delete(self, generation: str, step: int, volume: str) -> bool:
        """Delete all of it, the volume last, and that only if its UID is `volume` ("": whichever it has).

        Returns True when nothing is left; False means: on its way, look again.
        """

    async def status(self, generation: str) -> Status:
        """What is there now."""

    async def wait_ready(self, generation: str) -> Status:
        """Watch until it is ready or a failure shows; has no time limit of its own.

        May know that it is ready a moment before `status` does. Any number may wait for one life.
        """

    async def evidence(self, generation: str) -> Evidence | None:
        """What its server says; None means unknown (no pod, no answer within 5 s, nonsense)."""

    def workloads(self) -> AsyncIterator[Workload]:
        """Everything that carries this control plane's id."""

    async def mark_orphan(self, workload: Workload, now: float) -> None:
        """Remember on the object since when nobody owns it; if it was marked already, want no replica."""
