"""The notebook plugin's settings: a dotenv file, names as the plugin spells them."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import parse_stream

from selfhost import plugin, safely
from selfhost.errors import CannotStart

NAME = "sqlflow_playground.env"
UNSET = f"# {plugin.SQLFLOW_SERVER}=host:port    # your SQLFlow server: the plugin does not start without"
NO_URL = f"# {plugin.SERVER}=https://host:50052    # the Playground: the plugin does not start without"


@dataclass(frozen=True, slots=True)
class Notebook:
    """Who works there, the Playground's URL ("": to be filled in), and PEM files: the server's CA, one's own pair."""

    user: str
    url: str
    ca: Path
    certificate: Path
    key: Path


def write(file: Path, notebook: Notebook, sqlflow_server: str = "") -> bool:
    """Write the settings anew. Returns whether they name a SQLFlow server.

    Without `sqlflow_server` a line that somebody has put there stays. Raises CannotStart, OSError.
    """
    lines = {
        plugin.USER_ID_IN: plugin.USER_ID,
        plugin.USER_ID: notebook.user,
        plugin.SERVER: notebook.url,
        plugin.CA: str(notebook.ca),
        plugin.KEY: str(notebook.key),
        plugin.CERT: str(notebook.certificate),
    }
    named = f"{plugin.SQLFLOW_SERVER}={quoted(sqlflow_server)}" if sqlflow_server else _sqlflow_server(file)
    told = (NO_URL if (name, value) == (plugin.SERVER, "") else _line(name, value) for name, value in lines.items())
    safely.write(file, "".join(f"{line}\n" for line in (named or UNSET, *told)).encode(), 0o600)
    return bool(named)


def switched(text: str, values: Mapping[str, str]) -> str:
    """The same settings with other values for some names that are in there; all else stays. Raises CannotStart."""
    return "".join(
        f"{_line(each.key, values[each.key])}\n" if each.key and each.key in values else each.original.string
        for each in parse_stream(io.StringIO(text))
    )


def quoted(value: str) -> str:
    """A dotenv value: bare where it may be, in single quotes otherwise. Raises CannotStart if there is no way."""
    if "${" in value:
        raise CannotStart(f"{value}: whoever reads {NAME} would replace the ${{…}}; use another folder")
    if value.isascii() and all(character.isalnum() or character in "-._~/:@," for character in value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _line(name: str, value: str) -> str:
    return f"{name}={quoted(value)}"


def _sqlflow_server(file: Path) -> str:
    """The line that names it, as somebody wrote it."""
    lines = (safely.read(file) or b"").decode().splitlines()
    return next((line for line in lines if re.match(rf"\s*(export\s+)?{plugin.SQLFLOW_SERVER}\s*=\s*\S", line)), "")
