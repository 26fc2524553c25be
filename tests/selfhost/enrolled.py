"""`playground enroll` as tests run it: a clean place, somebody who gives certificates, and what it said."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfhost import plugin
from selfhost.cli import app
from tests.selfhost.issuer import Issuer, issuer

SERVER = "https://playground.example:50052"
USUAL = Path(".playground")

type Enroll = Callable[..., Result]


def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in (plugin.SERVER, plugin.CA, plugin.CERT, plugin.KEY, plugin.FILE, plugin.SQLFLOW_SERVER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PLAYGROUND_TOKEN", raising=False)
    return tmp_path


@contextmanager
def giving_for(folder: Path) -> Iterator[Issuer]:
    """Who gives certificates, for a server that has a name."""
    with issuer(folder) as made:
        made.server = SERVER
        yield made


def enrolling(giving: Issuer) -> Enroll:
    """`enroll(token, …)` runs it with the issuer's CA, unless the options say another."""

    def run(token: str | None, *options: str, url: str = "", stdin: str = "") -> Result:
        ca = () if "--ca" in options else ("--ca", str(giving.factory.ca_file))
        said = () if token is None else ("--token", token)
        words = ["enroll", url or giving.open, *said, *ca, *options]
        return CliRunner().invoke(app, words, input=stdin)

    return run


def refused(result: Result, code: int = 1) -> str:
    """The one line on stderr with which it ends."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground enroll: ")


def printed(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout
