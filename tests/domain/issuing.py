"""A CA that writes down what it is asked to sign, for tests of who may have what."""

from collections.abc import Sequence
from dataclasses import replace

from shared.domain import enrolment
from shared.domain.enrolment import Issuing
from shared.domain.errors import AuthorityUnavailable
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.domain.policy import DAY, HOUR
from tests.certs import Hands
from tests.doubles.memory import MemoryStore

ALICE = Principal("default", Role.USER, "alice")
KEY, OTHER = b"a key", b"another key"
ADMIN = Principal("default", Role.ADMIN, "ops")


class Paper:
    """The port `Authority`; what it signs is a line of text."""

    def __init__(self, until: float):
        self.until = until
        self.signed: list[tuple[Principal, Issued, bytes]] = []
        self.lists: list[tuple[list[str], int]] = []
        self.broken = False

    async def issue(self, principal: Principal, issued: Issued, public_key: bytes) -> str:
        self._check()
        self.signed.append((principal, issued, public_key))
        return f"{principal.role} {principal.name} {issued.serial} {public_key.decode()}"

    async def revocation_list(self, revoked: Sequence[Issued], number: int, now: float, until: float) -> bytes:
        self._check()
        self.lists.append(([each.serial for each in revoked], number))
        return " ".join(each.serial for each in revoked).encode()

    async def close(self) -> None:
        """As the real one has it."""

    def _check(self) -> None:
        if self.broken:
            raise AuthorityUnavailable("told to fail")


class Desk:
    """Everything that issues certificates, with a clock to turn."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.store = MemoryStore(clock=self.clock)
        self.authority = Paper(self.clock.now() + 3650 * DAY)
        self.issuing = Issuing(self.store, self.authority, self.clock)

    async def serials(self) -> list[str]:
        holder = await self.store.holder(OWNER)
        return [each.serial for each in holder.certificates] if holder else []


OWNER = ALICE.acting_for("alice")


async def invited(desk: Desk, invitee: Principal = ALICE, hours: float = 24) -> str:
    return await enrolment.invite(desk.store, desk.clock, invitee, hours * HOUR, "operator")


async def enrolled(desk: Desk, who: Principal = ALICE) -> Principal:
    """Somebody with a certificate that was got by an invitation."""
    return presented(await enrolment.enrol(desk.issuing, await invited(desk, who), KEY))


def presented(issuance: enrolment.Issuance) -> Principal:
    issued = issuance.issued
    return replace(issuance.principal, serial=issued.serial, begins=issued.begins, until=issued.until)
