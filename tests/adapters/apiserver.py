"""An API server of a few lines, for what the real client sends and hears."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio.client import Configuration

from shared.adapters.k8s.client import KubernetesApi

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "uid": "u", "resourceVersion": "7"}}


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[Configuration]:
    """A server that answers everything with `handler`, as a client is told of it."""
    server = web.Server(handler)  # type: ignore[arg-type]
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    try:
        yield Configuration(host=f"http://{host}:{port}")
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[KubernetesApi]:
    """A client of such a server."""
    async with listening(handler) as configuration:
        api = KubernetesApi(configuration, "here")
        try:
            yield api
        finally:
            await api.close()


def answering(code: int, reason: str = "", message: str = "", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        status = {"kind": "Status", "code": code, "reason": reason, "message": message}
        return web.json_response(status, status=code, headers=headers)

    return handler
