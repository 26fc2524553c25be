"""The probe at a server's start: can databases be had here, and if not, what is to be set."""

import logging
import os

from shared.domain.plane import plane_id
from shared.edge import settings
from shared.edge.config import SettingError
from shared.wiring import clocks
from shared.wiring.cluster import api, spec
from shared.wiring.store import store

log = logging.getLogger("playground.probe")


async def probe() -> None:
    """Try it with a database of its own and log what was found.

    Raises SettingError if network policies must be enforced and are not.
    """
    from shared.adapters.k8s.probe import Probe

    namespace = settings.NAMESPACE.read(os.environ)
    findings = await Probe(await api.get(), spec(), await plane_id(await store.get()), namespace).run(
        clocks.clock.now()
    )
    for sentence in findings.sentences:
        log.warning("%s", sentence)
    if not findings.sentences:
        log.info("a database was made, reached and taken away: this cluster has all that is needed")
    if settings.REQUIRE_NETWORK_POLICY.read(os.environ) and findings.policy_enforced is not True:
        why = findings.policy or "; ".join(findings.sentences)
        raise SettingError(f"{settings.REQUIRE_NETWORK_POLICY.name}: {why}")
