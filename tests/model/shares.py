"""Places for starts that count on their own who has one, and say when one is refused that was free."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager

from shared.domain.errors import TooMany
from shared.domain.leases import Owner
from shared.domain.starts import Places, Starts


class WatchedStarts(Starts):
    """`breaks` is told what must never be."""

    def __init__(self, places: Places, breaks: Callable[[Owner, BaseException], None]):
        super().__init__(places)
        self.places, self._breaks = places, breaks
        self.inside: Counter[Owner] = Counter()  # how many callers are in an owner's place
        self.waiting: Counter[Owner] = Counter()  # or ask for one

    @asynccontextmanager
    async def place(self, owner: Owner, patience: float) -> AsyncIterator[None]:
        self.waiting += Counter([owner])
        had = False
        try:
            async with super().place(owner, patience):
                had = True
                self._turn(owner)
                try:
                    yield
                finally:
                    self.inside -= Counter([owner])
        except TooMany as error:
            if not had:
                self._watch(self.check_refusal, owner, error)
            raise
        finally:
            if not had:
                self.waiting -= Counter([owner])

    def _turn(self, owner: Owner) -> None:
        self.waiting -= Counter([owner])
        self.inside += Counter([owner])
        self._watch(self.check_shares, owner)

    def _watch(self, check: Callable[..., None], owner: Owner, *what: object) -> None:
        try:
            check(owner, *what)
        except AssertionError as error:
            self._breaks(owner, error)

    def check_shares(self, owner: Owner) -> None:
        """Nobody has more than its share."""
        places, of = self.places, [each for each in self.inside if each.tenant == owner.tenant]
        assert not places.total or len(self.inside) <= places.total, f"{len(self.inside)} places are taken"
        assert not places.tenant or len(of) <= places.tenant, f"{owner.tenant} has {len(of)} places"

    def check_refusal(self, owner: Owner, error: TooMany) -> None:
        """Only where shares are used up is one refused, and it is told when to come back."""
        assert error.retry_after is not None and error.retry_after > 0, "refused, and not told for how long"
        assert self.used_up(owner, self.inside.keys() | (self.waiting - Counter([owner])).keys()), (
            "refused, though a place is free"
        )

    def check_waiting(self) -> None:
        """Nobody waits for what it could have."""
        for owner in self.waiting:
            assert owner not in self.inside, f"{owner} waits, though it has a place"
            assert self.used_up(owner, set(self.inside)), f"{owner} waits, though a place is free"

    def empty(self) -> bool:
        """Whether nobody has a place, waits for one, or is remembered to."""
        return not (self.inside or self.waiting or self._taken or self._of or self._queues)

    def used_up(self, owner: Owner, takers: Set[Owner]) -> bool:
        """Whether there is no place for this owner beside these."""
        places, of = self.places, {each for each in takers if each.tenant == owner.tenant}
        full = bool(places.total) and len(takers - {owner}) >= places.total
        return full or (bool(places.tenant) and len(of - {owner}) >= places.tenant)


def too_many_databases(error: TooMany) -> bool:
    """Whether only the end of another database makes room."""
    return error.detail.startswith("your tenant has")
