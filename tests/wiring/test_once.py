"""A thing of which a process has one: made once, when it is needed, and again if that failed."""

import asyncio

import pytest

from shared.wiring.once import Once


class Maker:
    """Makes numbers, as slowly and as badly as a test says."""

    def __init__(self) -> None:
        self.made = 0
        self.fails = 0
        self.go = asyncio.Event()
        self.go.set()
        self.closed: list[int] = []

    async def make(self) -> int:
        await self.go.wait()
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise OSError("not now")
        self.made += 1
        return self.made

    async def close(self, value: int) -> None:
        self.closed.append(value)


async def test_all_who_want_it_at_once_get_the_same():
    maker = Maker()
    once = Once(maker.make)
    maker.go.clear()
    waiting = [asyncio.create_task(once.get()) for _ in range(5)]
    await asyncio.sleep(0)
    maker.go.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert await once.get() == 1


async def test_what_could_not_be_made_is_tried_again_by_the_next():
    maker = Maker()
    maker.fails = 1
    once = Once(maker.make)
    with pytest.raises(OSError, match="not now"):
        await once.get()
    assert await once.get() == 1


async def test_one_who_gives_up_leaves_the_making_to_the_next():
    maker = Maker()
    once = Once(maker.make)
    maker.go.clear()
    first, second = asyncio.create_task(once.get()), asyncio.create_task(once.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    maker.go.set()
    assert await second == 1


async def test_closing_closes_what_was_made_and_the_next_use_makes_another():
    maker = Maker()
    once = Once(maker.make, maker.close)
    await once.close()
    assert maker.closed == []
    await once.get()
    await once.close()
    await once.close()
    assert maker.closed == [1]
    assert await once.get() == 2


async def test_a_test_may_put_its_own_in_its_place():
    once = Once(Maker().make)
    once.set(7)
    assert await once.get() == 7


def test_it_may_be_used_in_one_loop_after_another():
    maker = Maker()
    once = Once(maker.make, maker.close)

    async def use() -> None:
        assert len(set(await asyncio.gather(*(once.get() for _ in range(3))))) == 1
        await once.close()

    asyncio.run(use())
    asyncio.run(use())
