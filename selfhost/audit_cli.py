"""`playground audit`: what was done and what was refused, by whom and to whom, from the store itself."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from selfhost.audit_file import AuditFile, Broken
from selfhost.leases_told import printable
from selfhost.operating import Folder, check, one_line_errors, use_settings
from shared.domain.instants import iso, seconds_of
from shared.domain.leases import Event, Owner
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR, MINUTE
from shared.domain.refusals import KEPT

PAGE = 500  # events read at once
# How far into the past something may still be written: by a clock that is behind, or after it waited for the store.
LATE = 2 * CLOCK_SKEW + (KEPT + 2) * MINUTE
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}


def command(
    since: Annotated[str, typer.Option(help="An instant, or how long ago: 30m, 24h, 7d.")] = "24h",
    owner: Annotated[str, typer.Option(help="Whose, as NAME or TENANT/NAME; refusals have no owner.")] = "",
    caller: Annotated[str, typer.Option(help="A part of the caller's URI, or of its certificate's serial.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    append: Annotated[
        Path | None, typer.Option(help="Add what is new to this file; each line has the hash of the one before.")
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="See whether anything in such a file was changed.")] = None,
    folder: Folder = Path(".playground"),
) -> None:
    """Show what happened to leases and certificates, and what was refused, oldest first.

    Store and keys are those of the environment; where it names none of them, those that `run` used.
    """
    with one_line_errors(folder):
        try:
            if verify is not None:
                print(f"{verify}: {AuditFile(verify).verify()} lines, none of them changed")
                return
            use_settings(folder)
            asyncio.run(_show(_instant(since), owner, caller, as_json, append))
        except Broken as error:
            typer.echo(f"playground audit: {error}", err=True)
            raise typer.Exit(1) from None


def _instant(text: str) -> float:
    from shared.wiring import clocks

    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago:
        return clocks.clock.now() - float(ago[1]) * UNITS[ago[2]]
    try:
        return seconds_of(text)
    except ValueError:
        raise typer.BadParameter("write an instant with its zone, or 30m, 24h, 7d", param_hint="--since") from None


async def _show(since: float, owner: str, caller: str, as_json: bool, append: Path | None) -> None:
    from shared.wiring import startup
    from shared.wiring.store import store

    try:
        check()
        opened = await store.get()
        if append is not None:
            print(f"{append}: {await _append(opened, AuditFile(append))} lines added")
            return
        found = [event async for event in events(opened, since) if _wanted(event, owner, caller)]
    finally:
        await startup.end()
    if as_json:
        for event in found:
            print(json.dumps(document(event)))
        return
    console = Console()
    for event in found:
        console.print(lines(event), soft_wrap=True)
    if not found:
        print("nothing was written down since then")


def lines(event: Event) -> Text:
    """What became of whose, and in a second line who did it; nothing is cut off, however narrow it is."""
    told = document(event)
    which = ((name, told[name]) for name in ("serial", "trace_id"))
    by = ["by", told["caller"], *(f"{name} {value}" for name, value in which if value)]
    what = f"{told['at']}  {told['owner'] or '-'}  {told['what']} {told['outcome']}: {told['reason']}"
    return Text("\n    ").join((printable(what), printable(" ".join(by))))


async def _append(store: Any, file: AuditFile) -> int:
    """How many lines were added. Raises Broken, OSError, StoreUnavailable."""
    try:
        added = await asyncio.to_thread(file.last)
        begin = added[0] - LATE if added else 0.0
        count = 0
        async for event in events(store, begin):
            count += await asyncio.to_thread(file.add, document(event))
        return count
    finally:
        file.close()


async def events(store: Any, since: float) -> AsyncIterator[Event]:
    """All events from then on, each once. Raises StoreUnavailable."""
    at, page = since, PAGE
    here: set[tuple[Owner, str]] = set()  # those of the instant `at`, which the next part begins with once more
    while True:
        part = await store.since(at, page)
        new = [event for event in part if event.at > at or (event.owner, event.id) not in here]
        for event in new:
            yield event
        if len(part) < page:
            return
        if part[-1].at == at:
            page *= 2  # so many of one instant that a part holds no other
        else:
            at, page, here = part[-1].at, PAGE, set()
        here |= {(event.owner, event.id) for event in part if event.at == at}


def document(event: Event) -> dict[str, Any]:
    """An event as JSON: `outcome` is the new state, or "refused"; `caller` the URI of who asked, or what did it."""
    ours = event.owner.tenant.startswith("-")
    return {
        "at": iso(event.at),
        "seconds": event.at,
        "owner": "" if ours else event.owner.key,
        "what": event.lease,
        "id": f"{event.owner.key} {event.id}",
        "before": event.before,
        "outcome": event.after,
        "reason": event.reason,
        "actor": event.actor,
        "caller": event.by or event.actor,
        "serial": event.serial,
        "trace_id": event.trace,
    }


def _wanted(event: Event, owner: str, caller: str) -> bool:
    named = not owner or owner in (event.owner.user, event.owner.key, f"{event.owner.tenant}/{event.owner.user}")
    return named and (caller in event.by or caller in event.serial or caller in event.actor)
