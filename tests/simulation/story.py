"""What became of each owner, so that a seed that fails can be told on one screen."""

import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass

from shared.domain.leases import Owner
from shared.domain.policy import DAY, HOUR, MINUTE

LINES = 40


@dataclass(slots=True)
class Line:
    """Something that happened at `at`, for the last time at `last`, so many `times` without anything in between."""

    at: float
    last: float
    what: str
    times: int = 1


class Story:
    """The last lines about every owner; the virtual instants are seconds since the simulation's start."""

    def __init__(self) -> None:
        self._of: dict[Owner, deque[Line]] = defaultdict(lambda: deque(maxlen=LINES))
        self.events = 0

    def note(self, owner: Owner, now: float, what: str) -> None:
        self.events += 1
        lines = self._of[owner]
        if lines and lines[-1].what == what:
            lines[-1].last, lines[-1].times = now, lines[-1].times + 1
        else:
            lines.append(Line(now, now, what))

    def digest(self) -> str:
        """The same for two simulations in which the same happened."""
        told = [(owner.key, line) for owner, lines in self._of.items() for line in lines]
        return hashlib.sha256(repr((self.events, told)).encode()).hexdigest()

    def tell(self, owner: Owner, troubles: list[tuple[float, float, str]]) -> str:
        """The lines about an owner, among them the troubles (begin, end, what) of that time."""
        lines = list(self._of[owner])
        begin = lines[0].at if lines else 0.0
        between = [Line(at, at, f"--- {what}") for at, end, what in troubles if end >= begin]
        told = sorted([*lines, *between], key=lambda line: line.at)[-LINES:]
        return "\n".join(f"  {instant(line.at)}  {line.what}{_again(line)}" for line in told)


def _again(line: Line) -> str:
    return f" ({line.times} times, last at {instant(line.last).strip()})" if line.times > 1 else ""


def instant(seconds: float) -> str:
    """As day, hour, minute and second."""
    rest = f"{int(seconds % DAY // HOUR):02d}:{int(seconds % HOUR // MINUTE):02d}:{seconds % MINUTE:04.1f}"
    return f"{int(seconds // DAY):3d} d {rest}"
