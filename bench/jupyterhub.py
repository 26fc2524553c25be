"""The peer: JupyterHub as PyPI has it, in a virtualenv of its own, noting when users were active."""

import asyncio
import json
import os
import secrets
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from bench.load import Job
from bench.servers import Broken, stop

VERSION = "6.1.1"
PINNED = (f"jupyterhub=={VERSION}", "tornado==6.6.1", "SQLAlchemy==2.1.9", "py-spy==0.4.3")
USERS = 200


def home() -> Path:
    """The virtualenv, under $XDG_CACHE_HOME or ~/.cache; `bench.profiles` finds py-spy there too."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "playground" / "bench-venv"


async def install() -> Path:
    """The virtualenv, made if it is missing or of other versions."""
    folder, stamp = home(), " ".join(PINNED)
    if (folder / "stamp").is_file() and (folder / "stamp").read_text() == stamp:
        return folder
    await _run(sys.executable, "-m", "venv", "--clear", str(folder))
    await _run(str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *PINNED)
    (folder / "stamp").write_text(stamp)
    return folder


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise Broken(f"{command[0]} failed")


class Hub:
    """A hub that listens; its users are user-0000000 and on."""

    def __init__(self, port: int, pid: int, token: str):
        self.port, self.pid = port, pid
        self._token = token

    def job(self, *, clients: int) -> Job:
        """Activity of one user after the other, in the form that takes the hub least: no server, one timestamp."""
        body = '{"last_activity": "%(now)s"}'
        length = len(body % {"now": "2026-01-01T00:00:00.000000Z"})
        request = (
            "POST /hub/api/users/%(user)s/activity HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: token {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n{body}"
        )
        return Job(port=self.port, request=request, users=USERS, clients=clients)

    async def active_since(self, instant: float) -> int:
        """How many users have been active since then, as the hub says."""
        users = await asyncio.to_thread(self._ask, f"users?limit={USERS}")
        times = [user["last_activity"] for user in users if user["last_activity"]]
        return sum(datetime.fromisoformat(time).timestamp() >= instant for time in times)

    async def make_users(self) -> None:
        await asyncio.to_thread(self._ask, "users", {"usernames": [f"user-{user:07d}" for user in range(USERS)]})

    async def answers(self) -> bool:
        try:
            return bool(await asyncio.to_thread(self._ask, ""))
        except OSError:
            return False

    def _ask(self, path: str, body: object = None) -> list[dict[str, str]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/hub/api/{path}",
            headers={"Authorization": f"token {self._token}"},
            data=json.dumps(body).encode() if body else None,
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            found: list[dict[str, str]] = json.load(response)
            return found


@asynccontextmanager
async def hub(folder: Path, resolution: int) -> AsyncIterator[Hub]:
    """A hub with its users, that writes its own token's activity at most every `resolution` seconds."""
    os.mkdir(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = secrets.token_hex(32)
    environment = {
        **os.environ,
        "BENCH_FOLDER": str(folder), "BENCH_PORT": str(port), "BENCH_TOKEN": token, "BENCH_RESOLUTION": str(resolution),
    }  # fmt: skip
    program, config = home() / "bin" / "jupyterhub", Path(__file__).with_name("jupyterhub_config.py")
    with open(folder / "jupyterhub.log", "ab") as log:  # noqa: ASYNC230
        process = await asyncio.create_subprocess_exec(
            str(program), "-f", str(config), env=environment, cwd=folder, stdout=log, stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    made = Hub(port, process.pid, token)
    try:
        async with asyncio.timeout(60):
            while not await made.answers():
                if process.returncode is not None:
                    raise Broken(f"JupyterHub did not start; {folder / 'jupyterhub.log'} says why")
                await asyncio.sleep(0.1)
        await made.make_users()
        yield made
    finally:
        await stop(process)
