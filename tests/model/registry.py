"""A world of certificates: what its processes ask of the real code, over a store and a CA that are far away."""

import asyncio
from dataclasses import replace
from typing import Any
from unittest import mock

from shared.domain import enrolment
from shared.domain import holders as rules
from shared.domain.enrolment import Issuance, Issuing
from shared.domain.errors import AuthorityUnavailable, NotAuthenticated, StoreUnavailable
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.domain.policy import CLOCK_SKEW, DAY
from shared.domain.revocations import Revocations
from tests.model.clerks import Clerk, Patient, Token, WatchedHolders
from tests.model.network import Wire
from tests.model.promises import BY_HAND, Promises, WatchedPaper
from tests.model.stage import Stage
from tests.model.watched import WorldClock

STORE, AUTHORITY = 5.0, 10.0  # seconds that the adapters wait for an answer
LATE = 60.0  # seconds after which what is under way never arrives
ALICE, BOB = (Principal("t", Role.USER, name) for name in ("alice", "bob"))
ADMIN = Principal("t", Role.ADMIN, "ops")
NARROW = {"VALID": 4, "KEPT": 8, "INVITATIONS": 3}  # so that short stories reach the bounds


class Registry(Stage[Clerk], Promises):
    """Processes, the store, the CA, and what people have: tokens, and certificates (`held`)."""

    def __init__(self) -> None:
        Stage.__init__(self)
        Promises.__init__(self)
        self.narrow = mock.patch.multiple(rules, **NARROW)
        self.narrow.start()
        self.store = WatchedHolders(self)
        self.authority = WatchedPaper(self, self.now + 3650 * DAY)
        self.away = False
        self.tokens: list[Token] = []
        by_hand = replace(ALICE, serial=BY_HAND, begins=self.now - DAY, until=self.now + 90 * DAY)
        self.held = [by_hand]  # by those whom they name
        self.processes = [self.new_process(wrong) for wrong in (CLOCK_SKEW / 2, -CLOCK_SKEW / 2)]

    def new_process(self, wrong: float) -> Clerk:
        name, clock = self.name(), WorldClock(self.loop, wrong)
        store = Patient(Wire(self.store, self.network, name, "store"), STORE, StoreUnavailable, lambda: self.away)
        far = Wire(self.authority, self.network, name, "authority")
        authority = Patient(far, AUTHORITY, AuthorityUnavailable, lambda: False)
        clerk = Clerk(name, clock, Issuing(store, authority, clock))

        async def read(since: float) -> Any:
            clerk.reading_at = self.now
            try:
                found = await store.revoked(since)
                clerk.failing = False
                return found
            except StoreUnavailable:
                clerk.failing = True
                raise
            finally:
                clerk.reading_at = None

        clerk.revocations = Revocations(read, clock)
        return clerk

    def another(self, process: Clerk) -> Clerk:
        return self.new_process(process.clock.now() - self.now)

    def check(self) -> None:
        """All is checked where it is written, signed and answered."""

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        for request in list(self.network.under_way):
            if self.loop.time() - request.sent_at >= LATE:
                self.network.drop(request, self.lost(request))
        self.settle()

    def close(self) -> None:
        super().close()
        self.narrow.stop()

    # --- what processes are asked

    def invite(self, clerk: Clerk, who: Principal, seconds: float) -> asyncio.Task[Any]:
        async def invite() -> None:
            text = await enrolment.invite(clerk.issuing.holders, clerk.clock, who, seconds, "operator")
            self.tokens.append(Token(text))

        return self.begin(clerk, invite())

    def enrol(self, clerk: Clerk, token: Token, key: bytes) -> asyncio.Task[Any]:
        async def enrol() -> Issuance:
            issuance = await enrolment.enrol(clerk.issuing, token.text, key)
            token.keys.add(key)
            assert len(token.keys) == 1, "a token brought certificates for two keys"
            self.acknowledge(issuance, key)
            return issuance

        return self.begin(clerk, enrol())

    def renew(self, clerk: Clerk, caller: Principal, key: bytes) -> asyncio.Task[Any]:
        async def renew() -> Issuance:
            await self.authenticated(clerk, caller)
            issuance = await enrolment.renew(clerk.issuing, caller, key)
            self.acknowledge(issuance, key)
            return issuance

        return self.begin(clerk, renew())

    def revoke(self, clerk: Clerk, caller: Principal, whose: Principal) -> asyncio.Task[Any]:
        """Whoever may not is told that there is no such certificate."""
        allowed = caller.role is Role.ADMIN or caller.name == whose.name

        async def revoke() -> Issued:
            await self.authenticated(clerk, caller)
            if allowed:
                self.asked.add(whose.serial)
            ended = await enrolment.revoke(clerk.issuing.holders, clerk.clock, caller, whose.name, whose.serial)
            assert allowed, f"{caller} ended a certificate of {whose}"
            assert whose.serial in self.revoked, "it was said to be revoked"
            return ended

        return self.begin(clerk, revoke())

    def forbid(self, clerk: Clerk, whose: Principal) -> asyncio.Task[Any] | None:
        """What an operator has in hand; of what is over, whose renewals are not known any more, it is told so."""
        if whose.until <= clerk.clock.now():
            return None
        self.asked.add(whose.serial)
        return self.begin(clerk, enrolment.forbid(clerk.issuing.holders, clerk.clock, whose, "operator"))

    def listed(self, clerk: Clerk, caller: Principal) -> asyncio.Task[Any]:
        async def listed() -> list[Issued]:
            known, ended = set(self.acknowledged), set(self.revoked)
            found = await enrolment.certificates(clerk.issuing.holders, clerk.clock, caller, caller.name)
            self.check_list(caller, found, clerk.clock.now(), known, ended)
            return found

        return self.begin(clerk, listed())

    def call(self, clerk: Clerk, caller: Principal, *, beat: bool = False) -> asyncio.Task[Any]:
        """Whether a caller is let in."""

        async def call() -> bool:
            try:
                await self.authenticated(clerk, caller, beat=beat)
            except NotAuthenticated:
                return False
            return True

        return self.begin(clerk, call())

    async def authenticated(self, clerk: Clerk, caller: Principal, *, beat: bool = False) -> None:
        if not caller.serial:
            return  # nobody ever ends this one
        if not caller.begins <= clerk.clock.now() < caller.until:
            raise NotAuthenticated("it is over, or has not begun")
        await clerk.revocations.check(caller, beat=beat)
        self.let_in(clerk, caller, beat)
