"""What Prometheus asks a server of our own: `GET /metrics`, in clear, at a listener that has nothing else."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from cryptography import x509

from selfhost.errors import CannotStart
from shared.edge import observing
from shared.ports import metrics

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Metrics:
    """A listener of its own; whoever reaches it reads all that is measured, so by default it is on loopback."""

    def __init__(self, scrape: Callable[[], bytes]):
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._scrape = scrape
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises CannotStart naming the option at fault."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise CannotStart(f"--metrics_host={host} --metrics_port={port}: {reason}") from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        # In a thread: it takes 20 ms where all there is has been seen, and nobody's heartbeat is to wait for that.
        return web.Response(body=await asyncio.to_thread(self._scrape), headers={"content-type": CONTENT_TYPE})


def tell_ends(server: Path, clients: Path) -> None:
    """When this server's certificate ends, and the first of its clients' CAs (PEM files that were read before)."""
    for which, path in (("server", server), ("client_ca", clients)):
        ends = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes()))
        observing.telemetry.tell(metrics.CERTIFICATES, ends.timestamp(), which)
