"""`playground leases`: what one has, until when, and what one can do about it, over HTTPS."""

import asyncio
import json
import os
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from selfhost import api_cli
from selfhost import leases_told as told
from selfhost.api_cli import Ca, Cert, Json, Key, Url
from selfhost.api_client import Access, NoAnswer
from selfhost.leases_client import LeasesClient
from selfhost.plugin import CA, CERT, KEY, SERVER

EVERY = 5.0  # seconds between two questions of --watch

app = typer.Typer(
    help="Show leases, and keep or end them. Exits with 1 if the server refuses, 3 if it does not answer.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)

Of = Annotated[str, typer.Option("--owner", help="Whose; for certificates that act for others.")]
Revision = Annotated[int | None, typer.Option(min=1, help="Only if it is of this revision still.")]
Id = Annotated[str, typer.Argument(help="Which lease, such as `database`.")]


@dataclass(frozen=True, slots=True)
class Given:
    """What was said before the command's name; some of it may be said behind it as well."""

    settings: Mapping[str, str]
    owner: str
    as_json: bool

    def client(self, owner: str = "") -> LeasesClient:
        """Raises NotSet. Needs a running loop."""
        return LeasesClient(Access.read(self.settings, os.environ), owner or self.owner)

    def print(self, document: object, on_a_terminal: RenderableType, as_json: bool = False) -> None:
        if as_json or self.as_json:
            print(json.dumps(document), flush=True)
        else:
            Console().print(on_a_terminal)


@app.callback()
def leases(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Ask again every few seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
    owner: Of = "",
    state: Annotated[str, typer.Option(help="Only those in this state.")] = "",
    url: Url = "",
    cert: Cert = "",
    key: Key = "",
    ca: Ca = "",
) -> None:
    """List leases: one's own; for an admin its tenant's."""
    given = context.obj = Given({SERVER: url, CERT: cert, KEY: key, CA: ca}, owner, as_json)
    if context.invoked_subcommand is None:
        chosen = {"state": state} if state else {}
        _run(_watch(given, chosen) if watch else _list(given, chosen))


@app.command()
def show(context: typer.Context, id: Id, as_json: Json = False, owner: Of = "") -> None:
    """Show one lease, and what became of it."""

    async def ask() -> None:
        async with context.obj.client(owner) as client:
            lease = await client.show(id)
        context.obj.print(lease, told.shown(lease, told.current()), as_json)

    _run(ask())


@app.command()
def hold(
    context: typer.Context,
    id: Id,
    for_: Annotated[str, typer.Option("--for", help="How long from now, such as 3d or 1d12h.")] = "",
    until: Annotated[str, typer.Option(help="Or until when: ISO 8601 with a zone.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Or hold it no longer.")] = False,
    note: Annotated[str, typer.Option(help="Why; others who may see the lease see it.")] = "",
    revision: Revision = None,
    as_json: Json = False,
    owner: Of = "",
) -> None:
    """Keep a lease, whatever its use."""
    if sum(map(bool, (for_, until, off))) != 1:
        raise typer.BadParameter("say one of --for, --until and --off")
    try:
        end: str | float | None = told.current().timestamp() + told.duration(for_) if for_ else until or None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None

    async def ask() -> None:
        async with context.obj.client(owner) as client:
            lease = await client.hold(id, end, note, revision)
        held = f"held until {lease['hold']['until']}" if "hold" in lease else "not held"
        context.obj.print(
            lease, told.printable(f"{lease['id']} of {lease['owner']} is {lease['state']}, {held}"), as_json
        )

    _run(ask())


@app.command()
def end(
    context: typer.Context,
    id: Id,
    purge: Annotated[bool, typer.Option("--purge", help="Give up its data, too; nobody can bring it back.")] = False,
    revision: Revision = None,
    as_json: Json = False,
    owner: Of = "",
) -> None:
    """End a lease."""

    async def ask() -> None:
        async with context.obj.client(owner) as client:
            lease = await client.end(id, purge, revision)
        what = f"{lease['id']} of {lease['owner']} is {lease['state']}: {lease['reason']}"
        context.obj.print(lease, told.printable(what), as_json)

    _run(ask())


async def _list(given: Given, chosen: dict[str, str]) -> None:
    async with given.client() as client:
        found = await client.listed(**chosen)
    given.print(found, _table(found))


async def _watch(given: Given, chosen: dict[str, str]) -> None:
    """On a terminal a table that changes; elsewhere, or as JSON, a new one whenever something has changed."""
    console, before = Console(), None
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not given.as_json else None
    async with given.client() as client:
        with live or nullcontext():
            while True:
                try:
                    found = await client.listed(**chosen)
                except NoAnswer as error:
                    if before is None:
                        raise  # it never was there
                    api_cli.complain("leases", error)
                else:
                    if live:
                        live.update(_table(found), refresh=True)
                    elif found != before:
                        given.print(found, _table(found))
                    before = found
                await pause()


async def pause() -> None:
    await asyncio.sleep(EVERY)


def _table(found: Sequence[dict[str, Any]]) -> RenderableType:
    return told.listed(found, told.current()) if found else told.printable("there are no leases")


def _run(asking: Coroutine[Any, Any, None]) -> None:
    with api_cli.one_line_errors("leases"):
        asyncio.run(asking)
