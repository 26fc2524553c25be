"""Each rule broken once: some seed must find every mutant, or the simulation watches nothing there."""

import pytest

from shared.domain.policy import DAY, Policy
from tests.model.mutants import Mutant
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import Simulation

POLICY = Policy(archives=True, retention=2 * DAY)  # so that ten days see its end
SEEDS = (4, 2, 6, 1, 3, 5, 11, 15)  # in this order they find most things soon


@pytest.mark.slow
@pytest.mark.parametrize(("mutant", "said"), [pytest.param(*each, id=each[0].name) for each in MUTANTS])
def test_a_seed_finds_it_when(mutant: Mutant, said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mutant.target, mutant.attribute, mutant.make(getattr(mutant.target, mutant.attribute)))
    with pytest.raises(AssertionError, match=f"seed .*{said}"):
        for seed in SEEDS:
            Simulation(seed, users=60, days=10, policy=POLICY, storms=3).run()
