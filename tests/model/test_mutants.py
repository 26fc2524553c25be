"""Each fence broken once: the state machine must find every mutant, or it watches nothing there."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.archive_mutants import ARCHIVE_MUTANTS
from tests.model.archives import ArchiveMachine
from tests.model.certificate_mutants import CERTIFICATE_MUTANTS
from tests.model.certificates import CertificateMachine
from tests.model.machine import LeaseMachine
from tests.model.mutants import MUTANTS, Mutant
from tests.model.pool import PoolMachine
from tests.model.pool_mutants import POOL_MUTANTS
from tests.model.quota_mutants import QUOTA_MUTANTS
from tests.model.quotas import QuotaMachine

pytestmark = pytest.mark.slow

type Machine = LeaseMachine | CertificateMachine | QuotaMachine

SEARCH = settings(
    max_examples=2000, stateful_step_count=12, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_it_when(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    find(mutant, LeaseMachine, monkeypatch)


@pytest.mark.parametrize("mutant", ARCHIVE_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_with_archives_finds_it_when(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    find(mutant, ArchiveMachine, monkeypatch)


@pytest.mark.parametrize("mutant", POOL_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_with_a_pool_finds_it_when(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    find(mutant, PoolMachine, monkeypatch)


@pytest.mark.parametrize("mutant", CERTIFICATE_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_of_certificates_finds_it_when(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    find(mutant, CertificateMachine, monkeypatch)


@pytest.mark.parametrize("mutant", QUOTA_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_of_shares_finds_it_when(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    find(mutant, QuotaMachine, monkeypatch)


def find(mutant: Mutant, machine: type[Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant.story:
        tell(mutant, machine())  # it is no fault without the mutant
    monkeypatch.setattr(mutant.target, mutant.attribute, mutant.make(getattr(mutant.target, mutant.attribute)))
    with pytest.raises(AssertionError):
        if mutant.story:
            tell(mutant, machine())
        else:
            run_state_machine_as_test(machine, settings=SEARCH)


def tell(mutant: Mutant, machine: Machine) -> None:
    """The mutant's story, to its end."""
    assert mutant.story
    try:
        mutant.story(machine)
        machine.converge()
    finally:
        machine.world.close()
