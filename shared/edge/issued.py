"""How certificates are told to those who hold them."""

from datetime import datetime
from typing import Self

from shared.domain.enrolment import Issuance
from shared.domain.holders import Issued
from shared.domain.instants import utc, utc_if_any
from shared.edge.signing_requests import PublicKey
from shared.edge.web import Answer, Asked


class Signing(Asked):
    """`csr`: a certificate signing request as PEM, whose names nobody reads."""

    csr: PublicKey


class IssuedAnswer(Answer):
    """A new certificate. `certificate`: it, then its CA's, as PEM; `server`: where it is of use."""

    certificate: str
    serial: str
    expires_at: datetime
    tenant: str
    role: str
    name: str
    server: str | None

    @classmethod
    def of(cls, issuance: Issuance, server: str) -> Self:
        who, issued = issuance.principal, issuance.issued
        return cls(
            certificate=issuance.chain,
            serial=issued.serial,
            expires_at=utc(issued.until),
            tenant=who.tenant,
            role=who.role,
            name=who.name,
            server=server or None,
        )


class CertificateAnswer(Answer):
    """A certificate that was issued, or presented. `renewed_from`: the serial of what asked for it."""

    serial: str
    role: str
    valid_from: datetime
    expires_at: datetime
    renewed_from: str | None
    revoked_at: datetime | None
    revoked_by: str | None

    @classmethod
    def of(cls, issued: Issued) -> Self:
        return cls(
            serial=issued.serial,
            role=issued.role,
            valid_from=utc(issued.begins),
            expires_at=utc(issued.until),
            renewed_from=issued.renewed_from or None,
            revoked_at=utc_if_any(issued.revoked_at),
            revoked_by=issued.by or None,
        )
