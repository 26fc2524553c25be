"""The server under load, as anybody starts it, and the load generator, each a process of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.load import Job, Outcome
from selfhost.certs import KeyStore
from selfhost.setup import TENANT, Files, make_files
from shared.domain.identity import Principal, Role
from shared.edge import settings

ROOT = Path(__file__).parents[1]
PROGRAM = (str(Path(sys.executable).with_name("sqlflow_playground")),)
FRONTEND = "bench"
LISTENING = re.compile(r"listening on \S+:(\d+)")
SLOW_CLUSTER = (sys.executable, "-m", "bench.slow_cluster")


class Broken(Exception):
    """A measurement that cannot be made, or that would not mean what it says."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    port: int
    pid: int


def prepare(folder: Path) -> Files:
    """A key store with a server's and a frontend's certificate, keys that seal, a cluster that is not there."""
    files = Files(folder)
    make_files(files, "notebook", ("localhost", "127.0.0.1"), {})
    issue(files, Role.FRONTEND, FRONTEND)
    write_kubeconfig(files, 9)
    return files


def write_kubeconfig(files: Files, port: int) -> None:
    """Name the cluster that listens on a port of loopback (9: nobody does)."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(files.ca)}
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": "none"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }  # fmt: skip
    (files.folder / "kubeconfig.json").write_text(json.dumps(kubeconfig))


def issue(files: Files, role: Role, name: str) -> tuple[str, str]:
    """Paths of a new client certificate and its key."""
    domain = settings.TRUST_DOMAIN.read({})
    kept = KeyStore(files.key_store).issue(Principal(TENANT, role, name), domain, datetime.now(UTC))
    return str(kept.certificate_file), str(kept.key_file)


def frontend(files: Files) -> tuple[tuple[str, str], ...]:
    certificate, key = files.pair(FRONTEND)
    return ((str(certificate), str(key)),)


def environment(files: Files, **more: str) -> dict[str, str]:
    """Settings of a server; nothing of the caller's own."""
    return {
        **_inherited(),
        settings.STORE_URL.name: f"sqlite:///{files.store}",
        settings.SEAL_KEYS.name: f"file:{files.seal_keys}",
        settings.KUBECONFIG.name: str(files.folder / "kubeconfig.json"),
        settings.RECONCILE_SCHEDULE.name: "0 0 0 1 1 *",  # there is nothing to compare with
        settings.PROBE.name: "false",
        # One frontend asks for everybody here, and what is measured is not what it may.
        settings.TENANT_RATE.name: "0",
        settings.TENANT_STARTS.name: "0",
        settings.STARTS.name: "0",
        **more,
    }


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}


@asynccontextmanager
async def serving(files: Files, settings: dict[str, str], log: str = "server.log") -> AsyncIterator[Server]:
    """A server that runs as long as this context; its log is in the folder of `files`."""
    certificate, key = files.pair("server")
    options = ["--port=0", f"--ca_crt={files.ca}", f"--server_key={key}", f"--server_crt={certificate}"]
    async with _listening((*PROGRAM, *options), settings, files.folder / log) as server:
        yield server


@asynccontextmanager
async def slow_cluster(files: Files) -> AsyncIterator[None]:
    """The cluster of the servers that are started meanwhile: the double of the tests, slow."""
    program = (*SLOW_CLUSTER, *map(str, files.pair("server")))
    async with _listening(program, _inherited(), files.folder / "cluster.log") as server:
        write_kubeconfig(files, server.port)
        yield


@asynccontextmanager
async def _listening(argv: Sequence[str], environment: dict[str, str], log: Path) -> AsyncIterator[Server]:
    with open(log, "ab") as stream:  # noqa: ASYNC230
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=stream,
        )  # fmt: skip
    assert process.stdout
    try:
        line = (await process.stdout.readline()).decode()
        found = LISTENING.match(line)
        if not found:
            raise Broken(f"{argv[0]} did not start; {log} says why")
        yield Server(int(found[1]), process.pid)
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ask it to end; end it after 10 s."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def generate(job: Job) -> Outcome:
    """Run the load generator. Raises Broken if one request in a thousand failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, _ = await process.communicate(json.dumps(asdict(job)).encode())
    finally:
        await stop(process)
    if process.returncode:
        raise Broken("the load generator failed")
    outcome = Outcome(**json.loads(output))
    if sum(outcome.failures.values()) * 1000 > outcome.sent:
        raise Broken(f"{outcome.sent} requests, of which failed: {outcome.failures}")
    return outcome
