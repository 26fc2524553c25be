"""Who calls, as one URI in a certificate says it, and for whom that caller may act.

The URI is `spiffe://<trust domain>/tenant/<tenant>/<role>/<name>`. It is read by taking it apart and
compared by putting it together again: whatever does not come out as the same text is refused, so
that no two texts name one principal (percent-encoding, RFC 3986 §6.2.2; no query, port, user or dot
segment, as in the SPIFFE ID standard §2).
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote

from shared.domain.errors import InvalidRequest, NotAuthenticated, NotFound
from shared.domain.leases import Owner

LONGEST_NAME = 128
# What the notebook plugin's query string, which it does not encode, carries unchanged.
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\-._~!$'()*,:@/?=]")
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")


class Role(StrEnum):
    """What kind of caller it is; `Principal.acting_for` says what each may do."""

    USER = "user"  # acts for itself
    FRONTEND = "frontend"  # a service that keeps its key from the users; acts for any user of its tenant
    WORKER = "worker"  # acts for nobody
    ADMIN = "admin"  # acts for any user of its tenant


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose certificate was accepted.

    `serial` is the certificate's serial number in hex, `digest` the SHA-256 of its DER in hex, `begins`
    and `until` are its dates.
    """

    tenant: str
    role: Role
    name: str
    serial: str = ""
    digest: str = ""
    begins: float = field(default=0.0, compare=False)
    until: float = field(default=0.0, compare=False)

    @property
    def actor(self) -> str:
        """As events name it."""
        return f"{self.role} {self.name}"

    def acting_for(self, user_id: str, what: str = "user_id") -> Owner:
        """The owner whose leases this caller may touch in the name of `user_id`, which it calls `what`.

        Raises InvalidRequest if no user can have that id, NotFound if it is not this caller's to
        act for: what belongs to somebody else does not exist.
        """
        check_name(user_id, what)
        allowed = self.role in (Role.FRONTEND, Role.ADMIN) or (self.role == Role.USER and self.name == user_id)
        if not allowed:
            raise NotFound("there is no such user")
        return Owner(self.tenant, user_id)

    def owner(self, named: str) -> Owner:
        """The owner that a request is about: the one it names, or a user itself where it names none ("").

        Raises what `acting_for` does, and InvalidRequest for a caller that acts for many and names nobody.
        """
        if not named and self.role in (Role.FRONTEND, Role.ADMIN):
            raise InvalidRequest("owner: say whose it is")
        return self.acting_for(named or self.name, "owner")

    def check(self) -> None:
        """Raise InvalidRequest if no certificate can name it."""
        check_tenant(self.tenant)
        check_name(self.name, "name")
        if self.name in (".", ".."):
            raise InvalidRequest(f"name must not be {self.name!r}: in a URI it is a dot segment")

    def uri(self, trust_domain: str) -> str:
        """The URI that names this principal in a certificate. Raises InvalidRequest if none can."""
        check_trust_domain(trust_domain)
        self.check()
        return f"spiffe://{trust_domain}/tenant/{self.tenant}/{self.role}/{quote(self.name, safe='')}"

    @classmethod
    def from_uri(cls, uri: str, trust_domain: str, serial: str = "", digest: str = "") -> "Principal":
        """The principal that `uri` names. Raises NotAuthenticated with the reason if it names none."""
        match uri.split("/"):
            case ["spiffe:", "", domain, "tenant", tenant, role, name]:
                pass
            case _:
                raise NotAuthenticated("the certificate's URI is not spiffe://…/tenant/<tenant>/<role>/<name>")
        if domain != trust_domain:
            raise NotAuthenticated("the certificate's URI is of another trust domain")
        if role not in Role:
            raise NotAuthenticated("the certificate's URI has an unknown role")
        principal = cls(tenant, Role(role), unquote(name), serial, digest)
        try:
            canonical = principal.uri(trust_domain)
        except InvalidRequest as error:
            raise NotAuthenticated("the certificate's URI has a tenant or name that we do not give") from error
        if canonical != uri:
            raise NotAuthenticated("the certificate's URI is not canonical")
        return principal


def check_name(text: str, what: str = "user_id") -> None:
    """Raise InvalidRequest unless `text` can be a user id: 1 to 128 characters that a query carries."""
    if not 1 <= len(text) <= LONGEST_NAME:
        raise InvalidRequest(f"{what} has {len(text)} characters; 1 to {LONGEST_NAME} are allowed")
    if wrong := _NOT_IN_A_NAME.search(text):
        where = f"{what} holds {wrong.group()!a} at position {wrong.start() + 1}"
        raise InvalidRequest(f"{where}; allowed are A-Za-z0-9 and -._~!$'()*,:@/?=")


def check_tenant(text: str) -> None:
    """Raise InvalidRequest unless `text` can be a tenant: a DNS label, 1 to 63 of a-z, 0-9 and inner '-'."""
    if not _TENANT.fullmatch(text):
        raise InvalidRequest("a tenant is 1 to 63 characters of a-z, 0-9 and '-', with no '-' at either end")


def check_trust_domain(text: str) -> None:
    """Raise InvalidRequest unless `text` can be a trust domain: 1 to 255 of a-z, 0-9, '.', '_' and '-'."""
    if not _TRUST_DOMAIN.fullmatch(text):
        raise InvalidRequest("a trust domain is 1 to 255 characters of a-z, 0-9, '.', '_' and '-'")
