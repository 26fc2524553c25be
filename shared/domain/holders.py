"""What is known of somebody's certificates: who is invited, what was issued, and what is revoked.

All of one name is one document, so that whatever is decided here is one compare-and-set: a token is
used and its certificate written down at once, and nothing is renewed with what is being revoked.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from shared.domain.errors import NotAllowed, NotAuthenticated, NotFound, NotInvited
from shared.domain.identity import Principal, Role
from shared.domain.instants import iso
from shared.domain.leases import Event, Owner
from shared.domain.policy import CLOCK_SKEW, MINUTE

CERTIFICATES = "certificates"  # what events of them are about
INVITATIONS = 5  # that are open at once
VALID = 20  # certificates of one name
KEPT = 200  # certificates in one document, those that are revoked included
REPEATED = 10 * MINUTE  # so long the same key is answered with the same renewal: its asker lost the answer


@dataclass(frozen=True, slots=True)
class Invitation:
    """A token that brings one certificate. `digest`: SHA-256 (hex) of its secret; `serial`: what it was used for."""

    digest: str
    role: Role
    until: float
    by: str
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was issued, or that was presented and issued elsewhere under our CA.

    `serial` is in hex, `key` the SHA-256 (hex) of its public key ("": not known), `renewed_from` the
    serial of what asked for it ("": an invitation did), `by` who revoked it.
    """

    serial: str
    role: Role
    begins: float
    until: float
    key: str = ""
    renewed_from: str = ""
    revoked_at: float | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """All of one name in a tenant, whatever its role. `revoked_at`: the last revocation of what may still be valid."""

    owner: Owner
    invitations: tuple[Invitation, ...] = ()
    certificates: tuple[Issued, ...] = ()
    revoked_at: float = 0.0
    etag: str = ""

    @property
    def gone_at(self) -> float:
        """When nothing in here matters any more."""
        ends = [each.until for each in self.invitations] + [each.until for each in self.certificates]
        return max(ends, default=0.0) + CLOCK_SKEW

    def certificate(self, serial: str) -> Issued | None:
        return next((each for each in self.certificates if each.serial == serial), None)

    def pruned(self, now: float) -> "Holder":
        """Without what is over by every clock; what was renewed from that counts as renewed from its own origin."""
        over = {each.serial: each.renewed_from for each in self.certificates if now >= each.until + CLOCK_SKEW}

        def origin(serial: str) -> str:
            while serial in over:
                serial = over[serial]
            return serial

        certificates = tuple(
            replace(each, renewed_from=origin(each.renewed_from))
            for each in self.certificates
            if each.serial not in over
        )
        return replace(
            self,
            invitations=tuple(each for each in self.invitations if now < each.until + CLOCK_SKEW),
            certificates=certificates,
            revoked_at=max((each.revoked_at or 0.0 for each in certificates), default=0.0),
        )


def invited(holder: Holder, invitation: Invitation, now: float) -> Holder:
    """With one invitation more. Raises NotAllowed where too many are open."""
    open_ones = sum(not each.serial and now < each.until for each in holder.invitations)
    if open_ones >= INVITATIONS:
        raise NotAllowed(f"{open_ones} invitations of this name are open; they end by being used, or by themselves")
    return replace(holder, invitations=(*holder.invitations, invitation))


def enrolled(holder: Holder, digest: str, key: str, issue: Callable[[Role], Issued], now: float) -> Holder:
    """With the invitation used for a new certificate; unchanged if it was used for this same key already.

    Raises NotInvited if there is no such invitation, if it is over, or somebody else's key was there before.
    """
    invitation = next((each for each in holder.invitations if each.digest == digest), None)
    if invitation is None or now >= invitation.until:
        raise NotInvited("this token is not known here, or its time is over")
    if invitation.serial:
        issued = holder.certificate(invitation.serial)
        if issued is None or issued.key != key or issued.revoked_at is not None:
            raise NotInvited("this token has been used; if that was not you, tell who gave it to you")
        return holder
    issued = issue(invitation.role)
    used = replace(invitation, serial=issued.serial)
    return replace(
        _with(holder, issued, now),
        invitations=tuple(used if each is invitation else each for each in holder.invitations),
    )


def certificate_of(holder: Holder, digest: str) -> Issued:
    """What an invitation was used for."""
    serial = next(each.serial for each in holder.invitations if each.digest == digest)
    return next(each for each in holder.certificates if each.serial == serial)


def renewed(holder: Holder, caller: Principal, issued: Issued, now: float) -> tuple[Holder, Issued]:
    """With `issued` in addition to the caller's certificate, or as it was if the same was asked a moment ago.

    Raises NotAuthenticated if the caller's certificate is revoked, NotAllowed if it has too many.
    """
    holder = known(holder, caller)
    asking = holder.certificate(caller.serial)
    if asking is None or asking.revoked_at is not None:
        raise NotAuthenticated("the certificate is revoked")
    for each in holder.certificates:
        same = (each.renewed_from, each.key, each.revoked_at) == (caller.serial, issued.key, None)
        if same and now < each.begins + REPEATED + CLOCK_SKEW:
            return holder, each
    return _with(holder, issued, now), issued


def revoked(holder: Holder, serial: str, now: float, by: str) -> Holder:
    """With that certificate revoked, and all that was renewed from it: who stole it may have renewed it.

    What is revoked already stays as it is. Raises NotFound if there is none.
    """
    if holder.certificate(serial) is None:
        raise NotFound("there is no such certificate")
    fallen = _renewals(holder, serial)
    certificates = tuple(
        replace(each, revoked_at=now, by=by) if each.serial in fallen and each.revoked_at is None else each
        for each in holder.certificates
    )
    if certificates == holder.certificates:
        return holder
    return replace(holder, certificates=certificates, revoked_at=max(holder.revoked_at, now))


def changes(before: Holder, after: Holder, now: float) -> list[Event]:
    """What is new in `after`, for the owner's history: who was invited, what was issued, what is revoked."""

    def event(name: str, number: int, what: str, reason: str, actor: str = "") -> Event:
        return Event(after.owner, CERTIFICATES, name, number, now, "", what, reason, actor)

    found = [
        event(each.digest[:20], 0, "invited", f"as {each.role} until {iso(each.until)}", each.by)
        for each in after.invitations
        if each.digest not in {other.digest for other in before.invitations}
    ]
    for each in after.certificates:
        earlier, until = before.certificate(each.serial), f"as {each.role} until {iso(each.until)}"
        if earlier is None and each.key:
            how = f"renewed from {each.renewed_from}" if each.renewed_from else "enrolled"
            found.append(event(each.serial, 1, "issued", f"{how}, {until}"))
        elif earlier is None:
            found.append(event(each.serial, 1, "presented", until))
        if each.revoked_at is not None and (earlier is None or earlier.revoked_at is None):
            found.append(event(each.serial, 2, "revoked", f"it was good {until}", each.by))
    return found


def known(holder: Holder, caller: Principal) -> Holder:
    """With the caller's own certificate, which may have been issued by hand."""
    if holder.certificate(caller.serial) is not None:
        return holder
    presented = Issued(caller.serial, caller.role, caller.begins, caller.until)
    return replace(holder, certificates=(*holder.certificates, presented))


def _renewals(holder: Holder, serial: str) -> set[str]:
    """The serial and those of all that descends from it."""
    found: set[str] = set()
    further = {serial}
    while further:
        found |= further
        further = {each.serial for each in holder.certificates if each.renewed_from in further} - found
    return found


def _with(holder: Holder, issued: Issued, now: float) -> Holder:
    valid = _valid(holder.certificates, now)
    if valid >= VALID:
        raise NotAllowed(f"this name has {valid} certificates that are valid: revoke one, or wait for the end of one")
    if len(holder.certificates) >= KEPT:
        raise NotAllowed("too many certificates of this name were issued and revoked: wait for the end of one")
    return replace(holder, certificates=(*holder.certificates, issued))


def _valid(certificates: Iterable[Issued], now: float) -> int:
    return sum(each.revoked_at is None and now < each.until for each in certificates)
