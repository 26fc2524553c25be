"""Reconcile: what the cluster has and what the store says, compared in both directions."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass

from shared.domain.control import Control
from shared.domain.errors import PlaygroundError, StoreUnavailable
from shared.domain.hearing import Hearing
from shared.domain.leases import Kind, Lease, State
from shared.domain.look import look
from shared.domain.policy import HOUR, MINUTE
from shared.ports import metrics
from shared.ports.cluster import Workload

log = logging.getLogger("playground.reconcile")

YOUNG = HOUR  # a workload younger than this may belong to a lease that is being written
AGAIN = 10 * MINUTE  # between an orphan's first sighting and the pass that stops it
PAGE = 500
SPARE = "spare"
UNREAD = 3  # leases that may fail to be read in a pass; more, and rather the store fails than they


@dataclass(slots=True)
class Compared:
    """What a pass found. `stopped`: there was more than a pass may touch, and some was left."""

    workloads: int = 0
    leases: int = 0
    orphans: int = 0
    missing: int = 0
    failed: int = 0
    stopped: bool = False

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


async def reconcile(control: Control, hearing: Hearing) -> Compared:
    """Mark, and in a later pass stop, workloads without a lease; look at leases without a workload.

    Volumes are never touched. More than max(3, 5 %) of the workloads without a lease: then rather
    the comparison is wrong than the cluster, and none is touched. Of the leases without a workload
    so many are looked at and the others at the next pass, as each look asks the cluster again.
    """
    compared, now = Compared(), control.clock.now()
    owned, orphans = await _sort_workloads(control, compared, now)
    missing = await _missing(control, compared, owned)
    compared.orphans, compared.missing = len(orphans), len(missing)
    limit = max(3, compared.workloads * 5 // 100)
    compared.stopped = len(orphans) > limit or len(missing) > limit
    if compared.stopped:
        log.error(
            "reconcile found %d workloads without a lease and %d leases without a workload, of %d workloads;"
            " more than %d: the first are left alone, of the second as many are looked at",
            len(orphans),
            len(missing),
            compared.workloads,
            limit,
        )
    if len(orphans) > limit:
        orphans = []
    for workload in orphans:
        try:
            await control.cluster.mark_orphan(workload, now)
            log.warning(
                "orphan %s of %s: %s",
                workload.generation,
                workload.owner.key,
                "stopped" if workload.orphan_since else "seen first",
            )
        except PlaygroundError as error:
            compared.failed += 1
            log.warning("orphan %s could not be marked: %s", workload.generation, error)
        except Exception:  # a bug in one must not end the pass for everybody else
            compared.failed += 1
            log.exception("orphan %s could not be marked", workload.generation)
    for lease in missing[:limit]:
        try:
            await look(control, lease, "reconcile", hearing=hearing, thorough=True)
        except PlaygroundError as error:
            compared.failed += 1
            log.warning("look at %s of %s failed: %s", lease.id, lease.owner.key, error)
        except Exception:
            compared.failed += 1
            log.exception("look at %s of %s failed", lease.id, lease.owner.key)
    for what in ("orphans", "missing", "failed"):
        control.telemetry.tell(metrics.COMPARED, getattr(compared, what), what)
    return compared


async def _sort_workloads(control: Control, compared: Compared, now: float) -> tuple[set[str], list[Workload]]:
    """The generations that exist, and the workloads to mark or stop now."""
    existing: set[str] = set()
    orphans: list[Workload] = []
    async for workload in control.cluster.workloads():
        compared.workloads += 1
        if workload.replicas:
            existing.add(workload.generation)
        if now - workload.created_at < YOUNG:
            continue
        since = workload.orphan_since
        if since is not None and (now - since < AGAIN or workload.replicas == 0):
            continue
        try:
            lease = await control.leases.get(workload.owner, workload.lease)
        except StoreUnavailable as error:  # one that only a newer release can read must not end the pass for others
            compared.failed += 1
            if compared.failed > UNREAD:
                raise
            log.warning("%s of %s could not be read: %s", workload.lease, workload.owner.key, error)
            continue
        if lease is None or lease.generation != workload.generation or lease.state is State.RELEASED:
            orphans.append(workload)
    return existing, orphans


async def _missing(control: Control, compared: Compared, existing: set[str]) -> list[Lease]:
    """The leases that say running where nothing runs."""
    missing: list[Lease] = []
    after, there = "", Counter[tuple[str, str]]()
    while True:
        leases, after = await control.leases.page(after, PAGE)
        compared.leases += len(leases)
        there.update((_kind(lease), lease.state) for lease in leases)
        missing += [lease for lease in leases if lease.state is State.RUNNING and lease.generation not in existing]
        if not after:
            break
    for kind in (*Kind, SPARE):
        for state in State:
            if state is not State.RELEASED:
                control.telemetry.tell(metrics.LEASES, there[kind, state], kind, state)
    return missing


def _kind(lease: Lease) -> str:
    """What a lease counts as; a spare is nobody's yet."""
    return SPARE if lease.spare else lease.kind
