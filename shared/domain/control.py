"""The parts of a control plane that act together, as one argument."""

from dataclasses import dataclass

from shared.domain.policy import Policy
from shared.ports.archives import Archives
from shared.ports.clock import Clock
from shared.ports.cluster import Cluster
from shared.ports.leases import Leases
from shared.ports.looks import Looks
from shared.ports.sealer import Sealer


@dataclass(frozen=True, slots=True)
class Control:
    """Store, cluster, the way to post looks, keys, clock and policy, and where archives are kept (None: nowhere)."""

    leases: Leases
    cluster: Cluster
    looks: Looks
    sealer: Sealer
    clock: Clock
    policy: Policy
    archives: Archives | None = None
