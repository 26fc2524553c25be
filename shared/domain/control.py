"""The parts of a control plane that act together, as one argument."""

from dataclasses import dataclass, field

from shared.domain.policy import Policy
from shared.domain.starts import Starts
from shared.ports.archives import Archives
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.leases import Leases
from shared.ports.looks import Looks
from shared.ports.sealer import Sealer
from shared.ports.telemetry import SILENT, Telemetry


@dataclass(frozen=True, slots=True)
class Pool:
    """How many spares there are to be, and the print of what they are made with today."""

    size: int = 0
    template: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """Store, cluster, the way to post looks, keys, clock and policy, where archives are kept (None: nowhere),
    the pool of spares, the places for databases that are being started, and who is told of it all.
    """

    leases: Leases
    cluster: Cluster
    looks: Looks
    sealer: Sealer
    clock: Clock
    policy: Policy
    archives: Archives | None = None
    pool: Pool = Pool()
    starts: Starts = field(default_factory=Starts)
    telemetry: Telemetry = SILENT
