"""A real server's /metrics: at a listener of its own, with all that the rules and the dashboard name."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from selfhost.errors import CannotStart
from selfhost.metrics import Metrics
from shared.adapters.sealing import new_key
from tests.http.certificates import People
from tests.http.ways import over_tls, raw
from tests.observability import named

ROOT = Path(__file__).parents[2]
SECONDLY = "* * * * * *"
SETTINGS = {
    "PLAYGROUND_TELEMETRY": "prometheus", "PLAYGROUND_STORE": "sqlite:///leases.db", "PLAYGROUND_SPARES": "1",
    "PLAYGROUND_PROBE": "false", "PLAYGROUND_REAP_SCHEDULE": SECONDLY, "PLAYGROUND_RECONCILE_SCHEDULE": SECONDLY,
    "PLAYGROUND_REFILL_SCHEDULE": SECONDLY, "PLAYGROUND_CANARY_SCHEDULE": SECONDLY,
}  # fmt: skip


class Server:
    """One that listens; `log` is what it has logged."""

    def __init__(self, people: People, folder: Path, **settings: str):
        self.people, self._log = people, folder / "log"
        files = (f"--ca_crt={people.factory.ca_file}", f"--server_key={people.server.key}",
                 f"--server_crt={people.server.certificate}")  # fmt: skip
        path = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PLAYGROUND_SEAL_KEYS": new_key()}
        with self._log.open("w") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "tests.observability.measured", "--port=0", "--metrics_port=0", *files],
                cwd=folder, env={**path, **SETTINGS, **settings}, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.popen.stdout is not None
        said = self.popen.stdout.readline()
        assert said.startswith("listening on "), self.log
        self.port = int(said.rpartition(":")[2])

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Of its metrics, as it says itself."""
        (line,) = [line for line in self.log.splitlines() if "metrics on http://127.0.0.1:" in line]
        return line.partition("metrics on ")[2]

    def get(self, path: str) -> str:
        """What its listener for Prometheus has there."""
        with urllib.request.urlopen(self.url.replace("/metrics", path)) as answer:
            return str(answer.read().decode())

    def metrics(self) -> str:
        return self.get("/metrics")

    async def ask(self, method: str, target: str, body: bytes = b"") -> int:
        request = raw(method, target, body, ())
        return (await over_tls(self.port, self.people, request, self.people.user("alice"))).status

    def stop(self) -> None:
        self.popen.terminate()
        with self.popen:
            assert self.popen.wait(30) == 0, self.log


@pytest.fixture
def server(people: People, tmp_path: Path) -> Iterator[Server]:
    server = Server(people, tmp_path)
    yield server
    server.stop()


@pytest.mark.slow
async def test_a_real_server_has_every_metric_that_the_rules_and_the_dashboard_name(server: Server):
    assert await server.ask("POST", "/api/create_db", json.dumps({"user_id": "alice"}).encode()) == 200
    assert await server.ask("GET", "/api/heart_beat?user_id=alice") == 200
    assert await server.ask("DELETE", "/api/leases/database?purge=true") == 202
    wanted = named.by_the_rules() | named.by_the_dashboard()
    assert len(wanted) > 10
    async with asyncio.timeout(60):
        while missing := wanted - named.sampled(server.metrics()):
            assert server.popen.poll() is None, server.log
            await asyncio.sleep(0.2)
    assert not missing


@pytest.mark.slow
async def test_the_front_serves_no_metrics_and_the_listener_nothing_else(server: Server):
    assert await server.ask("GET", "/metrics") == 404
    assert server.metrics()
    for path in ("/", "/api/heart_beat", "/metrics/x"):
        with pytest.raises(HTTPError, match="404"):
            server.get(path)


@pytest.mark.slow
async def test_a_pass_says_in_the_log_which_trace_it_was(server: Server):
    async with asyncio.timeout(60):
        while "playground.pool: pool: " not in server.log:
            assert server.popen.poll() is None, server.log
            await asyncio.sleep(0.1)
    assert re.search(r"playground\.pool: pool: .* trace=[0-9a-f]{32}$", server.log, re.MULTILINE)


async def test_a_port_that_is_in_use_is_named():
    first, second = Metrics(lambda: b""), Metrics(lambda: b"")
    port = await first.start("127.0.0.1", 0)
    with pytest.raises(CannotStart, match=f"--metrics_host=127.0.0.1 --metrics_port={port}: the port is in use"):
        await second.start("127.0.0.1", port)
    await first.stop()


@pytest.mark.slow
def test_where_nobody_asks_for_it_nothing_of_it_is_loaded():
    """Neither the SDK nor Prometheus' library: they are a fifth of a start."""
    program = (
        "import sys, function_app; from selfhost import server, front, runtime, timers;"
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'prometheus_client')])"
    )
    environment = {"PYTHONPATH": str(ROOT), "PLAYGROUND_SEAL_KEYS": new_key()}
    assert subprocess.check_output([sys.executable, "-c", program], env=environment, text=True) == "[]\n"
