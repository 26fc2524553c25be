"""`playground certs`, as far as it asks a server: renew, list, revoke. Ends with the codes of `playground leases`."""

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from selfhost import api_cli
from selfhost import certs_told as told
from selfhost.api_cli import Ca, Cert, Json, Key, Url
from selfhost.api_client import Access
from selfhost.certificates_client import CertificatesClient
from selfhost.leases_told import printable
from selfhost.plugin import CA, CERT, KEY, SERVER
from selfhost.renewing import renew as renew_pair
from selfhost.steps import short

Of = Annotated[str, typer.Option("--owner", help="Whose; for admins.")]


def renew(
    within: Annotated[
        int | None, typer.Option(min=1, metavar="DAYS", help="Only if it ends within so many days; for cron.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Get the next certificate, and put it in the place of the one that the notebook plugin's settings name.

    A notebook that runs keeps the one that it began with: renew early enough for the longest of them.
    """
    with api_cli.one_line_errors("certs"):
        renewed = renew_pair(os.environ, within, datetime.now(UTC).timestamp())
    who = renewed.holder
    if as_json:
        files = {"certificate": str(renewed.certificate), "key": str(renewed.key)}
        print(json.dumps({"renewed": renewed.old is not None, **told.document(who), **files}))
    elif renewed.old is None:
        print(f"nothing to do: {who.role} {who.name} has a certificate until {told.when(who.until)}")
    else:
        print(f"{who.role} {who.name}: a certificate until {told.when(who.until)}, {short(renewed.certificate)}")
        print(f"notebooks that run keep the one before, until {told.when(renewed.old.until)}")


def listed(owner: Of = "", as_json: Json = False, url: Url = "", cert: Cert = "", key: Key = "", ca: Ca = "") -> None:
    """List the certificates that a server knows of: one's own; for an admin anybody's of its tenant."""

    async def ask() -> list[dict[str, Any]]:
        async with _client(owner, url, cert, key, ca) as client:
            return await client.listed()

    with api_cli.one_line_errors("certs"):
        found = asyncio.run(ask())
    if as_json:
        print(json.dumps(found))
    else:
        Console().print(told.listed(found) if found else "there are no certificates")


def revoke(
    serial: Annotated[str, typer.Argument(help="Which, as `playground certs list` and `show` say.")],
    owner: Of = "",
    as_json: Json = False,
    url: Url = "",
    cert: Cert = "",
    key: Key = "",
    ca: Ca = "",
) -> None:
    """End a certificate, and all that was renewed from it."""
    try:
        which = format(int(serial.replace(":", ""), 16), "x")  # openssl writes AB:CD, or 0ABCD
    except ValueError:
        raise typer.BadParameter("a serial is a number in hex", param_hint="SERIAL") from None

    async def ask() -> dict[str, Any]:
        async with _client(owner, url, cert, key, ca) as client:
            return await client.revoke(which)

    with api_cli.one_line_errors("certs"):
        ended = asyncio.run(ask())
    if as_json:
        print(json.dumps(ended))
    else:
        print(printable(f"{ended['serial']} is revoked: refused everywhere within 30 s").plain)


def _client(owner: str, url: str, cert: str, key: str, ca: str) -> CertificatesClient:
    access = Access.read({SERVER: url, CERT: cert, KEY: key, CA: ca}, os.environ)
    return CertificatesClient(access.url, access.context(), owner)
