"""`playground enroll`: the first certificate on a machine, with a token."""

import json
import os
import shlex
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from selfhost import api_cli, plugin
from selfhost import certs_told as told
from selfhost.api_client import USUAL_FILE
from selfhost.enrolling import Enrolled, enroll
from selfhost.operating import TOKEN
from selfhost.steps import short

EARLY = 10  # days before its end


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where tokens are taken, as whoever invited you said.")],
    token: Annotated[
        str,
        typer.Option(
            envvar=TOKEN,
            help="What you were sent; `-` reads it from stdin. All users of this machine see a command's arguments: "
            "where there are others, use `-` or the variable.",
        ),
    ],
    ca: Annotated[Path | None, typer.Option(help="PEM file of the server's CA, if the system has it not.")] = None,
    folder: Annotated[Path, typer.Option(help="Where key, certificate and the plugin's settings go.")] = Path(
        ".playground"
    ),
    server: Annotated[str, typer.Option(help="The Playground to use; else what the answer says.")] = "",
    as_json: api_cli.Json = False,
) -> None:
    """Get a certificate with a token, and all that a notebook needs to use it.

    The key is made here and stays here. When this fails on its way, run it again as it was: the token is still good
    for the same key. Exits with 1 if that is refused, 3 if there is no answer.
    """
    secret = (_read() if token == "-" else token).strip()
    if not secret:
        raise typer.BadParameter("there is none", param_hint="--token")
    with api_cli.one_line_errors("enroll"):
        enrolled = enroll(url, secret, folder, ca, server, os.environ)
    if as_json:
        where = enrolled.notebook
        files = {"certificate": str(where.certificate), "key": str(where.key), "ca": str(where.ca)}
        server_told = {"server": where.url} if where.url else {}
        print(
            json.dumps({**told.document(enrolled.holder), **files, "settings": str(enrolled.settings), **server_told})
        )
    else:
        _tell(enrolled)


def _read() -> str:
    return getpass("token: ") if sys.stdin.isatty() else sys.stdin.readline()


def _tell(enrolled: Enrolled) -> None:
    who, where = enrolled.holder, enrolled.notebook
    print(f"{who.role} {who.name} of tenant {who.tenant}: a certificate until {told.when(who.until)}")
    print(f"  {short(where.certificate)}, its key {short(where.key)}, the server's CA {short(where.ca)}")
    variable = f"{plugin.FILE}={shlex.quote(str(enrolled.settings))}"
    print(f"For a notebook: {variable} jupyter notebook")
    missing = [plugin.SERVER] * (not where.url) + [plugin.SQLFLOW_SERVER] * (not enrolled.named)
    if missing:
        print(f"  but first set {' and '.join(missing)} in {short(enrolled.settings)}, where it says how")
    usual = enrolled.settings == Path(USUAL_FILE).absolute()
    print(f"Before it ends, such as daily: {'' if usual else f'{variable} '}playground certs renew --within {EARLY}")
