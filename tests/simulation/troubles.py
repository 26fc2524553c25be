"""When what goes wrong, drawn before the first day; and how much of a period was in trouble."""

import random
from bisect import bisect_right
from dataclasses import dataclass

from shared.domain.policy import DAY, HOUR, MINUTE
from tests.simulation.story import instant

# Kind, how often in 30 days, for how long at least and at most, which share of requests it takes.
DRAWN = (
    ("store", 2.0, HOUR, 4 * HOUR, 1.0),
    ("store", 5.0, HOUR / 2, 4 * HOUR, 0.2),
    ("cluster", 2.0, HOUR, 6 * HOUR, 1.0),
    ("cluster", 5.0, HOUR / 2, 4 * HOUR, 0.2),
    ("archive", 2.0, 2 * HOUR, 12 * HOUR, 1.0),
    ("front", 1.0, DAY, 1.2 * DAY, 1.0),
    ("front", 4.0, 10 * MINUTE, HOUR, 1.0),
    ("tasks", 2.0, 12 * HOUR, 2 * DAY, 1.0),
    ("pods", 2.0, HOUR, 6 * HOUR, 1.0),
    ("owner", 2.0, DAY, 2 * DAY, 1.0),
)
UNTOLD = ("nobody", "another leader")
AFTER = 40 * MINUTE  # until silence is trusted again, and what waited for its backoff has had its look


@dataclass(frozen=True, slots=True)
class Trouble:
    """`kind` of trouble: with the store, the cluster, where archives are kept, the front (nobody is heard), with
    tasks, with new pods, with the store's partition of one `owner` (by number), or with our own instances ("nobody":
    none is there; "another leader": its clock leaves a gap).
    """

    begin: float
    end: float
    kind: str
    share: float = 1.0
    owner: int = -1

    def __str__(self) -> str:
        what = f"{self.kind} {self.owner}" if self.owner >= 0 else self.kind
        return f"trouble with {what} ({self.share:.0%}) until {instant(self.end).strip()}"


class Periods:
    """A union of periods, and how much of another one it takes."""

    def __init__(self) -> None:
        self._begins: list[float] = []
        self._ends: list[float] = []
        self._before: list[float] = []  # seconds in all periods before each
        self._raw: list[tuple[float, float]] = []

    def add(self, begin: float, end: float) -> None:
        self._raw.append((begin, end))
        self._begins, self._ends, self._before = [], [], []
        total = 0.0
        for first, last in sorted(self._raw):
            if self._ends and first <= self._ends[-1]:
                total += max(0.0, last - self._ends[-1])
                self._ends[-1] = max(self._ends[-1], last)
                continue
            self._begins.append(first)
            self._ends.append(last)
            self._before.append(total)
            total += last - first

    def seconds(self, since: float, now: float) -> float:
        """How much of [since, now] lies in them."""
        return max(0.0, self._until(now) - self._until(since)) if now > since else 0.0

    def _until(self, at: float) -> float:
        i = bisect_right(self._begins, at) - 1
        return 0.0 if i < 0 else self._before[i] + min(at, self._ends[i]) - self._begins[i]


class Weather:
    """All troubles of a simulation, so many times as often as `DRAWN` says; `now` has those that are on, by kind."""

    def __init__(self, rng: random.Random, seconds: float, owners: int, storms: float):
        self.all: list[Trouble] = []
        for kind, often, least, most, share in DRAWN:
            for _ in range(_about(rng, storms * often * seconds / (30 * DAY))):
                lasts = rng.uniform(least, most)
                begin = rng.uniform(HOUR, max(2 * HOUR, seconds - lasts))
                owner = rng.randrange(owners) if kind == "owner" else -1
                self.all.append(Trouble(begin, min(begin + lasts, seconds), kind, share, owner))
        self.all.sort(key=lambda trouble: trouble.begin)
        self.now: dict[str, list[Trouble]] = {}
        self.excused = Periods()  # in which nobody can be expected to look
        self.deaf = Periods()  # in which nobody was heard
        self.unable = Periods()  # in which nothing can be archived
        self._of: dict[int, Periods] = {}
        for trouble in self.all:
            self._learn(trouble)

    def _learn(self, trouble: Trouble) -> None:
        if trouble.kind == "owner":
            self._of.setdefault(trouble.owner, Periods()).add(trouble.begin, trouble.end + AFTER)
        elif trouble.kind != "tasks":
            self.excused.add(trouble.begin, trouble.end + AFTER)
        if trouble.kind in ("tasks", "archive"):
            self.unable.add(trouble.begin, trouble.end)
        if trouble.kind == "front":
            self.deaf.add(trouble.begin, trouble.end)

    def add(self, trouble: Trouble) -> None:
        """One that nobody planned."""
        self.all.append(trouble)
        self._learn(trouble)

    def begins(self, trouble: Trouble) -> None:
        self.now.setdefault(trouble.kind, []).append(trouble)

    def ends(self, trouble: Trouble) -> None:
        self.now[trouble.kind].remove(trouble)

    def share(self, kind: str) -> float:
        """Which share of requests to it goes wrong now."""
        found = self.now.get(kind)
        return max(trouble.share for trouble in found) if found else 0.0

    def excuse(self, owner: int, since: float, now: float) -> float:
        """Seconds since then that count for nothing in what is promised to this owner."""
        own = self._of[owner].seconds(since, now) if owner in self._of else 0.0
        return self.excused.seconds(since, now) + own

    def told(self, owner: int, now: float) -> list[tuple[float, float, str]]:
        """What has befallen this owner by now: begin, end, what."""
        mine = [trouble for trouble in self.all if trouble.owner in (-1, owner) and trouble.kind not in UNTOLD]
        return [(trouble.begin, trouble.end, str(trouble)) for trouble in mine if trouble.begin <= now]


def _about(rng: random.Random, often: float) -> int:
    """That many on average, and at least as many as it has whole ones."""
    return int(often) + (rng.random() < often % 1)
