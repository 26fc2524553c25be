"""Users and their notebooks: kernels that start, beat, compute, crash, come back or never do."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.domain.databases import Beat
from shared.domain.errors import PlaygroundError, TooMany
from shared.domain.leases import Owner, State
from shared.domain.policy import DAY, HOUR, MINUTE, PLUGIN_INTERVAL
from tests.doubles.mariadb import Server
from tests.model.shares import too_many_databases
from tests.model.watched import Life

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

LONGEST_CELL = 10 * HOUR
IN_A_CLASS = 0.3  # of all, who begin together
CLASSES = 12 * HOUR  # between two of them


class User:
    """One owner, with one notebook at a time."""

    def __init__(self, world: "Simulation", owner: Owner, number: int):
        self.world, self.owner, self.number = world, owner, number
        self._connected: tuple[Life, Server] | None = None
        self._rows = 0
        self.one_too_many = False  # its tenant has as many databases as it may, and it has none

    async def live(self) -> None:
        rng = self.world.rng
        begins = rng.uniform(0.0, min(5.0, self.world.days / 3) * DAY)
        if rng.random() < IN_A_CLASS:
            begins = begins // CLASSES * CLASSES + rng.uniform(0.0, MINUTE)
        await asyncio.sleep(begins)
        while True:
            if await self.open():
                await self.session()
            fate = rng.random()
            if fate < 0.02:
                self.world.note(self.owner, "user: goes and never comes back")
                return
            away = _away(rng, fate)
            self.world.note(self.owner, f"user: goes for {away / HOUR:.1f} h")
            await asyncio.sleep(away)

    async def session(self) -> None:
        """A kernel's life: idle and computing in turns, until it is closed or crashes."""
        rng = self.world.rng
        for _ in range(1 + int(rng.expovariate(0.8))):
            await self.idle(rng.expovariate(1 / (45 * MINUTE)))
            await self.cell()
            if rng.random() < 0.05:
                await self.ask(lambda p, o: self.world.hold(p, o, HOUR * rng.choice((1, 2, 30, 100, 167))))
            if rng.random() < 0.1:
                self.world.note(self.owner, "user: the kernel crashes")
                break
        if rng.random() > 0.03:  # a connection that is forgotten stays open
            self.disconnect()
        fate = rng.random()
        if fate < 0.03:
            self.world.note(self.owner, "user: wants it archived")
            await self.ask(self.world.end)
        elif fate < 0.05:
            self.world.note(self.owner, "user: purges it")
            await self.ask(self.world.purge)

    async def open(self, tries: int = 12) -> bool:
        """create_db, again and again for a while, as its answers say; what is given must be what was there.

        Who is told that its tenant has too many gives up soon, as waiting ends nobody's database.
        """
        world, answer, began, told = self.world, None, self.world.now, 0
        for _ in range(tries):
            answer = await self.ask(world.create_db)
            if isinstance(answer, str):
                world.note(self.owner, "user: create_db is answered")
                world.purges.discard(self.owner)
                world.ends.discard(self.owner)
                if found := world.server(self.owner):
                    life, server = found
                    assert server.data == life.data, f"{server.data} is what is there, {life.data} what was"
                return True
            self.one_too_many = isinstance(answer, TooMany) and too_many_databases(answer)
            told += self.one_too_many
            if told == 3:
                break
            waits = isinstance(answer, TooMany) and not self.one_too_many
            began = began if waits else world.now
            assert world.within(self.owner, began, 0.0), "who comes back when it is told to is refused for ever"
            later = float(answer.retry_after) if isinstance(answer, TooMany) else 20.0
            await asyncio.sleep(later + world.rng.uniform(0.0, 10.0))
        world.note(self.owner, f"user: gives up over {answer!r}")
        return False

    async def open_late(self, seconds: float) -> bool:
        """Open it within so many seconds, and not give up."""
        await asyncio.sleep(self.world.rng.uniform(0.0, seconds))
        return await self.open(200)

    async def idle(self, seconds: float) -> None:
        for _ in range(1 + int(seconds / PLUGIN_INTERVAL)):
            if not self.world.weather.share("front"):
                self.world.beats[self.owner] = self.world.now
            beat = await self.ask(self.world.heart_beat)
            if isinstance(beat, Beat):
                self.world.note(self.owner, f"beat: {'renewed' if beat.renewed else 'not renewed'}, {beat.state}")
            else:
                self.world.note(self.owner, f"beat: unheard, {beat!r}")
            await asyncio.sleep(PLUGIN_INTERVAL)

    async def cell(self) -> None:
        """While it computes its kernel is silent: at work in the database, connected to it, or neither."""
        rng, kind = self.world.rng, self.world.rng.random()
        lasts = rng.uniform(0.5, 9 * MINUTE) if kind < 0.76 else rng.uniform(HOUR, LONGEST_CELL - MINUTE)
        connected = kind < 0.92 and self.connect()
        if kind > 0.76:
            self.world.note(self.owner, f"user: a cell of {lasts / HOUR:.1f} h, {'' if connected else 'not '}connected")
        server = self._connected[1] if self._connected else None
        if server is not None and kind < 0.84:
            server.executing += 1
        await asyncio.sleep(lasts)
        if server is not None and server.executing:
            server.executing -= 1
        if self.connect():
            self.write()
        if rng.random() < 0.8:
            self.disconnect()

    # --- in the database

    def connect(self) -> bool:
        """Whether a connection is open now."""
        found = self.world.server(self.owner)
        if self._connected and (found is None or found[1] is not self._connected[1]):
            self._connected = None  # its server is gone
        lease = self.world.lease(self.owner)
        if found is None or lease is None or lease.state is not State.RUNNING:
            return self._connected is not None
        if self._connected is None:
            self.world.used(found[0])
            found[1].connect()
            self._connected = found
        return True

    def write(self) -> None:
        life, server = self._connected or (None, None)
        if life is None or server is None:
            return
        self._rows += 1
        self.world.used(life)
        server.execute(f"{self.number}.{self._rows}")
        life.data.append(f"{self.number}.{self._rows}")

    def disconnect(self) -> None:
        if self._connected is not None:
            life, server = self._connected
            found = self.world.server(self.owner)
            if found is not None and found[1] is server:
                self.world.used(life)
            server.executing = 0
            server.disconnect()
            self._connected = None

    # --- over the front

    async def ask(self, begin: Callable[..., asyncio.Task[Any]]) -> Any:
        """What an instance answers; a text or an error that says why none did."""
        world = self.world
        process = None if world.weather.share("front") else world.anybody()
        if process is None:
            return PlaygroundError("nobody answers")
        task = begin(process, self.owner)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and process.name not in world.alive and not world.ending:
                return PlaygroundError("it died")
            raise


def _away(rng: Any, fate: float) -> float:
    """Seconds until the user comes back: mostly minutes or hours, some days, few weeks."""
    if fate < 0.18:
        return float(rng.uniform(MINUTE, HOUR))
    if fate < 0.5:
        return float(rng.uniform(8 * HOUR, 16 * HOUR))
    if fate < 0.85:
        return float(rng.uniform(DAY, 5 * DAY))
    return float(rng.uniform(14 * DAY, 20 * DAY))
