"""`playground certs`, as far as it works on the store itself: who may enroll, and what counts no more."""

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from selfhost import certs_named
from selfhost import certs_told as told
from selfhost.api_client import is_https
from selfhost.certs import DEFAULT_TENANT, CertificateProblem
from selfhost.operating import Folder, check, one_line_errors, use_settings
from shared.domain import enrolment
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.domain.policy import CLOCK_SKEW
from shared.ports.holders import Holders

HOUR = 3600.0
LONGEST = 720  # hours: who has not come after a month is invited anew

Json = Annotated[bool, typer.Option("--json", help="JSON instead of sentences.")]


def invite(
    role: Role,
    name: str,
    tenant: str = DEFAULT_TENANT,
    hours: Annotated[int, typer.Option(min=1, max=LONGEST, help="How long it may be used.")] = 24,
    url: Annotated[str, typer.Option(help="Where tokens are taken, for the line to pass on.")] = "",
    as_json: Json = False,
    folder: Folder = Path(".playground"),
) -> None:
    """Make a token with which somebody gets one certificate; it is shown once, alone on stdout.

    The store is that of the environment; where it names none, the one that `run` used.
    """
    from shared.wiring.clocks import clock

    if url and not is_https(url):
        raise typer.BadParameter("must be https://host:port", param_hint="--url")
    until = clock.now() + hours * HOUR
    invitee = Principal(tenant, role, name, until=until)

    async def make(holders: Holders) -> str:
        return await enrolment.invite(holders, clock, invitee, hours * HOUR, _operator())

    with one_line_errors(folder):
        invitee.uri("any")  # or the token would bring a certificate that cannot be made
        token = _at_the_store(folder, make)
    if as_json:
        print(json.dumps({"token": token, **told.document(invitee), **({"url": url} if url else {})}))
        return
    print(token)
    line = f"playground enroll {shlex.quote(url) if url else 'https://HOST:PORT'} --token -"
    whose = f"{role} {name} of tenant {tenant}"
    typer.echo(f"{whose} may use it once, until {told.when(until)}:\n  {line}    # asks for it", err=True)
    typer.echo("  and with --ca FILE where no system knows the server's CA", err=True)


def forbid(
    file: Annotated[Path, typer.Argument(help="PEM file with the certificate; no key is needed.")],
    as_json: Json = False,
    folder: Folder = Path(".playground"),
) -> None:
    """End a certificate that was issued by hand, and all that was renewed from it.

    The store is that of the environment; where it names none, the one that `run` used.
    """
    from shared.wiring.clocks import clock

    with one_line_errors(folder):
        presented = _read(file)
        if presented.until + CLOCK_SKEW <= clock.now():
            raise CertificateProblem(f"{file} has ended at {told.when(presented.until)}: nobody accepts it any more")

        async def end(holders: Holders) -> Issued:
            return await enrolment.forbid(holders, clock, presented, _operator())

        _at_the_store(folder, end)
    if as_json:
        print(json.dumps(told.document(presented)))
    else:
        whose = f"{presented.role} {presented.name} of tenant {presented.tenant}"
        print(f"{presented.serial} of {whose} is revoked: refused everywhere within 30 s")


def _at_the_store[T](folder: Path, act: Callable[[Holders], Awaitable[T]]) -> T:
    """Opens nothing but the store, and closes it. Raises what acting does, CannotStart, SettingError."""
    from shared.wiring.store import store

    async def run() -> T:
        try:
            return await act(await store.get())
        finally:
            await store.close()

    use_settings(folder)
    check()
    return asyncio.run(run())


def _operator() -> str:
    from selfhost.setup import current_user

    return f"operator {current_user()}"


def _read(file: Path) -> Principal:
    """Whom the one client's certificate in a file names; its CA's may be beside it."""
    try:
        found = [certs_named.holder(each) for each in x509.load_pem_x509_certificates(file.read_bytes())]
    except ValueError as error:
        raise CertificateProblem(f"{file} holds no PEM certificate that can be read") from error
    clients = [each for each in found if each is not None]
    if len(clients) != 1:
        raise CertificateProblem(f"{file} holds not exactly one certificate of a Playground's client")
    return clients[0]
