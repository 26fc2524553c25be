"""The state machines over the real code: whatever happens in whatever order, what must never be, is not."""

import os

from hypothesis import HealthCheck, settings

from tests.model.archives import ArchiveMachine
from tests.model.certificates import CertificateMachine
from tests.model.machine import LeaseMachine
from tests.model.pool import PoolMachine
from tests.model.quotas import QuotaMachine

# Stories of all machines together. 1,000 take 40 s of one core where leases are concerned, 56 s with archives, 80 s
# with a pool, 17 s with shares, and 12 s with certificates: `make test` spends 4 minutes on them, 5 where others want
# the core as well.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "400"))


def stories(share: float) -> settings:
    return settings(
        max_examples=max(1, round(share * EXAMPLES)),
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestLeases = LeaseMachine.TestCase
TestLeases.settings = stories(0.25)
TestArchives = ArchiveMachine.TestCase
TestArchives.settings = stories(0.18)
TestPool = PoolMachine.TestCase
TestPool.settings = stories(0.2)
TestCertificates = CertificateMachine.TestCase
TestCertificates.settings = stories(0.31)
TestQuotas = QuotaMachine.TestCase
TestQuotas.settings = stories(0.06)
