"""Where the time of a beat goes: the running server is sampled by py-spy while it is under load.

A sample belongs to the layer of its innermost Python frame; what C code does counts for the frame
that called it, so a system call to send counts as sending. Shares of the samples are shown as
microseconds of the processor time that a beat takes of the server, the process that commits included.
"""

import asyncio
import re
from collections import Counter
from pathlib import Path

from bench import jupyterhub, leases, machine
from bench.beats import Beats
from bench.figures import Figure
from bench.servers import Broken, environment, prepare, serving, stop

SECONDS = 6
USERS = 150_000
FRAME = re.compile(r"^(\S+) \((\S+?)(?::\d+)?\)$")

# The first that is found in `<file> <function>` of the innermost frame counts.
LAYERS = (
    ("TLS handshake", r"ssl\.py (do_handshake|_create|getpeercert)"),
    ("TLS records", r"ssl\.py "),
    ("writing the answer to the socket", r"http_writer\.py _writelines"),
    ("event loop, reading and accepting (uvloop, system calls)", r"asyncio/runners\.py |socket\.py "),
    ("asyncio: tasks, futures, time-outs, handing over to the writer", r"asyncio/|concurrent/futures/|threading\.py "),
    ("HTTP: aiohttp", r"aiohttp/|multidict"),
    ("front: who, where to", r"selfhost/(front|connections|answers|listener|routes)\.py "),
    ("Azure's worker library", r"azure_functions_runtime/|azure/functions/|werkzeug/|functions/_|selfhost/runtime\."),
    ("client certificate", r"shared/edge/certificates\.py |wiring/callers\.py "),
    ("models and JSON", r"pydantic|shared/edge/web\.py |json/"),
    ("store, on the loop", r"shared/adapters/(sqlite|items)"),
    ("the function and its domain", r"functions/heart_beat\.py |shared/"),
)  # fmt: skip
WRITER = "SQLite and its fsync, in the process that commits"
REST = "everything else"


async def measure(folder: Path) -> list[Figure]:
    await jupyterhub.install()
    files = prepare(folder)
    await leases.seed(files, 1, USERS - 1)
    figures = []
    async with serving(files, environment(files)) as server:
        beats = Beats(files, server, USERS)
        for fresh, what in ((False, "kept connection"), (True, "new connection")):
            before, sent = machine.cpu(server.pid), beats.next
            load = asyncio.create_task(beats.send(clients=32, seconds=SECONDS + 2, fresh=fresh))
            await asyncio.sleep(1)
            try:
                found = await _sampled(server.pid, folder / f"{fresh}.txt")
            except Broken as error:
                return [Figure("where the time of a beat goes", "µs", [], note=f"skipped: {error}")]
            finally:
                await load
            each = (machine.cpu(server.pid) - before) / (beats.next - sent) * 1e6
            total = sum(found.values())
            figures.append(Figure(f"a durable beat, {what}: processor time of the server", "µs", [each]))
            figures += [
                Figure(f"  {layer}", "µs", [each * count / total], note=f"{count / total:.0%}")
                for layer, count in found.most_common()
            ]
    return figures


async def _sampled(pid: int, output: Path) -> Counter[str]:
    """Samples by layer."""
    process = await asyncio.create_subprocess_exec(
        str(jupyterhub.home() / "bin" / "py-spy"), "record", "--rate=200", f"--duration={SECONDS}", "--format=raw",
        f"--output={output}", f"--pid={pid}", "--subprocesses",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    finally:
        await stop(process)
    if process.returncode:
        raise Broken(f"py-spy may not look into the server: {said.decode().strip()[-300:]}")
    found: Counter[str] = Counter()
    for line in (await asyncio.to_thread(output.read_text)).splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if not frames[-1].startswith("_worker "):  # a thread that waits for work
            found[_layer(frames)] += int(count)
    return found


def _layer(stack: list[str]) -> str:
    if any("sqlite_commits.py" in frame for frame in stack):
        return WRITER
    matched = FRAME.match(stack[-1])
    where = f"{matched[2]} {matched[1].rpartition('.')[2]}" if matched else stack[-1]
    return next((layer for layer, pattern in LAYERS if re.search(pattern, where)), REST)
