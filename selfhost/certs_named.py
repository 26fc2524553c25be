"""Whom a certificate names."""

from cryptography import x509

from shared.domain.errors import PlaygroundError
from shared.domain.identity import Principal


def names(certificate: x509.Certificate) -> list[str]:
    """Its alternative names, printable. Raises ValueError if they cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("its alternative names cannot be read") from error
    return [printable(str(name.value)) for name in found]


def principal(named: list[str]) -> Principal | None:
    """Who the names name in whichever trust domain they say."""
    if len(named) != 1:
        return None
    try:
        return Principal.from_uri(named[0], named[0].removeprefix("spiffe://").partition("/")[0])
    except PlaygroundError:
        return None


def holder(certificate: x509.Certificate) -> Principal | None:
    """Who holds it, with its serial and dates; None where it names no client of ours. Raises ValueError."""
    found = principal(names(certificate))
    return found and Principal(
        found.tenant,
        found.role,
        found.name,
        format(certificate.serial_number, "x"),
        begins=certificate.not_valid_before_utc.timestamp(),
        until=certificate.not_valid_after_utc.timestamp(),
    )


def printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
