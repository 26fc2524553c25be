"""`playground`: what an operator does on the command line."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfhost import audit_cli, certs_cli, enroll_cli, leases_cli
from selfhost.operating import Folder, check, one_line_errors, use_settings

# A pretty traceback shows local variables, and they hold keys and passwords.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Databases for notebooks, leased.")
app.add_typer(certs_cli.app, name="certs")
app.add_typer(leases_cli.app, name="leases")
app.command("enroll")(enroll_cli.command)
app.command("audit")(audit_cli.command)


@app.command()
def run(
    folder: Folder = Path(".playground"),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 50052,
    open_port: Annotated[
        int, typer.Option(min=0, max=65535, help="where who was invited enrolls; 0: any free one")
    ] = 50053,
) -> None:
    """Make what is missing, start the server, act once as a notebook would, and stay until Ctrl-C."""
    from selfhost.run import run as run_all
    from selfhost.setup import Files

    os.umask(0o077)
    with one_line_errors(folder):
        raise typer.Exit(asyncio.run(run_all(Files(folder.absolute()), port, open_port)))


@app.command()
def down(folder: Folder = Path(".playground")) -> None:
    """Stop the server, delete its databases with their data, and remove what is kept.

    The development cluster, and with it what is on it, `make down` takes down afterwards.
    """
    from selfhost.down import down as take_down
    from selfhost.setup import Files

    with one_line_errors(folder):
        asyncio.run(take_down(Files(folder.absolute())))


@app.command()
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done, and why")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    folder: Folder = Path(".playground"),
) -> None:
    """Look at every lease that is due, as the timer does.

    Store, keys and cluster are those of the environment; where it names none of them, those that `run` used.
    """
    with one_line_errors(folder):
        use_settings(folder)
        rows = asyncio.run(_rehearse() if dry_run else _reap())
    if as_json:
        print(json.dumps(rows))
        return
    table = Table()
    for name in rows[0] if rows else ["nothing is due"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))  # as text: a reason may hold brackets
    Console().print(table)


async def _reap() -> list[dict[str, object]]:
    from shared.domain import reaper
    from shared.wiring import startup
    from shared.wiring.control import control
    from shared.wiring.hearing import hearing

    try:
        check()
        counts = await reaper.reap(await control.get(), await hearing())
    finally:
        await startup.end()
    return [dict(counts.as_dict())]


async def _rehearse() -> list[dict[str, object]]:
    from shared.domain import reaper
    from shared.wiring import startup
    from shared.wiring.control import control
    from shared.wiring.hearing import hearing

    try:
        check()
        return [
            {"owner": lease.owner.key, "lease": lease.id, "state": str(lease.state), "act": str(step.act),
             "becomes": str(step.result), "why": step.reason}
            async for lease, step in reaper.rehearse(await control.get(), await hearing())
        ]  # fmt: skip
    finally:
        await startup.end()


if __name__ == "__main__":
    app()
