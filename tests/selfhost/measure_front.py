"""What the front costs: requests a second, and server CPU a request, beside a plain aiohttp handler.

    python -m tests.selfhost.measure_front [rounds]

Both serve the same answer over the same mutual TLS, each in a process of its own, under a load from
a third; rounds alternate, because another load on the machine changes the figures more than code
does. CPU a request is the figure to compare.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from aiohttp import web

from selfhost.front import Front
from selfhost.runtime import Runtime
from selfhost.tls import server_context
from tests.selfhost.clients import Files, make_files

REQUEST = b"GET /api/heart_beat?user_id=alice HTTP/1.1\r\n%sHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n"
CLIENTS, SECONDS = 32, 2.0


async def serve(kind: str, files: Files) -> None:
    """Serve for ever; prints the port."""
    tls = server_context(files.ca_crt, files.server_key, files.server_crt)
    if kind == "front":
        runtime = Runtime()
        await runtime.start(Path(__file__).parent / "apps" / "bare")
        print(await Front(runtime, tls).start("127.0.0.1", 0), flush=True)
    else:

        async def handler(request: web.Request) -> web.Response:
            return web.json_response({"renewed": True})

        app = web.Application()
        app.router.add_get("/api/heart_beat", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def load(kind: str, port: int, files: Files) -> None:
    """Ask as fast as possible, on connections kept or on a new one each; prints how often."""
    tls = ssl.create_default_context(cafile=str(files.ca_crt))
    tls.load_cert_chain(files.client_crt, files.client_key)
    end, asked = time.perf_counter() + SECONDS, 0

    async def client() -> None:
        nonlocal asked
        request = REQUEST % (b"Connection: close\r\n" if kind == "new" else b"")
        writer = None
        while time.perf_counter() < end:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            asked += 1
            if kind == "new":
                writer.close()
                writer = None

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    print(asked, flush=True)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int, folder: Path) -> None:
    make_files(folder)
    command = [sys.executable, "-m", "tests.selfhost.measure_front", str(folder)]
    servers = {
        kind: subprocess.Popen([*command, "serve", kind], stdout=subprocess.PIPE, text=True)
        for kind in ("plain", "front")
    }
    try:
        ports = {kind: server.stdout.readline().strip() for kind, server in servers.items() if server.stdout}
        for mode in ("kept", "new"):
            for _ in range(rounds):
                for kind, server in servers.items():
                    before = cpu(server.pid)
                    asked = int(subprocess.check_output([*command, "load", mode, ports[kind]]))
                    used = (cpu(server.pid) - before) / asked * 1e6
                    print(f"{mode:5}{kind:6} {asked / SECONDS:6.0f}/s {used:6.0f} µs CPU a request", flush=True)
    finally:
        for server in servers.values():
            server.kill()
            server.communicate()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, "serve", kind]:
            uvloop.run(serve(kind, Files(Path(folder))))
        case [folder, "load", kind, port]:
            uvloop.run(load(kind, int(port), Files(Path(folder))))
        case rest:
            with tempfile.TemporaryDirectory() as made:
                measure(int(rest[0]) if rest else 3, Path(made))
