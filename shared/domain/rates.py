"""How many requests a second a user, and all of a tenant, may make of one process."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

from shared.domain.errors import TooMany
from shared.domain.identity import Principal, Role
from shared.ports.clock import Clock

REMEMBERED = 100_000  # callers; who is forgotten begins with a full bucket
REST = 5.0  # seconds of requests that may come at once after a rest


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second; 0: as many as come."""

    user: float = 0.0
    tenant: float = 0.0


class Rates:
    """A token bucket for each user and each tenant, kept as the instant at which it would be full.

    Who calls for others (a frontend, an admin) counts as its tenant alone. Beats are not asked about here.
    """

    def __init__(self, rate: Rate, clock: Clock):
        self._rate, self._clock = rate, clock
        self._full_at: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def take(self, caller: Principal) -> None:
        """Count one request. Raises TooMany, and counts nothing, if there were too many."""
        buckets: list[tuple[tuple[str, ...], float, str]] = []
        if self._rate.user and caller.role is Role.USER:
            buckets.append(((caller.tenant, caller.name), self._rate.user, "you make"))
        if self._rate.tenant:
            buckets.append(((caller.tenant,), self._rate.tenant, "your tenant makes"))
        now = self._clock.monotonic()
        for key, rate, who in buckets:
            wait = self._full_at.get(key, now) + 1 / rate - now - REST
            if wait > 0:
                raise TooMany(f"{who} more than {rate:g} requests a second", retry_after=ceil(wait))
        for key, rate, _ in buckets:
            self._full_at[key] = max(self._full_at.get(key, now), now) + 1 / rate
            self._full_at.move_to_end(key)
            if len(self._full_at) > REMEMBERED:
                self._full_at.popitem(last=False)
