"""The numbers that decide over leases, all in seconds."""

from dataclasses import dataclass

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

PLUGIN_INTERVAL = 10 * MINUTE  # how often the notebook plugin beats while its kernel is idle
CLOCK_SKEW = 5 * MINUTE  # how far two processes' wall clocks may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a cluster's operator may set, with the defaults that suit the notebook plugin.

    * `grace`: silence after which a running database is hibernated. A cell may compute for 10 h,
      and while it does, its kernel sends no beat.
    * `hard_cap`: hibernated this long after the last beat or proved use, whatever is connected.
    * `retention`: how long a hibernated or failed database keeps its storage.
    * `longest_hold`: how far ahead an owner may hold a lease, which overrides those three.
    * `start_timeout`: how long a start that the cluster has taken may take before it counts as failed.
    * `answer`: what a create_db may take; the plugin hangs up after 20 s.
    * `claim`: how long one look has a lease for itself; `act` (what a look may spend on the
      cluster) is shorter, so that no act outlives its claim.
    * `silence`: a lease that was not heard for this long is looked at, and looked at again this
      long after each look that could not tell whether it is used.
    * `unseen`: the longest a beating lease goes without a look.
    * `tombstone`: how long a released slot is remembered.
    * `archives`: whether there is a place where content can be stored before storage is deleted.
    * `kept`: how long what was stored is kept.
    * `task`: how long storing or fetching it may take; the credential for that ends then, too.
    * `tenant_databases`: how many a tenant may have at once (0: any number).
    * `delete_without_archive`: whether storage may go when retention is over though `archives` is not.
    """

    grace: float = 11 * HOUR
    hard_cap: float = 24 * HOUR
    retention: float = 14 * DAY
    longest_hold: float = 7 * DAY
    start_timeout: float = 10 * MINUTE
    answer: float = 18.0
    claim: float = 30.0
    act: float = 20.0
    silence: float = 3 * PLUGIN_INTERVAL
    unseen: float = 24 * HOUR
    tombstone: float = 7 * DAY
    archives: bool = False
    kept: float = 30 * DAY
    task: float = HOUR
    delete_without_archive: bool = False
    tenant_databases: int = 0

    def backoff(self, attempts: int) -> float:
        """How long to wait after `attempts` looks in a row that got nowhere: 3 s doubling to 5 min."""
        return min(3.0 * 2.0 ** min(attempts, 10), 5 * MINUTE)
