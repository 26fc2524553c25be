"""The state machines over the real code: whatever happens in whatever order, what must never be, is not."""

import os

from hypothesis import HealthCheck, settings

from tests.model.archives import ArchiveMachine
from tests.model.certificates import CertificateMachine
from tests.model.machine import LeaseMachine
from tests.model.pool import PoolMachine

# `make test` runs 2,000 stories, `make test-fast` 200.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "200"))

STORIES = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)

TestLeases = LeaseMachine.TestCase
TestLeases.settings = STORIES
TestArchives = ArchiveMachine.TestCase
TestArchives.settings = STORIES
TestPool = PoolMachine.TestCase
TestPool.settings = STORIES
TestCertificates = CertificateMachine.TestCase
TestCertificates.settings = STORIES
