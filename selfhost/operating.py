"""What the commands share that work on the store itself: whose settings hold, and how they end."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from selfhost.certs import CertificateProblem
from selfhost.errors import CannotStart
from shared.domain.errors import PlaygroundError
from shared.edge import config, settings
from shared.edge.config import SettingError

TOKEN = "PLAYGROUND_TOKEN"  # `playground enroll` reads it

Folder = Annotated[Path, typer.Option(help="where `run` keeps everything")]


def use_settings(folder: Path) -> None:
    """Those of the environment; where it names neither store, keys nor cluster, those that `run` used.

    Raises CannotStart.
    """
    from selfhost.remembered import settings_for
    from selfhost.setup import Files

    os.environ.update(settings_for(Files(folder.absolute()), os.environ))


def check() -> None:
    """Raise SettingError for what is wrong, and where there is no store yet: looking at it must not make one."""
    config.validate(os.environ, also=[TOKEN])
    store = settings.STORE_URL.read(os.environ)
    path = store.removeprefix("sqlite:///")
    if path != store and not os.path.exists(path):
        raise SettingError(f"{settings.STORE_URL.name}: there is no {path}")


@contextmanager
def one_line_errors(folder: Path) -> Iterator[None]:
    """End the process with one line on what went wrong, and not with a traceback."""
    try:
        yield
    except (CannotStart, CertificateProblem, PlaygroundError, SettingError) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.filename or folder}: {error.strerror or error}"  # a full disk does not say for which file
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter: somebody asked us to end, see `run`
        raise typer.Exit(130) from None
    else:
        return
    typer.echo(f"playground: {problem}", err=True)
    raise typer.Exit(1)
