"""What keeps a token to one key and a revoked certificate out, each broken once."""

from dataclasses import replace
from typing import Any

from shared.domain import enrolment, holders, revocations
from shared.domain.holders import Holder
from shared.domain.policy import CLOCK_SKEW, DAY
from tests.doubles.holders import MemoryHolders
from tests.model.certificates import CertificateMachine
from tests.model.mutants import Mutant
from tests.model.registry import ALICE


def _uses_no_token(original: Any) -> Any:
    def enrolled(holder: Holder, *rest: Any) -> Holder:
        return replace(original(holder, *rest), invitations=holder.invitations)

    return enrolled


def _knows_every_key(original: Any) -> Any:
    def enrolled(holder: Holder, digest: str, key: str, *rest: Any) -> Holder:
        certificates = tuple(replace(each, key=key) if each.key else each for each in holder.certificates)
        result: Holder = original(replace(holder, certificates=certificates), digest, key, *rest)
        return result

    return enrolled


def _renews_anything(original: Any) -> Any:
    def renewed(holder: Holder, caller: Any, issued: Any, now: float) -> Any:
        forgiven = tuple(replace(each, revoked_at=None) for each in holder.certificates)
        after, chosen = original(replace(holder, certificates=forgiven), caller, issued, now)
        ended = {each.serial: each.revoked_at for each in holder.certificates}
        back = tuple(replace(each, revoked_at=ended.get(each.serial)) for each in after.certificates)
        return replace(after, certificates=back), chosen

    return renewed


def _ends_that_one_only(original: Any) -> Any:
    return lambda holder, serial: {serial}


def _forgets_where_it_comes_from(original: Any) -> Any:
    def pruned(self: Holder, now: float) -> Holder:
        after: Holder = original(self, now)
        same = [each for each in self.certificates if after.certificate(each.serial)]
        return replace(after, certificates=tuple(same))

    return pruned


def _prunes_by_its_own_clock(original: Any) -> Any:
    return lambda self, now: original(self, now + CLOCK_SKEW)


def _compares_no_etag(original: Any) -> Any:
    async def keep(self: MemoryHolders, holder: Holder, *rest: Any) -> Holder:
        stored = self._holders.get(holder.owner)
        kept: Holder = await original(self, replace(holder, etag=stored.etag if stored else ""), *rest)
        return kept

    return keep


def _nothing(original: Any) -> float:
    return 0.0


def _for_ever(original: Any) -> float:
    return 1e9


def _counts_nothing(original: Any) -> Any:
    return lambda certificates, now: 0


def _signs_at_once(original: Any) -> Any:
    async def changed(holders: Any, owner: Any, now: float, change: Any) -> Holder:
        """The answer does not wait for the write."""
        stored = await holders.holder(owner)
        return replace(change((stored or Holder(owner)).pruned(now)))

    return changed


def _revoked_by_the_slower_of_two(machine: CertificateMachine) -> None:
    machine.begin("enrolled", 0)
    machine.time_passes(12.0)
    machine.call(0, 0, beat=False, at_once=True)  # whose clock is ahead
    machine.revoke(1, 0, None, at_once=True)
    machine.time_passes(31.0)
    machine.call(0, 0, beat=False, at_once=True)


def _first_of_three(machine: CertificateMachine) -> None:
    """Made by hand, good for 90 days; the second one is over when the third one's end is due."""
    machine.renew(0, 0, b"second key", at_once=True)
    machine.time_passes(20 * DAY)
    machine.renew(0, 0, b"third key", at_once=True)
    machine.time_passes(20 * DAY)
    machine.revoke(0, 2, 2, at_once=True)


def _invited_when_another_clock_sees_an_end(machine: CertificateMachine) -> None:
    machine.begin("invited", 0)
    machine.enrol(1, 0, b"its key", at_once=True)
    machine.time_passes(30 * DAY - 200)
    machine.invite(0, ALICE, 1, at_once=True)


CERTIFICATE_MUTANTS = [
    Mutant("a token is never used up", holders, "enrolled", _uses_no_token),
    Mutant("a used token is good for any key", holders, "enrolled", _knows_every_key),
    Mutant("what is revoked can be renewed", holders, "renewed", _renews_anything),
    Mutant("what was renewed from it stays", holders, "_renewals", _ends_that_one_only),
    Mutant("it is forgotten what one comes from", Holder, "pruned", _forgets_where_it_comes_from, _first_of_three),
    Mutant(
        "what is over by one clock is forgotten",
        Holder,
        "pruned",
        _prunes_by_its_own_clock,
        _invited_when_another_clock_sees_an_end,
    ),
    Mutant("a write compares nothing", MemoryHolders, "keep", _compares_no_etag),
    Mutant("nobody counts what is valid", holders, "_valid", _counts_nothing),
    Mutant("an answer does not wait for its write", enrolment, "_changed", _signs_at_once),
    Mutant("what is revoked is read once", revocations, "FRESH", _for_ever),
    Mutant("nobody waits for what is revoked", revocations, "STALE", _for_ever),
    Mutant("a read begins where the last one did", revocations, "OVERLAP", _nothing, _revoked_by_the_slower_of_two),
]
