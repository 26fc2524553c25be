"""From a token, or a certificate that is still valid, to a new certificate; and the end of one."""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.domain import holders as rules
from shared.domain.acting import signed
from shared.domain.errors import AuthorityUnavailable, Conflict, NotFound, NotInvited
from shared.domain.holders import Holder, Invitation, Issued
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner
from shared.domain.policy import CLOCK_SKEW, DAY
from shared.ports.authority import Authority
from shared.ports.clock import Clock
from shared.ports.holders import Holders

ATTEMPTS = 5  # writes that meet somebody else's before the caller is told
LONGEST_TOKEN = 1024
SECRET = 32  # bytes: nobody guesses 256 bits


@dataclass(frozen=True, slots=True)
class Issuing:
    """What issuing needs. `lifetime`: seconds that a certificate is good for, unless its CA ends before."""

    holders: Holders
    authority: Authority
    clock: Clock
    lifetime: float = 30 * DAY


@dataclass(frozen=True, slots=True)
class Issuance:
    """A certificate as it goes to its holder: `chain` is it and its CA's, as PEM."""

    principal: Principal
    issued: Issued
    chain: str


async def invite(holders: Holders, clock: Clock, invitee: Principal, seconds: float, by: str) -> str:
    """A token that brings `invitee` one certificate within so many seconds; nobody can ask for it again.

    Raises InvalidRequest if nobody can be named so, NotAllowed, StoreUnavailable.
    """
    invitee.check()
    owner, secret = Owner(invitee.tenant, invitee.name), secrets.token_bytes(SECRET)
    now = clock.now()
    invitation = Invitation(_digest(secret), invitee.role, now + seconds, by)
    await _changed(holders, owner, now, lambda holder: rules.invited(holder, invitation, now))
    return f"{_text(owner.key.encode())}.{_text(secret)}"


async def enrol(issuing: Issuing, token: str, public_key: bytes) -> Issuance:
    """The certificate that the token brings, for that key. Asked again with both, it answers the same.

    The token counts as used once it is written down for whom: whoever dies in between asks again.
    Raises NotInvited, NotAllowed, StoreUnavailable, AuthorityUnavailable.
    """
    owner, digest = _read(token)
    now, key = issuing.clock.now(), hashlib.sha256(public_key).hexdigest()

    def use(holder: Holder) -> Holder:
        return rules.enrolled(holder, digest, key, lambda role: _new(issuing, now, role, key), now)

    holder = await _changed(issuing.holders, owner, now, use)
    issued = rules.certificate_of(holder, digest)
    return await _signed(issuing.authority, owner, issued, public_key)


async def renew(issuing: Issuing, caller: Principal, public_key: bytes) -> Issuance:
    """Another certificate for the caller. Raises NotAuthenticated if its own is revoked, and what `enrol` does."""
    now, key = issuing.clock.now(), hashlib.sha256(public_key).hexdigest()
    new = replace(_new(issuing, now, caller.role, key), renewed_from=caller.serial)
    chosen = new

    def add(holder: Holder) -> Holder:
        nonlocal chosen
        changed, chosen = rules.renewed(holder, caller, new, now)
        return changed

    owner = Owner(caller.tenant, caller.name)
    await _changed(issuing.holders, owner, now, add)
    return await _signed(issuing.authority, owner, chosen, public_key)


async def revoke(holders: Holders, clock: Clock, caller: Principal, owner: str, serial: str) -> Issued:
    """End a certificate of the caller's own, or as an admin one of its tenant, and all that was renewed from it.

    Raises NotFound, StoreUnavailable.
    """
    whose, now = _whose(caller, owner), clock.now()

    def end(holder: Holder) -> Holder:
        if whose.user == caller.name and serial == caller.serial:
            holder = rules.known(holder, caller)
        found = holder.certificate(serial)
        if found is None or not _may_see(caller, found):
            raise NotFound("there is no such certificate")
        return rules.revoked(holder, serial, now, caller.actor)

    ended = (await _changed(holders, whose, now, end)).certificate(serial)
    assert ended is not None
    return ended


async def forbid(holders: Holders, clock: Clock, presented: Principal, by: str) -> Issued:
    """End a certificate that somebody has in hand, wherever it was issued, and all that was renewed from it."""
    now = clock.now()

    def end(holder: Holder) -> Holder:
        return rules.revoked(rules.known(holder, presented), presented.serial, now, by)

    ended = (await _changed(holders, Owner(presented.tenant, presented.name), now, end)).certificate(presented.serial)
    assert ended is not None
    return ended


async def certificates(holders: Holders, clock: Clock, caller: Principal, owner: str) -> list[Issued]:
    """What is known of the caller's certificates, or as an admin of somebody's in its tenant, oldest first.

    Raises NotFound, StoreUnavailable.
    """
    holder = await holders.holder(_whose(caller, owner))
    found = holder.pruned(clock.now()).certificates if holder else ()
    return sorted((each for each in found if _may_see(caller, each)), key=lambda each: each.begins)


def _whose(caller: Principal, owner: str) -> Owner:
    if owner in ("", caller.name):
        return Owner(caller.tenant, caller.name)
    if caller.role is not Role.ADMIN:  # a frontend acts for users where leases are concerned, and no further
        raise NotFound("there is no such user")
    return caller.acting_for(owner, "owner")


def _may_see(caller: Principal, issued: Issued) -> bool:
    return caller.role in (Role.ADMIN, issued.role)


def _new(issuing: Issuing, now: float, role: Role, key: str) -> Issued:
    """A certificate to be. Raises AuthorityUnavailable where the CA ends."""
    until = min(now + issuing.lifetime, issuing.authority.until)
    if until <= now + CLOCK_SKEW:
        raise AuthorityUnavailable("the CA's own certificate has ended: make a new CA")
    serial = f"{int.from_bytes(secrets.token_bytes(20)) >> 1:x}"
    return Issued(serial, role, now - CLOCK_SKEW, until, key)


async def _signed(authority: Authority, owner: Owner, issued: Issued, public_key: bytes) -> Issuance:
    principal = Principal(owner.tenant, issued.role, owner.user)
    return Issuance(principal, issued, await authority.issue(principal, issued, public_key))


async def _changed(holders: Holders, owner: Owner, now: float, change: Callable[[Holder], Holder]) -> Holder:
    """The holder after `change`, which is asked again whenever somebody else was faster; written if it differs."""
    for _ in range(ATTEMPTS):
        before = await holders.holder(owner) or Holder(owner)
        after = change(before.pruned(now))
        if after == before:
            return after
        try:
            return await holders.keep(after, [signed(event) for event in rules.changes(before, after, now)])
        except Conflict:
            continue
    raise Conflict(f"the certificates of {owner.user} keep changing", retry_after=1)


def _read(token: str) -> tuple[Owner, str]:
    """Whose the token is, and the digest of its secret. Raises NotInvited for what is no token of ours."""
    who, _, secret = token.partition(".")
    try:
        if len(token) > LONGEST_TOKEN:
            raise ValueError
        key, known = _bytes(who).decode("ascii"), _bytes(secret)
    except ValueError:
        raise NotInvited("that is no token: it has to be copied whole") from None
    owner = Owner.from_key(key)
    if owner.key != key or len(known) != SECRET:
        raise NotInvited("that is no token: it has to be copied whole")
    return owner, _digest(known)


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Raises ValueError for what `_text` never made."""
    content = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if _text(content) != text:
        raise ValueError(text)
    return content
