"""Each function in a process of its own, with the settings it needs and no others.

`launch` runs the real server there; over a Unix socket it takes a test's orders.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared.adapters.sealing import new_key
from tests.certs import Made
from tests.http.certificates import People
from tests.http.ways import OPEN, ROUTED, Way, as_documented, over_tls, own, raw
from tests.selfhost.clients import Reply

ROOT = Path(__file__).parents[2]
STORE = {"PLAYGROUND_STORE": "sqlite:///leases-0.db"}
NEEDS = {
    "greet": {},
    "show_openapi": {},
    "heart_beat": STORE,
    "list_leases": STORE,
    "show_lease": STORE,
    "list_events": STORE,
    "hold_lease": STORE,
    "end_lease": STORE,
    "list_certificates": STORE,
    "revoke_certificate": STORE,
    "renew_certificate": STORE,
    "enroll": STORE,
    "publish_crl": STORE,
    # A double in the place of the cluster answers no probe.
    "create_db": {**STORE, "PLAYGROUND_SEAL_KEYS": new_key(), "PLAYGROUND_PROBE": "false"},
}
ISSUING = {*OPEN, "renew_certificate"}
WITHOUT_STORE = {"greet", "show_openapi"}
OPENED = {*OPEN, "show_openapi"}  # they have the listener that is open to all


class Process:
    """A server with one function, in `place`; what it logs goes to `log`."""

    def __init__(self, name: str, settings: Mapping[str, str], people: People, place: Path):
        self.name, self.place, self.port, self.open_port = name, place, 0, 0
        self.log = place.with_name(f"{place.name}-{name}.log")
        self._short = TemporaryDirectory(prefix="playground-")  # a socket's path has at most 107 bytes
        self._orders = Path(self._short.name, "orders")
        place.mkdir(exist_ok=True)
        files = (f"--ca_crt={people.factory.ca_file}", f"--server_key={people.server.key}",
                 f"--server_crt={people.server.certificate}")  # fmt: skip
        if name in OPENED:
            files = ("--open_port=0", *files)
        issuer = people.issuer if name in ISSUING else {}
        with self.log.open("w") as errors:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.http.launch", name, str(self._orders), "--port=0", *files],
                cwd=place,
                env={"PYTHONPATH": str(ROOT), "PLAYGROUND_FUNCTIONS": name, **issuer, **settings},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def listens(self) -> None:
        """Wait until it does."""
        assert self.popen.stdout is not None
        said = self.popen.stdout.readline()
        if self.name in OPENED:
            assert said.startswith("open to all on "), self.log.read_text()
            self.open_port = int(said.rpartition(":")[2])
            said = self.popen.stdout.readline()
        assert said.startswith("listening on "), self.log.read_text()
        self.port = int(said.rpartition(":")[2])

    def stop(self) -> None:
        """An orderly end, and no other."""
        self.popen.terminate()
        with self.popen, self._short:
            assert self.popen.wait(30) == 0, self.log.read_text()

    def kill(self) -> None:
        """Its end, when its beginning failed."""
        self.popen.kill()
        self.popen.wait()
        self._short.cleanup()

    async def order(self, what: str, **how: Any) -> Any:
        """Have it do one of `launch.Orders`."""
        reader, writer = await asyncio.open_unix_connection(str(self._orders), limit=1 << 24)
        try:
            writer.write(json.dumps({"do": what, **how}).encode() + b"\n")
            answer = json.loads(await reader.readline())
        finally:
            writer.close()
            await writer.wait_closed()
        assert "error" not in answer, answer
        return answer["done"]


class Alone(Way):
    """Every HTTP function alone; what keeps leases shares a folder, the others have an empty one."""

    def __init__(self, people: People, folder: Path):
        self.people = people
        self.processes: dict[str, Process] = {}
        self._resets = itertools.count(1)
        try:
            for name, settings in NEEDS.items():
                place = folder / ("nothing" if name in WITHOUT_STORE else "leases")
                self.processes[name] = Process(name, settings, people, place)
            for process in self.processes.values():
                process.listens()
        except BaseException:
            for process in self.processes.values():
                process.kill()
            raise

    def stop(self) -> None:
        for process in self.processes.values():
            process.stop()

    async def reset(self) -> None:
        """Everything as at the start, with an empty store."""
        number = next(self._resets)
        for process in self._of_leases():
            await process.order("reset", store=f"sqlite:///leases-{number}.db")

    def _of_leases(self) -> list[Process]:
        return [process for name, process in self.processes.items() if name not in WITHOUT_STORE]

    async def ask(
        self, method: str, target: str, body: bytes = b"", by: Made | None = None, headers: Iterable[str] = ()
    ) -> Reply:
        return as_documented(method, target, await self.send(raw(method, target, body, headers), by))

    async def send(self, request: bytes, by: Made | None) -> Reply:
        """These very bytes, to the function that they are for."""
        method, target, _ = request.decode("latin-1").split(" ", 2)
        path = f"/{target.partition('?')[0].lstrip('/')}"
        name, _, allowed = ROUTED.find(method, path)
        if allowed:  # whoever serves that path tells it
            name, _, _ = ROUTED.find(allowed[0], path)
        process = self.processes[name or "greet"]
        return await over_tls(process.open_port or process.port, self.people, request, by)

    async def state(self) -> dict[str, Any]:
        states = {process.name: await process.order("state") for process in self._of_leases()}
        return {**states["create_db"], "written by each": {name: state["written"] for name, state in states.items()}}

    async def invite(self, name: str, role: str = "user", tenant: str = "default") -> str:
        return str(await self.processes["enroll"].order("invite", name=name, role=role, tenant=tenant))

    async def strike(self, name: str) -> None:
        for process in self._of_leases():
            await process.order("strike", name=name)

    async def hurry(self, seconds: float) -> None:
        for process in self._of_leases():
            await process.order("hurry", seconds=seconds)

    async def calls(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for process in self._of_leases():
            found.update(await process.order("calls"))
        return own(found)
