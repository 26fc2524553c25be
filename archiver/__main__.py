"""`python -m archiver pack|store|fetch|unpack`: 0 if done, 1 if not; either is told on one line, to kubelet too."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn
from urllib.parse import quote, unquote

from archiver import settings
from archiver.commands import fetch, line, store
from archiver.errors import ArchiverError, Ended, WrongSettings
from archiver.packed import Packed, pack, unpack
from archiver.sealed import Outcome
from archiver.settings import FolderSettings, Settings

SEALED = {"store": store, "fetch": fetch}
PACKED = {"pack": pack, "unpack": unpack}
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST = 300  # characters of a failure


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code."""
    logging.getLogger().addHandler(logging.NullHandler())  # libraries' warnings may have the URL in them
    try:
        for number in SIGNALS:
            signal.signal(number, _end)  # nobody else does for the first process of a container
        done, said = _run(arguments, environment)
        _deaf()
    except Ended as error:
        done, said = False, str(error)
    said = said if done else " ".join(_hidden(said, environment).split())[:LONGEST]
    try:
        # Kubelet mounts the file: it cannot be replaced. A file's name in it need not be text.
        with open(settings.result(environment), "w", errors="backslashreplace") as result:
            result.write(said + "\n")
    except OSError as error:
        print(f"the outcome cannot be told: {error}", file=sys.stderr)
        done = False
    print(said, file=sys.stdout if done else sys.stderr)
    return 0 if done else 1


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it is done; the outcome, or why it is not."""
    try:
        return True, line(_done(arguments, environment))
    except ArchiverError as error:
        return False, f"{type(error).__name__}: {error}"
    except OSError as error:  # not its own text: that of a connection may have the URL in it
        where = f"{error.filename}: " if error.filename else ""
        return False, f"{where}{error.strerror or type(error).__name__}"
    except Exception as error:
        print(_hidden(traceback.format_exc(), environment), file=sys.stderr)
        return False, f"a bug, see the log: {type(error).__name__}"


def _done(arguments: Sequence[str], environment: Mapping[str, str]) -> Outcome | Packed:
    match arguments:
        case [command] if command in SEALED:
            return SEALED[command](Settings.read(command, environment))
        case [command] if command in PACKED:
            return PACKED[command](FolderSettings.read(environment))
    raise WrongSettings("usage: python -m archiver pack|store|fetch|unpack")


def _end(number: int, _: FrameType | None) -> NoReturn:
    _deaf()
    raise Ended(f"ended by {signal.Signals(number).name} before it was done")


def _deaf() -> None:
    """What is left to do takes no time, and must be told whole."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _hidden(text: str, environment: Mapping[str, str]) -> str:
    for secret in settings.secrets(environment):
        for form in (secret, unquote(secret), quote(unquote(secret), safe="")):
            text = text.replace(form, "...")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
