"""Requests to the API server are spread; who is alone waits for nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from shared.adapters.k8s.pacing import Pacing
from tests.virtual import VirtualLoop


def run[T](story: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


def test_a_burst_is_spread_in_the_order_in_which_it_came():
    async def burst() -> list[tuple[int, float]]:
        pacing, went = Pacing(100), []

        async def one(number: int) -> None:
            await pacing.turn()
            went.append((number, round(asyncio.get_running_loop().time() - began, 6)))

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(one(number) for number in range(4)))
        return went

    assert run(burst()) == [(0, 0.0), (1, 0.01), (2, 0.02), (3, 0.03)]


def test_who_asks_for_several_turns_has_the_next_one_wait_and_not_himself():
    async def three() -> list[float]:
        pacing, went = Pacing(100), []
        began = asyncio.get_running_loop().time()
        for weight in (1, 4, 1):
            await pacing.turn(weight)
            went.append(round(asyncio.get_running_loop().time() - began, 6))
        return went

    assert run(three()) == [0.0, 0.01, 0.05]


def test_after_a_rest_some_go_at_once_and_the_next_are_spread_again():
    async def twice() -> list[float]:
        pacing, went = Pacing(100, burst=2), []
        began = asyncio.get_running_loop().time()
        for rest in (0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0):
            await asyncio.sleep(rest)
            await pacing.turn()
            went.append(round(asyncio.get_running_loop().time() - began, 6))
        return went

    assert run(twice()) == [0.0, 0.0, 0.0, 0.01, 9.01, 9.01, 9.01, 9.02]


def test_who_gives_up_waiting_is_waited_for_by_nobody():
    async def given_up() -> float:
        pacing = Pacing(100)
        began = asyncio.get_running_loop().time()
        await pacing.turn()
        waiting = [asyncio.create_task(pacing.turn()) for _ in range(1000)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await pacing.turn()
        return asyncio.get_running_loop().time() - began

    assert round(run(given_up()), 6) == 0.01


def test_who_comes_seldom_enough_never_waits():
    async def seldom() -> float:
        pacing = Pacing(100)
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            await pacing.turn()
            await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began

    assert round(run(seldom()), 6) == 0.05
