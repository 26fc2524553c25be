"""`playground certs`: a CA of one's own, certificates for servers and clients, and what became of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfhost import certs_asking, certs_named, certs_operating
from selfhost.certs import CLIENT_DAYS, DEFAULT_TENANT, CertificateProblem, Kept, KeyStore
from shared.domain.errors import PlaygroundError
from shared.domain.identity import Principal, Role

app = typer.Typer(
    help="Make, show, renew and end certificates.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a local variable may hold a key
)

app.command()(certs_asking.renew)
app.command("list")(certs_asking.listed)
app.command()(certs_asking.revoke)
app.command()(certs_operating.invite)
app.command()(certs_operating.forbid)

Folder = Annotated[Path, typer.Option("--key-store", help="Where keys and certificates are kept.")]
TrustDomain = Annotated[str, typer.Option(envvar="PLAYGROUND_TRUST_DOMAIN", help="Trust domain of the clients' names.")]


@app.command()
def init(key_store: Folder = Path("key_store")) -> None:
    """Make the CA (10 years)."""
    with _one_line_errors():
        _report(KeyStore(key_store).init(datetime.now(UTC)))


@app.command()
def server(names: Annotated[list[str], typer.Argument()], key_store: Folder = Path("key_store")) -> None:
    """Make the server's certificate for DNS names and IP addresses (825 days)."""
    with _one_line_errors():
        _report(KeyStore(key_store).server(names, datetime.now(UTC)))


@app.command()
def issue(
    role: Role,
    name: str,
    tenant: str = DEFAULT_TENANT,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="How long it is valid, but never beyond the CA.")
    ] = CLIENT_DAYS,
    key_store: Folder = Path("key_store"),
    trust_domain: TrustDomain = "playground.local",
) -> None:
    """Make a client's certificate."""
    with _one_line_errors():
        _report(KeyStore(key_store).issue(Principal(tenant, role, name), trust_domain, datetime.now(UTC), days))


@app.command()
def show(
    file: Path, as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of tables.")] = False
) -> None:
    """Show the certificates in a PEM file."""
    with _one_line_errors():
        try:
            found = [describe(each, datetime.now(UTC)) for each in x509.load_pem_x509_certificates(file.read_bytes())]
        except ValueError as error:
            raise CertificateProblem(f"{file} holds no PEM certificate that can be read") from error
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for each in found:
        table = Table(show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for key, value in each.items():
            if value not in (None, []):
                table.add_row(key.replace("_", " "), Text("\n".join(value) if isinstance(value, list) else str(value)))
        Console().print(table)


def describe(certificate: x509.Certificate, now: datetime) -> dict[str, Any]:
    """What a certificate says, as JSON types; `principal` … `name` are None where it names no client of ours.

    `serial` and `fingerprint` (SHA-256) are written as in the server's log. Raises ValueError if a part
    cannot be read.
    """
    names = certs_named.names(certificate)
    principal = certs_named.principal(names)
    return {
        "subject": certs_named.printable(certificate.subject.rfc4514_string()),
        "names": names,
        "tenant": principal and principal.tenant,
        "role": principal and principal.role.value,
        "name": principal and principal.name,
        "issuer": certs_named.printable(certificate.issuer.rfc4514_string()),
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
        "days_left": (certificate.not_valid_after_utc - now).days,
        "serial": format(certificate.serial_number, "x"),
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _report(kept: Kept) -> None:
    typer.echo(
        f"{kept.certificate_file} (valid until {kept.certificate.not_valid_after_utc:%Y-%m-%d}), {kept.key_file}"
    )


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (CertificateProblem, PlaygroundError) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    else:
        return
    typer.echo(f"playground certs: {problem}", err=True)
    raise typer.Exit(1)
