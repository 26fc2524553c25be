"""How the interpreter is shared: between a server's requests, its threads and its collector of garbage."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Seconds until who computes lets a thread on that waits. The store's reader has 20 µs to do, waits anew each time
# that SQLite gives the interpreter back, and its caller waited for 10 ms while the loop was busy with others.
SWITCH = 0.001
# Requests leave no garbage in cycles, and what a burst of them holds is none until they are answered: to look through
# all of it for every tenth collection of the young stalled everybody for 10 ms, again and again, and found nothing.
GENERATIONS = (2000, 100, 10)
QUIET = 1.0  # seconds between two looks whether nobody is served and the young may be looked through
OLDER = 10  # collections of the youngest that are worth one of all the young


@contextmanager
def shared() -> Iterator[None]:
    """Collect nothing until `serves`: what importing makes is no garbage, and to look for it is a fifth of a start.

    Threads and the collector do as before when this ends, but for what `serves` took out of all collections.
    """
    before, thresholds = sys.getswitchinterval(), gc.get_threshold()
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.set_threshold(*thresholds)
        gc.enable()


def serves() -> None:
    """What is there now stays for good: a full collection that looks through it stalls everybody for 100 ms."""
    gc.freeze()
    gc.set_threshold(*GENERATIONS)
    gc.enable()
    sys.setswitchinterval(SWITCH)


async def collects(quiet: Callable[[], bool]) -> None:
    """Look through the young while nobody is served, so that it is not due in the middle of a burst."""
    while True:
        await asyncio.sleep(QUIET)
        if gc.get_count()[1] >= OLDER and quiet():
            gc.collect(1)
