"""The real client's watches and commands against an API server of a few lines."""

import asyncio
import json

import pytest
from aiohttp import web

from shared.adapters.k8s.api import WatchExpired
from shared.domain.errors import ClusterRefused, ClusterUnavailable
from tests.adapters.apiserver import SECRET, Handler, answering, served


def event(type: str, version: str, **more: object) -> bytes:
    return json.dumps({"type": type, "object": {"metadata": {"resourceVersion": version, **more}}}).encode() + b"\n"


def streaming(*chunks: bytes, abort: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if abort:
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


async def test_a_watch_tells_changes_however_they_are_cut():
    long = event("ADDED", "2", annotations={"x": "y" * 300_000})
    whole = event("ADDED", "1") + long + event("BOOKMARK", "3")
    cuts = [whole[:10], whole[10:150_000], whole[150_000:]]
    async with served(streaming(*cuts)) as api:
        changes = [change async for change in api.watch("Secret", "", "", "0")]
    assert [(change.type, change.object["metadata"]["resourceVersion"]) for change in changes] == [
        ("ADDED", "1"), ("ADDED", "2"), ("BOOKMARK", "3"),
    ]  # fmt: skip


async def test_a_watch_asks_from_where_it_was():
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return await streaming()(request)

    async with served(handler) as api:
        assert [change async for change in api.watch("Event", "", "involvedObject.name=pg-x", "42")] == []
    assert asked == [
        {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "60",
            "resourceVersion": "42",
            "fieldSelector": "involvedObject.name=pg-x",
        }
    ]


async def test_a_watch_that_is_too_old_is_expired_by_status_or_by_event():
    gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode()
    for handler in (answering(410, "Expired"), streaming(event("ADDED", "1"), gone + b"\n")):
        async with served(handler) as api:
            with pytest.raises(WatchExpired):
                _ = [change async for change in api.watch("Secret", "", "", "0")]


async def test_a_watch_that_breaks_is_unavailable():
    async with served(streaming(event("ADDED", "1"), b'{"type": "AD', abort=True)) as api:
        watch = api.watch("Secret", "", "", "0")
        assert (await anext(watch)).type == "ADDED"
        with pytest.raises(ClusterUnavailable):
            await anext(watch)


@pytest.mark.slow
async def test_watches_take_no_connection_from_short_requests():
    async def handler(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(SECRET)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("ADDED", "1"))
        await asyncio.Event().wait()
        raise AssertionError

    async with served(handler) as api:
        watches = [api.watch("Secret", "", "", "0") for _ in range(40)]
        await asyncio.gather(*(anext(watch) for watch in watches))
        assert await api.get("Secret", "s") == SECRET
        for watch in watches:
            await watch.aclose()


def commanding(*frames: bytes) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query.getall("command") == ["mariadb", "--execute=SELECT 1; 2"]
        assert (request.query["container"], request.query["stdout"], "stdin" in request.query) == ("c", "true", False)
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        for frame in frames:
            await socket.send_bytes(frame)
        await socket.close()
        return socket

    return handler


SUCCESS = b'\x03{"status": "Success"}'
FAILURE = b'\x03{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}'


async def test_a_command_s_output_and_exit_code_are_told():
    argv = ["mariadb", "--execute=SELECT 1; 2"]
    async with served(commanding(b"\x01", b"\x02noise", b"\x011\t", b"\x012\n", SUCCESS)) as api:
        output = await api.run("pod", "c", argv)
        assert (output.code, output.stdout) == (0, b"1\t2\n")
    async with served(commanding(b"\x01x", FAILURE)) as api:
        assert (await api.run("pod", "c", argv)).code == 3
    async with served(commanding(b"\x01x")) as api:
        with pytest.raises(ClusterUnavailable, match="not heard"):
            await api.run("pod", "c", argv)


async def test_a_command_that_may_not_be_run_is_refused():
    async with served(answering(403, "Forbidden", "no")) as api:
        with pytest.raises(ClusterRefused):
            await api.run("pod", "c", ["true"])
