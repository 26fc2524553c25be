"""`playground`: what an operator does on the command line."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from selfhost import certs_cli
from selfhost.errors import CannotStart
from shared.domain.errors import PlaygroundError
from shared.edge.config import SettingError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Databases for notebooks, leased.")
app.add_typer(certs_cli.app, name="certs")


@app.command()
def run(folder: Annotated[Path, typer.Option(help="where everything is kept")] = Path(".playground"),
        port: int = 50052) -> None:  # fmt: skip
    """Make what is missing, start the server, act once as a notebook would, and stay until Ctrl-C."""
    from selfhost.run import run as run_all
    from selfhost.setup import Files

    try:
        raise typer.Exit(asyncio.run(run_all(Files(folder.absolute()), port)))
    except (CannotStart, SettingError) as error:
        _fail(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter: somebody asked us to end, see `run`
        raise typer.Exit(130) from None


@app.command()
def down(folder: Annotated[Path, typer.Option(help="what `run` was given")] = Path(".playground")) -> None:
    """Stop the server and delete its databases, data included, from a cluster that PLAYGROUND_KUBECONFIG names."""
    from selfhost.down import down as take_down
    from selfhost.setup import Files

    try:
        asyncio.run(take_down(Files(folder.absolute())))
    except (CannotStart, PlaygroundError, SettingError) as error:
        _fail(str(error))


@app.command()
def reap(dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done, and why")] = False,
         as_json: Annotated[bool, typer.Option("--json")] = False) -> None:  # fmt: skip
    """Look at every lease that is due, as the timer does, with the settings of the environment."""
    try:
        rows = asyncio.run(_rehearse() if dry_run else _reap())
    except (PlaygroundError, SettingError) as error:
        _fail(str(error))
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(*(rows[0] if rows else ["nothing is due"]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


async def _reap() -> list[dict[str, object]]:
    from shared.domain import reaper
    from shared.wiring import startup
    from shared.wiring.control import control
    from shared.wiring.hearing import hearing

    try:
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
        return [
            {"owner": lease.owner.key, "lease": lease.id, "state": str(lease.state), "act": str(step.act),
             "becomes": str(step.result), "why": step.reason}
            async for lease, step in reaper.rehearse(await control.get(), await hearing())
        ]  # fmt: skip
    finally:
        await startup.end()


def _fail(message: str) -> None:
    typer.echo(f"playground: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    os.umask(0o077)
    app()
