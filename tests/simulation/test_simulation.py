"""Many lives in virtual time, over the real code: a seed that fails tells a short story."""

import os
import subprocess
import sys

import pytest

from shared.domain.policy import DAY, Policy
from tests.model.invariants import OWNERS
from tests.simulation.story import LINES, Story
from tests.simulation.world import Simulation

# `make test` simulates a month of 1,000 users, `make soak` one of 10,000. A seed that failed is told again with these.
USERS = int(os.environ.get("SIMULATED_USERS", "1000"))
DAYS = float(os.environ.get("SIMULATED_DAYS", "30"))
SEED = int(os.environ.get("SIMULATION_SEED", "1"))

QUICK = Policy(archives=True, retention=2 * DAY)


@pytest.mark.slow
def test_a_month_of_many_lives_breaks_no_promise():
    Simulation(SEED, USERS, DAYS).run()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_few_lives_in_much_trouble_break_no_promise(seed: int):
    Simulation(seed, users=20, days=5, policy=QUICK, storms=3).run()


DIGEST = """
from tests.simulation.world import Simulation
world = Simulation(3, users=10, days=3)
world.run()
print(world.story.digest())
"""


@pytest.mark.slow
def test_a_seed_is_one_story_wherever_it_is_told():
    told = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        told.add(
            subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, check=True).stdout
        )
    assert len(told) == 1


def test_a_seed_that_fails_tells_its_number_and_what_became_of_the_owner_concerned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Policy, "backoff", lambda self, attempts: 30 * DAY)
    with pytest.raises(AssertionError, match="seed 0: ") as failed:
        for _ in range(3):
            Simulation(0, users=20, days=5).run()
    lines = str(failed.value).splitlines()
    assert 2 < len(lines) <= LINES + 1 and all(" d " in line for line in lines[1:])


def test_a_story_has_the_last_lines_of_one_owner_and_says_the_same_thing_once():
    story, (alice, bob) = Story(), OWNERS
    for second in range(100):
        story.note(alice, float(second), f"line {second // 2}")
        story.note(bob, float(second), "beat")
    assert len(story.tell(alice, []).splitlines()) == LINES
    assert story.tell(bob, [(-9.0, -1.0, "ice"), (200.0, 300.0, "fire")]).splitlines() == [
        "    0 d 00:00:00.0  beat (100 times, last at 0 d 00:01:39.0)",
        "    0 d 00:03:20.0  --- fire",
    ]
