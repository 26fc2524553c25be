"""What must never become of certificates, checked at every write, signature and answer."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.domain import holders as rules
from shared.domain.enrolment import Issuance
from shared.domain.holders import Holder, Issued
from shared.domain.identity import Principal
from shared.domain.leases import Owner
from shared.domain.policy import CLOCK_SKEW
from shared.domain.revocations import BEAT, BLIND
from tests.domain.issuing import Paper

if TYPE_CHECKING:
    from tests.model.registry import Clerk

SOON = 30.0  # seconds after which what is revoked is accepted nowhere
FAST = CLOCK_SKEW / 2  # how far a clock is ahead of the truth at most
BY_HAND = "ab"  # serial of a certificate that was made beside all this


class Promises:
    """`issued` is every certificate that ever was in the store, as it was first written, by serial; `revoked` when
    it was durable that one is; `asked` those whose end was asked for by who may; `held` those that somebody has.
    """

    now: float
    broken: BaseException | None
    held: list[Principal]

    def __init__(self) -> None:
        self.issued: dict[str, Issued] = {}
        self.whose: dict[str, Owner] = {}
        self.revoked: dict[str, float] = {}
        self.asked: set[str] = set()
        self.acknowledged: dict[str, Principal] = {}
        self.used: dict[str, str] = {}  # digest of a token → the serial that it brought
        self.keys: dict[str, bytes] = {}  # serial → the key that was signed

    def witness(self, check: Callable[..., None], *what: Any) -> None:
        """A check whose verdict is kept: the code under test may catch what is raised in here."""
        try:
            check(*what)
        except AssertionError as error:
            self.broken = self.broken or error

    def lineage(self, serial: str) -> set[str]:
        """It, and all that it was renewed from."""
        found = set()
        while serial:
            found.add(serial)
            serial = self.issued[serial].renewed_from if serial in self.issued else ""
        return found

    # --- at every write

    def kept(self, holder: Holder) -> None:
        new = [each for each in holder.certificates if each.serial not in self.issued]
        for each in new:
            self.issued[each.serial], self.whose[each.serial] = each, holder.owner
        self.check_new([each for each in new if each.key], holder)
        for each in holder.certificates:
            if each.revoked_at is not None and each.serial not in self.revoked:
                assert self.lineage(each.serial) & self.asked, "nobody asked for the end of that one"
                self.revoked[each.serial] = self.now
        self.check_tokens(holder)
        for serial, issued in self.issued.items():
            if self.whose[serial] != holder.owner or self.now >= issued.until + FAST:
                continue
            found = holder.certificate(serial)
            assert found is not None, "a certificate is forgotten before its end"
            if self.lineage(serial) & self.revoked.keys():
                assert found.revoked_at is not None, "it is good, and what it was renewed from is revoked"
            else:
                assert found.revoked_at is None, "it is revoked, and nothing that it was renewed from"

    def check_new(self, new: list[Issued], holder: Holder) -> None:
        assert len(new) <= 1, "more than one at once"
        for each in new:
            assert not self.lineage(each.serial) & self.revoked.keys(), "it is renewed from what is revoked"
            invited = {each.serial for each in holder.invitations}
            assert each.renewed_from or each.serial in invited, "nobody was invited, and nothing is renewed"
            assert not each.renewed_from or self.issued[each.renewed_from].role is each.role
        valid = [each for each in holder.certificates if each.revoked_at is None and self.now + FAST < each.until]
        assert len(valid) <= rules.VALID, f"{len(valid)} certificates of one name"
        assert len(holder.certificates) <= rules.KEPT + 1, "too much in one document"  # one was made by hand

    def check_tokens(self, holder: Holder) -> None:
        opened = [each for each in holder.invitations if not each.serial and self.now + FAST < each.until]
        assert len(opened) <= rules.INVITATIONS, f"{len(opened)} invitations are open"
        for each in holder.invitations:
            assert self.used.get(each.digest, each.serial) == each.serial, "a token is good for another one"
            if each.serial:
                self.used[each.digest] = each.serial

    # --- at every signature and answer

    def signed(self, principal: Principal, issued: Issued, key: bytes) -> None:
        assert issued.serial in self.issued, "signed, and written down nowhere"
        assert self.keys.setdefault(issued.serial, key) == key, "one certificate for two keys"
        assert issued.key == hashlib.sha256(key).hexdigest()
        assert self.whose[issued.serial] == Owner(principal.tenant, principal.name)

    def acknowledge(self, issuance: Issuance, key: bytes) -> None:
        issued, who = issuance.issued, issuance.principal
        assert issuance.chain == f"{who.role} {who.name} {issued.serial} {key.decode()}"
        if issued.serial not in self.acknowledged:
            has = Principal(who.tenant, who.role, who.name, issued.serial, begins=issued.begins, until=issued.until)
            self.acknowledged[issued.serial] = has
            self.held.append(has)

    def let_in(self, clerk: "Clerk", caller: Principal, beat: bool) -> None:
        """Somebody's certificate counts, who may have been revoked a moment ago."""
        since = self.now - self.revoked.get(caller.serial, self.now)
        limit = SOON
        if clerk.failing:
            limit = float("inf") if beat else BLIND
        elif beat and clerk.reading_at is not None and self.now - clerk.reading_at >= BEAT:
            limit = float("inf")
        assert since <= limit, f"accepted {since:.0f} s after it was revoked"

    def check_list(self, caller: Principal, found: list[Issued], now: float, known: set[str], ended: set[str]) -> None:
        """`known` and `ended` were acknowledged, and revoked, when it was asked for."""
        listed = {each.serial: each for each in found}
        for serial in known:
            if self.whose[serial] == Owner(caller.tenant, caller.name) and now < self.issued[serial].until:
                assert serial in listed, "what was acknowledged is not listed"
                assert listed[serial].revoked_at is not None or serial not in ended, "it is listed as good"


class WatchedPaper(Paper):
    """A CA that tells the world what it signs."""

    def __init__(self, world: Promises, until: float):
        super().__init__(until)
        self._world = world

    async def issue(self, principal: Principal, issued: Issued, public_key: bytes) -> str:
        self._world.witness(self._world.signed, principal, issued, public_key)
        return await super().issue(principal, issued, public_key)
